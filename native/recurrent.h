// Cells of recurrent layers and dense products: packed weights, and what runs over them.
//
// A sum over inputs has one order: it starts at the bias and takes the inputs one after another, those of the input
// before those of the recurrence. So a product hoisted over time, a step, a batch and a part of the units give the
// same bits. docs/recurrent-speed.md says how the kernels are laid out and why.
#pragma once
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace kiyas {

enum class Precision : int { float32 = 0, bfloat16 = 1, int8 = 2 };

enum class Activation : int {
  linear = 0, sigmoid = 1, tanh = 2, relu = 3, hard_sigmoid = 4, softsign = 5, elu = 6, selu = 7, exponential = 8,
  swish = 9, relu6 = 10, leaky_relu = 11, softplus = 12, gelu = 13, gelu_tanh = 14, mish = 15,
};

// An activation with its parameters: alpha of elu and leaky_relu, alpha and beta of hard_sigmoid.
struct Act {
  Activation kind = Activation::linear;
  float alpha = 0, beta = 0;
};

enum class Kind : int { lstm = 0, gru_after = 1, gru_before = 2, simple = 3 };

// Weights of a product, packed: for a panel of `vectors` vectors of outputs, the weights of one input (two for
// bfloat16, four for int8) stand side by side, and input follows input. A panel of four vectors is stored as streams of two,
// or of one, one after the other, so that some of its vectors can be read without the others.
struct Product {
  Precision precision = Precision::float32;
  int vectors = 4, stream = 2;  // vectors of a panel and of a stream in it
  int64_t panels = 0, inputs = 0, panel_bytes = 0;
  const void* weights = nullptr;
  bool rounded = false;            // bfloat16: its inputs are rounded too, those of a recurrence are not
  const float* scale = nullptr;    // int8: value of a step, an output
  const int32_t* shift = nullptr;  // int8: what unsigned codes of the inputs add, taken off again
};

// Room for a prepared row of inputs. int8: its scale, then up to 32 bytes for sixteen inputs. bfloat16: inputs, rounded.
constexpr int64_t kRowHeader = 64;
constexpr int64_t row_bytes(int64_t inputs) { return kRowHeader + (inputs + 15) / 16 * 64; }

struct Cell {
  Kind kind = Kind::lstm;
  int64_t units = 0, blocks = 0, padded = 0;  // vectors of units; units rounded up to four vectors
  Act gate, candidate, output;
  Product input, recurrent, second;      // second: candidate of a GRU that resets before the product
  const float* bias = nullptr;           // packed as the input product
  const float* recurrent_bias = nullptr;  // of the candidate, a unit: GRU that resets after
};

// A part of the input product of a block of later steps, which a step takes along (recurrent_ahead.h).
struct Ahead {
  const void* const* x;  // rows of the block, prepared where the product asks for that
  const uint8_t* codes;  // those of int8, side by side, with VNNI
  float* const* z;       // the input part of the rows; until the last part, sums under way
  int rows, part;        // of as many parts as the block has rows
};

// Rows that take a step together: of floats, or prepared where the product asks for that.
struct Step {
  int count;
  const float* const* z;  // input part of the gates; or null: it is computed here from x
  const void* const* x;
  const void* const* h;  // what the recurrent product reads
  const float* const* old;  // the state h as floats
  float* const* c;          // LSTM: c, updated in place; gru_before: the update gate, kept for the second part
  float* const* out;        // new h; first part of gru_before: r·h
  bool backward;            // blocks from the last to the first: what the last step left in the cache comes first
  const Ahead* ahead = nullptr;  // one row of a cell for which block_ahead() is not 0
};

struct RecurrentLevel {
  const char* name;
  int lanes;
  int input_stream;  // vectors of a stream in the int8 input product of an LSTM
  // A row of inputs as the product takes it: int8, and bfloat16 with rounded inputs.
  void (*prepare)(const Product& product, const float* x, uint8_t* out);
  // Of such rows of int8, the codes side by side, where the level takes a block of them so.
  void (*beside)(const void* const* rows, int count, int64_t inputs, uint8_t* out);
  // out[row][panel·vectors·lanes …] = start + W·row for panels [from, to); `rows` as in Step.
  void (*product)(const Product& product, int64_t from, int64_t to, const float* start, const void* const* rows,
                  int count, float* const* out);
  // One step for panels [from, to) of the recurrent product.
  void (*cells)(const Cell& cell, const Step& step, int64_t from, int64_t to);
  // Steps in a block whose input part the steps of one row before it take along; 0: it is not worth it.
  int (*block_ahead)(const Cell& cell, int64_t time);
  // Second part of gru_before: `h` holds r·h.
  void (*second)(const Cell& cell, const Step& step, int64_t from, int64_t to);
  // Whether there is neither NaN nor infinity.
  bool (*all_finite)(const float* x, int64_t count);
  void (*activate)(Act act, const float* x, int64_t count, float* out);
  void (*softmax)(const float* x, int64_t count, float* out);
  // Panels of four vectors that hold a value z which, off by up to near·x + far·d + always, may be the largest: they are
  // written to `found`, and counted. None where no value is a number.
  int64_t (*reaching)(const float* z, const float* near, const float* far, float x, float d, float always,
                      int64_t panels, int64_t* found);
};

// The same levels in the same order as level_at(); dispatch.cpp.
const RecurrentLevel& recurrent_level_at(int index);

// Flushes denormals in its scope and puts the state of the processor back.
class Flush {
 public:
  Flush();
  ~Flush();
  Flush(const Flush&) = delete;
  Flush& operator=(const Flush&) = delete;

 private:
  uint64_t before_;
};

// Memory that starts on a line of the cache.
class Aligned {
 public:
  Aligned() = default;
  explicit Aligned(int64_t bytes);
  Aligned(Aligned&&) = default;
  Aligned& operator=(Aligned&&) = default;
  template <class T>
  T* as() const { return static_cast<T*>(data_.get()); }
  int64_t bytes() const { return bytes_; }

 private:
  std::shared_ptr<void> data_;
  int64_t bytes_ = 0;
};

// A product with the memory it is packed in.
struct Packed {
  Product product;
  Aligned weights, scale, shift;
};

// Rows of canonical weights -> packed; `rows` names the row of each packed output, -1 for none. `stream` 0: two vectors of
// four, or all of fewer.
Packed pack(const RecurrentLevel& level, const float* weights, int64_t inputs, const std::vector<int64_t>& rows,
            int vectors, Precision precision, int stream = 0);
// Outputs in their own order, four vectors a panel, from row `first` of the weights on.
std::vector<int64_t> plain_rows(int64_t outputs, int lanes, int64_t first = 0);
// What a code of a row of int8 weights stands for, and the code of a weight.
double code_step(const float* row, int64_t inputs);
int8_t code_of(float weight, double step);

// x·Wᵀ + b.
class Dense {
 public:
  Dense(const RecurrentLevel& level, const float* weights, const float* bias, int64_t outputs, int64_t inputs,
        Precision precision);
  void run(const float* x, int64_t rows, float* out, int threads) const;
  // Of float32 weights: the outputs of one panel for one row, as many as a panel has.
  void panel(int64_t number, const float* x, float* out) const;
  const RecurrentLevel& level() const { return level_; }
  int64_t outputs() const { return outputs_; }
  int64_t inputs() const { return packed_.product.inputs; }
  int64_t bytes() const { return packed_.weights.bytes(); }

 private:
  void part(const float* x, int64_t rows, float* out, int64_t from, int64_t to) const;
  const RecurrentLevel& level_;
  int64_t outputs_;
  Packed packed_;
  Aligned bias_;
};

struct CellWeights {
  const float *input, *recurrent, *bias, *recurrent_bias;  // biases may be null
  int64_t units, inputs;
};

struct SequenceInput {
  int64_t batch, time;
  const float* x;         // (batch, time, inputs), or null
  const int64_t* ids;     // (batch, time), where a table was made
  const int64_t* lengths;  // (batch,) or null
  const uint8_t* mask;     // (batch, time) or null
  bool zero_masked, reverse;
  int threads;
};

class RecurrentCell {
 public:
  RecurrentCell(const RecurrentLevel& level, Kind kind, const CellWeights& weights, const Act (&acts)[3],
                Precision precision);
  // Input part of the gates of every row of an embedding, in place of the product.
  void embed(const float* table, int64_t rows);

  // One step; h and c (batch, units) become h_out and c_out, which may be the same arrays. c is null but for LSTM.
  void step(const float* x, const int64_t* ids, int64_t batch, const float* h, const float* c, float* h_out,
            float* c_out) const;
  // A sequence; h and c are updated in place. y (batch, time, units) and last (batch, units) may be null.
  void run(const SequenceInput& input, float* h, float* c, float* y, float* last) const;

  Kind kind() const { return cell_.kind; }
  int64_t units() const { return cell_.units; }
  int64_t inputs() const { return cell_.input.inputs; }
  int64_t vocabulary() const { return vocabulary_; }
  int64_t bytes() const;

 private:
  struct Plan;
  class Worker;
  const RecurrentLevel& level_;
  Cell cell_;
  Packed input_, recurrent_, second_;
  Aligned bias_, recurrent_bias_, table_;
  int64_t vocabulary_ = 0, width_ = 0;  // floats of a packed input part
};

}  // namespace kiyas
