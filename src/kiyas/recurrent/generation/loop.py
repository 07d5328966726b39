"""Text from a model, token by token. See docs/generation.md.

Three ways to the next token's probabilities, all giving what `Model.predict` of the whole text would:

- without ``window``: the seed is read once, then each token costs one step from the carried state;
- with ``window``, as the usual Keras loop has it: the last ``window`` numbers, padded, are read anew for each token;
- with ``window``, by the carried state, as long as that is proven to be the same: the whole text fits the window, and
  padding leaves the state as it is (a mask does that). Both are checked, the second by letting the model read padding.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kiyas.arrays import count
from kiyas.errors import InputError, message
from kiyas.recurrent.generation.context import Context
from kiyas.recurrent.generation.reader import Later, Output, Reader
from kiyas.recurrent.generation.sampling import Sampling
from kiyas.recurrent.generation.stops import Stops
from kiyas.recurrent.keras import KerasModel
from kiyas.recurrent.model import Model
from kiyas.recurrent.sequences import pad_sequences
from kiyas.recurrent.state import State
from kiyas.recurrent.stream import Stream
from kiyas.recurrent.tokenizer import Tokenizer

_OWNER = "generate"


class _WhenAsked:
    """A field of a `Token` that may be given as what computes it: it is computed when it is asked for."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, token: Token | None, owner: type) -> float:
        if token is None:
            raise AttributeError(self._name)  # so a dataclass takes it for a field without a default
        value: float | Later = token.__dict__[self._name]
        if isinstance(value, Later):
            value = token.__dict__[self._name] = Later.computed([value])[0]
        return value

    def __set__(self, token: Token, value: float | Later) -> None:
        token.__dict__[self._name] = value


@dataclass(frozen=True, eq=False)
class Token:
    """A token that was generated.

    ``id``: its number; ``word``: the tokenizer's word, "" where it has none for the number; ``text``: what the text
    grows by, with the space before a word; ``log_probability``: the natural logarithm of the model's probability for
    it, whatever temperature and cuts it was drawn with (of greedy words it may be computed only when it is asked for);
    ``probabilities``: those of the whole vocabulary, where asked for; ``carried``: whether it came from the carried
    state (else a whole window was read for it).
    """

    id: int
    word: str
    text: str
    log_probability: _WhenAsked = _WhenAsked()
    probabilities: np.ndarray | None = None
    carried: bool = True

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "log_probability": self.log_probability}


@dataclass(frozen=True, eq=False)
class Generated:
    """A text that was generated.

    ``text``: seed and continuation; ``continuation``: what was generated; ``tokens``: token by token; ``stopped``: the
    stop word that ended it (not part of the text), or None where the steps ran out.
    """

    text: str
    continuation: str
    tokens: tuple[Token, ...]
    stopped: str | None = None

    def __str__(self) -> str:
        return self.text

    @property
    def ids(self) -> np.ndarray:
        """The numbers generated, (tokens,) int64."""
        return np.array([token.id for token in self.tokens], np.int64)

    @property
    def words(self) -> list[str]:
        """The words generated."""
        return [token.word for token in self.tokens]

    @property
    def log_probabilities(self) -> np.ndarray:
        """Of each token, (tokens,) float64."""
        logs = [token.__dict__["log_probability"] for token in self.tokens]
        computed = iter(Later.computed([log for log in logs if isinstance(log, Later)]))
        return np.array([next(computed) if isinstance(log, Later) else log for log in logs], np.float64)

    @property
    def probabilities(self) -> np.ndarray | None:
        """Of the whole vocabulary before each token, (tokens, vocabulary); None unless asked for."""
        rows = [token.probabilities for token in self.tokens if token.probabilities is not None]
        return np.array(rows) if rows else None


