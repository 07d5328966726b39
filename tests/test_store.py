"""An index on disk: what comes back, and what is said of a file that is not whole."""

import json
import shutil
import struct

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

import kiyas
from kiyas.errors import FileError, MeasureError


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def _rows(rng, n=40, d=33, dtype=np.float32):
    return rng.standard_normal((n, d)).astype(dtype)


def _same(a, b, q, k=7):
    x, y = a.search(q, k=k), b.search(q, k=k)
    assert x.ids.tolist() == y.ids.tolist()
    np.testing.assert_array_equal(x.scores, y.scores)


@pytest.mark.parametrize("measure", ["cosine", "ndd(query_norm=0.7)", "gower",
                                     "exponential(trim=0.1, bandwidth='fitted')",
                                     "mahalanobis(shrinkage='ledoit-wolf')",
                                     "exponential(tiers=quantile(0.1), critical=[0, 3])"])
@pytest.mark.parametrize("mmap", [True, False])
def test_what_is_saved_comes_back(tmp_path, rng, measure, mmap):
    X, q = _rows(rng), _rows(rng, 3)
    index = kiyas.Index(X, measure)
    index.save(tmp_path / "i")
    loaded = kiyas.Index.load(tmp_path / "i", mmap=mmap)
    assert loaded.info["memory_mapped"] is mmap
    assert str(loaded.measure) == str(index.measure)
    _same(index, loaded, q)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16])
def test_dtypes_are_kept(tmp_path, rng, dtype):
    X = _rows(rng, dtype=dtype)
    index = kiyas.Index(X)
    index.save(tmp_path / "i")
    loaded = kiyas.Index.load(tmp_path / "i")
    assert loaded.info["dtype"] == np.dtype(dtype).name
    _same(index, loaded, _rows(rng, 2))


def test_vectors_are_readable_by_safetensors(tmp_path, rng):
    X = _rows(rng)
    kiyas.Index(X).save(tmp_path / "i")
    np.testing.assert_array_equal(load_file(tmp_path / "i" / "vectors.safetensors")["vectors"], X)


@pytest.mark.parametrize("ids", [[f"belge {i} ğ" for i in range(40)], list(range(100, 140))])
def test_ids_and_changes_are_kept(tmp_path, rng, ids):
    X, q = _rows(rng), _rows(rng, 3)
    index = kiyas.Index(X, ids=ids)
    index.remove([ids[3], ids[7]])
    index.replace([ids[5]], q[:1])
    index.save(tmp_path / "i")
    loaded = kiyas.Index.load(tmp_path / "i")
    assert loaded.ids.tolist() == index.ids.tolist()
    assert len(loaded) == 38
    assert loaded.search(q[0], k=1).ids.tolist() == [[ids[5]]]
    _same(index, loaded, q)


def test_rows_that_came_after_the_fit_are_still_counted(tmp_path, rng):
    index = kiyas.Index(_rows(rng), "gower")
    index.add(_rows(rng, 4))
    index.save(tmp_path / "i")
    assert kiyas.Index.load(tmp_path / "i").info["later"] == 4


def test_an_index_is_replaced_as_a_whole_even_while_mapped(tmp_path, rng):
    X, q = _rows(rng), _rows(rng, 2)
    kiyas.Index(X).save(tmp_path / "i")
    loaded = kiyas.Index.load(tmp_path / "i")
    loaded.add(q)
    loaded.save(tmp_path / "i")
    again = kiyas.Index.load(tmp_path / "i")
    assert len(again) == 42
    assert again.search(q, k=1).ids.tolist() == [[40], [41]]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["i"]


