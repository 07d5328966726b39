"""state_dicts of PyTorch: architecture told by names and shapes, outputs as PyTorch's."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from kiyas import recurrent
from kiyas.errors import FileError, InputError
from kiyas.recurrent.layers import GRU, LSTM, Bidirectional, SimpleRNN

GOLDEN = Path(__file__).parent / "golden" / "recurrent" / "torch"
SHARED = Path(__file__).parents[2] / "shared" / "fixtures" / "lstm" / "torch"
shared = pytest.mark.skipif(not SHARED.is_dir(), reason="../shared, with models of the real frameworks, is not here")
CASES = {"lstm": (LSTM, 1), "lstm_stacked_both_ways_projected": (Bidirectional, 2), "lstm_without_bias": (LSTM, 1),
         "gru": (GRU, 2), "gru_both_ways": (Bidirectional, 1), "rnn_relu": (SimpleRNN, 2), "rnn_tanh": (SimpleRNN, 1)}


def assert_close(found, wanted, tolerance=1e-6):
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= tolerance


def torch_states(state, number):
    """The states as PyTorch has them: (layers · directions, batch, width), h first."""
    arrays = [state[key] for key in state]
    per_way = [a[k:k + number] for a in arrays for k in range(0, len(a), number)]
    return [np.stack([way[k] for way in per_way]) for k in range(number)]


@pytest.mark.parametrize("name", CASES)
def test_outputs_and_states_are_those_of_pytorch(name):
    io = np.load(GOLDEN / f"{name}.npz")
    model = recurrent.load(GOLDEN / f"{name}.pt", **({"activation": "relu"} if name == "rnn_relu" else {}))
    kind, number = CASES[name]
    assert [type(layer) for layer in model.layers] == [kind] * number
    begin = [io[key] for key in ("begin0", "begin1") if key in io]
    given = tuple(begin) if len(begin) == 2 else begin[0]
    y, state = model.predict(io["x"], state=given, return_state=True)
    assert_close(y, io["y"])
    for k, one in enumerate(torch_states(state, len(begin))):
        assert_close(one, io[f"end{k}"])
    y, state = model.predict(io["x"], lengths=io["lengths"], state=given, return_state=True)
    assert_close(y, io["y_packed"])
    for k, one in enumerate(torch_states(state, len(begin))):
        assert_close(one, io[f"end_packed{k}"])


@shared
@pytest.mark.parametrize("name", sorted(p.name for p in SHARED.glob("*.*") if p.suffix in (".pt", ".safetensors")
                                        and (SHARED / f"{p.stem}_io.npz").exists()))
def test_a_shared_file_gives_the_outputs_of_pytorch(name):
    io = np.load(SHARED / f"{name.split('.')[0]}_io.npz")
    model = recurrent.load(SHARED / name)
    assert_close(model.predict(io["x"], state=(io["h0"], io["c0"])), io["y"])
    assert_close(model.predict(io["x"], state=(io["h0"], io["c0"]), lengths=io["lengths"]), io["y_packed"])


def test_a_cell_is_a_layer_of_one_step():
    io = np.load(GOLDEN / "cell.npz")
    model = recurrent.load(GOLDEN / "cell.pt")
    y, state = model.step(io["x"], (io["h"][None], io["c"][None]))
    assert_close(y, io["h_next"])
    assert_close(state[model.layers[0].name][1], io["c_next"])


TAGGER = ["embedding", "conv", "relu", "encoder", "norm", {"name": "hidden", "activation": "tanh"}, "out", "softmax"]


def test_a_list_of_modules_makes_a_whole_model():
    io = np.load(GOLDEN / "tagger.npz")
    config = [{"name": "conv", "padding": 1} if step == "conv" else step for step in TAGGER]
    model = recurrent.load(GOLDEN / "tagger_checkpoint.pt", config=config, prefix="model")
    assert_close(model.predict(io["x"]), io["y"])


def test_a_list_of_modules_may_be_json_or_a_file_of_it(tmp_path):
    io = np.load(GOLDEN / "tagger.npz")
    text = json.dumps([{"name": "conv", "padding": 1} if step == "conv" else step for step in TAGGER])
    (tmp_path / "modules.json").write_text(text)
    (tmp_path / "other.json").write_text('{"name": "conv"}')
    for config in (text, tmp_path / "modules.json", str(tmp_path / "modules.json")):
        model = recurrent.load(GOLDEN / "tagger_checkpoint.pt", config=config, prefix="model")
        assert_close(model.predict(io["x"]), io["y"])
    for name, words in (("other.json", "it should be a list"), ("none.json", "there is no such file")):
        with pytest.raises(FileError, match=words):
            recurrent.load(GOLDEN / "tagger_checkpoint.pt", config=tmp_path / name, prefix="model")


def test_a_part_is_found_by_its_prefix_and_the_rest_is_not_dropped_in_silence():
    model = recurrent.load(GOLDEN / "tagger_checkpoint.pt", prefix="model.encoder")
    assert [layer.name for layer in model.layers] == ["model.encoder.l0"]
    with pytest.raises(FileError, match=r"beside the recurrent module 'model.encoder' also model.embedding.weight"):
        recurrent.load(GOLDEN / "tagger_checkpoint.pt")
    with pytest.raises(FileError, match=r"no module of config= uses out.weight, out.bias"):
        recurrent.load(GOLDEN / "tagger_checkpoint.pt", prefix="model", config=TAGGER[:-2])
    with pytest.raises(FileError, match=r"has no recurrent layer under 'model.norm.'"):
        recurrent.load(GOLDEN / "tagger_checkpoint.pt", prefix="model.norm")


def named(prefix, tensors):
    return {f"{prefix}.{key}": value for key, value in tensors.items()}


def whole(prefix):
    """An embedding, an LSTM and a head, below a prefix."""
    rng = np.random.default_rng(5)
    tensors = {"emb.weight": rng.standard_normal((5, 3)), "head.weight": rng.standard_normal((2, 4))}
    tensors = {key: value.astype(np.float32) for key, value in tensors.items()} | named("enc", lstm_tensors())
    return named(prefix, tensors) if prefix else tensors


@pytest.mark.parametrize("prefix", ["net", "module", "state_dict.model", "state_dict._orig_mod.module", ""])
def test_weights_below_a_prefix_are_used_or_named_and_never_dropped(tmp_path, prefix):
    path = as_safetensors(tmp_path / "x.safetensors", whole(prefix))
    start = f"{prefix}." if prefix else ""
    words = (f"beside the recurrent module '{start}enc' also {start}emb.weight, {start}head.weight; "
             f"load that module alone with prefix='{start}enc', or list all modules in order in config=")
    for given in (None, prefix, prefix.rpartition(".")[0]):
        with pytest.raises(FileError, match=re.escape(words)):
            recurrent.load(path, prefix=given)
    assert [layer.name for layer in recurrent.load(path, prefix=f"{start}enc").layers] == [f"{start}enc.l0"]
    model = recurrent.load(path, ["emb", "enc", {"name": "head", "class": "Linear"}], prefix=prefix)
    assert [type(layer).__name__ for layer in model.layers] == ["Embedding", "LSTM", "Dense"]
    for config in (["enc"], ["emb", "enc"]):
        with pytest.raises(FileError, match=r"no module of config= uses .*head\.weight"):
            recurrent.load(path, config, prefix=prefix)


def test_a_prefix_takes_one_recurrent_module_of_several(tmp_path):
    two = named("net.a", lstm_tensors(0)) | named("net.b", lstm_tensors(1)) | {
        "net.b.norm.weight": np.ones(4, np.float32)}
    path = as_safetensors(tmp_path / "x.safetensors", two)
    for name, seed in (("a", 0), ("b", 1)):
        model = recurrent.load(path, prefix=f"net.{name}")
        x = np.random.default_rng(2).standard_normal((2, 4, 3))
        plain = as_safetensors(tmp_path / f"{name}.safetensors", lstm_tensors(seed))
        assert np.array_equal(model.predict(x), recurrent.load(plain).predict(x))
    with pytest.raises(FileError, match=r"has 2 recurrent modules under 'net\.', net\.a\., net\.b\.; choose one"):
        recurrent.load(path, prefix="net")
    with pytest.raises(FileError, match=r"has no recurrent layer under 'ne\.'"):
        recurrent.load(path, prefix="ne")


def test_a_weight_of_a_module_within_the_recurrent_one_is_none_of_its_own(tmp_path):
    path = as_safetensors(tmp_path / "x.safetensors", lstm_tensors() | {"inner.bias_ih": np.zeros(16, np.float32)})
    with pytest.raises(FileError, match=r"beside the recurrent module '' also inner\.bias_ih"):
        recurrent.load(path)


def test_weight_norm_is_multiplied_out():
    io = np.load(GOLDEN / "weight_norm.npz")
    assert_close(recurrent.load(GOLDEN / "weight_norm.pt").predict(io["x"]), io["y"])


def as_safetensors(path, tensors):
    from safetensors.numpy import save_file
    save_file({key: np.ascontiguousarray(value) for key, value in tensors.items()}, path)
    return path


def lstm_tensors(seed=0, m=3, n=4):
    rng = np.random.default_rng(seed)
    shapes = {"weight_ih_l0": (4 * n, m), "weight_hh_l0": (4 * n, n), "bias_ih_l0": (4 * n,), "bias_hh_l0": (4 * n,)}
    return {key: rng.standard_normal(shape).astype(np.float32) for key, shape in shapes.items()}


def test_the_names_of_an_awd_lstm_are_known(tmp_path):
    plain = lstm_tensors()
    awd = {f"rnns.0.module.{key}": value for key, value in plain.items()}
    awd["rnns.0.weight_hh_l0_raw"] = awd["rnns.0.module.weight_hh_l0"]
    awd["rnns.0.module.weight_hh_l0"] = awd["rnns.0.module.weight_hh_l0"] * 0  # what dropout left
    x = np.random.default_rng(1).standard_normal((2, 4, 3))
    one = recurrent.load(as_safetensors(tmp_path / "a.safetensors", awd)).predict(x)
    assert np.array_equal(one, recurrent.load(as_safetensors(tmp_path / "b.safetensors", plain)).predict(x))


def test_new_weight_norm_names_are_known(tmp_path):
    plain = lstm_tensors()
    weight = plain.pop("weight_hh_l0")
    size = np.linalg.norm(weight, axis=1, keepdims=True).astype(np.float32)
    plain["parametrizations.weight_hh_l0.original0"] = size
    plain["parametrizations.weight_hh_l0.original1"] = 3 * weight
    model = recurrent.load(as_safetensors(tmp_path / "a.safetensors", plain))
    assert_close(model.layers[0].recurrent_weights, weight)


def test_bfloat16_becomes_float32():
    weights = recurrent.load(GOLDEN / "bfloat16.safetensors").layers[0].input_weights
    assert weights.dtype == np.float32 and not (weights.view(np.uint32) & 0xFFFF).any() and weights.any()


def test_files_from_before_1_6_are_read():
    model = recurrent.load(GOLDEN / "before_1_6.pt")
    assert isinstance(model.layers[0], LSTM) and model.layers[0].units == 4 and model.layers[0].bias.any()


@pytest.mark.parametrize(("name", "words"), [
    ("quantised.pt", "holds a quantised model, whose weights are packed objects of PyTorch; save the state_dict"),
    ("whole_module.pt", "names torch.nn.modules.rnn.LSTM, which is not allowed here; nothing was run. Only tensors"),
    ("torchscript.pt", "is a TorchScript archive, which holds code; save model.state_dict() instead"),
])
def test_what_is_no_state_dict_is_refused_by_name(name, words):
    with pytest.raises(FileError, match=re.escape(words)):
        recurrent.load(GOLDEN / name)


def test_weights_that_do_not_fit_are_named(tmp_path):
    def refused(words, **changes):
        tensors = lstm_tensors() | changes
        path = as_safetensors(tmp_path / "x.safetensors", {k: v for k, v in tensors.items() if v is not None})
        with pytest.raises(FileError, match=words):
            recurrent.load(path)

    refused("layer 'l0' has one bias of two", bias_hh_l0=None)
    refused("layer 'l0' lacks weight_ih", weight_ih_l0=None)
    refused("layer 'l0' has 15 rows for 4 hidden units", weight_hh_l0=np.zeros((15, 4), np.float32))
    refused(r"a bias of shape \(3,\), wanted \(16,\)", bias_ih_l0=np.zeros(3, np.float32))
    refused("weights of dtype int64, they should be floats", weight_ih_l0=np.zeros((16, 3), np.int64))
    refused(r"LSTM 'l0': 'input_weights' must be finite floats", weight_ih_l0=np.full((16, 3), np.nan, np.float32))
    refused("module '' lacks layers", weight_hh_l2=np.zeros((16, 4), np.float32))
    refused("has 2 recurrent modules", **{"b.weight_hh_l0": np.zeros((16, 4), np.float32)})


def test_arguments_are_checked():
    path = GOLDEN / "rnn_tanh.pt"
    with pytest.raises(InputError, match="'activation' must be tanh or relu, what an RNN has, got 'gelu'"):
        recurrent.load(path, activation="gelu")
    with pytest.raises(InputError, match="'colour' must be left out; options of this format are activation"):
        recurrent.load(path, colour=1)
    with pytest.raises(InputError, match="'config' must be a list of the modules"):
        recurrent.load(path, config="lstm")
    with pytest.raises(InputError, match=r"'partial' must be left out for a file of the kind of rnn_tanh.pt"):
        recurrent.load(path, partial=True)


def test_options_of_a_recurrent_module_that_it_has_not_are_named(tmp_path):
    tensors = {"r.weight_ih_l0": np.zeros((8, 3), np.float32), "r.weight_hh_l0": np.zeros((8, 2), np.float32)}
    path = as_safetensors(tmp_path / "x.safetensors", tensors)
    assert recurrent.load(path, [{"name": "r", "return_sequences": False}]).output_shapes() == ((None, 2),)
    for options, words in (({"return_sequence": 0}, r"config\['r'\]' must be .* that the module has, got ret"),
                           ({"return_sequences": "no"}, r"config\['r'\]\['return_sequences'\]' must be true or false"),
                           ({"activation": "relu"}, r"'activation' must be left out for 'r\.l0', which is an LSTM")):
        with pytest.raises(InputError, match=words):
            recurrent.load(path, [{"name": "r", **options}])
    with pytest.raises(InputError, match=r"must be left out for 'r\.l0', which is an LSTM, got 'relu'; it is"):
        recurrent.load(path, prefix="r", activation="relu")


def test_the_maker_and_the_files_agree():
    assert {p.stem for p in GOLDEN.glob("*.npz")} == {*CASES, "cell", "tagger", "weight_norm"}
    assert json.loads((GOLDEN / "bfloat16.safetensors").read_bytes()[8:].split(b"}}")[0] + b"}}")
