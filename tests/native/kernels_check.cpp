// Every kernel of every level this machine runs, against scalar references; then whole scans against brute force.
// Arrays of codes carry exactly kSlack bytes, so that AddressSanitizer sees a read beyond them. Exits 1 on a failure.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "check.h"
#include "coordinate.h"
#include "exact_sum.h"
#include "function.h"
#include "hierarchy.h"
#include "inner.h"
#include "learned.h"
#include "raw.h"
#include "rescore.h"
#include "scan.h"
#include "scan_data.h"

using namespace kiyas;

namespace {

// Bytes: random, or extreme in the ways that overflow an accumulator.
uint8_t some_byte(int mode) {
  switch (mode) {
    case 0: return static_cast<uint8_t>(below(256));
    case 1: return 255;
    case 2: return 0;
    case 3: return below(2) ? 255 : 0;
    default: return static_cast<uint8_t>(126 + below(5));
  }
}

std::vector<int64_t> dimensions(bool quick) {
  std::vector<int64_t> d;
  for (int64_t i = 1; i <= 130; ++i) d.push_back(i);
  d.insert(d.end(), {384, 4096});
  if (!quick) d.push_back(60000);
  return d;
}

// ---- integer kernels ----------------------------------------------------------------------------

void check_integers(const Level& level, bool quick) {
  for (const int64_t d : dimensions(quick)) {
    const int trials = d > 1000 ? 1 : 3;
    for (int trial = 0; trial < trials; ++trial) {
      const int mode = static_cast<int>(d > 1000 ? 1 + below(3) : below(5));
      const int rows = static_cast<int>(d > 1000 ? 1 + below(5) : 1 + below(70)), queries = 1 + static_cast<int>(below(9));
      const int64_t stride = d + (below(3) == 0 ? below(4) : 0);
      Guarded<uint8_t> codes((rows - 1) * stride + d + kSlack);
      for (int64_t i = 0; i < (rows - 1) * stride + d + kSlack; ++i) codes[i] = some_byte(mode);

      const int64_t padded = (d + level.dot_step - 1) / level.dot_step * level.dot_step;
      const int64_t steps = (d + 3) / 4, groups = (rows + kGroup - 1) / kGroup;
      Guarded<int8_t> q(queries * padded), packed(queries * steps * 4);
      for (int j = 0; j < queries; ++j)
        for (int64_t i = 0; i < d; ++i) {
          const int limit = level.query_limit;
          q[j * padded + i] = static_cast<int8_t>(mode == 0 || mode == 4 ? below(2 * limit + 1) - limit
                                                  : mode == 3            ? (below(2) ? limit : -limit)
                                                  : trial % 2            ? -limit
                                                                         : limit);
          packed[j * steps * 4 + i] = q[j * padded + i];
        }
      // Groups of rows, four dimensions of each after the other; what fills them up is anything.
      Guarded<uint8_t> grouped(groups * steps * 4 * kGroup);
      for (int64_t i = 0; i < groups * steps * 4 * kGroup; ++i) grouped[i] = some_byte(mode);
      for (int r = 0; r < rows && r < kBlock; ++r)
        for (int64_t i = 0; i < d; ++i)
          grouped[(r / kGroup * steps + i / 4) * 4 * kGroup + r % kGroup * 4 + i % 4] = codes[r * stride + i];
      Guarded<int32_t> dots(queries * kBlock);
      level.dots(grouped.get(), steps, std::min(rows, kBlock), packed.get(), steps * 4, queries, dots.get());
      for (int j = 0; j < queries; ++j)
        for (int r = 0; r < rows; ++r) {
          int64_t sum = 0;
          for (int64_t i = 0; i < d; ++i) sum += int64_t{codes[r * stride + i]} * q[j * padded + i];
          if (r < kBlock)
            CHECK(dots[j * kBlock + r] == sum, "%s dots d=%ld rows=%d row %d: %d, not %ld", level.name, long(d), rows, r,
                  dots[j * kBlock + r], long(sum));
          const int32_t one = level.dot(codes.get() + r * stride, q.get() + j * padded, padded);
          CHECK(one == sum, "%s dot d=%ld row %d: %d, not %ld", level.name, long(d), r, one, long(sum));
        }

      Guarded<uint8_t> u(d + kSlack);
      for (int64_t i = 0; i < d; ++i) u[i] = some_byte(mode == 3 ? 0 : mode);
      if (mode == 1 && trial % 2)
        for (int64_t i = 0; i < d; ++i) u[i] = 0;
      uint8_t base[16], slope[16];
      for (int s = 0; s < 16; ++s) base[s] = some_byte(mode % 2), slope[s] = some_byte(mode % 2);
      base[0] = 0;  // no difference costs nothing: padding relies on it
      Guarded<uint32_t> l1(rows), maxima(rows), table(rows);
      level.l1(codes.get(), stride, rows, u.get(), d, l1.get());
      level.maxima(codes.get(), stride, rows, u.get(), d, maxima.get());
      level.table(codes.get(), stride, rows, u.get(), d, base, slope, table.get());
      for (int r = 0; r < rows; ++r) {
        uint64_t a = 0, b = 0, c = 0;
        for (int64_t i = 0; i < d; ++i) {
          const int x = codes[r * stride + i], y = u[i], k = std::abs(x - y);
          a += k, b += std::max(x, y), c += 16u * base[k >> 4] + slope[k >> 4] * (k & 15);
        }
        CHECK(l1[r] == a, "%s l1 d=%ld row %d: %u, not %lu", level.name, long(d), r, l1[r], static_cast<unsigned long>(a));
        CHECK(maxima[r] == b, "%s maxima d=%ld row %d: %u, not %lu", level.name, long(d), r, maxima[r],
              static_cast<unsigned long>(b));
        CHECK(table[r] == c, "%s table d=%ld row %d: %u, not %lu", level.name, long(d), r, table[r],
              static_cast<unsigned long>(c));
      }

      // Halves of bytes: each against the sums over 16·high, and both joined again.
      const int64_t half = half_of(d);
      Guarded<uint8_t> high(rows * half + kSlack), low(rows * half + kSlack), runs(2 * (half + kSlack)), joined(2 * half);
      for (int64_t i = 0; i < rows * half + kSlack; ++i) high[i] = low[i] = some_byte(mode);
      for (int64_t i = 0; i < 2 * (half + kSlack); ++i) runs[i] = 0;
      for (int64_t i = 0; i < d; ++i) runs[i < half ? i : i + kSlack] = u[i];
      for (int r = 0; r < rows; ++r)
        for (int64_t i = 0; i < 2 * half; ++i) {
          const int c = i < d ? codes[r * stride + i] : 0, at = static_cast<int>(i < half ? i : i - half), shift = i < half ? 0 : 4;
          uint8_t &h = high[r * half + at], &l = low[r * half + at];
          h = static_cast<uint8_t>((h & (0xf0 >> shift)) | (c >> 4) << shift);
          l = static_cast<uint8_t>((l & (0xf0 >> shift)) | (c & 15) << shift);
        }
      level.l1_high(high.get(), half, rows, runs.get(), l1.get());
      level.table_high(high.get(), half, rows, runs.get(), base, slope, table.get());
      for (int r = 0; r < rows; ++r) {
        uint64_t a = 0, c = 0;
        level.join(high.get() + r * half, low.get() + r * half, half, joined.get());
        for (int64_t i = 0; i < d; ++i) {
          const int x = codes[r * stride + i] & 0xf0, k = std::abs(x - u[i]);
          a += k, c += 16u * base[k >> 4] + slope[k >> 4] * (k & 15);
          CHECK(joined[i] == codes[r * stride + i], "%s join d=%ld row %d dimension %ld", level.name, long(d), r, long(i));
        }
        CHECK(l1[r] == a, "%s l1_high d=%ld row %d: %u, not %lu", level.name, long(d), r, l1[r], static_cast<unsigned long>(a));
        CHECK(table[r] == c, "%s table_high d=%ld row %d: %u, not %lu", level.name, long(d), r, table[r],
              static_cast<unsigned long>(c));
      }

      Guarded<float> w(d);
      double size = 0, norm = 0, exact = 0;
      for (int64_t i = 0; i < d; ++i) {
        w[i] = static_cast<float>(normal() * std::exp(normal()));
        const double c = codes[i] - 128, x = w[i];
        exact += c * x, size += c * c, norm += x * x;
      }
      const double got = level.code_dot(codes.get(), w.get(), d);
      CHECK(std::fabs(got - exact) <= code_dot_error(d) * std::sqrt(size * norm), "%s code_dot d=%ld", level.name, long(d));
    }
  }
}

// ---- exact sums ----------------------------------------------------------------------------------

// Numbers of all sizes, with cancellation.
double some_number(int kind) {
  switch (kind) {
    case 0: return normal();
    case 1: return normal() * std::pow(10.0, 60 * (uniform() - 0.5));
    case 2: return static_cast<float>(normal() * std::pow(10.0, 20 * (uniform() - 0.5)));
    case 3: return static_cast<double>(below(7) - 3);
    default: return 1e6 + normal();
  }
}

void check_sums(const Level& level) {
  const Level& reference = level_at(0);
  for (int trial = 0; trial < 600; ++trial) {
    const int64_t d = 1 + below(trial % 10 == 0 ? 700 : 40);
    const int kind = static_cast<int>(below(5));
    Guarded<double> q(d), x(d);
    std::vector<double> products, squares, gaps, terms;
    for (int64_t i = 0; i < d; ++i) {
      q[i] = some_number(kind);
      x[i] = below(4) == 0 ? q[i] : below(4) == 0 ? std::nextafter(q[i], kInfinity) : some_number(kind);
      if (trial % 3 == 0 && i + 1 < d && i % 2) q[i] = -q[i - 1], x[i] = x[i - 1];  // sums that cancel
    }
    bool exact = true;
    for (int64_t i = 0; i < d; ++i) {
      const double m = q[i] * x[i], gap = q[i] - x[i];
      exact = exact && static_cast<float>(q[i]) == q[i] && static_cast<float>(x[i]) == x[i];
      products.push_back(m), products.push_back(std::fma(q[i], x[i], -m));
      squares.push_back(gap * gap), gaps.push_back(std::fabs(gap)), terms.push_back(q[i]);
    }
    const auto whole = [](const std::vector<double>& t) { return exact_sum(t.data(), static_cast<int64_t>(t.size())); };
    double p, d2, p0, d20;
    level.gram(q.get(), x.get(), d, exact, &p, &d2);
    reference.gram(q.get(), x.get(), d, false, &p0, &d20);
    CHECK(p == whole(products), "%s p d=%ld: %.17g, not %.17g", level.name, long(d), p, whole(products));
    CHECK(d2 == whole(squares), "%s d2 d=%ld: %.17g, not %.17g", level.name, long(d), d2, whole(squares));
    CHECK(p == p0 && d2 == d20, "%s gram differs between levels", level.name);
    CHECK(level.l1_sum(q.get(), x.get(), d) == whole(gaps), "%s l1_sum d=%ld", level.name, long(d));
    CHECK(level.sum(q.get(), d) == whole(terms), "%s sum d=%ld", level.name, long(d));
  }
  // The exact sum itself: integers of 2^k with a known sum.
  for (int trial = 0; trial < 300; ++trial) {
    std::vector<double> t;
    __int128 sum = 0;
    for (int i = 0; i < 50; ++i) {
      const int64_t v = below(1 << 20) - (1 << 19);
      const int shift = static_cast<int>(below(50));
      t.push_back(std::ldexp(static_cast<double>(v), shift));
      sum += static_cast<__int128>(v) << shift;
    }
    // Rounded once: above 2^53 by the conversion of the 128-bit integer.
    CHECK(exact_sum(t.data(), 50) == static_cast<double>(sum), "exact_sum");
  }
}

void check_losses(const Level& level) {
  const Level& reference = level_at(0);
  Guarded<double> x(1), y(1);
  for (int trial = 0; trial < 20000; ++trial) {
    x[0] = trial < 4000 ? trial / 4.0 : trial < 12000 ? uniform() * 5 : std::pow(10.0, 40 * (uniform() - 0.7));
    if (trial % 1000 == 999) x[0] = trial % 2000 == 999 ? kInfinity : 0;
    double other;
    level.exponentials(x.get(), 1, y.get());
    reference.exponentials(x.get(), 1, &other);
    const double wanted = static_cast<double>(std::exp(-static_cast<long double>(x[0])));
    const double unit = std::max(std::nextafter(wanted, 2.0) - wanted, 5e-324);
    CHECK(std::fabs(y[0] - wanted) <= 1.5 * unit, "%s exponential of %.17g: %.17g, not %.17g", level.name, x[0], y[0], wanted);
    CHECK(std::bit_cast<uint64_t>(y[0]) == std::bit_cast<uint64_t>(other), "%s exponential differs between levels", level.name);
  }
  Guarded<double> many(131), out(131);
  for (int64_t i = 0; i < 131; ++i) many[i] = 0.37 * static_cast<double>(i);
  for (int64_t n = 1; n <= 131; n += 13) {
    level.exponentials(many.get(), n, out.get());
    for (int64_t i = 0; i < n; ++i) {
      double one;
      level.exponentials(many.get() + i, 1, &one);
      CHECK(out[i] == one, "%s exponential depends on its place", level.name);
    }
  }
  for (int trial = 0; trial < 900; ++trial) {
    const int64_t d = trial < 130 ? trial + 1 : 1 + below(500);
    const auto kind = static_cast<Loss>(below(3));
    const bool scaled = below(2), weighted = below(2);
    const double cap = below(2) ? kInfinity : uniform();
    Guarded<double> a(d), b(d), inverse(d), weight(d);
    Guarded<float> fa(d), fb(d), finverse(d), fweight(d);
    long double wanted = 0, mass = 0;
    for (int64_t i = 0; i < d; ++i) {
      fa[i] = static_cast<float>(normal()), fb[i] = below(5) ? static_cast<float>(normal()) : fa[i];
      finverse[i] = static_cast<float>(std::exp(2 * normal())), fweight[i] = static_cast<float>(uniform());
      a[i] = fa[i], b[i] = fb[i], inverse[i] = finverse[i], weight[i] = fweight[i];
      long double gap = std::fabs(static_cast<long double>(a[i]) - b[i]) * (scaled ? inverse[i] : 1.0);
      if (kind == Loss::clipped) gap = std::min(gap, 1.0L);
      if (kind == Loss::exponential) gap = -std::expm1(-gap);
      gap = std::min(gap, static_cast<long double>(cap));
      wanted += gap * (weighted ? weight[i] : 1.0), mass += weighted ? weight[i] : 1.0;
    }
    const double narrow = level.loss_float(kind, fa.get(), fb.get(), scaled ? finverse.get() : nullptr,
                                           weighted ? fweight.get() : nullptr, d, static_cast<float>(cap));
    const double wide = level.loss_double(kind, a.get(), b.get(), scaled ? inverse.get() : nullptr,
                                          weighted ? weight.get() : nullptr, d, cap);
    const double w = static_cast<double>(wanted), m = static_cast<double>(mass), n = static_cast<double>(d);
    CHECK(std::fabs(narrow - w) <= 0x1p-23 * (n / 16 + 24) * w + 1e-6 * m, "%s loss_float d=%ld", level.name, long(d));
    CHECK(std::fabs(wide - w) <= 0x1p-52 * (n / 8 + 24) * w + 1e-14 * m, "%s loss_double d=%ld", level.name, long(d));
  }
}

// ---- the inner family ----------------------------------------------------------------------------

struct Gram {
  double p, a2, b2, d2;
};

double inner_score(Inner kind, double parameter, const Gram& g) {
  const double a = std::sqrt(g.a2), b = std::sqrt(g.b2);
  switch (kind) {
    case Inner::cosine: return a * b > 0 ? g.p / (a * b) : 0;
    case Inner::dot: return g.p;
    case Inner::euclidean: return 1 / (1 + std::sqrt(g.d2));
    case Inner::ndd: {
      if (parameter == 0) return a + b > 0 ? g.p / std::sqrt((g.a2 + g.b2) / 2) : 0;
      return a > 0 ? g.p / a * (parameter / std::sqrt((parameter * parameter + g.b2) / 2)) : 0;
    }
    case Inner::log_scaled: return a * b > 0 ? g.p / std::log1p(a * b) : 0;
    case Inner::hybrid: return g.p / (1 + std::sqrt(g.d2));
    case Inner::dice: return g.a2 + g.b2 > 0 ? 2 * g.p / (g.a2 + g.b2) : 0;
    case Inner::tempered_cosine: return b > 0 ? g.p / std::pow(g.b2, parameter / 2) : 0;
    case Inner::poincare: {
      const double gap = std::sqrt((1 - a) * (1 + a)) * std::sqrt((1 - b) * (1 + b));
      return 1 / (1 + 2 * std::asinh(std::sqrt(g.d2) / gap));
    }
  }
  return 0;
}

// Both logarithms of the filter over their range: log x by itself, and log1p by what p just reaches or misses.
void check_logarithms(const Level& level) {
  float x[kBlock], y[kBlock];
  for (int trial = 0; trial < 4000; ++trial) {
    for (float& v : x) v = static_cast<float>(std::exp(trial % 2 ? 174 * uniform() - 87 : uniform()));
    level.logarithms(x, kBlock, y);
    for (int i = 0; i < kBlock; ++i)
      CHECK(std::fabs(y[i] - std::log(static_cast<double>(x[i]))) <= 1.3e-5, "%s log of %.9g: %.9g", level.name, x[i], y[i]);
  }
  InnerQuery query{};
  query.norm = 1;
  for (int trial = 0; trial < 6000; ++trial) {
    float below_it[kBlock];
    for (int i = 0; i < kBlock; ++i) {
      x[i] = static_cast<float>(std::exp(trial % 3 ? 6 * uniform() - 4 : 90 * uniform() - 30));
      const double log1p = std::log1p(static_cast<double>(x[i]));
      // Half the margin is the logarithm's; the other half is for roundings that are none here.
      y[i] = static_cast<float>(log1p * (1 - 0.9e-5)), below_it[i] = static_cast<float>(log1p * (1 - 3.2e-5));
    }
    const uint64_t reached = level.inner_reach(Inner::log_scaled, y, x, nullptr, kBlock, query, 1.0);
    const uint64_t missed = level.inner_reach(Inner::log_scaled, below_it, x, nullptr, kBlock, query, 1.0);
    for (int i = 0; i < kBlock; ++i) {
      CHECK(reached >> i & 1, "%s log1p of %.9g is too large", level.name, x[i]);
      CHECK(!(missed >> i & 1), "%s log1p of %.9g is too small", level.name, x[i]);
    }
  }
}

void rising(const double* p, const double* a2, const double* b2, double* out, int64_t count) {
  for (int64_t i = 0; i < count; ++i) out[i] = p[i] / (1 + std::sqrt(a2[i] * b2[i]));
}

// Steep where the vectors are nearly equal, or nearly opposite, and falling past the end of p there.
void steep(const double* p, const double* a2, const double* b2, double* out, int64_t count) {
  for (int64_t i = 0; i < count; ++i) out[i] = 1 / (1e-8 * (a2[i] + b2[i]) + (a2[i] + b2[i] - 2 * p[i]));
}

void steep_below(const double* p, const double* a2, const double* b2, double* out, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    const double ab = std::sqrt(a2[i]) * std::sqrt(b2[i]);
    out[i] = -1 / (1e-8 * ab + (ab + p[i]));
  }
}

