// The recurrent kernels of every level this machine runs, against scalar references, on arrays of exactly the size they
// may touch, so that AddressSanitizer sees a read beyond them. Exits 1 on a failure.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "check.h"
#include "level.h"
#include "recurrent.h"
#include "recurrent_argmax.h"

using namespace kiyas;

namespace {

float value() { return static_cast<float>(static_cast<double>(engine() >> 11) * 0x1p-52 - 1); }

Guarded<float> values(int64_t count, float size = 1) {
  Guarded<float> out(count);
  for (int64_t i = 0; i < count; ++i) out[i] = value() * size;
  return out;
}

constexpr Precision kPrecisions[] = {Precision::float32, Precision::bfloat16, Precision::int8};
// What a sum of `inputs` products of numbers up to 1 may be off by.
double tolerance(Precision precision, int64_t inputs) {
  const double each = precision == Precision::float32 ? 1e-7 : precision == Precision::bfloat16 ? 8e-3 : 1.6e-2;
  return each * static_cast<double>(inputs) + 1e-6;
}

void check_products(const RecurrentLevel& level) {
  for (const Precision precision : kPrecisions)
    for (int trial = 0; trial < 60; ++trial) {
      const int64_t inputs = 1 + below(trial < 40 ? 70 : 300), outputs = 1 + below(150), rows = 1 + below(30);
      const auto w = values(outputs * inputs), b = values(outputs), x = values(rows * inputs);
      const Dense dense(level, w.get(), trial % 3 ? b.get() : nullptr, outputs, inputs, precision);
      Guarded<float> y(rows * outputs), again(rows * outputs);
      dense.run(x.get(), rows, y.get(), 1);
      dense.run(x.get(), rows, again.get(), 1 + static_cast<int>(below(3)));
      CHECK(y == again, "%s product: threads change it", level.name);
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t o = 0; o < outputs; ++o) {
          double sum = trial % 3 ? b[o] : 0;
          for (int64_t k = 0; k < inputs; ++k) sum += static_cast<double>(w[o * inputs + k]) * x[r * inputs + k];
          CHECK(std::fabs(y[r * outputs + o] - sum) <= tolerance(precision, inputs),
                "%s product %ldx%ld precision %d: %g, not %g", level.name, long(outputs), long(inputs), int(precision),
                double(y[r * outputs + o]), sum);
        }
      Guarded<float> one(outputs);
      const int64_t r = below(rows);
      Guarded<float> alone(inputs);
      std::copy(x.get() + r * inputs, x.get() + (r + 1) * inputs, alone.get());
      dense.run(alone.get(), 1, one.get(), 1);
      CHECK(std::memcmp(one.get(), y.get() + r * outputs, sizeof(float) * static_cast<size_t>(outputs)) == 0,
            "%s product: a row alone differs", level.name);
    }
}

double gate(double x) { return 1 / (1 + std::exp(-x)); }

// One step in double, by the equations.
void scalar_step(Kind kind, int64_t n, int64_t m, const float* w, const float* u, const float* b, const float* rb,
                 const float* x, std::vector<double>& h, std::vector<double>& c) {
  const auto dot = [](const float* row, const auto& v, int64_t count) {
    double sum = 0;
    for (int64_t k = 0; k < count; ++k) sum += static_cast<double>(row[k]) * static_cast<double>(v[k]);
    return sum;
  };
  const auto from_x = [&](int64_t g, int64_t j) { return b[g * n + j] + dot(w + (g * n + j) * m, x, m); };
  const auto from_h = [&](int64_t g, int64_t j, const std::vector<double>& v) { return dot(u + (g * n + j) * n, v, n); };
  const std::vector<double> old = h;
  std::vector<double> reset(static_cast<size_t>(n));
  const auto at = [](int64_t j) { return static_cast<size_t>(j); };
  if (kind == Kind::gru_before)
    for (int64_t j = 0; j < n; ++j) reset[at(j)] = gate(from_x(1, j) + from_h(1, j, old)) * old[at(j)];
  for (int64_t j = 0; j < n; ++j) {
    if (kind == Kind::lstm) {
      c[at(j)] = gate(from_x(1, j) + from_h(1, j, old)) * c[at(j)] +
                 gate(from_x(0, j) + from_h(0, j, old)) * std::tanh(from_x(2, j) + from_h(2, j, old));
      h[at(j)] = gate(from_x(3, j) + from_h(3, j, old)) * std::tanh(c[at(j)]);
    } else if (kind == Kind::simple) {
      h[at(j)] = std::tanh(from_x(0, j) + from_h(0, j, old));
    } else {
      const double z = gate(from_x(0, j) + from_h(0, j, old));
      const double g = kind == Kind::gru_before
                           ? std::tanh(from_x(2, j) + from_h(2, j, reset))
                           : std::tanh(from_x(2, j) + gate(from_x(1, j) + from_h(1, j, old)) * (rb[2 * n + j] + from_h(2, j, old)));
      h[at(j)] = z * old[at(j)] + (1 - z) * g;
    }
  }
}

