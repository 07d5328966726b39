"""The benchmark of all measures on judged collections, on tiny ones: that it writes its tables and nothing else."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "judged.py"
PAGE = "# Page\n\nBefore.\n\n<!-- measured:begin -->\nold figures\n<!-- measured:end -->\n\nAfter.\n"


def collection(folder, seed):
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    docs, queries = rng.normal(size=(50, 8)).astype(np.float32), rng.normal(size=(12, 8)).astype(np.float32)
    np.save(folder / "toy_docs.npy", docs)
    np.save(folder / "toy_queries.npy", queries)
    (folder / "ids.json").write_text(json.dumps({"doc_ids": [f"d{i}" for i in range(50)],
                                                 "query_ids": [f"q{i}" for i in range(12)]}))
    near = np.argsort(-(queries @ docs.T), axis=1)[:, :3]
    (folder / "qrels.json").write_text(json.dumps({f"q{q}": {f"d{d}": 1 for d in row} for q, row in enumerate(near)}))
    (folder / "docs.jsonl").write_text("\n".join(
        json.dumps({"id": f"d{i}", "title": "t", "text": "x" * int(rng.integers(3, 90))}) for i in range(50)))


def test_tables_are_written_between_the_markers(tmp_path):
    for place, name in enumerate(("one", "two")):
        collection(tmp_path / "data" / name, place)
    docs = tmp_path / "docs"
    (docs / "measured").mkdir(parents=True)
    for name in ("evaluating.md", "diagnosing.md"):
        (docs / name).write_text(PAGE)
    done = subprocess.run([sys.executable, SCRIPT, "--data", tmp_path / "data", "--docs", docs, "--save"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    evaluated, diagnosed = (docs / "evaluating.md").read_text(), (docs / "diagnosing.md").read_text()
    for text in (evaluated, diagnosed):
        assert text.startswith("# Page\n\nBefore.") and text.endswith("After.\n") and "old figures" not in text
        assert "| one, toy | two, toy |" in text
    assert "| `dice` | = tanimoto | = tanimoto |" in evaluated
    assert "Judged queries: one, toy: 12, two, toy: 12" in evaluated
    assert "| IsoScore |" in diagnosed
    lines = (docs / "measured" / "evaluating.csv").read_text().splitlines()
    assert lines[0].startswith("collection,measure,ndcg@10,map@1000")
    assert len(lines) == 1 + 2 * sum(line.startswith("| `") for line in evaluated.splitlines())