def test_a_failed_save_leaves_the_old_index(tmp_path, rng, monkeypatch):
    X = _rows(rng)
    index = kiyas.Index(X)
    index.save(tmp_path / "i")
    monkeypatch.setattr("kiyas.search.store.to_state", lambda m: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        index.save(tmp_path / "i")
    _same(index, kiyas.Index.load(tmp_path / "i"), X[:2])
    assert [p.name for p in tmp_path.iterdir()] == ["i"]


def test_a_directory_of_other_things_is_left_alone(tmp_path, rng):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    with pytest.raises(FileError, match="exists and is no kiyas index"):
        kiyas.Index(_rows(rng)).save(tmp_path / "notes")
    assert (tmp_path / "notes" / "a.txt").read_text() == "mine"


def damped(p, a2, b2):
    return p / (1 + a2 + b2)


def raised(p, a2, b2):
    return p * 2


def test_a_function_is_asked_for_again_and_compared(tmp_path, rng):
    X = _rows(rng)
    index = kiyas.Index(X, kiyas.user_measure(damped, increasing=True))
    index.save(tmp_path / "i")
    with pytest.raises(MeasureError, match="damped"):
        kiyas.Index.load(tmp_path / "i")
    with pytest.raises(MeasureError, match=r"sha256|hash"):
        kiyas.Index.load(tmp_path / "i", measure=raised)
    _same(index, kiyas.Index.load(tmp_path / "i", measure=damped), X[:2])
    _same(index.using("ndd"), kiyas.Index.load(tmp_path / "i", measure="ndd"), X[:2])


# -- files that are not whole ------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path, rng):
    kiyas.Index(_rows(rng), "gower", ids=range(5, 45)).save(tmp_path / "i")
    return tmp_path / "i"


@pytest.mark.parametrize("name", ["vectors.safetensors", "ids.safetensors", "measure.safetensors"])
def test_a_missing_cut_or_altered_file_is_named(saved, name):
    path = saved / name
    whole = path.read_bytes()
    path.unlink()
    with pytest.raises(FileError, match=f"{name}: is missing"):
        kiyas.Index.load(saved)
    path.write_bytes(whole[:-5])
    with pytest.raises(FileError, match=f"{name}: has .* bytes, the manifest says .*half-written"):
        kiyas.Index.load(saved)
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(FileError, match=f"{name}: is altered"):
        kiyas.Index.load(saved)


def test_manifests_that_are_not_ours(saved, tmp_path):
    path = saved / "manifest.json"
    whole = json.loads(path.read_text())
    with pytest.raises(FileError, match="there is no such directory"):
        kiyas.Index.load(tmp_path / "nowhere")
    path.write_text(path.read_text()[:50])
    with pytest.raises(FileError, match=r"manifest\.json: is incomplete or altered"):
        kiyas.Index.load(saved)
    path.write_text("[]")
    with pytest.raises(FileError, match="not the manifest of a kiyas index"):
        kiyas.Index.load(saved)
    path.write_text(json.dumps(whole | {"version": 99}))
    with pytest.raises(FileError, match=r"format version 99, this kiyas reads up to 1; upgrade"):
        kiyas.Index.load(saved)
    path.write_text(json.dumps({k: v for k, v in whole.items() if k != "measure"}))
    with pytest.raises(FileError, match="incomplete, it lacks measure"):
        kiyas.Index.load(saved)
    path.write_text(json.dumps(whole | {"files": {"../secret": {}}}))
    with pytest.raises(FileError, match="altered, parts of it"):
        kiyas.Index.load(saved)
    path.unlink()
    with pytest.raises(FileError, match=r"is no kiyas index, it has no manifest\.json"):
        kiyas.Index.load(saved)


def test_an_interrupted_save_is_pointed_out(saved):
    saved.rename(saved.with_name("i.old-1"))
    saved.mkdir()
    with pytest.raises(FileError, match=r"an interrupted save left i\.old-1"):
        kiyas.Index.load(saved)


def test_headers_that_lie_are_refused(saved):
    path = saved / "vectors.safetensors"
    whole = path.read_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    data = whole[8 + length :]
    for header, said in [
        ({"vectors": {"dtype": "F32", "shape": [10**9, 33], "data_offsets": [0, len(data)]}}, "does not cover"),
        ({"vectors": {"dtype": "F32", "shape": [-40, -33], "data_offsets": [0, len(data)]}}, "does not cover"),
        ({"vectors": {"dtype": "F32", "shape": [40, 33], "data_offsets": [4, len(data)]}}, "does not cover"),
        ({"vectors": {"dtype": "U8", "shape": [40, 33], "data_offsets": [0, len(data)]}}, "no safetensors file"),
        ({"other": 1}, "no safetensors file"),
    ]:
        text = json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + data)
        manifest = json.loads((saved / "manifest.json").read_text())
        manifest["files"]["vectors.safetensors"]["bytes"] = path.stat().st_size
        (saved / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(FileError, match=said):
            kiyas.Index.load(saved, verify=False)
    path.write_bytes(struct.pack("<Q", 1 << 62) + whole[8:])
    manifest["files"]["vectors.safetensors"]["bytes"] = path.stat().st_size
    (saved / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(FileError, match="oversized header"):
        kiyas.Index.load(saved, verify=False)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data())
def test_random_damage_never_does_more_than_raise(tmp_path_factory, data):
    """Any byte of any file changed, cut or added: a `KiyasError`, or an index that answers."""
    base = tmp_path_factory.getbasetemp() / "damage"
    if not base.exists():
        kiyas.Index(np.random.default_rng(0).standard_normal((6, 3)), "gower").save(base)
    copy = base.with_name("damaged")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(base, copy)
    path = data.draw(st.sampled_from(sorted(copy.iterdir())))
    raw = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    what = data.draw(st.sampled_from(["flip", "cut", "add"]))
    if what == "flip":
        raw[at] ^= data.draw(st.integers(1, 255))
    elif what == "cut":
        del raw[at:]
    else:
        raw[at:at] = data.draw(st.binary(min_size=1, max_size=16))
    path.write_bytes(raw)
    try:
        index = kiyas.Index.load(copy, verify=data.draw(st.booleans()))
        index.search(np.zeros(3), k=1)
    except kiyas.KiyasError:
        pass
