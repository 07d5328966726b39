import ctypes
import doctest
import hashlib
import inspect
import subprocess
import sys
import textwrap
from pathlib import Path

import array_api_strict
import naive_coordinate as naive
import numpy as np
import pytest

from kiyas.errors import DomainError, InputError, KiyasError, MeasureError, MissingExtraError
from kiyas.measures.coordinate import Quantile
from kiyas.measures.inner import NDD
from kiyas.measures.profiles import Exponential
from kiyas.measures.user import UserCoordinate, UserInner, UserPair, positional_parameters, user_measure

RNG = np.random.default_rng(11)
A, B = RNG.normal(size=(5, 6)), RNG.normal(size=(4, 6))


def own_ndd(p, a2, b2):
    return p / np.sqrt((a2 + b2) / 2)


def cauchy(delta):
    return 1 / (1 + delta * delta)


def chebyshev(x, y):
    return -np.max(np.abs(x - y), axis=-1)


def test_the_number_of_parameters_picks_the_kind():
    assert type(user_measure(own_ndd)) is UserInner
    assert type(user_measure(cauchy, trim=0.5)) is UserCoordinate
    assert type(user_measure(chebyshev)) is UserPair
    assert positional_parameters(lambda x, *, scale: x) == 1


def test_an_inner_function_scores_as_the_built_in():
    m = user_measure(own_ndd, increasing=True)
    np.testing.assert_allclose(m.pairwise(A, B), NDD().pairwise(A, B), rtol=1e-14)
    np.testing.assert_allclose(m.paired(A[:4], B), NDD().paired(A[:4], B), rtol=1e-14)
    assert m.name == "own_ndd" and m.increasing and str(m) == "own_ndd(increasing=True)"
    assert (m.kernel().family, m.kernel().kind, m.kernel().parameters["address"]) == ("inner", "user", None)


def test_without_the_declaration_the_kernel_says_why_not():
    assert "not declared increasing=True" in user_measure(own_ndd).kernel()
    assert user_measure(lambda p, a2, b2: -p).increasing is False


@pytest.mark.parametrize("function, where", [
    (lambda p, a2, b2: -p, "falls in p"),
    (lambda p, a2, b2: p * p, "falls in p"),
    (lambda p, a2, b2: np.sin(3 * p), "falls in p"),
    (lambda p, a2, b2: np.where(a2 > 100, -p, p), "falls in p"),
    (lambda p, a2, b2: p / (np.sqrt(a2 + b2 - 2 * p) - 1), "falls in p"),
])
def test_the_probe_refutes_with_a_counterexample(function, where):
    with pytest.raises(MeasureError, match=where) as caught:
        user_measure(function, increasing=True, name="mine")
    assert str(caught.value).startswith("mine: declared increasing=True")
    assert "a2=" in str(caught.value) and "increasing=False" in str(caught.value)


@pytest.mark.parametrize("function", [
    lambda p, a2, b2: p,
    lambda p, a2, b2: 0 * p,
    lambda p, a2, b2: p / np.sqrt(a2 * b2),
    lambda p, a2, b2: 1 / (1 + np.sqrt(a2 + b2 - 2 * p)),
    lambda p, a2, b2: p / (a2 + b2 - p),
    lambda p, a2, b2: np.log1p(np.exp(np.minimum(p, 700.0))),
    lambda p, a2, b2: -np.arccosh(1 + 2 * (a2 + b2 - 2 * p) / ((1 - a2) * (1 - b2))),
])
def test_the_probe_lets_increasing_functions_pass(function):
    assert user_measure(function, increasing=True).increasing


def test_the_probe_finds_wrong_shapes_and_nan():
    with pytest.raises(MeasureError, match="one score each, shape"):
        user_measure(lambda p, a2, b2: np.sum(p))
    with pytest.raises(MeasureError, match="returned NaN at p=-"):
        user_measure(lambda p, a2, b2: np.sqrt(p))
    with pytest.raises(MeasureError, match="returned NaN at p="):
        user_measure(lambda p, a2, b2: p * np.nan)
    with pytest.raises(MeasureError, match="must return real numbers, got dtype complex128"):
        user_measure(lambda p, a2, b2: p + 1j)


def test_nan_at_comparing_names_the_pair():
    m = user_measure(lambda p, a2, b2: p / np.sqrt(a2 * b2), name="mine")
    rows = B.copy()
    rows[2] = 0
    with pytest.raises(DomainError, match=r"mine: the function returned NaN for the pair at \(0, 2\)"):
        m.pairwise(A, rows)
    with pytest.raises(DomainError, match=r"\(3,\)"):
        user_measure(lambda x, y: np.where(x[..., 0] == 0, np.nan, 1.0)).paired(np.r_[A[:3], 0 * A[:1]], B)


def test_functions_cannot_write_into_the_callers_vectors():
    def rude(x, y):
        x -= y
        return x.sum(axis=-1)

    m, kept = user_measure(rude), A.copy()
    with pytest.raises(ValueError, match="read-only"):
        m.paired(A[:4], B)
    np.testing.assert_array_equal(A, kept)
    assert A.flags.writeable


