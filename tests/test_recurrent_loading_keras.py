"""Keras files of every version give what Keras gave; what is not supported, or does not fit, is named."""

import copy
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from kiyas import recurrent
from kiyas.errors import FileError, InputError
from kiyas.recurrent import layers, register_layer
from kiyas.recurrent.loading.keras.versions import by_form, parse

h5py = pytest.importorskip("h5py", reason="h5py, which writes files for these tests, is not installed")

GOLDEN = Path(__file__).parent / "golden" / "recurrent" / "keras"
SHARED = Path(__file__).parents[2] / "shared" / "fixtures" / "lstm"
shared = pytest.mark.skipif(not SHARED.is_dir(), reason="../shared, with models of the real frameworks, is not here")
FILES = [f"{version}/{name}" for version in ("k2_13_1", "k2_15_0", "k3_15_1")
         for name in ("A.h5", "A.keras", "A.weights.h5", "A_weights_legacy.h5", "B.h5", "B.keras", "C_cudnn.h5", "D.h5",
                      "D.keras", "S_hardsig.h5")
         if (SHARED / version / name).exists()]


def assert_close(found, wanted, tolerance=1e-6):
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= tolerance


def config_of(path, version):
    return json.loads(zipfile.ZipFile(path).read("config.json")) | {"keras_version": version}


@shared
@pytest.mark.parametrize("name", FILES)
def test_a_shared_file_gives_the_outputs_of_keras(name):
    path = SHARED / name
    beside = path.parent / "A_config.json"
    config = beside if beside.exists() else config_of(path.parent / "A.keras", "3.15.1")
    model = recurrent.load(path, config=config if "weights" in name else None)
    io = np.load(path.parent / f"{path.name[0]}_io.npz")
    wanted = [io[key] for key in sorted(io) if key.startswith("y")]
    if model.is_stateful:  # B was fed step by step, its state carried
        stream = model.stream()
        found = [np.concatenate([stream.feed(io["x"][:, t:t + 1]) for t in range(io["x"].shape[1])])]
    else:
        found = model.predict(io["x"], empty="zero")
        found = found if isinstance(found, tuple) else (found,)
    for one, other in zip(found, wanted, strict=True):
        assert_close(one, other)


@pytest.mark.parametrize("name", sorted(p.name for p in GOLDEN.iterdir()
                                        if p.suffix != ".npz" and not p.name.startswith("lambda")))
def test_a_file_gives_the_outputs_of_keras(name):
    stem = name.split(".")[0].removesuffix("_legacy")
    alone = "weights" in name or "legacy" in name
    config = config_of(GOLDEN / f"{stem}.keras", "2.15.0" if "k2" in name else "3.15.1") if alone else None
    model = recurrent.load(GOLDEN / name, config=config)
    io = np.load(GOLDEN / f"{stem}.npz")
    found = model.predict([io[key] for key in sorted(io) if key.startswith("x")])
    found = found if isinstance(found, tuple) else (found,)
    for k, one in enumerate(found):
        assert_close(one, io[f"y{k}"])
    assert f"y{len(found)}" not in io


@pytest.mark.parametrize(("stored", "words"), [
    (1, r"wanted 3 \(kernel, recurrent_kernel, bias\); 'l' is of bfloat16, for which Keras may fail to make weights"),
    (0, r"has weights of 0 layers of class lstm \(none\), the configuration has 1 \(l\); 'l' is of bfloat16")])
def test_a_model_that_keras_never_built_is_told_by_its_dtype(tmp_path, stored, words):
    """Keras 3 saves it with the weights that there are, one or none."""
    config = sequential(("LSTM", {"name": "l", "units": 2, "batch_input_shape": [None, None, 3], "dtype": {
        "class_name": "DTypePolicy", "config": {"name": "bfloat16"}}}), keras_version="3.15.1")
    with h5py.File(tmp_path / "a.weights.h5", "w") as file:
        file.create_group("layers")
        for k in range(stored):
            file[f"layers/lstm/cell/vars/{k}"] = np.zeros((3, 8), "V2")
    with pytest.raises(FileError, match=words):
        recurrent.load(tmp_path / "a.weights.h5", config=config)


def test_keras_3_does_not_heed_the_mask_of_a_layer_that_is_given_states():
    kinds = {version: {type(layer) for layer in recurrent.load(GOLDEN / f"translator_{version}.keras").layers}
             for version in ("k2", "k3")}
    assert layers.Unmasked in kinds["k3"] and layers.Unmasked not in kinds["k2"]


def test_a_shared_nested_model_is_made_once():
    model = recurrent.load(GOLDEN / "pair_k3.keras")
    towers = [node.layer for node in model.nodes if isinstance(node.layer, layers.Nested)]
    assert len(towers) == 2 and towers[0] is towers[1]


def test_mappings_of_inputs_and_outputs_keep_their_names_and_go_sorted_as_in_keras():
    for version in ("k2", "k3"):
        model = recurrent.load(GOLDEN / f"mapped_{version}.keras")
        assert model.input_names == ("left", "right") and model.output_names == ("a", "head", "late", "z")
        io = np.load(GOLDEN / f"mapped_{version}.npz")
        for one, key in zip(model.predict({"right": io["x1"], "left": io["x0"]}), ("y0", "y1", "y2", "y3"),
                            strict=True):
            assert_close(one, io[key])


