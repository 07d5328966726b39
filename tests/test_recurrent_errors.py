"""What does not fit is refused, naming the layer, what was wanted and what was found."""

import numpy as np
import pytest
from recurrent_models import both_ways, random_gru, random_lstm, random_norm, text_model_layers

from kiyas.errors import InputError
from kiyas.recurrent import LayerNorm, Model, Node
from kiyas.recurrent import layers as L

RNG = np.random.default_rng(0)
NAN = float("nan")


def zeros(*shape):
    return np.zeros(shape)


def lstm(name="lstm", m=3, n=4, **options):
    return random_lstm(np.random.default_rng(0), m, n, name, **options)


def text_model(**options):
    return Model.sequential(text_model_layers(np.random.default_rng(0), **options))


def series_model(*more):
    return Model.sequential([lstm(), *more])


# -- layers ------------------------------------------------------------------------------------------------------------

LAYERS = [
    (lambda: L.LSTM("l", zeros(8, 3), zeros(8, 3)),
     r"LSTM 'l': 'recurrent_weights' must be finite floats of shape \(8, 2\)"),
    (lambda: L.LSTM("l", zeros(6, 3), zeros(6, 2)), r"LSTM 'l': 'input_weights' must be of 4·units rows, got .*\(6,"),
    (lambda: L.LSTM("l", zeros(8, 3), zeros(4, 2)), r"'recurrent_weights' must be .* \(8, any\), got shape \(4, 2\)"),
    (lambda: L.LSTM("l", zeros(8), zeros(8, 2)), r"'input_weights' must be .* \(any, any\), got shape \(8,\)"),
    (lambda: L.LSTM("l", zeros(8, 3), zeros(8, 2), zeros(9)), r"'bias' must be .* \(8,\), got shape \(9,\)"),
    (lambda: L.LSTM("l", zeros(8, 3), zeros(8, 2), np.full(8, NAN)), "'bias' must be finite floats of .* got NaN or"),
    (lambda: L.LSTM("l", zeros(8, 3), zeros(8, 2), "bias"), "'bias' must be finite floats of shape .* got str"),
    (lambda: L.LSTM("l", zeros(8, 3), zeros(8, 2), activation="tan"), "LSTM 'l': 'activation' must be one of .* 'tan'"),
    (lambda: L.LSTM("l", zeros(8, 3), zeros(8, 2), recurrent_activation="softmax"),
     "LSTM 'l': 'recurrent_activation' must be an activation of single numbers, got softmax"),
    (lambda: L.LSTM("l", zeros(8, 3), zeros(8, 2), peephole=zeros(2, 2)), r"'peephole' must be .* \(3, 2\), got"),
    (lambda: L.LSTM("l", zeros(8, 3), zeros(8, 2), projection=zeros(1, 2)), r"'recurrent_weights' must .* \(8, 1\),"),
    (lambda: L.LSTM("l", zeros(8, 3), zeros(8, 2), clip=0), "LSTM 'l': 'clip' must be a number above 0, or None, got"),
    (lambda: L.LSTM("l", zeros(8, 3), zeros(8, 2), precision="half"), "'precision' must be one of float32, bfloat16,"),
    (lambda: L.LSTM("l", zeros(8, 3), zeros(8, 2), layer_norm=LayerNorm(*(zeros(7),) * 4)),
     r"LSTM 'l': 'layer_norm.input_scale' must be of shape \(8,\), got shape \(7,\)"),
    (lambda: L.GRU("g", zeros(6, 3), zeros(6, 2), zeros(6), recurrent_bias=zeros(6)),
     "GRU 'g': 'recurrent_bias' must be None unless reset_after=True, got given"),
    (lambda: L.GRU("g", zeros(8, 3), zeros(8, 2)), "'input_weights' must be of 3·units rows"),
    (lambda: L.SimpleRNN("r", zeros(2, 3), zeros(2, 3)), r"SimpleRNN 'r': 'recurrent_weights' must be .* \(2, 2\),"),
    (lambda: L.Bidirectional("b", lstm("f"), lstm("b"), "max"), "Bidirectional 'b': 'merge' must be one of concat,"),
    (lambda: L.Bidirectional("b", lstm("f"), L.Dropout("d")), "'backward' must be an LSTM, GRU or SimpleRNN layer,"),
    (lambda: L.Bidirectional("b", lstm("f"), lstm("b", m=2)), "'backward' must be a layer of 3 features, as forward,"),
    (lambda: L.Bidirectional("b", lstm("f"), lstm("b", n=2), "sum"), "'backward' must be a layer of 4 outputs, as"),
    (lambda: L.Input("i", (None, 2.5)), r"Input 'i': 'shape' must be sizes from 1, None for any, got \(None, 2.5\)"),
    (lambda: L.Input("i", 3), "Input 'i': 'shape' must be sizes from 1, None for any, got 3"),
    (lambda: L.Input("i", (None, 0)), "Input 'i': 'shape' must be sizes from 1"),
    (lambda: L.Dense("d", zeros(2, 3), zeros(3)), r"Dense 'd': 'bias' must be finite floats of shape \(2,\), got"),
    (lambda: L.Dense("d", zeros(0, 3)), r"'weights' must be .* got shape \(0, 3\)"),
    (lambda: L.Conv1D("c", zeros(2, 3, 1), padding="full"), "Conv1D 'c': 'padding' must be one of valid, same,"),
    (lambda: L.Conv1D("c", zeros(3, 3, 1), groups=2), "'groups' must be a divisor of 3 filters, got 2"),
    (lambda: L.Conv1D("c", zeros(3, 3, 1), stride=0), "'stride' must be an integer of 1 or above, got 0"),
    (lambda: L.BatchNormalization("n", None, None, zeros(2), np.array([1.0, -1])), "'variance' must be of numbers of"),
    (lambda: L.BatchNormalization("n", zeros(3), None, zeros(2), zeros(2)), r"'scale' must be .* \(2,\), got shape"),
    (lambda: L.LayerNormalization("n", None, None, axis=1), "LayerNormalization 'n': 'axis' must be one of -1, got 1"),
    (lambda: L.LayerNormalization("n", None, None, 0.0), "'epsilon' must be a number above 0, got 0.0"),
    (lambda: L.Reshape("r", (-1, -1)), "Reshape 'r': 'shape' must be sizes of 1 or above, one of them -1 at most"),
    (lambda: L.Permute("p", (1, 3)), r"Permute 'p': 'axes' must be an order of the axes from 1, got \(1, 3\)"),
    (lambda: L.RepeatVector("r", 0), "RepeatVector 'r': 'times' must be an integer of 1 or above, got 0"),
    (lambda: L.TimeDistributed("t", None), "TimeDistributed 't': 'layer' must be a layer, got NoneType"),
    (lambda: L.Concatenate("c", 0), "Concatenate 'c': 'axis' must be an axis other than that of the batch, got 0"),
]


