"""Bad input: one clear error that says where, which argument, what is allowed and what came; and nothing is lost."""

import math

import numpy as np
import pytest

import kiyas
from kiyas import kernels
from kiyas.arrays import count
from kiyas.errors import DomainError, InputError, KiyasError, MeasureError
from kiyas.measures import measure as make_measure

RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 40))


@pytest.fixture
def index():
    return kiyas.Index(X.copy())


def with_row(value, row=7):
    bad = X.copy()
    bad[row, 3] = value
    return bad


VECTORS = [
    ("text", "'{}' must be a 2-D array of floats"),
    ([], "'{}' must be a 2-D array of floats"),
    ([[]], "with at least one row and one dimension"),
    (np.zeros((0, 40)), "with at least one row and one dimension, got shape (0, 40)"),
    (np.zeros((2, 2, 40)), "got shape (2, 2, 40)"),
    (np.zeros((3, 40), complex), "got dtype complex128"),
    (np.zeros((3, 40), object), "got dtype object"),
    (np.zeros((3, 40), bool), "got dtype bool"),
    (np.zeros((3, 40), "datetime64[s]"), "got dtype datetime64"),
    ([[1.0, 2.0], [1.0]], "that is no array"),
    (None, "got "),
    (with_row(math.nan), "'{}' must be finite, got NaN or infinity in row 7"),
    (with_row(math.inf), "'{}' must be finite, got NaN or infinity in row 7"),
    (with_row(1e200), "'{}' must be of rows whose squared norm fits into float64, got a larger one in row 7"),
]


@pytest.mark.parametrize(("vectors", "words"), VECTORS, ids=range(len(VECTORS)))
def test_vectors_that_are_none(index, vectors, words):
    for call, name in ((kiyas.Index, "vectors"), (lambda v: index.search(v, k=1), "queries"), (index.add, "vectors"),
                       (lambda v: index.replace([1], v), "vectors")):
        with pytest.raises(InputError) as error:
            call(vectors)
        # One query may be one-dimensional.
        either = {words.format(name), words.format(name).replace("2-D", "1-D") if name == "queries" else ""} - {""}
        assert any(words in str(error.value) for words in either), str(error.value)
    assert len(index) == 20 and index.search(X[:1], k=20).ids.shape == (1, 20)


def test_the_wrong_number_of_dimensions(index):
    for call in (lambda v: index.search(v, k=1), index.add, lambda v: index.replace([1], v)):
        with pytest.raises(InputError, match="must be of 40 dimensions, got 39"):
            call(np.zeros((1, 39)))
    with pytest.raises(InputError, match="'query' must be of 40 dimensions, got 3"):
        index.explain(np.zeros(3), 1)


@pytest.mark.parametrize("k", [0, -1, 21, 2.0, True, "3", math.nan])
def test_k_that_is_none(index, k):
    with pytest.raises(InputError, match=r"Index\.search: 'k' must be an integer from 1 to 20, got "):
        index.search(X[:1], k=k)
    with pytest.raises(InputError, match=r"Index\.neighbours: 'k' must be an integer from 1 to 19, got "):
        index.neighbours([1], k=20 if k == 21 else k)


def test_all_rows_need_a_least_score(index):
    with pytest.raises(InputError, match="'k' must be given where min_score is not, got None"):
        index.search(X[:1], k=None)


@pytest.mark.parametrize("least", [math.nan, math.inf, -math.inf, "a", True, [0.5]])
def test_least_scores_that_are_none(index, least):
    for call in (lambda: index.search(X[:1], k=1, min_score=least),
                 lambda: index.neighbours([1], k=1, min_score=least)):
        with pytest.raises(InputError, match="'min_score' must be a finite number, got "):
            call()


@pytest.mark.parametrize("threads", [0, -2, 1.5, True, 10**6])
def test_threads_that_are_none(index, threads):
    for call in (lambda: index.search(X[:1], k=1, threads=threads),
                 lambda: index.neighbours([1], k=1, threads=threads)):
        with pytest.raises(InputError, match="'threads' must be an integer from 1 to 1024, got "):
            call()