void check_cells(const RecurrentLevel& level, bool quick) {
  constexpr Kind kinds[] = {Kind::lstm, Kind::gru_after, Kind::gru_before, Kind::simple};
  for (const Kind kind : kinds)
    for (const Precision precision : kPrecisions)
      for (int trial = 0; trial < (quick ? 12 : 30); ++trial) {
        // Every third trial is one row of a cell large enough to go ahead, over several blocks.
        const bool one = trial % 3 == 2;
        const int64_t n = one ? 40 + below(100) : 1 + below(trial % 4 ? 40 : 140), m = 1 + below(one ? 150 : 50);
        const int64_t batch = one ? 1 : 1 + below(trial % 5 ? 9 : 60), time = 1 + below(one ? 40 : 12);
        const int64_t gates = kind == Kind::lstm ? 4 : kind == Kind::simple ? 1 : 3;
        const float size = 1 / std::sqrt(static_cast<float>(n));
        const auto w = values(gates * n * m, size), u = values(gates * n * n, size), b = values(gates * n),
                   rb = values(gates * n);
        // The scalar reference adds only the candidate's recurrent bias, as the cell does.
        const Act acts[3] = {{Activation::sigmoid}, {Activation::tanh}, {Activation::tanh}};
        RecurrentCell cell(level, kind, {w.get(), u.get(), b.get(), kind == Kind::gru_after ? rb.get() : nullptr, n, m},
                           acts, precision);
        const auto x = values(batch * time * m), h0 = values(batch * n), c0 = values(batch * n);
        const bool lstm = kind == Kind::lstm;
        Guarded<float> y(batch * time * n), h(h0), c(c0);
        cell.run({batch, time, x.get(), nullptr, nullptr, nullptr, false, false, 1}, h.get(), lstm ? c.get() : nullptr,
                 y.get(), nullptr);
        // Another number of threads, step by step, and with ids: the same bits.
        Guarded<float> y2(batch * time * n), h2(h0), c2(c0), last(batch * n);
        cell.run({batch, time, x.get(), nullptr, nullptr, nullptr, false, false, 2 + static_cast<int>(below(2))},
                 h2.get(), lstm ? c2.get() : nullptr, y2.get(), last.get());
        CHECK(y == y2 && h == h2 && c == c2 && last == h, "%s cell: threads change it", level.name);
        Guarded<float> h3(h0), c3(c0), xt(batch * m);
        for (int64_t t = 0; t < time; ++t) {
          for (int64_t i = 0; i < batch; ++i) std::copy_n(x.get() + (i * time + t) * m, m, xt.get() + i * m);
          cell.step(xt.get(), nullptr, batch, h3.get(), lstm ? c3.get() : nullptr, h3.get(), lstm ? c3.get() : nullptr);
          for (int64_t i = 0; i < batch; ++i)
            CHECK(std::memcmp(h3.get() + i * n, y.get() + (i * time + t) * n, sizeof(float) * static_cast<size_t>(n)) == 0,
                  "%s cell kind %d precision %d: a step differs", level.name, int(kind), int(precision));
        }
        CHECK(h3 == h && c3 == c, "%s cell: steps end elsewhere", level.name);
        if (batch * time < 200) {
          RecurrentCell embedded(level, kind, {w.get(), u.get(), b.get(), kind == Kind::gru_after ? rb.get() : nullptr, n, m},
                                 acts, precision);
          embedded.embed(x.get(), batch * time);
          Guarded<int64_t> ids(batch * time);
          for (int64_t i = 0; i < ids.size; ++i) ids[i] = i;
          Guarded<float> y4(batch * time * n), h4(h0), c4(c0);
          embedded.run({batch, time, nullptr, ids.get(), nullptr, nullptr, false, false, 1}, h4.get(),
                       lstm ? c4.get() : nullptr, y4.get(), nullptr);
          CHECK(y4 == y, "%s cell: a table differs from its product", level.name);
        }
        if (precision == Precision::float32)
          for (int64_t i = 0; i < batch; ++i) {
            std::vector<double> hs(h0.get() + i * n, h0.get() + (i + 1) * n), cs(c0.get() + i * n, c0.get() + (i + 1) * n);
            for (int64_t t = 0; t < time; ++t) {
              scalar_step(kind, n, m, w.get(), u.get(), b.get(), rb.get(), x.get() + (i * time + t) * m, hs, cs);
              for (int64_t j = 0; j < n; ++j)
                CHECK(std::fabs(y[(i * time + t) * n + j] - hs[static_cast<size_t>(j)]) < 1e-5,
                      "%s cell kind %d n=%ld m=%ld t=%ld: %g, not %g", level.name, int(kind), long(n), long(m), long(t),
                      double(y[(i * time + t) * n + j]), hs[static_cast<size_t>(j)]);
            }
          }
        // Masks, lengths and both directions touch nothing beyond their arrays, and computed rows stay the same.
        Guarded<int64_t> lengths(batch);
        Guarded<uint8_t> mask(batch * time);
        for (int64_t i = 0; i < batch; ++i) lengths[i] = below(time + 1);
        for (int64_t i = 0; i < batch * time; ++i) mask[i] = below(3) != 0;
        for (int choice = 0; choice < 8; ++choice) {
          Guarded<float> y5(batch * time * n), h5(h0), c5(c0), last5(batch * n), h6(h0), c6(c0), y6(batch * time * n);
          const SequenceInput input{batch, time, x.get(), nullptr, choice & 1 ? lengths.get() : nullptr,
                                    choice & 2 ? mask.get() : nullptr, choice % 3 == 0, (choice & 4) != 0, 1};
          cell.run(input, h5.get(), lstm ? c5.get() : nullptr, y5.get(), last5.get());
          SequenceInput two = input;
          two.threads = 2;
          cell.run(two, h6.get(), lstm ? c6.get() : nullptr, y6.get(), nullptr);
          CHECK(y5 == y6 && h5 == h6 && c5 == c6, "%s cell: threads change a masked batch", level.name);
        }
      }
}

