"""What fitted maps gain on the supplied collections: guards around the figures of docs/choosing.md.

The long nested runs are benchmarks/evidence.py; here a map for every collection without judgements, and one outer fold
with them. Skipped where the collections are not beside the repository.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"
COLLECTIONS = [(name, encoder) for encoder in ("minilm", "wordllama") for name in ("cranfield", "cisi", "med")]


@pytest.fixture(scope="module")
def evidence():
    if not (DATA / "med" / "pairs_ids.json").is_file():
        pytest.skip("the test collections (../shared/data) are not there")
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import evidence
    finally:
        sys.path.pop(0)
    return evidence


@pytest.fixture(scope="module")
def materials(evidence):
    return {(name, encoder): evidence.read(f"{name}, {encoder}", DATA / name, encoder) for name, encoder in COLLECTIONS}


def test_maps_from_own_texts_gain_on_the_whole_and_lose_nowhere(evidence, materials):
    _, gained = evidence.own_texts([*materials.values()])
    assert len(gained) == 6
    assert np.mean(gained) >= 0.015
    assert min(gained) >= -0.005


def test_cosine_is_that_of_the_data(evidence, materials):
    from kiyas.measures import Cosine

    said = {("cranfield", "minilm"): 0.3736, ("cisi", "minilm"): 0.4207, ("med", "minilm"): 0.7875,
            ("cranfield", "wordllama"): 0.3082, ("cisi", "wordllama"): 0.3797, ("med", "wordllama"): 0.6537}
    for key, figure in said.items():
        assert materials[key].ndcg(Cosine()).mean() == pytest.approx(figure, abs=1e-3), key


def test_judged_maps_gain_on_held_out_queries_on_the_whole(materials):
    """Half of the queries fit, the other half score: a cheap look at what five folds and three seeds measure."""
    from kiyas.fit import fit_judged
    from kiyas.measures import Cosine

    gained = []
    for m in materials.values():
        held, train = np.arange(0, len(m.queries), 2), np.arange(1, len(m.queries), 2)
        hidden = {row for q in held for row in m.gains[q]}
        fitted = fit_judged(m.queries[train], m.documents, [m.gains[q] for q in train], m.own, withheld=hidden,
                            folds=3, proven=False)
        gained.append(float((m.ndcg(fitted.measure, held) - m.ndcg(Cosine(), held)).mean()))
    assert np.mean(gained) >= 0.015, gained
    assert min(gained) >= -0.02, gained  # halves of as few as 15 queries


def test_the_tables_are_written_between_their_markers(evidence, materials, monkeypatch, tmp_path):
    page = tmp_path / "choosing.md"
    page.write_text(f"before\n{evidence.BEGIN}\nold\n{evidence.END}\nafter\n", encoding="utf-8")
    monkeypatch.setattr(evidence, "DOCS", page)
    monkeypatch.setattr(evidence, "report", lambda root, only: f"tables of {root.name} {only}")
    monkeypatch.setattr(sys, "argv", ["evidence.py", "--data", str(DATA), "--only", "med", "--save"])
    evidence.main()
    text = page.read_text(encoding="utf-8")
    assert text == f"before\n{evidence.BEGIN}\n\ntables of data med\n{evidence.END}\nafter\n"