def test_outputs_in_mappings_of_lists_are_named_by_the_way_to_them(tmp_path):
    def nest(config):
        score, mean = config["config"]["output_layers"]
        config["config"]["output_layers"] = {"b": [score, mean], "a": {"again": mean}}
    model = recurrent.load(altered(tmp_path, "pair_k3.keras", nest))
    assert model.output_names == ("a:again", "b:0", "b:1")
    io = np.load(GOLDEN / "pair_k3.npz")
    for one, key in zip(model.predict([io["x0"], io["x1"]]), ("y1", "y0", "y1"), strict=True):
        assert_close(one, io[key])


@pytest.mark.parametrize(("inputs", "words"), [
    ({"x": 0, "w": 0}, "Functional 'functional.*' gets the inputs x, w; it has x, y"),
    (None, r"Functional 'functional.*' gets its inputs as a mapping \(x, y\), whose order is not known"),
])
def test_a_mapping_that_a_model_does_not_take_is_refused(tmp_path, inputs, words):
    """Versions of Keras 3 differ in what they make of a mapping for a model with a list of inputs."""
    def change(config):
        inner = next(layer for layer in config["config"]["layers"] if layer["class_name"] == "Functional")
        if inputs is None:
            inner["config"]["input_layers"] = [["y", 0, 0], ["x", 0, 0]]
        else:
            call = inner["inbound_nodes"][0]["args"]
            call[0] = dict(zip(inputs, call[0].values(), strict=True))
    with pytest.raises(FileError, match=words):
        recurrent.load(altered(tmp_path, "mapped_k3.keras", change))


def test_a_part_of_a_model_is_loaded_by_its_name():
    whole = recurrent.load(GOLDEN / "pair_k2.h5")
    for path in ("pair_k2.h5", "pair_k3.keras"):
        tower = recurrent.load(GOLDEN / path, prefix="tower")
        assert type(tower.layers[0]) is layers.Embedding and len(tower.layers) == 8
        last = tower.layers[-1]
        alone = recurrent.load(GOLDEN / path, prefix=f"tower/{last.name}")
        assert np.array_equal(alone.layers[0].input_weights, last.input_weights)
        assert alone.input_shapes == ((None, None, 3),)
    x = np.array([[1, 2, 3, 4]])
    assert np.array_equal(recurrent.load(GOLDEN / "pair_k2.h5", prefix="tower").predict(x), whole.predict([x, x])[1])
    with pytest.raises(InputError, match=r"'prefix' must be the name of a layer of .*: one, other, tower"):
        recurrent.load(GOLDEN / "pair_k2.h5", prefix="turret")


# --- files made by hand, as no writer of them is left ----------------------------------------------------------------

def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def fifth(x):
    return np.clip(0.2 * x + 0.5, 0, 1)


def naive_lstm(x, w, u, b, gate):
    """The last output; gates by name: w["i"] (m, n), u["i"] (n, n), b["i"] (n,)."""
    h = c = np.zeros((x.shape[0], b["i"].size))
    for t in range(x.shape[1]):
        z = {k: x[:, t] @ w[k] + h @ u[k] + b[k] for k in "ifco"}
        c = gate(z["f"]) * c + gate(z["i"]) * np.tanh(z["c"])
        h = gate(z["o"]) * np.tanh(c)
    return h


def by_gate(seed=0, m=3, n=2, gates="ifco"):
    rng = np.random.default_rng(seed)
    return ({k: rng.standard_normal((m, n)) for k in gates}, {k: rng.standard_normal((n, n)) for k in gates},
            {k: rng.standard_normal(n) for k in gates})


def legacy(path, groups, config=None, version=None, root="model_weights"):
    """An .h5 file: ``groups`` maps layers to lists of (name, array)."""
    with h5py.File(path, "w") as file:
        if config is not None:
            file.attrs["model_config"] = json.dumps(config).encode()
        if version is not None:
            file.attrs["keras_version"] = version
        top = file.create_group(root) if config is not None else file
        top.attrs["layer_names"] = np.array([name.encode() for name in groups])
        for layer, arrays in groups.items():
            group = top.create_group(layer)
            group.attrs["weight_names"] = np.array([name.encode() for name, _ in arrays]) if arrays else []
            for name, array in arrays:
                group[name] = np.asarray(array, np.float32)
    return path


def sequential(*specs, **more):
    return {"class_name": "Sequential", "config": {"name": "s", "layers": [
        {"class_name": kind, "config": config} for kind, config in specs]}, **more}


def one_lstm(**options):
    return sequential(("LSTM", {"name": "l", "units": 2, "batch_input_shape": [None, None, 3], **options}))


def lstm_arrays(seed=0):
    w, u, b = by_gate(seed)
    return [("kernel", np.hstack([w[k] for k in "ifco"])), ("recurrent_kernel", np.hstack([u[k] for k in "ifco"])),
            ("bias", np.concatenate([b[k] for k in "ifco"]))]


X = np.random.default_rng(9).standard_normal((2, 5, 3)).astype(np.float32)