void check_inner(const Level& level, bool quick) {
  for (int trial = 0; trial < (quick ? 24 : 60); ++trial) {
    const int kind_of_data = trial % 6;
    const int64_t dims = trial % 5 == 0 ? 1 + below(130) : 32 + below(trial % 7 == 0 ? 400 : 100);
    const int64_t rows = trial % 4 == 0 ? 1 + below(70) : 100 + below(900);
    const Data data = make_data(level, kind_of_data, rows, dims, 1 + static_cast<int>(below(20)));
    const Coded coded(level, data, trial % 3 == 2);
    const InnerCodes codes = coded.view();
    const double* values = coded.queries.data();
    std::vector<Gram> gram(static_cast<size_t>(data.count * rows));
    for (int j = 0; j < data.count; ++j)
      for (int64_t r = 0; r < rows; ++r) {
        Gram& g = gram[j * rows + r];
        level.gram(data.query(j), data.row(r), dims, false, &g.p, &g.d2);
        g.a2 = data.norm2[j], g.b2 = codes.norm2[r];
      }

    // The proven bounds on p.
    const InnerQueries queries(level, codes, values, data.norm2.data(), data.count);
    Guarded<double> upper(rows);
    for (int j = 0; j < data.count; ++j) {
      upper_products(level, codes, queries, j, 0, static_cast<int>(rows), upper.get());
      for (int64_t r = 0; r < rows; ++r) {
        const Gram& g = gram[j * rows + r];
        const Interval p = inner_product(level, codes, queries, j, r, true);
        CHECK(p.low <= g.p && g.p <= p.high, "%s data %d d=%ld row %ld: p = %.17g outside [%.17g, %.17g]", level.name,
              kind_of_data, long(dims), long(r), g.p, p.low, p.high);
        CHECK(g.p <= upper[r], "%s data %d d=%ld row %ld: p = %.17g above %.17g", level.name, kind_of_data, long(dims),
              long(r), g.p, upper[r]);
      }
    }

    for (int kind = 0; kind <= 8; ++kind) {
      const auto inner = static_cast<Inner>(kind);
      if (inner == Inner::poincare && kind_of_data != 5) continue;
      const double parameter = inner == Inner::ndd ? (below(2) ? 0.0 : 0.5 + uniform())
                               : inner == Inner::tempered_cosine ? 4 * uniform() - 2 : 0.0;
      Guarded<float> factor(rows);
      for (int64_t r = 0; r < rows; ++r) {
        const double b = std::sqrt(codes.norm2[r]), tempered = std::pow(codes.norm2[r], parameter / 2);
        factor[r] = static_cast<float>(inner == Inner::poincare                  ? (1 - b) * (1 + b) * (1 + 1e-6)
                                       : tempered > 1e-30 && tempered < 1e30 ? tempered
                                                                             : std::numeric_limits<double>::quiet_NaN());
      }
      const bool factored = inner == Inner::poincare || inner == Inner::tempered_cosine;
      const InnerFamily family(level, inner, parameter, codes, factored ? factor.get() : nullptr, values,
                               data.norm2.data(), data.count);
      const auto score = [&](int j, int64_t r) { return inner_score(inner, parameter, gram[j * rows + r]); };
      const Wish wish(data, 1 + static_cast<int>(below(2)));
      const std::string what = "inner " + std::to_string(kind) + " data " + std::to_string(kind_of_data);
      compare(what.c_str(), level, scan(family, wish.input), data, wish.input.k, score, wish.input.allowed, wish.input.excluded);
    }
    for (const UserFunction function : {rising, steep, steep_below}) {
      const FunctionFamily family(level, function, codes, values, data.norm2.data(), data.count);
      const Wish wish(data, 2);
      compare("function", level, scan(family, wish.input), data, wish.input.k, [&](int j, int64_t r) {
        const Gram& g = gram[j * rows + r];
        double out;
        function(&g.p, &g.a2, &g.b2, &out, 1);
        return out;
      }, wish.input.allowed, wish.input.excluded);
    }
  }
}