@pytest.mark.parametrize(("make", "words"), LAYERS, ids=range(len(LAYERS)))
def test_layers(make, words):
    with pytest.raises(InputError, match=words):
        make()


def test_a_norm_that_fits_is_taken():
    assert lstm(layer_norm=random_norm(RNG, 4)).layer_norm.cell_scale.dtype == np.float32


# -- graphs ------------------------------------------------------------------------------------------------------------

INPUT = Node(L.Input("x", (None, 3)))
GRAPHS = [
    (lambda: series_model(lstm("second", m=5)),
     r"LSTM 'second': 'input' must be of shape \(any, any, 5\), got shape \(any, 4\)"),
    (lambda: series_model(L.Dense("d", zeros(2, 5))), r"Dense 'd': 'input' must be of shape \(any, 5\), got .*\(any,"),
    (lambda: series_model(L.BatchNormalization("n", None, None, zeros(5), zeros(5))),
     r"BatchNormalization 'n': 'input' must be of 5 features, got shape \(None, 4\)"),
    (lambda: series_model(L.GlobalMax("g")), r"GlobalMax 'g': 'input' must be of shape \(any, any, any\), got"),
    (lambda: series_model(L.Reshape("r", (3,))), r"Reshape 'r': 'input' must be of a size that \(3,\) can hold, got"),
    (lambda: series_model(lstm()), "Model: 'nodes' must be layers with names of their own, got two named 'lstm'"),
    (lambda: Model.sequential([]), "Model.sequential: 'layers' must be at least one layer, got none"),
    (lambda: Model.sequential([L.Dropout("d")]), "'input_shape' must be given, as Dropout 'd' comes first, got None"),
    (lambda: Model([INPUT], [], [(0, 0)]), r"Model: 'inputs' must be the numbers of all Input nodes and no others,"),
    (lambda: Model([INPUT], [0], []), "Model: 'outputs' must be at least one, got none"),
    (lambda: Model([INPUT], [0], [(1, 0)]), "Model: 'outputs' must be nodes from 0 to 0, got 1"),
    (lambda: Model([INPUT, Node(lstm(), ((0, 0),))], [0], [(1, 1)]),
     "LSTM 'lstm': 'inputs' must be outputs of LSTM 'lstm' from 0 to 0, got 1"),
    (lambda: Model([INPUT, Node(lstm(), ((1, 0),))], [0], [(1, 0)]), "an order in which inputs come first, got LSTM"),
    (lambda: Model([INPUT, Node(lstm())], [0], [(1, 0)]), "'nodes' must be layers with inputs, got LSTM 'lstm'"),
    (lambda: Model([INPUT, Node(lstm(), ((0, 0), (0, 0)))], [0], [(1, 0)]),
     "LSTM 'lstm': 'inputs' must be a sequence, and 2 initial states or none, got 2 inputs"),
    (lambda: Model([INPUT, Node(L.Add("a"), ((0, 0),))], [0], [(1, 0)]), "Add 'a': 'inputs' must be two or more"),
    (lambda: Model([INPUT, Node(L.Dropout("d"), ((0, 0), (0, 0)))], [0], [(1, 0)]), "'inputs' must be one signal, got"),
    (lambda: Model([INPUT], [0], [(0, 0)], ["a", "b"]), r"Model: 'input_names' must be 1 different names, got \('a',"),
    (lambda: Model([INPUT, Node(L.Input("y", (None, 4))), Node(L.Add("a"), ((0, 0), (1, 0)))], [0, 1], [(2, 0)]),
     r"Add 'a': 'inputs' must be of shapes that fit, got \(None, None, 3\) and \(None, None, 4\)"),
    (lambda: Model([INPUT, Node(L.Input("y", (4,))), Node(L.Concatenate("c"), ((0, 0), (1, 0)))], [0, 1], [(2, 0)]),
     "Concatenate 'c': 'inputs' must be two or more signals, alike but for axis -1, got"),
]


