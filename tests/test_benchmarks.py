"""The benchmark on tiny data: that all of it runs, checks its answers and writes its files. No times are asserted."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
PAGE = "# Page\n\nBefore.\n\n<!-- measured: begin -->\nold figures\n<!-- measured: end -->\n\nAfter.\n"


@pytest.fixture
def modules(monkeypatch):
    """The benchmark's modules, importable as they import each other."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def run(*options, **environment):
    return subprocess.run([sys.executable, str(BENCHMARKS / "run.py"), *map(str, options)], capture_output=True,
                          text=True, check=False, env={**os.environ, **environment})


def test_a_quick_run_checks_answers_and_writes_table_json_chart_and_page(tmp_path):
    page, saved, chart = tmp_path / "page.md", tmp_path / "saved.json", tmp_path / "chart.svg"
    page.write_text(PAGE, encoding="utf-8")
    done = run("--quick", "--only", "inner", "manhattan", "--save", saved, "--chart", chart, "--markdown", page,
               OPENBLAS_L2_SIZE="1024")
    assert done.returncode == 0, done.stderr
    assert "any inner measure, batch 256" in done.stdout
    assert "say nothing about speed" in done.stdout

    found = json.loads(saved.read_text(encoding="utf-8"))
    assert found["quick"]
    assert {(r["case"], r["threads"], r["batch"]) for r in found["results"]} == \
        {("inner", t, b) for t in (1, 2) for b in (1, 16, 256)} | \
        {("manhattan", t, b) for t in (1, 2) for b in (1, 16, 256)} - {("manhattan", 1, 256)}
    for result in found["results"]:
        for entry in result["entries"]:
            assert entry["checked"].startswith(("equal", "verified")), (entry["name"], entry["checked"])
            assert entry["least_ms"] > 0
            assert entry["repetitions"] >= 1

    text = page.read_text(encoding="utf-8")
    assert "old figures" not in text
    assert text.startswith("# Page\n\nBefore.")
    assert text.endswith("After.\n")
    assert "no evidence" in text


def test_a_report_can_be_made_again_from_its_json(tmp_path):
    saved, page = tmp_path / "saved.json", tmp_path / "page.md"
    assert run("--quick", "--only", "user", "--save", saved, "--chart", tmp_path / "a.svg").returncode == 0
    page.write_text(PAGE, encoding="utf-8")
    done = run("--from", saved, "--markdown", page, "--chart", tmp_path / "b.svg")
    assert done.returncode == 0, done.stderr
    assert "user's ndd, NumPy" in page.read_text(encoding="utf-8")


def test_a_page_without_markers_is_refused(tmp_path, modules):
    import report

    page = tmp_path / "page.md"
    page.write_text("nothing to replace", encoding="utf-8")
    with pytest.raises(SystemExit, match="needs the markers"):
        report.write_page(page, {})


def test_collections_are_the_same_every_time(modules):
    from data import Collection

    for kind in ("mixture", "isotropic"):
        one, two = (Collection(kind, 500, 40).make() for _ in range(2))
        assert np.array_equal(one[0], two[0])
        assert one[0].shape == (500, 40)
        assert one[0].dtype == np.float32
        assert np.array_equal(one[1], two[1])
        assert np.std(np.linalg.norm(one[0], axis=1)) > 0.1


def test_wrong_answers_are_told_from_float_ties(modules):
    import checks

    rng = np.random.default_rng(1)
    X, q = rng.standard_normal((50, 8)).astype(np.float32), rng.standard_normal((1, 8)).astype(np.float32)
    X[1] = X[0]
    right = np.argsort(-(X @ q[0]), kind="stable")[None, :5]
    assert checks.compare("dot", X, q, right, right) == "equal"
    swapped = np.where(right == 0, 1, np.where(right == 1, 0, right))
    assert checks.compare("dot", X, q, np.array([[0, 1]]), np.array([[1, 0]])).startswith("equal but for float ties")
    assert checks.compare("dot", X, q, right, swapped).startswith("equal")
    wrong = right.copy()
    wrong[0, 0] = int(np.argmin(X @ q[0]))
    assert checks.compare("dot", X, q, right, wrong) == "WRONG for 1 of 1 queries"


def test_engines_take_turns_and_slow_ones_run_less_often(modules):
    from timing import interleave

    turns = []
    engines = {"fast": lambda _: turns.append("fast"), "slow": lambda _: turns.append("slow")}
    times = interleave(engines, {"fast": 1.0, "slow": 10.0}, repetitions=4, seconds=5.0, pause=0.0)
    assert turns == ["fast", "slow", "fast", "fast", "fast"]
    assert times.count("slow") == 1
    assert times.count("fast") == 4
    assert times.ratio("slow", "fast") > 0


def test_the_fastest_setting_is_used(modules):
    from engines import Engine

    def search(queries, setting):
        time.sleep(0.02 if setting == "slow" else 0.0)
        return queries

    engine = Engine("e", "library", "dot", search, ("slow", "fast"))
    engine.warm_up(np.zeros((1, 2)), threads=1)
    assert (engine.setting, engine.threads) == ("fast", 1)
    assert set(engine.tried) == {"slow", "fast"}


def test_targets_are_held_to_the_slowest_measure(modules):
    import targets

    def entry(name, library, ms):
        return {"name": name, "library": library, "median_ms": ms, "setting": "default"}

    result = {"case": "inner", "batch": 1, "threads": 2, "rows": 10, "dims": 4, "kind": "mixture",
              "entries": [entry("kiyas dot", "kiyas", 1.0), entry("kiyas ndd", "kiyas", 2.0),
                          entry("FAISS IndexFlat IP", "faiss", 10.0), entry("torch", "torch", 8.0)],
              "ratios": {"FAISS IndexFlat IP": {"kiyas dot": 10.0, "kiyas ndd": 5.0},
                         "torch": {"kiyas dot": 8.0, "kiyas ndd": 4.0}}}
    result["ratios_of_least"] = result["ratios"]
    first, second = targets.lines([result], [], 10, 4, "mixture", 2)[:2]
    assert (first.reached, first.met) == (5.0, False)
    assert (second.reached, second.met) == (4.0, True)
    assert targets.lines([result], [], 10, 4, "mixture", 1)[0].met is None