@pytest.mark.parametrize("kind", [int, np.int64])
def test_a_far_limit_is_named_to_whoever_went_over_it(kind):
    for value, words in ((2**41, "from 1 to 1099511627776, got "), (0, "from 1, got ")):
        with pytest.raises(InputError, match=words):
            count(kind(value), "rows", "here", 1, 2**40)


@pytest.mark.parametrize("chosen", [
    5, 2.5, object(), "abc", [99], [-1], [1.0], [None], [math.nan], [[1, 2]], np.array(3), np.array([1.0]),
    np.zeros((20, 2), bool), np.zeros(19, bool), np.zeros(0, bool), [True] * 21])
def test_filters_that_are_none(index, chosen):
    with pytest.raises(InputError, match=r"Index\.search: 'filter' must be "):
        index.search(X[:1], k=1, filter=chosen)
    assert index.search(X[:1], k=1, filter=[]).ids.tolist() == [[-1]]


@pytest.mark.parametrize("ids", [5, "a", [1] * 20, list(range(19)), list(range(21)), [1.5] * 20, [True] * 20,
                                 [None] * 20, [*range(19), "x"], [-1, *range(19)], [2**70, *range(19)],
                                 np.arange(20.0), [[1]] * 20])
def test_ids_that_are_none(ids):
    with pytest.raises(InputError, match="Index: 'ids' must be "):
        kiyas.Index(X, ids=ids)


def test_changes_that_cannot_be(index):
    row, two = np.zeros((1, 40)), np.zeros((2, 40))
    wrong = [
        (lambda: index.remove([99]), "Index.remove: 'ids' must be ids that are in the index, got 99"),
        (lambda: index.remove(5), "Index.remove: 'ids' must be a list of ids, got 5"),
        (lambda: index.remove("text"), "'ids' must be a list of ids, got 'text'"),
        (lambda: index.remove(range(20)), "fewer than all rows, as an index cannot be empty, got 20 of 20"),
        (lambda: index.replace([1, 1], two), "of 2 rows, one for each different id"),
        (lambda: index.replace([1], two), "of 1 rows, one for each different id, got 2"),
        (lambda: index.replace([77], row), "ids that are in the index, got 77"),
        (lambda: index.replace(3, row), "'ids' must be a list of ids, got 3"),
        (lambda: index.neighbours([]), "at least one id, got none"),
        (lambda: index.neighbours([50]), "ids that are in the index, got 50"),
        (lambda: index.neighbours(5), "a list of ids"),
        (lambda: index.add(row, ids=[3]), "new to the index, got 3; use replace for it"),
        (lambda: index.add(two, ids=[30]), "2 different integers or texts, one for each row, got 1"),
        (lambda: index.add(row, ids=["x"]), "integers, as the others, got str"),
        (lambda: index.add(row, ids=7), "Index.add: 'ids' must be a list of ids, got 7"),
        (lambda: index.explain(np.zeros(40), 99), "Index.explain: 'id' must be ids that are in the index, got 99"),
        (lambda: index.explain(np.zeros(40), [1]), "'id' must be ids that are in the index, got [1]"),
    ]
    before = index.search(X[:3], k=20)
    for call, words in wrong:
        with pytest.raises(InputError) as error:
            call()
        assert words in str(error.value), str(error.value)
    after = index.search(X[:3], k=20)
    np.testing.assert_array_equal(after.ids, before.ids)
    assert index.add(row).tolist() == [20] and index.info["rows"] == 21


def test_text_ids_ask_for_text_ids():
    index = kiyas.Index(X, ids=[f"t{i}" for i in range(20)])
    with pytest.raises(InputError, match="given, as they were when the index was made, got None"):
        index.add(X[:1])
    with pytest.raises(InputError, match="texts, as the others, got int"):
        index.add(X[:1], ids=[5])
    with pytest.raises(InputError, match="ids that are in the index, got 5"):
        index.remove([5])
    assert len(index) == 20 and index.search(X[:1], k=1).ids.tolist() == [["t0"]]


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_rows_that_overflow_the_dtype_of_the_others(dtype):
    index = kiyas.Index(X.astype(dtype))
    for change in (index.add, lambda v: index.replace([4], v)):
        with pytest.raises(InputError, match=f"within the range of {dtype}, got overflow in row 0"):
            change(np.full((1, 40), 1e39))
    assert len(index) == 20 and index.add(X[:1]).tolist() == [20]
    assert index.search(X[4], k=1).ids.tolist() == [[4]]


