"""Hubness corrections: r from the rows alone, the same however it is found, and an inner product behind it."""

from __future__ import annotations

import naive
import numpy as np
import pytest
from helpers import assert_identical, vectors

import kiyas
from kiyas.errors import InputError, MeasureError, NotFittedError
from kiyas.measures import CSLS, LinearMap, LocalScaling, hubness, measure


def rows(seed, n=80, d=40):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, d)) * rng.lognormal(0, 1, (n, 1))).astype(np.float32)


def cosines(A, B):
    A, B = (X / np.linalg.norm(X, axis=1, keepdims=True) for X in (A.astype(np.float64), B.astype(np.float64)))
    return A @ B.T


def test_fitting_tells_how_far_it_is(monkeypatch):
    blocks, told, plain = hubness.row_blocks, [], CSLS(k=3).fit(rows(0))
    monkeypatch.setattr(hubness, "row_blocks", lambda n, width, elements=0: blocks(n, 1, 32))
    fitted = CSLS(k=3).fit(rows(0), progress=lambda *state: told.append(state))
    assert told == [(32, 80), (64, 80), (80, 80)]
    np.testing.assert_array_equal(fitted.density, plain.density)


def wanted_density(X, k):
    S = cosines(X, X)
    np.fill_diagonal(S, -np.inf)
    return np.sort(S, axis=1)[:, -k:].mean(axis=1)


def test_the_formula():
    X, Q = rows(1), rows(2, n=7)
    r = wanted_density(X, 6)
    np.testing.assert_allclose(CSLS(k=6).fit(X).pairwise(Q, X), 2 * cosines(Q, X) - r, atol=5e-7)
    np.testing.assert_allclose(LocalScaling(k=6).fit(X).pairwise(Q, X), 1 - (1 - cosines(Q, X)) / (1 - r), atol=3e-6)


def test_dot_and_linear_maps_as_bases():
    X, Q = rows(3) / 10, rows(4, n=5) / 10
    P = X.astype(np.float64) @ X.T.astype(np.float64)
    np.fill_diagonal(P, -np.inf)
    r = np.sort(P, axis=1)[:, -4:].mean(axis=1)
    want = 2 * Q.astype(np.float64) @ X.T.astype(np.float64) - r
    np.testing.assert_allclose(measure("csls(base=dot, k=4)").fit(X).pairwise(Q, X), want, rtol=1e-4, atol=1e-4)
    W = np.random.default_rng(5).standard_normal((12, 40))
    through = CSLS(base=LinearMap(W, measure("cosine")), k=4).fit(X).pairwise(Q, X)
    np.testing.assert_allclose(through, CSLS(k=4).fit(X @ W.T).pairwise(Q @ W.T, X @ W.T), atol=1e-5)


def test_a_map_with_a_center_of_its_own_for_queries():
    X, Q = rows(17), rows(18, n=5)
    rng = np.random.default_rng(19)
    base = LinearMap(rng.standard_normal((9, 40)), measure("cosine"), rng.standard_normal(40), rng.standard_normal(40))
    r = wanted_density(base.transform(X), 6)
    want = 2 * cosines(base.transform_queries(Q), base.transform(X)) - r
    np.testing.assert_allclose(CSLS(base=base, k=6).fit(X).pairwise(Q, X), want, atol=1e-6)


@pytest.mark.parametrize("kind", ["benign", "duplicates", "zeros", "near ties", "all identical", "small integers",
                                  "norm spread", "denormals"])
def test_r_is_that_of_the_loops_alone_and_in_any_batch(kind, monkeypatch):
    X, new = vectors(kind, 70, 33), vectors(kind, 9, 33, seed=1)
    m = CSLS(k=5).fit(X)
    oracle = naive.Corrected("csls", 5, [naive.direction(x) for x in naive.rows(X)])
    np.testing.assert_array_equal(m.reference, [naive.direction(x) for x in naive.rows(X)])
    np.testing.assert_array_equal(m.density, [oracle.density(x) for x in oracle.fitted])
    found = m.neighbourhood(new)
    np.testing.assert_array_equal(found, [oracle.density(naive.direction(x)) for x in naive.rows(new)])
    np.testing.assert_array_equal(np.concatenate([m.neighbourhood(x[None, :]) for x in new]), found)
    monkeypatch.setattr(hubness, "_FIRST", 16)
    monkeypatch.setattr(hubness, "row_blocks", lambda n, d, elements=0: ((i, min(i + 7, n)) for i in range(0, n, 7)))
    again = CSLS(k=5).fit(X)
    np.testing.assert_array_equal(again.density, m.density)
    np.testing.assert_array_equal(again.neighbourhood(new), found)