// ---- the coordinate family and the learned measure -----------------------------------------------

struct Gridded {
  std::vector<int64_t> pick;
  std::vector<double> scale, low;
  double step;
  bool split;
  Guarded<uint8_t> codes, low_halves;
  Guarded<float> error, worst, coarse;
  Gridded(const Data& data, double width, double cover, bool halved)
      : scale(static_cast<size_t>(data.dims), 1 / width), low(static_cast<size_t>(data.dims)), step(0), split(halved),
        codes(data.rows * (halved ? half_of(data.dims) : data.dims) + kSlack),
        low_halves(data.rows * half_of(data.dims) + kSlack), error(data.rows), worst(data.rows), coarse(data.rows) {
    pick.resize(static_cast<size_t>(data.dims));
    std::iota(pick.begin(), pick.end(), 0);
    std::vector<double> least(low.size(), kInfinity), most(low.size(), -kInfinity);
    for (int64_t r = 0; r < data.rows; ++r)
      for (int64_t i = 0; i < data.dims; ++i) {
        least[i] = std::min(least[i], data.row(r)[i] / width), most[i] = std::max(most[i], data.row(r)[i] / width);
      }
    for (int64_t i = 0; i < data.dims; ++i) step = std::max(step, (most[i] - least[i]) / 255);
    step = step > 0 ? step * cover : 1;
    for (int64_t i = 0; i < data.dims; ++i) low[i] = (least[i] + most[i]) / 2 - 127.5 * step;
    encode_grid(data.view(), grid(), 0, data.rows / 2, view(), 1);
    encode_grid(data.view(), grid(), data.rows / 2, data.rows, view(), 2);
  }
  Grid grid() const { return {pick.data(), scale.data(), low.data(), step, static_cast<int64_t>(pick.size())}; }
  GridCodes view() const { return {codes.get(), split ? low_halves.get() : nullptr, error.get(), worst.get(), coarse.get()}; }
};

