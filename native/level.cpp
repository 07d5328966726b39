// The kernels, compiled once for each instruction level (CMakeLists.txt sets the flags and KIYAS_LEVEL).
// Integer kernels use the level's vectors through the few wrappers in vectors.h; the rest are plain
// loops that the compiler turns into the level's instructions. No fast-math anywhere.
#include "level.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "exact_sum.h"
#include "products.h"
#include "vectors.h"

namespace kiyas {
namespace {

// ---- integer kernels --------------------------------------------------------------------------

#ifdef KIYAS_VECTORS

template <class Op>
inline void sums_four(const uint8_t* const row[4], const uint8_t* q, int64_t dims, const Op& op, int32_t* out) {
  V acc[4] = {zero(), zero(), zero(), zero()};
  int64_t i = 0;
  for (; i + kWidth <= dims; i += kWidth) {
    const V y = load(q + i);
    for (int r = 0; r < 4; ++r) acc[r] = op(acc[r], load(row[r] + i), y);
  }
  if (i < dims) {
    // The query is zero past its end; rows are made so, and |0-0| = max(0,0) = 0 adds nothing.
    const V mask = tail_mask(static_cast<int>(dims - i)), y = load(q + i);
    for (int r = 0; r < 4; ++r) acc[r] = op(acc[r], both(load(row[r] + i), mask), y);
  }
  reduce_four(acc[0], acc[1], acc[2], acc[3], out);
}

template <class Op>
void sums(const uint8_t* codes, int64_t stride, int rows, const uint8_t* q, int64_t dims, const Op& op, uint32_t* out) {
  for (int r = 0; r < rows; r += 4) {
    const uint8_t* row[4];
    for (int i = 0; i < 4; ++i) row[i] = codes + std::min(r + i, rows - 1) * stride;
    int32_t four[4];
    sums_four(row, q, dims, op, four);
    for (int i = 0; i < 4 && r + i < rows; ++i) out[r + i] = static_cast<uint32_t>(four[i]);
  }
}

// As `sums`, of high halves.
template <class Op>
void sums_high(const uint8_t* high, int64_t half, int rows, const uint8_t* q, const Op& op, uint32_t* out) {
  const V top = every(0xf0);
  const uint8_t* other = q + half + kSlack;
  for (int r = 0; r < rows; r += 4) {
    V acc[4] = {zero(), zero(), zero(), zero()};
    const uint8_t* row[4];
    for (int i = 0; i < 4; ++i) row[i] = high + std::min(r + i, rows - 1) * half;
    const auto step = [&](int64_t at, V mask) {
      const V y = load(q + at), z = load(other + at);
      for (int i = 0; i < 4; ++i) {
        const V x = both(load(row[i] + at), mask);
        acc[i] = op(op(acc[i], both(shift_left4(x), top), y), both(x, top), z);
      }
    };
    int64_t at = 0;
    for (; at + kWidth <= half; at += kWidth) step(at, every(0xff));
    if (at < half) step(at, tail_mask(static_cast<int>(half - at)));
    int32_t four[4];
    reduce_four(acc[0], acc[1], acc[2], acc[3], four);
    for (int i = 0; i < 4 && r + i < rows; ++i) out[r + i] = static_cast<uint32_t>(four[i]);
  }
}

inline V add_gaps(V acc, V x, V y) { return add32(acc, sad(x, y)); }

void l1(const uint8_t* codes, int64_t stride, int rows, const uint8_t* q, int64_t dims, uint32_t* out) {
  sums(codes, stride, rows, q, dims, [](V acc, V x, V y) { return add_gaps(acc, x, y); }, out);
}

void l1_high(const uint8_t* high, int64_t half, int rows, const uint8_t* q, uint32_t* out) {
  sums_high(high, half, rows, q, [](V acc, V x, V y) { return add_gaps(acc, x, y); }, out);
}

void maxima(const uint8_t* codes, int64_t stride, int rows, const uint8_t* q, int64_t dims, uint32_t* out) {
  sums(codes, stride, rows, q, dims, [](V acc, V x, V y) { return add32(acc, sad(larger(x, y), zero())); }, out);
}

// Σ 16·base[k>>4] + slope[k>>4]·(k&15), k = |x - y|.
struct Segments {
  V base, slope, low = every(15), sixteens = every(16);
  Segments(const uint8_t* b, const uint8_t* s) : base(table16(b)), slope(table16(s)) {}
  V operator()(V acc, V x, V y) const {
    const V k = gap(x, y), segment = both(shift_right4(k), low);
    return add_products(acc, lookup(base, segment), sixteens, lookup(slope, segment), both(k, low));
  }
};

void table(const uint8_t* codes, int64_t stride, int rows, const uint8_t* q, int64_t dims, const uint8_t* base,
           const uint8_t* slope, uint32_t* out) {
  sums(codes, stride, rows, q, dims, Segments(base, slope), out);
}

void table_high(const uint8_t* high, int64_t half, int rows, const uint8_t* q, const uint8_t* base, const uint8_t* slope,
                uint32_t* out) {
  sums_high(high, half, rows, q, Segments(base, slope), out);
}

void join(const uint8_t* high, const uint8_t* low, int64_t half, uint8_t* out) {
  const V top = every(0xf0), bottom = every(15);
  const auto step = [&](const uint8_t* h, const uint8_t* l, uint8_t* first, uint8_t* second) {
    const V x = load(h), y = load(l);
    store(first, either(both(shift_left4(x), top), both(y, bottom)));
    store(second, either(both(x, top), both(shift_right4(y), bottom)));
  };
  int64_t i = 0;
  for (; i + kWidth <= half; i += kWidth) step(high + i, low + i, out + i, out + half + i);
  if (i == half) return;
  uint8_t first[kWidth], second[kWidth];
  step(high + i, low + i, first, second);
  std::memcpy(out + i, first, half - i);
  std::memcpy(out + half + i, second, half - i);
}

#else  // plain loops: x86-64 baseline, ARM

template <class Op>
void sums(const uint8_t* codes, int64_t stride, int rows, const uint8_t* q, int64_t dims, const Op& op, uint32_t* out) {
  for (int i = 0; i < rows; ++i) {
    const uint8_t* x = codes + i * stride;
    uint32_t sum = 0;
    for (int64_t t = 0; t < dims; ++t) sum += op(x[t], q[t]);
    out[i] = sum;
  }
}

template <class Op>
void sums_high(const uint8_t* high, int64_t half, int rows, const uint8_t* q, const Op& op, uint32_t* out) {
  const uint8_t* other = q + half + kSlack;
  for (int r = 0; r < rows; ++r, high += half) {
    uint32_t sum = 0;
    for (int64_t i = 0; i < half; ++i) sum += op((high[i] & 15) << 4, q[i]) + op(high[i] & 0xf0, other[i]);
    out[r] = sum;
  }
}

inline uint32_t gap(int x, int y) { return static_cast<uint32_t>(x > y ? x - y : y - x); }

void l1(const uint8_t* codes, int64_t stride, int rows, const uint8_t* q, int64_t dims, uint32_t* out) {
  sums(codes, stride, rows, q, dims, gap, out);
}

void l1_high(const uint8_t* high, int64_t half, int rows, const uint8_t* q, uint32_t* out) {
  sums_high(high, half, rows, q, gap, out);
}

void maxima(const uint8_t* codes, int64_t stride, int rows, const uint8_t* q, int64_t dims, uint32_t* out) {
  sums(codes, stride, rows, q, dims, [](int x, int y) { return static_cast<uint32_t>(std::max(x, y)); }, out);
}

struct Segments {
  uint32_t value[256];
  Segments(const uint8_t* base, const uint8_t* slope) {
    for (uint32_t k = 0; k < 256; ++k) value[k] = 16u * base[k >> 4] + slope[k >> 4] * (k & 15);
  }
  uint32_t operator()(int x, int y) const { return value[gap(x, y)]; }
};

void table(const uint8_t* codes, int64_t stride, int rows, const uint8_t* q, int64_t dims, const uint8_t* base,
           const uint8_t* slope, uint32_t* out) {
  sums(codes, stride, rows, q, dims, Segments(base, slope), out);
}

void table_high(const uint8_t* high, int64_t half, int rows, const uint8_t* q, const uint8_t* base, const uint8_t* slope,
                uint32_t* out) {
  sums_high(high, half, rows, q, Segments(base, slope), out);
}

void join(const uint8_t* high, const uint8_t* low, int64_t half, uint8_t* out) {
  for (int64_t i = 0; i < half; ++i) {
    out[i] = static_cast<uint8_t>((high[i] & 15) << 4 | (low[i] & 15));
    out[half + i] = static_cast<uint8_t>((high[i] & 0xf0) | low[i] >> 4);
  }
}

#endif

// ---- the float32 filter of the inner family ----------------------------------------------------

// Comparisons are written so that NaN passes.
// Twice what logarithm() is off by, so that as much is left for rounded norms and thresholds.
constexpr float kLogMargin = 2e-5f;

// log y for normal y > 0, to 6e-6 and the rounding of its size, 1.3e-5 together: log2 of the mantissa by a polynomial.
inline float plain_logarithm(float y) {
  const auto bits = std::bit_cast<int32_t>(y);
  const auto exponent = static_cast<float>((bits >> 23) - 127);
  const float m = std::bit_cast<float>((bits & 0x007fffff) | 0x3f800000) - 1.0f;  // in [0, 1)
  const float l2 = m * (1.44268292f + m * (-0.72042615f + m * (0.46917397f + m * (-0.30303597f + m * (0.14603263f + m * -0.03443581f)))));
  return 0.69314718f * (exponent + l2);
}

// log1p(x) for x >= 0, to 1e-5 relative.
inline float logarithm(float x) {
  const float general = plain_logarithm(1.0f + x);
  const float small = x * (1.0f - x * (0.5f - x * 0.33333333f));
  return x < 0.03125f ? small : general;
}

// The rows with room: bit i for !(room[i] < 0).
template <int Rows>
inline uint64_t with_room(const float* room) {
  uint64_t mask = 0;
#if KIYAS_LEVEL >= 2
  for (int i = 0; i < Rows; i += 16)
    mask |= uint64_t{_mm512_cmp_ps_mask(_mm512_loadu_ps(room + i), _mm512_setzero_ps(), _CMP_NLT_UQ)} << i;
#elif KIYAS_LEVEL == 1
  for (int i = 0; i < Rows; i += 8) {
    const __m256 pass = _mm256_cmp_ps(_mm256_loadu_ps(room + i), _mm256_setzero_ps(), _CMP_NLT_UQ);
    mask |= static_cast<uint64_t>(_mm256_movemask_ps(pass)) << i;
  }
#else
  for (int i = 0; i < Rows; ++i) mask |= static_cast<uint64_t>(!(room[i] < 0)) << i;
#endif
  return mask;
}

// A block of rows by their upper bounds of p.
struct Bounded {
  const float* p;
  const float* norm;
  const float* factor;
};

// How far a row is from failing, room(i, b, p), over a whole block, to a mask of those that do not.
template <int Rows, class Room>
inline uint64_t verdicts(const Bounded& rows, const Room& room) {
  float left[Rows];
  for (int i = 0; i < Rows; ++i) left[i] = room(i, rows.norm[i], rows.p[i]);
  return with_room<Rows>(left);
}

// Passes where p reaches t·w(b), with `margin` the relative error of w.
template <int Rows, class Width>
inline uint64_t ratio_verdicts(const Bounded& rows, float t, float margin, const Width& width) {
  return verdicts<Rows>(rows, [&](int i, float b, float p) {
    const float wanted = t * width(i, b);
    return p - (wanted - margin * std::fabs(wanted));
  });
}

template <int Rows>
uint64_t reach(Inner kind, const Bounded& rows, const InnerQuery& query, double threshold) {
  // Not yet known, or beyond float32 (which holds its digits down to 1e-38 only).
  const double size = std::fabs(threshold);
  if (!(size < 1e30) || (size < 1e-30 && size > 0)) return ~uint64_t{0};
  const float t = static_cast<float>(threshold), a = query.norm, a2 = a * a;
  switch (kind) {
    case Inner::cosine:
      return ratio_verdicts<Rows>(rows, t, 2 * kMargin, [=](int, float b) { return a * b; });
    case Inner::dot:
      return ratio_verdicts<Rows>(rows, t, kMargin, [](int, float) { return 1.0f; });
    case Inner::ndd: {
      const float k2 = query.kappa * query.kappa, share = a / query.kappa;
      return ratio_verdicts<Rows>(rows, t, 2 * kMargin,
                            [=](int, float b) { return share * std::sqrt(0.5f * (k2 + b * b)); });
    }
    case Inner::log_scaled:
      // log(1 + ab) > log a + log b, and near it where ab is large; log b is good to 1.3e-5, the sum is above 3.
      if (t > 0 && rows.factor)
        return ratio_verdicts<Rows>(rows, t, kLogMargin, [=](int i, float) { return query.kappa + rows.factor[i]; });
      return ratio_verdicts<Rows>(rows, t, kLogMargin, [=](int, float b) { return logarithm(a * b); });
    case Inner::dice:
      return ratio_verdicts<Rows>(rows, t, 2 * kMargin, [=](int, float b) { return 0.5f * (a2 + b * b); });
    case Inner::tempered_cosine:
      return ratio_verdicts<Rows>(rows, t, 2 * kMargin, [=](int i, float) { return rows.factor[i]; });
    case Inner::hybrid:
      return verdicts<Rows>(rows, [=](int, float b, float p) {
        const float scale = a2 + b * b, slack = 4 * kMargin * scale;
        const float d2 = scale - 2 * p + (t > 0 ? -slack : slack);
        const float wanted = t * (1.0f + std::sqrt(std::max(d2, 0.0f)));
        return p - (wanted - kMargin * std::fabs(wanted));
      });
    case Inner::euclidean:
    case Inner::poincare: {
      // -d >= t, that is d² <= t²·v with v = 1, or (1-a²)(1-b²): kappa holds 1-a² here.
      const float d2 = t * t * (1 + 4 * kMargin);
      const float gap = kind == Inner::poincare ? query.kappa : 1.0f;
      const float* factor = rows.factor;
      if (t > 0) return 0;
      return verdicts<Rows>(rows, [=](int i, float b, float p) {
        const float reach = factor ? d2 * (gap * factor[i]) : d2;
        const float scale = a2 + b * b;
        return 2 * p + reach - (scale - 4 * kMargin * (scale + reach));
      });
    }
  }
  return ~uint64_t{0};
}

// The verdict loops take so many rows: fewer are filled up with copies that end before they do.
template <int Rows>
uint64_t filled_reach(Inner kind, const float* bounds, const float* norms, const float* factors, int count,
                      const InnerQuery& query, double threshold) {
  float p[Rows] = {}, norm[Rows] = {}, factor[Rows] = {};
  std::copy_n(bounds, count, p);
  std::copy_n(norms, count, norm);
  if (factors) std::copy_n(factors, count, factor);
  return reach<Rows>(kind, {p, norm, factors ? factor : nullptr}, query, threshold);
}

uint64_t inner_reach(Inner kind, const float* p, const float* norm, const float* factor, int rows,
                     const InnerQuery& query, double threshold) {
  if (rows == kBlock) return reach<kBlock>(kind, {p, norm, factor}, query, threshold);
  if (rows > 16) return filled_reach<kBlock>(kind, p, norm, factor, rows, query, threshold);
  return filled_reach<16>(kind, p, norm, factor, rows, query, threshold);
}

void logarithms(const float* x, int count, float* out) {
  for (int i = 0; i < count; ++i) out[i] = plain_logarithm(x[i]);
}

template <class Count>
inline void upper_bounds(const InnerBlock& block, const InnerQuery& query, const int32_t* dots, Count count, float* p) {
  const float own = query.residual + kMargin * query.norm, both_parts = query.residual + query.head;
  for (int i = 0; i < count; ++i) {
    const float dot = block.scale[i] * (query.step * static_cast<float>(dots[i] - query.shift));
    p[i] = dot + (own * block.norm[i] + both_parts * block.residual[i] + query.rest * block.rest[i]);
  }
}

void inner_upper(const InnerBlock& block, const InnerQuery& query, const int32_t* dots, float* p) {
  upper_bounds(block, query, dots, block.rows, p);
}

uint64_t inner_filter(Inner kind, const InnerBlock& block, const InnerQuery& query, const int32_t* dots,
                      double threshold) {
  float p[kBlock];
  if (block.rows == kBlock) {
    upper_bounds(block, query, dots, std::integral_constant<int, kBlock>{}, p);
    return reach<kBlock>(kind, {p, block.norm, block.factor}, query, threshold);
  }
  upper_bounds(block, query, dots, block.rows, p);
  return inner_reach(kind, p, block.norm, block.factor, block.rows, query, threshold);
}

// ---- turned rows --------------------------------------------------------------------------------

// Rows × width columns at a time, which fit the registers; a single row takes more columns, so that the matrix is read
// along its lines and no sum waits for the one before.
template <int Rows, int64_t Width>
void turn_rows(const float* const* x, const float* m, int64_t dims, double* const* out) {
  for (int64_t column = 0; column < dims; column += Width) {
    const int64_t columns = std::min(Width, dims - column);
    double sum[Rows][Width] = {};
    for (int64_t part = 0; part < dims; part += kTurnPart) {
      float short_sum[Rows][Width] = {};
      const int64_t end = std::min(dims, part + kTurnPart);
      if (columns == Width) {
        for (int64_t i = part; i < end; ++i)
          for (int r = 0; r < Rows; ++r)
            for (int64_t j = 0; j < Width; ++j) short_sum[r][j] += x[r][i] * m[i * dims + column + j];
      } else {
        for (int64_t i = part; i < end; ++i)
          for (int r = 0; r < Rows; ++r)
            for (int64_t j = 0; j < columns; ++j) short_sum[r][j] += x[r][i] * m[i * dims + column + j];
      }
      for (int r = 0; r < Rows; ++r)
        for (int64_t j = 0; j < Width; ++j) sum[r][j] += short_sum[r][j];
    }
    for (int r = 0; r < Rows; ++r)
      for (int64_t j = 0; j < columns; ++j) out[r][column + j] = sum[r][j];
  }
}

void turn(const float* const x[4], int rows, const float* m, int64_t dims, double* const out[4]) {
  if (rows == 4) {
    turn_rows<4, 16>(x, m, dims, out);
  } else {
    for (int r = 0; r < rows; ++r) turn_rows<1, 64>(x + r, m, dims, out + r);
  }
}

// ---- exact sums --------------------------------------------------------------------------------

constexpr int kLanes = 8;
constexpr double kUnit = 0x1p-53;

// Compensated sums in independent lanes. `spread` is Σ|term|; an error bound of 4·n²·u²·spread holds for
// hi + lo (Ogita, Rump & Oishi 2005), so the rounding is checked and the few doubtful sums are redone.
struct Compensated {
  double hi[kLanes] = {}, lo[kLanes] = {}, spread[kLanes] = {};

