#include "inner.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "parallel.h"

namespace kiyas {
namespace {

// Norms whose squares and products stay well inside float32.
constexpr double kLeast = 1e-15, kMost = 1e15;
// Relative to ab (and a² + b²): more than all double roundings of a bound and of the final formula together.
constexpr double kSlackP = 1e-12;
// Bytes from four dimensions of a row's head to its next four.
constexpr int64_t kHeadApart = 4 * kGroup;

float round_up(double x) { return std::nextafter(static_cast<float>(x), std::numeric_limits<float>::infinity()); }

bool uses_distance(Inner kind) {
  return kind == Inner::euclidean || kind == Inner::hybrid || kind == Inner::poincare;
}

// Codes of one part of a row, and the norm of what they leave out. Four at a time lie together, `apart` bytes from
// the four before.
double encode_part(const double* x, int64_t dims, uint8_t* codes, int64_t apart, float& scale) {
  double largest = 0, left = 0;
  for (int64_t i = 0; i < dims; ++i) largest = std::max(largest, std::fabs(x[i]));
  scale = static_cast<float>(largest / 127);
  // Beyond float32 no step: all of the part is left out.
  const double step = scale > 0 ? static_cast<double>(scale) : 0.0;
  for (int64_t i = 0; i < dims; ++i) {
    const double c = step > 0 ? std::clamp(std::nearbyint(x[i] / step), -127.0, 127.0) : 0.0;
    codes[i / 4 * apart + i % 4] = static_cast<uint8_t>(static_cast<int>(c) + 128);
    const double e = x[i] - step * c;
    left += e * e;
  }
  return std::sqrt(left) * (1 + 1e-9);
}

double length(const double* x, int64_t dims) {
  double sum = 0;
  for (int64_t i = 0; i < dims; ++i) sum += x[i] * x[i];
  return std::sqrt(sum) * (1 + 1e-9);
}

void encode_row(const double* x, int64_t row, const InnerCodes& out) {
  const double norm = std::sqrt(out.norm2[row]);
  uint8_t* head = out.group(row) + InnerCodes::place(row);
  uint8_t* tail = out.tail + row * out.tail_dims;
  if (!(norm >= kLeast && norm <= kMost)) {
    for (int64_t i = 0; i < out.head_dims; ++i) head[i / 4 * kHeadApart + i % 4] = 128;
    if (out.tail_dims) std::fill(tail, tail + out.tail_dims, uint8_t{128});
    out.scale[row] = out.tail_scale[row] = out.rest[row] = 0;
    out.residual[row] = norm == 0 ? 0.0f : std::numeric_limits<float>::infinity();
    return;
  }
  const double off = out.turned * norm;
  out.residual[row] = round_up(encode_part(x, out.head_dims, head, kHeadApart, out.scale[row]) + off);
  out.rest[row] = out.tail_scale[row] = 0;
  if (out.tail_dims == 0) return;
  encode_part(x + out.head_dims, out.tail_dims, tail, 4, out.tail_scale[row]);
  out.rest[row] = round_up(length(x + out.head_dims, out.tail_dims) + off);
}

void turn_four(const Level& level, const float* turn, int64_t dims, const double* x, int rows, float* narrow,
               double* out) {
  const float* in[4];
  double* to[4];
  for (int r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < dims; ++i) narrow[r * dims + i] = static_cast<float>(x[r * dims + i]);
    in[r] = narrow + r * dims;
    to[r] = out + r * dims;
  }
  level.turn(in, rows, turn, dims, to);
}

// Codes of one part of a query, its step and shift; returns the norm of what they leave out. Beyond float32 the
// codes stay zero and all of the query is left out.
double code_query(const double* q, int64_t dims, double limit, bool trusted, int8_t* codes, InnerQuery& out) {
  double largest = 0, left = 0;
  for (int64_t i = 0; i < dims; ++i) largest = std::max(largest, std::fabs(q[i]));
  out.step = trusted ? static_cast<float>(largest / limit) : 0.0f;
  const double step = out.step;
  int32_t total = 0;
  for (int64_t i = 0; i < dims; ++i) {
    const double c = step > 0 ? std::clamp(std::nearbyint(q[i] / step), -limit, limit) : 0.0;
    codes[i] = static_cast<int8_t>(c);
    total += static_cast<int32_t>(c);
    const double e = q[i] - step * c;
    left += e * e;
  }
  out.shift = 128 * total;
  return std::sqrt(left) * (1 + 1e-9);
}

// ‖x‖ in float32, rounded up by more than its three roundings; of norms whose square float32 does not hold, which pass
// by their residual, 0 or infinity.
float norm_up(double norm2) { return std::sqrt(static_cast<float>(norm2)) * (1 + 0x1p-22f); }

// What a bound may be off by, relative to ab: double roundings, and the error of the turned query.
double slack_of(const InnerCodes& codes) { return kSlackP + 1.01 * codes.turned; }

}  // namespace

