"""Training through PyTorch: what comes out is what was trained, a stopped run ends as one that was not."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import kiyas
from kiyas.encode import encoder
from kiyas.errors import FileError, InputError, MeasureError
from kiyas.recurrent import load
from kiyas.recurrent.layers import Bidirectional
from kiyas.recurrent.training import (
    LanguageModel,
    Schedule,
    SentenceEncoder,
    loop,
    networks,
    sentences,
    train_language_model,
    train_sentence_encoder,
)
from kiyas.recurrent.training import scoring as scoring_module

pytestmark = pytest.mark.torch

SENTENCES = [f"the {a} {b} {c} the {d}" for a in ("small", "old") for b in ("cat", "dog", "bird")
             for c in ("saw", "heard") for d in ("house", "river", "road")]
TEXT = "\n".join(SENTENCES * 3)
SMALL = LanguageModel(level="character", hidden=12, layers=2, window=8, dropout=0.2)
QUICK = Schedule(epochs=2, batch=4, checkpoint_every=5)
PAIRS = [(f"{a} {b}", f"a {b} that is {a}, number {k}") for k, (a, b) in enumerate(
    (a, b) for a in ("red", "blue", "tall", "slow", "warm", "loud") for b in ("car", "tree", "song", "house", "wind"))]
TINY = SentenceEncoder(hidden=6, embedding=5, dropout=0.1, validation=0.2)


@pytest.fixture(scope="module")
def torch():
    found = pytest.importorskip("torch")
    found.set_num_threads(1)
    return found


def arrays(model):
    parts = [part for layer in model.layers for part in ((layer.forward, layer.backward)
                                                         if isinstance(layer, Bidirectional) else (layer,))]
    return [value for part in parts for name in sorted(vars(part))
            if isinstance(value := getattr(part, name), np.ndarray)]


def assert_same_weights(one, other):
    ours, theirs = arrays(one), arrays(other)
    assert len(ours) == len(theirs) > 3
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("shape", [
    SMALL, LanguageModel(hidden=10, embedding=7, layers=1, window=5, vocabulary=12),
    LanguageModel(hidden=9, layers=3, tied=True, window=6, lower=True)], ids=["character", "word", "tied"])
def test_the_runtime_gives_what_was_trained(torch, shape, tmp_path, monkeypatch):
    networks_seen = []
    build = networks.stacked

    def stacked(*given, **options):
        networks_seen.append(build(*given, **options))
        return networks_seen[-1]

    monkeypatch.setattr(networks, "stacked", stacked)
    done = train_language_model(TEXT, shape, QUICK)
    beside = done.save(tmp_path / "model.safetensors")
    assert beside.name == "model.tokenizer.json"
    model = load(tmp_path / "model.safetensors")
    assert_same_weights(done.model, model)
    ids = np.array(done.tokenizer.texts_to_sequences([TEXT])[0])[None, :40]
    names = [layer.name for layer in model.layers]
    assert names[0] == "embedding" and names[-1] == "softmax" and len(names) == shape.layers + 2
    with torch.no_grad():
        x = torch.tensor(np.array(model.layers[0].table))[torch.tensor(ids)]
        y = networks_seen[0](x)[0] @ torch.tensor(np.array(model.layers[-1].weights)).T
        wanted = torch.softmax(y + torch.tensor(np.array(model.layers[-1].bias)), -1).numpy()
    found = model.predict(ids)
    assert found.shape == (1, 40, model.layers[0].table.shape[0])
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    if shape.tied:
        np.testing.assert_array_equal(model.layers[0].table, model.layers[-1].weights)
    if shape.level == "word" and shape.vocabulary == 12:
        assert found.shape[2] == 12


def test_the_perplexity_is_that_of_the_runtime(torch):
    done = train_language_model(TEXT, SMALL, QUICK)
    held_out = sentences_of(TEXT, SMALL.validation)
    ids = np.array(done.tokenizer.texts_to_sequences([held_out])[0])
    from kiyas.recurrent.training.streams import streams

    rows = streams(ids, QUICK.batch)
    p = np.take_along_axis(done.model.predict(rows[:, :-1]), rows[:, 1:, None], axis=2)[..., 0]
    surprise = -np.log(p[rows[:, 1:] != 0].astype(np.float64)).mean()
    assert np.exp(surprise) == pytest.approx(done.validation["perplexity"], rel=1e-4)


def sentences_of(text, share):
    from kiyas.recurrent.training.streams import split

    return split(text, share)[1]


def test_it_learns(torch):
    done = train_language_model(TEXT, SMALL, Schedule(epochs=6, batch=4, rate=1e-2))
    assert len(done.tokenizer.word_index) >= 20
    assert done.validation["perplexity"] < 4
    assert done.epochs[-1].loss < done.epochs[0].loss


def test_the_same_seed_gives_the_same_weights_and_another_gives_others(torch):
    one, two = train_language_model(TEXT, SMALL, QUICK), train_language_model(TEXT, SMALL, QUICK)
    assert_same_weights(one.model, two.model)
    assert one.epochs == two.epochs
    other = train_language_model(TEXT, SMALL, Schedule(epochs=2, batch=4, seed=1))
    assert not np.array_equal(arrays(one.model)[0], arrays(other.model)[0])


def test_training_leaves_the_random_numbers_of_others_alone(torch):
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    train_language_model(TEXT, SMALL, QUICK)
    assert torch.equal(torch.rand(3), wanted)


def stopping_at(step):
    """Ctrl-C at a step."""

    def progress(done, _total):
        if done == step:
            os.kill(os.getpid(), signal.SIGINT)

    return progress


@pytest.mark.parametrize("step", [3, 23, 40])
def test_a_run_that_was_stopped_ends_as_one_that_was_not(torch, tmp_path, step):
    whole = train_language_model(TEXT, SMALL, QUICK)
    checkpoint = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train_language_model(TEXT, SMALL, QUICK, checkpoint=checkpoint, progress=stopping_at(step))
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    resumed = train_language_model(TEXT, SMALL, QUICK, checkpoint=checkpoint, resume=True)
    assert_same_weights(whole.model, resumed.model)
    assert whole.epochs == resumed.epochs


@pytest.mark.parametrize("measure", ["cosine", "mahalanobis(shrinkage=0.5)"])
def test_a_stopped_encoder_ends_as_one_that_was_not(torch, tmp_path, measure):
    schedule = Schedule(epochs=3, batch=6, checkpoint_every=100)
    whole = train_sentence_encoder(PAIRS, measure, TINY, schedule)
    with pytest.raises(KeyboardInterrupt):
        train_sentence_encoder(PAIRS, measure, TINY, schedule, checkpoint=tmp_path / "run", progress=stopping_at(6))
    resumed = train_sentence_encoder(PAIRS, measure, TINY, schedule, checkpoint=tmp_path / "run", resume=True)
    assert_same_weights(whole.model, resumed.model)
    assert whole.epochs == resumed.epochs


def test_a_killed_run_is_resumed(torch, tmp_path):
    """Killed without a chance to tidy up: the last checkpoint is whole, and the end is the same."""
    code = textwrap.dedent("""
        import os, signal, sys, torch
        from test_training import TEXT, SMALL, QUICK, train_language_model
        torch.set_num_threads(1)
        kill = lambda done, total: done == 13 and os.kill(os.getpid(), signal.SIGKILL)
        train_language_model(TEXT, SMALL, QUICK, checkpoint=sys.argv[1], progress=kill)
    """)
    folders = [str(Path(__file__).parent), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    paths = os.pathsep.join(str(Path(folder).resolve()) for folder in folders)
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "run")], check=False, timeout=120,
                          env={**os.environ, "PYTHONPATH": paths})
    assert done.returncode == -signal.SIGKILL
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    resumed = train_language_model(TEXT, SMALL, QUICK, checkpoint=tmp_path / "run", resume=True)
    assert_same_weights(train_language_model(TEXT, SMALL, QUICK).model, resumed.model)


def test_checkpoints_in_the_way_of_others_and_damaged_are_refused(torch, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(InputError, match="to resume, name the checkpoint"):
        train_language_model(TEXT, SMALL, QUICK, resume=True)
    with pytest.raises(FileError, match="there is no checkpoint to resume from"):
        train_language_model(TEXT, SMALL, QUICK, checkpoint=run, resume=True)
    train_language_model(TEXT, SMALL, QUICK, checkpoint=run)
    with pytest.raises(FileError, match="a run that did not end; resume it, or remove the file"):
        train_language_model(TEXT, SMALL, QUICK, checkpoint=run)
    with pytest.raises(FileError, match=r"belongs to another run, hidden was 12 there and is 13 now"):
        train_language_model(TEXT, LanguageModel(level="character", hidden=13, window=8), QUICK, checkpoint=run,
                             resume=True)
    with pytest.raises(FileError, match="belongs to another run, text was"):
        train_language_model(TEXT + "!", SMALL, QUICK, checkpoint=run, resume=True)
    # More epochs are the same run.
    more = train_language_model(TEXT, SMALL, Schedule(epochs=3, batch=4), checkpoint=run, resume=True)
    assert len(more.epochs) == 3
    data = run.read_bytes()
    for bad in (data[: len(data) // 2], b"", b"no checkpoint"):
        run.write_bytes(bad)
        with pytest.raises(FileError, match="is no checkpoint, or is damaged"):
            train_language_model(TEXT, SMALL, QUICK, checkpoint=run, resume=True)
    torch.save({"format": "another"}, run)
    with pytest.raises(FileError, match="is not a kiyas training checkpoint"):
        train_language_model(TEXT, SMALL, QUICK, checkpoint=run, resume=True)
    torch.save({"format": "kiyas training checkpoint", "version": 99}, run)
    with pytest.raises(FileError, match="has format version 99, this kiyas reads up to 1; upgrade kiyas"):
        train_language_model(TEXT, SMALL, QUICK, checkpoint=run, resume=True)


def test_a_checkpoint_runs_nothing(torch, tmp_path):
    import pickle

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "made"), "w"))

    (tmp_path / "run").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(FileError, match="is no checkpoint, or is damaged"):
        train_language_model(TEXT, SMALL, QUICK, checkpoint=tmp_path / "run", resume=True)
    assert not (tmp_path / "made").exists()


def test_training_stops_when_validation_does(torch):
    done = train_language_model(TEXT, SMALL, Schedule(epochs=30, batch=4, rate=0.3, patience=2))
    best = max(e.number for e in done.epochs if e.best)
    assert len(done.epochs) == best + 2 < 30
    assert done.validation["perplexity"] == pytest.approx(np.exp(-max(e.score for e in done.epochs)))


def test_a_loss_that_is_no_number_is_named(torch):
    class Task(loop.Task):
        facts = {"task": "none"}  # noqa: RUF012

        def __init__(self):
            self.network = torch.nn.Linear(1, 1)

        def steps(self):
            return 3

        def begin(self, epoch):
            pass

        def loss(self, step):
            return self.network(torch.ones(1, 1)).sum() * (float("nan") if step == 1 else 1.0), 1

        def score(self):
            return 0.0

    task = Task()
    with pytest.raises(InputError, match=r"training: loss nan with a gradient of norm nan in epoch 1, step 2; lower "
                                         r"the rate \(now 0.002\), and look for pairs of two equal texts"):
        loop.fit(task, Schedule())
    assert torch.isfinite(task.network.weight).all()


@pytest.mark.parametrize("device", ["nonsense", "cuda"])
def test_a_device_that_is_not_there_is_named(torch, device):
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("there is one here")
    with pytest.raises(InputError, match=f"Schedule: 'device' must be one that PyTorch has here, got '{device}'"):
        train_language_model(TEXT, SMALL, Schedule(device=device))


def test_too_little_text_is_named(torch):
    with pytest.raises(InputError, match="long enough for two tokens of validation, got 0 in a text of 4 characters"):
        train_language_model("a  b", LanguageModel(hidden=2, layers=1), QUICK)


# -- sentence encoders -------------------------------------------------------------------------------------------------

MEASURES = ["cosine", "dot", "euclidean", "ndd", "poincare", "manhattan", "gower", "exponential(trim=0.1)",
            "mahalanobis(shrinkage=0.5)"]


@pytest.mark.parametrize("measure", MEASURES)
def test_an_encoder_is_trained_under_any_measure(torch, measure, tmp_path):
    done = train_sentence_encoder(PAIRS, measure, TINY, Schedule(epochs=2, batch=8))
    assert 0 < done.validation["mrr"] <= 1
    done.save(tmp_path / "m.safetensors")
    model = load(tmp_path / "m.safetensors")
    assert model.source["measure"] == str(kiyas.measure(measure))
    vectors = encode(model, done.tokenizer, [text for _, text in PAIRS])
    assert vectors.shape == (len(PAIRS), 12)
    # The index that is meant takes them as they are.
    hits = kiyas.Index(vectors, measure=measure).search(vectors[:3], k=2)
    assert hits.ids.shape == (3, 2)


def encode(model, tokenizer, texts):
    ids = tokenizer.texts_to_sequences(texts)
    padded = np.zeros((len(ids), max(map(len, ids))), np.int64)
    for row, one in enumerate(ids):
        padded[row, : len(one)] = one
    return model.predict(padded)


@pytest.mark.parametrize("shape", [
    TINY, SentenceEncoder(hidden=6, embedding=5, pooling="last", layers=2),
    SentenceEncoder(hidden=6, embedding=5, bidirectional=False, pooling="last", level="character"),
    SentenceEncoder(hidden=6, embedding=5, dims=4, bidirectional=False, layers=2)],
    ids=["mean", "last", "character", "dims"])
@pytest.mark.parametrize("measure", ["cosine", "poincare"])
def test_the_runtime_gives_the_vectors_that_were_trained(torch, shape, measure, monkeypatch, tmp_path):
    tasks = []
    build = sentences._Sentences

    def remember(*given):
        tasks.append(build(*given))
        return tasks[-1]

    monkeypatch.setattr(sentences, "_Sentences", remember)
    done = train_sentence_encoder(PAIRS, measure, shape, Schedule(epochs=1, batch=8))
    wanted = tasks[0]._vectors(1, range(len(PAIRS))).numpy()
    texts = [text for _, text in PAIRS]
    np.testing.assert_allclose(encode(done.model, done.tokenizer, texts), wanted, atol=1e-5)
    # And as the encoder of an index, from its files.
    done.save(tmp_path / "e.safetensors")
    used = encoder(f"recurrent:{tmp_path / 'e.safetensors'}")
    assert used.dims == wanted.shape[1]
    np.testing.assert_allclose(used.encode(texts), wanted, atol=1e-5)


def test_training_brings_pairs_together(torch):
    many = [(f"{a} {b}", f"{b}{b} {a}{a}") for a in "abcdefgh" for b in "klmnopqr"]  # not a word in common
    done = train_sentence_encoder(many, "ndd", SentenceEncoder(hidden=16, embedding=16, dropout=0, validation=0.2),
                                  Schedule(epochs=12, batch=16, rate=1e-2, patience=12))
    assert done.epochs[0].score < done.validation["mrr"]
    assert done.validation["mrr"] > 0.6  # by chance, of 13 candidates: about 0.24


def test_a_measure_without_a_gradient_is_named(torch):
    mine = kiyas.user_measure(lambda p, a2, b2: np.sqrt(a2 + b2) + p, name="mine", increasing=True)
    with pytest.raises(MeasureError, match=r"mine: lets no gradient through .*so nothing can be trained under it"):
        train_sentence_encoder(PAIRS, mine, TINY, QUICK)
    pair = kiyas.user_measure(lambda x, y: -np.abs(x - y).sum(-1), name="pair")
    with pytest.raises(MeasureError, match=r"pair: lets no gradient through, so nothing can be trained under it"):
        train_sentence_encoder(PAIRS, pair, TINY, QUICK)


def test_measures_of_ones_own_are_trained_under(torch):
    inner = kiyas.user_measure(lambda p, a2, b2: p / (1 + a2 * b2) ** 0.5, name="inner", increasing=True)
    coordinate = kiyas.user_measure(lambda delta: 1 / (1 + delta), name="cauchy")
    for mine in (inner, coordinate):
        A, B = (torch.tensor(np.random.default_rng(k).normal(0, 1, (3, 4)), requires_grad=True) for k in (0, 1))
        found = scoring_module.scores(torch, mine, A, B)
        np.testing.assert_allclose(found.detach().numpy(), mine.pairwise(A.detach().numpy(), B.detach().numpy()))
        assert train_sentence_encoder(PAIRS, mine, TINY, Schedule(epochs=1)).validation["mrr"] > 0


@pytest.mark.parametrize("name", ["linear_map", "mahalanobis", "learned", "cosine"])
def test_scores_are_those_of_the_measure(torch, name):
    rng = np.random.default_rng(0)
    A, B = rng.normal(0, 1, (4, 5)), rng.normal(0, 1, (3, 5))
    measure = {
        "linear_map": lambda: kiyas.LinearMap(rng.normal(0, 1, (2, 5)), kiyas.measure("cosine"), np.ones(5)),
        "mahalanobis": lambda: kiyas.measure("mahalanobis").fit(rng.normal(0, 1, (50, 5))),
        "learned": lambda: kiyas.Learned(rng.normal(0, 1, (6, 5)), rng.normal(0, 1, (6, 5)), np.ones(6), np.ones(6),
                                         0.1, 0.5),
        "cosine": lambda: kiyas.measure("cosine")}[name]()
    found = scoring_module.scores(torch, measure, torch.tensor(A, requires_grad=True), torch.tensor(B))
    assert found.requires_grad
    wanted = measure.raw_pairwise(A, B) if name == "learned" else measure.pairwise(A, B)
    np.testing.assert_allclose(found.detach().numpy(), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("pairs", "shape", "words"), [
    ([*PAIRS, ("...", "nothing to read there")], TINY,
     "pairs' must be texts with words in them, got a query without any at 30 ('...')"),
    ([*PAIRS, ("long", "word " * 300)], TINY, "texts of at most 256 tokens, got 300 in the text at 30"),
    (PAIRS[:3], TINY, "at least two for training and two for validation that share no text, got 1 and 2 of 3"),
    ([*PAIRS, ("one",)], TINY, "pairs of two texts, got \"('one',)\" at 30"),
])
def test_bad_pairs_are_named(torch, pairs, shape, words):
    with pytest.raises(InputError) as error:
        train_sentence_encoder(pairs, "cosine", shape, QUICK)
    assert words in str(error.value)


def test_one_pair_at_a_time_teaches_nothing(torch):
    with pytest.raises(InputError, match=r"'schedule.batch' must be 2 or more pairs, .*, got 1"):
        train_sentence_encoder(PAIRS, "cosine", TINY, Schedule(epochs=1, batch=1))


def test_another_measure_is_another_run(torch, tmp_path):
    maps = [kiyas.LinearMap(np.random.default_rng(k).normal(0, 1, (4, 12)), kiyas.measure("dot")) for k in (0, 1)]
    train_sentence_encoder(PAIRS, maps[0], TINY, QUICK, checkpoint=tmp_path / "run")
    with pytest.raises(FileError, match="belongs to another run, measure's arrays was"):
        train_sentence_encoder(PAIRS, maps[1], TINY, QUICK, checkpoint=tmp_path / "run", resume=True)


def test_a_long_text_may_be_cut(torch):
    shape = SentenceEncoder(hidden=4, embedding=4, longest=5, overlong="cut")
    done = train_sentence_encoder([*PAIRS, ("long", "word " * 300)], "cosine", shape, Schedule(epochs=1, batch=8))
    assert done.validation["mrr"] > 0


def test_another_thread_may_train(torch):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(train_language_model, TEXT, SMALL, QUICK).result()
    assert_same_weights(done.model, train_language_model(TEXT, SMALL, QUICK).model)