double coordinate_score(const Level& level, Profile profile, const Pooling& pooling, const Finish& finish, const double* q,
                        const double* x, int64_t dims) {
  Scratch scratch;
  return finish.by_total(pool_pair(level, scratch, profile, pooling, q, x, dims));
}

void check_coordinate(const Level& level, bool quick) {
  for (int trial = 0; trial < (quick ? 60 : 180); ++trial) {
    const int kind_of_data = trial % 6;
    // With few dimensions errors do not average out, so bounds that are too narrow show.
    const int64_t dims = 1 + below(trial % 7 == 0 ? 400 : trial % 2 ? 5 : 130), rows = trial % 4 == 0 ? 1 + below(70) : 100 + below(700);
    // One query alone looks at high halves first.
    Data data = make_data(level, kind_of_data, rows, dims, trial % 3 == 1 ? 1 : 1 + static_cast<int>(below(18)));
    if (trial % 5 == 4)
      for (double& v : data.queries) v = static_cast<float>(v * 3);  // beyond the grid
    const auto profile = static_cast<Profile>(below(4));
    const double width = profile == Profile::negative ? 1.0 : kind_of_data == 5 ? 0.01 : 0.3 + uniform();
    const double cover = trial % 3 == 0 ? 0.4 : 1.0;  // rows beyond the grid
    const int64_t dropped = below(2) ? static_cast<int64_t>(0.3 * static_cast<double>(dims)) : 0;
    const bool reciprocal = profile == Profile::negative, threshold = below(3) == 0, tiers = !threshold && profile >= Profile::clipped && below(2);
    const double tau = reciprocal ? -uniform() : uniform();
    const double limit = profile == Profile::exponential ? -std::log(tau) : tau;
    std::vector<double> widths(static_cast<size_t>(dims), width);
    std::vector<uint8_t> critical(static_cast<size_t>(dims), 0);
    std::vector<int64_t> places;
    for (int64_t i = 0; i < dims; i += 7) critical[i] = 1, places.push_back(i);
    const Gridded grid(data, width, cover, trial % 5 != 2);
    const double none = std::numeric_limits<double>::quiet_NaN();
    const Pooling pooling{grid.pick.data(), profile == Profile::negative ? nullptr : widths.data(), nullptr, dims, dropped,
                          threshold ? limit : none, tiers ? critical.data() : nullptr, tiers ? limit : none};
    const double best = reciprocal ? 0 : 1;
    const Finish finish{reciprocal, best, static_cast<double>(dims - dropped), threshold ? std::max<int64_t>(1, dims / 2) : 0, tiers};

    std::vector<double> loss(256), loss_low(256), loss_high(256);
    std::vector<uint8_t> surely(256), maybe(256);
    const auto similarity = [&](double delta) {
      switch (profile) {
        case Profile::negative: return -delta;
        case Profile::complement: return 1 - delta;
        case Profile::clipped: return std::max(0.0, 1 - delta);
        default: return std::exp(-delta);
      }
    };
    for (int s = 0; s < 256; ++s) {
      const double nearer = std::max(s - 1, 0) * (1 - 1e-6) * grid.step, farther = (s + 1) * (1 + 1e-6) * grid.step;
      loss[s] = best - similarity(s * grid.step), loss_low[s] = best - similarity(nearer), loss_high[s] = best - similarity(farther);
      surely[s] = similarity(nearer) < tau, maybe[s] = similarity(farther) < tau;
    }
    const bool linear = (profile == Profile::negative || profile == Profile::complement) && dropped == 0;
    std::vector<double> folded;
    for (double v : data.queries) folded.push_back(v * (1 / width));
    const auto score = [&](int j, int64_t r) { return coordinate_score(level, profile, pooling, finish, data.query(j), data.row(r), dims); };
    const auto other = [&](int j, int64_t r) { return coordinate_score(level_at(0), profile, pooling, finish, data.query(j), data.row(r), dims); };
    for (int64_t r = 0; r < rows; r += 17) CHECK(score(0, r) == other(0, r), "%s scores differ between levels", level.name);

    const bool narrow = std::all_of(data.queries.begin(), data.queries.end(), [](double v) { return static_cast<float>(v) == v; });
    RawScorer raw(level, data.view(), profile, pooling, finish, data.queries.data(), data.count, narrow);
    for (int j = 0; j < data.count; ++j) raw.sample(j, rows);
    const Wish wish(data, 1 + trial % 2);
    const std::string what = "profile " + std::to_string(static_cast<int>(profile)) + " data " + std::to_string(kind_of_data) +
                             (dropped ? " trim" : "") + (threshold ? " threshold" : "") + (tiers ? " tiers" : "");
    compare((what + " raw").c_str(), level, scan(RawFamily(raw), wish.input), data, wish.input.k, score, wish.input.allowed, wish.input.excluded);
    // By tables alone (as for a user's function, of unknown slope), and with the rows' own word.
    for (int variant = 0; variant < 3; ++variant) {
      if (variant == 0 && linear) continue;
      const double lipschitz = variant == 0 ? kInfinity : 1.0;
      const CoordinateMeasure measure{linear, finish, dropped, lipschitz, loss.data(), loss_low.data(), loss_high.data(),
                                      surely.data(), maybe.data(), places.data(), static_cast<int64_t>(places.size()), surely.data(), maybe.data()};
      const CoordinateFamily family(level, grid.grid(), grid.view(), rows, measure, folded.data(), data.count, variant == 2 ? &raw : nullptr);
      compare((what + " codes " + std::to_string(variant)).c_str(), level, scan(family, wish.input), data, wish.input.k, score,
              wish.input.allowed, wish.input.excluded);
    }
  }
}