def generate(model: Model | KerasModel, tokenizer: Tokenizer, seed_text: str | Sequence[str] = "Hello",
             steps: int = 10, *, temperature: float | None = None, top_k: int | None = None, top_p: float | None = None,
             seed: int | np.random.Generator | None = None, stop: str | Iterable[str] = (),
             window: int | None = None, padding: str = "pre", carry: bool | None = None, start: str | None = None,
             exclude: Iterable[int] = (), logits: bool | None = None, probabilities: bool = False) -> Generated:
    """Let the model continue a text by up to ``steps`` words (of a character model: characters).

    Parameters: ``model``, of `kiyas.recurrent.load`; ``tokenizer``, the one it was trained with; ``seed_text``, a text,
    or its words as a list; ``steps``, from 1; ``temperature``, ``top_k``, ``top_p``, see `Sampling`: the most
    probable token (greedy) unless one of them is given; ``seed``, of the randomness; ``stop``, words that end the
    text; ``window``, the ``maxlen`` of a Keras loop with ``pad_sequences``, whose tokens are reproduced one for one;
    ``padding``, "pre" or "post", of the window; ``carry``, with a window: None carries the state where it is proven
    to give the same tokens, False never does, True always does once the first window is read (other tokens than the
    loop, at a constant cost); ``start``, a token to read before the seed, such as "<s>"; ``exclude``, numbers never to
    generate; ``logits``, whether a softmax is still to be taken of the model's output (None: where its last layer is
    linear); ``probabilities``, whether to keep those of the whole vocabulary.

    A number that the tokenizer has no word for (0, of padding) is returned as the word "", and nothing is added to the
    text, as in the loop. Raises `InputError` for a seed without a token that the tokenizer knows (unless there is a
    ``window``, which is then all padding), for a model that cannot go on from a state (unless there is a ``window``),
    and for a vocabulary that does not fit the model.
    """
    stops = Stops(stop, tokenizer)
    run = _Run(model, tokenizer, seed_text, steps, Sampling(temperature, top_k, top_p), seed,
               _Window(window, padding, carry), start, exclude, logits, probabilities)
    made: list[Token] = []
    ended: list[str] = []
    made.extend(_until(iter(run), stops, ended))
    return generated(tokenizer, seed_text, made, ended[0] if ended else None)


def generate_tokens(model: Model | KerasModel, tokenizer: Tokenizer, seed_text: str | Sequence[str] = "Hello",
                    steps: int = 10, *, temperature: float | None = None, top_k: int | None = None,
                    top_p: float | None = None, seed: int | np.random.Generator | None = None,
                    stop: str | Iterable[str] = (), window: int | None = None, padding: str = "pre",
                    carry: bool | None = None, start: str | None = None, exclude: Iterable[int] = (),
                    logits: bool | None = None, probabilities: bool = False) -> Iterator[Token]:
    """As `generate`, giving each `Token` as soon as it is there.

    A token that may be the beginning of a stop word waits until it is known whether it is. Arguments are checked at
    once, before the first token is asked for.
    """
    stops = Stops(stop, tokenizer)
    run = _Run(model, tokenizer, seed_text, steps, Sampling(temperature, top_k, top_p), seed,
               _Window(window, padding, carry), start, exclude, logits, probabilities)
    return _until(iter(run), stops, [])


def generated(tokenizer: Tokenizer, seed_text: str | Sequence[str], tokens: Sequence[Token],
              stopped: str | None) -> Generated:
    """The tokens as a text after its seed."""
    seed = seed_text if isinstance(seed_text, str) else tokenizer.join(seed_text)
    continuation = "".join(token.text for token in tokens)
    return Generated(seed + continuation if seed else continuation.lstrip(" "), continuation, tuple(tokens), stopped)


def _until(tokens: Iterator[Token], stops: Stops, ended: list[str]) -> Iterator[Token]:
    """The tokens before the first stop word, each as soon as it cannot be part of one. ``ended`` takes that word."""
    if not stops.words:
        yield from tokens
        return
    pending: list[Token] = []
    for token in tokens:
        pending.append(token)
        words = [one.word for one in pending]
        found = stops.reached(words)
        if found is not None:
            ended.append(found)
            yield from pending[:len(pending) - stops.length(found)]
            return
        free = len(pending) - stops.waiting(words)
        yield from pending[:free]
        del pending[:free]
    yield from pending


