"""Beam search: the most probable whole texts, as far as a few of them kept at each step can find them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from kiyas.arrays import count, number
from kiyas.errors import InputError, message
from kiyas.recurrent.generation.context import Context
from kiyas.recurrent.generation.loop import Generated, Token, check_seed_text, generated, require_seed
from kiyas.recurrent.generation.reader import Reader
from kiyas.recurrent.generation.sampling import top
from kiyas.recurrent.generation.stops import Stops
from kiyas.recurrent.keras import KerasModel
from kiyas.recurrent.model import Model
from kiyas.recurrent.sequences import pad_sequences
from kiyas.recurrent.state import State
from kiyas.recurrent.tokenizer import Tokenizer

_OWNER = "beam_search"


@dataclass(frozen=True, eq=False)
class _Beam:
    """A text that is being followed: its tokens, the sum of their log-probabilities, the row of the state."""

    tokens: tuple[Token, ...]
    total: float
    context: Context | None = None
    stopped: str | None = None


def beam_search(model: Model | KerasModel, tokenizer: Tokenizer, seed_text: str | Sequence[str] = "Hello",
                steps: int = 10, beams: int = 4, *, length_penalty: float = 0.0, stop: str | Iterable[str] = (),
                window: int | None = None, padding: str = "pre", start: str | None = None,
                exclude: Iterable[int] = (), logits: bool | None = None) -> list[Generated]:
    """The most probable continuations by up to ``steps`` words, best first, up to ``beams`` of them.

    At each step the ``beams`` best beginnings are kept. A text scores the sum of its tokens' log-probabilities (with
    those of the stop word that ends it) over its number of tokens to the power ``length_penalty``: 0 is the probability
    itself, which favours short texts where a stop word may end them, 1 the mean. Ties go to the better beginning, then
    to the lower number. ``beams=1`` is greedy. Numbers that the tokenizer has no word for are left out.

    Parameters: as those of `generate`; ``beams``, from 1; ``length_penalty``, from 0. With a ``window`` every step
    reads the windows anew.
    """
    count(steps, "steps", _OWNER, 1, 2**62)
    width = count(beams, "beams", _OWNER, 1, 2**20)
    power = number(length_penalty, "length_penalty", _OWNER, "a number from 0", 0, np.inf, open_high=True)
    check_seed_text(seed_text)
    stops = Stops(stop, tokenizer)
    search = _Search(Reader(model, tokenizer, logits, _OWNER), window, padding, frozenset(exclude))
    context = Context(tokenizer, seed_text, start)
    if window is None:
        require_seed(context, seed_text)
    live = [_Beam((), 0.0, context)]
    done: list[_Beam] = []
    logs = search.begin(context)
    for _ in range(steps):
        parents, live, ended = search.extend(live, logs, width, stops)
        done = sorted([*done, *ended], key=lambda beam: -_score(beam, power))[:width]
        if not live:
            break
        # Totals only fall: no text that is still followed can end with more than its total over the longest length.
        if len(done) == width and _score(done[-1], power) >= live[0].total / steps**power:
            live = []
            break
        if len(live[0].tokens) < steps:
            logs = search.read(live, parents)
    best = sorted([*done, *live], key=lambda beam: -_score(beam, power))[:width]
    return [generated(tokenizer, seed_text, beam.tokens[:len(beam.tokens) - _length(beam, stops)], beam.stopped)
            for beam in best]


def _score(beam: _Beam, power: float) -> float:
    return float(beam.total / len(beam.tokens)**power)


def _length(beam: _Beam, stops: Stops) -> int:
    return 0 if beam.stopped is None else stops.length(beam.stopped)


class _Search:
    """Reads the beams, all in one batch, and extends them by a token."""

    def __init__(self, reader: Reader, window: int | None, padding: str, exclude: frozenset[int]) -> None:
        self._reader, self._window, self._padding = reader, window, padding
        self._state: State | None = None
        if window is not None:
            count(window, "window", _OWNER, 1, 2**31)
        elif not reader.steps:
            raise InputError(f"{_OWNER}: {reader.blocking} needs all time steps at once, so no state can be carried; "
                             "give window=, the length of text that the model was trained with")
        self._allowed = set(reader.tokenizer.index_word) - {count(i, "exclude", _OWNER, 0, 2**62)
                                                                   for i in exclude}
        self._never: np.ndarray | None = None

    def begin(self, context: Context) -> np.ndarray:
        if self._window is not None:
            return self._windows([context])
        output, stream = self._reader.begin(context.ids)
        self._state = stream.state
        return self._logs(output.row[None])

    def read(self, live: list[_Beam], parents: list[int]) -> np.ndarray:
        """Log-probabilities of the next token of each beam, (beams, vocabulary)."""
        if self._window is not None:
            return self._windows([beam.context for beam in live if beam.context is not None])
        assert self._state is not None
        rows, self._state = self._reader.step([beam.tokens[-1].id for beam in live], self._state.take(parents))
        return self._logs(rows)

    def _windows(self, contexts: list[Context]) -> np.ndarray:
        length = self._window
        assert length is not None
        ids = pad_sequences([context.ids[-length:] for context in contexts], length, "int64", self._padding)
        return self._logs(self._reader.windows(ids))

    def _logs(self, rows: np.ndarray) -> np.ndarray:
        logs = self._reader.log_probabilities(rows)
        if self._never is None:
            self._never = np.array([i not in self._allowed for i in range(logs.shape[1])])
            if self._never.all():
                raise InputError(message(_OWNER, "exclude", "some of the tokens only", "all that have a word"))
        return np.where(self._never, -np.inf, logs)

    def extend(self, live: list[_Beam], logs: np.ndarray, width: int,
               stops: Stops) -> tuple[list[int], list[_Beam], list[_Beam]]:
        """The best texts of one token more: parents and beams that go on, and those that ended with a stop word."""
        totals = np.array([beam.total for beam in live])[:, None] + logs
        flat = totals.ravel()
        # Enough for `width` that go on, even if every beam ends with each of the stop words first.
        best = top(flat, width + len(live) * len(stops.words))
        order = best[np.argsort(-flat[best], kind="stable")]
        parents: list[int] = []
        going: list[_Beam] = []
        ended: list[_Beam] = []
        for place in order:
            if flat[place] == -np.inf or len(going) == width:
                break
            row, i = divmod(int(place), logs.shape[1])
            beam = self._grown(live[row], i, float(logs[row, i]), stops)
            if beam.stopped is not None:
                ended.append(beam)
            else:
                parents.append(row)
                going.append(beam)
        return parents, going, ended

    def _grown(self, beam: _Beam, i: int, log_probability: float, stops: Stops) -> _Beam:
        tokenizer = self._reader.tokenizer
        word = tokenizer.index_word[i]
        text = word if tokenizer.char_level else f" {word}"
        tokens = (*beam.tokens, Token(i, word, text, log_probability, carried=self._window is None))
        context = None
        if self._window is not None and beam.context is not None:
            context = beam.context.copy()
            context.append(word)
        return _Beam(tokens, beam.total + log_probability, context, stops.reached([t.word for t in tokens]))
