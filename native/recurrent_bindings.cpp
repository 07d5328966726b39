// Python's view of the recurrent kernels. Sequences come checked (src/kiyas/kernels/recurrent.py). Steps are so short
// that they look at their arguments here: what is not plainly right is answered with None, and Python looks closer.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/vector.h>

#include <cstring>
#include <optional>

#include "arrays.h"
#include "recurrent.h"

using namespace kiyas;

namespace {

template <class A>
auto data(const std::optional<A>& x) -> decltype(x->data()) {
  return x ? x->data() : nullptr;
}

// Bytes of weights that a call reads from which on other Python threads may run meanwhile.
constexpr int64_t kLongCall = 400'000;

class MaybeReleased {
 public:
  explicit MaybeReleased(bool release) : state_(release ? PyEval_SaveThread() : nullptr) {}
  ~MaybeReleased() {
    if (state_) PyEval_RestoreThread(state_);
  }
  MaybeReleased(const MaybeReleased&) = delete;
  MaybeReleased& operator=(const MaybeReleased&) = delete;

 private:
  PyThreadState* state_;
};

// A contiguous array of floats (or of 64-bit integers) of a given shape, or nothing.
class Buffer {
 public:
  Buffer() = default;
  ~Buffer() {
    if (held_) PyBuffer_Release(&view_);
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  bool take(nb::handle of, bool write) {
    if (PyObject_GetBuffer(of.ptr(), &view_, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (write ? PyBUF_WRITABLE : 0)) != 0) {
      PyErr_Clear();
      return false;
    }
    held_ = true;
    return true;
  }
  bool floats() const { return view_.format && view_.format[0] == 'f' && view_.format[1] == 0; }
  bool integers() const {
    return view_.format && (view_.format[0] == 'l' || view_.format[0] == 'q') && view_.format[1] == 0 &&
           view_.itemsize == 8;
  }
  bool shaped(int64_t a) const { return view_.ndim == 1 && view_.shape[0] == a; }
  bool shaped(int64_t a, int64_t b) const { return view_.ndim == 2 && view_.shape[0] == a && view_.shape[1] == b; }
  int dims() const { return view_.ndim; }
  int64_t size(int axis) const { return view_.shape[axis]; }
  template <class T>
  T* as() const { return static_cast<T*>(view_.buf); }

 private:
  Py_buffer view_{};
  bool held_ = false;
};

// numpy.empty((rows, columns), float32), called directly: arrays from nanobind cost a microsecond.
nb::object empty(int64_t rows, int64_t columns) {
  static PyObject *function = nullptr, *dtype = nullptr;
  if (!function) {
    const nb::module_ numpy = nb::module_::import_("numpy");
    function = nb::object(numpy.attr("empty")).release().ptr();
    dtype = nb::object(numpy.attr("dtype")("float32")).release().ptr();
  }
  const nb::tuple shape = nb::make_tuple(rows, columns);
  PyObject* arguments[] = {shape.ptr(), dtype};
  nb::object out = nb::steal(PyObject_Vectorcall(function, arguments, 2, nullptr));
  if (!out.is_valid()) nb::raise_python_error();
  return out;
}

bool all_finite(const float* x, int64_t count) {
  // The exponent of infinity and NaN is all ones.
  uint32_t found = 0;
  for (int64_t i = 0; i < count; ++i) {
    uint32_t bits;
    std::memcpy(&bits, x + i, sizeof bits);
    found |= (bits & 0x7F800000u) == 0x7F800000u;
  }
  return found == 0;
}


using PyAct = In<float, 1>;  // kind, alpha, beta
Act act_of(const PyAct& a) { return {static_cast<Activation>(static_cast<int>(a.data()[0])), a.data()[1], a.data()[2]}; }

struct PyDense {
  Dense dense;
  PyDense(int level, const In<float, 2>& weights, const std::optional<In<float, 1>>& bias, int precision)
      : dense(recurrent_level_at(level), weights.data(), data(bias), static_cast<int64_t>(weights.shape(0)),
              static_cast<int64_t>(weights.shape(1)), static_cast<Precision>(precision)) {}

  // y, or None: x is not a plain array of the right shape, or there is an `out` that is not.
  nb::object call(nb::handle x, nb::handle out, int threads) const {
    Buffer in, to;
    if (!in.take(x, false) || !in.floats() || in.dims() != 2 || in.size(1) != dense.inputs()) return nb::none();
    const int64_t rows = in.size(0);
    nb::object y = out.is_none() ? empty(rows, dense.outputs()) : nb::borrow(out);
    if (!to.take(y, true) || !to.floats() || !to.shaped(rows, dense.outputs())) return nb::none();
    const MaybeReleased release(rows * dense.bytes() > kLongCall);
    dense.run(in.as<const float>(), rows, to.as<float>(), threads);
    return y;
  }
};

struct PyCell {
  RecurrentCell cell;
  PyCell(int level, int kind, const In<float, 2>& input, const In<float, 2>& recurrent,
         const std::optional<In<float, 1>>& bias, const std::optional<In<float, 1>>& recurrent_bias, const PyAct& gate,
         const PyAct& candidate, const PyAct& output, int precision)
      : cell(recurrent_level_at(level), static_cast<Kind>(kind),
             {input.data(), recurrent.data(), data(bias), data(recurrent_bias),
              static_cast<int64_t>(recurrent.shape(1)), static_cast<int64_t>(input.shape(1))},
             {act_of(gate), act_of(candidate), act_of(output)}, static_cast<Precision>(precision)) {}