@pytest.mark.parametrize(("make", "words"), GRAPHS, ids=range(len(GRAPHS)))
def test_graphs(make, words):
    with pytest.raises(InputError, match=words):
        make()


# -- inputs ------------------------------------------------------------------------------------------------------------


def with_nan(value=NAN):
    x = zeros(2, 4, 3)
    x[1, 2, 0] = value
    return x


INPUTS = [
    (zeros(4, 3), r"Model.predict: 'x' must be numbers of shape \(batch, time, 3\), got shape \(4, 3\); add the"),
    (zeros(2, 4, 5), r"'x' must be numbers of shape \(batch, time, 3\), got shape \(2, 4, 5\)"),
    (zeros(2, 0, 3), r"'x' must be .* at least one of each, got an empty sequence, shape \(2, 0, 3\)"),
    (zeros(0, 4, 3), r"'x' must be .* got an empty batch, shape \(0, 4, 3\)"),
    (with_nan(), "Model.predict: 'x' must be finite, got nan in row 1, step 2"),
    (with_nan(np.inf), "'x' must be finite, got inf in row 1, step 2"),
    (with_nan(1e39), r"'x' must be of at most 3.403e\+38 in size, as far as float32 goes, got 1e\+39 in row 1, step 2"),
    ([[[1, 2, 3]], [[1, 2, 3], [1, 2, 3]]], "'x' must be .* got list that is no array .* pad rows of unlike length"),
    (np.full((1, 2, 3), "a"), "'x' must be numbers of shape .* got dtype <U1"),
    (zeros(2, 4, 3).astype(complex), "got dtype complex128"),
]