// Threads that share the rows, or the units of a large cell; sizes at which threads are worth their start.
void check_threads(const RecurrentLevel& level) {
  constexpr Kind kinds[] = {Kind::lstm, Kind::gru_after, Kind::gru_before, Kind::simple};
  for (const Kind kind : kinds)
    for (const Precision precision : kPrecisions) {
      for (const int64_t batch : {1, 2, 9}) {
        const bool rows = batch == 9;
        const int64_t n = rows ? 160 : kind == Kind::simple ? 805 : 405, m = 5, time = rows ? 40 : batch == 1 ? 25 : 14;
        const int64_t gates = kind == Kind::lstm ? 4 : kind == Kind::simple ? 1 : 3;
        const auto w = values(gates * n * m), u = values(gates * n * n, 0.05f), b = values(gates * n);
        const Act acts[3] = {{Activation::sigmoid}, {Activation::tanh}, {Activation::tanh}};
        const RecurrentCell cell(level, kind, {w.get(), u.get(), b.get(), nullptr, n, m}, acts, precision);
        const auto x = values(batch * time * m), start = values(batch * n);
        Guarded<int64_t> lengths(batch);
        for (int64_t i = 0; i < batch; ++i) lengths[i] = time - below(3);
        Guarded<float> y[2] = {Guarded<float>(batch * time * n), Guarded<float>(batch * time * n)};
        for (int i = 0; i < 2; ++i) {
          Guarded<float> h(start), c(start);
          cell.run({batch, time, x.get(), nullptr, lengths.get(), nullptr, false, true, i ? 2 : 1}, h.get(),
                   kind == Kind::lstm ? c.get() : nullptr, y[i].get(), nullptr);
        }
        CHECK(y[0] == y[1], "%s cell kind %d: threads change it", level.name, int(kind));
      }
    }
}

