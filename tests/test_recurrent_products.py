"""What cells are made of: products of the compiled code in every precision, and activations."""

import naive_cells as naive
import numpy as np
import pytest
from recurrent_weights import PARAMETERS, Weights, assert_bits, floats, state_of

from kiyas.kernels import recurrent as r

# ---- products -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows, inputs, outputs", [(1, 1, 1), (1, 7, 130), (5, 33, 64), (13, 64, 65), (200, 20, 3)])
def test_a_product_whatever_the_rows_and_threads(every_level, rows, inputs, outputs):
    rng = np.random.default_rng(11)
    x, w, b = floats(rng, rows, inputs), floats(rng, outputs, inputs), floats(rng, outputs)
    for precision in r.PRECISIONS:
        linear = r.Linear(w, b, precision)
        y = linear(x)
        for i in range(0, rows, 7):
            assert_bits(linear(x[i:i + 1])[0], y[i])
        for threads in (2, 3):
            assert_bits(linear(x, threads=threads), y)
        if precision == "float32":
            np.testing.assert_allclose(y, [naive.product(w, row, b) for row in x], rtol=1e-5, atol=1e-5)
    out = np.empty((rows, outputs), np.float32)
    assert r.Linear(w)(x, out=out) is out
    assert_bits(out, r.Linear(w, np.zeros(outputs, np.float32))(x))


def test_int8_is_what_it_says(every_level):
    rng = np.random.default_rng(12)
    x, w, b = floats(rng, 4, 37), floats(rng, 19, 37), floats(rng, 19)
    step_w = np.abs(w.astype(np.float64)).max(axis=1) / 127
    top = np.abs(x).max(axis=1, keepdims=True)
    code_w = np.rint(w / step_w[:, None]).astype(np.int64)
    code_x = np.rint(x * (np.float32(127) / top)).astype(np.int64)
    wanted = b + (code_x @ code_w.T) * step_w * (top / np.float32(127))
    np.testing.assert_allclose(r.Linear(w, b, "int8")(x), wanted, rtol=2e-6, atol=1e-6)


def test_int8_of_zeros_extremes_and_not_numbers(every_level):
    w = np.array([[1, -1, 1, -1, 1], [0, 0, 0, 0, 0], [-1, -1, -1, -1, -1]], np.float32)
    linear = r.Linear(w, None, "int8")
    assert linear(np.zeros((1, 5), np.float32)).tolist() == [[0, 0, 0]]
    assert linear(np.array([[1, -1, 1, -1, 1]], np.float32))[0] == pytest.approx([5, 0, -1], rel=1e-6)
    big = np.full((1, 5), 3e38, np.float32)
    assert linear(big)[0, 0] == pytest.approx(3e38, rel=1e-6)
    for bad in (np.nan, np.inf, -np.inf):
        x = np.array([[1, bad, 1, 1, 1], [1, 1, 1, 1, 1]], np.float32)
        assert np.isnan(linear(x)[0]).all()
        assert np.isfinite(linear(x)[1]).all()
    wide = np.ones((1, 3000), np.float32)
    assert r.Linear(wide, None, "int8")(wide)[0, 0] == pytest.approx(3000, rel=1e-5)


