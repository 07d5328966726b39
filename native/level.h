// One set of kernels for each instruction level. Plain functions on pointers and sizes.
#pragma once
#include <cstdint>

namespace kiyas {

// Rows of codes may be read up to this many bytes past their end; arrays of codes carry the slack.
constexpr int64_t kSlack = 128;
constexpr int64_t kTurnPart = 64;
// Rows a filter looks at together: their verdicts fit one 64-bit mask.
constexpr int kBlock = 64;
// Rows whose codes lie together, four dimensions of each row after the other (products.h).
constexpr int kGroup = 16;

// All rounding of the float32 filter is paid for by this, relative to the largest quantity of each comparison; over
// thirty roundings of float32.
constexpr float kMargin = 2e-6f;

// What the epilogue of an inner measure compares p with. Surrogates rank as the measure does.
enum class Inner : int {
  cosine = 0,           // p / (ab)
  dot = 1,              // p
  euclidean = 2,        // -d
  ndd = 3,              // p / sqrt((a² + b²)/2), or with the query at norm κ
  log_scaled = 4,       // p / log1p(ab)
  hybrid = 5,           // p / (1 + d)
  dice = 6,             // 2p / (a² + b²)
  tempered_cosine = 7,  // p / b^β; row factor b^β
  poincare = 8,         // -d / sqrt((1-a²)(1-b²)); row factor 1 - b²
};

// A block of rows as the float32 filter of the inner family sees it.
struct InnerBlock {
  const float* scale;     // value of one code step
  const float* residual;  // ‖x - x̂‖ of the head, rounded up; infinite where float32 is not to be trusted
  const float* rest;      // norm of the tail, rounded up
  const float* norm;      // ‖x‖, rounded up
  const float* factor;    // row factor of the kind, or null; for log_scaled log b, or null where log ab may be below 3
  int rows;
};

// A query as that filter sees it.
struct InnerQuery {
  float step;      // value of one code step of the query
  float residual;  // ‖q - q̂‖ of the head, rounded up
  float head;      // norm of the head, rounded up
  float rest;      // norm of the tail, rounded up
  float norm;      // ‖q‖, rounded up
  float kappa;     // norm the query counts as (ndd), ‖q‖ where none is asked for; for log_scaled log ‖q‖
  int32_t shift;   // 128 · Σ query codes: what storing rows as unsigned codes has added
};

// What a dimension loses by a difference δ: δ itself, min(δ, 1), 1 - e^-δ.
enum class Loss : int { linear = 0, clipped = 1, exponential = 2 };

// What code_dot rounds by: 32 sums side by side and their sum, dims % 32 of one more, products, q itself.
inline double code_dot_error(int64_t dims) { return (static_cast<double>(dims) / 32 + 72) * 0x1p-24; }

struct Level {
  const char* name;
  int query_limit;  // largest absolute query code that dot() takes without overflow
  int64_t dot_step;  // bytes that dot() takes at a time: `padded` is a multiple of it

  // out[j*kBlock + i] = Σ rows[i]·q[j] over 4·steps bytes, for up to kBlock rows in groups; sums of the rows that
  // fill a last group mean nothing.
  void (*dots)(const uint8_t* groups, int64_t steps, int rows, const int8_t* q, int64_t qstride, int queries,
               int32_t* out);
  // Σ row·q over `padded` bytes of a row as it lies; the query is zero past its end.
  int32_t (*dot)(const uint8_t* row, const int8_t* q, int64_t padded);
  // out[i] = Σ |row - q|;  Σ max(row, q);  Σ 16·base[k>>4] + slope[k>>4]·(k&15) with k = |row - q|
  void (*l1)(const uint8_t* codes, int64_t stride, int rows, const uint8_t* q, int64_t dims, uint32_t* out);
  void (*maxima)(const uint8_t* codes, int64_t stride, int rows, const uint8_t* q, int64_t dims, uint32_t* out);
  void (*table)(const uint8_t* codes, int64_t stride, int rows, const uint8_t* q, int64_t dims, const uint8_t* base,
                const uint8_t* slope, uint32_t* out);
  // The same of rows' high halves, 16·high against the query's bytes: byte i of a row holds dimensions i (its low
  // nibble) and `half` + i; so does the query hold them, in two runs each followed by kSlack zeros.
  void (*l1_high)(const uint8_t* high, int64_t half, int rows, const uint8_t* q, uint32_t* out);
  void (*table_high)(const uint8_t* high, int64_t half, int rows, const uint8_t* q, const uint8_t* base,
                     const uint8_t* slope, uint32_t* out);
  // A row's 2·half bytes, 16·high + low.
  void (*join)(const uint8_t* high, const uint8_t* low, int64_t half, uint8_t* out);
  // Rows whose score may reach the threshold (in surrogate units): never drops one that does. `inner_reach` takes
  // upper bounds of p, to which kMargin·ab was added.
  uint64_t (*inner_filter)(Inner kind, const InnerBlock& block, const InnerQuery& query, const int32_t* dots,
                           double threshold);
  // Upper bounds of p alone; coarse codes may put one beyond ab, or leave it infinite or undefined.
  void (*inner_upper)(const InnerBlock& block, const InnerQuery& query, const int32_t* dots, float* p);
  uint64_t (*inner_reach)(Inner kind, const float* p, const float* norm, const float* factor, int rows,
                          const InnerQuery& query, double threshold);
  // log x, to 1.3e-5, of normal x > 0.
  void (*logarithms)(const float* x, int count, float* out);
  // out[r] = x[r]·m for up to four rows of floats, m (dims × dims): sums in parts of kTurnPart in float32, added in
  // double, so that the error is that of short sums.
  void (*turn)(const float* const x[4], int rows, const float* m, int64_t dims, double* const out[4]);
  // p = Σ q·x and d2 = Σ (q-x)², correctly rounded; `exact` says that products fit a double.
  void (*gram)(const double* q, const double* x, int64_t dims, bool exact, double* p, double* d2);
  // Σ |q-x|, and Σ term; correctly rounded.
  double (*l1_sum)(const double* q, const double* x, int64_t dims);
  double (*sum)(const double* terms, int64_t count);
  // e^-x for x >= 0, to less than a unit in the last place, the same at every level.
  void (*exponentials)(const double* x, int64_t count, double* out);
  // Σ wᵢ·min(loss(|xᵢ-qᵢ|·inverseᵢ), cap), rounded as the type rounds; inverse and weight may be null (for 1).
  float (*loss_float)(Loss kind, const float* x, const float* q, const float* inverse, const float* weight,
                      int64_t dims, float cap);
  double (*loss_double)(Loss kind, const double* x, const double* q, const double* inverse, const double* weight,
                        int64_t dims, double cap);
  // Σ (code-128)·q, to code_dot_error(dims)·‖codes‖‖q‖.
  float (*code_dot)(const uint8_t* codes, const float* q, int64_t dims);
};

// Levels of this build that this machine can run, weakest first; dispatch.cpp.
int level_count();
const Level& level_at(int index);

}  // namespace kiyas