// One row of a large cell of int8 takes along the product of blocks of sixteen steps: the bits of steps, whatever is masked.
void check_ahead(const RecurrentLevel& level) {
  if (level.lanes < 16) return;  // nothing goes ahead
  constexpr int64_t sizes[][2] = {{450, 437}, {433, 446}, {300, 1001}};  // odd numbers of panels, of groups, one by one
  const Act acts[3] = {{Activation::sigmoid}, {Activation::tanh}, {Activation::tanh}};
  for (const auto& [n, m] : sizes) {
    const auto w = values(4 * n * m, 0.1f), u = values(4 * n * n, 0.1f), b = values(4 * n);
    const RecurrentCell cell(level, Kind::lstm, {w.get(), u.get(), b.get(), nullptr, n, m}, acts, Precision::int8);
    for (int choice = 0; choice < 8; ++choice) {
      const int64_t time = 64 + below(40), batch = choice % 4 == 1 ? 2 : 1;
      const auto x = values(batch * time * m), h0 = values(batch * n), c0 = values(batch * n);
      const bool reverse = (choice & 4) != 0;
      Guarded<int64_t> lengths(batch);
      Guarded<uint8_t> mask(batch * time);
      for (int64_t i = 0; i < batch; ++i) lengths[i] = choice & 1 ? below(time + 1) : time;
      for (int64_t i = 0; i < batch * time; ++i) mask[i] = !(choice & 2) || below(5) != 0;
      for (const int threads : {1, 2, 3}) {
        Guarded<float> y(batch * time * n), h(h0), c(c0);
        cell.run({batch, time, x.get(), nullptr, choice & 1 ? lengths.get() : nullptr, choice & 2 ? mask.get() : nullptr,
                  false, reverse, threads},
                 h.get(), c.get(), y.get(), nullptr);
        for (int64_t i = 0; i < batch; ++i) {
          Guarded<float> h1(n), c1(n), xt(m);
          std::copy_n(h0.get() + i * n, n, h1.get());
          std::copy_n(c0.get() + i * n, n, c1.get());
          const auto same = [&](const Guarded<float>& one, const float* other) {
            return std::memcmp(one.get(), other, sizeof(float) * static_cast<size_t>(n)) == 0;
          };
          for (int64_t s = 0; s < lengths[i]; ++s) {
            const int64_t t = i * time + (reverse ? lengths[i] - 1 - s : s);
            if (!mask[t]) continue;
            std::copy_n(x.get() + t * m, m, xt.get());
            cell.step(xt.get(), nullptr, 1, h1.get(), c1.get(), h1.get(), c1.get());
            CHECK(same(h1, y.get() + t * n), "%s n=%ld: step %ld of %ld differs from what went ahead", level.name, long(n),
                  long(s), long(lengths[i]));
          }
          CHECK(same(h1, h.get() + i * n) && same(c1, c.get() + i * n), "%s n=%ld: ends elsewhere", level.name, long(n));
        }
      }
    }
  }
}

// Rows of a step are numbered in the same way however many there are.
void check_many_rows(const RecurrentLevel& level) {
  constexpr int64_t batch = 160'000, some = 10, n = 2, m = 1, time = 2;
  const Act acts[3] = {{Activation::sigmoid}, {Activation::tanh}, {Activation::tanh}};
  const auto w = values(4 * n * m), u = values(4 * n * n), b = values(4 * n), few = values(some * time * m);
  const RecurrentCell cell(level, Kind::lstm, {w.get(), u.get(), b.get(), nullptr, n, m}, acts, Precision::float32);
  Guarded<float> x(batch * time * m), y(batch * time * n), h(batch * n), c(batch * n);
  Guarded<float> wanted(some * time * n), h1(some * n), c1(some * n);
  for (int64_t i = 0; i < x.size; ++i) x[i] = few[i % few.size];
  cell.run({some, time, few.get(), nullptr, nullptr, nullptr, false, false, 1}, h1.get(), c1.get(), wanted.get(), nullptr);
  cell.run({batch, time, x.get(), nullptr, nullptr, nullptr, false, false, 1}, h.get(), c.get(), y.get(), nullptr);
  bool same = true;
  for (int64_t i = 0; i < y.size; ++i) same &= y[i] == wanted[i % wanted.size];
  CHECK(same, "%s: one of many rows differs from that row among few", level.name);
}

// Blocks of memory: from small ones to some of many large pages.
void check_memory() {
  const auto address = [](const Aligned& a) { return reinterpret_cast<uintptr_t>(a.as<char>()); };
  for (const int64_t bytes : {int64_t{0}, int64_t{1}, int64_t{1} << 17, int64_t{3} << 20, (int64_t{9} << 20) + 1}) {
    const Aligned block(bytes), next(bytes), small(int64_t{1} << 17);
    for (const Aligned* a : {&block, &next, &small}) {
      CHECK(address(*a) % 64 == 0, "memory of %ld bytes starts within a line", long(bytes));
      CHECK(std::all_of(a->as<char>(), a->as<char>() + a->bytes(), [](char v) { return v == 0; }), "memory is not zero");
    }
    const uintptr_t ends[][2] = {{address(block), address(block) + static_cast<uintptr_t>(bytes)},
                                 {address(next), address(next) + static_cast<uintptr_t>(bytes)}};
    CHECK(ends[0][1] <= ends[1][0] || ends[1][1] <= ends[0][0], "blocks of %ld bytes overlap", long(bytes));
    // What is small would keep the pages of a block many times its size.
    const uintptr_t pages = uintptr_t{10} << 20;
    if (bytes > int64_t{8} << 20)
      for (const auto& [from, to] : ends)
        CHECK(address(small) < from || address(small) >= from + pages, "a small block keeps one of %ld bytes", long(bytes));
  }
}