def bfloat16(x):
    bits = np.asarray(x, np.float32).view(np.uint32).astype(np.uint64)
    return (((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16) << 16).astype(np.uint32).view(np.float32)


def test_bfloat16_is_what_it_says(every_level):
    rng = np.random.default_rng(13)
    x, w, b = floats(rng, 4, 37), floats(rng, 19, 37), floats(rng, 19)
    wanted = [naive.product(bfloat16(w), row, b) for row in bfloat16(x)]
    np.testing.assert_allclose(r.Linear(w, b, "bfloat16")(x), wanted, rtol=1e-5, atol=1e-5)
    # In a recurrence weights are rounded and the state is not: the bits are those of float32 with rounded weights.
    c = Weights("lstm", 21, 3)
    still = np.zeros((2, 9, 3), np.float32)
    state = state_of(rng, c.kernel(), 2)
    y, _ = c.kernel("bfloat16").sequence(still, state)
    c.R = bfloat16(c.R)
    assert_bits(y, c.kernel().sequence(still, state)[0])


@pytest.mark.parametrize("precision, most", [("bfloat16", 0.01), ("int8", 0.03)])
def test_what_smaller_weights_cost(precision, most):
    w, x = Weights("lstm", 64, 64), floats(np.random.default_rng(14), 4, 50, 64)
    y, other = w.kernel().sequence(x)[0], w.kernel(precision).sequence(x)[0]
    assert 0 < np.abs(y - other).max() < most
    assert w.kernel(precision).nbytes * (2 if precision == "bfloat16" else 4) == w.kernel().nbytes


# ---- activations --------------------------------------------------------------------------------------------------


def ulps(y, wanted):
    """Distance in units in the last place of the wanted value."""
    wanted = np.asarray(wanted, np.float64)
    return np.abs(y.astype(np.float64) - wanted) / np.spacing(np.maximum(np.abs(wanted), 1.2e-38).astype(np.float32))


def every_size(count=400_000):
    rng = np.random.default_rng(15)
    bits = rng.integers(0, 1 << 32, count, dtype=np.uint64).astype(np.uint32)
    x = np.concatenate([bits.view(np.float32), np.linspace(-20, 20, count, dtype=np.float32)])
    return x[np.isfinite(x) & (np.abs(x) > 1.2e-38)]


@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_tanh_sigmoid_and_exponential_to_a_few_units_in_the_last_place(every_level):
    x = every_size()
    wide = x.astype(np.float64)
    with np.errstate(over="ignore"):
        tanh, sigmoid = r.activate("tanh", x), r.activate("sigmoid", x)
        assert ulps(tanh, np.tanh(wide)).max() <= (6 if every_level == "baseline" else 5)  # twice rounded
        assert np.abs(tanh).max() <= 1
        true = 1 / (1 + np.exp(-wide))
        normal = true > 1.2e-38
        assert ulps(sigmoid[normal], true[normal]).max() <= 4
        assert sigmoid[~normal].max(initial=0) <= 1.2e-38
        assert 0 <= sigmoid.min() <= sigmoid.max() <= 1
        true = np.exp(wide)
        normal = (true > 1.2e-38) & (true < 3.4e38)
        assert ulps(r.activate("exponential", x)[normal], true[normal]).max() <= 4
    assert_bits(r.activate("tanh", -x), -tanh)


@pytest.mark.parametrize("name", sorted(naive.ACTIVATIONS))
def test_an_activation_is_its_formula(every_level, name):
    x = np.concatenate([np.linspace(-8, 8, 301), [1e-6, -1e-6, 30, -30, 80]]).astype(np.float32)
    given_ = PARAMETERS.get(name, {})
    wanted = [naive.ACTIVATIONS[name](float(v), **given_) for v in x]
    np.testing.assert_allclose(r.activate(name, x, **given_), wanted, rtol=2e-6, atol=1e-7)
    np.testing.assert_allclose(r.activate(name, x[:7]), [naive.ACTIVATIONS[name](float(v)) for v in x[:7]], rtol=2e-6,
                               atol=1e-7)
    assert np.isnan(r.activate(name, np.full(17, np.nan, np.float32))).all()


@pytest.mark.parametrize("name", sorted(naive.ACTIVATIONS))
def test_a_value_does_not_depend_on_its_place(every_level, name):
    x = floats(np.random.default_rng(16), 67) * np.float32(4)
    whole = r.activate(name, x)
    for start, stop in ((0, 1), (1, 2), (3, 20), (15, 64), (66, 67)):
        assert_bits(r.activate(name, x[start:stop]), whole[start:stop])
    assert_bits(r.activate(name, x[:66].reshape(2, 3, 11)), whole[:66].reshape(2, 3, 11))


def test_softmax(every_level):
    rng = np.random.default_rng(17)
    x = floats(rng, 6, 77) * np.float32(5)
    y = r.softmax(x)
    wide = np.exp(x.astype(np.float64) - x.max(axis=1, keepdims=True))
    np.testing.assert_allclose(y, wide / wide.sum(axis=1, keepdims=True), rtol=3e-6)
    for i in range(6):
        assert_bits(r.softmax(x[i]), y[i])
    extreme = np.array([[1000, 0, -1000], [-np.inf, 0, 0]], np.float32)
    assert r.softmax(extreme).tolist() == [[1, 0, 0], [0, 0.5, 0.5]]
    assert np.isnan(r.softmax(np.array([0, np.nan, 1], np.float32))).all()
