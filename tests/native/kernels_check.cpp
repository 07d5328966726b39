// Every kernel of every level this machine runs, against scalar references. Arrays of codes carry exactly kSlack bytes,
// so that AddressSanitizer sees a read beyond them. Exits 1 on a failure.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "check.h"
#include "coordinate.h"
#include "exact_sum.h"
#include "hierarchy.h"
#include "raw.h"
#include "rescore.h"
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
    std::printf("%s: %ld checks\n", level.name, long(checks - before));
    std::fflush(stdout);
  }
  std::printf("%ld checks, %ld failures\n", long(checks), long(failures));
  return failures ? 1 : 0;
}
