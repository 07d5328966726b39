import doctest
import math
import warnings
from dataclasses import fields
from pathlib import Path

import array_api_strict
import naive_coordinate as naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiyas.errors import InputError, KiyasError, MeasureError, NotFittedError
from kiyas.measures import pooling
from kiyas.measures.coordinate import CoordinateMeasure, Quantile
from kiyas.measures.profiles import Exponential, Gower, Manhattan

RNG = np.random.default_rng(7)
A5, B4 = RNG.normal(size=(5, 6)), RNG.normal(size=(4, 6))
CONFIGS = {
    "plain": {},
    "weights": {"weights": [1.0, 3.0, 0.5, 0.0, 2.0, 1.0]},
    "trim": {"trim": 0.34},
    "weighted trim": {"weights": [1.0, 3.0, 0.5, 0.0, 2.0, 1.0], "trim": 0.34},
    "threshold": {"threshold": 0.4, "share": 0.5},
    "tiers": {"tiers": 0.4, "critical": [0, 2, 5, 3], "trim": 0.2},
}
MAKERS = {
    "manhattan": lambda **k: Manhattan(**k),
    "gower": lambda **k: Gower(clip=True, ranges=[1.0, 2.0, 1e-9, 3.0, 0.5, 1.0], **k),
    "exponential": lambda **k: Exponential(bandwidth=0.5, **k),
}


def make(name, config):
    k = dict(CONFIGS[config])
    if name == "manhattan":
        k = {key: -v if key in ("threshold", "tiers") else v for key, v in k.items()}
    if name == "gower" and "critical" in k:
        k["critical"] = [0, 5, 3]
    return MAKERS[name](**k)


