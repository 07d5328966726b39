"""Learned similarities: what the network is, what it learns, when it stops, going on after a kill; the re-ranker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import kiyas
from kiyas.errors import FileError, InputError, MeasureError, MissingExtraError
from kiyas.fit import (
    Pairs,
    TrainingPlan,
    checkpoint,
    learn_adapter,
    learn_reranker,
    learn_similarity,
    relevance_map,
    training,
)
from kiyas.fit import learned as module
from kiyas.fit.training import Task, calibration

PLAN = TrainingPlan(epochs=6, patience=6, batch=16, hard=2, pool=10, rate=0.01, pull=0)


def world(seed=0, n=120, queries=40, d=8, noise=3.0):
    """Documents, and pairs of queries and documents that agree in half of the dimensions and in no other."""
    rng = np.random.default_rng(seed)
    D = rng.standard_normal((n, d)).astype(np.float32)
    owners = rng.permutation(n)[:queries]
    Q = D[owners].copy()
    Q[:, d // 2 :] = noise * rng.standard_normal((queries, d - d // 2))
    return Pairs(Q, D[owners], owners), D, Q, owners


def found_at_ten(measure, Q, D, owners):
    hits = kiyas.Index(D, measure).search(Q.astype(np.float32), k=10).ids
    return float(np.mean([owner in row for owner, row in zip(owners, hits, strict=True)]))


# -- without PyTorch -------------------------------------------------------------------------------


def test_held_out_queries_take_their_documents_with_them():
    pairs, D, _, _ = world()
    # Each document is relevant to two queries.
    both = Pairs(np.concatenate([pairs.queries, pairs.queries + 1]), np.concatenate([pairs.documents] * 2),
                 np.concatenate([pairs.owners] * 2))
    task = Task(both, D, TrainingPlan(held_out=0.3), "test")
    held_rows = {row for gains in task.held_gains for row in gains}
    assert len(task.held) == 24 and len(held_rows) >= 12
    assert not held_rows & set(task.row[task.pairs].tolist())
    assert not set(task.query[task.pairs].tolist()) & set(task.held.tolist())
    assert set(task.left().owners.tolist()) == set(task.row[task.pairs].tolist())


def test_pairs_of_one_query_are_one_query_and_their_own_vectors_stand_for_rows():
    D = np.eye(6, dtype=np.float32)
    pairs = Pairs(np.array([[1.0, 1, 0, 0, 0, 0]] * 2 + [[0, 0, 1.0, 0, 0, 0], [0, 0, 0, 0, 0, 1.0]]),
                  np.array([[9.0, 0, 0, 0, 0, 0], [0, 9.0, 0, 0, 0, 0], [0, 0, 9.0, 0, 0, 0], [0, 0, 0, 0, 0, 9.0]]),
                  np.array([0, 1, 2, 5]))
    task = Task(pairs, D, TrainingPlan(), "test")
    assert len(task.queries) == 3 and task.known.sum() == 4
    np.testing.assert_array_equal(np.diag(task.documents), [9, 9, 9, 1, 1, 9])


def test_hard_negatives_are_near_and_not_known_to_be_relevant():
    pairs, D, _, _ = world()
    task = Task(pairs, D, TrainingPlan(pool=7), "test")
    pools = task.hard_pools()
    unit = [X / np.linalg.norm(X, axis=1, keepdims=True) for X in (task.queries, task.documents)]
    S = np.where(task.known, -np.inf, unit[0] @ unit[1].T)
    S[:, ~np.isin(np.arange(len(D)), task.row[task.pairs])] = -np.inf  # of pairs that are trained on
    for query, pool in enumerate(pools):
        assert not task.known[query, pool].any()
        assert S[query, pool].min() >= np.sort(S[query])[-7] - 1e-6


def test_calibrated_scores_are_shares():
    rng = np.random.default_rng(1)
    logits = rng.standard_normal((40, 500)) * 3
    relevant = rng.random(logits.shape) < 1 / (1 + np.exp(-(0.5 * logits - 2)))
    scale, offset = calibration(logits, [dict.fromkeys(np.flatnonzero(row).tolist(), 1.0) for row in relevant])
    assert scale == pytest.approx(0.5, abs=0.05) and offset == pytest.approx(-2, abs=0.1)
    # Told apart whole, or the wrong way round, the order stays.
    for sign in (1, -1):
        scale, _ = calibration(sign * np.array([[5.0, -1, -2], [4.0, -1, 0]]), [{0: 1.0}, {0: 1.0}])
        assert 0 < scale < np.inf


def test_without_pytorch_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    pairs, D, _, _ = world()
    for learn in (learn_similarity, learn_adapter, learn_reranker):
        with pytest.raises(MissingExtraError, match=r"needs torch, which is not installed: .*kiyas\[torch\]"):
            learn(pairs, D)


@pytest.mark.parametrize(("change", "words"), [
    ({"epochs": 0}, "'epochs' must be an integer from 1"), ({"batch": 1}, "'batch' must be an integer from 2"),
    ({"rate": 0.0}, "'rate' must be a positive number"), ({"pull": -1.0}, "'pull' must be a number from 0"),
    ({"held_out": 1.0}, "'held_out' must be a number between 0 and 1"),
])
def test_bad_plans(change, words):
    with pytest.raises(InputError, match=f"TrainingPlan: {words}"):
        TrainingPlan(**change)


def test_pairs_that_leave_nothing():
    D = np.eye(4, dtype=np.float32)
    with pytest.raises(InputError, match="leave nothing to train on once some are held out"):
        Task(Pairs(D[:2], D[[0, 0]], np.array([0, 0])), D, TrainingPlan(), "test")
    with pytest.raises(InputError, match="'pairs' must be of owners from 0 to 3, the rows of documents, got 9"):
        Task(Pairs(D[:2], D[:2], np.array([1, 9])), D, TrainingPlan(), "test")


# -- with PyTorch ----------------------------------------------------------------------------------


@pytest.mark.torch
def test_it_begins_as_the_cosine():
    torch = pytest.importorskip("torch")
    _, D, Q, _ = world()
    for symmetric in (False, True):
        model = module.Network(8, 6, symmetric, 1.0, 7.0, 0)
        A, B = torch.from_numpy(Q.astype(np.float32)), torch.from_numpy(D)
        want = 7 * kiyas.measure("cosine").pairwise(Q, D)
        np.testing.assert_allclose(model.logits(A, B).detach().numpy(), want, atol=1e-4)


@pytest.mark.torch
@pytest.mark.parametrize("symmetric", [False, True])
def test_the_measure_is_the_network(symmetric):
    torch = pytest.importorskip("torch")
    _, D, Q, _ = world(2)
    model = module.Network(8, 6, symmetric, 1.0, 2.0, 3)
    generator = torch.Generator().manual_seed(1)
    for parameter in model.weights.values():
        with torch.no_grad():
            parameter.add_(torch.randn(parameter.shape, generator=generator))
    m = model.measure(0.5, -1.0)
    want = 0.5 * model.logits(torch.from_numpy(Q.astype(np.float32)), torch.from_numpy(D)).detach().numpy() - 1
    np.testing.assert_allclose(m.raw_pairwise(Q, D), want, atol=2e-5)
    same = np.allclose(m.raw_pairwise(Q, D), m.raw_pairwise(D, Q).T, atol=1e-5)
    assert same == symmetric
    # The index answers as the formula does.
    hits = kiyas.Index(D, m).search(Q.astype(np.float32), k=5)
    np.testing.assert_array_equal(hits.ids, np.argsort(-m.raw_pairwise(Q.astype(np.float32), D), axis=1)[:, :5])


@pytest.mark.torch
@pytest.mark.parametrize("learn", [learn_similarity, learn_adapter], ids=["network", "adapter"])
def test_it_learns_which_dimensions_matter(learn):
    pytest.importorskip("torch")
    pairs, D, _, _ = world(queries=100)
    _, _, Q, owners = world(5, queries=60)
    D5 = world(5, queries=60)[1]
    plan = TrainingPlan(epochs=40, batch=32, hard=4, pool=20, rate=0.02, pull=0)
    fit = learn(pairs, D, plan)
    assert fit.helps and fit.trained.after.mean() > fit.trained.before.mean()
    before, after = found_at_ten("cosine", Q, D5, owners), found_at_ten(fit.measure, Q, D5, owners)
    assert after > before + 0.1, (before, after)


@pytest.mark.torch
def test_where_nothing_is_to_be_learned_it_stays_the_cosine():
    pytest.importorskip("torch")
    rng = np.random.default_rng(3)
    D = rng.standard_normal((80, 8)).astype(np.float32)
    owners = np.arange(40)
    fit = learn_similarity(Pairs(D[owners] + 0.01, D[owners], owners), D, PLAN, hidden=4)
    assert not fit.helps and "Nothing gained" in fit.trained.conclusion()
    Q = rng.standard_normal((9, 8))
    np.testing.assert_array_equal(kiyas.Index(D, fit.measure).search(Q, k=6).ids, kiyas.Index(D).search(Q, k=6).ids)


@pytest.mark.torch
def test_a_network_that_begins_as_a_map():
    pytest.importorskip("torch")
    pairs, D, Q, _ = world(queries=80)
    seen = []

    def start(left):
        seen.append(len(left))
        return relevance_map(left, pairs.queries, D)

    fit = learn_similarity(pairs, D, PLAN, hidden=4, start=start)
    assert seen == [64, 80]  # a fifth of the queries is held out of the map, too; in the end it is made of all pairs
    assert isinstance(fit.measure, kiyas.LinearMap) and isinstance(fit.measure.base, kiyas.Learned)
    index = kiyas.Index(D, fit.measure)
    mapped = fit.measure.transform_queries(Q.astype(np.float32)), fit.measure.transform(D)
    want = fit.measure.base.raw_pairwise(*mapped)
    hits = index.search(Q.astype(np.float32), k=4)
    np.testing.assert_array_equal(hits.ids, np.argsort(-want, axis=1, kind="stable")[:, :4])
    assert index.explain(Q[0], int(hits.ids[0, 0])).score == pytest.approx(hits.scores[0, 0])
    fit = learn_adapter(pairs, D, PLAN, start=start)
    began = relevance_map(pairs, pairs.queries, D)
    assert fit.measure.matrix.shape == (8, 8) and fit.measure.unit
    np.testing.assert_array_equal(fit.measure.query_center, began.query_center)
    if not fit.helps:
        np.testing.assert_allclose(fit.measure.matrix, began.matrix, rtol=1e-12)
    with pytest.raises(MeasureError, match="'start' must be a linear_map with cosine behind it"):
        learn_similarity(pairs, D, PLAN, start=kiyas.LinearMap(np.eye(8), kiyas.measure("dot")))


@pytest.mark.torch
def test_a_network_behind_a_map_can_be_kept(tmp_path):
    pytest.importorskip("torch")
    pairs, D, Q, _ = world()
    m = learn_similarity(pairs, D, PLAN, hidden=4, start=lambda left: relevance_map(left, pairs.queries, D)).measure
    kiyas.Index(D, m).save(tmp_path / "i")
    back = kiyas.Index.load(tmp_path / "i")
    back.add(D[:3] + 1)
    assert len(back.search(Q[:2].astype(np.float32), k=123).ids[0]) == 123


@pytest.mark.torch
@pytest.mark.parametrize("name", ["dot", "ndd", "euclidean", "manhattan"])
def test_any_measure_can_be_trained_with(name):
    pytest.importorskip("torch")
    pairs, D, _, _ = world()
    fit = learn_adapter(pairs, D, TrainingPlan(epochs=3, batch=16, rate=0.01), measure=name)
    assert fit.measure.base.name == name and np.isfinite(fit.trained.losses).all()
    assert fit.trained.losses[-1] < fit.trained.losses[0]
    with pytest.raises(MeasureError, match="'measure' must be an inner or per-dimension measure that needs no fitting"):
        learn_adapter(pairs, D, measure="csls")


@pytest.mark.torch
def test_lengths_come_to_mean_something():
    pytest.importorskip("torch")
    rng = np.random.default_rng(4)
    D = rng.standard_normal((150, 6)).astype(np.float32)
    D[:, 0] = np.where(np.arange(150) < 60, 3.0, 0.0)  # what is asked for is longer, by what no query shows
    owners = np.arange(60)
    Q = D[owners] + 0.5 * rng.standard_normal((60, 6))
    Q[:, 0] = 0
    plan = TrainingPlan(epochs=40, batch=30, hard=6, rate=0.02, pull=0)
    fit = learn_adapter(Pairs(Q, D[owners], owners), D, plan, measure="ndd")

    def longer(X):
        lengths = np.linalg.norm(X.astype(np.float64), axis=1)
        return lengths[:60].mean() / lengths[60:].mean()

    # ndd ranks long rows down where the query has nothing of their length: the map learns to take that length away.
    assert fit.helps and longer(fit.measure.transform(D)) < 0.95 * longer(D)


@pytest.mark.torch
def test_a_seed_gives_the_same_again():
    pytest.importorskip("torch")
    pairs, D, _, _ = world()
    plans = [TrainingPlan(epochs=3, rate=0.01, seed=seed) for seed in (0, 0, 1)]
    first, again, other = (learn_similarity(pairs, D, plan, hidden=4).trained.losses for plan in plans)
    assert first == again != other


class Stop(Exception):
    pass


def state_of(directory):
    manifest = json.loads((directory / "checkpoint.json").read_text())
    return checkpoint.read(directory, manifest["task"])


@pytest.mark.torch
@pytest.mark.parametrize("learn", [learn_similarity, learn_adapter, learn_reranker])
def test_a_training_that_was_stopped_goes_on_to_the_same_weights(learn, tmp_path):
    pytest.importorskip("torch")
    pairs, D, _, _ = world()
    whole = learn(pairs, D, PLAN, checkpoint=tmp_path / "whole", every=0)

    def stop(done, total):
        if done == 4:
            raise Stop

    with pytest.raises(Stop):
        learn(pairs, D, PLAN, progress=stop, checkpoint=tmp_path / "run", every=0)
    assert len(state_of(tmp_path / "run")[0]["losses"]) == 3
    seen = []
    resumed = learn(pairs, D, PLAN, progress=lambda *p: seen.append(p[0]), checkpoint=tmp_path / "run", every=0)
    assert seen[0] == 4
    for (state, arrays), (state2, arrays2) in [(state_of(tmp_path / "run"), state_of(tmp_path / "whole"))]:
        assert state == state2
        for name in arrays:
            np.testing.assert_array_equal(arrays[name], arrays2[name], err_msg=name)
    assert resumed.trained.losses == whole.trained.losses
    with pytest.raises(FileError, match=r"was begun with rate=0\.01, this run has 0\.5"):
        learn(pairs, D, TrainingPlan(**{**PLAN.__dict__, "rate": 0.5}), checkpoint=tmp_path / "run")


KILLED = """
import sys
import numpy as np
sys.path.insert(0, sys.argv[2])
from test_fit_learned import world
from kiyas.fit import TrainingPlan, learn_similarity
pairs, D, _, _ = world()
learn_similarity(pairs, D, TrainingPlan(epochs=100000, patience=100000, rate=0.01), hidden=4, checkpoint=sys.argv[1],
                 every=0, progress=lambda *p: print(flush=True))
