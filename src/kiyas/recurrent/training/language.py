"""Language models: the next word, or the next character, from all before it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kiyas.arrays import count, number
from kiyas.errors import InputError, message
from kiyas.recurrent.layers import Dense, Embedding
from kiyas.recurrent.model import Model
from kiyas.recurrent.tokenizer import Tokenizer, check_locale
from kiyas.recurrent.training import networks
from kiyas.recurrent.training.loop import Progress, Task, Tensor, fit, import_torch
from kiyas.recurrent.training.schedule import Epoch, Schedule
from kiyas.recurrent.training.streams import NOTHING, split, streams, windows
from kiyas.recurrent.training.trained import Trained, digest

_MOST = 1 << 30


@dataclass(frozen=True)
class LanguageModel:
    """The shape of a language model and how its text is cut.

    Parameters: ``level``, "word" or "character"; ``hidden`` units of each of ``layers`` LSTM layers; ``embedding``,
    numbers a token is embedded in, None for as many as ``hidden``; ``dropout``, the share of numbers dropped after
    the embedding and after each layer while training; ``tied``, whether the softmax shares the table of the embedding;
    ``window``, steps that the gradient goes back (the state goes on); ``vocabulary``, most words to know, the rest are
    one unknown word; ``lower``, whether to make all letters small; ``filters``, characters taken for white space, None
    for those of Keras' Tokenizer (punctuation) in a word model and for none in a character model; ``validation``, the
    share of the text, its end, that is kept for validation; ``locale``, "tr" or "az" for small letters as in Turkish
    and Azerbaijani. Raises `InputError` for a value out of its range.
    """

    level: str = "word"
    hidden: int = 256
    layers: int = 2
    embedding: int | None = None
    dropout: float = 0.2
    tied: bool = False
    window: int = 64
    vocabulary: int = 10_000
    lower: bool = False
    filters: str | None = None
    validation: float = 0.1
    locale: str | None = None

    def __post_init__(self) -> None:
        owner = "LanguageModel"
        if self.level not in ("word", "character"):
            raise InputError(message(owner, "level", "'word' or 'character'", repr(self.level)))
        for name in ("hidden", "layers", "window"):
            count(getattr(self, name), name, owner, 1, _MOST)
        count(self.vocabulary, "vocabulary", owner, 3, _MOST)
        if self.embedding is not None:
            count(self.embedding, "embedding", owner, 1, _MOST)
        number(self.dropout, "dropout", owner, "a share from 0 to below 1", 0, 1, open_high=True)
        number(self.validation, "validation", owner, "a share between 0 and 1", 0, 1, open_low=True, open_high=True)
        check_locale(self.locale, self.lower, owner)
        if self.tied and self.width != self.hidden:
            raise InputError(message(owner, "embedding", f"{self.hidden}, as 'hidden', to share its table with the "
                                     "softmax", self.width, "leave it out, or give tied=False"))

    @property
    def width(self) -> int:
        """Numbers a token is embedded in."""
        return self.hidden if self.embedding is None else self.embedding


def train_language_model(text: str | Iterable[str], shape: LanguageModel | None = None,
                         schedule: Schedule | None = None, *, checkpoint: str | os.PathLike[str] | None = None,
                         resume: bool = False, progress: Progress | None = None,
                         on_epoch: Callable[[Epoch], None] | None = None) -> Trained:
    """Train a language model on a text and return it frozen, with its tokenizer.

    The text is read as ``schedule.batch`` streams side by side. The state goes on from window to window, the gradient
    goes back one window (truncated back-propagation through time). The epoch with the least validation perplexity is
    kept. Texts of an iterable are joined by a line break each.

    Parameters: ``text``; ``shape``; ``schedule``; ``checkpoint``, ``resume``, ``progress`` and ``on_epoch`` as in
    `fit`. The same text, shape and schedule give the same weights on one machine, resumed or not.
    Raises `MissingExtraError` without PyTorch, `InputError` for too little text.
    """
    shape, schedule = shape or LanguageModel(), schedule or Schedule()
    torch = import_torch(schedule.device)
    whole = text if isinstance(text, str) else "\n".join(text)
    parts = split(whole, shape.validation)
    tokenizer = _tokenizer(parts[0], shape)
    ids = [np.array(one, np.int64) for one in tokenizer.texts_to_sequences(parts)]
    for one, what in zip(ids, ("training", "validation"), strict=True):
        if one.size < 2:
            raise InputError(message("train_language_model", "text", f"long enough for two tokens of {what}",
                                     f"{one.size} in a text of {len(whole)} characters"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(schedule.seed)
        task = _Language(torch, ids, _tokens(tokenizer), shape, schedule, digest(whole))
    epochs = fit(task, schedule, None if checkpoint is None else Path(checkpoint), resume, progress, on_epoch)
    best = max(epochs, key=lambda one: (one.score, -one.number))
    return Trained(task.frozen(), tokenizer, epochs, {"perplexity": perplexity(-best.score)})


def perplexity(loss: float) -> float:
    """E to the mean surprise of a token; infinity where that is too large for a float.

    >>> round(perplexity(math.log(8.0)), 9), perplexity(1e6)
    (8.0, inf)
    """
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf


class _Language(Task):
    """Windows of one text, a state that goes on, and the mean surprise of a token as the loss."""

    def __init__(self, torch: Any, ids: list[np.ndarray], tokens: int, shape: LanguageModel, schedule: Schedule,
                 text: str) -> None:
        self.torch, self.shape, self.text = torch, shape, text
        train, held_out = ids
        device = schedule.device
        self.train = torch.from_numpy(streams(train, schedule.batch)).to(device)
        self.held_out = torch.from_numpy(streams(held_out, schedule.batch)).to(device)
        self.windows = windows(self.train.shape[1], shape.window)
        nn = torch.nn
        self.network = nn.ModuleDict({
            "embedding": nn.Embedding(tokens, shape.width),
            "lstm": networks.stacked(torch, shape.width, shape.hidden, shape.layers, shape.dropout),
            "output": nn.Linear(shape.hidden, tokens)})
        with torch.no_grad():
            self.network["embedding"].weight.uniform_(-0.1, 0.1)
            self.network["output"].weight.uniform_(-0.1, 0.1)
            self.network["output"].bias.zero_()
        if shape.tied:
            self.network["output"].weight = self.network["embedding"].weight
        self.network.to(device)
        self.state: tuple[Tensor, Tensor] | None = None

    @property
    def facts(self) -> dict[str, Any]:
        return {"task": "language model", "text": self.text, **asdict(self.shape)}

    def steps(self) -> int:
        return len(self.windows)

    def begin(self, epoch: int) -> None:
        self.state = None

    def loss(self, step: int) -> tuple[Tensor, int]:
        start, stop = self.windows[step]
        total, tokens, state = self._surprise(self.train, start, stop, self.state)
        self.state = (state[0].detach(), state[1].detach())
        # A window of the last stream may hold nothing but filling.
        return total / max(tokens, 1), tokens

    def score(self) -> float:
        """Minus the mean surprise of a held-out token: minus the logarithm of the perplexity."""
        total, tokens, state = 0.0, 0, None
        for start, stop in windows(self.held_out.shape[1], self.shape.window):
            part, number_, state = self._surprise(self.held_out, start, stop, state)
            total, tokens = total + float(part), tokens + number_
        return -total / tokens

    def carried(self) -> list[Tensor]:
        return [] if self.state is None else [*self.state]

    def carry(self, carried: list[Tensor]) -> None:
        self.state = (carried[0], carried[1]) if carried else None

    def _surprise(self, ids: Tensor, start: int, stop: int, state: Any) -> tuple[Tensor, int, Any]:
        """The sum over a window's targets of −ln p, how many there are, and the state after it."""
        drop = self.torch.nn.functional.dropout
        network, share = self.network, self.shape.dropout
        x = drop(network["embedding"](ids[:, start:stop]), share, network.training)
        y, state = network["lstm"](x, state)
        logits = network["output"](drop(y, share, network.training))
        targets = ids[:, start + 1:stop + 1]
        total = self.torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum",
                                                       ignore_index=NOTHING)
        return total, int((targets != NOTHING).sum()), state

    def frozen(self) -> Model:
        """The network as a model of kiyas: ids to the probabilities of the next token, at every step."""
        table = networks.array(self.network["embedding"].weight)
        weights = table if self.shape.tied else networks.array(self.network["output"].weight)
        layers = [Embedding("embedding", table), *networks.frozen(self.network["lstm"]),
                  Dense("softmax", weights, networks.array(self.network["output"].bias), activation="softmax")]
        return Model.sequential(layers, source={"trained by": "kiyas", "task": "language model",
                                                "level": self.shape.level})


def _tokenizer(text: str, shape: LanguageModel) -> Tokenizer:
    """A tokenizer that knows the text it is trained on and no more; id 1 stands for all that is unknown."""
    letters = shape.level == "character"
    given = {} if shape.filters is None and not letters else {"filters": shape.filters or ""}
    tokenizer = Tokenizer(num_words=None if letters else shape.vocabulary, lower=shape.lower, char_level=letters,
                          oov_token="<unk>", locale=shape.locale, **given)
    tokenizer.fit_on_texts([text])
    return tokenizer


def _tokens(tokenizer: Tokenizer) -> int:
    """How many ids the tokenizer gives, 0 among them."""
    known = len(tokenizer.word_index) + 1
    return known if tokenizer.num_words is None else min(known, tokenizer.num_words)
