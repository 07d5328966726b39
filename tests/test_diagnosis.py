"""Each diagnosis against loops, known answers, or the published algorithm; and what is said of made-up spaces."""

import json
from pathlib import Path

import naive_diagnosis as naive
import numpy as np
import pytest

from kiyas import Index
from kiyas.errors import InputError
from kiyas.evaluate.diagnosis import diagnose, parts, spectrum
from kiyas.evaluate.diagnosis import neighbours as near
from kiyas.measures import measure

DATA = Path(__file__).parents[2] / "shared" / "data"


def rows(seed=0, n=60, d=7, shift=0.4):
    return np.random.default_rng(seed).normal(shift, 1, (n, d)) * np.linspace(0.5, 2, d)


# -- spectrum ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_anisotropy_is_the_mean_cosine_of_all_pairs(seed):
    X = rows(seed)
    assert spectrum.anisotropy(spectrum.moments(X)) == pytest.approx(naive.mean_cosine(X), abs=1e-12)
    with_zero = np.vstack([X, np.zeros((2, 7))])
    assert spectrum.anisotropy(spectrum.moments(with_zero)) == pytest.approx(naive.mean_cosine(X), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_isoscore_is_the_published_one(seed):
    X = rows(seed)
    assert spectrum.isoscore(spectrum.moments(X)) == pytest.approx(naive.isoscore(X), abs=1e-10)


def test_eigenvalues_and_what_is_made_of_them():
    X = rows()
    held = spectrum.moments(X)
    values = np.linalg.eigvalsh(np.cov(X.T, bias=True))[::-1]
    np.testing.assert_allclose(held.eigenvalues, values, rtol=1e-10)
    assert spectrum.effective_rank(held) == pytest.approx(naive.effective_rank(values.tolist()))
    assert spectrum.participation_ratio(held) == pytest.approx(sum(values) ** 2 / sum(values**2))
    np.testing.assert_allclose(held.mean, X.mean(axis=0))
    np.testing.assert_allclose(held.deviation, X.std(axis=0))
    np.testing.assert_allclose(held.norms, np.linalg.norm(X, axis=1))
    np.testing.assert_array_equal(held.low, X.min(axis=0))


def test_a_large_mean_does_not_drown_the_spread():
    X = rows()
    np.testing.assert_allclose(spectrum.moments(X + 1e6).eigenvalues, spectrum.moments(X).eigenvalues, rtol=1e-6)


def test_flat_and_full_spaces():
    line = np.outer(np.arange(1.0, 21), [1.0, 2.0, 3.0])
    held = spectrum.moments(line)
    assert spectrum.participation_ratio(held) == pytest.approx(1)
    assert spectrum.isoscore(held) == pytest.approx(0, abs=1e-12)
    assert spectrum.rank(held) == 1
    ball = spectrum.moments(np.random.default_rng(0).normal(size=(40_000, 5)))
    assert spectrum.isoscore(ball) > 0.99 and spectrum.effective_rank(ball) > 4.99


def test_dead_dimensions_and_shares():
    X = rows(d=8)
    X[:, 3] = 1e-9
    X[:, 6] += 30
    held = spectrum.moments(X)
    assert spectrum.dead_dimensions(held).tolist() == [3]
    shares = spectrum.direction_shares(held)
    assert shares.sum() == pytest.approx(1) and shares.argmax() == 6 and shares[6] > 0.9


# -- neighbours --------------------------------------------------------------------------------------------------------


def test_neighbours_are_the_nearest():
    X = rows().astype(np.float32)
    found = near.neighbours(Index(X), 5)
    np.testing.assert_allclose(found.distances, naive.distances(X.astype(float), 5), rtol=1e-9)
    assert near.hubness(found.rows, len(X)).counts.tolist() == naive.occurrences(X.astype(float), 5)
    assert near.levina_bickel(found) == pytest.approx(naive.levina_bickel(X.astype(float), 5), rel=1e-9)


def test_hubness_numbers():
    stats = pytest.importorskip("scipy.stats")
    answers = np.random.default_rng(0).integers(0, 15, (40, 6))
    found = near.hubness(answers, 20)
    assert found.skewness == pytest.approx(stats.skew(found.counts))
    assert found.robin_hood == pytest.approx(naive.robin_hood(found.counts.tolist()))
    assert found.never == (found.counts == 0).mean() and found.largest == found.counts.max()
    even = near.hubness(np.arange(20).reshape(10, 2), 20)
    assert (even.skewness, even.robin_hood, even.never) == (0, 0, 0)


def test_too_few_rows_are_not_called_fine_nor_counted_in_the_plural():
    found = diagnose(np.vstack([np.eye(3, 8), np.zeros((1, 8))]))
    assert " 1 document has length 0 and no direction." in found["norms"].here
    found = diagnose(np.eye(3, 8))["intrinsic_dimension"]
    assert (found.here, found.effect, found.concern) == (
        "Too few different documents to tell.", "Nothing can be said of any measure.", "note")


@pytest.mark.parametrize("d", [1, 2, 5])
def test_intrinsic_dimension_of_a_known_one(d):
    """A flat patch of d dimensions, turned into 20: both estimators find d, within their known bias at the rim."""
    rng = np.random.default_rng(d)
    turn = np.linalg.qr(rng.normal(size=(20, 20)))[0]
    X = np.hstack([rng.random((1200, d)), np.zeros((1200, 20 - d))]) @ turn
    found = near.neighbours(Index(X))
    by_two, ratios = near.two_nn(found)
    assert by_two == pytest.approx(d, rel=0.12)
    assert near.levina_bickel(found) == pytest.approx(d, rel=0.15)
    assert (np.diff(ratios) >= 0).all() and ratios[0] >= 1


def test_duplicates_do_not_decide_the_dimension():
    rng = np.random.default_rng(0)
    X = np.hstack([rng.random((1000, 3)), np.zeros((1000, 5))])
    twice = np.vstack([X, X[:300]])
    assert near.different_rows(twice).tolist() == list(range(1000))
    once, again = (diagnose(rows)["intrinsic_dimension"].values for rows in (X, twice))
    assert once == again and once["two_nn"] == pytest.approx(3, rel=0.15)
    assert np.isnan(near.two_nn(near.neighbours(Index(np.ones((30, 3)))))[0])


def test_random_pairs_are_of_different_rows():
    X = rows(n=5)
    distances, cosines, deltas = near.random_pairs(X, 0, 4001)
    assert len(distances) == len(cosines) == len(deltas) == 4001
    every = [float(np.linalg.norm(a - b)) for i, a in enumerate(X) for b in X[:i]]
    assert set(np.round(distances, 9)) == set(np.round(every, 9))
    assert (deltas <= distances + 1e-12).all() and (np.abs(cosines) <= 1 + 1e-12).all()


# -- what is said ------------------------------------------------------------------------------------------------------


def test_elasticities_are_derivatives():
    direction = np.array([0.8, 0.6])
    a, b, step = 4.5, 2.2, 1e-6
    query = a * np.array([1.0, 0.0])
    for name, value in parts.elasticities(a, b).items():
        if name == "tempered_cosine":
            continue  # a fixed exponent, one half
        made = measure(name)
        low, high = (float(np.log(made(query, direction * b * (1 + s)))) for s in (-step, step))
        assert value == pytest.approx((high - low) / (2 * step), abs=1e-6)
    beta = measure("tempered_cosine").beta
    assert parts.elasticities(a, b)["tempered_cosine"] == 1 - beta


def test_unit_vectors_are_said_to_rank_alike():
    X = rows(n=300, d=12)
    X = (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)
    found = diagnose(X, X[:20])
    assert found["unit_norm"].values["unit"] and found["unit_norm"].concern == "note"
    assert "cosine, dot, euclidean, angular, ndd, log_scaled, hybrid" in found["unit_norm"].effect
    overlap = found["agreement"].values
    for name in ("dot", "euclidean", "angular", "ndd", "log_scaled", "hybrid", "tanimoto", "dice"):
        assert overlap[name] > 0.999, name
    assert overlap["manhattan"] < 0.999


def test_one_length_for_all_documents_is_enough():
    X = rows(n=100, d=6)
    X *= 2 / np.linalg.norm(X, axis=1, keepdims=True)
    found = diagnose(X, rows(1, n=20, d=6))["unit_norm"]
    assert found.values["constant"] and not found.values["unit"] and "they rank alike" in found.effect
    assert found.here == "All documents have one length, 2."


def test_long_queries_are_warned_of_and_ndd_is_given_a_length():
    X = rows(n=200, d=10)
    found = diagnose(X, 3 * X[:30])["norms"]
    assert found.concern == "care" and "ndd(query_norm=" in found.effect
    assert found.values["query_document_ratio"] > 2


def test_the_same_first_ten_in_another_order_is_not_called_the_same_ranking():
    rng = np.random.default_rng(0)
    X = 0.05 * rng.normal(size=(210, 16))
    X[:10, 0] += 1
    X[10:, 0] -= 1
    X[:10] *= rng.uniform(0.7, 1.4, (10, 1))
    found = diagnose(X, X[:10] + 0.001)["agreement"]
    assert found.values["dot"] == 1 and found.here.startswith("The same first ten as cosine's, in whatever order: ")
    assert "dot" in found.here.split(".")[0]


def test_measures_that_cannot_run_are_named():
    found = diagnose(np.random.default_rng(0).normal(size=(8, 4)))["agreement"]
    assert "csls" not in found.values
    assert "csls cannot run here: csls.fit: 'X' must be of more than k = 10" in found.here


def test_short_vectors_of_long_texts():
    rng = np.random.default_rng(0)
    lengths = rng.integers(2, 200, 400)
    # The mean of so many random tokens around a common one, as pooling makes it.
    X = np.stack([rng.normal(size=(n, 16)).mean(axis=0) + 0.2 for n in lengths])
    found = diagnose(X, lengths=lengths)
    assert found["norm_and_text"].values["spearman"] < -0.4 and found["norm_and_text"].concern == "care"
    assert "favour short texts" in found["norm_and_text"].effect
    assert set(found["score_and_length"].values) == {"cosine", "dot", "euclidean"}


def test_lengths_that_mean_relevance():
    X = rows(n=200, d=10)
    relevant = (np.linalg.norm(X, axis=1) > np.median(np.linalg.norm(X, axis=1))).astype(int)
    found = diagnose(X, relevant=relevant)["norm_and_relevance"]
    assert found.values["shift"] > 0.4 and "may gain" in found.effect


def test_dead_rogue_and_twice():
    X = rows(n=150, d=30, shift=0)
    X[:, 4] = 1.0
    X[:, 9] = 40 + X[:, 9]
    X[-1] = X[0]
    found = diagnose(X, X[:10] * 3)
    assert found["dimensions"].values["dead"].tolist() == [4]
    assert found["dimensions"].values["rogue"].tolist() == [9] and found["dimensions"].concern == "care"
    assert found["dimensions"].values["query_coordinates_outside"] > 0.01
    assert found["spread"].values["rank"] == 29 and found["spread"].concern == "care"
    assert found["anisotropy"].values["mean_cosine"] > 0.9 and found["anisotropy"].concern == "care"
    assert found["duplicates"].values == {"exact": 1, "nearly": 2}
    advice = found.advice()
    assert advice and advice[0].partition(":")[0] in {f.title for f in found.findings if f.concern == "care"}


def test_every_finding_says_everything():
    X = rows(n=120, d=9)
    steps = []
    found = diagnose(X, X[:15] + 0.1, lengths=np.arange(120), relevant=np.arange(120) % 3,
                     progress=lambda done, total: steps.append((done, total)))
    assert steps == [(i, steps[0][1]) for i in range(1, steps[0][1] + 1)]
    wanted = {"unit_norm", "norms", "norm_and_text", "norm_and_relevance", "anisotropy", "spread", "dimensions",
              "intrinsic_dimension", "concentration", "coordinates", "hubness", "duplicates", "score_and_length",
              "agreement"}
    assert {f.key for f in found.findings} == wanted
    for f in found.findings:
        assert f.formula and f.meaning and f.here and f.effect and f.concern in ("fine", "note", "care"), f.key
        assert f.plot is not None and f.plot.series, f.key
    as_text = json.dumps(found.as_dict(), default=float)
    assert "participation_ratio" in as_text
    with pytest.raises(KeyError):
        found["nothing"]


def test_draws_stand_for_large_collections(monkeypatch):
    from kiyas.evaluate.diagnosis import whole as module

    monkeypatch.setattr(module, "MOST_ROWS", 100)
    X = rows(n=300)
    one, two = (diagnose(X, seed=1) for _ in range(2))
    assert one.facts["neighbours_of"] == 100 and one.facts["documents"] == 300
    assert one["hubness"].values == two["hubness"].values
    assert one["anisotropy"].values == diagnose(X, seed=2)["anisotropy"].values  # over all rows


@pytest.mark.parametrize(("call", "words"), [
    (lambda: diagnose(rows(n=2)), "at least three rows"),
    (lambda: diagnose(rows(), rows(d=3)), "'queries' must be of 7 dimensions"),
    (lambda: diagnose(rows(), lengths=[1, 2]), "'lengths' must be 60 numbers"),
    (lambda: diagnose([[1.0, np.nan]] * 4), "NaN or infinity in row 0"),
])
def test_bad_arguments(call, words):
    with pytest.raises(InputError, match=words):
        call()


# Measured on the same vectors by other code, before this was written: anisotropy, participation ratio, IsoScore,
# effective rank, skewness of the hubs from documents and from queries.
MINILM = {"med": (.133, 56, .144, 114, .89, 1.2), "cranfield": (.291, 42, .106, 96, 1.76, 1.7),
          "cisi": (.250, 47, .121, 112, 1.64, 3.3)}


@pytest.mark.parametrize("collection", MINILM)
def test_reference_collections(collection):
    folder = DATA / collection
    if not folder.is_dir():
        pytest.skip("the test collections are not beside the repository")
    X, Q = (np.load(folder / f"minilm_{part}.npy") for part in ("docs", "queries"))
    found = diagnose(X, Q)
    cosine, pr, iso, effective, hubs, from_queries = MINILM[collection]
    assert found["anisotropy"].values["mean_cosine"] == pytest.approx(cosine, abs=1e-3)
    spread = found["spread"].values
    assert spread["participation_ratio"] == pytest.approx(pr, abs=1)
    assert spread["isoscore"] == pytest.approx(iso, abs=1e-3)
    assert spread["effective_rank"] == pytest.approx(effective, abs=1)
    assert spread["rank"] == 381 and found["dimensions"].values["dead"].tolist() == [127, 223, 319]
    assert found["hubness"].values["skewness"] == pytest.approx(hubs, abs=0.01)
    assert found["hubness"].values["from_queries"]["skewness"] == pytest.approx(from_queries, abs=0.06)
    assert 10 < found["intrinsic_dimension"].values["two_nn"] < 20