@pytest.mark.parametrize(("x", "words"), INPUTS, ids=range(len(INPUTS)))
def test_inputs(x, words):
    with pytest.raises(InputError, match=words):
        series_model().predict(x)


IDS = [
    ([[1, 12]], "Embedding 'embedding': 'ids' must be from 0 to 11, got 12 in row 0, step 1; is the tokenizer that of"),
    ([[1, 2], [-1, 2]], "Embedding 'embedding': 'ids' must be from 0 to 11, got -1 in row 1, step 0"),
    ([[1.5, 2]], "Embedding 'embedding': 'ids' must be whole numbers, got 1.5 in row 0, step 0"),
    ([1, 2], r"'x' must be numbers of shape \(batch, time\), got shape \(2,\); add the batch: x\[None\]"),
    (zeros(1, 0), "got an empty sequence"),
    ([[np.nan]], "'x' must be finite, got nan in row 0, step 0"),
]


@pytest.mark.parametrize(("x", "words"), IDS, ids=range(len(IDS)))
def test_ids(x, words):
    with pytest.raises(InputError, match=words):
        text_model().predict(np.array(x))


def test_ids_may_be_floats_that_are_whole():
    ids = np.array([[3.0, 4.0]])
    assert np.array_equal(text_model().predict(ids), text_model().predict(ids.astype(int)))


@pytest.mark.parametrize(("x", "words"), [
    ([12], "Embedding 'embedding': 'ids' must be from 0 to 11, got 12 in row 0, step 0"),
    ([[1]], r"Model.step: 'x' must be numbers of shape \(batch,\), got shape \(1, 1\)"),
    (1, r"Model.step: 'x' must be numbers of shape \(batch,\), got shape \(\)"),
])
def test_ids_of_a_step(x, words):
    with pytest.raises(InputError, match=words):
        text_model().step(np.array(x))
    with pytest.raises(InputError, match=words.replace("Model.step", "(Model|Stream).step")):
        text_model().stream().step(np.array(x))


@pytest.mark.parametrize(("x", "words"), [
    (np.full((2, 3), NAN), "Model.step: 'x' must be finite, got nan in row 0"),
    (zeros(2, 4), r"Model.step: 'x' must be numbers of shape \(batch, 3\), got shape \(2, 4\)"),
    (zeros(3), r"Model.step: 'x' must be numbers of shape \(batch, 3\), got shape \(3,\); add the batch: x\[None\]"),
    (zeros(0, 3), "got an empty batch"),
    (np.ones((2, 3), complex), "Model.step: 'x' must be numbers of .* got dtype complex128"),
    (np.array([["1", "2", "3"]] * 2), "Model.step: 'x' must be numbers of .* got dtype <U1"),
])
def test_steps(x, words):
    with pytest.raises(InputError, match=words):
        series_model().step(x)
    with pytest.raises(InputError, match=words.replace("Model.step", "(Model|Stream).step")):
        series_model().stream(2).step(x)


