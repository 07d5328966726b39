"""The examples run as they are, with warnings as errors."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))


# Examples that train; the rest must run without PyTorch.
NEED_TORCH = ("character_model",)


@pytest.mark.parametrize("path", [pytest.param(path, marks=pytest.mark.torch) if path.stem in NEED_TORCH else path
                                  for path in EXAMPLES], ids=lambda p: p.stem)
def test_example_runs(path, tmp_path):
    if path.stem == "texts":
        pytest.importorskip("wordllama")
    done = subprocess.run([sys.executable, "-W", "error", str(path)], cwd=tmp_path, capture_output=True, text=True,
                          timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert not list(tmp_path.iterdir()), "an example left files behind"


def test_there_are_examples():
    wanted = {"quickstart", "trimmed_exponential", "own_measure", "texts", "memory_mapped", *NEED_TORCH}
    assert wanted <= {p.stem for p in EXAMPLES}