void row_norms2(const Level& level, const Rows& rows, int64_t begin, int64_t end, double* out, int threads) {
  parallel(end - begin, 256, threads, [&](int, int64_t from, int64_t to) {
    std::vector<double> x(rows.dims);
    double unused;
    for (int64_t j = from; j < to; ++j) {
      rows.read(begin + j, x.data());
      level.gram(x.data(), x.data(), rows.dims, rows.exact_products(), &out[j], &unused);
    }
  });
}

void encode_inner(const Level& level, const Rows& rows, int64_t begin, int64_t end, const InnerCodes& out,
                  int threads) {
  const int64_t d = rows.dims;
  parallel(end - begin, 256, threads, [&](int, int64_t from, int64_t to) {
    std::vector<double> x(4 * d), turned(out.turn ? 4 * d : 0);
    std::vector<float> narrow(out.turn ? 4 * d : 0);
    for (int64_t j = begin + from; j < begin + to; j += 4) {
      const int n = static_cast<int>(std::min<int64_t>(4, begin + to - j));
      for (int r = 0; r < n; ++r) rows.read(j + r, x.data() + r * d);
      if (out.turn) turn_four(level, out.turn, d, x.data(), n, narrow.data(), turned.data());
      const double* from_row = out.turn ? turned.data() : x.data();
      for (int r = 0; r < n; ++r) encode_row(from_row + r * d, j + r, out);
    }
  });
}

void turn_vectors(const Level& level, const float* turn, int64_t dims, const double* vectors, int64_t count,
                  double* out, int threads) {
  parallel(count, 16, threads, [&](int, int64_t from, int64_t to) {
    std::vector<float> narrow(4 * dims);
    for (int64_t j = from; j < to; j += 4)
      turn_four(level, turn, dims, vectors + j * dims, static_cast<int>(std::min<int64_t>(4, to - j)), narrow.data(),
                out + j * dims);
  });
}

InnerQueries::InnerQueries(const Level& level, const InnerCodes& codes, const double* queries, const double* norm2,
                           int count)
    : dims_(codes.head_dims + codes.tail_dims),
      stride_(codes.steps() * 4),
      tail_padded_((codes.tail_dims + level.dot_step - 1) / level.dot_step * level.dot_step),
      tail_stride_(tail_padded_ + kSlack),
      norm2_(norm2),
      values_(static_cast<size_t>(dims_) * count),
      codes_(static_cast<size_t>(stride_) * count, 0),
      tail_codes_(codes.tail_dims ? static_cast<size_t>(tail_stride_) * count : 0, 0),
      query_(count),
      tail_(count),
      head_(count),
      rest_(count),
      trusted_(count) {
  const double limit = level.query_limit;
  const int64_t dims = dims_, head_dims = codes.head_dims;
  for (int j = 0; j < count; ++j) {
    const double* q = queries + j * dims;
    const double norm = std::sqrt(norm2[j]);
    trusted_[j] = norm == 0 || (norm >= kLeast && norm <= kMost);
    InnerQuery& out = query_[j];
    if (trusted_[j]) std::transform(q, q + dims, values_.begin() + j * dims, [](double v) { return static_cast<float>(v); });
    const double left = code_query(q, head_dims, limit, trusted_[j], codes_.data() + j * stride_, out);
    const double off = codes.turned * norm;
    head_[j] = dims == head_dims ? norm * (1 + 1e-15) : length(q, head_dims) + off;
    rest_[j] = dims == head_dims ? 0 : length(q + head_dims, dims - head_dims) + off;
    out.residual = round_up(left + off);
    if (dims > head_dims) {
      const double rest = code_query(q + head_dims, dims - head_dims, limit, trusted_[j],
                                     tail_codes_.data() + j * tail_stride_, tail_[j]);
      tail_[j].residual = round_up(rest + off);
    }
    out.head = round_up(head_[j]);
    out.rest = rest_[j] == 0 ? 0.0f : round_up(rest_[j]);
    out.norm = norm == 0 ? 0.0f : round_up(norm * (1 + 1e-15));
    out.kappa = out.norm;
  }
}

