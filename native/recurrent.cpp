// What does not depend on the instruction level: which rows take which step, threads, copies.
#include "recurrent.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <limits>
#include <numeric>
#include <thread>

#include "parallel.h"

#if defined(__SSE__)
#include <immintrin.h>
#endif

namespace kiyas {
namespace {

constexpr int64_t kLine = 64;
constexpr int64_t kNone = -1;
// Rows that a hoisted product takes together: enough to read the weights seldom, few enough to stay in the cache.
constexpr int64_t kTogether = 96;
// Rows of one step from which on the product with x is not hoisted: the step alone uses each weight often enough.
constexpr int64_t kManyRows = 48;
// Bytes of recurrent weights from which on two threads share a step's units in place of rows or not at all.
constexpr int64_t kShareUnits = 600'000;
constexpr int64_t kFewRows = 6;
// Multiply-adds from which on a call starts further threads: starting one takes as long as some two million.
constexpr int64_t kWorthThreads = 8'000'000;

int64_t up(int64_t x, int64_t step) { return (x + step - 1) / step * step; }

// Memory of the calling thread that stays for the next call, handed out in lines.
class Arena {
 public:
  explicit Arena(int64_t bytes) {
    thread_local Aligned kept;
    if (kept.bytes() < bytes) kept = Aligned(bytes);
    at_ = kept.as<char>();
  }
  template <class T>
  T* take(int64_t count) {
    T* out = reinterpret_cast<T*>(at_);
    at_ += up(count * static_cast<int64_t>(sizeof(T)), kLine);
    return out;
  }