@pytest.mark.parametrize("gpu", [False, True])
def test_keras_1_keeps_gates_apart_or_for_the_gpu_together(tmp_path, gpu):
    w, u, b = by_gate()
    apart = [(f"l_{part}_{k}", array[k]) for k in "icfo" for part, array in (("W", w), ("U", u), ("b", b))]
    arrays = lstm_arrays() if gpu else apart
    config = {"class_name": "Sequential", "config": [{"class_name": "LSTM", "config": {
        "name": "l", "output_dim": 2, "inner_activation": "hard_sigmoid", "activation": "tanh", "input_dim": 3,
        "batch_input_shape": [None, None, 3], "consume_less": "gpu" if gpu else "cpu", "forget_bias_init": "one",
        "W_regularizer": None, "dropout_W": 0.0}}]}
    model = recurrent.load(legacy(tmp_path / "a.h5", {"l": arrays}, config))
    assert_close(model.predict(X), naive_lstm(X, w, u, b, fifth))


def test_keras_1_gru_and_convolution(tmp_path):
    w, u, b = by_gate(gates="zrh")
    rng = np.random.default_rng(1)
    kernel, bias = rng.standard_normal((2, 1, 3, 3)), rng.standard_normal(3)
    gru = [(f"{part}_{k}", array[k]) for k in "zrh" for part, array in (("W", w), ("U", u), ("b", b))]
    config = sequential(("Convolution1D", {"name": "c", "nb_filter": 3, "filter_length": 2, "border_mode": "valid",
                                           "subsample_length": 1, "batch_input_shape": [None, None, 3]}),
                        ("GRU", {"name": "g", "output_dim": 2, "inner_activation": "sigmoid"}))
    path = legacy(tmp_path / "a.h5", {"c": [("c_W", kernel), ("c_b", bias)], "g": gru}, config)
    x = np.stack([X[:, t] @ kernel[0, 0] + X[:, t + 1] @ kernel[1, 0] + bias for t in range(4)], axis=1)
    h = np.zeros((2, 2))
    for t in range(4):
        z, r = (sigmoid(x[:, t] @ w[k] + h @ u[k] + b[k]) for k in "zr")
        h = z * h + (1 - z) * np.tanh(x[:, t] @ w["h"] + (r * h) @ u["h"] + b["h"])
    assert_close(recurrent.load(path).predict(X), h, 2e-6)


@pytest.mark.parametrize(("version", "gate"), [("2.2.0", fifth), ("2.3.1", sigmoid), ("2.4.0", sigmoid),
                                               ("2.15.0", sigmoid), ("3.0.5", sigmoid), ("2.3.0-tf", sigmoid)])
def test_what_a_configuration_omits_is_the_default_of_its_version(tmp_path, version, gate):
    w, u, b = by_gate()
    path = legacy(tmp_path / "a.h5", {"l": lstm_arrays()}, version=version)
    assert_close(recurrent.load(path, config=one_lstm()).predict(X), naive_lstm(X, w, u, b, gate))


def test_where_the_version_does_not_tell_it_is_asked_for(tmp_path):
    path = legacy(tmp_path / "a.h5", {"l": lstm_arrays()}, version="2.2.4-tf")
    with pytest.raises(FileError, match=r"its configuration lacks 'recurrent_activation', and Keras 2.2.4-tf"):
        recurrent.load(path, config=one_lstm())
    assert recurrent.load(path, config=one_lstm(recurrent_activation="sigmoid"))


@pytest.mark.parametrize(("version", "name"), [(None, "hard_sigmoid_fifth"), ("1.2.2", "hard_sigmoid_fifth"),
                                               ("2.15.0", "hard_sigmoid_fifth"), ("3.0.0", "hard_sigmoid")])
def test_hard_sigmoid_is_the_one_of_the_version(tmp_path, version, name):
    config = one_lstm(recurrent_activation="hard_sigmoid", consume_less="gpu")
    config["config"]["layers"][0]["config"]["output_dim"] = 2
    model = recurrent.load(legacy(tmp_path / "a.h5", {"l": lstm_arrays()}, config, version))
    assert model.layers[0].recurrent_activation.name == name


def test_versions():
    assert parse("2.2.4").tensorflow2 is False and parse("2.4.1").tensorflow2 is True
    assert parse("2.2.4-tf").tensorflow2 is None and parse(None).keras1 and parse("nonsense").keras1
    assert parse("3.15.1").passes_mask and not parse("3.16.0").passes_mask


def test_passes_mask_can_be_chosen():
    one, other = (recurrent.load(GOLDEN / "pair_k3.keras", prefix="tower", passes_mask=flag).layers[1].passes_mask
                  for flag in (True, False))
    assert one and not other


def test_weights_alone_go_by_name_or_by_order(tmp_path):
    config = sequential(("LSTM", {"name": "a", "units": 2, "return_sequences": True,
                                  "batch_input_shape": [None, None, 2]}), ("LSTM", {"name": "b", "units": 2}),
                        keras_version="2.2.0")

    def groups(*names):
        return {name: [(k, v[:2] if k == "kernel" else v) for k, v in lstm_arrays(seed)] for seed, name in
                enumerate(names)}

    def kernels(path, **more):
        return [layer.input_weights for layer in recurrent.load(path, config=config, **more).layers]

    named = kernels(legacy(tmp_path / "1.h5", groups("a", "b")))
    renamed = kernels(legacy(tmp_path / "2.h5", groups("lstm_7", "lstm_8")))
    assert all(np.array_equal(x, y) for x, y in zip(named, renamed, strict=True))
    turned = kernels(legacy(tmp_path / "3.h5", groups("b", "a")))
    assert np.array_equal(named[0], turned[1]) and np.array_equal(named[1], turned[0])
    larger = legacy(tmp_path / "4.h5", groups("a", "b", "c"))
    with pytest.raises(FileError, match="layers that the configuration does not have: c; pass partial=True"):
        kernels(larger)
    assert np.array_equal(kernels(larger, partial=True)[0], named[0])
    with pytest.raises(FileError, match=r"of 3 layers \(x, y, z\), the configuration has 2 with weights \(a, b\)"):
        kernels(legacy(tmp_path / "5.h5", groups("x", "y", "z")))


