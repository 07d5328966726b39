"""The lesson on the LSTM: its numbers are those that the cell and the measuring script give."""

import csv
import importlib.util
import math
import re
from pathlib import Path

import numpy as np
import pytest

from kiyas.recurrent import LSTMCell

DOCS = Path(__file__).parents[1] / "docs"
PAGES = {"English": DOCS / "lstm.md", "Turkish": DOCS / "tr" / "lstm.md"}
Z = {"f": [1.0, -1.0], "i": [0.0, 1.0], "C": [0.5, -0.5], "o": [1.0, 1.0]}


@pytest.fixture(scope="module")
def gates():
    zeros = np.zeros((2, 4))
    cell = LSTMCell(2, 2, {f"W_{g}": zeros for g in Z} | {f"b_{g}": np.array(z) for g, z in Z.items()})
    return cell.step(np.array([1.0, 0.0]), np.array([0.5, -0.1]), np.array([0.2, 0.8]), explain=True)[2]


def rows(path, heading):
    """Cells of the first table after a heading."""
    table = re.split(r"^## ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    part = next(p for p in table if re.match(heading, p))
    return [[c.strip() for c in line.strip("|").split("|")] for line in part.splitlines() if line.startswith("|")][2:]


@pytest.mark.parametrize("language", PAGES)
def test_the_worked_example_is_what_the_cell_computes(language, gates):
    found = {row[0].split(" = ")[0]: row[1:] for row in rows(PAGES[language], "A worked|İşlenmiş")}
    shown = {"f": gates.f, "i": gates.i, "C̃": gates.C_tilde, "f ∗ C₍t−1₎": gates.f * [0.2, 0.8],
             "i ∗ C̃": gates.i * gates.C_tilde, "C": gates.C, "o": gates.o, "tanh(C)": np.tanh(gates.C), "h": gates.h}
    assert list(found) == list(shown)
    for name, values in shown.items():
        for cell, value in zip(found[name], values, strict=True):
            last = re.findall(r"−?\d+\.\d{5}", cell)[-1].replace("−", "-")
            assert last == f"{value:.5f}", name


@pytest.mark.parametrize("language", PAGES)
def test_rounding_by_hand_gives_what_the_page_says(language):
    C, h = (-0.123, -0.090)
    text = PAGES[language].read_text(encoding="utf-8")
    assert "−0.123" in text and "−0.090" in text
    # Two or three digits kept at each line.
    f, i, candidate = round(1 / (1 + math.e), 3), round(1 / (1 + math.exp(-1)), 3), round(math.tanh(-0.5), 3)
    by_hand = round(round(f * 0.8, 3) + round(i * candidate, 3), 3)
    assert by_hand == C
    assert round(round(i, 2) * by_hand, 3) == h  # and tanh(C) taken for C


def load_script():
    spec = importlib.util.spec_from_file_location("make_gradient", DOCS / "measured" / "make_gradient.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def table():
    with (DOCS / "measured" / "gradient.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_measured_gradients_are_those_of_the_script(table):
    measured = load_script().measure()
    assert [*measured] == list(table[0])[1:]
    for name, values in measured.items():
        # Other machines may round the last digits of a product otherwise, and a recurrence passes that on.
        np.testing.assert_allclose([float(row[name]) for row in table], values, rtol=0.02)


@pytest.mark.parametrize("language", PAGES)
def test_the_pages_quote_the_measured_gradients(language, table):
    quoted = rows(PAGES[language], r"Why the gradient|Gradyan neden")
    names = list(table[0])[1:]
    assert len(quoted) == len(names)
    for name, cells in zip(names, quoted, strict=True):
        assert cells[1:] == [table[distance][name] for distance in (10, 25, 50, 100)]


def test_the_gradients_of_the_script_are_right():
    """Against differences: the input of a step moved a little, the loss on the last output taken again."""
    script = load_script()
    steps, units = 7, script.UNITS
    script.STEPS = steps
    for name, curve in script.CURVES.items():
        norms = curve(np.random.default_rng(3))
        rng = np.random.default_rng(3)
        if name.startswith("plain"):
            W = (script.as_in_pytorch if "PyTorch" in name else script.as_in_keras)(rng)
            cell = script.RNNCell(units, units, {"W_h": W, "b_h": np.zeros(units)})
        else:
            W = {gate: script.as_in_keras(rng) for gate in "fiCo"}
            b = {gate: np.full(units, float(re.search(r"bias (\d)", name)[1]) * (gate == "f")) for gate in "fiCo"}
            cell = LSTMCell(units, units, {f"W_{g}": W[g] for g in W} | {f"b_{g}": b[g] for g in b})
        x = rng.standard_normal((steps, units))
        u = rng.standard_normal(units)

        begin = [np.zeros(units)] * (1 if name.startswith("plain") else 2)

        def loss(x, cell=cell, u=u, begin=begin):
            state = begin
            for row in x:
                state = cell.step(row, *state)
            return u @ state[0]

        for back in (0, 3, 6):
            gradient = np.empty(units)
            for j in range(units):
                moved = np.zeros_like(x)
                moved[steps - 1 - back, j] = 1e-5
                gradient[j] = (loss(x + moved) - loss(x - moved)) / 2e-5
            assert np.linalg.norm(gradient) == pytest.approx(norms[back], rel=1e-5)


def test_the_glossary_has_every_term_of_the_lesson():
    glossary = (DOCS / "tr" / "sozluk.md").read_text(encoding="utf-8")
    terms = rows(PAGES["Turkish"], "Terimler")
    assert len(terms) >= 20
    assert all(len(term) == 3 and term[2].endswith(".") for term in terms)
    for turkish in ("kapı", "unutma kapısı", "hücre durumu", "gizli çıkış", "ağırlıklar"):
        assert turkish in [term[0] for term in terms]
        assert f"| {turkish} |" in glossary


def written(number):
    return f"{int(number):,}".replace(",", " ")


@pytest.mark.parametrize("language", PAGES)
def test_the_pages_quote_what_was_measured_of_overfitting(language):
    with (DOCS / "measured" / "overfitting.csv").open(encoding="utf-8", newline="") as file:
        measured = [[r["hidden"], f"{float(r['dropout']):g}", written(r["parameters"]),
                     f"{r['best validation']} ({r['best epoch']})", r["last training"], r["last validation"]]
                    for r in csv.DictReader(file)]
    assert rows(PAGES[language], "Overfitting|Aşırı") == measured


def test_the_page_on_training_quotes_what_was_measured_of_engines():
    with (DOCS / "measured" / "engines.csv").open(encoding="utf-8", newline="") as file:
        measured = [[f"{r['steps']}, {r['batch']}", r["n = m"], *(f"{float(r[k]):.0f}" if float(r[k]) >= 100 else
                                                                f"{float(r[k]):.3g}" for k in list(r)[3:])]
                    for r in csv.DictReader(file)]
    assert rows(DOCS / "training.md", "When a GPU") == measured


def test_the_page_on_training_quotes_what_was_measured_of_encoders():
    with (DOCS / "measured" / "encoders.csv").open(encoding="utf-8", newline="") as file:
        measured = [[f"{r['encoder']}, {r['measure']}", r["MRR"], f"{r['low']} to {r['high']}"]
                    for r in csv.DictReader(file)]
        file.seek(0)
        first = next(csv.DictReader(file))
    assert rows(DOCS / "training.md", "A sentence encoder") == measured
    text = (DOCS / "training.md").read_text(encoding="utf-8")
    assert f"{first['pairs']} pairs" in text and f"{first['test pairs']} others" in text