MASKS = [
    ({"lengths": [3, 5]}, "Model.predict: 'lengths' must be from 1 to 4, got 5 in row 1"),
    ({"lengths": [0, 4]}, "'lengths' must be from 1 to 4, got 0 in row 0; empty='zero' gives zeros for a row without"),
    ({"lengths": [4]}, r"'lengths' must be 2 integers, one a row, got shape \(1,\)"),
    ({"lengths": [4.0, 3.0]}, "'lengths' must be 2 integers, one a row, got shape .* of float64"),
    ({"lengths": [4, 4], "mask": np.ones((2, 4), bool)}, "'mask' must be None where lengths are given, got both"),
    ({"mask": np.ones((2, 3), bool)}, r"'mask' must be booleans of shape \(2, 4\), True where a step counts, got"),
    ({"mask": np.ones((2, 4))}, r"'mask' must be booleans .* got shape \(2, 4\) of float64"),
    ({"mask": np.array([[1, 1, 0, 0], [0] * 4], bool)},
     "'mask' must be of at least one step that counts in every row, got none in row 1; empty='zero' gives zeros for"),
    ({"empty": "skip"}, "'empty' must be error or zero, got 'skip'"),
    ({"threads": 0}, "'threads' must be an integer from 1"),
    ({"batch_size": 0}, "'batch_size' must be an integer from 1"),
    ({"lengths": {"lstm": [1, 2]}}, "'lengths' must be a mapping with input, got lstm"),
]


@pytest.mark.parametrize(("given", "words"), MASKS, ids=range(len(MASKS)))
def test_masks_and_lengths(given, words):
    with pytest.raises(InputError, match=words):
        series_model().predict(zeros(2, 4, 3), **given)


def test_rows_without_a_step_where_something_needs_one():
    ids = np.array([[1, 2], [0, 0]])
    table = L.Embedding("e", np.ones((3, 3)), mask_zero=True)
    for layer, kind in ((L.GlobalAverage("mean"), "GlobalAverage 'mean'"),
                        (L.WeightedAttention("att", np.ones(3)), "WeightedAttention 'att'")):
        with pytest.raises(InputError, match=f"{kind}: 'input' must be of at least one step that is not masked in "
                                             "every row, got none in row 1"):
            Model.sequential([table, layer]).predict(ids)


def test_lengths_at_odds_with_a_mask():
    with pytest.raises(InputError, match="Embedding 'embedding': 'lengths' must be of steps that are not masked, got a "
                                         "masked one in row 1, step 0; give mask= instead"):
        text_model(mask_zero=True).predict([[1, 2, 0], [0, 3, 4]], lengths=[2, 3])
    with pytest.raises(InputError, match="Masking 'm': 'lengths' must be of steps that are not masked"):
        Model.sequential([L.Masking("m"), lstm()], (None, 3)).predict(zeros(1, 2, 3), lengths=[1])
    assert text_model(mask_zero=True).predict([[1, 2, 0], [3, 4, 0]], lengths=[2, 2]).shape == (2, 12)


def two_inputs():
    nodes = [INPUT, Node(L.Input("facts", (2,))), Node(lstm(), ((0, 0),)), Node(L.Concatenate("c"), ((2, 0), (1, 0)))]
    return Model(nodes, [0, 1], [(3, 0)])


@pytest.mark.parametrize(("x", "given", "words"), [
    (zeros(1, 2, 3), {}, "Model.predict: 'x' must be 2 arrays, for x, facts, got ndarray"),
    ([zeros(1, 2, 3)], {}, "'x' must be 2 arrays, for x, facts, got 1 arrays"),
    ({"x": zeros(1, 2, 3)}, {}, "'x' must be a mapping with x, facts, got one without facts"),
    ({"x": 1, "y": 2, "facts": 3}, {}, "'x' must be a mapping with x, facts, got y"),
    ([zeros(1, 2, 3), zeros(2, 2)], {}, r"'x\[facts\]' must be of batch 1, as the first input, got batch 2"),
    ([zeros(1, 2, 3), zeros(1, 3)], {}, r"'x\[facts\]' must be numbers of shape \(batch, 2\), got shape \(1, 3\)"),
    ([zeros(1, 2, 3), zeros(1, 2)], {"lengths": {"facts": [1]}}, "'lengths' must be None for an input that is no sequ"),
])
def test_several_inputs(x, given, words):
    with pytest.raises(InputError, match=words):
        two_inputs().predict(x, **given)