// High halves are looked at first for one query, and until a trial tells that too many pass; not where the rows lie
// joined already, for the queries before.
void check_first_looks(const Level& level) {
  const Data data = make_data(level, 0, 20480, 8, kTile + 1);
  const Gridded grid(data, 1.0, 1.0, true);
  std::vector<double> loss(256);
  for (int s = 0; s < 256; ++s) loss[s] = s * grid.step;
  const std::vector<uint8_t> none(256, 0);
  const CoordinateMeasure measure{true, {true, 0, 8, 0, false}, 0, 1.0, loss.data(), loss.data(), loss.data(), none.data(),
                                  none.data(), nullptr, 0, none.data(), none.data()};
  const CoordinateFamily family(level, grid.grid(), grid.view(), data.rows, measure, data.queries.data(), data.count, nullptr);
  double thresholds[kTile];
  uint64_t masks[kTile];
  for (const double threshold : {1e-9, 1 - 1e-9}) {  // all rows pass, hardly any
    std::fill(thresholds, thresholds + kTile, threshold);
    Looks one, batch;
    for (int64_t start = 0; start < data.rows; start += kBlock) {
      family.filter(start, kBlock, 0, 1, thresholds, masks, one);
      CHECK(one.first == (start < 16384 || threshold > 0.5), "%s first look at row %ld", level.name, long(start));
      family.filter(start, kBlock, 0, kTile, thresholds, masks, batch);
      CHECK(!batch.first, "%s first look of a batch", level.name);
      family.filter(start, kBlock, kTile, 1, thresholds, masks, batch);
      CHECK(!batch.first && batch.seen == 0, "%s first look at rows that lie joined", level.name);
    }
  }
}