def test_long_attributes_lie_in_pieces(tmp_path):
    config = one_lstm()
    path = legacy(tmp_path / "a.h5", {"l": lstm_arrays()}, config, "2.15.0")
    with h5py.File(path, "a") as file:
        names = file["model_weights"].attrs["layer_names"]
        del file["model_weights"].attrs["layer_names"]
        file["model_weights"].attrs["layer_names0"] = names
        text = file.attrs["model_config"]
        del file.attrs["model_config"]
        file.attrs["model_config0"], file.attrs["model_config1"] = text[:50], text[50:]
    assert recurrent.load(path).predict(X).shape == (2, 2)


def altered(tmp_path, name, change, arrays=None):
    """A golden .keras file with its configuration, or the names of its groups, changed."""
    with zipfile.ZipFile(GOLDEN / name) as archive:
        entries = {entry: archive.read(entry) for entry in archive.namelist()}
    config = json.loads(entries["config.json"])
    change(config)
    entries["config.json"] = json.dumps(config).encode()
    path = tmp_path / name
    if arrays is not None:
        (tmp_path / "w.h5").write_bytes(entries["model.weights.h5"])
        with h5py.File(tmp_path / "w.h5", "a") as file:
            arrays(file)
        entries["model.weights.h5"] = (tmp_path / "w.h5").read_bytes()
    with zipfile.ZipFile(path, "w") as archive:
        for entry, data in entries.items():
            archive.writestr(entry, data)
    return path


def tower(config):
    return next(layer for layer in config["config"]["layers"] if layer["config"]["name"] == "tower")["config"]["layers"]


def test_groups_are_paired_by_number_whatever_layers_are_called(tmp_path):
    """Keras 2.13 skips numbers, and names of layers are of no account (they would swap two LSTMs here)."""
    def swap(config):
        first, second = [layer["config"] for layer in tower(config) if layer["class_name"] == "LSTM"][1:]
        first["name"], second["name"] = second["name"], first["name"]
        first["use_bias"], second["use_bias"] = False, True

    def skip(file):
        inner = file["layers/sequential/layers"]
        inner.move("lstm_2", "lstm_11")
        inner.move("lstm_1", "lstm_7")
        for name in ("lstm", "lstm_7", "lstm_11"):
            inner[name]["vars"].attrs.pop("name", None)

    def kernels(path):
        model = recurrent.load(path, prefix="tower")
        return [layer.input_weights for layer in model.layers if isinstance(layer, layers.LSTM)]

    plain = kernels(GOLDEN / "pair_k3.keras")
    for one, other in zip(plain, kernels(altered(tmp_path, "pair_k3.keras", swap, skip)), strict=True):
        assert np.array_equal(one, other)
    with pytest.raises(FileError, match=r"says that it is layer '.*', by its number it is '.*'; the file is altered"):
        kernels(altered(tmp_path, "pair_k3.keras", swap))


@pytest.mark.parametrize(("change", "words"), [
    (lambda f: f.create_group("layers/dense_1/vars").__setitem__("0", np.zeros(3)),
     r"weights of 2 layers of class dense \(dense, dense_1\), the configuration has 1 \(score\)"),
    (lambda f: f["layers/dense/vars"].__setitem__("2", np.zeros(3)), "layer 'score' of class Dense has 3 arrays"),
    (lambda f: f["layers/dense"].create_group("more").__setitem__("0", np.zeros(3)),
     "does not use layers/dense/more/0"),
    (lambda f: f["layers/dense/vars"].__delitem__("1"), r"has 1 arrays under layers/dense, wanted 2 \(kernel, bias\)"),
    (lambda f: f["layers"].__delitem__("dense"), r"weights of 0 layers of class dense \(none\)"),
])
def test_every_array_of_a_layer_is_used_or_named(tmp_path, change, words):
    with pytest.raises(FileError, match=words):
        recurrent.load(altered(tmp_path, "pair_k3.keras", lambda c: None, change))


def test_the_optimizer_and_random_generators_are_passed_over(tmp_path):
    def add(file):
        file.create_group("optimizer/vars")["0"] = np.zeros(3)
        file.create_group("layers/dense/seed_generator/vars")["0"] = np.zeros(2)
    assert recurrent.load(altered(tmp_path, "pair_k3.keras", lambda c: None, add))