# -- steps and streams -------------------------------------------------------------------------------------------------


def needs_all_steps(model, name):
    words = f"{name} needs all time steps at once; use predict on whole sequences"
    with pytest.raises(InputError, match=f"Model.step: {words}"):
        model.step(zeros(1, 3))
    with pytest.raises(InputError, match=f"Model.stream: {words}"):
        model.stream()
    assert model.predict(zeros(1, 4, 3)).shape[0] == 1


@pytest.mark.parametrize(("layer", "name"), [
    (lambda: both_ways(RNG, random_lstm, 3, 4), "Bidirectional 'both'"),
    (lambda: lstm("back", go_backwards=True), "LSTM 'back'"),
    (lambda: L.GlobalAverage("mean"), "GlobalAverage 'mean'"),
    (lambda: L.Conv1D("conv", zeros(2, 1, 3)), "Conv1D 'conv'"),
    (lambda: L.Flatten("flat"), "Flatten 'flat'"),
    (lambda: L.Nested("nest", Model.sequential([lstm("in", go_backwards=True)])), "Nested 'nest'"),
])
def test_what_cannot_go_step_by_step(layer, name):
    needs_all_steps(Model.sequential([layer()], (None, 3)), name)


def of_the_end(layer, *sources, outputs=((4, 0),)):
    """A model of the outputs of every step (1) and of what stands at the end (2: output, h, c; 3: a product of it)."""
    nodes = [Node(L.Input("x", (None, 3))), Node(lstm("every", return_sequences=True), ((0, 0),)),
             Node(lstm("end", return_state=True), ((0, 0),)), Node(L.Dense("d", np.ones((4, 4))), ((2, 0),)),
             Node(layer, sources)]
    return Model(nodes, [0], outputs)


@pytest.mark.parametrize(("model", "name"), [
    (of_the_end(L.Multiply("gate"), (1, 0), (3, 0)), "Multiply 'gate'"),
    (of_the_end(L.Add("sum"), (2, 1), (1, 0)), "Add 'sum'"),
    (of_the_end(lstm("decoder"), (0, 0), (2, 1), (2, 2)), "LSTM 'decoder'"),
    (of_the_end(lstm("decoder"), (0, 0), (3, 0), (3, 0)), "LSTM 'decoder'"),
    (of_the_end(L.Nested("nest", Model([Node(L.Input("a", (None, 4))), Node(L.Input("b", (4,))),
                                        Node(L.Multiply("gate"), ((0, 0), (1, 0)))], [0, 1], [(2, 0)])),
                (1, 0), (3, 0)), "Nested 'nest'"),
    (Model.sequential([L.Nested("nest", of_the_end(L.Multiply("gate"), (1, 0), (2, 0)))], (None, 3)), "Nested 'nest'"),
], ids=["product", "sum", "states", "a product of states", "into a nested model", "within a nested model"])
def test_what_takes_the_end_of_a_sequence_to_its_steps_cannot_go_step_by_step(model, name):
    needs_all_steps(model, name)


