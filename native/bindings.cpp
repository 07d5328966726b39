// Python's view of the kernels: pointers and sizes out of arrays, results into arrays, the GIL released.
// All checking is done in Python (src/kiyas/kernels); nothing here has an opinion.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

#include "arrays.h"
#include "function.h"
#include "hierarchy.h"
#include "inner.h"
#include "learned.h"
#include "parallel.h"
#include "rescore.h"
#include "scan.h"

using namespace kiyas;

namespace {

template <class T>
using Maybe = std::optional<In<T, 1>>;
using AnyRows = nb::ndarray<nb::ro, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

template <class T>
const T* data(const Maybe<T>& x) {
  return x ? x->data() : nullptr;
}

template <class T>
nb::object to_numpy(std::vector<T>&& values) {
  auto* owned = new std::vector<T>(std::move(values));
  nb::capsule owner(owned, [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
  return nb::cast(nb::ndarray<nb::numpy, T, nb::ndim<1>>(owned->data(), {owned->size()}, owner));
}

struct PyRows {
  AnyRows base, tail;
  int type;
  Rows rows() const {
    return {base.data(), static_cast<int64_t>(base.shape(0)), tail.data(), static_cast<int64_t>(base.shape(1)),
            static_cast<Type>(type)};
  }
};

struct PyInnerCodes {
  Out<uint8_t, 1> head, tail;
  int64_t head_dims, tail_dims;
  Out<float, 1> scale, residual, rest, tail_scale;
  Out<double, 1> norm2;
  double turned;
  std::optional<In<float, 2>> turn;
  InnerCodes codes_of() const {
    return {head.data(),     tail.data(), head_dims,         tail_dims,    scale.data(),
            residual.data(), rest.data(), tail_scale.data(), norm2.data(), turned,
            turn ? turn->data() : nullptr};
  }
};

struct PyGrid {
  In<int64_t, 1> pick;
  In<double, 1> scale, low;
  double step;
  Grid grid() const { return {pick.data(), scale.data(), low.data(), step, static_cast<int64_t>(pick.size())}; }
};

struct PyGridCodes {
  Out<uint8_t, 1> codes;
  std::optional<Out<uint8_t, 1>> low;
  Out<float, 1> error, worst;
  std::optional<Out<float, 1>> coarse;
  GridCodes codes_of() const {
    return {codes.data(), low ? low->data() : nullptr, error.data(), worst.data(), coarse ? coarse->data() : nullptr};
  }
};

struct PyScan {
  int64_t rows, k;
  Maybe<uint8_t> allowed;
  Maybe<int64_t> excluded;
  double start;
  int64_t limit;
  int threads;
  ScanInput input(int queries) const {
    return {rows, queries, k, data(allowed), data(excluded), start, limit, threads};
  }
};

nb::tuple run(const Family& family, const PyScan& scan_, int queries) {
  Candidates found;
  {
    nb::gil_scoped_release release;
    found = scan(family, scan_.input(queries));
  }
  return nb::make_tuple(to_numpy(std::move(found.complete)), to_numpy(std::move(found.offsets)), to_numpy(std::move(found.rows)));
}

nb::tuple scan_inner(int level, int kind, double parameter, const PyInnerCodes& codes, const Maybe<float>& factor,
                     const In<double, 2>& queries, const In<double, 1>& norm2, const PyScan& scan_) {
  const int count = static_cast<int>(queries.shape(0));
  const InnerFamily family(level_at(level), static_cast<Inner>(kind), parameter, codes.codes_of(), data(factor),
                           queries.data(), norm2.data(), count);
  return run(family, scan_, count);
}

nb::tuple scan_function(int level, uintptr_t address, const PyInnerCodes& codes, const In<double, 2>& queries,
                        const In<double, 1>& norm2, const PyScan& scan_) {
  const int count = static_cast<int>(queries.shape(0));
  const FunctionFamily family(level_at(level), reinterpret_cast<UserFunction>(address), codes.codes_of(),
                              queries.data(), norm2.data(), count);
  return run(family, scan_, count);
}

// Upper bounds of p for all queries over rows [start, start + rows): (queries, rows).
void upper_products_of(int level, const PyInnerCodes& codes, const In<double, 2>& queries, const In<double, 1>& norm2,
                       int64_t start, const Out<double, 2>& out, int threads) {
  const int count = static_cast<int>(queries.shape(0)), rows = static_cast<int>(out.shape(1));
  nb::gil_scoped_release release;
  const Level& l = level_at(level);
  const InnerQueries prepared(l, codes.codes_of(), queries.data(), norm2.data(), count);
  parallel(rows, 1024, threads, [&](int, int64_t from, int64_t to) {
    for (int j = 0; j < count; ++j)
      upper_products(l, codes.codes_of(), prepared, j, start + from, static_cast<int>(to - from),
                     out.data() + static_cast<int64_t>(j) * rows + from);
  });
}

// The tight interval of p for pairs of one query with rows, within ±product_end·kPastEnd.
void product_intervals(int level, const PyInnerCodes& codes, const In<double, 2>& queries, const In<double, 1>& norm2,
                       int query, const In<int64_t, 1>& rows, const Out<double, 1>& low, const Out<double, 1>& high) {
  const int64_t dims = static_cast<int64_t>(queries.shape(1));
  const Level& l = level_at(level);
  const InnerQueries prepared(l, codes.codes_of(), queries.data() + query * dims, norm2.data() + query, 1);
  for (size_t i = 0; i < rows.size(); ++i) {
    const int64_t row = rows.data()[i];
    const double most = product_end(norm2.data()[query], codes.norm2.data()[row]) * kPastEnd;
    const Interval p = inner_product(l, codes.codes_of(), prepared, 0, row, true);
    low.data()[i] = p.low > -most ? p.low : -most;
    high.data()[i] = p.high < most ? p.high : most;
  }
}

struct PyPooling {
  In<int64_t, 1> pick;
  Maybe<double> width, weight;
  int64_t dropped;
  double threshold;
  Maybe<uint8_t> critical;
  double tier;
  Pooling pooling() const {
    return {pick.data(), data(width), data(weight), static_cast<int64_t>(pick.size()), dropped, threshold,
            data(critical), tier};
  }
};

struct PyFinish {
  bool reciprocal;
  double best, kept;
  int64_t threshold_count;
  bool tiers;
  Finish finish() const { return {reciprocal, best, kept, threshold_count, tiers}; }
};

struct PyCoordinate {
  bool linear;
  PyFinish finish;
  int64_t dropped;
  double lipschitz;
  In<double, 1> loss, loss_low, loss_high;
  In<uint8_t, 1> surely_below, maybe_below;
  In<int64_t, 1> critical;
  In<uint8_t, 1> surely_low, maybe_low;
};

struct PyRaw {
  PyRows rows;
  int profile;
  PyPooling pooling;
  PyFinish finish;
  bool narrow;
  RawScorer scorer(int level, const In<double, 2>& queries) const {
    return {level_at(level), rows.rows(), static_cast<Profile>(profile), pooling.pooling(), finish.finish(),
            queries.data(), static_cast<int>(queries.shape(0)), narrow};
  }
};

nb::tuple scan_raw(int level, const PyRaw& raw, const In<double, 2>& queries, const PyScan& scan_) {
  const int count = static_cast<int>(queries.shape(0));
  RawScorer scorer = raw.scorer(level, queries);
  for (int j = 0; j < count; ++j) scorer.sample(j, scan_.rows);
  return run(RawFamily(scorer), scan_, count);
}

nb::tuple scan_coordinate(int level, const PyGrid& grid, const PyGridCodes& codes, const PyCoordinate& m,
                          const In<double, 2>& folded, const std::optional<PyRaw>& raw, const In<double, 2>& queries,
                          const PyScan& scan_) {
  const int count = static_cast<int>(folded.shape(0));
  const CoordinateMeasure measure{m.linear, m.finish.finish(), m.dropped, m.lipschitz, m.loss.data(),
                                  m.loss_low.data(), m.loss_high.data(), m.surely_below.data(), m.maybe_below.data(),
                                  m.critical.data(), static_cast<int64_t>(m.critical.size()), m.surely_low.data(),
                                  m.maybe_low.data()};
  std::unique_ptr<RawScorer> scorer;
  if (raw) scorer = std::make_unique<RawScorer>(raw->scorer(level, queries));
  const CoordinateFamily family(level_at(level), grid.grid(), codes.codes_of(), scan_.rows, measure, folded.data(),
                                count, scorer.get());
  return run(family, scan_, count);
}

nb::tuple scan_learned(int level, const PyGrid& grid, const PyGridCodes& codes, int64_t positive,
                       const In<double, 2>& folded, double bias, double alpha,
                       const std::optional<PyInnerCodes>& inner, const In<double, 2>& queries,
                       const In<double, 1>& norm2, const PyScan& scan_) {
  if (codes.low) throw std::invalid_argument("the learned measure takes whole bytes");
  const int count = static_cast<int>(folded.shape(0));
  std::unique_ptr<InnerFamily> cosine;
  if (inner)
    cosine = std::make_unique<InnerFamily>(level_at(level), Inner::cosine, 0.0, inner->codes_of(), nullptr,
                                           queries.data(), norm2.data(), count);
  const LearnedFamily family(level_at(level), grid.grid(), codes.codes_of(), positive, folded.data(), count, bias,
                             alpha, cosine.get());
  return run(family, scan_, count);
}

void encode_inner_of(int level, const PyRows& rows, int64_t begin, int64_t end, const PyInnerCodes& out, int threads) {
  nb::gil_scoped_release release;
  encode_inner(level_at(level), rows.rows(), begin, end, out.codes_of(), threads);
}

void turn_vectors_of(int level, const In<float, 2>& turn, const In<double, 2>& vectors, const Out<double, 2>& out,
                     int threads) {
  nb::gil_scoped_release release;
  turn_vectors(level_at(level), turn.data(), static_cast<int64_t>(vectors.shape(1)), vectors.data(),
               static_cast<int64_t>(vectors.shape(0)), out.data(), threads);
}

void encode_grid_of(const PyRows& rows, const PyGrid& grid, int64_t begin, int64_t end, const PyGridCodes& out,
                    int threads) {
  if (out.low.has_value() != out.coarse.has_value()) throw std::invalid_argument("halves and their errors go together");
  nb::gil_scoped_release release;
  encode_grid(rows.rows(), grid.grid(), begin, end, out.codes_of(), threads);
}

Pairs pairs_of(const In<int64_t, 1>& offsets, const In<int64_t, 1>& rows) {
  return {offsets.data(), rows.data(), static_cast<int>(offsets.size()) - 1};
}

void gram_pairs_of(int level, const PyRows& rows, const In<double, 2>& queries, bool exact,
                   const In<int64_t, 1>& offsets, const In<int64_t, 1>& which, const Out<double, 1>& p,
                   const Out<double, 1>& d2, int threads) {
  nb::gil_scoped_release release;
  gram_pairs(level_at(level), rows.rows(), queries.data(), exact && rows.rows().exact_products(),
             pairs_of(offsets, which), p.data(), d2.data(), threads);
}

void coordinate_pairs_of(int level, const PyRows& rows, const In<double, 2>& queries, int profile,
                         const PyPooling& pooling, const In<int64_t, 1>& offsets, const In<int64_t, 1>& which,
                         const Out<double, 1>& total, const Out<int64_t, 1>& below, const Out<int64_t, 1>& low,
                         int threads) {
  nb::gil_scoped_release release;
  coordinate_pairs(level_at(level), rows.rows(), queries.data(), static_cast<Profile>(profile), pooling.pooling(),
                   pairs_of(offsets, which), {total.data(), below.data(), low.data()}, threads);
}

void pool_profiles_of(int level, const In<double, 2>& scores, const PyPooling& pooling, const Out<double, 1>& total,
                      const Out<int64_t, 1>& below, const Out<int64_t, 1>& low, int threads) {
  nb::gil_scoped_release release;
  pool_profiles(level_at(level), scores.data(), static_cast<int64_t>(scores.shape(0)), pooling.pooling(),
                {total.data(), below.data(), low.data()}, threads);
}

void relu_pairs_of(int level, const PyRows& halves, const In<double, 2>& queries, const In<double, 1>& weights,
                   const In<int64_t, 1>& offsets, const In<int64_t, 1>& which, const Out<double, 1>& sum, int threads) {
  nb::gil_scoped_release release;
  relu_pairs(level_at(level), halves.rows(), queries.data(), weights.data(), pairs_of(offsets, which), sum.data(), threads);
}

void norms2(int level, const PyRows& rows, int64_t begin, int64_t end, const Out<double, 1>& out, int threads) {
  nb::gil_scoped_release release;
  row_norms2(level_at(level), rows.rows(), begin, end, out.data(), threads);
}

double hierarchy_pass_of(int space, Out<double, 2> points, In<int64_t, 1> below, In<int64_t, 1> above,
                         In<int64_t, 2> negatives, double rate, double radius) {
  nb::gil_scoped_release release;
  return hierarchy_pass(static_cast<Space>(space), points.data(), points.shape(1), below.data(), above.data(),
                        below.size(), negatives.data(), negatives.shape(1), rate, radius);
}

}  // namespace

void bind_recurrent(nb::module_& m);  // recurrent_bindings.cpp

NB_MODULE(_native, m) {
  nb::set_leak_warnings(false);  // what a program keeps in its globals is alive when the interpreter ends
  m.doc() = "Compiled kernels of kiyas; kiyas.kernels is their checked face.";

  nb::class_<PyRows>(m, "Rows").def(nb::init<AnyRows, AnyRows, int>(), nb::arg("base"), nb::arg("tail"), nb::arg("type"));
  nb::class_<PyInnerCodes>(m, "InnerCodes")
      .def(nb::init<Out<uint8_t, 1>, Out<uint8_t, 1>, int64_t, int64_t, Out<float, 1>, Out<float, 1>, Out<float, 1>,
                    Out<float, 1>, Out<double, 1>, double, std::optional<In<float, 2>>>(),
           nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(),
           nb::arg().none());
  nb::class_<PyGrid>(m, "Grid").def(nb::init<In<int64_t, 1>, In<double, 1>, In<double, 1>, double>());
  nb::class_<PyGridCodes>(m, "GridCodes")
      .def(nb::init<Out<uint8_t, 1>, std::optional<Out<uint8_t, 1>>, Out<float, 1>, Out<float, 1>,
                    std::optional<Out<float, 1>>>(),
           nb::arg("codes"), nb::arg("low").none(), nb::arg("error"), nb::arg("worst"), nb::arg("coarse").none());
  nb::class_<PyScan>(m, "Scan").def(
      nb::init<int64_t, int64_t, Maybe<uint8_t>, Maybe<int64_t>, double, int64_t, int>(), nb::arg("rows"), nb::arg("k"),
      nb::arg("allowed").none(), nb::arg("excluded").none(), nb::arg("start"), nb::arg("limit"), nb::arg("threads"));
  nb::class_<PyFinish>(m, "Finish").def(nb::init<bool, double, double, int64_t, bool>());
  nb::class_<PyCoordinate>(m, "Coordinate")
      .def(nb::init<bool, PyFinish, int64_t, double, In<double, 1>, In<double, 1>, In<double, 1>, In<uint8_t, 1>,
                    In<uint8_t, 1>, In<int64_t, 1>, In<uint8_t, 1>, In<uint8_t, 1>>());
  nb::class_<PyPooling>(m, "Pooling")
      .def(nb::init<In<int64_t, 1>, Maybe<double>, Maybe<double>, int64_t, double, Maybe<uint8_t>, double>(),
           nb::arg("pick"), nb::arg("width").none(), nb::arg("weight").none(), nb::arg("dropped"), nb::arg("threshold"),
           nb::arg("critical").none(), nb::arg("tier"));

  nb::class_<PyRaw>(m, "Raw").def(nb::init<PyRows, int, PyPooling, PyFinish, bool>());

  m.def("levels", [] {
    std::vector<std::string> names;
    for (int i = 0; i < level_count(); ++i) names.emplace_back(level_at(i).name);
    return names;
  });
  m.def("encode_inner", &encode_inner_of);
  m.def("turn_vectors", &turn_vectors_of);
  m.def("encode_grid", &encode_grid_of);
  m.def("norms2", &norms2);
  m.def("scan_inner", &scan_inner, nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().none(), nb::arg(), nb::arg(),
        nb::arg());
  m.def("scan_function", &scan_function);
  m.def("upper_products", &upper_products_of);
  m.def("product_intervals", &product_intervals);
  m.def("scan_coordinate", &scan_coordinate, nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().none(),
        nb::arg(), nb::arg());
  m.def("scan_raw", &scan_raw);
  m.def("scan_learned", &scan_learned, nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(),
        nb::arg().none(), nb::arg(), nb::arg(), nb::arg());
  m.def("gram_pairs", &gram_pairs_of);
  m.def("coordinate_pairs", &coordinate_pairs_of);
  m.def("pool_profiles", &pool_profiles_of);
  m.def("relu_pairs", &relu_pairs_of);
  m.def("hierarchy_pass", &hierarchy_pass_of);
  bind_recurrent(m);
}