@dataclass(frozen=True)
class _Window:
    """The window of a Keras loop, and whether the state may be carried all the same."""

    length: int | None
    padding: str
    carry: bool | None

    def __post_init__(self) -> None:
        if self.length is not None:
            count(self.length, "window", _OWNER, 1, 2**31)
        if self.padding not in ("pre", "post"):
            raise InputError(message(_OWNER, "padding", "'pre' or 'post'", repr(self.padding)))
        if self.carry not in (None, True, False):
            raise InputError(message(_OWNER, "carry", "True, False or None", repr(self.carry)))
        if self.length is None and self.carry is False:
            raise InputError(message(_OWNER, "carry", "True or None without a window", "False", "give window="))

    def padded(self, ids: Sequence[int]) -> np.ndarray:
        """The last numbers, padded to the window, (1, window)."""
        assert self.length is not None
        return pad_sequences([ids[-self.length:]], self.length, "int64", self.padding)


@dataclass(eq=False)
class _Run:
    """One generation: what was read so far, and the state after it."""

    model: Model | KerasModel
    tokenizer: Tokenizer
    seed_text: str | Sequence[str]
    steps: int
    sampling: Sampling
    seed: int | np.random.Generator | None
    window: _Window
    start: str | None
    exclude: Iterable[int]
    logits: bool | None
    probabilities: bool
    _stream: Stream | None = field(default=None, init=False)
    _output: Output = field(init=False)  # after it
    _read: int = field(default=0, init=False)  # how many numbers of the context the state has read

    def __post_init__(self) -> None:
        count(self.steps, "steps", _OWNER, 1, 2**62)
        check_seed_text(self.seed_text)
        self._reader = Reader(self.model, self.tokenizer, self.logits)
        if self.seed is not None and not isinstance(self.seed, np.random.Generator):
            count(self.seed, "seed", _OWNER, 0, 2**128)
        self._rng = np.random.default_rng(self.seed)
        if self.start is not None and self.start not in self.tokenizer.word_index:
            raise InputError(message(_OWNER, "start", "a token that the tokenizer knows", repr(self.start)))
        self._never = np.array(sorted({count(i, "exclude", _OWNER, 0, 2**62) for i in self.exclude}), np.int64)
        self._context = Context(self.tokenizer, self.seed_text, self.start)
        self._carries = self.window.carry
        if self.window.length is None:
            self._carries = True
            require_seed(self._context, self.seed_text)
        if self._carries and not self._reader.steps:
            raise InputError(f"{_OWNER}: {self._reader.blocking} needs all time steps at once, so no state can be "
                             "carried; give window=, the length of text that the model was trained with"
                             + (", without carry=True" if self.window.length else ""))
        if self._carries is None:
            self._carries = False if not self._reader.steps else None

    def __iter__(self) -> Iterator[Token]:
        for _ in range(self.steps):
            output, carried = self._next()
            number, log_probability, kept = self._chosen(output)
            word = self.tokenizer.index_word.get(number, "")
            text = word if self.tokenizer.char_level or not word else f" {word}"
            yield Token(number, word, text, log_probability, kept, carried)
            if word:
                self._grow(number, word)

    # -- the next token's output -------------------------------------------------------------------

    def _next(self) -> tuple[Output, bool]:
        """The output for the next token, and whether it came from the carried state."""
        if self._stream is not None and self._read == len(self._context.ids):
            return self._output, True  # a number without a word was generated: nothing was added
        if self.window.length is None:
            return self._advance(), True
        if self._carries is True:
            if self._stream is None:
                self._output, self._stream = self._reader.begin(self.window.padded(self._context.ids)[0])
                self._read = len(self._context.ids)
                return self._output, False
            return self._advance(), True
        if self._carries is None and self._same_by_state():
            return self._output, True
        return Output(self._reader.windows(self.window.padded(self._context.ids))[0], self._reader), False

    def _advance(self) -> Output:
        """Read the numbers that are new; the output after them."""
        new = self._context.ids[self._read:]
        if self._stream is None:
            self._output, self._stream = self._reader.begin(new)
        else:
            for number in new:
                self._output = self._reader.go_on(number, self._stream, self._greedy)
        self._read = len(self._context.ids)
        return self._output

    def _same_by_state(self) -> bool:
        """Read on from the state if the window would give the same: it cuts nothing, and padding changes nothing."""
        length = self.window.length
        assert length is not None
        if not 0 < len(self._context.ids) <= length:
            return False
        if self.window.padding == "pre":
            if self._stream is None:
                # If one step of padding leaves a fresh state as it is, any number of them does.
                _, padded = self._reader.begin([0])
                if not _fresh(padded.state):
                    self._carries = False
                    return False
            self._advance()
            return True
        output = self._advance()
        if self._stream is not None and len(self._context.ids) < length:
            padded = self._stream.fork()
            after = self._reader.go_on(0, padded)
            if not (_equal(padded.state, self._stream.state) and after.row.tobytes() == output.row.tobytes()):
                self._carries, self._stream, self._read = False, None, 0
                return False
        return True

    # -- the next token ----------------------------------------------------------------------------

    @property
    def _greedy(self) -> bool:
        """Whether the most probable token is all that is asked for."""
        return self.sampling.greedy and not self.probabilities and not self._never.size

    def _chosen(self, output: Output) -> tuple[int, float | Later, np.ndarray | None]:
        """The number, its log-probability or what gives it, and all probabilities where they are asked for."""
        if self._greedy:
            return *output.best(), None
        row = output.row
        if self._never.size and self._never[-1] >= row.size:
            raise InputError(message(_OWNER, "exclude", f"numbers from 0 to {row.size - 1}", f"{self._never[-1]}"))
        logs = self._reader.log_probabilities(row)
        allowed = logs
        if self._never.size:
            allowed = logs.copy()
            allowed[self._never] = -np.inf
            if not (allowed > -np.inf).any():
                raise InputError(message(_OWNER, "exclude", "some of the tokens only", "all that have a probability"))
        number = self.sampling.choose(allowed, self._rng)
        return number, float(logs[number]), np.exp(logs) if self.probabilities else None

    def _grow(self, number: int, word: str) -> None:
        if self.window.length is None:
            self._context.ids.append(number)
        elif not self._context.append(word):
            self._stream, self._read = None, 0  # numbers that were read are others now


