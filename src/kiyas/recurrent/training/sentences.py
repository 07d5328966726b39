"""Sentence encoders: texts that belong together score above those that do not, under a measure of your choice."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from kiyas.arrays import count, number
from kiyas.errors import InputError, message
from kiyas.measures import measure as make_measure
from kiyas.measures.balls import Poincare
from kiyas.measures.base import Measure
from kiyas.recurrent.layers import Dense, Embedding, GlobalAverage, Layer, Scale
from kiyas.recurrent.model import Model
from kiyas.recurrent.tokenizer import Tokenizer, check_locale
from kiyas.recurrent.training import networks
from kiyas.recurrent.training import pairs as pairing
from kiyas.recurrent.training.loop import Progress, Task, Tensor, fit, import_torch
from kiyas.recurrent.training.schedule import Epoch, Schedule
from kiyas.recurrent.training.scoring import scores
from kiyas.recurrent.training.trained import Trained, digest

_MOST = 1 << 30
# Texts whose vectors an unfitted measure is fitted on: enough for ranges and a covariance, at every epoch anew.
_FIT_TEXTS = 1024


@dataclass(frozen=True)
class SentenceEncoder:
    """The shape of a sentence encoder and how its texts are cut.

    Parameters: ``level``, "word" or "character"; ``hidden`` units of each of ``layers`` LSTM layers; ``bidirectional``,
    whether each reads both ways; ``embedding``, numbers a token is embedded in; ``pooling``, "mean" of all steps or the
    "last" state; ``dims`` of the vector through a dense layer, None to leave it as it is pooled; ``dropout``;
    ``vocabulary``, most words to know; ``lower``, whether to make all letters small; ``longest``, most tokens of a
    text; ``overlong``, "raise" for a longer one or "cut" to read its beginning; ``validation``, the share of pairs that
    is held out; ``locale``, "tr" or "az" for small letters as in Turkish and Azerbaijani. Raises
    `InputError` for a value out of its range.
    """

    level: str = "word"
    hidden: int = 128
    layers: int = 1
    bidirectional: bool = True
    embedding: int = 128
    pooling: str = "mean"
    dims: int | None = None
    dropout: float = 0.2
    vocabulary: int = 20_000
    lower: bool = True
    longest: int = 256
    overlong: str = "raise"
    validation: float = 0.1
    locale: str | None = None

    def __post_init__(self) -> None:
        owner = "SentenceEncoder"
        for name, allowed in (("level", ("word", "character")), ("pooling", ("mean", "last")),
                              ("overlong", ("raise", "cut"))):
            if getattr(self, name) not in allowed:
                raise InputError(message(owner, name, " or ".join(map(repr, allowed)), repr(getattr(self, name))))
        for name in ("hidden", "layers", "embedding", "longest"):
            count(getattr(self, name), name, owner, 1, _MOST)
        count(self.vocabulary, "vocabulary", owner, 3, _MOST)
        if self.dims is not None:
            count(self.dims, "dims", owner, 1, _MOST)
        number(self.dropout, "dropout", owner, "a share from 0 to below 1", 0, 1, open_high=True)
        number(self.validation, "validation", owner, "a share between 0 and 1", 0, 1, open_low=True, open_high=True)
        check_locale(self.locale, self.lower, owner)

    @property
    def pooled(self) -> int:
        """Numbers that pooling gives."""
        return self.hidden * (2 if self.bidirectional else 1)


def train_sentence_encoder(pairs: Iterable[Sequence[str]], measure: str | Measure = "cosine",
                           shape: SentenceEncoder | None = None, schedule: Schedule | None = None, *,
                           checkpoint: str | os.PathLike[str] | None = None, resume: bool = False,
                           progress: Progress | None = None,
                           on_epoch: Callable[[Epoch], None] | None = None) -> Trained:
    """Train a sentence encoder on pairs (query, text) and return it frozen, with its tokenizer.

    In every batch each query has to find its own text among all texts, and each text its query, by their scores under
    ``measure``, softened by a factor that is learned. Texts that also belong to the query are left out of its others.
    A measure that has to be fitted is fitted at every epoch on the vectors of texts, as an index would fit it on its
    rows. Under "poincare" vectors are divided by √dims, which puts every one into the ball.

    Held-out pairs share no text with those that are trained on; the epoch with their best mean reciprocal rank is kept.

    Parameters: ``pairs``; ``measure``; ``shape``; ``schedule``; ``checkpoint``, ``resume``, ``progress`` and
    ``on_epoch`` as in `fit`. Raises `MissingExtraError` without PyTorch; `InputError` for a pair that is none, a text
    without tokens and one that is too long; `MeasureError` for a measure that lets no gradient through.
    """
    shape, schedule = shape or SentenceEncoder(), schedule or Schedule()
    if schedule.batch < 2:
        raise InputError(message("train_sentence_encoder", "schedule.batch", "2 or more pairs, as a query has to tell "
                                 "its text from those of the others", schedule.batch))
    torch = import_torch(schedule.device)
    chosen = make_measure(measure) if isinstance(measure, str) else measure
    given = pairing.checked(list(pairs), "train_sentence_encoder")
    train, held_out = pairing.hold_out(given, shape.validation, schedule.seed)
    tokenizer = _tokenizer([given[row] for row in train], shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(schedule.seed)
        task = _Sentences(torch, tokenizer, given, (train, held_out), chosen, shape, schedule)
    epochs = fit(task, schedule, None if checkpoint is None else Path(checkpoint), resume, progress, on_epoch)
    return Trained(task.frozen(), tokenizer, epochs, {"mrr": max(one.score for one in epochs)})


class _Sentences(Task):
    """Batches of pairs, both sides through one network, and how well each finds the other as the loss."""

    def __init__(self, torch: Any, tokenizer: Tokenizer, pairs: list[pairing.Pair], rows: tuple[list[int], list[int]],
                 measure: Measure, shape: SentenceEncoder, schedule: Schedule) -> None:
        self.torch, self.shape, self.schedule, self.measure = torch, shape, schedule, measure
        self.pairs, (self.train, self.held_out) = pairs, rows
        self.ids = [_numbers(tokenizer, [pair[side] for pair in pairs], shape, side) for side in (0, 1)]
        self.in_ball = isinstance(measure, Poincare)
        self.network = self._network(torch, _tokens(tokenizer)).to(schedule.device)
        self.order: list[np.ndarray] = []
        self.fitted, self.fitted_on = measure, None

    def _network(self, torch: Any, tokens: int) -> Any:
        nn, shape = torch.nn, self.shape
        parts = {"embedding": nn.Embedding(tokens, shape.embedding, padding_idx=0),
                 "lstm": networks.stacked(torch, shape.embedding, shape.hidden, shape.layers, shape.dropout,
                                          shape.bidirectional)}
        if shape.dims is not None:
            parts["output"] = nn.Linear(shape.pooled, shape.dims)
        network = nn.ModuleDict(parts)
        # ln of the factor of the scores: the first batch sets it, training goes on from there.
        network.register_parameter("factor", nn.Parameter(torch.zeros((), dtype=torch.float64)))
        network.register_buffer("begun", torch.zeros((), dtype=torch.bool))
        return network

    @property
    def facts(self) -> dict[str, Any]:
        return {"task": "sentence encoder", "measure": str(self.measure),
                "measure's arrays": digest(*_arrays(self.measure)),
                "pairs": digest(*(text for pair in self.pairs for text in pair)), **asdict(self.shape)}

    def steps(self) -> int:
        return len(pairing.batches(len(self.train), self.schedule.batch, self.schedule.seed, 0))

    def begin(self, epoch: int) -> None:
        self.order = pairing.batches(len(self.train), self.schedule.batch, self.schedule.seed, epoch)
        if not self.measure.fitted:
            self._fit_measure(self._vectors(1, self.train[:_FIT_TEXTS]))

    def carried(self) -> list[Tensor]:
        return [] if self.fitted_on is None else [self.fitted_on]

    def carry(self, carried: list[Tensor]) -> None:
        if carried:
            self._fit_measure(carried[0])

    def _fit_measure(self, vectors: Tensor) -> None:
        self.fitted_on = vectors
        self.fitted = self.measure.fit(vectors.cpu().numpy())

    def loss(self, step: int) -> tuple[Tensor, int]:
        torch = self.torch
        rows = [self.train[at] for at in self.order[step]]
        queries, texts = (self._encode([self.ids[side][row] for row in rows]) for side in (0, 1))
        found = scores(torch, self.fitted, queries, texts)
        if not bool(self.network.begun):
            self._begin_factor(found.detach())
        related = pairing.related(*zip(*(self.pairs[row] for row in rows), strict=True))
        logits = (self.network.factor.exp() * found).masked_fill(torch.from_numpy(related).to(found.device), -math.inf)
        own = torch.arange(len(rows), device=found.device)
        cross = torch.nn.functional.cross_entropy
        return (cross(logits, own) + cross(logits.T, own)) / 2, len(rows)

    def _begin_factor(self, found: Tensor) -> None:
        """Scores of all measures begin alike: multiplied so that they spread by one."""
        spread = float(found.std(correction=0))
        with self.torch.no_grad():
            self.network.factor.fill_(-math.log(max(spread, 1e-6)))
            self.network.begun.fill_(True)

    def score(self) -> float:
        """The mean reciprocal rank at which held-out queries find their text among all held-out texts."""
        if not self.measure.fitted:
            self._fit_measure(self._vectors(1, self.train[:_FIT_TEXTS]))
        found = scores(self.torch, self.fitted, self._vectors(0, self.held_out), self._vectors(1, self.held_out))
        return pairing.mean_reciprocal_rank(found.cpu().numpy(), *zip(*(self.pairs[row] for row in self.held_out),
                                                                      strict=True))

    def _vectors(self, side: int, rows: Sequence[int]) -> Tensor:
        """Vectors of one side's texts, without dropout and gradient."""
        was = self.network.training
        self.network.eval()
        size = self.schedule.batch
        with self.torch.no_grad():
            parts = [self._encode([self.ids[side][row] for row in rows[start:start + size]])
                     for start in range(0, len(rows), size)]
        self.network.train(was)
        return self.torch.cat(parts)

    def _encode(self, ids: list[np.ndarray]) -> Tensor:
        torch, nn = self.torch, self.torch.nn
        lengths = torch.tensor([one.size for one in ids])
        padded = nn.utils.rnn.pad_sequence([torch.from_numpy(one) for one in ids], batch_first=True)
        share, training = self.shape.dropout, self.network.training
        x = nn.functional.dropout(self.network["embedding"](padded.to(self.schedule.device)), share, training)
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        y, (h, _) = self.network["lstm"](packed)
        if self.shape.pooling == "last":
            pooled = torch.cat([h[-2], h[-1]], 1) if self.shape.bidirectional else h[-1]
        else:
            y, _ = nn.utils.rnn.pad_packed_sequence(y, batch_first=True)
            pooled = y.sum(1) / lengths.to(y)[:, None]
        pooled = nn.functional.dropout(pooled, share, training)
        if "output" in self.network:
            pooled = self.network["output"](pooled)
            if self.in_ball:
                pooled = torch.tanh(pooled)
        return pooled / math.sqrt(pooled.shape[1]) if self.in_ball else pooled

    def frozen(self) -> Model:
        """The network as a model of kiyas: ids, filled up with 0 at the end, to vectors."""
        last = self.shape.pooling == "last"
        layers: list[Layer] = [
            Embedding("embedding", networks.array(self.network["embedding"].weight), mask_zero=True),
            *networks.frozen(self.network["lstm"], last_sequences=not last)]
        if not last:
            layers.append(GlobalAverage("mean"))
        if self.shape.dims is not None:
            output = self.network["output"]
            layers.append(Dense("output", networks.array(output.weight), networks.array(output.bias),
                                activation="tanh" if self.in_ball else "linear"))
        if self.in_ball:
            dims = self.shape.dims or self.shape.pooled
            layers.append(Scale("into_ball", np.array([1 / math.sqrt(dims)], np.float32), np.zeros(1, np.float32)))
        return Model.sequential(layers, source={"trained by": "kiyas", "task": "sentence encoder",
                                                "level": self.shape.level, "measure": str(self.measure)})