Interval inner_product(const Level& level, const InnerCodes& codes, const InnerQueries& queries, int query,
                       int64_t row, bool distance) {
  const double a2 = queries.norm2(query), b2 = codes.norm2[row], a = std::sqrt(a2), b = std::sqrt(b2);
  if (a == 0 || b == 0) return {0, 0};
  // Cauchy–Schwarz owes nothing to the turn: its end is off by double roundings alone.
  const double slack = slack_of(codes), most = product_end(a2, b2) * (1 + kSlackP);
  if (!queries.trusted(query)) return {-most, most};
  const int64_t h = codes.head_dims, t = codes.tail_dims;
  const double r = codes.residual[row];
  // What the codes leave out, and how the sums over them round.
  double p = 0, error = queries.head(query) * (r + code_dot_error(h) * (b + r)) * (1 + 1e-7);
  if (codes.scale[row] != 0) {
    thread_local std::vector<uint8_t> head;
    const int64_t steps = codes.steps();
    head.resize(steps * 4);
    uint8_t* to = head.data();
    const uint8_t* from = codes.group(row) + InnerCodes::place(row);
    for (int64_t s = 0; s < steps; ++s) std::memcpy(to + 4 * s, from + s * kHeadApart, 4);
    p = static_cast<double>(codes.scale[row]) * level.code_dot(to, queries.values(query), h);
  }
  if (codes.tail_scale[row] != 0) {
    const double step = codes.tail_scale[row];
    p += step * level.code_dot(codes.tail + row * t, queries.values(query) + h, t);
    // Half a step a dimension at most; the true norm is not stored for the tail.
    const double off = step / 2 * std::sqrt(static_cast<double>(t)) * (1 + 1e-6) + codes.turned * b;
    error += queries.rest(query) * (off + code_dot_error(t) * (b + off));
  } else {
    error += queries.rest(query) * static_cast<double>(codes.rest[row]);
  }
  error += slack * (a * b + (distance ? a2 + b2 : 0.0));
  return {std::max(p - error, -most), std::min(p + error, most)};
}

void head_products(const InnerCodes& codes, const InnerQueries& queries, int query, int64_t start, int rows,
                   const int32_t* dots, Interval* out) {
  const InnerQuery& q = queries.query(query);
  const double a2 = queries.norm2(query), a = std::sqrt(a2), head = queries.head(query), rest = queries.rest(query);
  for (int i = 0; i < rows; ++i) {
    const double b2 = codes.norm2[start + i], b = std::sqrt(b2), r = codes.residual[start + i];
    const double most = product_end(a2, b2) * kPastEnd;
    const double p = static_cast<double>(codes.scale[start + i]) * (q.step * static_cast<double>(dots[i] - q.shift));
    // The float32 product step·dots is good to three roundings of ab and more.
    const double error = q.residual * (b + r) + head * r + rest * codes.rest[start + i] + 1e-6 * (a * b);
    // Infinite and undefined bounds end there too.
    out[i] = {p - error > -most ? p - error : -most, p + error < most ? p + error : most};
  }
}

