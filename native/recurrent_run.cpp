// Sequences: which rows take which step, threads, copies.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <numeric>
#include <thread>

#include "parallel.h"
#include "recurrent.h"
#include "recurrent_room.h"

#if defined(__SSE__)
#include <immintrin.h>
#endif

namespace kiyas {
namespace {

// Rows of one step from which on the product with x is not hoisted: the step alone uses each weight often enough.
constexpr int64_t kManyRows = 48;
// Bytes of recurrent weights from which on two threads share a step's units in place of rows or not at all.
constexpr int64_t kShareUnits = 600'000;

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

}  // namespace

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
    block_ = hoist && count_ == 1 ? level_.block_ahead(cell_, plan.input.time) : 0;
    if (block_) chunk_ = block_;
    else if (hoist) chunk_ = std::max<int64_t>(1, std::min(plan.input.time, kTogether / std::max<int64_t>(1, count_)));
    most_ = std::max<int64_t>(1, chunk_) * count_;
  }

  int64_t shared_bytes() const {
    return 4 * count_ * cell_.padded * 4 + slots() * apart() * 4 + 5 * kLine;
  }
  int64_t own_bytes() const { return (most_ + block_) * bytes_x_ + most_ * 7 * 8 + count_ * bytes_h_ + 10 * kLine; }

  Shared share(Arena& arena) const {
    Shared s{};
    for (float*& state : s.state) state = arena.take<float>(count_ * cell_.padded);
    s.c = arena.take<float>(count_ * cell_.padded);
    s.reset = arena.take<float>(count_ * cell_.padded);
    s.z = arena.take<float>(slots() * apart());
    return s;
  }
  void own(Arena& arena) {
    prepared_x_ = arena.take<uint8_t>(most_ * bytes_x_);
    prepared_h_ = arena.take<uint8_t>(count_ * bytes_h_);
    x_ = arena.take<const void*>(most_), h_ = arena.take<const void*>(most_);
    z_ = arena.take<const float*>(most_), old_ = arena.take<const float*>(most_);
    c_ = arena.take<float*>(most_), out_ = arena.take<float*>(most_);
    later_ = arena.take<float*>(block_);
    codes_ = arena.take<uint8_t>(block_ * bytes_x_);
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
        // Rows past the end are computed for nothing: not more than there are others.
        if (block_ && s + block_ + block_ / 2 <= steps(0)) look_ahead(s + block_);
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
  // Floats from one input part to the next: a line more than it has, as those a power of two apart share few places in
  // the first cache.
  int64_t apart() const { return owner_.width_ + kLine / 4; }
  float* z_at(int64_t s, int64_t i) const {
    return s_.z + (block_ ? s % (2 * block_) : s % chunk_ * count_ + i) * apart();
  }

  // Makes the block of steps from s on what the steps before it take along. Past the end, the last input is repeated.
  void look_ahead(int64_t s) {
    for (int64_t i = 0; i < block_; ++i) {
      x_[i] = input(0, std::min(s + i, steps(0) - 1), i);
      later_[i] = z_at(s + i, 0);
    }
    if (cell_.input.precision == Precision::int8) level_.beside(x_, static_cast<int>(block_), cell_.input.inputs, codes_);
    ready_ = s + block_;
  }

  // Input part of the gates for the steps from s on that fit a chunk.
  void hoist(int64_t s, int64_t active) {
    if (cell_.kind == Kind::gru_before) barrier_.wait();  // others may still read what is written here
    ready_ = s + chunk_;
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
    const Ahead ahead{x_, codes_, later_, static_cast<int>(block_), takes_along ? static_cast<int>(s % block_) : 0};
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
  int64_t ready_ = 0;  // steps whose input part is there, or will be in time
  Shared s_{};
  uint8_t *prepared_x_ = nullptr, *prepared_h_ = nullptr, *codes_ = nullptr;
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
  // Asked once, as it takes microseconds.
  static const unsigned processors = std::max(1u, std::thread::hardware_concurrency());
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

}  // namespace kiyas
