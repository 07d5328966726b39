"""Files that mean harm, or that are no files of ours: always an error of kiyas, nothing run, memory bounded."""

import collections
import contextlib
import io
import json
import os
import pickle
import re
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiyas import recurrent
from kiyas.errors import FileError, InputError, KiyasError
from kiyas.recurrent.loading import gates, pickles

GOLDEN = Path(__file__).parent / "golden" / "recurrent"
ONE_OF_EACH = ["torch/lstm.pt", "torch/before_1_6.pt", "torch/bfloat16.safetensors", "own/version_1.safetensors",
               "onnx/lstm.onnx", "onnx/frames.onnx", "onnx/splitter.onnx", "keras/pair_k3.keras", "keras/cudnn_k2.h5",
               "keras/pair_k2_legacy.h5"]


def needed(name):
    if "onnx" in name:
        pytest.importorskip("onnx", reason="the extra onnx is not installed")


def options(name):
    if "legacy" in name:
        return {"config": json.loads(zipfile.ZipFile(GOLDEN / "keras/pair_k2.keras").read("config.json"))}
    return {}


def load_or_refuse(path, **more):
    """Load; an error must be one of kiyas. Weights may have changed, so that a model is a fine result too."""
    try:
        recurrent.load(path, **more)
    except KiyasError as error:
        assert str(error)


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_a_truncated_file_is_refused(tmp_path, name):
    needed(name)
    data, path = (GOLDEN / name).read_bytes(), tmp_path / Path(name).name
    rng = np.random.default_rng(0)
    for size in {0, 1, 4, 8, 9, 100, len(data) // 2, len(data) - 1, *rng.integers(1, len(data), 12).tolist()}:
        path.write_bytes(data[:size])
        with pytest.raises(KiyasError):
            recurrent.load(path, **options(name))


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_altered_bytes_never_crash_and_never_raise_anything_else(tmp_path, name):
    needed(name)
    data, path = (GOLDEN / name).read_bytes(), tmp_path / Path(name).name
    rng = np.random.default_rng(1)
    more = options(name)
    for round_ in range(60):
        altered = bytearray(data)
        # Headers and structure lie in front; altered numbers among weights are found by nobody.
        top = min(len(data), 3000) if round_ % 2 else len(data)
        for at in rng.integers(0, top, 1 + round_ % 4):
            altered[at] = rng.integers(0, 256)
        path.write_bytes(altered)
        load_or_refuse(path, **more)


@pytest.mark.parametrize("suffix", [".h5", ".keras", ".pt", ".onnx", ".safetensors", ""])
@settings(max_examples=25, deadline=None)
@given(data=st.binary(max_size=200), front=st.sampled_from(
    [b"", b"\x89HDF\r\n\x1a\n", b"PK\x03\x04", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", b"\x08\x08",
     b"\x05\0\0\0\0\0\0\0{", b"\x10\0\0\0\0\0\0\0{\"a\":[]}"]))
def test_random_bytes_are_refused(tmp_path_factory, suffix, data, front):
    path = tmp_path_factory.mktemp("x") / f"x{suffix}"
    path.write_bytes(front + data)
    with pytest.raises(KiyasError):
        recurrent.load(path)


def test_what_no_format_is_says_so(tmp_path):
    path = tmp_path / "x.bin"
    path.write_bytes(b"hello, world")
    with pytest.raises(FileError, match=r"x.bin: is of no format that kiyas reads: Keras .h5 and .keras, PyTorch"):
        recurrent.load(path)
    path.write_bytes(b"")
    with pytest.raises(FileError, match="is empty"):
        recurrent.load(path)
    with pytest.raises(FileError, match="there is no such file"):
        recurrent.load(tmp_path / "none")
    with pytest.raises(FileError, match="is a directory; a SavedModel of TensorFlow has no architecture to read"):
        recurrent.load(tmp_path)
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(FileError, match="is a pickle, which may run any code"):
        recurrent.load(path)


# --- pickles ---------------------------------------------------------------------------------------------------------

class Runs:
    """Pickled, it calls a function when it is read."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(6))
def test_nothing_in_a_pickle_is_run(tmp_path, protocol):
    target = tmp_path / "ran"
    for harm in (Runs(os.mkdir, str(target)), Runs(eval, f"__import__('os').mkdir({str(target)!r})"),
                 Runs(getattr, 1, "real"), Runs(pickle.loads, b"N.")):
        with pytest.raises(FileError, match="which is not allowed here; nothing was run"):
            pickles.load(pickle.dumps([1, harm], protocol), {})
    assert not target.exists()


def torch_file(path, content, **entries):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", content)
        for name, data in entries.items():
            archive.writestr(f"m/{name.replace('__', '/')}", data)
    return path


def test_nothing_in_a_torch_file_is_run(tmp_path):
    path = torch_file(tmp_path / "x.pt", pickle.dumps(Runs(os.mkdir, str(tmp_path / "ran")), 2))
    with pytest.raises(FileError, match=r"names (posix|nt).mkdir, which is not allowed here; nothing was run"):
        recurrent.load(path)
    assert not (tmp_path / "ran").exists()


def test_a_record_keeps_attributes_and_does_nothing():
    class Tokenizer:
        def __init__(self):
            self.words = collections.OrderedDict(a=1)

        def __setstate__(self, state):
            raise AssertionError("ran")

    Tokenizer.__qualname__, Tokenizer.__module__ = "Tokenizer", __name__
    globals()["Tokenizer"] = Tokenizer
    try:
        data = pickle.dumps(Tokenizer())
    finally:
        del globals()["Tokenizer"]
    allowed = {(__name__, "Tokenizer"): pickles.record("Tokenizer"), ("collections", "OrderedDict"): dict}
    found = pickles.load(data, allowed)
    assert isinstance(found, pickles.Record) and found.attributes == {"words": {"a": 1}}


@pytest.mark.parametrize("data", [
    b"", b".", b"N", b"\x80\x63N.", b"]q\x00h\x05.", b"(lp0\nt.", b"c\n\n.", pickle.dumps([1])[:-1], b"\x80\x04\x95",
    b"ctorch\nFloatStorage\n}b.", b"N}b.", b"\x80\x02]b.", b"(i__main__\nX\n.", b"\x80\x05\x96\xff\xff\xff\xff\xff\xff",
])
def test_pickles_that_are_none_are_refused(data):
    with pytest.raises(FileError, match=r"is no whole pickle|which is not allowed"):
        pickles.load(data, {("torch", "FloatStorage"): dict})


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([bytes([c]) for c in b"()]}tlde.0N2saubh\x85\x86\x87\x88\x89\x8f\x90\x94\x81\x93RKM"])
                | st.binary(max_size=3), max_size=12))
def test_any_opcodes_are_refused_or_read(pieces):
    with contextlib.suppress(FileError):
        pickles.load(b"\x80\x04" + b"".join(pieces) + b".", {("a", "b"): dict})


@pytest.mark.parametrize(("depth", "width"), [(60, 2), (4, 1000)])
@pytest.mark.parametrize("end", [b"}%bK\x01s.", b"%b."])
def test_tuples_that_unfold_without_end_are_refused_at_once(depth, width, end):
    """Each holds the one before several times: to hash the last one as a key would take years."""
    nested = b"".join(b"(" + b"h%c" % i * width + b"tq%c" % (i + 1) for i in range(depth))
    with pytest.raises(FileError, match="tuples within tuples of more than 65536 items"):
        pickles.load(b"\x80\x02)q\x00" + nested + end % (b"h%c" % depth), {})
    assert pickles.load(pickle.dumps({(1, (2, (3,))): (4, 5)}), {}) == {(1, (2, (3,))): (4, 5)}


def test_a_class_cannot_be_altered_by_a_pickle():
    """BUILD with slots sets attributes of whatever lies on the stack, a class too."""
    record = pickles.record("Thing")
    data = b"\x80\x02cm\nThing\nN}X\x01\x00\x00\x00aK\x01s\x86b."
    with pytest.raises(FileError, match="attributes for a type"):
        pickles.load(data, {("m", "Thing"): record})
    assert not hasattr(record, "a")


def peak_of(action):
    tracemalloc.start()
    try:
        with pytest.raises(KiyasError):
            action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("data", [
    b"\x80\x02]r\xff\xff\xff\x0f.",                              # a memo of 2**28 entries
    b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b"x.",        # a bytearray of a terabyte
    b"\x80\x04\x8d" + struct.pack("<Q", 1 << 40) + b"x.",        # a text of a terabyte
    b"\x80\x04\x95" + struct.pack("<Q", 1 << 40) + b"NX.",       # a frame of a terabyte
])
def test_a_pickle_cannot_claim_memory(data):
    def load():
        pickles.load(data, {})
        raise FileError("read, and nothing but what is there")
    assert peak_of(load) < 1 << 22


def storage_pickle(size, stride, offset=0, numel=4):
    """A state_dict of one tensor, with any size and stride."""
    def tensor():
        out = io.BytesIO()
        out.write(b"\x80\x02}X\x0c\x00\x00\x00weight_hh_l0ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storage")
        out.write(b"ctorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuJ" + struct.pack("<i", numel) + b"tQ")
        out.write(b"J" + struct.pack("<i", offset))
        for values in (size, stride):
            out.write(b"(" + b"".join(b"J" + struct.pack("<i", v) for v in values) + b"t")
        out.write(b"\x89}tRs.")
        return out.getvalue()
    return tensor()


@pytest.mark.parametrize(("size", "stride", "offset", "words"), [
    ((4, 4), (4, 1), 0, "a tensor of 16 numbers in a storage of 4"),
    ((1 << 30, 1 << 30), (0, 0), 0, "in a storage of 4"),
    ((2,), (1,), 3, "a tensor of 5 numbers in a storage of 4"),
    ((2,), (1,), -1, "a tensor of no size"),
    ((2, 2), (1,), 0, "a tensor of no size"),
    ((-2,), (1,), 0, "a tensor without storage, size or stride"),
])
def test_a_tensor_stays_within_its_storage(tmp_path, size, stride, offset, words):
    path = torch_file(tmp_path / "x.pt", storage_pickle(size, stride, offset), data__0=bytes(16))
    with pytest.raises(FileError, match=words):
        recurrent.load(path)


# --- archives and headers --------------------------------------------------------------------------------------------

def test_zip_bombs_are_refused(tmp_path):
    path = tmp_path / "x.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", bytes(1 << 26))
    assert path.stat().st_size < 1 << 18

    def load():
        with pytest.raises(FileError, match="is a zip bomb, its entries claim"):
            recurrent.load(path)
        raise FileError("refused")
    assert peak_of(load) < 1 << 22


def test_a_zip_that_is_neither_kind_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("readme", "hello")
    with pytest.raises(FileError, match=r"is a zip archive, but neither a .keras file nor one of PyTorch"):
        recurrent.load(tmp_path / "x.zip")


def safetensors(path, header, body=b"", length=None):
    text = json.dumps(header).encode() if not isinstance(header, bytes) else header
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + body)
    return path


@pytest.mark.parametrize(("header", "length", "words"), [
    ({}, 1 << 60, "is of no format|claims"),
    ({"a": {}}, 90_000_000, "is no whole safetensors file, its header claims 90000000 bytes of"),
    (b"{nonsense}", None, "is altered, its header is no JSON"),
    (b"{" + b'"a":[' * 5000, None, "is altered, its header is no JSON"),
    ({"a": 3}, None, "is altered at tensor 'a'"),
    ({"a": {"dtype": "F9", "shape": [1], "data_offsets": [0, 4]}}, None, "tensor 'a' is of dtype 'F9'"),
    ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, None, r"tensor 'a' of shape \(2,\) has 4 bytes"),
    ({"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}, None, "incomplete or altered at"),
    ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}, None, "incomplete or altered at tensor 'a'"),
    ({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, None, "incomplete or altered at tensor 'a'"),
    ({"a": {"dtype": "F32", "shape": [1.0], "data_offsets": [0, 4]}}, None, "incomplete or altered at tensor 'a'"),
    ({"__metadata__": {"kiyas": 3}}, None, "its metadata are no texts"),
    ({"__metadata__": {"kiyas": "{"}}, None, "its description is no JSON"),
])
def test_hostile_headers_are_refused(tmp_path, header, length, words):
    path = safetensors(tmp_path / "x.safetensors", header, bytes(4), length)
    with pytest.raises(FileError, match=words):
        recurrent.load(path)


def test_a_graph_cannot_grow_its_constants_without_end(tmp_path):
    onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
    helper = onnx.helper
    nodes = [helper.make_node("Concat", [f"c{k}", f"c{k}"], [f"c{k + 1}"], axis=0) for k in range(60)]
    nodes += [helper.make_node("Unsqueeze", ["c10", "one"], ["u"]), helper.make_node("Add", ["u", "c10"], ["s0"])]
    nodes += [helper.make_node("ConstantOfShape", ["huge"], ["h"]), helper.make_node("Add", ["c60", "h"], ["n"])]
    graph = helper.make_graph([*nodes, helper.make_node("Add", ["X", "n"], ["Y"])], "g",
                              [helper.make_tensor_value_info("X", 1, [None, None, 4])],
                              [helper.make_tensor_value_info("Y", 1, None)],
                              [onnx.numpy_helper.from_array(np.ones(1000, np.float32), "c0"),
                               onnx.numpy_helper.from_array(np.array([1]), "one"),
                               onnx.numpy_helper.from_array(np.array([1 << 40]), "huge")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "a.onnx")
    with pytest.raises(FileError, match=r"not supported: Concat of sizes that the file leaves open .*, or too large"):
        recurrent.load(tmp_path / "a.onnx")


# --- HDF5 ------------------------------------------------------------------------------------------------------------

def hdf5(path, change):
    h5py = pytest.importorskip("h5py", reason="h5py, which writes files for these tests, is not installed")
    path.write_bytes((GOLDEN / "keras" / "cudnn_k2.h5").read_bytes())
    with h5py.File(path, "a") as file:
        change(h5py, file)
    return path


KERNEL = "model_weights/cu_dnnlstm/cu_dnnlstm/kernel:0"


@pytest.mark.parametrize(("make", "words"), [
    (lambda h5py, other: h5py.ExternalLink(str(other), "secret"), "is an external link; only data of the file itself"),
    (lambda h5py, other: h5py.SoftLink("/secret"), "is a soft link; only data of the file itself"),
])
def test_links_are_not_followed(tmp_path, make, words):
    h5py = pytest.importorskip("h5py", reason="h5py, which writes files for these tests, is not installed")
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["secret"] = np.zeros((3, 16), np.float32)

    def change(h5py, file):
        del file[KERNEL]
        file["secret"] = np.zeros((3, 16), np.float32)
        file[KERNEL] = make(h5py, other)
    with pytest.raises(FileError, match=words):
        recurrent.load(hdf5(tmp_path / "x.h5", change))


def test_data_in_other_files_are_not_read(tmp_path):
    (tmp_path / "raw").write_bytes(bytes(192))

    def change(h5py, file):
        del file[KERNEL]
        file.create_dataset(KERNEL, (3, 16), "f4", external=[(str(tmp_path / "raw"), 0, 192)])
    with pytest.raises(FileError, match="lie in another file, which is not read"):
        recurrent.load(hdf5(tmp_path / "x.h5", change))


@pytest.mark.parametrize("shape", [(1 << 16, 1 << 14), (1 << 30, 1 << 30)])
def test_arrays_larger_than_the_file_are_refused(tmp_path, shape):
    def change(h5py, file):
        del file[KERNEL]
        file.create_dataset(KERNEL, shape, "f4", chunks=(64, 64))  # nothing is stored: all zeros
    path = hdf5(tmp_path / "x.h5", change)

    def load():
        with pytest.raises(FileError, match=r"claims \d+ bytes in a file of"):
            recurrent.load(path)
        raise FileError("refused")
    assert peak_of(load) < 1 << 23


def test_arrays_of_other_things_than_numbers_are_refused(tmp_path):
    def change(h5py, file):
        del file[KERNEL]
        file[KERNEL] = np.array([b"text"] * 3)
    with pytest.raises(FileError, match="should be numbers, it is of another type"):
        recurrent.load(hdf5(tmp_path / "x.h5", change))


def test_a_configuration_that_is_too_deep_is_refused(tmp_path):
    def nested(depth):
        inner = {"class_name": "Dense", "config": {"units": 1}}
        for _ in range(depth):
            inner = {"class_name": "Sequential", "config": {"layers": [inner]}}
        return inner

    def change(config):
        def put(h5py, file):
            file.attrs["model_config"] = config
        return put
    with pytest.raises(FileError, match="models within models more than 30 deep"):
        recurrent.load(hdf5(tmp_path / "x.h5", change(json.dumps(nested(60)))))
    with pytest.raises(FileError, match="is incomplete or altered"):
        recurrent.load(hdf5(tmp_path / "y.h5", change("[" * 20000)))


# --- gates -----------------------------------------------------------------------------------------------------------

def test_tensorflow_1_kernels_are_given_as_arrays():
    rng = np.random.default_rng(0)
    m, n = 3, 2
    kernel, bias, x = rng.standard_normal((m + n, 4 * n)), rng.standard_normal(4 * n), rng.standard_normal((1, 4, m))
    found = gates.tensorflow1_lstm(kernel, bias)
    layer = recurrent.layers.LSTM("l", found.input_weights, found.recurrent_weights, found.bias)
    h = c = np.zeros((1, n))
    sigmoid = lambda v: 1 / (1 + np.exp(-v))  # noqa: E731
    for t in range(4):
        i, j, f, o = np.split(np.concatenate([x[:, t], h], axis=1) @ kernel + bias, 4, axis=1)
        c = sigmoid(f + 1.0) * c + sigmoid(i) * np.tanh(j)
        h = sigmoid(o) * np.tanh(c)
    y = recurrent.Model.sequential([layer]).predict(x)
    assert np.abs(y - h).max() < 1e-6
    assert gates.tensorflow1_lstm(kernel, bias, forget_bias=0.0).bias[n] == np.float32(bias[2 * n])
    with pytest.raises(InputError, match=re.escape("'kernel' must be of shape (inputs + units, 4·units)")):
        gates.tensorflow1_lstm(kernel[:, :7], bias)


def test_gates_that_do_not_divide_are_refused():
    with pytest.raises(FileError, match=r"an array of shape \(7,\) does not divide into 4 gates"):
        gates.reordered(np.zeros(7), (0, 1, 2, 3))