InnerBlock block_of(const InnerCodes& codes, int64_t start, int rows, Looks& looks) {
  if (looks.start != start) {
    for (int i = 0; i < rows; ++i) looks.norms[i] = norm_up(codes.norm2[start + i]);
    looks.start = start;
  }
  return {codes.scale + start, codes.residual + start, codes.rest + start, looks.norms, nullptr, rows};
}

void prefetch_tail(const InnerCodes& codes, int64_t row) {
  if (codes.tail_dims == 0) return;
  __builtin_prefetch(codes.tail_scale + row);
  const uint8_t* tail = codes.tail + row * codes.tail_dims;
  for (int64_t i = 0; i < codes.tail_dims; i += 64) __builtin_prefetch(tail + i);
}

int second_bounds(const Level& level, const InnerCodes& codes, const InnerQueries& queries, int query, int j,
                  int64_t start, uint64_t mask, const Looks& looks, float* p, float* norm) {
  const InnerQuery &q = queries.query(query), &t = queries.tail(query);
  const int64_t dims = codes.tail_dims, padded = queries.tail_padded();
  const int8_t* tail_codes = queries.tail_codes(query);
  const int32_t* heads = looks.products + j * kBlock;
  const double half = std::sqrt(static_cast<double>(dims)) / 2 * (1 + 1e-6);
  const double head = queries.head(query), rest = queries.rest(query), slack = slack_of(codes) + 1e-9 + kMargin;
  const double left = q.residual, left_tail = t.residual, spare = slack * q.norm, step_q = q.step, step_t = t.step;
  const int32_t shift = q.shift, shift_tail = t.shift;
  const float *scale = codes.scale + start, *tail_scale = codes.tail_scale + start, *residual = codes.residual + start,
              *rests = codes.rest + start;
  const double turned = codes.turned;
  int count = 0;
  for (; mask; mask &= mask - 1, ++count) {
    const int i = std::countr_zero(mask);
    const double b = looks.norms[i], r = residual[i], step = tail_scale[i], own_rest = rests[i];
    const int32_t tail = level.dot(codes.tail + (start + i) * dims, tail_codes, padded);
    const double product = scale[i] * step_q * (heads[i] - shift) + step * step_t * (tail - shift_tail);
    // Half a step a dimension at most; the true norm is not stored for the tail.
    const double off = step > 0 ? step * half + turned * b : own_rest;
    const double error = left * (b + r) + head * r + left_tail * (own_rest + off) + rest * off;
    p[count] = static_cast<float>(product + error + spare * b);
    norm[count] = looks.norms[i];
  }
  return count;
}

InnerFamily::InnerFamily(const Level& level, Inner kind, double parameter, const InnerCodes& codes, const float* factor,
                         const double* queries, const double* norm2, int count)
    : level_(level),
      kind_(kind),
      parameter_(parameter),
      codes_(codes),
      factor_(factor),
      queries_(level, codes, queries, norm2, count) {
  for (int j = 0; j < count; ++j) {
    const double length = std::sqrt(norm2[j]);
    if (kind == Inner::ndd && parameter > 0) queries_.query(j).kappa = static_cast<float>(parameter);
    if (kind == Inner::log_scaled) queries_.query(j).kappa = static_cast<float>(std::log(length));
    if (kind == Inner::poincare) queries_.query(j).kappa = round_up((1 - length) * (1 + length));
  }
}

const float* InnerFamily::factors(int64_t start, int query, const Looks& looks) const {
  if (kind_ != Inner::log_scaled) return factor_ ? factor_ + start : nullptr;
  return queries_.query(query).kappa + looks.least_log > 3 ? looks.logs : nullptr;
}

void InnerFamily::filter(int64_t start, int rows, int first, int count, const double* thresholds, uint64_t* masks,
                         Looks& looks) const {
  level_.dots(codes_.group(start), codes_.steps(), rows, queries_.codes(first), queries_.stride(), count,
              looks.products);
  const bool fresh = looks.start != start;
  InnerBlock block = block_of(codes_, start, rows, looks);
  if (kind_ == Inner::log_scaled && fresh) {
    level_.logarithms(looks.norms, rows, looks.logs);
    looks.least_log = *std::min_element(looks.logs, looks.logs + rows);
  }
  for (int j = 0; j < count; ++j) {
    masks[j] = ~uint64_t{0};
    if (!queries_.trusted(first + j)) continue;
    block.factor = factors(start, first + j, looks);
    masks[j] = level_.inner_filter(kind_, block, queries_.query(first + j), looks.products + j * kBlock, thresholds[j]);
  }
}

