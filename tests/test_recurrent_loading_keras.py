"""Keras files of every version give what Keras gave."""

from pathlib import Path

import numpy as np
import pytest

from kiyas import recurrent

pytest.importorskip("h5py", reason="the extra keras is not installed")

SHARED = Path(__file__).parents[2] / "shared" / "fixtures" / "lstm"
shared = pytest.mark.skipif(not SHARED.is_dir(), reason="../shared, with models of the real frameworks, is not here")
FILES = [f"{version}/{name}" for version in ("k2_13_1", "k2_15_0", "k3_15_1")
         for name in ("A.h5", "A.keras", "A.weights.h5", "A_weights_legacy.h5", "B.h5", "B.keras", "C_cudnn.h5", "D.h5",
                      "D.keras", "S_hardsig.h5")
         if (SHARED / version / name).exists()]


def assert_close(found, wanted, tolerance=1e-6):
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= tolerance


@shared
@pytest.mark.parametrize("name", FILES)
def test_a_file_of_the_real_keras_gives_its_outputs(name):
    path = SHARED / name
    model = recurrent.load(path, config=config_of(path) if "weights" in name else None)
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


def config_of(path):
    beside = path.parent / "A_config.json"
    if beside.exists():
        return beside
    import json
    import zipfile
    return json.loads(zipfile.ZipFile(path.parent / "A.keras").read("config.json")) | {"keras_version": "3.15.1"}
