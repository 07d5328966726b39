"""What training reads, before PyTorch sees any of it: settings, streams of a text, pairs held out and batched."""

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiyas.errors import InputError, MissingExtraError
from kiyas.recurrent.training import LanguageModel, Schedule, SentenceEncoder, loop, pairs, streams


@pytest.mark.parametrize(("make", "words"), [
    (lambda: Schedule(epochs=0), "Schedule: 'epochs' must be an integer from 1"),
    (lambda: Schedule(rate=0), "Schedule: 'rate' must be a positive number, got 0"),
    (lambda: Schedule(clip=math.inf), "Schedule: 'clip' must be a positive number, got inf"),
    (lambda: Schedule(seed=-1), "Schedule: 'seed' must be an integer from 0"),
    (lambda: Schedule(device=0), "Schedule: 'device' must be a name such as 'cpu' or 'cuda', got 0"),
    (lambda: LanguageModel("letter"), "LanguageModel: 'level' must be 'word' or 'character', got 'letter'"),
    (lambda: LanguageModel(hidden=0), "LanguageModel: 'hidden' must be an integer from 1"),
    (lambda: LanguageModel(embedding=0), "LanguageModel: 'embedding' must be an integer from 1"),
    (lambda: LanguageModel(dropout=1.0), "LanguageModel: 'dropout' must be a share from 0 to below 1, got 1.0"),
    (lambda: LanguageModel(validation=0), "LanguageModel: 'validation' must be a share between 0 and 1, got 0"),
    (lambda: LanguageModel(hidden=8, embedding=4, tied=True),
     "LanguageModel: 'embedding' must be 8, as 'hidden', to share its table with the softmax, got 4"),
    (lambda: SentenceEncoder(pooling="max"), "SentenceEncoder: 'pooling' must be 'mean' or 'last', got 'max'"),
    (lambda: SentenceEncoder(overlong="drop"), "SentenceEncoder: 'overlong' must be 'raise' or 'cut', got 'drop'"),
    (lambda: SentenceEncoder(dims=0), "SentenceEncoder: 'dims' must be an integer from 1"),
])
def test_settings_out_of_range_are_named(make, words):
    with pytest.raises(InputError) as error:
        make()
    assert words in str(error.value)


@given(st.text(max_size=60), st.floats(0.05, 0.9))
def test_a_text_is_split_without_loss(text, share):
    train, held_out = streams.split(text, share)
    assert train + held_out == text
    assert len(held_out) >= round(len(text) * share)


@given(st.integers(2, 200), st.integers(1, 9), st.integers(1, 20))
def test_every_token_is_predicted_once_from_the_one_before(tokens, batch, window):
    ids = np.arange(1, tokens + 1)
    rows = streams.streams(ids, batch)
    assert rows.shape[0] <= batch
    seen = []
    for row in rows:
        for start, stop in streams.windows(rows.shape[1], window):
            assert 0 < stop - start <= window
            seen += zip(row[start:stop].tolist(), row[start + 1:stop + 1].tolist(), strict=True)
    assert [(a, b) for a, b in seen if b] == [(k, k + 1) for k in range(1, tokens)]


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(20, 32)), min_size=4, max_size=30), st.integers(0, 3))
def test_a_held_out_pair_shares_no_text_with_one_that_is_trained_on(numbers, seed):
    given_ = [(str(a), str(b)) for a, b in numbers]
    try:
        train, held_out = pairs.hold_out(given_, 0.3, seed)
    except InputError as error:
        assert "at least two for training and two for validation that share no text" in str(error)
        return
    assert sorted(train + held_out) == list(range(len(given_)))
    assert not {t for row in train for t in given_[row]} & {t for row in held_out for t in given_[row]}
    assert pairs.hold_out(given_, 0.3, seed) == (train, held_out)


def test_an_epoch_has_every_pair_once_in_an_order_of_its_own():
    first, again, other = (pairs.batches(23, 5, 1, epoch) for epoch in (0, 0, 1))
    assert [b.tolist() for b in first] == [b.tolist() for b in again] != [b.tolist() for b in other]
    for epoch in (first, other):
        assert sorted(np.concatenate(epoch).tolist()) == list(range(23))
        assert {len(b) for b in epoch} <= {4, 5}


def test_pairs_that_share_a_text_are_no_negatives_of_each_other():
    assert pairs.related(["a", "a", "b"], ["x", "y", "y"]).tolist() == \
        [[False, True, False], [True, False, True], [False, True, False]]


def naive_mrr(scores, queries, texts):
    """In loops: the place of the best right text in a list where wrong ones of the same score come first."""
    total = 0.0
    for i, query in enumerate(queries):
        right = {t for q, t in zip(queries, texts, strict=True) if q == query}
        found = {}
        for j, text in enumerate(texts):
            found[text] = scores[i, j]  # the same for every place of a text
        order = sorted(found, key=lambda t: (-found[t], t in right))
        total += 1 / (1 + min(order.index(t) for t in right))
    return total / len(queries)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=8), st.integers(0, 99))
def test_the_mean_reciprocal_rank_is_that_of_loops(numbers, seed):
    queries, texts = [f"q{a}" for a, _ in numbers], [f"t{b}" for _, b in numbers]
    table = np.random.default_rng(seed).integers(0, 3, (5, 5)).astype(float)
    scores = np.array([[table[a, b] for _, b in numbers] for a, _ in numbers])
    assert pairs.mean_reciprocal_rank(scores, queries, texts) == pytest.approx(naive_mrr(scores, queries, texts))


def test_what_is_no_pair_is_named():
    for bad, words in (("ab", "'ab' at 1"), (("a", "b", "c"), "('a', 'b', 'c') at 1"), ((1, "b"), "(1, 'b') at 1")):
        with pytest.raises(InputError) as error:
            pairs.checked([("q", "t"), bad], "train_sentence_encoder")
        assert "train_sentence_encoder: 'pairs' must be pairs of two texts" in str(error.value)
        assert words in str(error.value).replace('"', "")


def test_without_pytorch_the_install_line_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"training needs torch, .*pip install 'kiyas\[torch\]'"):
        loop.import_torch()


def test_pytorch_is_imported_only_when_something_is_trained():
    code = "import sys, kiyas.recurrent.training, kiyas.recurrent.export; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
