"""The demo, on a small library of its own, with an encoder of letters; and on this Python where wordllama is there."""

import json
import re
from html import escape
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from kiyas.encode.base import CallableEncoder
from kiyas.errors import FileError, InputError

pytest.importorskip("cyclopts")
pytest.importorskip("rich")

from kiyas.cli import demonstration, known, main, pictures
from kiyas.cli.docstrings import read_library
from kiyas.cli.page import page
from kiyas.cli.show import progress

WORDS = "read write file thread date text close open number list print value name time path"
LETTERS = "abcdefghijklmnopqrstuvwxyz "


def letters():
    return CallableEncoder(lambda ts: [[t.lower().count(c) + 0.1 for c in LETTERS] for t in ts], "letters", "1",
                           dims=len(LETTERS))


@pytest.fixture
def library(tmp_path):
    words = WORDS.split()
    rng = np.random.default_rng(0)
    lines = ['"""The first module of all."""']
    for i in range(60):
        first, rest = (" ".join(rng.choice(words, size=n)) for n in (6, 14))
        lines.append(f'def f{i}():\n    """{first.capitalize()} {i}.\n\n    {rest} {i}.\n    """\n')
    (tmp_path / "one.py").write_text("\n".join(lines))
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text('class A:\n    """A class <b> & more."""\n    def m(self):\n'
                                                  '        """Say it in four words."""\n')
    (tmp_path / "pkg" / "copy.py").write_text('def m():\n    """Say it,  in FOUR words."""\nraise SystemExit("no")\n')
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "test_x.py").write_text('"""Left out as it is a test."""')
    (tmp_path / "bad.py").write_text("def (")
    return tmp_path


def test_reads_names_and_drops_what_is_repeated(library):
    found = read_library(library)
    names = [d.name for d in found.docstrings]
    assert {"one", "one.f0", "pkg.A", "pkg.A.m"} <= set(names)
    assert "pkg.copy.m" not in names
    assert (found.files, found.repeated) == (4, 1)
    assert len(names) == len(set(names))


def test_a_library_without_docstrings_is_an_error(tmp_path):
    (tmp_path / "a.py").write_text("x = 1\n")
    with pytest.raises(FileError, match=r"no docstrings in 1 source files .* run kiyas with a full Python"):
        read_library(tmp_path)


@pytest.fixture
def report(library):
    return demonstration.make_report(letters(), None, progress, library)


def test_the_report_is_what_searching_gives(report):
    assert report.queries == 60
    cosine = report.evaluation.baseline
    assert (cosine.name, cosine.verdict, cosine.comparison) == ("cosine", "baseline", None)
    for r in report.evaluation.results:
        first, mrr, ten = (r.means[known.METRICS[name]].mean for name in ("recall@1", "MRR@10", "recall@10"))
        assert 0 <= first <= mrr <= ten <= 1
    assert report.evaluation.main == "mrr@10" and report.conclusion == report.evaluation.conclusion()
    for e in report.explained.values():
        assert e.contributions.sum() + e.rest == pytest.approx(e.total)


def test_the_demo_ends_with_the_choice_for_its_collection(report):
    decision = report.decision
    assert decision.queries == 60 and set(decision.means) == {*demonstration.MEASURES, "relevance map"}
    assert sum(decision.picks.values()) == 5
    last = page(report).partition("The choice for this collection")[2]
    assert escape(decision.conclusion()) in last and escape(decision.costs()) in last
    assert f"among the {decision.queries:,} answers alone" in decision.task()
    assert escape(decision.task()) in last


def test_the_page_loads_nothing_and_escapes(report):
    html = page(report)
    assert not re.search(r"(src|href)\s*=|@import|url\(|https?:|<script|<link|<iframe", html, re.I)
    assert "<b> &" not in html
    assert html.count("<svg") == len(demonstration.QUESTIONS) + 1 + len(report.evaluation.results)
    assert "prefers-color-scheme:dark" in html
    assert "$" not in re.sub(r"<style>.*?</style>", "", html, flags=re.S)
    for svg in re.findall(r"<svg.*?</svg>", html, re.S):
        ET.fromstring(svg)


def test_bump_chart_marks_what_moved():
    svg = pictures.ranks({"cosine": [("a", 1.0), ("b", 0.5)], "dot": [("b", 2.0), ("c", 1.0)]})
    assert svg.count('class="pill up"') == 1
    assert svg.count('class="pill fresh"') == 1
    assert "cosine: 2 (0.5), dot: 1 (2)" in svg


@pytest.fixture
def small(monkeypatch, library):
    monkeypatch.setattr(demonstration, "encoder", lambda name: letters())
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(library))


def test_command_prints_and_writes_the_page(small, tmp_path, capsys):
    assert main(["demo", "--html", str(tmp_path / "out" / "d.html")]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "cosine" in out
    assert "baseline" in out
    assert "It says nothing about your texts" in out
    assert (tmp_path / "out" / "d.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_command_json(small, tmp_path, capsys):
    assert main(["demo", "--limit", "40", "--json", "--html", str(tmp_path / "d.html")]) == 0
    got = json.loads(capsys.readouterr().out)
    assert got["docstrings"] == 40
    results = got["evaluation"]["results"]
    assert results[0]["measure"] == "cosine"
    assert {"mean", "low", "high"} == results[1]["comparison"]["difference"].keys()


def test_command_errors(small, tmp_path, capsys):
    assert main(["demo", "--limit", "3", "--html", str(tmp_path / "d.html")]) == 1
    assert "--limit must be an integer from 20" in capsys.readouterr().err
    assert main(["demo", "--html", str(tmp_path)]) == 1
    assert "is a directory; name a file in it" in capsys.readouterr().err


def test_too_few_questions(tmp_path):
    (tmp_path / "a.py").write_text('"""Only one docstring here."""')
    with pytest.raises(InputError, match="only 0 of 1 docstrings can be asked for; this standard library has too few"):
        demonstration.make_report(letters(), None, progress, tmp_path)


def test_this_python_with_wordllama(tmp_path, capsys):
    pytest.importorskip("wordllama")
    assert main(["demo", "--limit", "300", "--html", str(tmp_path / "d.html"), "--json"]) == 0
    got = json.loads(capsys.readouterr().out)
    assert got["docstrings_found"] > 1000
    assert got["encoder"] == "wordllama"
    assert got["dims"] == 256
