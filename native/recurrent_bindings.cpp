// Python's view of the recurrent kernels. Steps and plain sequences are so short that they look at their arguments here:
// what is not plainly right is answered with None, and Python looks closer (src/kiyas/kernels/recurrent.py).
#include <nanobind/stl/optional.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "arrays.h"
#include "recurrent.h"
#include "recurrent_argmax.h"

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
  bool shaped(int64_t a, int64_t b, int64_t c) const {
    return view_.ndim == 3 && view_.shape[0] == a && view_.shape[1] == b && view_.shape[2] == c;
  }
  int dims() const { return view_.ndim; }
  int64_t size(int axis) const { return view_.shape[axis]; }
  template <class T>
  T* as() const { return static_cast<T*>(view_.buf); }

 private:
  Py_buffer view_{};
  bool held_ = false;
};

// numpy.empty(shape, float32), called directly: arrays from nanobind cost a microsecond.
template <class... Size>
nb::object empty(Size... sizes) {
  static PyObject *function = nullptr, *dtype = nullptr;
  if (!function) {
    const nb::module_ numpy = nb::module_::import_("numpy");
    function = nb::object(numpy.attr("empty")).release().ptr();
    dtype = nb::object(numpy.attr("dtype")("float32")).release().ptr();
  }
  const nb::tuple shape = nb::make_tuple(sizes...);
  PyObject* arguments[] = {shape.ptr(), dtype};
  nb::object out = nb::steal(PyObject_Vectorcall(function, arguments, 2, nullptr));
  if (!out.is_valid()) nb::raise_python_error();
  return out;
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

struct PyArgmax {
  nb::object keep;
  Argmax argmax;
  PyArgmax(const nb::object& dense, const In<float, 2>& weights, const std::optional<In<float, 1>>& bias)
      : keep(dense), argmax(nb::cast<const PyDense&>(dense).dense, weights.data(), data(bias)) {}

  int64_t call(const In<float, 1>& x) const {
    const MaybeReleased release(argmax.bytes() > kLongCall);
    return argmax.of(x.data());
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

  // Whether x is plainly right: floats with their features last, or ids of the table; `dims` without the features.
  bool plain(const Buffer& x, int dims) const {
    if (!cell.vocabulary()) return x.floats() && x.dims() == dims + 1 && x.size(dims) == cell.inputs();
    if (!x.integers() || x.dims() != dims) return false;
    int64_t count = 1;
    for (int axis = 0; axis < dims; ++axis) count *= x.size(axis);
    for (int64_t i = 0; i < count; ++i)
      if (x.as<const int64_t>()[i] < 0 || x.as<const int64_t>()[i] >= cell.vocabulary()) return false;
    return true;
  }

  // The state before and after a call: (h, c), or (h,) where there is no c.
  class States {
   public:
    States(const PyCell& owner, int64_t rows)
        : arrays_(owner.cell.kind() == Kind::lstm ? 2 : 1), rows_(rows), units_(owner.cell.units()) {}
    // Whether `state` is plainly right.
    bool given(nb::handle state) { return taken(state, before_, false); }
    // Where the new one goes: `out`, or new arrays.
    bool into(nb::handle out) {
      if (out.is_none()) now = arrays_ == 2 ? nb::make_tuple(empty(rows_, units_), empty(rows_, units_))
                                            : nb::make_tuple(empty(rows_, units_));
      else now = nb::borrow(out);
      return taken(now, after_, true);
    }
    const float* before(int i) const { return i < arrays_ ? before_[i].as<const float>() : nullptr; }
    float* after(int i) const { return i < arrays_ ? after_[i].as<float>() : nullptr; }
    // The state that a sequence changes in place.
    void begin(bool fresh) const {
      const size_t bytes = sizeof(float) * static_cast<size_t>(rows_ * units_);
      for (int i = 0; i < arrays_; ++i)
        if (fresh) std::memset(after(i), 0, bytes);
        else std::memcpy(after(i), before(i), bytes);
    }
    nb::object first() const { return nb::borrow(PyTuple_GET_ITEM(now.ptr(), 0)); }
    nb::object now;

   private:
    bool taken(nb::handle state, Buffer (&buffers)[2], bool write) const {
      if (!PyTuple_CheckExact(state.ptr()) || PyTuple_GET_SIZE(state.ptr()) != arrays_) return false;
      for (int i = 0; i < arrays_; ++i)
        if (!buffers[i].take(PyTuple_GET_ITEM(state.ptr(), i), write) || !buffers[i].floats() ||
            !buffers[i].shaped(rows_, units_))
          return false;
      return true;
    }
    Buffer before_[2], after_[2];
    const int arrays_;
    const int64_t rows_, units_;
  };

  // (y, state), or None: something is not plainly right.
  nb::object step(nb::handle x, nb::handle state, nb::handle out) const {
    Buffer in;
    if (!in.take(x, false) || !plain(in, 1)) return nb::none();
    const int64_t rows = in.size(0);
    States states(*this, rows);
    if (!states.given(state) || !states.into(out)) return nb::none();
    {
      const MaybeReleased release(rows * cell.bytes() > kLongCall);
      const bool ids = cell.vocabulary() != 0;
      cell.step(ids ? nullptr : in.as<const float>(), ids ? in.as<const int64_t>() : nullptr, rows, states.before(0),
                states.before(1), states.after(0), states.after(1));
    }
    return nb::make_tuple(states.first(), states.now);
  }

  // Whole sequences, all of one length: (y, state), y being h at the end unless `every` output is wanted; or None:
  // something is not plainly right. `state` None: zeros.
  nb::object sequence(nb::handle x, nb::handle state, bool every, nb::handle out, int threads) const {
    Buffer in, to;
    if (!in.take(x, false) || !plain(in, 2) || !in.size(0) || !in.size(1)) return nb::none();
    const int64_t batch = in.size(0), time = in.size(1), n = cell.units();
    States states(*this, batch);
    if ((!state.is_none() && !states.given(state)) || !states.into(nb::none())) return nb::none();
    nb::object y;
    if (every) {
      y = out.is_none() ? empty(batch, time, n) : nb::borrow(out);
      if (!to.take(y, true) || !to.floats() || !to.shaped(batch, time, n)) return nb::none();
    }
    states.begin(state.is_none());
    {
      const MaybeReleased release(batch * time * cell.bytes() > kLongCall);
      const bool ids = cell.vocabulary() != 0;
      cell.run({batch, time, ids ? nullptr : in.as<const float>(), ids ? in.as<const int64_t>() : nullptr, nullptr,
                nullptr, false, false, threads},
               states.after(0), states.after(1), every ? to.as<float>() : nullptr, nullptr);
    }
    return nb::make_tuple(every ? y : states.first(), states.now);
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

  // One row for each of the batch, as the first cell takes them: numbers, or ids.
  struct Rows {
    Buffer in;
    int64_t single = 0;
    const int64_t* ids = nullptr;
    const float* values = nullptr;
  };
  // Whether x is plainly right.
  bool take(nb::handle x, Rows& rows) const {
    const RecurrentCell& first = *layers.front().cell;
    const bool ids = first.vocabulary() != 0;
    if (ids && PyLong_CheckExact(x.ptr())) {
      rows.single = PyLong_AsLongLong(x.ptr());
      if (rows.single == -1 && PyErr_Occurred()) PyErr_Clear();
      rows.ids = &rows.single;
      return batch == 1 && rows.single >= 0 && rows.single < first.vocabulary();
    }
    if (!rows.in.take(x, false)) return false;
    if (!ids) {
      rows.values = rows.in.as<const float>();
      return rows.in.floats() && rows.in.shaped(batch, first.inputs()) &&
             level.all_finite(rows.values, batch * first.inputs());
    }
    if (!rows.in.integers() || !rows.in.shaped(batch)) return false;
    rows.ids = rows.in.as<const int64_t>();
    return std::all_of(rows.ids, rows.ids + batch, [&](int64_t id) { return id >= 0 && id < first.vocabulary(); });
  }

  // The step of every cell.
  void advance(const Rows& rows) const {
    const float* values = rows.values;
    const int64_t* ids = rows.ids;
    for (const Layer& l : layers) {
      float* c = l.c ? l.c->data() : nullptr;
      l.cell->step(values, ids, batch, l.h.data(), c, l.h.data(), c);
      values = l.h.data(), ids = nullptr;
    }
  }

  // y, or None: something is not plainly right.
  nb::object step(nb::handle x, nb::handle out) const {
    Rows rows;
    Buffer to;
    if (!take(x, rows)) return nb::none();
    nb::object y = out.is_none() ? empty(batch, outputs()) : nb::borrow(out);
    if (!to.take(y, true) || !to.floats() || !to.shaped(batch, outputs())) return nb::none();
    {
      const MaybeReleased release(batch * bytes > kLongCall);
      advance(rows);
      const float* values = layers.back().h.data();
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

  // One step of one row, then the number of its largest output, -1 where it is not certain; None: as for `step`.
  nb::object step_argmax(nb::handle x, const PyArgmax& of) const {
    Rows rows;
    if (batch != 1 || of.argmax.inputs() != layers.back().cell->units() || !take(x, rows)) return nb::none();
    int64_t found;
    {
      const MaybeReleased release(bytes > kLongCall);
      advance(rows);
      found = of.argmax.of(layers.back().h.data());
    }
    return nb::int_(found);
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

// False where x is no contiguous array of floats, too.
bool finite_floats(int level, nb::handle x) {
  Buffer in;
  if (!in.take(x, false) || !in.floats()) return false;
  int64_t count = 1;
  for (int axis = 0; axis < in.dims(); ++axis) count *= in.size(axis);
  const MaybeReleased release(count > kLongCall / 4);
  return recurrent_level_at(level).all_finite(in.as<const float>(), count);
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
      .def("call", &PyDense::call, nb::arg().none(), nb::arg().none(), nb::arg())
      .def_prop_ro("bytes", [](const PyDense& d) { return d.dense.bytes(); });
  nb::class_<PyArgmax>(m, "Argmax")
      .def(nb::init<nb::object, In<float, 2>, std::optional<In<float, 1>>>(), nb::arg(), nb::arg(), nb::arg().none())
      .def("call", &PyArgmax::call)
      .def_prop_ro("bytes", [](const PyArgmax& a) { return a.argmax.bytes(); });
  nb::class_<PyCell>(m, "RecurrentCell")
      .def(nb::init<int, int, In<float, 2>, In<float, 2>, std::optional<In<float, 1>>, std::optional<In<float, 1>>,
                    PyAct, PyAct, PyAct, int>(),
           nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().none(), nb::arg().none(), nb::arg(), nb::arg(),
           nb::arg(), nb::arg())
      .def("embed", &PyCell::embed)
      .def("step", &PyCell::step, nb::arg().none(), nb::arg().none(), nb::arg().none())
      .def("sequence", &PyCell::sequence, nb::arg().none(), nb::arg().none(), nb::arg(), nb::arg().none(), nb::arg())
      .def("run", &PyCell::run, nb::arg().none(), nb::arg().none(), nb::arg(), nb::arg(), nb::arg(), nb::arg().none(),
           nb::arg().none(), nb::arg().none(), nb::arg().none(), nb::arg().none(), nb::arg(), nb::arg(), nb::arg())
      .def_prop_ro("bytes", [](const PyCell& c) { return c.cell.bytes(); });
  nb::class_<PyStepper>(m, "Stepper")
      .def(nb::init<int, nb::list, std::vector<Out<float, 2>>, std::vector<std::optional<Out<float, 2>>>, nb::object,
                    bool, PyAct, int64_t>(),
           nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().none(), nb::arg(), nb::arg(), nb::arg())
      .def("step", &PyStepper::step, nb::arg().none(), nb::arg().none())
      .def("step_argmax", &PyStepper::step_argmax, nb::arg().none(), nb::arg());
  m.def("activate", &activate_of);
  m.def("softmax", &softmax_of);
  m.def("all_finite", &finite_floats);
  m.def("flushes_denormals", &flushes);
}