@pytest.mark.parametrize(("options", "words"), [
    ({"units": "two"}, "LSTM 'l': 'units' must be an integer, it is 'two'"),
    ({"units": 3}, r"its kernel must be of shape \(any, 12\) for 3 units, it is \(3, 8\)"),
    ({"activation": "sinus"}, "LSTM 'l': 'activation' must be one of .*, got 'sinus'"),
    ({"activation": {"class_name": "__lambda__", "config": {"value": "x"}}},
     "'activation' is a Lambda, code in the file"),
    ({"activation": {"class_name": "Mine", "config": {}}}, "'activation' is an unknown activation, 'Mine'"),
    ({"time_major": True}, "is time-major, which is not supported"),
    ({"new_option": 7}, "has the option 'new_option' = 7, which is not supported"),
    ({"dtype": {"class_name": "QuantizedDTypePolicy", "config": {"name": "quantized_int8"}}},
     "quantised layers are not supported"),
    ({"return_sequences": "yes"}, "'return_sequences' must be true or false, it is 'yes'"),
])
def test_options_are_checked(tmp_path, options, words):
    path = legacy(tmp_path / "a.h5", {"l": lstm_arrays()}, one_lstm(**options), "2.15.0")
    with pytest.raises(FileError, match=words):
        recurrent.load(path)


def test_shapes_of_arrays_are_checked(tmp_path):
    def refused(words, **change):
        arrays = [(k, change.get(k, v)) for k, v in lstm_arrays()]
        with pytest.raises(FileError, match=words):
            recurrent.load(legacy(tmp_path / "a.h5", {"l": arrays}, one_lstm(), "2.15.0"))
    refused(r"its recurrent_kernel must be of shape \(2, 8\) for 2 units, it is \(2, 4\)",
            recurrent_kernel=np.zeros((2, 4)))
    refused(r"its bias must be of shape \(8\) or \(16\)|its bias must be of shape", bias=np.zeros(5))
    refused("finite floats of shape .*, got NaN or infinity", kernel=np.full((3, 8), np.nan))


@pytest.mark.parametrize(("change", "words"), [
    (lambda c: c.update(class_name="MyModel"), "is a MyModel, it should be one of Sequential, Functional, Model"),
    (lambda c: c["config"].pop("layers"), "a functional model has no list of layers"),
    (lambda c: c["config"].update(output_layers=[["nobody", 0, 0]]), "layer 'nobody' is not in it"),
    (lambda c: c["config"].update(output_layers={}), "'output_layers' is {}"),
    (lambda c: c["config"].update(output_layers={"a": ["score", 0]}), "'output_layers' is {'a': "),
    (lambda c: c["config"].update(output_layers=[["score", 0, 5]]), "needs output 5 of a layer with 1"),
    (lambda c: c["config"].update(output_layers=[["score", 4, 0]]), "layer 'score' has no call 4"),
    (lambda c: tower(c)[2].update(class_name="Strange"),
     r"is of class Strange, which is not known; register_layer\('Strange', …\) can teach it"),
    (lambda c: tower(c)[2].update(class_name="Lambda"), "is a Lambda, code in the file; nothing of a file is ever run"),
    (lambda c: tower(c).append({"class_name": "LSTM"}), "needs 'class_name' and 'config'"),
])
def test_an_altered_configuration_is_refused(tmp_path, change, words):
    with pytest.raises(FileError, match=words):
        recurrent.load(altered(tmp_path, "pair_k3.keras", change))


def test_a_layer_that_waits_for_itself_is_refused(tmp_path):
    def loop(config):
        for layer in config["config"]["layers"]:
            if layer["class_name"] == "Subtract":
                layer["inbound_nodes"][0]["args"][0][0]["config"]["keras_history"] = ["score", 0, 0]
    with pytest.raises(FileError, match="waits for itself"):
        recurrent.load(altered(tmp_path, "pair_k3.keras", loop))


def test_calls_that_are_not_numbered_from_0_are_refused(tmp_path):
    """As Keras 3.0 and 3.1 wrote them where a layer was called outside of the model, too."""
    def count_another(config):
        for layer in config["config"]["layers"]:
            text = json.dumps(layer["inbound_nodes"]).replace('["tower", 0, 0]', '["tower", 1, 0]')
            layer["inbound_nodes"] = json.loads(text)
    with pytest.raises(FileError, match=r"the calls of layer 'tower' are not numbered from 0 \(Keras before 3.2"):
        recurrent.load(altered(tmp_path, "pair_k3.keras", count_another))


def test_arrays_that_share_a_name_are_refused(tmp_path):
    """Keras 3.0 calls all kernels within a model "kernel", and stops after the first."""
    path = legacy(tmp_path / "a.h5", {"l": lstm_arrays()}, one_lstm(), "3.0.5")
    with h5py.File(path, "a") as file:
        file["model_weights/l"].attrs["weight_names"] = [b"kernel", b"recurrent_kernel", b"kernel"]
    with pytest.raises(FileError, match="is incomplete, the arrays of 'l' share names, so that only the first of each"):
        recurrent.load(path)