  void embed(const In<float, 2>& table) { cell.embed(table.data(), static_cast<int64_t>(table.shape(0))); }

  // Rows of an input that is plainly right, or -1.
  int64_t rows_of(const Buffer& x) const {
    if (cell.vocabulary()) {
      if (!x.integers() || x.dims() != 1) return -1;
      for (int64_t i = 0; i < x.size(0); ++i)
        if (x.as<const int64_t>()[i] < 0 || x.as<const int64_t>()[i] >= cell.vocabulary()) return -1;
      return x.size(0);
    }
    return x.floats() && x.dims() == 2 && x.size(1) == cell.inputs() ? x.size(0) : -1;
  }

  // (y, (h, c)) or (y, (h,)), or None: something is not plainly right.
  nb::object step(nb::handle x, nb::handle state, nb::handle out) const {
    const bool lstm = cell.kind() == Kind::lstm;
    const int arrays = lstm ? 2 : 1;
    Buffer in, before[2], after[2];
    if (!in.take(x, false)) return nb::none();
    const int64_t rows = rows_of(in), n = cell.units();
    if (rows < 0) return nb::none();
    if (!PyTuple_CheckExact(state.ptr()) || PyTuple_GET_SIZE(state.ptr()) != arrays) return nb::none();
    for (int i = 0; i < arrays; ++i)
      if (!before[i].take(PyTuple_GET_ITEM(state.ptr(), i), false) || !before[i].floats() || !before[i].shaped(rows, n))
        return nb::none();
    nb::object now;
    if (out.is_none()) now = lstm ? nb::make_tuple(empty(rows, n), empty(rows, n)) : nb::make_tuple(empty(rows, n));
    else if (PyTuple_CheckExact(out.ptr()) && PyTuple_GET_SIZE(out.ptr()) == arrays) now = nb::borrow(out);
    else return nb::none();
    for (int i = 0; i < arrays; ++i)
      if (!after[i].take(PyTuple_GET_ITEM(now.ptr(), i), true) || !after[i].floats() || !after[i].shaped(rows, n))
        return nb::none();
    {
      const MaybeReleased release(rows * cell.bytes() > kLongCall);
      const bool ids = cell.vocabulary() != 0;
      cell.step(ids ? nullptr : in.as<const float>(), ids ? in.as<const int64_t>() : nullptr, rows,
                before[0].as<const float>(), lstm ? before[1].as<const float>() : nullptr, after[0].as<float>(),
                lstm ? after[1].as<float>() : nullptr);
    }
    return nb::make_tuple(nb::borrow(PyTuple_GET_ITEM(now.ptr(), 0)), now);
  }

  void run(const std::optional<In<float, 3>>& x, const std::optional<In<int64_t, 2>>& ids, int64_t batch, int64_t time,
           const Out<float, 2>& h, const std::optional<Out<float, 2>>& c, const std::optional<Out<float, 3>>& y,
           const std::optional<Out<float, 2>>& last, const std::optional<In<int64_t, 1>>& lengths,
           const std::optional<In<bool, 2>>& mask, bool zero_masked, bool reverse, int threads) const {
    const nb::gil_scoped_release release;
    cell.run({batch, time, data(x), data(ids), data(lengths), reinterpret_cast<const uint8_t*>(data(mask)), zero_masked,
              reverse, threads},
             h.data(), data(c), data(y), data(last));
  }
};

// Cells one after another, and a dense product and an activation after them where asked for; the state stays.
struct PyStepper {
  struct Layer {
    nb::object keep;
    const RecurrentCell* cell;
    Out<float, 2> h;
    std::optional<Out<float, 2>> c;
  };
  std::vector<Layer> layers;
  nb::object keep;
  const Dense* head = nullptr;
  int softmax = 0;
  Act act;
  const RecurrentLevel& level;
  int64_t batch, bytes = 0;

  PyStepper(int level_, const nb::list& cells, const std::vector<Out<float, 2>>& h,
            const std::vector<std::optional<Out<float, 2>>>& c, const nb::object& head_, bool softmax_, const PyAct& act_,
            int64_t batch_)
      : keep(head_), softmax(softmax_), act(act_of(act_)), level(recurrent_level_at(level_)), batch(batch_) {
    for (size_t i = 0; i < h.size(); ++i) {
      layers.push_back({nb::borrow(cells[i]), &nb::cast<const PyCell&>(cells[i]).cell, h[i], c[i]});
      bytes += layers.back().cell->bytes();
    }
    if (!head_.is_none()) head = &nb::cast<const PyDense&>(head_).dense, bytes += head->bytes();
  }

  int64_t outputs() const { return head ? head->outputs() : layers.back().cell->units(); }