def check_seed_text(seed_text: object) -> None:
    """Raise `InputError` unless it is a text or a list of words."""
    if not isinstance(seed_text, str) and not (
            isinstance(seed_text, Sequence) and all(isinstance(word, str) for word in seed_text)):
        raise InputError(message(_OWNER, "seed_text", "a text, or a list of words", repr(seed_text)))


def require_seed(context: Context, seed_text: str | Sequence[str]) -> None:
    """Raise `InputError` where there is nothing to go on from."""
    if not context.ids:
        unknown = context.tokenizer.unknown(seed_text)
        got = f"{seed_text!r}, none of whose tokens it knows" if unknown else f"{seed_text!r}, which has none"
        raise InputError(message(_OWNER, "seed_text", "a text with a token that the tokenizer knows", got,
                                 "give other words, or start="))


def _fresh(state: State) -> bool:
    """Whether the state is what a sequence begins with: zeros, to the bit."""
    return all(not array.any() and not np.signbit(array).any() for array in _arrays(state))


def _equal(a: State, b: State) -> bool:
    return all(x.tobytes() == y.tobytes() for x, y in zip(_arrays(a), _arrays(b), strict=True))


def _arrays(state: State) -> list[np.ndarray]:
    return [np.asarray(array) for arrays in state.values() for array in arrays]
