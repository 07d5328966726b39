"""As a PyTorch module a model gives what it gives here, and its weights come back from the state_dict."""

import numpy as np
import pytest
from test_export_onnx import (
    ATTENTION,
    DOTS,
    MERGED,
    POINTWISE,
    RECURRENT,
    TIME,
    WITHIN,
    ZERO,
    M,
    N,
    attending,
    both,
    dotted,
    embedding,
    gru,
    ids,
    lstm,
    masked_outputs,
    merged,
    outputs,
    padded_sentences,
    rng,
    rnn,
    sequences,
    stepped,
    weights,
)

from kiyas.errors import InputError
from kiyas.recurrent import LayerNorm, Model, Node, layers, load
from kiyas.recurrent.activations import NAMES, find
from kiyas.recurrent.export import export_onnx, to_torch
from kiyas.recurrent.layers import Dense, Input

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def torch():
    found = pytest.importorskip("torch")
    found.set_num_threads(1)
    return found


def check(torch, model, x):
    given = x if isinstance(x, list) else [x]
    with torch.no_grad():
        found = to_torch(model)(*(torch.tensor(one) for one in given))
    wanted = model.predict(x)
    found, wanted = (y if isinstance(y, tuple) else (y,) for y in (found, wanted))
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert tuple(one.shape) == other.shape
        np.testing.assert_allclose(one.numpy(), other, rtol=1e-6, atol=1e-5)
    assert max(np.abs(w).max() for w in wanted) > 1e-3


UNLIKE = {
    "lstm peephole": "has peepholes", "lstm coupled": "has coupled gates", "lstm clip": "has a clip",
    "lstm Keras 2": "has the activations hard_sigmoid_fifth, tanh, tanh, PyTorch's layer sigmoid and tanh",
    "lstm Keras 3": "has the activations hard_sigmoid", "lstm f g h": "has the activations",
    "gru": "resets before the product", "gru relu": "has the activations", "both ave": "resets before the product",
}


@pytest.mark.parametrize("name", [name for name in RECURRENT if name not in UNLIKE])
def test_recurrent_layers(torch, name):
    check(torch, outputs(RECURRENT[name]), sequences())


@pytest.mark.parametrize("name", UNLIKE)
def test_what_pytorch_has_not_is_refused_by_name(torch, name):
    with pytest.raises(InputError, match=r"export to PyTorch: (LSTM|GRU|Bidirectional) '\w+' " + UNLIKE[name]):
        to_torch(outputs(RECURRENT[name]))


def test_other_refusals(torch):
    norm = LayerNorm(np.ones(16), np.ones(16), np.ones(4), np.zeros(4))
    for layer, words in ((lstm(layer_norm=norm), "has layer normalisation inside"),
                         (rnn(activation="sigmoid"), "has the activation sigmoid, PyTorch's RNN tanh or relu"),
                         (layers.MaxPool("p", 2, padding="same"), "pads its windows"),
                         (POINTWISE["conv same"], "pads to the same size with a stride")):
        with pytest.raises(InputError, match=words):
            to_torch(Model.sequential([layer], (None, M)))


def projected():
    return layers.LSTM("small", **weights(4, p=2), projection=rng().normal(0, 1, (2, N)), return_sequences=True)


def after():
    return gru(reset_after=True, recurrent_bias=np.arange(3.0 * N) / 9, return_sequences=True)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
def test_a_projection(torch):
    check(torch, Model.sequential([projected()]), sequences())


def test_the_gates_of_a_gru(torch):
    check(torch, outputs(layers.Bidirectional("both", after(), after(), "mul", return_sequences=True)), sequences())


@pytest.mark.parametrize("tail", [
    [lstm()], [both(return_sequences=True)], [both(merge="sum")], [rnn(return_sequences=True)],
    [lstm(return_sequences=True), after()][:1], [lstm(return_sequences=True, zero_output_for_mask=True)],
    [lstm(return_sequences=True), layers.GlobalAverage("mean")],
    [lstm(return_sequences=True), layers.WeightedAttention("attention", rng().normal(0, 1, N))],
], ids=lambda tail: "+".join(type(layer).__name__ for layer in tail))
def test_padding_behind(torch, tail):
    model = Model.sequential([embedding(mask_zero=True), *tail])
    check(torch, model, ids(masked=True))
    check(torch, model, ids())