def test_a_mask_of_ones_own_is_refused(tmp_path):
    def tensor(*history):
        return {"class_name": "__keras_tensor__", "config": {"shape": [None], "keras_history": list(history)}}
    base = {"class_name": "Functional", "keras_version": "3.15.1", "config": {"name": "m", "layers": [
        {"class_name": "InputLayer", "name": "x", "config": {"name": "x", "batch_shape": [None, None, 3]},
         "inbound_nodes": []},
        {"class_name": "Masking", "name": "k", "config": {"name": "k", "mask_value": 1.0},
         "inbound_nodes": [{"args": [tensor("x", 0, 0)], "kwargs": {}}]},
        {"class_name": "NotEqual", "name": "ne", "config": {"name": "ne"},
         "inbound_nodes": [{"args": [tensor("x", 0, 0), 1.0], "kwargs": {}}]},
        {"class_name": "Any", "name": "any", "config": {"name": "any"},
         "inbound_nodes": [{"args": [tensor("ne", 0, 0)], "kwargs": {}}]},
        {"class_name": "LSTM", "name": "l", "config": {"name": "l", "units": 2},
         "inbound_nodes": [{"args": [tensor("k", 0, 0)], "kwargs": {"mask": tensor("any", 0, 0)}}]}],
        "input_layers": [["x", 0, 0]], "output_layers": [["l", 0, 0]]}}
    path = legacy(tmp_path / "a.h5", {"l": lstm_arrays()})
    assert recurrent.load(path, config=base).predict(X).shape == (2, 2)
    for change in (lambda c: c["layers"][2]["inbound_nodes"][0]["args"].__setitem__(1, 5.0),
                   lambda c: c["layers"][4]["inbound_nodes"][0]["args"].__setitem__(0, tensor("x", 0, 0)),
                   lambda c: c["layers"][4]["inbound_nodes"][0]["kwargs"].__setitem__("mask", tensor("x", 0, 0))):
        other = copy.deepcopy(base)
        change(other["config"])
        with pytest.raises(FileError, match="LSTM 'l' is given a mask of its own, which is not supported"):
            recurrent.load(path, config=other)


def test_a_lambda_layer_is_refused():
    with pytest.raises(FileError, match="is a Lambda, code in the file; nothing of a file is ever run"):
        recurrent.load(GOLDEN / "lambda_k2.h5")


def test_a_registered_layer_gets_its_configuration_and_arrays(tmp_path):
    path = legacy(tmp_path / "a.h5", {"mine": [("a", np.ones(3)), ("b", np.full(3, 2.0))]},
                  sequential(("Mine", {"name": "mine", "power": 2, "batch_input_shape": [None, 3]})), "2.15.0")
    register_layer("Mine", lambda name, config, weights: layers.Scale(name, weights[1] ** config["power"], weights[0]))
    try:
        assert recurrent.load(path).predict(np.ones((1, 3))).tolist() == [[5.0, 5.0, 5.0]]
    finally:
        from kiyas.recurrent import registry
        del registry._registered["Mine"]
    with pytest.raises(FileError, match="layer 'mine' is of class Mine, which is not known"):
        recurrent.load(path)


def test_weights_alone_need_a_configuration(tmp_path):
    path = legacy(tmp_path / "a.h5", {"l": lstm_arrays()}, version="2.2.0")
    with pytest.raises(FileError, match="holds weights alone; give the model's configuration: config="):
        recurrent.load(path)
    (tmp_path / "c.json").write_text(json.dumps(one_lstm()))
    for config in (one_lstm(), json.dumps(one_lstm()), tmp_path / "c.json", str(tmp_path / "c.json")):
        assert recurrent.load(path, config=config).predict(X).shape == (2, 2)
    with pytest.raises(InputError, match="'config' must be a dictionary, JSON, or the path of a JSON file, got int"):
        recurrent.load(path, config=3)
    with pytest.raises(FileError, match=r"nothing.json: there is no such file \(config\)"):
        recurrent.load(path, config=tmp_path / "nothing.json")


def test_the_version_of_weights_by_class_is_told_by_the_configuration():
    config = config_of(GOLDEN / "pair_k3.keras", None)
    del config["keras_version"]
    tower = recurrent.load(GOLDEN / "pair_k3.weights.h5", config=config, prefix="tower")
    assert tower.layers[1].recurrent_activation.name == "hard_sigmoid"
    config = config_of(GOLDEN / "pair_k2.keras", None)
    del config["keras_version"]
    tower = recurrent.load(GOLDEN / "pair_k2.weights.h5", config=config, prefix="tower")
    assert tower.layers[1].recurrent_activation.name == "hard_sigmoid_fifth"
    with pytest.raises(FileError, match="does not say which Keras wrote it, and nor does config="):
        recurrent.load(GOLDEN / "pair_k3.weights.h5", config=sequential(("Dense", {"name": "d", "units": 1})))


@pytest.mark.parametrize(("tag", "said"), [("k3", "3.4 or newer, by its form"), ("k33", "3.0 to 3.3, by its form")])
def test_masks_of_merged_signals_are_those_of_the_version_that_the_form_tells(tmp_path, tag, said):
    """Keras 3 writes no version into a configuration: weights and model.to_json() alone have none."""
    with zipfile.ZipFile(GOLDEN / f"merged_{tag}.keras") as archive:
        (tmp_path / "a.weights.h5").write_bytes(archive.read("model.weights.h5"))
        config = json.loads(archive.read("config.json"))
    io = np.load(GOLDEN / f"merged_{tag}.npz")

    def gap(version):
        given = config | ({"keras_version": version} if version else {})
        model = recurrent.load(tmp_path / "a.weights.h5", config=given)
        assert model.source["keras_version"] == (version or said)
        return max(np.abs(one - io[f"y{k}"]).max() for k, one in enumerate(model.predict([io["x0"], io["x1"]])))
    right, wrong = ("3.15.1", "3.3.3") if tag == "k3" else ("3.3.3", "3.15.1")
    assert gap(None) < 1e-6 and gap(right) < 1e-6 and gap(wrong) > 1e-3