def _tokenizer(pairs: list[pairing.Pair], shape: SentenceEncoder) -> Tokenizer:
    """A tokenizer that knows the pairs that are trained on and no more; id 1 stands for all that is unknown."""
    letters = shape.level == "character"
    tokenizer = Tokenizer(num_words=None if letters else shape.vocabulary, lower=shape.lower, char_level=letters,
                          oov_token="<unk>", locale=shape.locale, **({"filters": ""} if letters else {}))
    tokenizer.fit_on_texts([text for pair in pairs for text in pair])
    return tokenizer


def _numbers(tokenizer: Tokenizer, texts: list[str], shape: SentenceEncoder, side: int) -> list[np.ndarray]:
    """The ids of each text; `InputError` for one without any, and for one that is too long unless it may be cut."""
    found = [np.array(one, np.int64) for one in tokenizer.texts_to_sequences(texts)]
    what = ("query", "text")[side]
    for row, one in enumerate(found):
        if one.size == 0:
            raise InputError(message("train_sentence_encoder", "pairs", "texts with words in them",
                                     f"a {what} without any at {row} ({texts[row][:20]!r})", "leave that pair out"))
        if one.size > shape.longest and shape.overlong == "raise":
            raise InputError(message("train_sentence_encoder", "pairs", f"texts of at most {shape.longest} tokens",
                                     f"{one.size} in the {what} at {row}", "give a larger 'longest', split the text, "
                                     "or give overlong='cut' to read its beginning"))
    return [one[: shape.longest] for one in found]


def _arrays(measure: Measure) -> list[str]:
    """The arrays of a measure, as texts: two maps of one shape are not one measure."""
    found = []
    for field in fields(measure):
        value = getattr(measure, field.name)
        if isinstance(value, np.ndarray):
            found.append(value.tobytes().hex())
        elif isinstance(value, Measure):
            found += _arrays(value)
    return found


def _tokens(tokenizer: Tokenizer) -> int:
    known = len(tokenizer.word_index) + 1
    return known if tokenizer.num_words is None else min(known, tokenizer.num_words)
