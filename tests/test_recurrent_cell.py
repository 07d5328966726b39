"""One step of an LSTM, a GRU and a simple RNN: the worked example, every option, and against PyTorch."""

import itertools

import array_api_strict
import naive_recurrent as naive
import numpy as np
import pytest
from recurrent_models import every_recurrent_layer, lstm_options, plain, random_gru, random_lstm, random_rnn

from kiyas.errors import InputError
from kiyas.recurrent import GRUCell, LSTMCell, Model, RNNCell
from kiyas.recurrent import activations as A
from kiyas.recurrent.cell import LayerNorm, LSTMGates

NUMBERS = np.concatenate([np.linspace(-9, 9, 181), [0, 3, -3, 2.5, -2.5, 6, 40, -40]])


def worked_example():
    """Weights for which the pre-activations are those of the example, W by chance and b solved for."""
    h, x = np.array([0.5, -0.1]), np.array([1.0, 0.0])
    z = {"f": [1, -1], "i": [0, 1], "C": [0.5, -0.5], "o": [1, 1]}
    rng = np.random.default_rng(0)
    weights = {f"W_{g}": rng.normal(size=(2, 4)) for g in z}
    weights |= {f"b_{g}": np.array(z[g]) - weights[f"W_{g}"] @ np.concatenate([h, x]) for g in z}
    return LSTMCell(2, 2, weights), x, h, np.array([0.2, 0.8])


def test_the_worked_example():
    cell, x, h, C = worked_example()
    h_t, C_t, gates = cell.step(x, h, C, explain=True)
    np.testing.assert_allclose(C_t, [0.37727, -0.12268], atol=5e-6)
    np.testing.assert_allclose(h_t, [0.26343, -0.08924], atol=5e-6)
    np.testing.assert_allclose(gates.f, [0.73106, 0.26894], atol=5e-6)
    np.testing.assert_allclose(gates.i, [0.5, 0.73106], atol=5e-6)
    np.testing.assert_allclose(gates.C_tilde, [0.46212, -0.46212], atol=5e-6)
    np.testing.assert_allclose(gates.o, [0.73106, 0.73106], atol=5e-6)
    assert gates.C is C_t
    assert gates.h is h_t
    assert len(cell.step(x, h, C)) == 2


def test_rounding_by_hand_along_the_way_gives_other_last_digits():
    """Gates to three digits, the cell state to three: −0.123 and −0.090 instead of −0.12268 and −0.08924."""
    f, i, candidate, o = 0.269, 0.731, -0.462, 0.731
    C = round(round(f * 0.8, 3) + round(i * candidate, 3), 3)
    h = round(o * -0.123, 3)
    assert C == -0.123
    assert h == -0.090


def test_the_additive_update_is_what_is_said():
    cell, x, h, C = worked_example()
    _, C_t, gates = cell.step(x, h, C, explain=True)
    np.testing.assert_allclose(C_t, gates.f * C + gates.i * gates.C_tilde, rtol=1e-15)


OPTIONS = ["peephole", "projection", "coupled", "clip", "layer_norm"]
SETS = [s for size in range(len(OPTIONS) + 1) for s in itertools.combinations(OPTIONS, size)]


@pytest.mark.parametrize("names", SETS, ids="+".join)
def test_every_set_of_options_of_an_lstm(names):
    rng = np.random.default_rng(len(names))
    n, m = 4, 3
    p = 2 if "projection" in names else n
    options = lstm_options(rng, n, names, p)
    layer = random_lstm(rng, m, n, p=p, recurrent_activation="hard_sigmoid_fifth", activation="softsign",
                        output_activation="tanh", **options)
    x, h, C = rng.normal(size=(2, m)), rng.normal(size=(2, p)), rng.normal(size=(2, n))
    found = LSTMCell.of(layer).step(x, h, C)
    for row in range(2):
        wanted = naive.lstm_step(plain(layer), x[row], (h[row], C[row]))
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_allclose(a[row], b, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["sigmoid", "hard_sigmoid", "hard_sigmoid_fifth"])
def test_recurrent_activations(name):
    rng = np.random.default_rng(3)
    layer = random_lstm(rng, 3, 4, recurrent_activation=name)
    x, h, C = rng.normal(size=3), rng.normal(size=4), rng.normal(size=4)
    wanted = naive.lstm_step(plain(layer), x, (h, C))
    np.testing.assert_allclose(LSTMCell.of(layer).step(x, h, C), wanted, rtol=1e-6, atol=1e-6)