void check_learned(const Level& level, bool quick) {
  for (int trial = 0; trial < (quick ? 20 : 60); ++trial) {
    const int64_t hidden = 1 + below(trial % 2 ? 150 : 6), rows = 1 + below(800), positive = trial % 4 == 0 ? 0 : trial % 4 == 1 ? hidden : below(hidden + 1);
    Data data = make_data(level, trial % 5, rows, hidden, 1 + static_cast<int>(below(9)));
    if (trial % 3 == 1)
      for (double& v : data.queries) v = static_cast<float>(v * 4);  // beyond the grid
    const Data vectors = make_data(level, trial % 4, rows, 40, data.count);
    const double alpha = trial % 3 == 0 ? 0 : 3 * normal(), bias = normal();
    const Gridded grid(data, 1.0, trial % 2 ? 0.5 : 1.0, false);
    const Coded coded(level, vectors, trial % 2);
    const InnerFamily cosine(level, Inner::cosine, 0, coded.view(), nullptr, coded.queries.data(), vectors.norm2.data(), data.count);
    const LearnedFamily family(level, grid.grid(), grid.view(), positive, data.queries.data(), data.count, bias, alpha,
                               alpha == 0 ? nullptr : &cosine);
    const auto score = [&](int j, int64_t r) {
      std::vector<double> terms{bias};
      for (int64_t i = 0; i < hidden; ++i)
        terms.push_back((i < positive ? 1 : -1) * std::max(0.0, data.query(j)[i] + data.row(r)[i]));
      if (alpha != 0) {
        Gram g{0, vectors.norm2[j], coded.norm2[r], 0};
        level.gram(vectors.query(j), vectors.row(r), 40, false, &g.p, &g.d2);
        terms.push_back(alpha * std::clamp(inner_score(Inner::cosine, 0, g), -1.0, 1.0));
      }
      return exact_sum(terms.data(), static_cast<int64_t>(terms.size()));
    };
    const Wish wish(data, 1 + trial % 2);
    compare("learned", level, scan(family, wish.input), data, wish.input.k, score, wish.input.allowed, wish.input.excluded);
  }
}