def test_a_form_that_says_no_dtype_is_of_the_newest_keras():
    layer = {"class_name": "LSTM", "config": {"name": "l", "units": 2, "batch_shape": [None, None, 3]}}
    assert str(by_form(layer)) == "3, by its form" and by_form(layer).masks == "any" and by_form(layer).passes_mask


def functional(kind, node, **entry):
    """An input and a layer of a class, called as ``node`` says."""
    x = {"class_name": "InputLayer", "name": "x", "config": {"name": "x", "batch_shape": [None, 3]},
         "inbound_nodes": []}
    return {"class_name": "Functional", "keras_version": "2.15.0", "config": {"name": "m", "layers": [
        x, {"class_name": kind, "name": "it", "config": {"name": "it"}, "inbound_nodes": [node], **entry}],
        "input_layers": [["x", 0, 0]], "output_layers": [["it", 0, 0]]}}


TENSOR = {"class_name": "__keras_tensor__", "config": {"shape": [None, 3], "keras_history": ["x", 0, 0]}}


@pytest.mark.parametrize(("config", "words"), [
    (functional("MultiHeadAttention", [["x", 0, 0, {"value": ["x", 0, 0]}]]),
     r"layer 'it' is of class MultiHeadAttention, which is not known; register_layer\('MultiHeadAttention', …\)"),
    (functional("TFOpLambda", ["x", 0, 0, {"y": 2.0, "name": None}]),
     "layer 'it' is of class TFOpLambda, an operation in the code of the model, which is not supported"),
    (functional("TFOpLambda", [["_CONSTANT_VALUE", -1, 1.0, {"y": ["x", 0, 0]}]],
                config={"name": "it", "function": "math.pow"}), r"is of class TFOpLambda \(math.pow\), an op"),
    (functional("SlicingOpLambda", ["x", 0, 0, {"slice_spec": [{"start": None}, -1]}]),
     "is of class SlicingOpLambda, an"),
    (functional("Power", {"args": [TENSOR, 2], "kwargs": {}}, module="keras.src.ops.numpy"),
     r"is of class Power, an operation in the code .* \(sums, differences, products and quotients are\); save the"),
    (functional("Maximum", {"args": [TENSOR, 0.0], "kwargs": {}}, module="keras.src.ops.numpy"),
     "operation Maximum 'it' gets 0.0, which is no tensor, and not supported"),
])
def test_an_unknown_class_is_named_whatever_it_is_called_with(tmp_path, config, words):
    with pytest.raises(FileError, match=words):
        recurrent.load(legacy(tmp_path / "a.h5", {}, config, "2.15.0"))


def operation(kind, *args, dtype="float32", **kwargs):
    """An operation of Keras 3 on x, which is named X among the arguments."""
    tensor = {"class_name": "__keras_tensor__", "config": {"shape": [None, 3], "dtype": dtype,
                                                           "keras_history": ["x", 0, 0]}}
    node = {"args": [tensor if a == "X" else a for a in args], "kwargs": kwargs}
    return functional(kind, node, module="keras.src.ops.numpy")


def lambda_(function, node, dtype="float32"):
    """An operation of Keras 2 on x."""
    config = functional("TFOpLambda", node, config={"name": "it", "function": function, "dtype": "float32"})
    config["config"]["layers"][0]["config"]["dtype"] = dtype
    return config


@pytest.mark.parametrize("tag", ["k2.keras", "k3.keras", "k3.h5"])
def test_arithmetic_is_that_of_keras_bit_for_bit(tag):
    io = np.load(GOLDEN / f"arithmetic_{tag[:2]}.npz")
    model = recurrent.load(GOLDEN / f"arithmetic_{tag}")
    assert model.count_parameters() == 27 + 48  # those of the Embedding and the LSTM, as in Keras
    found = model.predict([io[f"x{k}"] for k in range(3)])
    for k in range(8):  # the last is an LSTM
        assert found[k].dtype == np.float32 and np.array_equal(found[k], io[f"y{k}"])


@pytest.mark.parametrize(("config", "wanted"), [
    (operation("Divide", 3, "X"), lambda x: np.float32(3) / x),
    (operation("Add", "X", {"class_name": "__tensor__", "config": {"value": [1, 2.5, 3], "dtype": "float32"}}),
     lambda x: x + np.array([1, 2.5, 3], np.float32)),
    (operation("Subtract", "X", x2=0.1), lambda x: x - np.float32(0.1)),
    (operation("TrueDivide", "X", 0), lambda x: x / np.float32(0)),
    (operation("TrueDivide", "X", "X"), lambda x: x / x),
    (operation("Negative", "X"), lambda x: -x),
    (lambda_("math.add", [["x", 0, 0, {"y": ["x", 0, 0]}]]), lambda x: x + x),
    (lambda_("compat.v1.math.scalar_mul", ["_CONSTANT_VALUE", -1, 0.1, {"x": ["x", 0, 0], "name": None}]),
     lambda x: np.float32(0.1) * x),
    (lambda_("realdiv", ["x", 0, 0, {"y": 7, "name": "seventh"}]), lambda x: x / np.float32(7)),
    (lambda_("math.subtract", [["_CONSTANT_VALUE", -1, [1.0, 2.0, 0.1], {"y": ["x", 0, 0], "name": None}]]),
     lambda x: np.array([1, 2, 0.1], np.float32) - x),
    (lambda_("math.negative", ["x", 0, 0, {"name": None}]), lambda x: -x),
])
def test_arithmetic_in_every_form(tmp_path, config, wanted):
    x = np.array([[0.3, -1.7, 0.0], [2.9, 1e-30, -0.0]], np.float32)
    found = recurrent.load(legacy(tmp_path / "a.h5", {}, config, "2.15.0")).predict(x)
    with np.errstate(all="ignore"):
        assert np.array_equal(found.view(np.int32), wanted(x).view(np.int32))