"""


@pytest.mark.torch
def test_a_training_that_was_killed_goes_on_to_the_same_weights(tmp_path):
    pytest.importorskip("torch")
    with subprocess.Popen([sys.executable, "-c", KILLED, tmp_path / "run", Path(__file__).parent],
                          stdout=subprocess.PIPE) as process:
        for _ in range(5):
            process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
    done = len(state_of(tmp_path / "run")[0]["losses"])
    assert done >= 4
    pairs, D, _, _ = world()
    plan = TrainingPlan(epochs=100000, patience=100000, rate=0.01)

    def until(end):
        def stop(n, total):
            if n == end:
                raise Stop
        return stop

    for directory in ("run", "whole"):
        with pytest.raises(Stop):
            learn_similarity(pairs, D, plan, hidden=4, checkpoint=tmp_path / directory, every=0,
                             progress=until(done + 5))
    (state, arrays), (state2, arrays2) = (state_of(tmp_path / d) for d in ("run", "whole"))
    assert state == state2 and len(state["losses"]) == done + 4
    for name in arrays:
        np.testing.assert_array_equal(arrays[name], arrays2[name], err_msg=name)


@pytest.mark.torch
def test_progress_and_early_stopping():
    pytest.importorskip("torch")
    pairs, D, _, _ = world(noise=0.0)
    seen = []
    fit = learn_similarity(pairs, D, TrainingPlan(epochs=30, patience=2, rate=0.5, pull=0), hidden=4,
                           progress=lambda *p: seen.append(p))
    first = [done for done, total in seen if total == 30]
    assert first == list(range(1, fit.trained.epochs + 1)) and len(first) < 30
    assert len(seen) - len(first) == fit.trained.epoch  # all pairs, for the best epoch


@pytest.mark.torch
def test_a_rate_that_is_too_large_is_said(monkeypatch):
    torch = pytest.importorskip("torch")
    pairs, D, _, _ = world()
    monkeypatch.setattr(training._Run, "_loss", lambda self, chosen: torch.tensor(float("nan"), requires_grad=True))
    with pytest.raises(InputError, match=r"the loss is nan in epoch 1; give a smaller rate than 0\.01"):
        learn_similarity(pairs, D, PLAN, hidden=4)


@pytest.mark.torch
def test_bad_arguments():
    pytest.importorskip("torch")
    pairs, D, _, _ = world()
    with pytest.raises(InputError, match="'hidden' must be an even number, got 5"):
        learn_similarity(pairs, D, hidden=5)
    with pytest.raises(MeasureError, match="that needs no fitting"):
        learn_adapter(pairs, D, measure="gower")


# -- the re-ranker ---------------------------------------------------------------------------------


def reranker(seed=0, d=8, hidden=5):
    from kiyas.fit import Reranker

    rng = np.random.default_rng(seed)
    return Reranker(rng.standard_normal((hidden, 2 * d)) / 4, rng.standard_normal(hidden), rng.standard_normal(hidden),
                    0.5, 2.0)


def test_the_re_ranker_is_its_formula():
    m = reranker()
    rng = np.random.default_rng(1)
    A, B = rng.standard_normal((3, 8)), rng.standard_normal((6, 8))
    for a in A:
        for i, b in enumerate(B):
            x, y = a / np.sqrt(sum(a * a)), b / np.sqrt(sum(b * b))
            seen = [np.sqrt(8) * p * q for p, q in zip(x, y, strict=True)] + [np.sqrt(8) * abs(p - q)
                                                                            for p, q in zip(x, y, strict=True)]
            hidden = [max(0.0, sum(w * s for w, s in zip(row, seen, strict=True)) + c)
                      for row, c in zip(m.first, m.bias1, strict=True)]
            want = sum(w * h for w, h in zip(m.second, hidden, strict=True)) + 0.5 + 2 * sum(x * y)
            assert m.logits(a, B)[i] == pytest.approx(want, rel=1e-12)
            assert m.logits(b, a[None, :])[0] == pytest.approx(want, rel=1e-12)
    np.testing.assert_array_equal(m.logits(A[0], B)[2:3], m.logits(A[0], B[2:3]))


def test_it_orders_the_exact_best_of_another_measure_and_says_so():
    m = reranker(2)
    rng = np.random.default_rng(3)
    D, Q = rng.standard_normal((50, 8)), rng.standard_normal((4, 8))
    index = kiyas.Index(D, "euclidean", ids=[f"d{i}" for i in range(50)])
    hits, first = m.rerank(index, Q, k=5, depth=12), index.search(Q, k=12)
    for j in range(4):
        rows = [int(name[1:]) for name in first.ids[j]]
        logits = m.logits(Q[j], D[rows])
        assert hits.ids[j].tolist() == [f"d{rows[i]}" for i in np.argsort(-logits, kind="stable")[:5]]
        np.testing.assert_allclose(hits.scores[j], 1 / (1 + np.exp(-np.sort(logits)[::-1][:5])), rtol=1e-12)
    assert hits.path.startswith("network over A∘B and |A−B|, on the exact 12 best of euclidean")
    assert hits.rescored.tolist() == [12] * 4
    assert m.rerank(index, Q[0], k=3, depth=50).ids.shape == (1, 3)
    for wrong, words in (({"k": 13, "depth": 12}, "it orders no more than depth rows"),
                         ({"depth": 51}, "'depth' must be")):
        with pytest.raises(InputError, match=words):
            m.rerank(index, Q, **wrong)
    with pytest.raises(InputError, match="'index' must be of 8 dimensions, got 3"):
        m.rerank(kiyas.Index(np.eye(3)), np.eye(3), depth=3, k=1)


def test_the_re_ranker_in_a_file(tmp_path):
    from kiyas.fit import Reranker

    m = reranker(4)
    m.save(tmp_path / "r.safetensors")
    back = Reranker.load(tmp_path / "r.safetensors")
    D = np.random.default_rng(5).standard_normal((9, 8))
    np.testing.assert_array_equal(back.logits(D[0], D), m.logits(D[0], D))
    with pytest.raises(FileError, match="there is no such file"):
        Reranker.load(tmp_path / "none")
    (tmp_path / "x").write_bytes(b"text")
    with pytest.raises(FileError, match="is no safetensors file of plain arrays"):
        Reranker.load(tmp_path / "x")
    kiyas.Learned(np.eye(2), np.eye(2), np.zeros(2), np.ones(2)).save(tmp_path / "l")
    with pytest.raises(FileError, match="must hold first, bias1, second, bias2, alpha, got alpha"):
        Reranker.load(tmp_path / "l")
    with pytest.raises(InputError, match="'first' must be of shape"):
        Reranker(np.ones((2, 3)), np.ones(2), np.ones(2), 0.0, 1.0)


@pytest.mark.torch
def test_the_trained_re_ranker_is_the_network_that_was_trained():
    torch = pytest.importorskip("torch")
    from kiyas.fit import reranker as reranking

    pairs, D, Q, _ = world(queries=60)
    m = learn_reranker(pairs, D, TrainingPlan(epochs=4, batch=16, rate=0.01, pull=0), hidden=4)
    assert m.trained is not None and len(m.trained.losses) == 4
    model = reranking._Products(8, 4, 1.5, 0)
    with torch.no_grad():
        model.weights["second"].add_(1.0)
    want = model.logits(torch.from_numpy(Q.astype(np.float32)), torch.from_numpy(D)).detach().numpy()
    w = {name: value.detach().numpy().astype(np.float64) for name, value in model.weights.items()}
    same = reranking.Reranker(w["first"], w["bias1"], w["second"], 0.0, float(w["alpha"]))
    np.testing.assert_allclose([same.logits(q, D) for q in Q.astype(np.float32)], want, atol=1e-4)


# -- the command -----------------------------------------------------------------------------------


@pytest.fixture
def space(tmp_path):
    _, D, Q, owners = world(queries=100)
    kiyas.Index(D, ids=[f"d{i}" for i in range(len(D))]).save(tmp_path / "index")
    np.save(tmp_path / "q.npy", Q)
    (tmp_path / "ids.txt").write_text("\n".join(f"q{i}" for i in range(100)))
    (tmp_path / "qrels.txt").write_text("".join(f"q{q} 0 d{d} 1\n" for q, d in enumerate(owners)))
    return tmp_path


@pytest.fixture
def command(capsys, space):
    pytest.importorskip("cyclopts")
    pytest.importorskip("rich")
    from kiyas.cli import main

    def call(*argv, code=0):
        files = ["--queries", space / "q.npy", "--query-ids", space / "ids.txt", "--qrels", space / "qrels.txt"]
        got = main([str(a) for a in ("learn", space / "index", *files, *argv)])
        out, err = capsys.readouterr()
        assert got == code, err or out
        return out if code == 0 else err
    return call


@pytest.mark.torch
@pytest.mark.parametrize("form", [["--form", "network", "--hidden", "8"], ["--form", "symmetric"],
                                  ["--form", "adapter", "--measure", "ndd"], ["--from-map"]], ids=lambda f: f[-1])
def test_the_command_writes_a_measure_to_search_with(form, command, space):
    pytest.importorskip("torch")
    from kiyas.fit import load_measure

    said = json.loads(command(*form, "--epochs", 8, "--rate", 0.02, "-o", space / "m", "--json"))
    assert said["after"] >= said["before"] and said["held_out_queries"] == 20 and said["pairs"] == 100
    assert (said["written"] is None) == (said["epoch"] == 0 and form != ["--from-map"])
    assert not (space / "m.unfinished").exists()
    if said["written"]:
        index = kiyas.Index.load(space / "index").using(load_measure(space / "m"))
        assert index.search(np.load(space / "q.npy")[:3].astype(np.float32), k=5).ids.shape == (3, 5)


@pytest.mark.torch
def test_the_command_can_change_the_index_and_says_what_is_wrong(command, space):
    pytest.importorskip("torch")
    said = " ".join(command("--from-map", "--epochs", 2, "--apply").split())
    assert "now searches by it" in said and "held-out queries" in said
    assert isinstance(kiyas.Index.load(space / "index").measure, kiyas.LinearMap)
    assert "--form must be network, symmetric, adapter, got 'tree'" in command("--form", "tree", code=1)
    assert "--measure is for --form adapter" in command("--measure", "ndd", code=1)
