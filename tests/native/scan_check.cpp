// Whole scans at every level this machine runs, against brute force. Arrays of codes carry exactly kSlack bytes, so that
// AddressSanitizer sees a read beyond them. Exits 1 on a failure.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "check.h"
#include "coordinate.h"
#include "exact_sum.h"
#include "function.h"
#include "inner.h"
#include "learned.h"
#include "scan.h"
#include "scan_data.h"

using namespace kiyas;

namespace {

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

}  // namespace

int main(int argc, char** argv) {
  const bool quick = argc > 1 && std::string(argv[1]) == "quick";
  for (int i = 0; i < level_count(); ++i) {
    const Level& level = level_at(i);
    const int64_t before = checks;
    engine.seed(12345);
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
