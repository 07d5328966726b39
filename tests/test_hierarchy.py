"""Hierarchies: reading, embedding against loops, going on after a kill, the published figure, the command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import naive_hierarchy as naive
import numpy as np
import pytest

import kiyas
from kiyas.errors import FileError, InputError
from kiyas.fit import EmbeddingPlan, Hierarchy, embed_hierarchy, read_hierarchy, reconstruction
from kiyas.fit import poincare as module
from kiyas.kernels.hierarchy import descend

MAMMALS = Path(__file__).parents[2] / "shared" / "data" / "hierarchy" / "mammal_closure.tsv"


def tree(fan=3, depth=4):
    """A whole tree as its closure."""
    levels = [["r"]]
    for _ in range(depth - 1):
        levels.append([f"{name}{i}" for name in levels[-1] for i in range(fan)])
    return Hierarchy.of([(name, name[:-1]) for level in levels[1:] for name in level]).closed()


def points(seed, n=6, d=3):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    return X / np.linalg.norm(X, axis=1, keepdims=True) * rng.uniform(0.05, 0.9, (n, 1))


# -- one step --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("space", "distance", "radius"), [("poincare", naive.hyperbolic, 1 - 1e-5),
                                                          ("euclidean", naive.squared, None)])
@pytest.mark.parametrize("d", [1, 2, 5])
def test_a_step_follows_the_gradient(space, distance, radius, d):
    X = points(d, d=d)
    want = naive.step(X.tolist(), 0, [1, 3, 5], distance, 0.01, radius)
    got = X.copy()
    loss = descend(space, got, np.array([0]), np.array([1]), np.array([[3, -1, 5]]), 0.01, 1 - 1e-5)
    assert loss == pytest.approx(naive.loss(X.tolist(), 0, [1, 3, 5], distance), rel=1e-12)
    np.testing.assert_allclose(got, want, atol=1e-9)
    assert (got[[2, 4]] == X[[2, 4]]).all()


def test_a_step_beyond_the_rim_ends_on_the_radius():
    X = points(7)
    descend("poincare", X, np.array([0]), np.array([1]), np.array([[2, 3]]), 1e4, 0.999)
    norms = np.linalg.norm(X[:4], axis=1)
    assert norms.max() <= 0.999 * (1 + 1e-15) and (norms > 0.99).any()


def test_points_in_one_place_stay_finite():
    X = np.full((3, 2), 0.25)
    loss = descend("poincare", X, np.array([0]), np.array([1]), np.array([[2]]), 0.1, 1 - 1e-5)
    assert loss == pytest.approx(np.log(2)) and np.isfinite(X).all()


# -- whole runs ------------------------------------------------------------------------------------


def test_a_tree_is_given_back():
    h = tree()
    X = embed_hierarchy(h, EmbeddingPlan(dims=5, epochs=200, rate=0.1, negatives=20))
    found = reconstruction(X, h)
    assert found.mean_rank < 1.1 and found.map > 0.97
    # General terms near the centre, special ones near the rim.
    norms = np.linalg.norm(X, axis=1)
    lengths = np.array([len(name) for name in h.names])
    means = [norms[lengths == k].mean() for k in (1, 2, 3, 4)]
    assert means == sorted(means)
    found = kiyas.Index(X, measure="poincare", ids=h.names).neighbours(["r012"], k=3)
    assert "r01" in found.ids[0].tolist()


def test_a_seed_gives_the_same_again_and_another_does_not():
    h, plan = tree(2, 3), EmbeddingPlan(dims=2, epochs=5)
    X = embed_hierarchy(h, plan)
    np.testing.assert_array_equal(embed_hierarchy(h, plan), X)
    assert not np.array_equal(embed_hierarchy(h, EmbeddingPlan(dims=2, epochs=5, seed=1)), X)


def test_a_table_of_pairs_or_a_list_makes_no_difference(monkeypatch):
    h, plan = tree(3, 3), EmbeddingPlan(dims=2, epochs=4)
    X = embed_hierarchy(h, plan)
    monkeypatch.setattr(module, "_LARGEST_TABLE", 2)
    np.testing.assert_array_equal(embed_hierarchy(h, plan), X)


def test_reconstruction_is_that_of_the_loops():
    h = tree(3, 3)
    rng = np.random.default_rng(2)
    for kind in range(3):
        X = points(kind, len(h), 2)
        if kind == 2:
            X = rng.integers(-1, 2, (len(h), 2)) / 2.0  # ties
        found = reconstruction(X, h)
        assert (found.mean_rank, found.map) == pytest.approx(naive.reconstruction(
            X.tolist(), h.pairs.tolist(), naive.hyperbolic), rel=1e-12)


def test_progress_counts_epochs():
    seen = []
    embed_hierarchy(tree(2, 2), EmbeddingPlan(epochs=3), progress=lambda *p: seen.append(p))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_a_rate_that_is_too_large_is_said():
    with pytest.raises(InputError, match=r"grew without bound in epoch .*give a smaller rate than 1e\+200"):
        embed_hierarchy(tree(2, 3), EmbeddingPlan(space="euclidean", rate=1e200, burn_in=0))


# -- going on --------------------------------------------------------------------------------------


class Stop(Exception):
    pass


def test_a_run_that_was_stopped_goes_on_to_the_same_vectors(tmp_path):
    h, plan = tree(3, 3), EmbeddingPlan(dims=3, epochs=12)
    want = embed_hierarchy(h, plan)

    def stop(done, total):
        if done == 7:
            raise Stop

    with pytest.raises(Stop):
        embed_hierarchy(h, plan, progress=stop, checkpoint=tmp_path / "run", every=0)
    seen = []
    got = embed_hierarchy(h, plan, progress=lambda *p: seen.append(p), checkpoint=tmp_path / "run", every=0)
    assert seen[0] == (7, 12)  # the epoch that was stopped is done again
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(embed_hierarchy(h, plan, checkpoint=tmp_path / "run"), want)  # nothing left to do


def test_a_run_that_was_killed_goes_on_to_the_same_vectors(tmp_path):
    (tmp_path / "t.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in ((i, (i - 1) // 2) for i in range(1, 60))))
    script = ("import sys; from kiyas.fit import *; h = read_hierarchy(sys.argv[1]).closed();"
              "embed_hierarchy(h, EmbeddingPlan(dims=2, epochs=100000), checkpoint=sys.argv[2], every=0,"
              "progress=lambda *p: print(flush=True))")
    with subprocess.Popen([sys.executable, "-c", script, tmp_path / "t.tsv", tmp_path / "run"],
                          stdout=subprocess.PIPE) as process:
        for _ in range(6):
            process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
    manifest = json.loads((tmp_path / "run" / "checkpoint.json").read_text())
    done = manifest["state"]["epoch"]
    assert 4 <= done < 100000
    h = read_hierarchy(tmp_path / "t.tsv").closed()
    plan = EmbeddingPlan(dims=2, epochs=100000)

    def until(end):
        def stop(n, total):
            if n == end:
                raise Stop
        return stop

    # Both runs are ended at the same epoch, as a whole one would be long.
    for directory in ("run", "whole"):
        with pytest.raises(Stop):
            embed_hierarchy(h, plan, progress=until(done + 9), checkpoint=tmp_path / directory, every=0)
    ends = [kiyas.fit.checkpoint.read(tmp_path / d, manifest["task"]) for d in ("run", "whole")]
    assert ends[0][0] == ends[1][0] and ends[0][0]["epoch"] == done + 8
    np.testing.assert_array_equal(ends[0][1]["points"], ends[1][1]["points"])


def test_checkpoints_of_other_runs_are_refused(tmp_path):
    h = tree(2, 2)
    embed_hierarchy(h, EmbeddingPlan(epochs=2), checkpoint=tmp_path / "run")
    with pytest.raises(FileError, match=r"was begun with rate=0\.1, this run has 0\.2; give another directory"):
        embed_hierarchy(h, EmbeddingPlan(epochs=2, rate=0.2), checkpoint=tmp_path / "run")
    with pytest.raises(FileError, match="was begun with pairs="):
        embed_hierarchy(Hierarchy(h.names, h.pairs[:1]), EmbeddingPlan(epochs=2), checkpoint=tmp_path / "run")
    data = bytearray((tmp_path / "run" / "state.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "run" / "state.safetensors").write_bytes(data)
    with pytest.raises(FileError, match="is altered"):
        embed_hierarchy(h, EmbeddingPlan(epochs=2), checkpoint=tmp_path / "run")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("keep me")
    with pytest.raises(FileError, match="exists and is no kiyas checkpoint"):
        embed_hierarchy(h, EmbeddingPlan(epochs=2), checkpoint=tmp_path / "mine")
    for name in ("run", "mine", "nothing"):
        kiyas.fit.checkpoint.remove(tmp_path / name)
    assert [p.name for p in tmp_path.iterdir()] == ["mine"] and (tmp_path / "mine" / "letter.txt").exists()


# -- reading ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "words"), [
    ("a\tb\n\nb\n", "line 3 must be two terms with a tab between them, got 'b'"),
    ("a\tb\tc\n", "line 1 must be two terms"),
    ("a\t \n", "line 1 must be two terms"),
    ("a\tb\nb\tb\n", "line 2: 'b' is above itself; leave such lines out"),
    ("a\tb\nc\tb\n a\tb\n", "line 3: the same pair is in line 1 already"),
    ("\n", "holds no pair"),
])
def test_files_that_are_no_hierarchy(text, words, tmp_path):
    (tmp_path / "h.tsv").write_text(text)
    with pytest.raises(FileError, match=words):
        read_hierarchy(tmp_path / "h.tsv")


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(FileError, match="there is no such file"):
        read_hierarchy(tmp_path / "none.tsv")
    (tmp_path / "h.tsv").write_bytes(b"\xff\xfe\n")
    with pytest.raises(FileError, match="cannot be read as UTF-8 text"):
        read_hierarchy(tmp_path / "h.tsv")


def test_the_closure():
    h = Hierarchy.of([("a", "b"), ("b", "c"), ("a", "d"), ("d", "c")]).closed()
    assert sorted((h.names[a], h.names[b]) for a, b in h.pairs.tolist()) == [("a", "b"), ("a", "c"), ("a", "d"),
                                                                             ("b", "c"), ("d", "c")]
    with pytest.raises(InputError, match="'a' is above itself over other terms"):
        Hierarchy.of([("a", "b"), ("b", "c"), ("c", "a")]).closed()


def test_bad_arguments():
    with pytest.raises(InputError, match="'b' is above itself; leave that pair out"):
        Hierarchy.of([("b", "b")])
    with pytest.raises(InputError, match="'a' is below 'b' twice"):
        Hierarchy.of([("a", "b"), ("a", "b")])
    with pytest.raises(InputError, match="there is no pair"):
        Hierarchy.of([])
    with pytest.raises(InputError, match="EmbeddingPlan: 'space' must be 'poincare' or 'euclidean', got 'ball'"):
        EmbeddingPlan(space="ball")
    with pytest.raises(InputError, match="EmbeddingPlan: 'dims' must be an integer from 1"):
        EmbeddingPlan(dims=0)
    with pytest.raises(InputError, match="EmbeddingPlan: 'rate' must be a positive number"):
        EmbeddingPlan(rate=0)
    with pytest.raises(InputError, match="reconstruction: 'vectors' must be of 2 rows, one for each term, got 3"):
        reconstruction(points(1, 3), Hierarchy.of([("a", "b")]))


# -- the published figure --------------------------------------------------------------------------


@pytest.mark.skipif(not MAMMALS.exists(), reason="needs the WordNet mammals of ../shared/data/hierarchy")
def test_mammals_come_near_the_published_figure():
    h = read_hierarchy(MAMMALS)
    assert (len(h), len(h.pairs)) == (1181, 6541)
    # Half of the epochs, for the time it takes; docs/hyperbolic.md has the whole run.
    found = reconstruction(embed_hierarchy(h, EmbeddingPlan(dims=5, epochs=150, burn_in=10)), h)
    assert found.mean_rank <= 1.5 and found.map >= 0.90, found


# -- the command -----------------------------------------------------------------------------------


@pytest.fixture
def command(capsys):
    pytest.importorskip("cyclopts")
    pytest.importorskip("rich")
    from kiyas.cli import main

    def call(*argv, code=0):
        got = main([str(a) for a in argv])
        out, err = capsys.readouterr()
        assert got == code, err or out
        return out if code == 0 else err
    return call


@pytest.fixture
def pairs(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("cat\tmammal\ndog\tmammal\nmammal\tanimal\nbird\tanimal\nblack bear\tmammal\n")
    return path


def test_the_command_makes_an_index_to_explore(command, pairs, tmp_path):
    out = command("hierarchy", pairs, "-o", tmp_path / "i", "--dims", 3, "--closure", "--negatives", 3, "--rate", 0.2)
    assert "6 terms in 3 dimensions of the Poincaré ball" in out and "8 pairs: mean rank" in out
    index = kiyas.Index.load(tmp_path / "i")
    assert str(index.measure) == "poincare" and index.ids.tolist()[:2] == ["cat", "mammal"]
    assert "mammal" in command("search", tmp_path / "i", "--like", "cat", "-k", 3)
    assert not (tmp_path / "i.unfinished").exists()
    assert "holds an index already" in command("hierarchy", pairs, "-o", tmp_path / "i", code=1)
    facts = json.loads(command("hierarchy", pairs, "-o", tmp_path / "i", "--overwrite", "--json", "--epochs", 3))
    assert (facts["terms"], facts["pairs"], facts["dims"], facts["html"]) == (6, 5, 5, None)
    assert facts["mean_rank"] >= 1 >= facts["map"] > 0 and facts["largest_norm"] < 1


def test_the_command_draws_the_disk(command, pairs, tmp_path):
    pytest.importorskip("altair")
    pytest.importorskip("vl_convert")
    command("hierarchy", pairs, "-o", tmp_path / "i", "--dims", 2, "--closure", "--html", tmp_path / "d" / "disk.html")
    text = (tmp_path / "d" / "disk.html").read_text()
    assert "<svg" in text and "black bear" in text and "src=" not in text and "href=\"http" not in text
    assert "give --dims 2" in command("hierarchy", pairs, "-o", tmp_path / "j", "--html", "x.html", code=1)


def test_a_disk_of_too_many_terms_is_refused_before_the_work(command, pairs, tmp_path, monkeypatch):
    pytest.importorskip("altair")
    pytest.importorskip("vl_convert")
    monkeypatch.setattr("kiyas.cli.disk._MOST_TERMS", 3)
    assert "shows nothing; it is drawn for up to 3" in command(
        "hierarchy", pairs, "-o", tmp_path / "ball", "--dims", 2, "--html", tmp_path / "disk.html", code=1)
    assert not (tmp_path / "ball").exists() and not (tmp_path / "ball.unfinished").exists()


def test_the_command_goes_on_where_it_was_stopped(command, pairs, tmp_path, monkeypatch):
    whole = command("hierarchy", pairs, "-o", tmp_path / "a", "--epochs", 9)
    calls = []
    real = module._Run.pass_

    def interrupted(self, epoch):
        calls.append(epoch)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return real(self, epoch)

    monkeypatch.setattr(module._Run, "pass_", interrupted)
    clock = iter(range(0, 10_000, 11))
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    command("hierarchy", pairs, "-o", tmp_path / "b", "--epochs", 9, code=130)
    assert (tmp_path / "b.unfinished").exists() and not (tmp_path / "b").exists()
    command("hierarchy", pairs, "-o", tmp_path / "b", "--epochs", 9)
    assert calls == [0, 1, 2, 3, 4, 5, 5, 6, 7, 8]
    first, second = (kiyas.Index.load(tmp_path / name) for name in "ab")
    np.testing.assert_array_equal(first._rows.base, second._rows.base)
    assert whole


def test_ways_in_the_disk():
    disk = pytest.importorskip("kiyas.cli.disk")
    a, b = 0.3 + 0.4j, -0.5 + 0.1j
    way = disk.geodesic(a, b)
    assert way[0] == pytest.approx(a) and way[-1] == pytest.approx(b)
    # The way is the shortest: its parts add up to the distance of its ends.
    parts = sum(naive.hyperbolic((p.real, p.imag), (q.real, q.imag)) for p, q in pairwise(way))
    assert parts == pytest.approx(naive.hyperbolic((a.real, a.imag), (b.real, b.imag)), rel=1e-3)
    assert disk.geodesic(a, a).tolist() == [a] * 17
    h = Hierarchy.of([("a", "b"), ("b", "c")]).closed()
    assert disk.direct_pairs(h) == [(0, 1), (1, 2)]