def test_a_coordinate_function_is_pooled_like_the_others():
    m = user_measure(lambda delta: np.exp(-delta), trim=0.34, weights=[1, 2, 3, 1, 1, 1], tiers=0.3, critical=[1, 4])
    same = Exponential(trim=0.34, weights=[1, 2, 3, 1, 1, 1], tiers=0.3, critical=[1, 4])
    np.testing.assert_allclose(m.pairwise(A, B), same.pairwise(A, B), rtol=1e-14)
    s = [float(cauchy(abs(x - y))) for x, y in zip(A[0], B[0], strict=True)]
    assert float(user_measure(cauchy, trim=0.5)(A[0], B[0])) == pytest.approx(naive.score(s, None, 0.5), rel=1e-14)
    np.testing.assert_allclose(user_measure(cauchy).profile(A[0], B[0]), s, rtol=1e-15)
    assert (m.kernel().family, m.kernel().kind) == ("coordinate", "function")
    assert user_measure(cauchy, threshold=Quantile(0.3)).fit(A).fitted
    with pytest.raises(MeasureError, match="no distance"):
        m.distance(A[0], B[0])


def test_the_probe_refutes_rising_coordinate_functions():
    with pytest.raises(MeasureError, match="mine: must never rise with the difference, but f"):
        user_measure(lambda delta: delta, name="mine")
    with pytest.raises(MeasureError, match="must never rise"):
        user_measure(lambda delta: np.cos(delta))
    with pytest.raises(MeasureError, match="one score each"):
        user_measure(lambda delta: 1.0)
    with pytest.raises(MeasureError, match="returned NaN at delta=0"):
        user_measure(lambda delta: -delta / delta)
    assert user_measure(lambda delta: (delta < 0.1) * 1).kind == "function"
    assert user_measure(lambda delta: (delta < 0.1)).pairwise(A, A)[0, 0] == 1.0


def test_tiers_ask_for_scores_from_0_to_1():
    with pytest.raises(MeasureError, match=r"'tiers' must be left out unless every score lies in \[0, 1\]"):
        user_measure(lambda delta: -delta, tiers=-1.0, critical=[0])


def test_a_function_of_two_vectors_is_scanned(monkeypatch):
    from kiyas.measures import user

    m = user_measure(chebyshev)
    expected = -np.abs(A[:, None] - B[None]).max(axis=-1)
    np.testing.assert_array_equal(m.pairwise(A, B), expected)
    np.testing.assert_array_equal(m.paired(A[:4], B), np.diag(expected[:4]))
    assert "every row is scanned" in m.kernel()
    monkeypatch.setattr(user, "_BLOCK", 13)
    np.testing.assert_array_equal(m.pairwise(A, B), expected)
    with pytest.raises(MeasureError, match="one score each"):
        user_measure(lambda x, y: x - y)(A[0], B[0])


MEASURES = [user_measure(own_ndd), user_measure(cauchy, trim=0.3), user_measure(chebyshev)]


@pytest.mark.parametrize("m", MEASURES, ids=str)
def test_other_array_libraries_and_read_only(m):
    xp = array_api_strict
    got = m.pairwise(xp.asarray(A), xp.asarray(B))
    assert got.dtype == xp.float64
    np.testing.assert_allclose(np.asarray(got), m.pairwise(A, B), rtol=1e-15)
    a = A.copy()
    a.flags.writeable = False
    np.testing.assert_array_equal(m.pairwise(a, B), m.pairwise(A, B))


@pytest.mark.torch
@pytest.mark.parametrize("m", MEASURES, ids=str)
def test_torch(m):
    torch = pytest.importorskip("torch")
    got = m.pairwise(torch.tensor(A), torch.tensor(B))
    assert got.dtype == torch.float64
    np.testing.assert_allclose(got.numpy(), m.pairwise(A, B), rtol=1e-14)


def test_the_examples_of_the_page_run():
    page = Path(__file__).parents[1] / "docs" / "own-measures.md"
    result = doctest.testfile(str(page), module_relative=False, encoding="utf-8",
                              optionflags=doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL)
    assert result.attempted > 8 and result.failed == 0


# -- the saved form --------------------------------------------------------------------------------


def test_signature_is_name_kind_declaration_and_hash_of_the_source():
    def inside(p, a2, b2):
        return p

    source = textwrap.dedent(inspect.getsource(inside))
    assert user_measure(inside, increasing=True, name="mine").signature() == {
        "name": "mine", "kind": "UserInner", "increasing": True,
        "source_sha256": hashlib.sha256(source.encode()).hexdigest()}
    assert user_measure(cauchy).signature()["kind"] == "UserCoordinate"
    assert user_measure(cauchy).signature()["increasing"] is False