  bool round(int64_t count, double& result) const {
    double h = 0, l = 0, s = 0, e;
    for (int i = 0; i < kLanes; ++i) {
      two_sum(h, hi[i], h, e);
      l += e + lo[i];
      s += spread[i];
    }
    const double n = static_cast<double>(count + 2 * kLanes);
    return rounds_alike(h, l, 4 * n * n * kUnit * kUnit * s, result);
  }
};

inline void add_term(Compensated& sum, int lane, double term) {
  double s, e;
  two_sum(sum.hi[lane], term, s, e);
  sum.hi[lane] = s;
  sum.lo[lane] += e;
  sum.spread[lane] += std::fabs(term);
}

double exact_sum_of(const double* q, const double* x, int64_t dims, int what) {
  std::vector<double> terms;
  for (int64_t i = 0; i < dims; ++i) {
    const double gap = q[i] - x[i];
    if (what == 0) {
      const double m = q[i] * x[i];
      terms.push_back(m);
      terms.push_back(std::fma(q[i], x[i], -m));
    } else {
      terms.push_back(what == 1 ? gap * gap : std::fabs(gap));
    }
  }
  return exact_sum(terms.data(), static_cast<int64_t>(terms.size()));
}

template <bool Exact>
void gram_lanes(const double* q, const double* x, int64_t dims, double* p, double* d2) {
  Compensated ps, ds;
  int64_t i = 0;
  for (; i + kLanes <= dims; i += kLanes)
    for (int l = 0; l < kLanes; ++l) {
      const double a = q[i + l], b = x[i + l], m = a * b, gap = a - b;
      add_term(ps, l, m);
      if constexpr (!Exact) ps.lo[l] += std::fma(a, b, -m);
      add_term(ds, l, gap * gap);
    }
  for (; i < dims; ++i) {
    const double m = q[i] * x[i], gap = q[i] - x[i];
    add_term(ps, 0, m);
    if constexpr (!Exact) ps.lo[0] += std::fma(q[i], x[i], -m);
    add_term(ds, 0, gap * gap);
  }
  if (!ps.round(dims, *p)) *p = exact_sum_of(q, x, dims, 0);
  if (!ds.round(dims, *d2)) *d2 = exact_sum_of(q, x, dims, 1);
}

void gram(const double* q, const double* x, int64_t dims, bool exact, double* p, double* d2) {
  exact ? gram_lanes<true>(q, x, dims, p, d2) : gram_lanes<false>(q, x, dims, p, d2);
}

double l1_sum(const double* q, const double* x, int64_t dims) {
  Compensated sum;
  int64_t i = 0;
  for (; i + kLanes <= dims; i += kLanes)
    for (int l = 0; l < kLanes; ++l) add_term(sum, l, std::fabs(q[i + l] - x[i + l]));
  for (; i < dims; ++i) add_term(sum, 0, std::fabs(q[i] - x[i]));
  double result;
  return sum.round(dims, result) ? result : exact_sum_of(q, x, dims, 2);
}

double sum_terms(const double* terms, int64_t count) {
  Compensated sum;
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (int l = 0; l < kLanes; ++l) add_term(sum, l, terms[i + l]);
  for (; i < count; ++i) add_term(sum, 0, terms[i]);
  double result;
  return sum.round(count, result) ? result : exact_sum(terms, count);
}

// ---- exponentials and losses -------------------------------------------------------------------

// Rounds to the nearest integer by adding 1.5·2^52 (2^23): the integer is then in the low bits.
template <class T>
constexpr T kRound = sizeof(T) == 8 ? static_cast<T>(0x1.8p52) : static_cast<T>(0x1.8p23);

// e^-x = 2^-n · e^r with n = round(x/ln 2), r = n·ln 2 - x in [-0.35, 0.35]; Taylor in r. Two powers of two,
// so that results below the normal range are reached by one rounding.
inline double exp_negative(double x) {
  x = x < 760.0 ? x : 760.0;
  const double shifted = x * 0x1.71547652b82fep0 + kRound<double>;
  const double n = shifted - kRound<double>;
  const double r = (n * 0x1.62e42fefa3800p-1 - x) + n * 0x1.ef35793c76730p-45;
  double p = 1.0 / 6227020800.0;
  p = p * r + 1.0 / 479001600.0;
  p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  p = p * r + 0.5;
  p = (p * r) * r + r;
  const uint64_t whole = std::bit_cast<uint64_t>(shifted) & 0x7ff, half = whole >> 1;
  const double first = std::bit_cast<double>((1023 - half) << 52);
  const double second = std::bit_cast<double>((1023 - (whole - half)) << 52);
  return (first + first * p) * second;
}

inline float exp_negative(float x) {
  x = x < 87.0f ? x : 87.0f;
  const float shifted = x * 1.44269504f + kRound<float>;
  const float n = shifted - kRound<float>;
  const float r = (n * 0.693145752f - x) + n * 1.42860677e-6f;
  float p = 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = (p * r) * r + r;
  const float scale = std::bit_cast<float>((127 - (std::bit_cast<uint32_t>(shifted) & 0xff)) << 23);
  return scale + scale * p;
}

void exponentials(const double* x, int64_t count, double* out) {
  for (int64_t i = 0; i < count; ++i) out[i] = exp_negative(x[i]);
}

template <class T, Loss kind, bool scaled, bool weighted>
T losses(const T* x, const T* q, const T* inverse, const T* weight, int64_t dims, T cap) {
  constexpr int lanes = 64 / sizeof(T);
  T sum[lanes] = {};
  const auto loss = [&](int64_t i) {
    T gap = std::fabs(x[i] - q[i]);
    if constexpr (scaled) gap *= inverse[i];
    if constexpr (kind == Loss::clipped) gap = gap < 1 ? gap : 1;
    if constexpr (kind == Loss::exponential) gap = 1 - exp_negative(gap);
    gap = gap < cap ? gap : cap;
    if constexpr (weighted) gap *= weight[i];
    return gap;
  };
  int64_t i = 0;
  for (; i + lanes <= dims; i += lanes)
    for (int l = 0; l < lanes; ++l) sum[l] += loss(i + l);
  T total = 0;
  for (; i < dims; ++i) total += loss(i);
  for (T s : sum) total += s;
  return total;
}

template <class T, Loss kind>
T loss_of(const T* x, const T* q, const T* inverse, const T* weight, int64_t dims, T cap) {
  if (inverse) return weight ? losses<T, kind, true, true>(x, q, inverse, weight, dims, cap)
                             : losses<T, kind, true, false>(x, q, inverse, weight, dims, cap);
  return weight ? losses<T, kind, false, true>(x, q, inverse, weight, dims, cap)
                : losses<T, kind, false, false>(x, q, inverse, weight, dims, cap);
}

template <class T>
T loss_sum(Loss kind, const T* x, const T* q, const T* inverse, const T* weight, int64_t dims, T cap) {
  switch (kind) {
    case Loss::linear: return loss_of<T, Loss::linear>(x, q, inverse, weight, dims, cap);
    case Loss::clipped: return loss_of<T, Loss::clipped>(x, q, inverse, weight, dims, cap);
    case Loss::exponential: return loss_of<T, Loss::exponential>(x, q, inverse, weight, dims, cap);
  }
  return 0;
}

float code_dot(const uint8_t* codes, const float* q, int64_t dims) {
  constexpr int lanes = 32;
  float lane[lanes] = {};
  int64_t i = 0;
  for (; i + lanes <= dims; i += lanes)
    for (int l = 0; l < lanes; ++l) lane[l] += static_cast<float>(static_cast<int>(codes[i + l]) - 128) * q[i + l];
  float sum = 0;
  for (; i < dims; ++i) sum += static_cast<float>(static_cast<int>(codes[i]) - 128) * q[i];
  for (float v : lane) sum += v;
  return sum;
}

#define KIYAS_TEXT(x) #x
#define KIYAS_NAME(x) KIYAS_TEXT(x)
#define KIYAS_JOIN(a, b) a##b
#define KIYAS_SYMBOL(name) KIYAS_JOIN(level_, name)

}  // namespace

extern const Level KIYAS_SYMBOL(KIYAS_LEVEL_NAME);
const Level KIYAS_SYMBOL(KIYAS_LEVEL_NAME) = {
    KIYAS_NAME(KIYAS_LEVEL_NAME), kQueryLimit, kDotStep, dots, dot, l1, maxima, table, l1_high, table_high, join, inner_filter, inner_upper, inner_reach, logarithms, turn, gram, l1_sum, sum_terms, exponentials, loss_sum<float>, loss_sum<double>, code_dot};

}  // namespace kiyas