// Threads may still be at work when static objects are destroyed: this one is destroyed after those of the kernels.
const struct AtExit {
  ~AtExit() { const Aligned block(1 << 18); }
} at_exit;

// The argmax of a product is that of all its outputs, or is left to them where two are within 1e-6.
void check_argmax(const RecurrentLevel& level) {
  for (int trial = 0; trial < 200; ++trial) {
    const int64_t inputs = 1 + below(trial < 150 ? 70 : 300), outputs = 1 + below(trial % 4 ? 150 : 600);
    const float size = trial % 7 == 0 ? 1e-20f : trial % 7 == 1 ? 1e15f : 1.0f;
    auto w = values(outputs * inputs, size), b = values(outputs), x = values(inputs, trial % 5 ? 1.0f : 1e-18f);
    if (trial % 11 == 0 && outputs > 1) {  // one row twice, above all others: equals, or nearly
      std::copy(w.get(), w.get() + inputs, w.get() + (outputs - 1) * inputs);
      b[0] = 1 + size, b[outputs - 1] = b[0] + static_cast<float>(below(3)) * 2e-7f;
    }
    if (trial % 13 == 0) std::fill(x.get(), x.get() + inputs, 0.0f);
    if (trial % 17 == 0) x[below(inputs)] = trial % 2 ? std::numeric_limits<float>::quiet_NaN() : 3e38f;
    const float* bias = trial % 3 ? b.get() : nullptr;
    const Dense dense(level, w.get(), bias, outputs, inputs, Precision::float32);
    Guarded<float> y(outputs);
    dense.run(x.get(), 1, y.get(), 1);
    int64_t best = 0;
    bool numbers = true;
    for (int64_t o = 0; o < outputs; ++o) {
      numbers &= std::isfinite(y[o]);
      if (y[o] > y[best]) best = o;
    }
    bool certain = numbers;
    for (int64_t o = 0; o < outputs; ++o) certain &= o == best || y[best] - y[o] >= 1e-6f;
    const int64_t found = Argmax(dense, w.get(), bias).of(x.get());
    CHECK(found == (certain ? best : -1) || (trial % 17 == 0 && found == -1), "%s argmax %ldx%ld: %ld, not %ld (%d)",
          level.name, long(outputs), long(inputs), long(found), long(best), int(certain));
  }
}

void check_elementwise(const RecurrentLevel& level) {
  const Flush flush;
  for (int kind = 0; kind < 16; ++kind)
    for (const int64_t count : {1, 3, 15, 16, 17, 64, 100}) {
      auto x = values(count, 9);
      const Act act{static_cast<Activation>(kind), 0.3f, 0.5f};
      Guarded<float> y(count), one(1);
      level.activate(act, x.get(), count, y.get());
      for (int64_t i = 0; i < count; ++i) {
        Guarded<float> in(1);
        in[0] = x[i];
        level.activate(act, in.get(), 1, one.get());
        CHECK(std::memcmp(&one[0], &y[i], 4) == 0, "%s activation %d: its place changes it", level.name, kind);
      }
      for (const float bad : {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                              std::numeric_limits<float>::quiet_NaN(), 3e38f, -3e38f, 1e-40f}) {
        x[0] = bad;
        level.activate(act, x.get(), count, y.get());
        CHECK(bad == bad || y[0] != y[0], "%s activation %d loses NaN", level.name, kind);
      }
    }
  for (const int64_t count : {1, 2, 15, 16, 17, 33, 200}) {
    const auto x = values(count, 20);
    Guarded<float> y(count);
    level.softmax(x.get(), count, y.get());
    double sum = 0;
    for (int64_t i = 0; i < count; ++i) sum += y[i];
    CHECK(std::fabs(sum - 1) < 1e-5, "%s softmax of %ld sums to %g", level.name, long(count), sum);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const bool quick = argc > 1 && std::string(argv[1]) == "--quick";
  check_memory();
  for (int i = 0; i < level_count(); ++i) {
    const RecurrentLevel& level = recurrent_level_at(i);
    CHECK(std::strcmp(level.name, level_at(i).name) == 0, "levels differ: %s", level.name);
    check_products(level);
    check_cells(level, quick);
    check_threads(level);
    check_ahead(level);
    check_many_rows(level);
    check_argmax(level);
    check_elementwise(level);
    std::printf("%s: recurrent kernels checked\n", level.name);
  }
  std::printf("%ld checks, %ld failures\n", long(checks), long(failures));
  return failures ? 1 : 0;
}