@pytest.mark.parametrize("layer", [*ZERO.values(), lstm(return_sequences=True, go_backwards=True),
                                   lstm(return_sequences=True, go_backwards=True, zero_output_for_mask=True),
                                   both(return_sequences=True, zero_masked=False)],
                         ids=lambda layer: f"{type(layer).__name__} {layer.name}")
def test_outputs_at_masked_steps(torch, layer):
    check(torch, masked_outputs(layer), ids(masked=True))


@pytest.mark.parametrize(("kind", "masks", "other", "tail"), MERGED)
def test_masks_of_what_is_merged(torch, kind, masks, other, tail):
    check(torch, *merged(kind, masks, other, tail))


def test_padding_in_front_is_refused_when_it_is_met(torch):
    module = to_torch(Model.sequential([embedding(mask_zero=True), lstm("one")]))
    with pytest.raises(ValueError, match="LSTM 'one': a step is masked before one that is not"):
        module(torch.tensor([[0, 1, 2]]))
    with pytest.raises(ValueError, match="LSTM 'one': a row has no step that counts"):
        module(torch.tensor([[0, 0, 0]]))


@pytest.mark.parametrize("name", NAMES)
def test_activations(torch, name):
    given = {"capped_relu": {"max_value": 1.5, "negative_slope": 0.1, "threshold": 0.3}}.get(name, {})
    x = np.linspace(-9, 9, 60, dtype=np.float32).reshape(5, 12)
    model = Model.sequential([layers.ActivationLayer("a", find(name, **given))], (12,))
    check(torch, model, x)
    moved = torch.tensor(x, requires_grad=True)
    to_torch(model)(moved).sum().backward()  # it can be trained on
    assert torch.isfinite(moved.grad).all()


UNLIKE_POINTWISE = ("conv same", "max same", "average same")


@pytest.mark.parametrize("name", [name for name in POINTWISE if name not in UNLIKE_POINTWISE])
def test_layers_without_a_state(torch, name):
    check(torch, Model.sequential([POINTWISE[name]], (TIME, M)), sequences())


@pytest.mark.parametrize("kind", ["Add", "Subtract", "Multiply", "Divide", "Average", "Maximum", "Minimum"])
def test_merging(torch, kind):
    model = Model([Node(Input("a", (None, M))), Node(Input("b", (M,))), Node(getattr(layers, kind)("m"),
                                                                           ((0, 0), (1, 0)))], [0, 1], [(2, 0)])
    check(torch, model, [sequences(), rng().normal(0, 1, (3, M)).astype(np.float32)])


@pytest.mark.parametrize("name", ATTENTION)
def test_attention(torch, name):
    check(torch, attending(ATTENTION[name]), [sequences(), sequences()[:, 1:] * 2])
    check(torch, attending(ATTENTION[name], True), [ids(masked=True), ids(masked=True)[:, :5]])


@pytest.mark.parametrize("name", DOTS)
def test_inner_products(torch, name):
    check(torch, *dotted(name))


def test_a_whole_layer_at_every_step(torch):
    for inner in (layers.Flatten("f"), layers.Reshape("r", (3, 2)), layers.GlobalMax("g"), POINTWISE["conv"]):
        model = Model.sequential([layers.TimeDistributed("t", inner)], (None, 2, 3))
        check(torch, model, rng().normal(0, 1, (3, 4, 2, 3)).astype(np.float32))


@pytest.mark.parametrize("name", WITHIN)
def test_a_whole_model_at_every_step(torch, name):
    model, x = stepped(name)
    check(torch, model, x)
    assert {key.partition(".")[0] for key in to_torch(model).state_dict()} == {
        layer.name for layer in model.layers if layer.count_parameters()}


def test_a_model_that_masks_at_every_step(torch):
    check(torch, *padded_sentences())


