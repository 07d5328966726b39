"""Streams: a model together with the state of one conversation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kiyas.arrays import count
from kiyas.errors import InputError, message
from kiyas.recurrent import inputs as checks
from kiyas.recurrent.layers.base import Context, Signal
from kiyas.recurrent.state import State

if TYPE_CHECKING:
    from kiyas.recurrent.chain import LazyOutput, Quick
    from kiyas.recurrent.model import Model


class Stream:
    """Sequences that arrive in chunks: ``batch`` rows whose state goes on from chunk to chunk.

    Made by `Model.stream`. The outputs are those of `Model.predict` over everything fed so far, bit for bit.

    >>> import numpy as np
    >>> from kiyas.recurrent import Model
    >>> from kiyas.recurrent.layers import SimpleRNN
    >>> model = Model.sequential([SimpleRNN("rnn", [[1.0]], [[1.0]], None, return_sequences=True)])
    >>> stream, x = model.stream(), np.ones((1, 3, 1))
    >>> parts = [stream.feed(x[:, :1]), stream.feed(x[:, 1:])]
    >>> bool((np.concatenate(parts, axis=1) == model.predict(x)).all())
    True
    """

    def __init__(self, model: Model, batch: int = 1, state: Any = None) -> None:
        model._require_steps("Model.stream")
        self.model, self.batch = model, count(batch, "batch", "Model.stream", 1, 2**31)
        self._state: State | None = None
        self._quick: Quick | None = None
        self._ahead = False  # whether the state is in compiled code, and `_state` is of before
        if state is not None:
            self.state = state

    @property
    def state(self) -> State:
        """The state now, a value; assign a `State`, or PyTorch's (h0, c0), to set it."""
        now = self._now()
        return self.model.new_state(self.batch) if now is None else now

    @state.setter
    def state(self, value: Any) -> None:
        self._state = checks.state("Stream.state", value, self.model.state_widths, self.batch)
        self._ahead = False

    def reset(self) -> None:
        """Begin anew: the state is zero."""
        self._state, self._ahead = None, False

    def fork(self) -> Stream:
        """Another stream that goes on from here by itself."""
        return Stream(self.model, self.batch, self._now())

    def step(self, x: Any) -> Any:
        """One time step (batch, features) or ids (batch,); see `Model.step`."""
        if not self._ahead:
            self._go_ahead()
        if self._quick is not None:
            out = self._quick.step(x)
            if out is not None:
                return out
        y, self._state = self.model._step("Stream.step", x, self._now(), 1, self.batch)
        self._ahead = False
        return y

    def step_lazily(self, x: Any) -> LazyOutput | None:
        """As `step` for a batch of one, the outputs computed when they are asked for.

        Where they are largest is found without them, at less cost. None, the state being as before, where that is no
        quicker or not possible (a small last product, a model not all of which is compiled, an x to look at closely):
        `step` it is then.
        """
        if not self._ahead:
            self._go_ahead()
        return None if self._quick is None else self._quick.step_lazily(x)

    def feed(self, x: Any, lengths: Any = None, mask: Any = None, threads: int = 1) -> Any:
        """A chunk (batch, time, features) or ids (batch, time) -> outputs, as `Model.predict` gives them.

        ``lengths``, ``mask``: as for `Model.predict`; a row may have no step in a chunk, its state stays then.
        """
        model = self.model
        # A row that ends in a chunk may go on in the next, so lengths are a mask with zeros behind.
        signals = [Signal(s.values, s.valid()) for s in model._signals("Stream.feed", x, lengths, mask, "zero")]
        if signals[0].values.shape[0] != self.batch:
            raise InputError(message("Stream.feed", "x", f"of batch {self.batch}", f"{signals[0].values.shape[0]}"))
        out, new = model.run(signals, self._now(), Context(threads, resumed=True))
        self._state, self._ahead = State._of(new, self.batch, model._maker), False
        return model._joined([[s.values for s in out]])

    def _now(self) -> State | None:
        if self._ahead and self._quick is not None:
            self._state, self._ahead = self._quick.state, False
        return self._state

    def _go_ahead(self) -> None:
        """Bring the state into compiled code, where all of the model is compiled."""
        if self._quick is None and self.model._chain is not None:
            self._quick = self.model._chain.quick(self.batch)
        if self._quick is not None:
            self._quick.state, self._ahead = self._state, True


class Stateful:
    """A model with a memory: layers marked stateful go on from call to call, the others begin anew, as in Keras.

    Made by `Model.stateful`. ``batch``: the number of rows, fixed as in Keras: row i of a call goes on from row i of
    the one before (None: set by the first call). More rows than that are taken ``batch`` at a time, one after another.
    """

    def __init__(self, model: Model, batch: int | None = None) -> None:
        self._keys = model.stateful_keys()
        if not self._keys:
            raise InputError(message("Model.stateful", "model", "one with a layer that is marked stateful", repr(model),
                                     "Model.stream carries the state of every layer"))
        self.model = model
        self.batch = None if batch is None else count(batch, "batch", "Model.stateful", 1, 2**31)
        self._state: State | None = None

    @property
    def state(self) -> State:
        """The state of the layers marked stateful, a value; assign to set it."""
        return self._zero() if self._state is None else self._state

    @state.setter
    def state(self, value: Any) -> None:
        widths = {k: w for k, w in self.model.state_widths.items() if k in self._keys}
        self._state = checks.state("Stateful.state", value, widths, self._rows())

    def reset_states(self) -> None:
        """Forget: begin anew with zeros (Keras 2's name)."""
        self._state = None

    reset_state = reset_states  # Keras 3's name

    def predict(self, x: Any, lengths: Any = None, mask: Any = None, threads: int = 1, empty: str = "error") -> Any:
        """As `Model.predict`, going on from the state that the call before left."""
        owner = "Stateful.predict"
        signals = self.model._signals(owner, x, lengths, mask, empty)
        rows = signals[0].values.shape[0]
        if self.batch is None:
            self.batch = rows
        if rows % self.batch:
            raise InputError(message(owner, "x", f"of batch {self.batch} or a multiple of it, as the state has as many "
                                     "rows", f"batch {rows}", "reset_states does not change the batch: make another "
                                     "with model.stateful(batch)"))
        parts = []
        for start in range(0, rows, self.batch):
            piece = [s._replace(values=s.values[start:start + self.batch],
                                mask=None if s.mask is None else s.mask[start:start + self.batch],
                                lengths=None if s.lengths is None else s.lengths[start:start + self.batch])
                     for s in signals]
            out, new = self.model.run(piece, self._state, Context(threads))
            self._state = State._of({k: v for k, v in new.items() if k in self._keys}, self.batch)
            parts.append([s.values for s in out])
        return self.model._joined(parts)

    def _rows(self) -> int:
        if self.batch is None:
            raise InputError(message("Stateful.state", "batch", "known before a state can be got or set", "None",
                                     "give it: model.stateful(batch)"))
        return self.batch

    def _zero(self) -> State:
        zero = self.model.new_state(self._rows())
        return State({k: zero[k] for k in self._keys})
