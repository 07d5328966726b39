"""Names, texts, saved states, and the pages of documentation that must say what the measures say."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import doctest
import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kiyas.measures as public
from kiyas.errors import FileError, InputError, KiyasError, MeasureError
from kiyas.measures import (
    ALIASES,
    CSLS,
    NDD,
    Cosine,
    Dot,
    Euclidean,
    Exponential,
    Gower,
    Learned,
    LinearMap,
    Mahalanobis,
    Manhattan,
    Measure,
    Quantile,
    from_state,
    list_measures,
    measure,
    measure_class,
    parameter_names,
    to_state,
    user_measure,
)

DOCS = Path(__file__).parent.parent / "docs"
NAMES = ["cosine", "dot", "euclidean", "angular", "ndd", "log_scaled", "hybrid", "tanimoto", "dice", "tempered_cosine",
         "poincare", "manhattan", "gower", "exponential", "mahalanobis", "linear_map", "csls", "local_scaling",
         "learned"]


def rows(seed, n=20, d=4):
    return np.random.default_rng(seed).standard_normal((n, d)) / 10


def net(d=4):
    rng = np.random.default_rng(0)
    return {"first_a": rng.standard_normal((3, d)), "first_b": rng.standard_normal((3, d)), "bias1": np.zeros(3),
            "second": np.ones(3)}


def example(name):
    """A fitted measure of that name."""
    m = measure(name, **{"linear_map": {"matrix": np.eye(3, 4), "base": Cosine()}, "learned": net()}.get(name, {}))
    return m.fit(rows(1))


# -- names -----------------------------------------------------------------------------------------


def test_names_in_their_stable_order():
    assert list_measures() == NAMES
    assert [measure_class(n).name for n in NAMES] == NAMES
    assert all(ALIASES[a] in NAMES and a not in NAMES for a in ALIASES)


@pytest.mark.parametrize("name", NAMES)
def test_facts_are_whole(name):
    cls = measure_class(name)
    for f in dataclasses.fields(cls.facts):
        value = getattr(cls.facts, f.name)
        assert isinstance(value, bool) or (value and value == value.strip() and "  " not in value), f.name
    assert set(parameter_names(cls)) <= {f.name for f in dataclasses.fields(cls)}
    assert not set(parameter_names(cls)) & {"variances", "state", "fitted_ranges", "fitted_weights", "reference",
                                           "density"}


@pytest.mark.parametrize(("text", "name"), [*[(n, n) for n in NAMES if n not in ("linear_map", "learned")],
                                            *[(a, n) for a, n in ALIASES.items()],
                                            ("  NDD ", "ndd"), ("log-scaled", "log_scaled"), ("L2()", "euclidean"),
                                            ("tempered-cosine(beta=1)", "tempered_cosine")])
def test_names_and_aliases(text, name):
    assert measure(text).name == name


@pytest.mark.parametrize(("text", "near"), [("cosin", "cosine"), ("euclidian", "euclidean"), ("manhatten", "manhattan"),
                                            ("mahalanobis2", "mahalanobis"), ("expnential(trim=0.1)", "exponential")])
def test_unknown_names_suggest_near_ones(text, near):
    with pytest.raises(MeasureError, match=rf"unknown measure '.*'; did you mean {near}"):
        measure(text)


def test_unknown_names_list_all():
    with pytest.raises(MeasureError, match=r"unknown measure 'zzz' \(known: cosine, dot, .*, learned\)"):
        measure("zzz")
    with pytest.raises(MeasureError, match="unknown measure ''"):
        measure("")


# -- texts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "want"), [
    ("ndd(query_norm=2)", NDD(query_norm=2)),
    ("ndd(query_norm=None)", NDD()),
    (" ndd( query_norm = 2.5e-1 , ) ", NDD(query_norm=0.25)),
    ("exponential(trim=0.1, bandwidth=0.05)", Exponential(trim=0.1, bandwidth=0.05)),
    ("manhattan(threshold=-0.5, share=0.6)", Manhattan(threshold=-0.5, share=0.6)),
    ("manhattan(threshold=quantile(0.3))", Manhattan(threshold=Quantile(0.3))),
    ("manhattan(threshold=Quantile(q=0.3))", Manhattan(threshold=Quantile(0.3))),
    ("gower(clip=True, tiers=0.5, critical=[0, 2])", Gower(clip=True, tiers=0.5, critical=[0, 2])),
    ("manhattan(weights='variance')", Manhattan(weights="variance")),
    ("mahalanobis(shrinkage='ledoit-wolf', form=3)", Mahalanobis(shrinkage="ledoit-wolf", form=3)),
    ("csls(base=dot, k=3)", CSLS(base=Dot(), k=3)),
])
def test_texts(text, want):
    assert str(measure(text)) == str(want)
    assert to_state(measure(text))[0] == to_state(want)[0]


def test_lists_become_arrays():
    m = measure("manhattan(weights=[1, 2.5, 0])")
    np.testing.assert_array_equal(m.weights, [1, 2.5, 0])
    m = measure("mahalanobis(covariance=[[2, 0], [0, 1]])")
    assert m.condition == 2


def test_maps_name_their_base():
    m = measure("linear_map(base=gower(trim=0.25))", matrix=np.eye(4))
    assert isinstance(m, LinearMap)
    assert str(m.base) == "gower(trim=0.25)"
    assert isinstance(measure("linear_map(matrix=[[1, 0], [0, 2]], base=l2)").base, Euclidean)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("linear_map", "learned")])
def test_printed_measures_can_be_read_again(name):
    m = measure(name)
    assert str(measure(str(m))) == str(m)


@pytest.mark.parametrize(("text", "words"), [
    ("ndd(2)", "must be given by name, like trim=0.1"),
    ("ndd(**{})", "must be given by name"),
    ("ndd(query_norm=2", "cannot be read as a measure; write it like"),
    ("ndd(query_norm=2)(3)", "cannot be read as a measure"),
    ("ndd(query_norm=2) + 1", "cannot be read as a measure"),
    ("ndd(query_norm=2); import os", "cannot be read as a measure"),
    ("ndd(query_norm=\0)", "cannot be read as a measure"),
    ("ndd(query_norm=__import__('os').getcwd())", "is no number, text, list or known measure"),
    ("ndd(query_norm=open('x'))", "unknown measure 'open'"),
    ("ndd(query_norm=1+1)", "'1 \\+ 1' in .* is no number, text, list or known measure"),
    ("ndd(query_norm=[i for i in (1,)])", "is no number"),
    ("ndd(query_norm=lambda: 1)", "is no number"),
    ("ndd(query_norm=b'1')", "is no number"),
    ("ndd(query_norm=nan)", "unknown measure 'nan'"),
    ("ndd(kappa=1)", r"ndd: unknown parameter 'kappa' \(it takes: query_norm\)"),
    ("cosine(x=1)", r"cosine: unknown parameter 'x' \(it takes: none\)"),
    ("gower(fitted_ranges=[1])", "gower: unknown parameter 'fitted_ranges'"),
    ("mahalanobis(matrix=[[1]])", r"mahalanobis: unknown parameter 'matrix' \(it takes: shrinkage, form, cutoff, cov"),
    ("linear_map(base=cosine)", "linear_map: .*matrix"),
    ("learned", "learned: .*first_a"),
    ("manhattan(threshold=quantile())", r"must be written like quantile\(0.1\)"),
    ("manhattan(threshold=quantile(0.1, 0.2))", r"must be written like quantile\(0.1\)"),
    ("manhattan(threshold=quantile(p=0.1))", r"must be written like quantile\(0.1\)"),
])
def test_texts_that_cannot_be_read(text, words):
    with pytest.raises(MeasureError, match=words):
        measure(text)


def test_values_are_checked_by_the_measure():
    with pytest.raises(InputError, match="ndd: 'query_norm' must be a positive number or None, got 'x'"):
        measure("ndd(query_norm='x')")
    with pytest.raises(InputError, match="Quantile: 'q' must be"):
        measure("manhattan(threshold=quantile(2))")


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="cosineddexponential()[]=,.'0123456789 -_*+:{}\"\\\n#trimx", max_size=40))
def test_any_text_is_a_measure_or_a_clean_error(text):
    for spec in (text, f"exponential({text})"):
        with contextlib.suppress(KiyasError):
            assert isinstance(measure(spec), Measure)


def test_nesting_without_end_is_an_error_and_no_crash():
    values = [v for n in (60, 500, 900, 5000)
              for v in ("[" * n + "]" * n, "-" * n + "1", "cosine(base=" * n + ")" * n, "1" + "+1" * n, "a" + ".a" * n)]
    for value in values:
        with pytest.raises((MeasureError, InputError)):
            measure(f"exponential(weights={value})")


# -- other specs -----------------------------------------------------------------------------------


def test_measures_pass_through():
    m = NDD(query_norm=2)
    assert measure(m) is m
    assert measure(m, query_norm=3).query_norm == 3
    with pytest.raises(MeasureError, match="ndd: unknown parameter 'beta'"):
        measure(m, beta=3)


def test_parameters_beside_the_text():
    assert str(measure("exponential(trim=0.1)", bandwidth=0.05)) == "exponential(trim=0.1, bandwidth=0.05)"
    with pytest.raises(MeasureError, match="'trim' is given in the text and beside it"):
        measure("exponential(trim=0.1)", trim=0.2)


def test_functions_become_the_users_measures():
    def damped(p, a2, b2):
        return p / (1 + b2)

    m = measure(damped, increasing=True)
    assert (m.name, m([1.0, 0.0], [1.0, 0.0])) == ("damped", 0.5)


@pytest.mark.parametrize("spec", [3, None, ["ndd"], np.ones(3)])
def test_anything_else_is_no_measure(spec):
    with pytest.raises(MeasureError, match="must be a name, a text, a Measure or a function, got"):
        measure(spec)


# -- states ----------------------------------------------------------------------------------------


def through_a_file(m, function=None):
    from safetensors.numpy import load, save

    state, arrays = to_state(m)
    return from_state(json.loads(json.dumps(state, allow_nan=False)), load(save(arrays)), function)


@pytest.mark.parametrize("name", NAMES)
def test_states_come_back_bit_for_bit(name):
    m = example(name)
    back = through_a_file(m)
    assert type(back) is type(m)
    assert str(back) == str(m)
    assert back.fitted
    A, B = rows(2), rows(3)
    np.testing.assert_array_equal(back.pairwise(A, B), m.pairwise(A, B))
    assert to_state(back)[0] == to_state(m)[0]


@pytest.mark.parametrize("m", [
    measure("gower(trim=0.25, quantile=0.1, weights='variance')"),
    measure("exponential(bandwidth='fitted', threshold=quantile(0.2), share=0.5)"),
    measure("manhattan", weights=np.array([1.0, 2, 3, 4])),
    measure("gower(clip=True, tiers=quantile(0.5), critical=[0, 2])"),
    measure("mahalanobis(shrinkage='ledoit-wolf', form=2)"),
    measure("mahalanobis", covariance=np.diag([1.0, 2, 3, 4])),
    CSLS(base=LinearMap(np.eye(3, 4), Cosine()), k=2),
    measure("local_scaling(k=3)"),
    LinearMap(np.eye(3, 4), measure("gower"), np.ones(4)),
    measure("ndd", query_norm=np.float32(2)),
], ids=str)
@pytest.mark.parametrize("fitted", [True, False])
def test_states_of_parameters_and_fits(m, fitted):
    m = m.fit(rows(4)) if fitted else m
    back = through_a_file(m)
    assert back.fitted == m.fitted
    if m.fitted:
        np.testing.assert_array_equal(back.pairwise(rows(5), rows(6)), m.pairwise(rows(5), rows(6)))
    else:
        again = [x.fit(rows(4)).pairwise(rows(5), rows(6)) for x in (m, back)]
        np.testing.assert_array_equal(*again)


def test_a_loaded_mahalanobis_can_be_updated():
    m = through_a_file(Mahalanobis(shrinkage="ledoit-wolf").fit(rows(7)))
    want = Mahalanobis(shrinkage="ledoit-wolf").fit(rows(7)).update(rows(8), rows(7)[:5])
    np.testing.assert_array_equal(m.update(rows(8), rows(7)[:5]).matrix, want.matrix)


def damped(p, a2, b2):
    return p / (1 + b2)


def other(p, a2, b2):
    return p / (2 + b2)


def cauchy(delta):
    return 1 / (1 + delta)


def test_users_functions_are_asked_for_again():
    m = user_measure(damped, increasing=True)
    state, arrays = to_state(m)
    assert "damped" in json.dumps(state)
    back = from_state(state, arrays, damped)
    assert (back.name, back.increasing) == ("damped", True)
    sha = m.signature()["source_sha256"]
    with pytest.raises(MeasureError, match=f"damped: is a user's own function .*source_sha256 {sha}"):
        from_state(state, arrays)
    now = user_measure(other, increasing=True).signature()["source_sha256"]
    with pytest.raises(MeasureError, match=f"not the one that was saved: source_sha256 {now} now, {sha} then"):
        from_state(state, arrays, other)
    with pytest.raises(MeasureError, match="positional parameters"):
        from_state(state, arrays, cauchy)


def test_users_functions_inside_and_with_pooling():
    m = LinearMap(np.eye(3, 4), user_measure(cauchy, trim=0.4, weights=[1.0, 2.0, 3.0]))
    back = through_a_file(m, cauchy)
    np.testing.assert_array_equal(back.pairwise(rows(9), rows(10)), m.pairwise(rows(9), rows(10)))
    with pytest.raises(MeasureError, match="give it again as function="):
        through_a_file(m)


def test_functions_without_a_source_are_known_by_their_code():
    made = {}
    exec("def f(p, a2, b2):\n    return p * 2.0\ndef g(p, a2, b2):\n    return p * 3.0", made)
    state, arrays = to_state(user_measure(made["f"]))
    assert "code_sha256" in state["signature"]
    assert from_state(state, arrays, made["f"]).name == "f"
    with pytest.raises(MeasureError, match="not the one that was saved: code_sha256"):
        from_state(state, arrays, made["g"])


@pytest.mark.parametrize(("change", "words"), [
    (lambda s, a: s.update(measure="sinus"), "'sinus' is not known to this version"),
    (lambda s, a: s["parameters"].update(extra=1), "has extra, unknown to this version"),
    (lambda s, a: a.clear(), "lacks its array 'measure.fitted_ranges'"),
    (lambda s, a: s.pop("parameters"), "cannot be read: KeyError"),
    (lambda s, a: s.pop("measure"), "cannot be read: KeyError"),
    (lambda s, a: s["parameters"].update(trim={"what": 1}), "holds {'what': 1}, which cannot be read"),
    (lambda s, a: s.update(parameters=[1]), "cannot be read: AttributeError"),
    (lambda s, a: s.update(user="Nobody", signature={}), "kind 'Nobody' is not known"),
])
def test_states_that_are_not_ours(change, words):
    state, arrays = to_state(Gower().fit(rows(11)))
    change(state, arrays)
    with pytest.raises(FileError, match=words):
        from_state(state, arrays)


# -- the public face and its pages -----------------------------------------------------------------


def test_all_is_sorted_and_there():
    assert len(set(public.__all__)) == len(public.__all__)
    assert all(hasattr(public, name) for name in public.__all__)
    assert set(public.__all__) >= {measure_class(n).__name__ for n in NAMES}


def flat(text):
    return " ".join(text.split())


@pytest.mark.parametrize("name", NAMES)
def test_the_page_says_what_the_measure_says(name):
    page = flat((DOCS / "measures" / f"{name}.md").read_text(encoding="utf-8"))
    facts = measure_class(name).facts
    for part in ("title", "meaning", "formula", "range", "scaling", "zero", "domain", "gradient", "cost", "source",
                 "traps"):
        assert flat(getattr(facts, part)) in page, part


def test_every_page_has_a_measure():
    assert sorted(p.stem for p in (DOCS / "measures").glob("*.md")) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_pages_examples_run(name):
    result = doctest.testfile(str(DOCS / "measures" / f"{name}.md"), module_relative=False, encoding="utf-8")
    assert result.attempted > 0
    assert result.failed == 0


def test_the_tables_hold_every_measure():
    text = (DOCS / "measures.md").read_text(encoding="utf-8")
    assert text.count("<!-- measured:begin -->") == text.count("<!-- measured:end -->") == 1
    assert text.index("<!-- measured:begin -->") < text.index("<!-- measured:end -->")
    listed = re.findall(r"^\| \[(\w+)\]\(measures/(\w+)\.md\) \|", text, flags=re.MULTILINE)
    assert [a for a, _ in listed] == [b for _, b in listed] == NAMES
    for name in NAMES:
        facts = measure_class(name).facts
        line = next(x for x in text.splitlines() if x.startswith(f"| [{name}]"))
        assert facts.meaning in line
        assert facts.cost in line


def test_no_source_of_the_catalogue_executes_text():
    source = (Path(public.__file__).parent / "catalogue.py").read_text(encoding="utf-8")
    calls = [n.func for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Call)]
    assert not {f.id for f in calls if isinstance(f, ast.Name)} & {"eval", "exec", "compile", "__import__"}


def test_learned_parameters_are_fields():
    assert parameter_names(Learned) == ["first_a", "first_b", "bias1", "second", "bias2", "alpha"]