uint64_t InnerFamily::refine(int64_t start, int first, int j, double threshold, uint64_t mask,
                             Looks& looks) const {
  const int query = first + j;
  // What the head let through, most of it for want of the tail.
  if (codes_.tail_dims == 0 || !queries_.trusted(query)) return mask;
  float p[kBlock], norms[kBlock], chosen[kBlock];
  const int count = second_bounds(level_, codes_, queries_, query, j, start, mask, looks, p, norms);
  const float* factor = factors(start, query, looks);
  if (factor) {
    int at = 0;
    for (uint64_t left = mask; left; left &= left - 1) chosen[at++] = factor[std::countr_zero(left)];
  }
  return spread(level_.inner_reach(kind_, p, norms, factor ? chosen : nullptr, count, queries_.query(query), threshold),
                mask);
}

void InnerFamily::cosines(int query, int64_t start, int rows, Interval* out) const {
  int32_t dots[kBlock];
  level_.dots(codes_.group(start), codes_.steps(), rows, queries_.codes(query), queries_.stride(), 1, dots);
  head_products(codes_, queries_, query, start, rows, dots, out);
  const double a = std::sqrt(queries_.norm2(query));
  for (int i = 0; i < rows; ++i) {
    const double size = a * std::sqrt(codes_.norm2[start + i]);
    out[i] = size > 0 ? Interval{out[i].low / size - 1e-9, out[i].high / size + 1e-9} : Interval{0, 0};
  }
}

double InnerFamily::surrogate(double p, double a2, double b2) const {
  const double a = std::sqrt(a2), b = std::sqrt(b2);
  switch (kind_) {
    case Inner::cosine: return a * b > 0 ? p / (a * b) : 0;
    case Inner::dot: return p;
    case Inner::euclidean: return -std::sqrt(std::max(0.0, a2 + b2 - 2 * p));
    case Inner::ndd: {
      const double k2 = parameter_ > 0 ? parameter_ * parameter_ : a2;
      const double width = std::sqrt((k2 + b2) / 2), own = parameter_ > 0 ? (a > 0 ? p / a * parameter_ : 0) : p;
      return width > 0 ? own / width : 0;
    }
    case Inner::log_scaled: return a * b > 0 ? p / std::log1p(a * b) : 0;
    case Inner::hybrid: return p / (1 + std::sqrt(std::max(0.0, a2 + b2 - 2 * p)));
    case Inner::dice: return a2 + b2 > 0 ? 2 * p / (a2 + b2) : 0;
    case Inner::tempered_cosine: return b2 > 0 ? p / std::pow(b2, parameter_ / 2) : 0;
    case Inner::poincare: {
      const double gap = (1 - a) * (1 + a) * ((1 - b) * (1 + b));
      return -std::sqrt(std::max(0.0, a2 + b2 - 2 * p) / gap);
    }
  }
  return 0;
}

Interval InnerFamily::bounds(int query, int64_t row, double) const {
  const double a2 = queries_.norm2(query), b2 = codes_.norm2[row];
  const Interval p = inner_product(level_, codes_, queries_, query, row, uses_distance(kind_));
  Interval s{surrogate(p.low, a2, b2), surrogate(p.high, a2, b2)};
  if (kind_ == Inner::euclidean || kind_ == Inner::poincare) {
    // 1/(1+d) rounds to the same double for many small d: rows that tie so must all survive.
    s.low -= kSlackP * (1 - s.low);
    s.high = std::min(0.0, s.high + kSlackP * (1 - s.high));
  }
  // A quotient that overflowed bounds nothing.
  const double infinity = std::numeric_limits<double>::infinity();
  return {std::isnan(s.low) ? -infinity : s.low, std::isnan(s.high) ? infinity : s.high};
}

}  // namespace kiyas