  // y, or None: something is not plainly right.
  nb::object step(nb::handle x, nb::handle out) const {
    const RecurrentCell& first = *layers.front().cell;
    const bool ids = first.vocabulary() != 0;
    Buffer in, to;
    int64_t single = 0;
    const int64_t* id = nullptr;
    const float* values = nullptr;
    if (ids && PyLong_CheckExact(x.ptr())) {
      single = PyLong_AsLongLong(x.ptr());
      if (single == -1 && PyErr_Occurred()) PyErr_Clear();
      if (batch != 1 || single < 0 || single >= first.vocabulary()) return nb::none();
      id = &single;
    } else if (!in.take(x, false)) {
      return nb::none();
    } else if (ids) {
      if (!in.integers() || !in.shaped(batch)) return nb::none();
      id = in.as<const int64_t>();
      for (int64_t i = 0; i < batch; ++i)
        if (id[i] < 0 || id[i] >= first.vocabulary()) return nb::none();
    } else {
      if (!in.floats() || !in.shaped(batch, first.inputs())) return nb::none();
      values = in.as<const float>();
      if (!all_finite(values, batch * first.inputs())) return nb::none();
    }
    nb::object y = out.is_none() ? empty(batch, outputs()) : nb::borrow(out);
    if (!to.take(y, true) || !to.floats() || !to.shaped(batch, outputs())) return nb::none();
    {
      const MaybeReleased release(batch * bytes > kLongCall);
      for (const Layer& l : layers) {
        float* c = l.c ? l.c->data() : nullptr;
        l.cell->step(values, id, batch, l.h.data(), c, l.h.data(), c);
        values = l.h.data(), id = nullptr;
      }
      float* result = to.as<float>();
      if (head) head->run(values, batch, result, 1);
      else std::memcpy(result, values, sizeof(float) * static_cast<size_t>(batch * outputs()));
      const Flush flush;
      if (softmax)
        for (int64_t r = 0; r < batch; ++r) level.softmax(result + r * outputs(), outputs(), result + r * outputs());
      else if (act.kind != Activation::linear) level.activate(act, result, batch * outputs(), result);
    }
    return y;
  }
};

void activate_of(int level, const PyAct& act, const In<float, 1>& x, const Out<float, 1>& out) {
  const MaybeReleased release(static_cast<int64_t>(x.size()) > kLongCall / 16);
  const Flush flush;
  recurrent_level_at(level).activate(act_of(act), x.data(), static_cast<int64_t>(x.size()), out.data());
}

void softmax_of(int level, const In<float, 2>& x, const Out<float, 2>& out) {
  const MaybeReleased release(static_cast<int64_t>(x.size()) > kLongCall / 16);
  const Flush flush;
  const auto columns = static_cast<int64_t>(x.shape(1));
  for (int64_t r = 0; r < static_cast<int64_t>(x.shape(0)); ++r)
    recurrent_level_at(level).softmax(x.data() + r * columns, columns, out.data() + r * columns);
}

// Whether the processor flushes denormals now: kernels must leave this as they found it.
bool flushes() {
  volatile float small = 1.17549435e-38f;
  return small * 0.5f == 0.0f;
}

}  // namespace

void bind_recurrent(nb::module_& m) {
  nb::class_<PyDense>(m, "Dense")
      .def(nb::init<int, In<float, 2>, std::optional<In<float, 1>>, int>(), nb::arg(), nb::arg(), nb::arg().none(),
           nb::arg())
      .def("call", &PyDense::call, nb::arg(), nb::arg().none(), nb::arg())
      .def_prop_ro("bytes", [](const PyDense& d) { return d.dense.bytes(); });
  nb::class_<PyCell>(m, "RecurrentCell")
      .def(nb::init<int, int, In<float, 2>, In<float, 2>, std::optional<In<float, 1>>, std::optional<In<float, 1>>,
                    PyAct, PyAct, PyAct, int>(),
           nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().none(), nb::arg().none(), nb::arg(), nb::arg(),
           nb::arg(), nb::arg())
      .def("embed", &PyCell::embed)
      .def("step", &PyCell::step, nb::arg(), nb::arg().none(), nb::arg().none())
      .def("run", &PyCell::run, nb::arg().none(), nb::arg().none(), nb::arg(), nb::arg(), nb::arg(), nb::arg().none(),
           nb::arg().none(), nb::arg().none(), nb::arg().none(), nb::arg().none(), nb::arg(), nb::arg(), nb::arg())
      .def_prop_ro("bytes", [](const PyCell& c) { return c.cell.bytes(); });
  nb::class_<PyStepper>(m, "Stepper")
      .def(nb::init<int, nb::list, std::vector<Out<float, 2>>, std::vector<std::optional<Out<float, 2>>>, nb::object,
                    bool, PyAct, int64_t>(),
           nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().none(), nb::arg(), nb::arg(), nb::arg())
      .def("step", &PyStepper::step, nb::arg(), nb::arg().none());
  m.def("activate", &activate_of);
  m.def("softmax", &softmax_of);
  m.def("flushes_denormals", &flushes);
}