def test_signature_without_source_offers_the_bytecode():
    def made(text):
        space = {}
        exec(text, space)
        return user_measure(space["f"])

    one = made("def f(p, a2, b2):\n    return p * 2.0")
    with pytest.raises(MeasureError, match=r"source of the function is not available.*signature\(by='code'\)"):
        one.signature()
    by_code = one.signature(by="code")
    assert by_code == made("\n\ndef f(p, a2, b2):\n    return p * 2.0").signature(by="code")
    assert by_code != made("def f(p, a2, b2):\n    return p * 3.0").signature(by="code")
    with pytest.raises(MeasureError, match="'by' must be 'source' or 'code'"):
        one.signature(by="name")

    class Callable:
        def __call__(self, p, a2, b2):
            return p

    with pytest.raises(MeasureError, match="no bytecode"):
        user_measure(Callable()).signature(by="code")
    assert user_measure(Callable()).name == "Callable"


# -- errors ----------------------------------------------------------------------------------------

ERRORS = [
    (lambda: user_measure(3), MeasureError, "'function' must be a function of 3 (p, a2, b2), 1 (delta) or 2 (x, y)"),
    (lambda: user_measure(lambda: 0), MeasureError, "got ()"),
    (lambda: user_measure(lambda *x: 0), MeasureError, "got (*x)"),
    (lambda: user_measure(lambda a, b, c, d: 0), MeasureError, "got (a, b, c, d)"),
    (lambda: user_measure(cauchy, increasing=True), MeasureError, "'increasing' must be left out"),
    (lambda: user_measure(chebyshev, increasing=True), MeasureError, "'increasing' must be left out"),
    (lambda: user_measure(chebyshev, compiled=True), MeasureError, "'compiled' must be left out"),
    (lambda: user_measure(own_ndd, trim=0.1), MeasureError, "'trim' must be left out"),
    (lambda: user_measure(chebyshev, weights=[1]), MeasureError, "'weights' must be left out"),
    (lambda: user_measure(cauchy, trim=1), InputError, "cauchy: 'trim' must be a number from 0 to below 1"),
    (lambda: user_measure(own_ndd, name=3), MeasureError, "'name' must be a text"),
    (lambda: user_measure(own_ndd, increasing="yes"), MeasureError, "'increasing' must be True or False, got 'yes'"),
    (lambda: UserInner(function=cauchy), MeasureError, "'function' must be of 3 positional parameters, got 1"),
]


@pytest.mark.parametrize("act, kind, words", ERRORS, ids=range(len(ERRORS)))
def test_errors_say_what_is_wrong(act, kind, words):
    with pytest.raises(KiyasError) as caught:
        act()
    assert type(caught.value) is kind
    assert words in str(caught.value)


# -- compiled --------------------------------------------------------------------------------------


def test_numba_is_imported_only_when_asked_for():
    code = "import sys, kiyas.measures.user; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_compiling_without_numba_gives_the_install_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(MissingExtraError, match=r"compiled=True needs numba.*pip install 'kiyas\[numba\]'"):
        user_measure(own_ndd, compiled=True)


def through_address(m, *arrays):
    double = ctypes.POINTER(ctypes.c_double)
    function = ctypes.CFUNCTYPE(None, *[double] * (len(arrays) + 1), ctypes.c_int64)(m.address)
    out = np.empty(arrays[0].shape)
    function(*[a.ctypes.data_as(double) for a in (*arrays, out)], out.size)
    return out


@pytest.mark.filterwarnings("default::DeprecationWarning")
def test_compiled_functions_give_the_values_of_their_twins():
    pytest.importorskip("numba")
    plain, m = user_measure(own_ndd, increasing=True), user_measure(own_ndd, increasing=True, compiled=True)
    np.testing.assert_allclose(m.pairwise(A, B), plain.pairwise(A, B), rtol=1e-15)
    p, a2, b2 = RNG.normal(size=1001), RNG.uniform(1, 2, 1001), RNG.uniform(1, 2, 1001)
    np.testing.assert_array_equal(through_address(m, p, a2, b2), m.formula(np, p, a2, b2, a2))
    assert m.kernel().parameters["address"] == m.address != 0
    assert m.with_(name="other").name == "other" and str(m) == "own_ndd(increasing=True, compiled=True)"

    c = user_measure(cauchy, compiled=True, trim=0.5)
    np.testing.assert_allclose(c.pairwise(A, B), user_measure(cauchy, trim=0.5).pairwise(A, B), rtol=1e-15)
    delta = RNG.uniform(size=77)
    np.testing.assert_array_equal(through_address(c, delta), c.similarity(np, delta))


@pytest.mark.filterwarnings("default::DeprecationWarning")
def test_compiled_functions_are_probed_and_refused_like_others():
    pytest.importorskip("numba")
    with pytest.raises(MeasureError, match="falls in p"):
        user_measure(lambda p, a2, b2: -p, increasing=True, compiled=True)
    m = user_measure(lambda p, a2, b2: p / (a2 * b2), compiled=True)
    with pytest.raises(DomainError, match="NaN"):
        m(np.zeros(2), np.ones(2))  # 0/0 is NaN, as in NumPy, and not an exception lost in a callback
    with pytest.raises(MeasureError, match="Numba cannot compile it"):
        user_measure(lambda p, a2, b2: vars(p), compiled=True)
