"""kiyas' own format: what is saved comes back bit for bit, files of every version are read, altered ones refused."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from kiyas import recurrent
from kiyas.errors import FileError, InputError
from kiyas.recurrent import Model, layers, register_layer
from kiyas.recurrent.loading import own

GOLDEN = Path(__file__).parent / "golden" / "recurrent"
VERSIONS = sorted(p.stem for p in (GOLDEN / "own").glob("*.safetensors"))


@pytest.fixture(scope="module")
def example():
    sys.path.insert(0, str(GOLDEN))
    try:
        from make_own import example as make
    finally:
        sys.path.pop(0)
    return make()


def test_a_precision_is_chosen_at_load(tmp_path, example):
    example.save(tmp_path / "m.safetensors")
    model = recurrent.load(tmp_path / "m.safetensors", precision="int8")
    again = recurrent.load(tmp_path / "m.safetensors").with_precision("int8")
    assert model.precision_error == again.precision_error and model.precision_error.largest > 0
    x = again._synthetic()
    for one, other in zip(model.predict(x), again.predict(x), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(InputError, match=r"load: 'precision' must be one of float32, bfloat16, int8, got 'int4'"):
        recurrent.load(tmp_path / "m.safetensors", precision="int4")
    with pytest.raises(InputError, match=r"must be left out; this format has no options, got \{'sr': 1\}"):
        recurrent.load(tmp_path / "m.safetensors", inputs={"sr": 1})


@pytest.mark.parametrize("name", VERSIONS)
def test_files_of_every_version_are_read(name):
    io = np.load(GOLDEN / "own" / f"{name}.npz")
    y, head = recurrent.load(GOLDEN / "own" / f"{name}.safetensors").predict(io["x"])
    assert np.abs(y - io["y"]).max() <= 1e-6 and np.abs(head - io["head"]).max() <= 1e-6


def test_there_is_a_golden_file_of_this_version():
    assert f"version_{own.VERSION}" in VERSIONS


def test_a_saved_model_is_the_same(example, tmp_path):
    path = tmp_path / "deep" / "model.safetensors"
    example.save(path)
    again = recurrent.load(path)
    assert again.source == example.source and again.describe() == example.describe()
    assert again.input_names == example.input_names and again.output_names == example.output_names
    x = np.random.default_rng(0).integers(1, 5, (3, 7))
    for one, other in zip(example.predict(x), again.predict(x), strict=True):
        assert np.array_equal(one, other)
    again.save(tmp_path / "twice.safetensors")
    assert (tmp_path / "twice.safetensors").read_bytes() == path.read_bytes()
    assert sorted(p.name for p in path.parent.iterdir()) == ["model.safetensors"]


def test_a_shared_layer_is_stored_once_and_stays_shared(tmp_path):
    layer = layers.Dense("twice", np.eye(2, dtype=np.float32))
    model = Model([recurrent.Node(layers.Input("x", (2,))), recurrent.Node(layer, ((0, 0),)),
                   recurrent.Node(layer, ((1, 0),))], [0], [(2, 0)])
    model.save(tmp_path / "a.safetensors")
    again = recurrent.load(tmp_path / "a.safetensors")
    assert again.nodes[1].layer is again.nodes[2].layer and again.count_parameters() == 4


def test_precision_is_kept(tmp_path):
    model = Model.sequential([layers.LSTM("l", np.ones((8, 3)), np.ones((8, 2)), np.ones(8))]).with_precision("int8")
    model.save(tmp_path / "a.safetensors")
    assert recurrent.load(tmp_path / "a.safetensors").layers[0].precision == "int8"


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch, example):
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"old")
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk")))
    with pytest.raises(OSError, match="disk"):
        example.save(path)
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


@dataclass(frozen=True, eq=False)
class Twice(layers.Elementwise):
    weights: np.ndarray
    power: float = 1.0

    def apply(self, x):
        return x * self.weights ** np.float32(self.power)


def test_a_layer_of_ones_own_comes_back_through_its_factory(tmp_path):
    path = tmp_path / "a.safetensors"
    Model.sequential([Twice("mine", np.array([2.0, 3.0], np.float32), 2.0)], input_shape=(2,)).save(path)
    with pytest.raises(FileError, match=r"layer 'mine' is of class Twice, which is not known; register_layer\('Twice'"):
        recurrent.load(path)
    register_layer("Twice", lambda name, config, weights: Twice(name, weights[0], config["power"]))
    try:
        assert recurrent.load(path).predict(np.ones((1, 2))).tolist() == [[4.0, 9.0]]
    finally:
        from kiyas.recurrent import registry
        del registry._registered["Twice"]


def rewritten(tmp_path, change, tensors=None):
    """The golden file with its description changed."""
    from safetensors.numpy import load_file, save_file
    source = GOLDEN / "own" / "version_1.safetensors"
    data = source.read_bytes()
    header = json.loads(data[8:8 + int.from_bytes(data[:8], "little")])
    description = json.loads(header["__metadata__"]["kiyas"])
    change(description)
    arrays = load_file(source)
    (tensors or (lambda a: None))(arrays)
    save_file(arrays, tmp_path / "x.safetensors", {"kiyas": json.dumps(description)})
    return tmp_path / "x.safetensors"


def _set(path, value):
    def change(description):
        *parents, last = path
        for key in parents:
            description = description[key]
        description[last] = value
    return change


@pytest.mark.parametrize(("change", "words"), [
    (_set(["version"], 99), "has format version 99, this kiyas reads up to 1; upgrade kiyas"),
    (_set(["format"], "kiyas index"), "is no recurrent model of kiyas"),
    (_set(["model"], None), "is altered: a model needs layers, nodes"),
    (_set(["model", "layers", 1, "class"], "Nowhere"), "layer 'table' is of class Nowhere, which is not known"),
    (_set(["model", "layers", 1, "class"], "Model"), "is of class Model, which is not known"),
    (_set(["model", "layers", 1, "colour"], 1), "Embedding 'table' has the options colour, which are not known"),
    (_set(["model", "layers", 1, "table"], {"tensor": "none"}), "is incomplete, it has no tensor 'none'"),
    (_set(["model", "layers", 1, "table"], {"code": "x"}), "is altered: the value"),
    (_set(["model", "layers", 2, "recurrent_activation"], {"activation": ["sinus", {}]}), "sinus"),
    (_set(["model", "layers", 2, "recurrent_activation"], {"activation": ["elu", {"owner": 1}]}),
     "is altered: the activation elu"),
    (_set(["model", "layers", 2, "return_sequences"], "no"), "has return_sequences 'no', which is neither true nor"),
    (_set(["model", "layers", 0, "shape"], 5), "Input '.*': 'shape' must be sizes from 1, None for any, got 5"),
    (_set(["model", "nodes", 1], [1, [[0]]]), "is altered: "),
    (_set(["model", "nodes", 1], [77, []]), "is altered: the node"),
    (_set(["model", "nodes", 1], [1, [[5, 0]]]), "in an order in which inputs come first"),
    (_set(["model", "inputs"], ["0"]), "is altered: its inputs and outputs"),
    (_set(["model", "outputs"], [[6, 3]]), "outputs"),
])
def test_an_altered_description_is_refused(tmp_path, change, words):
    with pytest.raises(FileError, match=words):
        recurrent.load(rewritten(tmp_path, change))


def test_tensors_that_nobody_uses_are_named(tmp_path):
    path = rewritten(tmp_path, lambda d: None, lambda arrays: arrays.update(extra=np.zeros(3, np.float32)))
    with pytest.raises(FileError, match="is altered, no layer uses the tensors extra"):
        recurrent.load(path)


def test_arguments_that_an_own_file_does_not_take_are_refused(tmp_path, example):
    example.save(tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="'prefix' must be left out"):
        recurrent.load(tmp_path / "a.safetensors", prefix="head")
    with pytest.raises(InputError, match="'path' must be the path of a file, got int"):
        recurrent.load(3)
    with pytest.raises(InputError, match="'path' must be the path of a file, got int"):
        example.save(3)


def test_a_header_that_begins_as_a_pickle_does_is_read(tmp_path):
    """The length of a header is its first eight bytes, and 1408 is 0x80 0x05."""
    path = tmp_path / "model.safetensors"
    for more in range(0, 300, 8):  # headers are filled up to multiples of eight
        model = Model.sequential([layers.Dense("a", np.eye(2))], source={"note": "x" * more})
        model.save(path)
        if path.read_bytes()[:1] == b"\x80":
            assert recurrent.load(path).source["note"] == "x" * more
            return
    pytest.fail("no header of such a length")