def oracle(name, m, x, y):
    dim = len(x)
    live = m.live(dim)
    if name == "gower":
        assert live.tolist() == naive.live_ranges(m.ranges.tolist())
    chosen = [i for i in range(dim) if live is None or live[i]]
    maps = {"manhattan": lambda t: -t, "gower": lambda t: max(0.0, 1 - t), "exponential": lambda t: math.exp(-t)}
    widths = {"manhattan": None, "exponential": [0.5] * dim, "gower": None if name != "gower" else m.ranges.tolist()}
    s = naive.scores(x.tolist(), y.tolist(), maps[name], widths[name], live)
    w = None if m.weights is None else [float(m.weights[i]) for i in chosen]
    critical = None if m.critical is None else [chosen.index(i) for i in m.critical]
    return naive.score(s, w, m.trim, m.threshold, m.share, m.tiers, critical, manhattan=name == "manhattan")


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("name", MAKERS)
def test_scores_are_those_of_the_oracle(name, config):
    m = make(name, config)
    expected = [[oracle(name, m, a, b) for b in B4] for a in A5]
    np.testing.assert_allclose(m.pairwise(A5, B4), expected, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(m.paired(A5[:4], B4), np.diag(np.array(expected)[:4]), rtol=1e-13, atol=1e-15)
    assert float(m(A5[0], B4[1])) == pytest.approx(expected[0][1], rel=1e-13)


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("name", MAKERS)
def test_all_array_libraries_and_read_only_arrays_agree(name, config):
    m = make(name, config)
    expected = m.pairwise(A5, B4)
    a, b = A5.copy(), B4.copy()
    a.flags.writeable = b.flags.writeable = False
    np.testing.assert_array_equal(m.pairwise(a, b), expected)
    xp = array_api_strict
    got = m.pairwise(xp.asarray(A5), xp.asarray(B4))
    assert isinstance(got, type(xp.asarray(1.0))) and got.dtype == xp.float64
    np.testing.assert_allclose(np.asarray(got), expected, rtol=1e-15)
    profile = m.profile(xp.asarray(A5[0]), xp.asarray(B4[0]))
    np.testing.assert_allclose(np.asarray(profile), m.profile(A5[0], B4[0]), rtol=1e-15)


@pytest.mark.torch
@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("name", MAKERS)
def test_torch_agrees(name, config):
    torch = pytest.importorskip("torch")
    m = make(name, config)
    a, b = torch.tensor(A5), torch.tensor(B4)
    got = m.pairwise(a, b)
    assert got.dtype == torch.float64
    np.testing.assert_allclose(got.numpy(), m.pairwise(A5, B4), rtol=1e-14)
    np.testing.assert_allclose(m.profile(a[0], b[0]).numpy(), m.profile(A5[0], B4[0]), rtol=1e-14)
    np.testing.assert_allclose(float(m(a[0].float(), b[0].float())),
                               float(m(A5[0].astype("f4"), B4[0].astype("f4"))), rtol=1e-14)


@pytest.mark.torch
def test_torch_fits_alike():
    torch = pytest.importorskip("torch")
    for m in (Gower(quantile=0.1, weights="variance"), Exponential(bandwidth="fitted", threshold=Quantile(0.2))):
        one, two = m.fit(A5), m.fit(torch.tensor(A5))
        np.testing.assert_allclose(two.pairwise(A5, B4), one.pairwise(A5, B4), rtol=1e-14)


# -- pooling ---------------------------------------------------------------------------------------

numbers = st.floats(0, 1, width=32)


@st.composite
def profiles(draw):
    d = draw(st.integers(1, 12))
    s = draw(st.lists(st.one_of(numbers, st.sampled_from([0.25, 0.5])), min_size=d, max_size=d))
    w = draw(st.none() | st.lists(st.floats(0, 8, width=32), min_size=d, max_size=d).filter(lambda w: sum(w) > 1e-3))
    return s, w, draw(st.sampled_from([0.0, 0.1, 0.25, 0.29, 0.5, 0.9, 0.99]))


@settings(max_examples=300, deadline=None)
@given(profiles())
def test_trimmed_total_is_that_of_the_oracle(case):
    s, w, trim = case
    h = pooling.dropped(len(s), trim)
    weights = None if w is None else np.array(w)
    total, kept = pooling.trimmed_total(np, np.array(s), weights, h)
    expected, weight = naive.pooled(s, w, trim)
    assert kept == pytest.approx(weight, rel=1e-12)
    assert float(total) == pytest.approx(expected, rel=1e-12, abs=1e-13 * sum(w or s))


@settings(max_examples=200, deadline=None)
@given(profiles(), st.randoms())
def test_pooling_does_not_depend_on_the_order_of_dimensions(case, random):
    s, w, trim = case
    order = list(range(len(s)))
    random.shuffle(order)
    h = pooling.dropped(len(s), trim)
    one = pooling.trimmed_total(np, np.array(s), None if w is None else np.array(w), h)[0]
    two = pooling.trimmed_total(np, np.array(s)[order], None if w is None else np.array(w)[order], h)[0]
    assert float(one) == pytest.approx(float(two), rel=1e-12, abs=1e-12 * sum(w or s))


@settings(max_examples=200, deadline=None)
@given(profiles(), st.data())
def test_raising_a_score_never_lowers_the_total(case, data):
    s, w, trim = case
    h = pooling.dropped(len(s), trim)
    i = data.draw(st.integers(0, len(s) - 1))
    higher = list(s)
    higher[i] += data.draw(st.floats(0, 1))
    weights = None if w is None else np.array(w)
    low, high = (float(pooling.trimmed_total(np, np.array(v), weights, h)[0]) for v in (s, higher))
    assert high >= low - 1e-12 * (1 + sum(w or s))


def test_worked_example_of_a_weighted_trim():
    # W = 5, M = 5/3: the first dimension goes, and 2/3 of the second; (7/3·0.5 + 1)/(10/3) = 0.65.
    w = np.array([1.0, 3.0, 1.0])
    for s in ([0.5, 0.5, 1.0], [0.5 - 1e-12, 0.5, 1.0], [0.5, 0.5 - 1e-12, 1.0]):
        total, kept = pooling.trimmed_total(np, np.array(s), w, 1)
        assert float(total) / kept == pytest.approx(0.65, abs=1e-11)


def test_equal_weights_trim_whole_dimensions():
    s = np.array([[0.3, 0.1, 0.1, 0.9]])
    for weights in (None, np.full(4, 2.0)):
        total, kept = pooling.trimmed_total(np, s, weights, 2)
        assert float(total[0]) / kept == pytest.approx(0.6)


def test_dropped_is_free_of_rounding():
    assert pooling.dropped(100, 0.29) == 29
    assert pooling.dropped(9, 0.1) == 0
    assert Manhattan(trim=0.1).dropped(4096) == 409


def test_threshold_is_strict_and_its_share_inclusive():
    m = Exponential(threshold=math.exp(-1.0), share=0.7)
    x, y = np.zeros(10), np.full(10, 1.0)
    assert float(m(x, y)) > 0  # equal to the threshold is not below
    y[:7] = 1.5
    assert float(m(x, y)) == 0.0  # seven of ten is 0.7
    y[0] = 1.0
    assert float(m(x, y)) > 0


def test_tiers_order_before_the_score():
    m = Exponential(tiers=0.5, critical=[0, 1, 2])
    x = np.zeros(5)
    for low, expected in ((0, 2), (1, 1), (2, 1), (3, 0)):
        y = np.zeros(5)
        y[:low] = 3.0
        assert float(m(x, y)) == pytest.approx(expected + (5 - low + low * math.exp(-3)) / 5)


# -- the three measures ----------------------------------------------------------------------------

vectors = st.integers(1, 8).flatmap(lambda d: st.lists(
    st.lists(st.floats(-100, 100, width=32), min_size=d, max_size=d), min_size=2, max_size=5))


@settings(max_examples=100, deadline=None)
@given(vectors, st.sampled_from([0.0, 0.3, 0.6]))
def test_symmetric_in_range_and_best_for_equal_vectors(rows, trim):
    X = np.array(rows)
    gower = Gower(trim=trim, ranges=[250.0] * X.shape[1])
    for m in (Manhattan(trim=trim), Exponential(trim=trim, bandwidth=3.0), gower):
        s = m.pairwise(X, X)
        np.testing.assert_array_equal(s, s.T)
        assert np.all((s >= 0) & (s <= 1))
        np.testing.assert_array_equal(np.diag(s), 1.0)


def test_manhattan_profile_and_distance():
    x, y = np.array([1.0, 2.0, 3.0]), np.array([1.0, 4.0, 0.0])
    assert Manhattan().profile(x, y).tolist() == [0.0, -2.0, -3.0]
    assert not np.signbit(Manhattan().profile(x, y)[0])
    assert float(Manhattan().distance(x, y)) == 5.0
    assert float(Manhattan(weights=[1, 2, 1]).distance(x, y)) == 7.0
    assert float(Manhattan(trim=0.34).distance(x, y)) == 2.0
    assert not np.signbit(Manhattan().distance(x, x))
    assert float(Manhattan()(x, y)) == 1 / 6


def test_distances_are_one_minus_the_score():
    x, y = A5[0], B4[0]
    for m in (Gower(trim=0.2).fit(A5), Gower(clip=True).fit(A5), Exponential(trim=0.2, weights=[1, 2, 3, 4, 5, 6])):
        assert float(m.distance(x, y)) == pytest.approx(1 - float(m(x, y)), rel=1e-13)
    near = x + 1e-13
    expected = np.mean(near - x)
    assert float(Exponential().distance(x, near)) == pytest.approx(expected, rel=1e-9)


def test_gower_ranges_drop_dead_dimensions_and_are_robust_to_outliers():
    X = RNG.uniform(size=(1000, 4))
    X[:, 2] = 5.0
    X[:, 3] *= 1e-5
    m = Gower().fit(X)
    assert m.live(4).tolist() == [True, True, False, False]
    assert m.effective_weights(4).tolist() == [1.0, 1.0, 0.0, 0.0]
    profile = m.profile(X[0], X[1])
    assert np.isnan(profile[2:]).all() and np.isfinite(profile[:2]).all()
    assert float(m(X[0], X[1])) == pytest.approx(np.nanmean(profile))
    X[0, 0] = 1e6
    assert Gower().fit(X).widths(4)[0] > 9e5
    assert Gower(quantile=0.01).fit(X).widths(4)[0] == pytest.approx(0.98, abs=0.03)


def test_gower_clips_only_where_asked():
    m = Gower(ranges=[1.0, 1.0])
    x, y = np.zeros(2), np.array([3.0, 0.5])
    assert float(m(x, y)) == pytest.approx((-2 + 0.5) / 2)
    assert float(m.with_(clip=True)(x, y)) == pytest.approx(0.25)
    assert (m.kind, m.with_(clip=True).kind) == ("linear", "function")


def test_gower_most_dimensions_constant():
    X = np.zeros((3, 5))
    X[:, 1] = [0, 1, 2]
    assert Gower().fit(X).live(5).tolist() == [False, True, False, False, False]


def test_exponential_bandwidths():
    x, y = np.array([0.0, 0.0]), np.array([1.0, 2.0])
    assert float(Exponential(bandwidth=2)(x, y)) == pytest.approx((math.exp(-0.5) + math.exp(-1)) / 2)
    assert float(Exponential(bandwidth=[1, 4])(x, y)) == pytest.approx((math.exp(-1) + math.exp(-0.5)) / 2)
    X = RNG.normal(size=(5000, 3)) * [1.0, 10.0, 0.0] + 1e6
    m = Exponential(bandwidth="fitted").fit(X)
    np.testing.assert_allclose(m.fitted_bandwidth, X.std(axis=0), rtol=1e-9)
    assert m.live(3).tolist() == [True, True, False]
    assert m.widths(3)[2] == 1.0


def test_what_search_reads():
    assert Manhattan().effective_weights(3) is None
    assert Manhattan(weights=[1, 1, 1]).effective_weights(3) is None
    assert Manhattan(weights=[1, 0, 1]).effective_weights(3).tolist() == [1, 0, 1]
    assert Manhattan().live(3) is None and Manhattan().widths(3) is None and Exponential().widths(3) is None
    assert Exponential(bandwidth=0.5).widths(2).tolist() == [0.5, 0.5]
    for m, kind in ((Manhattan(), "linear"), (Gower(), "linear"), (Exponential(), "exponential")):
        assert (m.kernel().family, m.kernel().kind, m.kernel().parameters) == ("coordinate", kind, {})


@pytest.mark.parametrize("m", [Gower(), Exponential(bandwidth="fitted"), Manhattan(weights="variance"),
                               Manhattan(threshold=Quantile(0.1)), Exponential(tiers=Quantile(0.1), critical=[0])])
def test_fit_returns_a_fitted_copy_that_can_be_rebuilt(m):
    assert not m.fitted
    with pytest.raises(NotFittedError, match=r"call fit\(X\)"):
        m(A5[0], A5[1])
    f = m.fit(A5)
    assert f.fitted and not m.fitted and str(f) == str(m)
    again = type(f)(**{p.name: getattr(f, p.name) for p in fields(f)})
    np.testing.assert_array_equal(again.pairwise(A5, B4), f.pairwise(A5, B4))
    np.testing.assert_array_equal(m.fit(A5.copy()).pairwise(A5, B4), f.pairwise(A5, B4))


def test_measures_with_nothing_to_fit_return_themselves():
    m = Exponential(trim=0.1)
    assert m.fit(A5) is m


def test_changing_a_parameter_forgets_what_was_fitted_for_it():
    m = Gower(threshold=Quantile(0.1)).fit(A5)
    assert not m.with_(quantile=0.1).fitted
    assert not m.with_(threshold=Quantile(0.2)).fitted
    assert m.with_(trim=0.2).fitted


def test_quantile_is_calibrated_on_pairs_of_rows():
    X = np.random.default_rng(3).uniform(size=(3000, 4))
    tau = Manhattan(threshold=Quantile(0.25)).fit(X).threshold_value
    # |x − y| of two uniform numbers exceeds t with probability (1 − t)²: 0.25 at t = 0.5.
    assert tau == pytest.approx(-0.5, abs=0.02)
    X[:, 1] *= 10
    tiers = Manhattan(tiers=Quantile(0.25), critical=[1]).fit(X)
    assert tiers.tiers_value == pytest.approx(-5, abs=0.2)


def test_quantile_ranges_of_many_rows_are_sampled(monkeypatch):
    from kiyas.measures import proposals

    monkeypatch.setattr(proposals, "QUANTILE_ROWS", 2000)
    X = np.random.default_rng(5).uniform(size=(9000, 3))
    m = Gower(quantile=0.1).fit(X)
    np.testing.assert_allclose(m.widths(3), 0.8, atol=0.05)
    np.testing.assert_array_equal(m.fitted_ranges, Gower(quantile=0.1).fit(X).fitted_ranges)
    strict = Gower(quantile=0.1).fit(array_api_strict.asarray(X))
    np.testing.assert_array_equal(m.fitted_ranges, strict.fitted_ranges)


def test_memory_maps_are_fitted_by_blocks(tmp_path):
    np.save(tmp_path / "x.npy", RNG.normal(size=(30000, 70)).astype(np.float32))
    X = np.load(tmp_path / "x.npy", mmap_mode="r")
    m = Gower(weights="variance", threshold=Quantile(0.05)).fit(X)
    full = np.asarray(X, dtype=np.float64)
    np.testing.assert_array_equal(m.fitted_ranges, full.max(axis=0) - full.min(axis=0))
    np.testing.assert_allclose(m.fitted_weights, full.var(axis=0) / full.var(axis=0).mean(), rtol=1e-10)


def test_blocks_change_nothing(monkeypatch):
    from kiyas.measures import coordinate

    m = Exponential(trim=0.3, weights=[1, 2, 3, 4, 5, 6], tiers=0.5, critical=[1])
    whole, rows = m.pairwise(A5, B4), m.paired(A5[:4], B4)
    monkeypatch.setattr(coordinate, "_BLOCK", 13)
    np.testing.assert_array_equal(m.pairwise(A5, B4), whole)
    np.testing.assert_array_equal(m.paired(A5[:4], B4), rows)


@pytest.mark.parametrize("name", MAKERS)
def test_memory_layout_changes_nothing(name):
    a, b = RNG.normal(size=(2, 50, 6))
    for config in CONFIGS:
        m = make(name, config)
        expected = m.paired(a, b)
        np.testing.assert_array_equal(m.paired(np.asfortranarray(a), np.asfortranarray(b)), expected)
        np.testing.assert_array_equal(m.paired(np.repeat(a, 2, axis=1)[:, ::2], b), expected)
        np.testing.assert_array_equal(np.diag(m.pairwise(a, b)), expected)
        assert float(m(a[3], b[3])) == expected[3]


@pytest.mark.parametrize("m", [Manhattan, Gower, Exponential])
def test_the_page_holds_the_facts_and_its_example_runs(m):
    page = Path(__file__).parents[1] / "docs" / "measures" / f"{m.name}.md"
    text = " ".join(page.read_text(encoding="utf-8").split())
    for part in ("formula", "range", "scaling", "zero", "domain", "source", "traps"):
        assert getattr(m.facts, part) in text
    result = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert result.attempted > 3 and result.failed == 0


def test_4096_dimensions_trimmed():
    x, y = RNG.normal(size=(2, 4096))
    s = np.sort(np.exp(-np.abs(x - y) / 0.05))[409:]
    assert float(Exponential(bandwidth=0.05, trim=0.1)(x, y)) == pytest.approx(s.mean(), rel=1e-13)


def test_no_warnings_at_extremes():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x = np.array([1e150, -1e-310, 0.0])
        assert float(Exponential(bandwidth=1e-200)(x, -x)) == pytest.approx(2 / 3)
        assert float(Manhattan()(np.array([5e-324]), np.array([0.0]))) == 1.0


# -- errors ----------------------------------------------------------------------------------------

ERRORS = [
    (lambda: Manhattan(trim=1.0), InputError, "manhattan: 'trim' must be a number from 0 to below 1, got 1.0"),
    (lambda: Manhattan(trim=-0.1), InputError, "'trim' must be"),
    (lambda: Manhattan(trim="a"), InputError, "'trim' must be"),
    (lambda: Manhattan(trim=1 - 1e-13)(A5[0], A5[1]), InputError, "'trim' must be small enough to leave one of 6"),
    (lambda: Manhattan(weights=[1, -2]),
     InputError, "'weights' must be numbers ≥ 0, one of them positive, got -2.0 in dimension 1"),
    (lambda: Manhattan(weights=[0, 0]), InputError, "one of them positive"),
    (lambda: Manhattan(weights=[[1.0]]), InputError, "'weights' must be a 1-D array"),
    (lambda: Manhattan(weights=[1, float("nan")]), InputError, "finite"),
    (lambda: Manhattan(weights="deviation"), MeasureError, "'weights' must be an array (d,), 'variance' or None"),
    (lambda: Manhattan(weights=[1, 2])(A5[0], A5[1]),
     InputError, "'weights' must be of 6 dimensions, as the vectors, got 2"),
    (lambda: Manhattan(threshold=float("nan")), InputError, "'threshold' must be a finite number, a Quantile or None"),
    (lambda: Manhattan(threshold=-1, share=0), InputError, "'share' must be a number above 0 and up to 1"),
    (lambda: Manhattan(share=0.5), MeasureError, "'share' must be left out where no threshold is given"),
    (lambda: Manhattan(tiers=-1), MeasureError, "'critical' must be given where 'tiers' is"),
    (lambda: Manhattan(critical=[1]), MeasureError, "'tiers' must be given where 'critical' is"),
    (lambda: Manhattan(tiers=-1, critical=[-1]), InputError, "'critical' must be different dimensions"),
    (lambda: Manhattan(tiers=-1, critical=[1, 1]), InputError, "'critical' must be different dimensions"),
    (lambda: Manhattan(tiers=-1, critical=[]), InputError, "at least one"),
    (lambda: Manhattan(tiers=-1, critical=3), InputError, "'critical' must be"),
    (lambda: Manhattan(tiers=-1, critical=[6])(A5[0], A5[1]),
     InputError, "'critical' must be dimensions from 0 to 5, got 6"),
    (lambda: Gower(tiers=0.5, critical=[0]), MeasureError, "'clip' must be True where tiers are given"),
    (lambda: Gower(clip=True, ranges=[1, 0], tiers=0.5, critical=[1])([1.0, 2.0], [1.0, 2.0]),
     InputError, "dimensions that vary, got 1"),
    (lambda: Gower(clip=1), InputError, "'clip' must be True or False"),
    (lambda: Gower(quantile=0.5), InputError, "'quantile' must be a number from 0 to below 0.5"),
    (lambda: Gower(quantile=0.1, ranges=[1.0]), MeasureError, "'quantile' must be left out where ranges are given"),
    (lambda: Gower(ranges=[1.0, -1.0]), InputError, "'ranges' must be numbers ≥ 0"),
    (lambda: Gower(ranges=[1.0])(A5[0], A5[1]), InputError, "'ranges' must be of 6 dimensions"),
    (lambda: Gower().fit(np.ones((3, 2))), InputError, "all 2 dimensions are constant over the rows"),
    (lambda: Gower().widths(3), NotFittedError, "is not fitted"),
    (lambda: Gower(weights=[1, 0], ranges=[0, 1])([1.0, 1.0], [1.0, 1.0]), InputError, "no dimension with a weight"),
    (lambda: Exponential(bandwidth=0), InputError, "'bandwidth' must be a positive number, an array (d,) or 'fitted'"),
    (lambda: Exponential(bandwidth=None), InputError, "'bandwidth' must be"),
    (lambda: Exponential(bandwidth="auto"), MeasureError, "'bandwidth' must be"),
    (lambda: Exponential(bandwidth=[1, 0]), InputError, "'bandwidth' must be positive numbers, got 0.0 in dimension 1"),
    (lambda: Exponential(bandwidth=[1, 2])(A5[0], A5[1]), InputError, "'bandwidth' must be of 6 dimensions"),
    (lambda: Manhattan(threshold=Quantile(0.5)).fit(A5[:1]), InputError, "two rows or more, to calibrate a Quantile"),
    (lambda: Manhattan(weights="variance").fit(np.ones((2, 3))), InputError, "rows that differ"),
    (lambda: Manhattan()([1.0], [1e200]), InputError, "manhattan: 'B' must be of numbers up to 1e+150"),
    (lambda: Gower().fit([[1], [1e200]]), InputError, "'X' must be of numbers up to 1e+150, got a larger one in row 1"),
    (lambda: Quantile(2), InputError, "Quantile: 'q' must be a number from 0 to 1"),
    (lambda: Manhattan().fit([[1.0, float("inf")]]), InputError, "NaN or infinity in row 0"),
]


@pytest.mark.parametrize("act, kind, words", ERRORS, ids=[f"{i}: {e[2][:30]}" for i, e in enumerate(ERRORS)])
def test_errors_say_what_is_wrong(act, kind, words):
    with pytest.raises(KiyasError) as caught:
        act()
    assert type(caught.value) is kind
    assert words in str(caught.value)


def test_the_base_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        CoordinateMeasure()
