"""HDF5 as Keras writes it, read in plain Python: as h5py reads it; what is not read is named."""

import numpy as np
import pytest

from kiyas.errors import FileError
from kiyas.recurrent.loading.keras.hdf5 import Hdf5

h5py = pytest.importorskip("h5py", reason="h5py, which writes files for these tests, is not installed")


@pytest.mark.parametrize("libver", [("earliest", "v108"), ("v108", "v108"), ("v110", "v110")])
@pytest.mark.parametrize("how", [{}, {"chunks": (2, 5)}, {"chunks": (2, 5), "compression": "gzip"},
                                 {"chunks": (3, 16), "compression": "gzip", "shuffle": True, "fletcher32": True}])
def test_hdf5_is_read_as_h5py_reads_it(tmp_path, libver, how):
    rng = np.random.default_rng(0)
    arrays = {"f4": rng.standard_normal((3, 16)).astype("f4"), "f8": rng.standard_normal((3, 16)),
              "f2": rng.standard_normal((3, 16)).astype("f2"), "big": rng.standard_normal((3, 16)).astype(">f4"),
              "i8": rng.integers(-9, 9, (3, 16)), "u1": rng.integers(0, 9, (3, 16)).astype("u1")}
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver=libver) as file:
        for name, array in arrays.items():
            file.create_dataset(f"group/{name}", data=array, **how)
        file["one"], file["none"], file["flag"] = np.float32(3), np.zeros((0, 4), "f4"), np.array([True, False])
        file.create_dataset("unwritten", (2, 3), "f4")
        file.attrs["long"], file.attrs["bytes"] = "kıyas" * 1000, np.array([b"a", b"bc"])
        file.attrs["texts"] = ["x", "yz", ""]
        file.create_group("many")
        for k in range(300 if libver[0] == "earliest" else 8):  # more than a node of the old tree holds
            file["many"].create_group(f"g{k}")
    if libver[0] == "v110" and how:
        with Hdf5(path, "a.h5") as file, pytest.raises(FileError, match="another index of chunks"):
            file.array(("group", "f4"))
        return
    with Hdf5(path, "a.h5") as file:
        assert file.names() == ["flag", "group", "many", "none", "one", "unwritten"]
        assert len(file.names(("many",))) == (300 if libver[0] == "earliest" else 8)
        for name, array in arrays.items():
            assert np.array_equal(file.array(("group", name)), array) and file.is_array(("group", name))
        assert file.array(("one",)).shape == () and file.array(("one",)) == 3
        assert file.array(("none",)).shape == (0, 4) and not file.array(("unwritten",)).any()
        assert file.array(("flag",)).tolist() == [True, False]
        assert file.text((), "long") == "kıyas" * 1000 and file.texts((), "bytes") == ["a", "bc"]
        assert file.texts((), "texts") == ["x", "yz", ""] and file.texts((), "absent") is None
        assert file.names(("absent",)) == [] and not file.is_array(("absent", "deeper"))
        with pytest.raises(FileError, match="is incomplete, it has no array absent"):
            file.array(("absent",))


def test_bfloat16_arrays_are_read(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["w"] = np.array([0x3f80, 0xc000], "<u2").view("V2")
        file["w"].attrs["dtype"] = "bfloat16"
        file["raw"], file["wide"] = np.zeros(2, "V2"), np.zeros(2, "V4")
    with Hdf5(tmp_path / "a.h5", "a.h5") as file:
        assert file.array(("w",)).tolist() == [1.0, -2.0]
        assert file.array(("raw",), "bfloat16").tolist() == [0.0, 0.0]
        with pytest.raises(FileError, match="raw should be numbers, it is raw bytes, and nothing says that"):
            file.array(("raw",), "mixed_bfloat16")
        with pytest.raises(FileError, match="wide should be numbers, it is raw bytes"):
            file.array(("wide",), "bfloat16")


def test_what_of_hdf5_is_not_read_is_named(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        for k in range(20):
            file[f"g{k}"] = np.zeros(2)
    with pytest.raises(FileError, match=r"has links or attributes in a fractal heap \(libver='latest'\), which is not"):
        Hdf5(tmp_path / "a.h5", "a.h5")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_dataset("w", data=np.zeros((4, 4)), compression="lzf")
    with Hdf5(tmp_path / "b.h5", "b.h5") as file, pytest.raises(FileError, match="data packed by filter 32000"):
        file.array(("w",))