def test_the_two_hard_sigmoids_differ():
    x = np.array([-3.0, -2.5, 1.0], np.float32)
    assert A.find("hard_sigmoid")(x).tolist() == pytest.approx([0, 1 / 12, 2 / 3])
    assert A.find("hard_sigmoid_fifth")(x).tolist() == pytest.approx([0, 0, 0.7])


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("clip", [None, 0.3])
def test_gru_cell(after, clip):
    rng = np.random.default_rng(5)
    n, m = 4, 3
    layer = random_gru(rng, m, n, reset_after=after, clip=clip)
    W, R, b = layer.input_weights, layer.recurrent_weights, layer.bias
    rb = layer.recurrent_bias if after else np.zeros(3 * n)
    weights = {f"W_{g}": np.concatenate([R[k * n:(k + 1) * n], W[k * n:(k + 1) * n]], axis=1)
               for k, g in enumerate("zrh")}
    weights |= {"b_z": b[:n] + rb[:n], "b_r": b[n:2 * n] + rb[n:2 * n], "b_h": b[2 * n:]}
    if after:
        weights["b_hh"] = rb[2 * n:]
    x, h = rng.normal(size=(2, m)), rng.normal(size=(2, n))
    new, gates = GRUCell(m, n, weights, reset_after=after, clip=clip).step(x, h, explain=True)
    assert gates.h is new
    for row in range(2):
        np.testing.assert_allclose(new[row], naive.gru_step(plain(layer), x[row], (h[row],))[0], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(new, gates.z * h + (1 - gates.z) * gates.h_tilde, rtol=1e-12)


def test_rnn_cell():
    rng = np.random.default_rng(6)
    layer = random_rnn(rng, 3, 4, activation="relu")
    W = np.concatenate([layer.recurrent_weights, layer.input_weights], axis=1)
    x, h = rng.normal(size=3), rng.normal(size=4)
    (new,) = RNNCell(3, 4, {"W_h": W, "b_h": layer.bias}, activation="relu").step(x, h)
    np.testing.assert_allclose(new, naive.rnn_step(plain(layer), x, (h,))[0], rtol=1e-6, atol=1e-6)


def test_the_cell_of_a_layer_explains_the_step_of_a_model():
    rng = np.random.default_rng(8)
    layer = random_lstm(rng, 3, 4)
    x = rng.normal(size=(2, 3)).astype(np.float32)
    y, state = Model.sequential([layer]).step(x)
    h, C, gates = LSTMCell.of(layer).step(x, np.zeros((2, 4), np.float32), np.zeros((2, 4), np.float32), explain=True)
    assert isinstance(gates, LSTMGates)
    np.testing.assert_allclose(y, h, atol=1e-6)
    np.testing.assert_allclose(state["lstm"][1], C, atol=1e-6)


@pytest.mark.parametrize("names", [(), ("layer_norm", "peephole", "clip")], ids=["plain", "options"])
def test_other_array_libraries(names):
    rng = np.random.default_rng(9)
    options = lstm_options(rng, 4, names)
    layer = random_lstm(rng, 3, 4, **options)
    cell = LSTMCell.of(layer)
    x, h, C = rng.normal(size=(2, 3)), rng.normal(size=(2, 4)), rng.normal(size=(2, 4))
    strict = array_api_strict.asarray
    weights = {k: strict(np.asarray(v, np.float64)) for k, v in cell.weights.items()}
    if "peephole" in options:
        options["peephole"] = strict(options["peephole"])
    if "layer_norm" in options:
        options["layer_norm"] = type(layer.layer_norm)(*(strict(np.asarray(getattr(layer.layer_norm, f), np.float64))
                                                         for f in ("input_scale", "recurrent_scale", "cell_scale",
                                                                   "cell_offset")))
    found = LSTMCell(3, 4, weights, **options).step(strict(x), strict(h), strict(C))
    for a, b in zip(found, cell.step(x, h, C), strict=True):
        np.testing.assert_allclose(np.asarray(a), b, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", A.NAMES)
def test_activations_in_any_library(name):
    parameters = {"scaled_tanh": {"alpha": 1.5, "beta": 0.7}, "affine": {"alpha": 2, "beta": -1},
                  "capped_relu": {"max_value": 4, "negative_slope": 0.1, "threshold": 1}}.get(name, {})
    found = A.find(name, **parameters)
    if name == "softmax":
        wanted = np.exp(naive.log_softmax(NUMBERS.tolist()))
    else:
        wanted = np.array(naive.activate((found.name, found.parameters), NUMBERS.tolist()))
    np.testing.assert_allclose(found(NUMBERS), wanted, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(np.asarray(found(array_api_strict.asarray(NUMBERS))), wanted, rtol=1e-12, atol=1e-12)
    float32 = found(NUMBERS.astype(np.float32))
    assert float32.dtype == np.float32
    np.testing.assert_allclose(float32, wanted, rtol=3e-6, atol=2e-6)


def test_names_of_activations():
    assert A.find("silu") == A.find("swish")
    assert A.find("Logistic").name == "sigmoid"
    assert A.find("HardSigmoid").name == "hard_sigmoid_fifth"
    assert str(A.find("elu", alpha=0.5)) == "elu(alpha=0.5)"
    assert hash(A.find("tanh")) == hash(A.find("tanh"))
    with pytest.raises(InputError, match=r"activation: 'activation' must be one of affine, .*, got 'sine'"):
        A.find("sine")
    with pytest.raises(InputError, match="'activation' must be tanh with no parameters, got alpha"):
        A.find("tanh", alpha=1)
    with pytest.raises(InputError, match=r"'activation.alpha' must be a number, got '1'"):
        A.find("elu", alpha="1")


# -- errors ------------------------------------------------------------------------------------------------------------


def test_wrong_weights():
    good, (n, m) = worked_example()[0].weights, (2, 2)
    with pytest.raises(InputError, match="LSTMCell: 'weights' must be a mapping with W_f, W_i, W_C, W_o, b_f, b_i"):
        LSTMCell(m, n, {k: v for k, v in good.items() if k != "b_o"})
    with pytest.raises(InputError, match=r"LSTMCell: 'W_i' must be of shape \(2, 4\), got shape \(2, 3\)"):
        LSTMCell(m, n, {**good, "W_i": np.zeros((2, 3))})
    with pytest.raises(InputError, match="LSTMCell: 'activation' must be one of"):
        LSTMCell(m, n, good, activation="tangent")
    with pytest.raises(InputError, match="'clip' must be a number above 0, or None, got -1"):
        LSTMCell(m, n, good, clip=-1)
    with pytest.raises(InputError, match=r"'peephole' must be of shape \(3, 2\), got shape \(2,\)"):
        LSTMCell(m, n, good, peephole=np.zeros(2))
    gates = {f"{k}_{g}": np.zeros((1, 2)) if k == "W" else np.zeros(1) for k in "Wb" for g in "zrh"}
    with pytest.raises(InputError, match="'weights' must be without b_hh, unless reset_after=True, got b_hh"):
        GRUCell(1, 1, {**gates, "b_hh": np.zeros(1)})
    with pytest.raises(InputError, match="'hidden_dim' must be an integer from 1"):
        LSTMCell(m, 0, good)


def test_wrong_steps():
    cell, x, h, C = worked_example()
    with pytest.raises(InputError, match=r"LSTMCell.step: 'x_t' must be of shape \(2,\) or \(batch, 2\), got shape"):
        cell.step(np.zeros(3), h, C)
    with pytest.raises(InputError, match=r"'C_prev' must be of shape \(2,\) or \(batch, 2\), got shape \(1,\)"):
        cell.step(x, h, np.zeros(1))
    with pytest.raises(InputError, match=r"'h_prev' must be of shape \(5, 2\), as x_t is \(5, 2\), got shape \(4, 2\)"):
        cell.step(np.zeros((5, 2)), np.zeros((4, 2)), np.zeros((5, 2)))


def test_arrays_of_two_libraries_are_named():
    cell, x, h, C = worked_example()
    strict = array_api_strict.asarray
    as_ = r"must be an array of numpy, as the weight W_\w is, got one of array_api_strict; give all arrays in one lib"
    for name, given in (("x_t", (strict(x), h, C)), ("h_prev", (x, strict(h), C)), ("C_prev", (x, h, strict(C))),
                        ("x_t", (strict(x), strict(h), strict(C)))):
        with pytest.raises(InputError, match=f"LSTMCell.step: '{name}' {as_}"):
            cell.step(*given)
    good, (n, m) = cell.weights, (2, 2)
    norm = LayerNorm(np.ones(8), np.ones(8), strict(np.ones(2)), np.zeros(2))
    for name, options in (("b_o", {}), ("peephole", {"peephole": strict(np.ones((3, n)))}),
                          ("projection", {"projection": strict(np.ones((n, n)))}),
                          ("layer_norm.cell_scale", {"layer_norm": norm})):
        with pytest.raises(InputError, match=f"LSTMCell: '{name}' {as_}"):
            LSTMCell(m, n, good if options else {**good, "b_o": strict(good["b_o"])}, **options)
    gates = {f"{k}_{g}": np.zeros((1, 2)) if k == "W" else np.zeros(1) for k in "Wb" for g in "zrh"}
    with pytest.raises(InputError, match=f"GRUCell.step: 'h_prev' {as_}"):
        GRUCell(1, 1, gates).step(np.zeros(1), strict(np.zeros(1)))
    with pytest.raises(InputError, match=f"RNNCell.step: 'x_t' {as_}"):
        RNNCell(1, 1, {"W_h": np.zeros((1, 2)), "b_h": np.zeros(1)}).step(strict(np.zeros(1)), np.zeros(1))


def test_lists_become_arrays_of_the_library_of_the_weights():
    cell, x, h, C = worked_example()
    strict = LSTMCell(2, 2, {name: array_api_strict.asarray(np.asarray(w)) for name, w in cell.weights.items()})
    for one in strict.step(x.tolist(), h.tolist(), C.tolist()):
        assert isinstance(one, type(array_api_strict.asarray(0.0)))


# -- PyTorch -----------------------------------------------------------------------------------------------------------


@pytest.mark.torch
def test_torch_cells_and_arrays():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    theirs = torch.nn.LSTMCell(3, 4)
    x, h, c = torch.randn(2, 3), torch.randn(2, 4), torch.randn(2, 4)
    order = {"i": 0, "f": 1, "C": 2, "o": 3}  # theirs: i f g o
    with torch.no_grad():
        W = torch.cat([theirs.weight_hh, theirs.weight_ih], dim=1)
        b = theirs.bias_ih + theirs.bias_hh
        weights = {f"W_{g}": W[4 * k:4 * k + 4] for g, k in order.items()}
        weights |= {f"b_{g}": b[4 * k:4 * k + 4] for g, k in order.items()}
        wanted = theirs(x, (h, c))
        found = LSTMCell(3, 4, weights).step(x, h, c)
        for a, b in zip(found, wanted, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    mixed = LSTMCell(3, 4, {name: array.numpy() for name, array in weights.items()})
    with pytest.raises(InputError, match="'x_t' must be an array of numpy, as the weight W_i is, got one of torch"):
        mixed.step(x, h, c)


@pytest.mark.torch
@pytest.mark.parametrize("layers", [1, 2])
def test_torch_gru(layers):
    torch = pytest.importorskip("torch")
    torch.manual_seed(1)
    theirs = torch.nn.GRU(3, 4, num_layers=layers, batch_first=True)
    x = torch.randn(2, 5, 3)
    made = []
    with torch.no_grad():
        for k in range(layers):
            get = lambda name, k=k: getattr(theirs, f"{name}_l{k}").numpy()  # noqa: E731
            turn = lambda a: np.concatenate([a[4:8], a[:4], a[8:]])  # noqa: E731  theirs: r z n
            made.append(random_gru(np.random.default_rng(), 3 if k == 0 else 4, 4).__class__(
                f"gru_{k}", turn(get("weight_ih")), turn(get("weight_hh")), turn(get("bias_ih")),
                recurrent_bias=turn(get("bias_hh")), reset_after=True, return_sequences=True))
        wanted, h = theirs(x)
    found, state = Model.sequential(made).predict(x, return_state=True)
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-6)
    np.testing.assert_allclose(state[f"gru_{layers - 1}"][0], h[-1].numpy(), atol=1e-6)


def test_all_kinds_of_layers_are_held_against_the_oracle():
    names = [layer.name for layer in every_recurrent_layer(np.random.default_rng(0), 2, 3)]
    assert len(set(names)) == len(names) == 12
