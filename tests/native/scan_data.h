// Rows and queries made to break bounds, coded as the library codes them, and what a scan of them has to find.
#pragma once
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "check.h"
#include "inner.h"
#include "rows.h"
#include "scan.h"

using namespace kiyas;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Data {
  int64_t rows, dims;
  std::vector<float> x;
  std::vector<double> wide, queries, norm2;
  int count;
  Rows view() const { return {x.data(), rows, nullptr, dims, Type::float32}; }
  const double* row(int64_t i) const { return wide.data() + i * dims; }
  const double* query(int j) const { return queries.data() + j * dims; }
};

// kind: 0 benign, 1 norms over many powers of ten, 2 near ties, 3 duplicates and zeros, 4 far from the origin,
// 5 in the unit ball.
Data make_data(const Level& level, int kind, int64_t rows, int64_t dims, int count) {
  Data data{rows, dims, std::vector<float>(static_cast<size_t>(rows * dims)), {}, {}, std::vector<double>(static_cast<size_t>(count)), count};
  std::vector<double> centre(static_cast<size_t>(dims));
  for (double& c : centre) c = normal();
  for (int64_t r = 0; r < rows; ++r) {
    const double size = kind == 1 ? std::pow(10.0, 40 * uniform() - 20) : kind == 0 ? std::exp(0.5 * normal()) : 1;
    const int64_t twin = kind == 3 && r > 4 && below(3) == 0 ? below(r) : -1;
    const bool zero = kind == 3 && below(10) == 0;
    for (int64_t i = 0; i < dims; ++i) {
      double v = normal() * size;
      if (kind == 2) v = centre[i] * (1 + 1e-7 * v);
      if (kind == 4) v += 1e6;
      if (kind == 5) v *= 0.9 * uniform() / (6 * std::sqrt(static_cast<double>(dims)));
      data.x[r * dims + i] = twin >= 0 ? data.x[twin * dims + i] : static_cast<float>(zero ? 0 : v);
    }
  }
  data.wide.assign(data.x.begin(), data.x.end());
  for (int j = 0; j < count; ++j) {
    const int64_t near = below(rows);
    for (int64_t i = 0; i < dims; ++i) {
      const double v = data.row(near)[i];
      data.queries.push_back(j % 4 == 0 ? v : j % 4 == 1 ? v * (1 + 0.1 * normal()) : j % 4 == 2 ? (kind == 5 ? 0 : normal()) : -v);
    }
  }
  double unused;
  for (int j = 0; j < count; ++j)
    level.gram(data.query(j), data.query(j), dims, false, &data.norm2[j], &unused);
  return data;
}