def test_what_does_with_ends_and_with_steps_what_it_likes_but_not_with_both_can():
    x = RNG.normal(size=(2, 6, 3)).astype(np.float32)
    for model in (of_the_end(L.Multiply("m"), (2, 0), (3, 0)), of_the_end(L.Multiply("m"), (1, 0), (1, 0)),
                  of_the_end(L.Concatenate("c"), (2, 1), (2, 2), outputs=((4, 0), (1, 0)))):
        stream, wanted = model.stream(2), model.predict(x)
        got = [stream.feed(x[:, :2]), stream.feed(x[:, 2:])]
        if isinstance(wanted, tuple):
            assert got[1][0].tobytes() == wanted[0].tobytes()
            got, wanted = [one[1] for one in got], wanted[1]
        assert (got[1] if wanted.ndim == 2 else np.concatenate(got, axis=1)).tobytes() == wanted.tobytes()
    given = Model([Node(L.Input("x", (None, 3))), Node(L.Input("facts", (4,))),
                   Node(lstm("every", return_sequences=True), ((0, 0),)), Node(L.Multiply("m"), ((2, 0), (1, 0)))],
                  [0, 1], [(3, 0)])
    facts = RNG.normal(size=(2, 4)).astype(np.float32)
    assert np.array_equal(given.step([x[:, 0], facts])[0], given.predict([x, facts])[:, 0])


@pytest.mark.parametrize("state", ["zero", {"lstm": None}, {"lstm": ("h", "c")}, 5])
def test_states_that_are_none(state):
    with pytest.raises(InputError, match=r"(State|Model.predict): '(state|lstm)' must be"):
        series_model().predict(zeros(1, 2, 3), state=state)


def test_streams():
    stream = series_model().stream(2)
    with pytest.raises(InputError, match=r"Stream.feed: 'x' must be of batch 2, got 1"):
        stream.feed(zeros(1, 4, 3))
    for lengths, words in (([1, 5], "from 0 to 4, got 5 in row 1"), ([1.5, NAN], "2 integers, one a row, got shape"),
                           (["a", "b"], "2 integers, one a row, got shape"), ([1], "2 integers, one a row, got shape")):
        with pytest.raises(InputError, match=f"Stream.feed: 'lengths' must be {words}"):
            stream.feed(zeros(2, 4, 3), lengths=lengths)
    with pytest.raises(InputError, match=r"Stream.feed: 'mask' must be None where lengths are given, got both"):
        stream.feed(zeros(2, 4, 3), lengths=[1, 4], mask=np.ones((2, 4), bool))
    with pytest.raises(InputError, match=r"Stream.step: 'x' must be of batch 2, got 3"):
        stream.step(zeros(3, 3))
    with pytest.raises(InputError, match=r"Model.stream: 'batch' must be an integer from 1"):
        series_model().stream(0)


def test_time_that_a_later_layer_cannot_take():
    m = Model.sequential([lstm(return_sequences=True), L.Flatten("flat"), L.Dense("d", zeros(2, 8))], (2, 3))
    assert m.predict(zeros(1, 2, 3)).shape == (1, 2)
    with pytest.raises(InputError, match=r"Dense 'd': 'input' must be of shape \(any, 8\), got shape \(any, 12\)"):
        m.predict(zeros(1, 3, 3))


def test_windows_that_do_not_fit():
    m = Model.sequential([L.MaxPool("pool", 4)], (None, 3))
    with pytest.raises(InputError, match="MaxPool 'pool': 'input' must be of at least 4 time steps, got 3"):
        m.predict(zeros(1, 3, 3))
    m = Model.sequential([L.Cropping("crop", 2, 1)], (None, 3))
    with pytest.raises(InputError, match="Cropping 'crop': 'input' must be of more than 3 time steps, got 3"):
        m.predict(zeros(1, 3, 3))


def test_lengths_that_differ_between_inputs():
    nodes = [INPUT, Node(L.Input("y", (None, 3))), Node(L.Add("sum"), ((0, 0), (1, 0))),
             Node(random_gru(RNG, 3, 4), ((2, 0),))]
    m = Model(nodes, [0, 1], [(3, 0)])
    with pytest.raises(InputError, match="Add 'sum': 'lengths' must be the same in all inputs, got different ones"):
        m.predict([zeros(1, 2, 3), zeros(1, 2, 3)], lengths=[[1], [2]])