@pytest.mark.parametrize(("config", "words"), [
    (operation("Add", "X", True), "operation Add 'it' gets True, which is neither a tensor nor numbers, and not supp"),
    (operation("Add", "X", ["X", 1.0]), "operation Add 'it' gets \\['X', 1.0\\], which is neither a tensor nor num"),
    (operation("Add", "X"), "operation Add 'it' is called in a way that is not supported"),
    (operation("Multiply", "X", 1, 2), "operation Multiply 'it' is called in a way that is not supported"),
    (operation("Multiply", "X", 2.0, sparse=1), "operation Multiply 'it' is called in a way that is not supported"),
    (operation("Add", "X", [[1.0], [1.0, 2.0]]), "Add 'it': its constant is altered: "),
    (operation("Add", "X", float("inf")), "'constant' must be finite floats of shape \\(\\), got NaN or infinity"),
    (operation("Add", "X", [1.0, 2.0]), "of a shape to which a constant of shape \\(2,\\) fits, got shape \\(None, 3"),
    (operation("Add", "X", [[1.0], [2.0]]), "of a shape to which a constant of shape \\(2, 1\\) fits"),
    (operation("Multiply", "X", 2, dtype="int32"), r"works on whole numbers \(int32\), which is not supported; give"),
    (lambda_("math.multiply", ["x", 0, 0, {"y": 2}], "int64"), r"Multiply 'it' works on whole numbers \(int64\)"),
    (lambda_("math.multiply", ["x", 0, 0, 2]), "operation Multiply 'it' is called in a way that is not supported"),
])
def test_arithmetic_that_is_not_of_floats_or_does_not_fit_is_refused(tmp_path, config, words):
    with pytest.raises(FileError, match=words):
        recurrent.load(legacy(tmp_path / "a.h5", {}, config, "2.15.0"))


def test_signals_of_other_ranks_are_not_added(tmp_path):
    """Keras would add step t of one to row t of the other."""
    config = operation("Add", "X", {"class_name": "__keras_tensor__", "config": {"keras_history": ["y", 0, 0]}})
    config["config"]["layers"].insert(0, {"class_name": "InputLayer", "name": "y", "inbound_nodes": [],
                                          "config": {"name": "y", "batch_shape": [None, 4, 3]}})
    config["config"]["input_layers"].append(["y", 0, 0])
    with pytest.raises(FileError, match=r"gets signals of shapes \(None, 3\) and \(None, 4, 3\), whose axes Keras"):
        recurrent.load(legacy(tmp_path / "a.h5", {}, config, "2.15.0"))


def test_an_rnn_around_a_cell_is_that_layer(tmp_path):
    cell = {"class_name": "LSTMCell", "config": {"name": "cell", "units": 2, "recurrent_activation": "sigmoid"}}
    config = sequential(("RNN", {"name": "l", "cell": cell, "batch_input_shape": [None, None, 3]}),
                        keras_version="2.15.0")
    plain = legacy(tmp_path / "a.h5", {"l": lstm_arrays()}, one_lstm(), "2.15.0")
    wanted = recurrent.load(plain).predict(X)
    assert np.array_equal(recurrent.load(plain, config=config).predict(X), wanted)
    with h5py.File(tmp_path / "b.weights.h5", "w") as file:
        for k, (_, array) in enumerate(lstm_arrays()):
            file[f"layers/rnn/cell/vars/{k}"] = array.astype(np.float32)
    assert np.array_equal(recurrent.load(tmp_path / "b.weights.h5", config=config).predict(X), wanted)
    cell["class_name"] = "StackedRNNCells"
    with pytest.raises(FileError, match="RNN 'l' runs a cell of class StackedRNNCells, which is not supported"):
        recurrent.load(plain, config=config)


def test_a_registered_class_may_be_called_with_its_package(tmp_path):
    def change(config):
        dense = next(layer for layer in config["config"]["layers"] if layer["class_name"] == "Dense")
        dense.update(class_name="Head", registered_name="mine>Head", module="mine")

    def rename(file):
        file["layers"].move("dense", "head")
    path = altered(tmp_path, "pair_k3.keras", change, rename)
    with pytest.raises(FileError, match=r"layer 'score' is of class Head, which is not known"):
        recurrent.load(path)
    register_layer("mine>Head", lambda name, config, weights: layers.Dense(name, weights[0].T, weights[1],
                                                                           activation=config["activation"]))
    try:
        io = np.load(GOLDEN / "pair_k3.npz")
        assert_close(recurrent.load(path).predict([io["x0"], io["x1"]])[0], io["y0"])
    finally:
        from kiyas.recurrent import registry
        del registry._registered["mine>Head"]