// Rows and queries as the codes see them: as they are, or turned by three reflections and rounded to float32, the
// first part of their dimensions being the head.
struct Coded {
  int64_t dims, head;
  std::vector<double> queries;
  Guarded<uint8_t> heads, tails;
  Guarded<float> scale, residual, rest, tail_scale, turn;
  Guarded<double> norm2;
  double turned = 0;
  Coded(const Level& level, const Data& data, bool turning)
      : dims(data.dims),
        head(turning && data.dims > 1 ? 1 + below(data.dims - 1) : data.dims),
        queries(data.queries),
        heads((data.rows + kGroup - 1) / kGroup * kGroup * ((head + 3) / 4 * 4)),
        tails(data.rows * (data.dims - head) + kSlack),
        scale(data.rows), residual(data.rows), rest(data.rows), tail_scale(data.rows),
        turn(head < dims ? dims * dims : 0), norm2(data.rows) {
    const int64_t half = data.rows / 2;
    row_norms2(level, data.view(), 0, half, norm2.get(), 1);
    row_norms2(level, data.view(), half, data.rows, norm2.get() + half, 2);
    if (head < dims) {
      make_turn();
      turn_vectors(level, turn.get(), dims, data.queries.data(), data.count, queries.data(), 2);
    }
    // In two parts, as rows are added.
    encode_inner(level, data.view(), 0, half, view(), 1);
    encode_inner(level, data.view(), half, data.rows, view(), 2);
  }
  // Three mirrors one after the other, and the error as kiyas.kernels.turn states it.
  void make_turn() {
    std::vector<double> matrix(static_cast<size_t>(dims * dims));
    for (int64_t i = 0; i < dims; ++i) matrix[i * dims + i] = 1;
    for (int mirror = 0; mirror < 3; ++mirror) {
      std::vector<double> v(static_cast<size_t>(dims));
      double size = 0;
      for (double& c : v) c = normal(), size += c * c;
      for (int64_t r = 0; r < dims; ++r) {
        double* x = matrix.data() + r * dims;
        double along = 0;
        for (int64_t i = 0; i < dims; ++i) along += x[i] * v[i];
        for (int64_t i = 0; i < dims; ++i) x[i] -= 2 * along / size * v[i];
      }
    }
    double off = 0;
    for (int64_t i = 0; i < dims * dims; ++i) {
      turn[i] = static_cast<float>(matrix[i]);
      off += (matrix[i] - turn[i]) * (matrix[i] - turn[i]);
    }
    const double unit = std::ldexp(1.0, -24);
    turned = 1.05 * (68 * unit * std::sqrt(static_cast<double>(dims)) + std::sqrt(off) + unit) + 1e-12;
  }
  InnerCodes view() const {
    return {heads.get(), tails.get(), head, dims - head, scale.get(), residual.get(), rest.get(), tail_scale.get(), norm2.get(), turned,
            head < dims ? turn.get() : nullptr};
  }
};

// All candidates of the k best by `score` must be there. Scores within `slack` of the k-th may be missed or not.
void compare(const char* what, const Level& level, const Candidates& found, const Data& data, int64_t k,
             const std::function<double(int, int64_t)>& score, const uint8_t* allowed, const int64_t* excluded) {
  for (int j = 0; j < data.count; ++j) {
    CHECK(found.complete[j], "%s %s: given up without a limit", level.name, what);
    if (!found.complete[j]) continue;
    std::vector<double> scores(static_cast<size_t>(data.rows));
    std::vector<int64_t> order;
    for (int64_t r = 0; r < data.rows; ++r) {
      scores[r] = score(j, r);
      if ((!allowed || allowed[r]) && (!excluded || excluded[j] != r)) order.push_back(r);
    }
    std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return scores[a] > scores[b] || (scores[a] == scores[b] && a < b); });
    const auto begin = found.rows.begin() + found.offsets[j], end = found.rows.begin() + found.offsets[j + 1];
    CHECK(std::is_sorted(begin, end), "%s %s: rows out of order", level.name, what);
    for (auto i = begin; i != end; ++i)
      CHECK((!allowed || allowed[*i]) && (!excluded || excluded[j] != *i), "%s %s: a row left out came back", level.name, what);
    for (int64_t i = 0; i < std::min<int64_t>(k, static_cast<int64_t>(order.size())); ++i)
      CHECK(std::binary_search(begin, end, order[i]), "%s %s rows=%ld d=%ld k=%ld query %d: place %ld, row %ld (%.17g) is missing",
            level.name, what, long(data.rows), long(data.dims), long(k), j, long(i), long(order[i]), scores[order[i]]);
  }
}

struct Wish {
  std::vector<uint8_t> allowed;
  std::vector<int64_t> excluded;
  ScanInput input;
  Wish(const Data& data, int threads) {
    const bool filter = below(2), exclude = below(2);
    for (int64_t r = 0; filter && r < data.rows; ++r) allowed.push_back(static_cast<uint8_t>(below(3) > 0));
    for (int j = 0; exclude && j < data.count; ++j) excluded.push_back(below(4) ? below(data.rows) : -1);
    input = {data.rows, data.count, 1 + below(20), filter ? allowed.data() : nullptr,
             exclude ? excluded.data() : nullptr, -kInfinity, -1, threads};
  }
};

}  // namespace