def test_a_layer_from_the_end_over_masked_sequences(torch):
    every = layers.Backward("end", lstm(return_sequences=True))
    module = to_torch(Model.sequential([embedding(mask_zero=True), every]))
    with pytest.raises(ValueError, match="Backward 'end': repeats outputs at masked steps"):
        module(torch.tensor(ids(masked=True)))
    last = Model.sequential([embedding(mask_zero=True), layers.Backward("end", lstm())])
    check(torch, last, ids(masked=True))


def test_a_graph_with_a_shared_and_a_nested_model(torch):
    inner = Model.sequential([lstm("inner", return_sequences=True), Dense("narrow", rng().normal(0, 1, (M, N)))])
    shared = rnn("shared", return_sequences=True)
    model = Model([
        Node(Input("x", (None, M))), Node(layers.Nested("nested", inner), ((0, 0),)), Node(shared, ((0, 0),)),
        Node(shared, ((1, 0),)), Node(layers.Concatenate("joined"), ((2, 0), (3, 0))),
        Node(layers.Attention("seen", 0.5), ((4, 0), (4, 0))), Node(layers.GlobalMax("most"), ((5, 0),)),
    ], [0], [(6, 0), (3, 0)])
    check(torch, model, sequences())
    module = to_torch(model)
    assert {"shared.weight_hh_l0", "nested.inner.weight_ih_l0", "nested.narrow.weight"} <= set(module.state_dict())


def test_the_state_goes_on(torch):
    model = Model.sequential([lstm("one", return_sequences=True), rnn("two", m=N, return_sequences=True)])
    module, x, state, parts = to_torch(model), torch.tensor(sequences()), None, []
    with torch.no_grad():
        for start, stop in ((0, 1), (1, 4), (4, TIME)):
            y, state = module(x[:, start:stop], state=state, return_state=True)
            parts.append(y)
    wanted, after_ = model.predict(sequences(), return_state=True)
    np.testing.assert_allclose(torch.cat(parts, 1).numpy(), wanted, atol=1e-5)
    assert {key: len(value) for key, value in state.items()} == {"one": 2, "two": 1}
    np.testing.assert_allclose(state["one"][1].numpy(), after_["one"][1], atol=1e-5)


def test_the_state_dict_comes_back(torch, tmp_path):
    model = Model.sequential([lstm("lstm", return_sequences=True)])
    torch.save(to_torch(model).state_dict(), tmp_path / "weights.pt")
    again = load(tmp_path / "weights.pt", prefix="lstm")
    np.testing.assert_allclose(again.predict(sequences()), model.predict(sequences()), atol=1e-6)


def test_the_model_stays_as_it_is_when_the_module_is_trained(torch):
    model = Model.sequential([lstm("lstm")])
    before, module = model.predict(sequences()), to_torch(model)
    assert not module.training
    module.train()
    loss = module(torch.tensor(sequences())).square().sum()
    loss.backward()
    with torch.no_grad():
        for weight in module.parameters():
            assert weight.grad is not None
            weight -= 0.1 * weight.grad
    np.testing.assert_array_equal(model.predict(sequences()), before)
    with torch.no_grad():
        assert module(torch.tensor(sequences())).square().sum() < loss


def test_wrong_numbers_of_inputs_are_named(torch):
    with pytest.raises(ValueError, match=r"takes 1 inputs \(input\), got 2"):
        to_torch(Model.sequential([lstm("lstm")]))(torch.tensor(sequences()), torch.tensor(sequences()))


def test_a_layer_of_a_users_own_is_refused(torch):
    class Mine(layers.Elementwise):
        def apply(self, x):
            return x

    with pytest.raises(InputError, match="export to PyTorch: Mine 'mine' has no form there"):
        to_torch(Model.sequential([Mine("mine")], (M,)))


def test_pytorch_and_onnx_agree(torch, tmp_path):
    """The two ways out, against each other: neither hides a mistake of the runtime."""
    onnxruntime = pytest.importorskip("onnxruntime")
    model = Model.sequential([embedding(), both(return_sequences=True), Dense("head", rng().normal(0, 1, (5, 2 * N)),
                                                                              activation="softmax")])
    export_onnx(model, tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        wanted = to_torch(model)(torch.tensor(ids())).numpy()
    np.testing.assert_allclose(session.run(None, {"input": ids()})[0], wanted, atol=1e-5)
