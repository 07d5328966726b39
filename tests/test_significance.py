import json
import math

import naive_evaluate as naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiyas.errors import InputError
from kiyas.evaluate import compare, compare_all, detectable_difference, effect_size, holm, sign_flip_test


@pytest.mark.parametrize("seed", range(5))
def test_sign_flips_approach_all_patterns(seed):
    d = np.random.default_rng(seed).normal(0.3, 1, 11).round(1)
    exact = naive.sign_flip_exact(d.tolist())
    # Four standard errors of a share of 50 000.
    assert sign_flip_test(d, np.zeros(11), samples=50_000) == pytest.approx(exact, abs=4 * math.sqrt(.25 / 50_000))


def test_sign_flips_agree_with_scipy():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(3)
    a, b = rng.random(40), rng.random(40) + 0.1
    theirs = stats.permutation_test((a, b), lambda x, y, axis: (x - y).mean(axis=axis), permutation_type="samples",
                                    vectorized=True, n_resamples=20_000, rng=np.random.default_rng(1)).pvalue
    assert sign_flip_test(a, b, samples=20_000) == pytest.approx(theirs, abs=0.012)


def test_p_is_never_zero_and_counts_the_observed_pattern():
    high, low = np.full(60, 0.9), np.full(60, 0.1)
    assert sign_flip_test(high, low, samples=99) == 1 / 100
    assert sign_flip_test(low, low) == 1.0


def test_under_no_difference_p_is_uniform():
    rng = np.random.default_rng(11)
    p = np.array([sign_flip_test(rng.normal(size=25), np.zeros(25), samples=999, seed=i) for i in range(400)])
    for level in (0.05, 0.2, 0.5):
        # Four standard errors around the level: the test is exact up to sampling.
        assert abs((p <= level).mean() - level) < 4 * math.sqrt(level * (1 - level) / 400)


def test_the_seed_decides_and_the_order_of_queries_hardly():
    rng = np.random.default_rng(0)
    a, b = rng.random(30), rng.random(30)
    assert sign_flip_test(a, b, seed=5) == sign_flip_test(a, b, seed=5)
    assert sign_flip_test(a, b, seed=5) != sign_flip_test(a, b, seed=6)
    assert sign_flip_test(a, b) == sign_flip_test(b, a)


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_equals_steps(p):
    np.testing.assert_allclose(holm(np.array(p)), naive.holm(p), rtol=1e-15)


def test_effect_size_equals_loops_and_has_its_limits():
    d = np.random.default_rng(1).normal(size=20)
    assert effect_size(d, np.zeros(20)) == pytest.approx(naive.effect_size(d.tolist()))
    assert effect_size([0.5, 0.5], [0.5, 0.5]) == 0
    assert effect_size([0.5, 0.5], [0.25, 0.25]) == math.inf
    assert effect_size([0.25, 0.25], [0.5, 0.5]) == -math.inf
    facts = compare([0.5, 0.5], [0.25, 0.25]).as_dict()
    assert facts["effect"] is None and json.dumps(facts, allow_nan=False)


def test_a_detectable_difference_is_detected_as_often_as_said():
    """Simulated: differences of that size are shown in about 80 of 100 collections of 100 queries."""
    rng = np.random.default_rng(2)
    size = detectable_difference(rng.normal(0, 0.2, 20_000), np.zeros(20_000)) * math.sqrt(20_000 / 100)
    shown = np.mean([sign_flip_test(rng.normal(size, 0.2, 100), np.zeros(100), 999, i) <= 0.05 for i in range(300)])
    assert 0.72 < shown < 0.88


def test_a_larger_family_needs_larger_differences():
    values, base = np.random.default_rng(0).random((2, 50))
    sizes = [detectable_difference(values, base, comparisons=m) for m in (1, 5, 20)]
    assert sizes == sorted(sizes) and sizes[0] < sizes[2]


def test_a_family_is_adjusted_together():
    rng = np.random.default_rng(4)
    base = rng.random(80)
    values = {f"m{i}": base + rng.normal(shift, 0.3, 80) for i, shift in enumerate((0, 0.08, 0.15, -0.2))}
    found = compare_all(values, base)
    assert list(found) == list(values)
    np.testing.assert_allclose([c.adjusted for c in found.values()], holm([c.p for c in found.values()]))
    for name, one in found.items():
        alone = compare(values[name], base)
        assert alone.p == alone.adjusted == one.p <= one.adjusted  # the same sign patterns
        np.testing.assert_allclose(one.difference, alone.difference, rtol=1e-12)
        assert one.effect == alone.effect
        assert one.detectable > alone.detectable
        assert one.better + one.equal + one.worse == 80
        assert one.difference.mean == pytest.approx((values[name] - base).mean())
    assert found["m3"].verdict() == "worse" and found["m2"].verdict() == "better"
    assert found["m0"].verdict() == "no difference shown"
    assert found["m2"].as_dict()["verdict"] == "better" and set(found["m2"].as_dict()["difference"]) == {
        "mean", "low", "high"}
    assert compare_all({}, base) == {}


def test_rounding_does_not_make_a_difference():
    base = np.full(30, 0.1) + 0.2
    found = compare(np.full(30, 0.3), base)
    assert (found.p, found.better, found.equal, found.effect) == (1.0, 0, 30, 0.0)


@pytest.mark.parametrize(("call", "words"), [
    (lambda: sign_flip_test([1.0, math.nan], [0.0, 0.0]), "'values' must be finite"),
    (lambda: sign_flip_test([1.0], [0.0, 0.0]), "of the baseline's queries"),
    (lambda: sign_flip_test([], []), "one number a query"),
    (lambda: sign_flip_test([1.0], [0.5], samples=0), "'samples'"),
    (lambda: sign_flip_test([1.0], [0.5], seed=-1), "'seed'"),
    (lambda: holm([0.5, 2]), "from 0 to 1"),
    (lambda: detectable_difference([1.0], [0.5]), "at least two queries"),
    (lambda: detectable_difference([1.0, 2], [0.5, 1], power=1), "'power'"),
])
def test_bad_arguments(call, words):
    with pytest.raises(InputError, match=words):
        call()
