// Dense products, and cells taking a single step: what does not depend on the instruction level.
#include "recurrent.h"

#include <algorithm>
#include <cstring>

#include "parallel.h"
#include "recurrent_room.h"

namespace kiyas {
namespace {

// Row of canonical weights of every packed output, -1 for none: gates side by side in a panel, a vector of units each.
std::vector<int64_t> gate_rows(int64_t units, int64_t blocks, int lanes, int first, int gates) {
  std::vector<int64_t> rows;
  for (int64_t block = 0; block < blocks; ++block)
    for (int g = first; g < first + gates; ++g)
      for (int l = 0; l < lanes; ++l) {
        const int64_t unit = block * lanes + l;
        rows.push_back(unit < units ? g * units + unit : -1);
      }
  return rows;
}

Aligned pack_bias(const float* bias, const std::vector<int64_t>& rows) {
  Aligned out(static_cast<int64_t>(rows.size() * sizeof(float)));
  for (size_t i = 0; i < rows.size(); ++i) out.as<float>()[i] = bias && rows[i] >= 0 ? bias[rows[i]] : 0.0f;
  return out;
}

}  // namespace

// ---- dense products ---------------------------------------------------------------------------------------------------

Dense::Dense(const RecurrentLevel& level, const float* weights, const float* bias, int64_t outputs, int64_t inputs,
             Precision precision)
    : level_(level), outputs_(outputs) {
  const auto rows = plain_rows(outputs, level.lanes);
  packed_ = pack(level, weights, inputs, rows, 4, precision);
  packed_.product.rounded = precision == Precision::bfloat16;
  bias_ = pack_bias(bias, rows);
}

// Panels [from, to) of all rows.
void Dense::part(const float* x, int64_t rows, float* out, int64_t from, int64_t to) const {
  const Product& p = packed_.product;
  const int64_t width = p.vectors * level_.lanes, whole = std::min(to, outputs_ / width);
  const int64_t bytes = prepared_bytes(p);
  Arena arena(kTogether * (bytes + width * 4));
  uint8_t* prepared = arena.take<uint8_t>(kTogether * bytes);
  float* edge = arena.take<float>(kTogether * width);
  const void* in[kTogether];
  float* to_[kTogether];
  for (int64_t r = 0; r < rows; r += kTogether) {
    const int count = static_cast<int>(std::min(kTogether, rows - r));
    for (int i = 0; i < count; ++i) {
      in[i] = x + (r + i) * p.inputs;
      to_[i] = out + (r + i) * outputs_;
      if (bytes) level_.prepare(p, x + (r + i) * p.inputs, prepared + i * bytes), in[i] = prepared + i * bytes;
    }
    level_.product(p, from, whole, bias_.as<float>(), in, count, to_);
    if (whole == to) continue;
    // The last panel reaches over the end of the row.
    for (int i = 0; i < count; ++i) to_[i] = edge + i * width - whole * width;
    level_.product(p, whole, to, bias_.as<float>(), in, count, to_);
    for (int i = 0; i < count; ++i)
      std::memcpy(out + (r + i) * outputs_ + whole * width, edge + i * width,
                  sizeof(float) * static_cast<size_t>(outputs_ - whole * width));
  }
}

void Dense::panel(int64_t number, const float* x, float* out) const {
  const void* in = x;
  float* to = out - number * packed_.product.vectors * level_.lanes;
  level_.product(packed_.product, number, number + 1, bias_.as<float>(), &in, 1, &to);
}

void Dense::run(const float* x, int64_t rows, float* out, int threads) const {
  if (rows * outputs_ * packed_.product.inputs < kWorthThreads) threads = 1;
  const int64_t panels = packed_.product.panels, n = packed_.product.inputs;
  if (rows >= 2 * kFewRows) {
    const int64_t piece = std::max<int64_t>(kFewRows, up((rows + threads - 1) / threads, kFewRows));
    parallel(rows, piece, threads, [&](int, int64_t from, int64_t to) {
      const Flush flush;
      part(x + from * n, to - from, out + from * outputs_, 0, panels);
    });
  } else {
    const int64_t piece = (panels + threads - 1) / threads;
    parallel(panels, piece, threads, [&](int, int64_t from, int64_t to) {
      const Flush flush;
      part(x, rows, out, from, to);
    });
  }
}

// ---- cells ------------------------------------------------------------------------------------------------------------

RecurrentCell::RecurrentCell(const RecurrentLevel& level, Kind kind, const CellWeights& w, const Act (&acts)[3],
                             Precision precision)
    : level_(level) {
  const int lanes = level.lanes;
  Cell& c = cell_;
  c.kind = kind, c.units = w.units;
  c.padded = up(w.units, 4 * lanes);
  c.blocks = up(w.units, lanes) / lanes;
  c.gate = acts[0], c.candidate = acts[1], c.output = acts[2];
  const int gates = kind == Kind::lstm ? 4 : 3;
  const auto rows = kind == Kind::simple ? plain_rows(w.units, lanes) : gate_rows(w.units, c.blocks, lanes, 0, gates);
  const int vectors = kind == Kind::simple ? 4 : gates;
  const bool single = kind == Kind::lstm && precision == Precision::int8;
  input_ = pack(level, w.input, w.inputs, rows, vectors, precision, single ? level.input_stream : 0);
  input_.product.rounded = precision == Precision::bfloat16;
  bias_ = pack_bias(w.bias, rows);
  if (kind == Kind::gru_before) {
    recurrent_ = pack(level, w.recurrent, w.units, gate_rows(w.units, c.blocks, lanes, 0, 2), 2, precision);
    second_ = pack(level, w.recurrent, w.units, plain_rows(w.units, lanes, 2 * w.units), 4, precision);
  } else {
    recurrent_ = pack(level, w.recurrent, w.units, rows, vectors, precision);
  }
  if (kind == Kind::gru_after) {
    // Of the update and reset gates it is part of the bias already; the candidate's stands with its product.
    recurrent_bias_ = pack_bias(w.recurrent_bias, gate_rows(w.units, c.blocks, lanes, 2, 1));
  }
  c.input = input_.product, c.recurrent = recurrent_.product, c.second = second_.product;
  c.bias = bias_.as<float>(), c.recurrent_bias = recurrent_bias_.as<float>();
  width_ = static_cast<int64_t>(rows.size());
}

int64_t RecurrentCell::bytes() const {
  return input_.weights.bytes() + recurrent_.weights.bytes() + second_.weights.bytes() + table_.bytes();
}

void RecurrentCell::embed(const float* table, int64_t rows) {
  const Flush flush;
  table_ = Aligned(rows * width_ * 4);
  vocabulary_ = rows;
  const Product& p = cell_.input;
  const int64_t bytes = prepared_bytes(p);
  Aligned prepared(kTogether * bytes);
  const void* in[kTogether];
  float* to[kTogether];
  for (int64_t r = 0; r < rows; r += kTogether) {
    const int count = static_cast<int>(std::min(kTogether, rows - r));
    for (int i = 0; i < count; ++i) {
      in[i] = table + (r + i) * p.inputs;
      to[i] = table_.as<float>() + (r + i) * width_;
      uint8_t* row = prepared.as<uint8_t>() + i * bytes;
      if (bytes) level_.prepare(p, table + (r + i) * p.inputs, row), in[i] = row;
    }
    level_.product(p, 0, p.panels, cell_.bias, in, count, to);
  }
}

void RecurrentCell::step(const float* x, const int64_t* ids, int64_t batch, const float* h, const float* c,
                         float* h_out, float* c_out) const {
  const Flush flush;
  const int64_t n = cell_.units, m = cell_.input.inputs, padded = cell_.padded;
  const bool before = cell_.kind == Kind::gru_before;
  const int64_t bytes_h = prepared_bytes(cell_.recurrent), bytes_x = prepared_bytes(cell_.input);
  constexpr int64_t most = 16;  // rows at a time, pointers of which fit the stack
  const int64_t width = before && !ids ? width_ : 0;
  Arena arena(most * (4 * padded * 4 + bytes_h + bytes_x + width * 4));
  float* state = arena.take<float>(most * padded);
  float* cells = arena.take<float>(most * padded);
  float* after = arena.take<float>(most * padded);
  float* reset = arena.take<float>(most * padded);
  uint8_t* prepared_h = arena.take<uint8_t>(most * bytes_h);
  uint8_t* prepared_x = arena.take<uint8_t>(most * bytes_x);
  float* part = arena.take<float>(most * width);
  const void *xs[most], *hs[most];
  const float *zs[most], *old[most];
  float *cs[most], *out[most], *parts[most];
  const auto size = sizeof(float) * static_cast<size_t>(n);
  for (int64_t r = 0; r < batch; r += most) {
    const int64_t count = std::min(most, batch - r);
    for (int64_t i = 0; i < count; ++i) {
      old[i] = state + i * padded, cs[i] = cells + i * padded, out[i] = (before ? reset : after) + i * padded;
      std::memcpy(state + i * padded, h + (r + i) * n, size);
      if (c) std::memcpy(cells + i * padded, c + (r + i) * n, size);
      hs[i] = old[i];
      if (bytes_h) level_.prepare(cell_.recurrent, old[i], prepared_h + i * bytes_h), hs[i] = prepared_h + i * bytes_h;
      if (ids) {
        zs[i] = table_.as<float>() + ids[r + i] * width_;
        continue;
      }
      xs[i] = x + (r + i) * m;
      if (bytes_x) level_.prepare(cell_.input, x + (r + i) * m, prepared_x + i * bytes_x), xs[i] = prepared_x + i * bytes_x;
      parts[i] = part + i * width, zs[i] = parts[i];
    }
    if (width) level_.product(cell_.input, 0, cell_.input.panels, cell_.bias, xs, static_cast<int>(count), parts);
    const Step step{static_cast<int>(count), ids || width ? zs : nullptr, xs, hs, old, cs, out, false, nullptr};
    level_.cells(cell_, step, 0, cell_.recurrent.panels);
    if (before) {
      for (int64_t i = 0; i < count; ++i) {
        hs[i] = reset + i * padded, out[i] = after + i * padded;
        if (bytes_h) level_.prepare(cell_.second, reset + i * padded, prepared_h + i * bytes_h), hs[i] = prepared_h + i * bytes_h;
      }
      level_.second(cell_, step, 0, cell_.second.panels);
    }
    for (int64_t i = 0; i < count; ++i) {
      std::memcpy(h_out + (r + i) * n, after + i * padded, size);
      if (c) std::memcpy(c_out + (r + i) * n, cells + i * padded, size);
    }
  }
}

}  // namespace kiyas