def test_a_row_is_no_neighbour_of_itself_but_its_copy_is():
    X = np.eye(4)
    assert CSLS(k=1).fit(X).neighbourhood(X).tolist() == [0, 0, 0, 0]
    twice = np.concatenate([X, 3 * X[:1]])
    assert CSLS(k=1).fit(twice).neighbourhood(twice).tolist() == [1, 0, 0, 0, 1]


def test_hubs_are_taken_down():
    rng = np.random.default_rng(6)
    X = 0.5 + rng.standard_normal((400, 40)) * rng.lognormal(0, 0.5, (400, 1))  # a common part makes hubs
    found = {m: np.bincount(kiyas.Index(X, m).neighbours(np.arange(400), k=10).ids.ravel(), minlength=400)
             for m in ("cosine", "csls", "local_scaling")}
    spread = {m: counts.std() for m, counts in found.items()}
    assert spread["csls"] < 0.7 * spread["cosine"] and spread["local_scaling"] < 0.7 * spread["cosine"], spread


def test_queries_have_no_part_in_it():
    X, Q = rows(7), rows(8, n=30)
    index = kiyas.Index(X, measure="csls")
    whole = index.search(Q, k=5)
    for j in (0, 13, 29):
        one = index.search(Q[j], k=5)
        np.testing.assert_array_equal(one.scores[0], whole.scores[j])
        np.testing.assert_array_equal(one.ids[0], whole.ids[j])


@pytest.mark.parametrize("name", ["csls", "local_scaling"])
def test_an_index_keeps_it(name, tmp_path):
    X, Q = rows(9), rows(10, n=6)
    index = kiyas.Index(X, measure=name)
    assert "certified" in index.info["path"] and index.info["measure"] == name
    index.save(tmp_path / "i")
    back = kiyas.Index.load(tmp_path / "i")
    assert_identical(back.search(Q, k=7), index.search(Q, k=7))
    back.add(rows(11, n=4))
    assert back.info["later"] == 4
    orders = naive.table(naive.Corrected(name, 10, index.measure.reference), Q, np.concatenate([X, rows(11, n=4)]))
    hits = back.search(Q, k=84)
    for j in range(6):
        assert hits.scores[j].tolist() == pytest.approx(sorted(orders[j], reverse=True), rel=1e-12)


def test_it_is_an_inner_product_for_other_engines():
    X, Q = rows(12), rows(13, n=5)
    m = CSLS(k=8).fit(X)
    r = kiyas.reduce(X, m)
    assert r.target == "inner" and r.items.shape == (80, 41)
    np.testing.assert_allclose(r.queries(Q) @ r.items.T, m.pairwise(Q, X), rtol=1e-12, atol=1e-12)


def test_errors():
    with pytest.raises(InputError, match=r"csls.fit: 'X' must be of more than k = 10 rows, got 10"):
        CSLS().fit(rows(14, n=10))
    with pytest.raises(NotFittedError, match="csls: is not fitted"):
        CSLS().pairwise(rows(15), rows(15))
    with pytest.raises(MeasureError, match="local_scaling: 'base' must be cosine, or a linear_map in front"):
        measure("local_scaling(base=dot)")
    with pytest.raises(MeasureError, match=r"csls: 'base' must be cosine or dot.*must be one more coordinate"):
        measure("csls(base=manhattan)")
    with pytest.raises(InputError, match="csls: 'k' must be an integer from 1"):
        measure("csls(k=0)")
    with pytest.raises(InputError, match="csls: row 1 is too large for float32"):
        measure("csls(base=dot, k=1)").fit(np.array([[1.0, 0], [1e300, 0], [0, 1]]))
    with pytest.raises(InputError, match="'X' must be of 40 dimensions, got 3"):
        CSLS().fit(rows(16)).neighbourhood(np.ones((1, 3)))
    with pytest.raises(MeasureError, match="multiply the matrices instead of nesting maps"):
        LinearMap(np.eye(40), CSLS())
