"""The recurrent benchmark on tiny models: that all of it runs, compares answers and writes its files. No times."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("onnxruntime", reason="the benchmark's first peer is not installed")

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
PAGE = "# Page\n\nBefore.\n\n<!-- measured: begin -->\nold figures\n<!-- measured: end -->\n\nAfter.\n"


@pytest.fixture
def modules(monkeypatch):
    """The benchmark's modules, importable as they import each other."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def run(*options):
    return subprocess.run([sys.executable, str(BENCHMARKS / "recurrent.py"), *map(str, options)], capture_output=True,
                          text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"})


def test_a_quick_run_compares_answers_and_writes_json_and_page(tmp_path):
    page, saved = tmp_path / "page.md", tmp_path / "saved.json"
    page.write_text(PAGE, encoding="utf-8")
    done = run("--quick", "--only", "step", "sequence", "precision", "import", "--save", saved, "--markdown", page)
    assert done.returncode == 0, done.stderr
    assert "say nothing about speed" in done.stdout
    assert "T = 100, int8, n = 512" in done.stdout
    found = json.loads(saved.read_text(encoding="utf-8"))
    assert {(c["case"], c["n"], c["batch"]) for c in found["results"]} == \
        {(kind, n, batch) for kind in ("step", "sequence") for n in (8, 24) for batch in (1, 8, 64)}
    for case in found["results"]:
        names = {e["name"] for e in case["entries"]}
        assert {"ONNX Runtime", "kiyas float32", "kiyas bfloat16", "kiyas int8"} <= names
        for entry in case["entries"]:
            assert entry["least_us"] > 0
            assert entry["error"] is None or entry["error"] < 0.05
    for size in found["precision"]:
        errors = size["errors"]
        assert errors["float32"]["most"] < 1e-5 < errors["bfloat16"]["most"] < errors["int8"]["most"] < 0.05
    text = page.read_text(encoding="utf-8")
    assert "old figures" not in text
    assert "no evidence of speed" in text
    assert text.startswith("# Page\n\nBefore.")
    assert text.endswith("After.\n")


def test_targets_take_the_worse_of_two_ways_to_compare(modules):
    import recurrent_report

    def entry(name, us):
        return {"name": name, "median_us": us, "least_us": us}

    def case(kind, n, batch, time, threads, entries, ratio, least):
        return {"case": kind, "n": n, "batch": batch, "time": time, "threads": threads, "entries": entries,
                "ratios": {"ONNX Runtime": {"kiyas float32": ratio}},
                "ratios_of_least": {"ONNX Runtime": {"kiyas float32": least}}}

    results = [case("step", 32, 1, 1, 1, [], 6.0, 4.0), case("sequence", 512, 1, 100, 1, [], 1.1, 1.2),
               case("sequence", 64, 64, 100, 1, [entry("ONNX Runtime", 9.0), entry("kiyas float32", 5.0)], 1, 1),
               case("sequence", 64, 64, 100, 2, [entry("ONNX Runtime", 4.0), entry("kiyas float32", 6.0)], 1, 1)]
    found = {(t["case"], t["against"].split(" (")[0]): t
             for t in recurrent_report.targets({"results": results, "imports": {"beyond_ms": 151.0}})}
    assert found["single step, n = 32", "ONNX Runtime"]["met"] == "by one of both"
    assert found["T = 100, float32, n = 512", "ONNX Runtime"]["met"] == "yes"
    assert found["T = 100, float32, n = 32", "ONNX Runtime"]["met"] is None
    best = found["batch 64, T = 100, n = 64", "best peer"]
    assert (best["reached"], best["met"]) == (4.0 / 5.0, "no")
    assert best["against"] == "best peer (ONNX Runtime, 2 threads)"
    assert found["import of kiyas.recurrent, ms beyond NumPy", ""]["met"] == "no"


def test_the_same_weights_in_another_order_of_gates(modules):
    import numpy as np
    import recurrent_peers

    layer = recurrent_peers.Layer(3, 2)
    W, R, b = layer.gates("iofc")
    assert np.array_equal(W[3:6], layer.W[9:])
    assert np.array_equal(R[9:], layer.R[6:9])
    assert np.array_equal(b[:3], layer.b[:3])


def test_an_engine_that_is_slow_is_timed_once(modules):
    import time

    from recurrent_cases import Effort, race

    times = race({"fast": lambda: None, "slow": lambda: time.sleep(0.05)}, Effort(0.01, 3, 4, 0.001))
    assert times.count("slow") == 1
    assert times.count("fast") >= 3


def test_an_answer_that_differs_ends_the_run(modules):
    from recurrent_cases import _agree

    _agree({"ONNX Runtime": 1e-6, "kiyas int8": 0.01})
    with pytest.raises(SystemExit, match=r"WRONG: ONNX Runtime differs by 0\.01"):
        _agree({"ONNX Runtime": 0.01})