 private:
  char* at_;
};

// Threads that wait for each other after every step: shortly by asking, then by giving way.
class Barrier {
 public:
  explicit Barrier(int size) : size_(size) {}
  void wait() {
    if (size_ == 1) return;
    const int64_t round = round_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == size_) {
      arrived_.store(0, std::memory_order_relaxed);
      round_.store(round + 1, std::memory_order_release);
      return;
    }
    for (int tries = 0; round_.load(std::memory_order_acquire) == round; ++tries) {
      if (tries < 4000) {
#if defined(__SSE__)
        _mm_pause();
#endif
      } else {
        std::this_thread::yield();
      }
    }
  }
 private:
  int size_;
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<int64_t> round_{0};
};

// Row of canonical weights of every packed output: gates side by side in a panel, a vector of units each.
std::vector<int64_t> gate_rows(int64_t units, int64_t blocks, int lanes, int first, int gates) {
  std::vector<int64_t> rows;
  for (int64_t block = 0; block < blocks; ++block)
    for (int g = first; g < first + gates; ++g)
      for (int l = 0; l < lanes; ++l) {
        const int64_t unit = block * lanes + l;
        rows.push_back(unit < units ? g * units + unit : kNone);
      }
  return rows;
}

// Outputs in their own order, four vectors a panel.
std::vector<int64_t> plain_rows(int64_t outputs, int lanes, int64_t first = 0) {
  std::vector<int64_t> rows(static_cast<size_t>(up(outputs, 4 * lanes)), kNone);
  std::iota(rows.begin(), rows.begin() + outputs, first);
  return rows;
}

// Bytes of a row of inputs as the product takes it; 0: as floats.
int64_t prepared_bytes(const Product& p) {
  if (p.precision == Precision::float32 || (p.precision == Precision::bfloat16 && !p.rounded)) return 0;
  return up(row_bytes(p.inputs), kLine);
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
  input_ = pack(level, w.input, w.inputs, rows, vectors, precision);
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

// The rows of a call in the order in which they are worked on, with the times at which each takes a step.
struct RecurrentCell::Plan {
  const SequenceInput& input;
  std::vector<int64_t> rows;   // longest first
  std::vector<int64_t> steps;  // of rows[i]
  std::vector<int64_t> times;  // (batch, time) in order of processing, where a mask leaves some out

  explicit Plan(const SequenceInput& given) : input(given) {
    const auto batch = static_cast<size_t>(given.batch);
    rows.resize(batch);
    std::iota(rows.begin(), rows.end(), 0);
    std::vector<int64_t> count(batch, given.time);
    if (given.lengths) std::copy(given.lengths, given.lengths + given.batch, count.begin());
    if (given.mask) {
      times.resize(static_cast<size_t>(given.batch * given.time));
      for (int64_t b = 0; b < given.batch; ++b) {
        const int64_t length = count[static_cast<size_t>(b)];
        int64_t live = 0;
        for (int64_t s = 0; s < length; ++s) {
          const int64_t t = given.reverse ? length - 1 - s : s;
          if (given.mask[b * given.time + t]) times[static_cast<size_t>(b * given.time + live++)] = t;
        }
        count[static_cast<size_t>(b)] = live;
      }
    }
    if (given.lengths || given.mask)
      std::stable_sort(rows.begin(), rows.end(), [&](int64_t a, int64_t b) {
        return count[static_cast<size_t>(a)] > count[static_cast<size_t>(b)];
      });
    for (const int64_t r : rows) steps.push_back(count[static_cast<size_t>(r)]);
  }

  // When row `rows[i]` takes step s.
  int64_t time(int64_t i, int64_t s) const {
    const int64_t row = rows[static_cast<size_t>(i)];
    if (input.mask) return times[static_cast<size_t>(row * input.time + s)];
    return input.reverse ? (input.lengths ? input.lengths[row] : input.time) - 1 - s : s;
  }
};

// One thread's part of a call: some of the rows, or some of the units of all rows.
class RecurrentCell::Worker {
 public:
  struct Shared {  // what threads that share units write for each other
    float *state[2], *c, *z, *reset;
  };

  // Rows first, first + stride, … of the plan; panels [from, to) of every product of `parts`.
  Worker(const RecurrentCell& owner, const Plan& plan, int64_t first, int64_t stride, int part, int parts,
         Barrier& barrier)
      : owner_(owner), cell_(owner.cell_), level_(owner.level_), plan_(plan), barrier_(barrier), part_(part), parts_(parts) {
    for (auto i = first; i < static_cast<int64_t>(plan.rows.size()); i += stride) rows_.push_back(i);
    count_ = static_cast<int64_t>(rows_.size());
    bytes_h_ = prepared_bytes(cell_.recurrent);
    bytes_x_ = prepared_bytes(cell_.input);
    const bool hoist = !plan.input.ids && (count_ < kManyRows || cell_.kind == Kind::gru_before) &&
                       (plan.input.time > 1 || cell_.kind == Kind::gru_before);
    block_ = hoist && count_ == 1 ? level_.block_ahead(cell_) : 0;
    if (block_) chunk_ = block_;
    else if (hoist) chunk_ = std::max<int64_t>(1, std::min(plan.input.time, kTogether / std::max<int64_t>(1, count_)));
    most_ = std::max<int64_t>(1, chunk_) * count_;
  }

  int64_t shared_bytes() const {
    return 4 * count_ * cell_.padded * 4 + slots() * owner_.width_ * 4 + 5 * kLine;
  }
  int64_t own_bytes() const { return most_ * (bytes_x_ + 7 * 8) + count_ * bytes_h_ + 9 * kLine; }

  Shared share(Arena& arena) const {
    Shared s{};
    for (float*& state : s.state) state = arena.take<float>(count_ * cell_.padded);
    s.c = arena.take<float>(count_ * cell_.padded);
    s.reset = arena.take<float>(count_ * cell_.padded);
    s.z = arena.take<float>(slots() * owner_.width_);
    return s;
  }
  void own(Arena& arena) {
    prepared_x_ = arena.take<uint8_t>(most_ * bytes_x_);
    prepared_h_ = arena.take<uint8_t>(count_ * bytes_h_);
    x_ = arena.take<const void*>(most_), h_ = arena.take<const void*>(most_);
    z_ = arena.take<const float*>(most_), old_ = arena.take<const float*>(most_);
    c_ = arena.take<float*>(most_), out_ = arena.take<float*>(most_);
    later_ = arena.take<float*>(block_);
  }

  void run(const Shared& shared, float* h, float* c, float* y) {
    s_ = shared;
    const int64_t n = cell_.units, padded = cell_.padded, time = plan_.input.time;
    const auto [u0, u1] = units();
    for (int64_t i = 0; i < count_; ++i) {
      const int64_t row = plan_.rows[static_cast<size_t>(rows_[static_cast<size_t>(i)])];
      place(s_.state[0] + i * padded, h + row * n, u0, u1);
      if (c) place(s_.c + i * padded, c + row * n, u0, u1);
      else std::memset(s_.c + i * padded + u0, 0, sizeof(float) * static_cast<size_t>(padded_end(u1) - u0));
    }
    for (int64_t i = 0; i < count_; ++i) c_[i] = s_.c + i * padded;
    int64_t active = count_, now = 0;
    for (int64_t s = 0; s < time; ++s, now ^= 1) {
      int64_t live = active;
      while (live > 0 && steps(live - 1) <= s) --live;
      for (int64_t i = live; i < active; ++i) finish(i, s_.state[now], h, c);
      active = live;
      if (!active) break;
      if (chunk_ && s % chunk_ == 0) {
        if (s >= ready_) hoist(s, active);
        if (block_ && s + block_ < steps(0)) look_ahead(s + block_);
      }
      step(s, active, s_.state[now], s_.state[now ^ 1]);
      if (y)
        for (int64_t i = 0; i < active; ++i) {
          const int64_t row = plan_.rows[static_cast<size_t>(rows_[static_cast<size_t>(i)])];
          float* to = y + (row * time + when(i, s)) * n;
          copy(to + u0, s_.state[now ^ 1] + i * padded + u0, u1 - u0);
        }
    }
    for (int64_t i = 0; i < active; ++i) finish(i, s_.state[now], h, c);
  }

 private:
  int64_t steps(int64_t i) const { return plan_.steps[static_cast<size_t>(rows_[static_cast<size_t>(i)])]; }
  int64_t when(int64_t i, int64_t s) const { return plan_.time(rows_[static_cast<size_t>(i)], s); }

  static void copy(float* to, const float* from, int64_t count) {
    std::memcpy(to, from, sizeof(float) * static_cast<size_t>(count));
  }
  int64_t padded_end(int64_t u1) const { return u1 == cell_.units ? cell_.padded : u1; }
  void place(float* to, const float* from, int64_t u0, int64_t u1) const {
    copy(to + u0, from + u0, u1 - u0);
    for (int64_t u = u1; u < padded_end(u1); ++u) to[u] = 0;
  }
  void finish(int64_t i, const float* state, float* h, float* c) const {
    const int64_t row = plan_.rows[static_cast<size_t>(rows_[static_cast<size_t>(i)])], n = cell_.units;
    const auto [u0, u1] = units();
    copy(h + row * n + u0, state + i * cell_.padded + u0, u1 - u0);
    if (c) copy(c + row * n + u0, s_.c + i * cell_.padded + u0, u1 - u0);
  }

  std::pair<int64_t, int64_t> panels(const Product& p) const {
    return {p.panels * part_ / parts_, p.panels * (part_ + 1) / parts_};
  }
  // Units whose state this thread writes last.
  std::pair<int64_t, int64_t> units() const {
    const Product& p = cell_.kind == Kind::gru_before ? cell_.second : cell_.recurrent;
    const int64_t wide = cell_.kind == Kind::gru_before || cell_.kind == Kind::simple ? 4 * level_.lanes : level_.lanes;
    const auto [from, to] = panels(p);
    return {std::min(cell_.units, from * wide), std::min(cell_.units, to * wide)};
  }

  const void* input(int64_t i, int64_t s, int64_t slot) const {
    const int64_t row = plan_.rows[static_cast<size_t>(rows_[static_cast<size_t>(i)])], m = cell_.input.inputs;
    const float* x = plan_.input.x + (row * plan_.input.time + when(i, s)) * m;
    if (!bytes_x_) return x;
    level_.prepare(cell_.input, x, prepared_x_ + slot * bytes_x_);
    return prepared_x_ + slot * bytes_x_;
  }

  // Where the input part of row i for step s stands: in this chunk, or in one of two blocks.
  int64_t slots() const { return block_ ? 2 * block_ : chunk_ * count_; }
  float* z_at(int64_t s, int64_t i) const {
    return s_.z + (block_ ? s % (2 * block_) : s % chunk_ * count_ + i) * owner_.width_;
  }

  // Makes the block of steps from s on what the steps before it take along. Past the end, the last input is repeated.
  void look_ahead(int64_t s) {
    for (int64_t i = 0; i < block_; ++i) {
      x_[i] = input(0, std::min(s + i, steps(0) - 1), i);
      later_[i] = z_at(s + i, 0);
    }
    ready_ = s + block_;
  }

  // Input part of the gates for the steps from s on that fit a chunk.
  void hoist(int64_t s, int64_t active) {
    if (cell_.kind == Kind::gru_before) barrier_.wait();  // others may still read what is written here
    int64_t filled = 0;
    for (int64_t t = s; t < std::min(s + chunk_, plan_.input.time); ++t)
      for (int64_t i = 0; i < active && steps(i) > t; ++i) {
        x_[filled] = input(i, t, filled);
        out_[filled] = z_at(t, i);
        ++filled;
      }
    const auto [from, to] = panels(cell_.input);
    level_.product(cell_.input, from, to, cell_.bias, x_, static_cast<int>(filled), out_);
    if (cell_.kind == Kind::gru_before) barrier_.wait();  // the second part reads other threads' panels
  }

  void step(int64_t s, int64_t active, const float* before, float* after) {
    barrier_.wait();  // the state before is whole
    const int64_t padded = cell_.padded;
    const bool given = chunk_ || plan_.input.ids;
    for (int64_t i = 0; i < active; ++i) {
      old_[i] = before + i * padded;
      out_[i] = (cell_.kind == Kind::gru_before ? s_.reset : after) + i * padded;
      if (plan_.input.ids) {
        const int64_t row = plan_.rows[static_cast<size_t>(rows_[static_cast<size_t>(i)])];
        z_[i] = owner_.table_.as<float>() + plan_.input.ids[row * plan_.input.time + when(i, s)] * owner_.width_;
      } else if (chunk_) {
        z_[i] = z_at(s, i);
      } else {
        x_[i] = input(i, s, i);
      }
    }
    read(old_, active);
    const bool backward = s % 2 != 0;
    const bool takes_along = block_ && s + block_ < ready_;
    const Ahead ahead{x_, later_, takes_along ? static_cast<int>(s % block_) : 0};
    const Step step{static_cast<int>(active), given ? z_ : nullptr, x_, h_, old_, c_, out_, backward,
                    takes_along ? &ahead : nullptr};
    const auto [from, to] = panels(cell_.recurrent);
    level_.cells(cell_, step, from, to);
    if (cell_.kind != Kind::gru_before) return;
    barrier_.wait();
    read(out_, active);
    for (int64_t i = 0; i < active; ++i) out_[i] = after + i * padded;
    const auto [from2, to2] = panels(cell_.second);
    level_.second(cell_, step, from2, to2);
  }

  // Rows of state as the recurrent product takes them.
  void read(const float* const* rows, int64_t active) {
    for (int64_t i = 0; i < active; ++i) {
      h_[i] = rows[i];
      if (!bytes_h_) continue;
      level_.prepare(cell_.recurrent, rows[i], prepared_h_ + i * bytes_h_);
      h_[i] = prepared_h_ + i * bytes_h_;
    }
  }

  const RecurrentCell& owner_;
  const Cell& cell_;
  const RecurrentLevel& level_;
  const Plan& plan_;
  Barrier& barrier_;
  const int part_, parts_;
  std::vector<int64_t> rows_;
  int64_t count_, chunk_ = 0, block_ = 0, most_, bytes_h_, bytes_x_;
  int64_t ready_ = 0;  // steps whose input part is there, or will be
  Shared s_{};
  uint8_t *prepared_x_ = nullptr, *prepared_h_ = nullptr;
  const void **x_ = nullptr, **h_ = nullptr;
  const float **z_ = nullptr, **old_ = nullptr;
  float **c_ = nullptr, **out_ = nullptr, **later_ = nullptr;
};

void RecurrentCell::run(const SequenceInput& input, float* h, float* c, float* y, float* last) const {
  const int64_t n = cell_.units;
  const Plan plan(input);
  const int64_t recurrent = recurrent_.weights.bytes() + second_.weights.bytes();
  const int64_t weights = cell_.recurrent.panels * cell_.recurrent.vectors * level_.lanes * (n + cell_.input.inputs);
  const int threads = input.batch * input.time * weights < kWorthThreads ? 1 : input.threads;
  // Threads that share units wait for each other after every step: more of them than processors are far slower than one.
  static const unsigned processors = std::max(1u, std::thread::hardware_concurrency());  // asking takes microseconds
  const int64_t most = std::min<int64_t>(processors, cell_.recurrent.panels);
  const bool share = std::min<int64_t>(threads, most) > 1 && input.batch <= kFewRows && recurrent >= kShareUnits;
  const int parts = static_cast<int>(std::min<int64_t>(threads, share ? most : input.batch));
  Barrier barrier(share ? parts : 1);
  std::vector<Worker> workers;
  for (int t = 0; t < parts; ++t)
    workers.emplace_back(*this, plan, share ? 0 : t, share ? 1 : parts, share ? t : 0, share ? parts : 1, barrier);
  int64_t bytes = 0;
  for (const Worker& w : workers) bytes += w.own_bytes() + w.shared_bytes();
  Arena arena(bytes);
  std::vector<Worker::Shared> shared;
  for (Worker& w : workers) {
    shared.push_back(share && !shared.empty() ? shared.front() : w.share(arena));
    w.own(arena);
  }
  const auto work = [&](int t) {
    const Flush flush;
    workers[static_cast<size_t>(t)].run(shared[static_cast<size_t>(t)], h, c, y);
  };
  if (share) {
    // All of them have to run: they wait for each other.
    std::vector<std::thread> others;
    std::atomic<int> go{0};
    try {
      for (int t = 1; t < parts; ++t)
        others.emplace_back([&, t] {
          while (go.load(std::memory_order_acquire) == 0) std::this_thread::yield();
          if (go.load(std::memory_order_acquire) == 1) work(t);
        });
      go.store(1, std::memory_order_release);
      work(0);
    } catch (...) {
      go.store(2, std::memory_order_release);  // no threads to be had: alone
    }
    for (auto& t : others) t.join();
    if (go.load() == 2) {
      SequenceInput alone = input;
      alone.threads = 1;
      return run(alone, h, c, y, last);
    }
  } else {
    parallel(parts, 1, parts, [&](int, int64_t from, int64_t to) {
      for (int64_t t = from; t < to; ++t) work(static_cast<int>(t));
    });
  }
  if (last)
    for (int64_t i = 0; i < input.batch; ++i) {
      const int64_t row = plan.rows[static_cast<size_t>(i)];
      if (plan.steps[static_cast<size_t>(i)]) std::memcpy(last + row * n, h + row * n, sizeof(float) * static_cast<size_t>(n));
      else std::memset(last + row * n, 0, sizeof(float) * static_cast<size_t>(n));
    }
  if (!y || !(input.lengths || input.mask)) return;
  // What was not computed: zeros past the end; at masked steps the output before them, or zeros.
  for (int64_t b = 0; b < input.batch; ++b) {
    const int64_t length = input.lengths ? input.lengths[b] : input.time;
    float* row = y + b * input.time * n;
    const float* before = nullptr;
    for (int64_t s = 0; s < length; ++s) {
      const int64_t t = input.reverse ? length - 1 - s : s;
      if (!input.mask || input.mask[b * input.time + t]) before = row + t * n;
      else if (before && !input.zero_masked) std::memcpy(row + t * n, before, sizeof(float) * static_cast<size_t>(n));
      else std::memset(row + t * n, 0, sizeof(float) * static_cast<size_t>(n));
    }
    std::memset(row + length * n, 0, sizeof(float) * static_cast<size_t>((input.time - length) * n));
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