// Rows in every dtype, in two runs, read as they are.
void check_rows() {
  Guarded<uint16_t> halves(65536);
  for (int i = 0; i < 65536; ++i) halves[i] = static_cast<uint16_t>(i);
  const Rows rows{halves.get(), 30000, halves.get() + 30000, 1, Type::float16}, wide{halves.get(), 65536, nullptr, 1, Type::bfloat16};
  for (int64_t i = 0; i < 65536; ++i) {
    double x, y;
    rows.read(i, &x), wide.read(i, &y);
    const int exponent = (i >> 10) & 31, fraction = i & 1023;
    const double sign = i >> 15 ? -1 : 1;
    if (exponent < 31) {
      const double wanted = sign * (exponent ? std::ldexp(1024 + fraction, exponent - 25) : std::ldexp(fraction, -24));
      CHECK(x == wanted && std::signbit(x) == std::signbit(wanted), "float16 %ld: %g, not %g", long(i), x, wanted);
    }
    const float bits = std::bit_cast<float>(static_cast<uint32_t>(i) << 16);
    CHECK(y == bits || std::isnan(bits), "bfloat16 %ld", long(i));
  }
}

// Points of a hierarchy stay in the ball and their losses fall; negatives of −1 are passed over.
void check_hierarchy() {
  for (const Space space : {Space::poincare, Space::euclidean})
    for (const int64_t dims : {1, 2, 5, 17}) {
      Guarded<double> points(7 * dims);
      for (int64_t i = 0; i < 7 * dims; ++i) points[i] = 1e-3 * std::sin(double(i + 1));
      Guarded<int64_t> below(6), above(6), negatives(12);
      for (int64_t i = 0; i < 6; ++i) below[i] = i + 1, above[i] = i / 2, negatives[2 * i] = -1, negatives[2 * i + 1] = (i + 4) % 7 == i + 1 ? -1 : (i + 4) % 7;
      double first = 0, last = 0;
      for (int pass = 0; pass < 50; ++pass) {
        last = hierarchy_pass(space, points.get(), dims, below.get(), above.get(), 6, negatives.get(), 2, 0.1, 1 - 1e-5);
        if (pass == 0) first = last;
      }
      CHECK(last < first, "hierarchy: loss %g after %g", last, first);
      for (int64_t i = 0; space == Space::poincare && i < 7; ++i) {
        double norm2 = 0;
        for (int64_t k = 0; k < dims; ++k) norm2 += points[i * dims + k] * points[i * dims + k];
        CHECK(norm2 < 1, "hierarchy: a norm of %g", std::sqrt(norm2));
      }
    }
}

}  // namespace

int main(int argc, char** argv) {
  const bool quick = argc > 1 && std::string(argv[1]) == "quick";
  check_rows();
  check_hierarchy();
  for (int i = 0; i < level_count(); ++i) {
    const Level& level = level_at(i);
    const int64_t before = checks;
    engine.seed(12345);
    check_integers(level, quick);
    check_sums(level);
    check_losses(level);
    check_logarithms(level);
    check_inner(level, quick);
    check_coordinate(level, quick);
    check_first_looks(level);
    check_learned(level, quick);
    std::printf("%s: %ld checks\n", level.name, long(checks - before));
    std::fflush(stdout);
  }
  std::printf("%ld checks, %ld failures\n", long(checks), long(failures));
  return failures ? 1 : 0;
}