def test_rows_too_large_for_a_map_or_a_network():
    big = np.full((1, 40), 1e30)
    halves = np.eye(40) * 1e20
    network = make_measure("learned", first_a=halves, first_b=halves, bias1=np.zeros(40), second=np.ones(40))
    for measure in (kiyas.LinearMap(halves, make_measure("cosine")), network):
        index = kiyas.Index(X, measure)
        with pytest.raises(InputError, match="too large for float32 once mapped"):
            index.add(big)
        assert len(index) == 20 and index.search(X[:1], k=20).ids.shape == (1, 20)


def test_points_outside_the_ball():
    inside = X / 10
    with pytest.raises(DomainError, match="'vectors' must lie inside the open unit ball"):
        kiyas.Index(X, "poincare")
    index = kiyas.Index(inside.astype(np.float32), "poincare")
    with pytest.raises(DomainError, match="'queries' must lie inside"):
        index.search(X[:1], k=1)
    rim = np.zeros((1, 40))
    rim[0, 0] = 1 - 1e-12  # inside, but on the rim once stored as float32
    for rows in (X[:1], rim):
        with pytest.raises(DomainError, match="'vectors' must lie inside"):
            index.add(rows)
    assert len(index) == 20 and np.all(np.isfinite(index.search(inside[:1], k=20).scores))


def test_rows_that_another_measure_let_in():
    index = kiyas.Index(X / 10, "cosine")
    other = index.using("poincare")
    other.search(X[:1] / 10, k=1)
    index.add(X[:1])
    with pytest.raises(DomainError, match=r"'vectors\[20:\]' must lie inside the open unit ball, got norm .* in row 0"):
        other.search(X[:1] / 10, k=1)
    assert index.search(X[:1], k=2).ids.shape == (1, 2)
    with pytest.raises(DomainError):
        index.using("poincare")


def test_measures_that_are_none(index):
    for wrong, words in (("cosin", "did you mean cosine"), ("ndd(kappa=1)", "unknown parameter 'kappa'"),
                         (7, "must be a name, a text, a Measure or a function"), ("gower(trim=1)", "'trim' must be")):
        with pytest.raises(KiyasError) as error:
            index.using(wrong)
        assert words in str(error.value)
    with pytest.raises(MeasureError, match="falls in p"):
        index.using(make_measure(lambda p, a2, b2: -p, increasing=True))
    with pytest.raises(InputError, match="of 40 dimensions, as the vectors"):
        index.using(make_measure("manhattan", weights=np.ones(3)))
    assert str(index.measure) == "cosine"


def test_a_level_that_is_none(index, monkeypatch):
    monkeypatch.setenv(kernels.LEVEL_VARIABLE, "mmx")
    with pytest.raises(MeasureError, match=r"'KIYAS_LEVEL' must be one of baseline.* on this machine, got 'mmx'"):
        index.search(X[:1], k=1)
    monkeypatch.delenv(kernels.LEVEL_VARIABLE)
    assert index.search(X[:1], k=1).ids.tolist() == [[0]]


def test_a_function_that_fails_leaves_the_index_whole(index):
    def angry(x, y):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        index.using(angry).search(X[:1], k=1)
    nan = make_measure(lambda x, y: np.full(np.broadcast_shapes(x.shape, y.shape)[:-1], np.nan), name="nothing")
    with pytest.raises(DomainError, match="nothing: the function returned NaN"):
        index.using(nan).search(X[:1], k=1)
    assert index.search(X[:1], k=1).ids.tolist() == [[0]]


def test_a_function_that_writes_into_its_arguments_is_stopped(index):
    def greedy(x, y):
        x[...] = 0
        return np.zeros(np.broadcast_shapes(x.shape, y.shape)[:-1])

    with pytest.raises(ValueError, match="read-only"):
        index.using(greedy).search(X[:1], k=1)
