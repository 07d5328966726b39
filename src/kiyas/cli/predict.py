"""``kiyas recurrent predict``: the numbers of a file through a model, piece by piece, so that memory does not grow."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.text import Text

from kiyas.cli import show
from kiyas.cli.models import Chosen
from kiyas.cli.numbers import ENDINGS, Kept, Lines, Sink, inputs_of, opened
from kiyas.errors import FileError, InputError, message
from kiyas.recurrent import Model, State
from kiyas.recurrent.layers import Embedding, Nested, TimeDistributed

# Bytes of numbers on their way through the layers at a time.
_BYTES = 1 << 26
# Sequences that the kernels like to have at a time, and steps of them; a stop by the keyboard waits for one piece.
_ROWS, _STEPS, _FEWEST_STEPS = 64, 1024, 16


@dataclass(frozen=True)
class Run:
    """Where a run begins and ends, and how it is done."""

    state: Path | None = None
    save_state: Path | None = None
    batch_size: int | None = None
    threads: int = 1
    overwrite: bool = False


class Pieces(NamedTuple):
    """How many sequences go through at a time, and how many of their steps (None: all)."""

    rows: int
    steps: int | None


def predict(chosen: Chosen, data: Path, output: Path | None, run: Run, json: bool) -> None:
    """Run a model on the numbers of a file."""
    if output is not None and output.suffix not in ENDINGS:
        raise InputError(message("kiyas recurrent predict", "--output", "a .npy, .csv or .npz file", str(output)))
    for path, option in ((output, "--output"), (run.save_state, "--save-state")):
        if path is not None:
            # To go on from a state and keep the new one there is what it is for.
            if option != "--save-state" or path != run.state:
                show.require_free(path, run.overwrite)
            show.require_file(path, option)
    if output is not None and run.save_state is not None and output.resolve() == run.save_state.resolve():
        raise InputError(message("kiyas recurrent predict", "--save-state", "another file than --output",
                                 str(run.save_state)))
    if run.batch_size is not None and run.batch_size < 1:
        raise InputError(message("kiyas recurrent predict", "--batch-size", "an integer from 1", run.batch_size))
    model = chosen.load()
    _require_steps(model, run)
    x = inputs_of(data, model)
    model.check(dict(zip(model.input_names, x, strict=True)))
    shapes = model.output_shapes([(None, *one.shape[1:]) for one in x])
    made = dict(zip(model.output_names, [(len(x[0]), *shape[1:]) for shape in shapes], strict=True))
    if output is not None or not json:
        _require_ending(made, output)
    before = None if run.state is None else _state(run.state, len(x[0]))
    pieces = chosen_pieces(model, x, run.batch_size)
    after: list[State] | None = None if run.save_state is None else []
    with ExitStack() as closed:
        if output is not None:
            sink: Sink = closed.enter_context(opened(output, list(made)))
        else:
            sink = Kept(len(made)) if json or len(made) > 1 else Lines(sys.stdout)
        watched = output is not None or json  # a bar among the lines of numbers would help nobody
        report = closed.enter_context(show.progress("predicting")) if watched else (lambda _done, _total: None)
        for rows, start, last, y in outputs(model, x, before, pieces, run.threads, after, report):
            steps = None if pieces.steps is None else x[0].shape[1]
            for k, one in enumerate(y):
                if steps is not None and one.ndim > 2:
                    sink.put(k, (len(x[0]), steps, *one.shape[2:]), rows.start, start, one)
                elif last:
                    sink.put(k, (len(x[0]), *one.shape[1:]), rows.start, 0, one)
    _tell(sink, made, output, json)
    if run.save_state is not None and after is not None:  # what could not be written is not gone on from
        (after[0] if len(after) == 1 else State.stack(after)).save(run.save_state)


def chosen_pieces(model: Model, x: list[np.ndarray], batch_size: int | None) -> Pieces:
    """Pieces whose numbers take some `_BYTES` on their way; sequences are cut where the model goes step by step."""
    batch = len(x[0])
    looked_up = any(isinstance(n.layer, Embedding) and (model.inputs[0], 0) in n.inputs for n in model.nodes)
    timed = x[0].ndim > 2 or model.input_shapes[0][1:] == (None,) or looked_up
    length = x[0].shape[1] if timed else 1
    cut = len(x) == 1 and timed and model.whole is None
    state = max((w for ws in model.state_widths.values() for w in ws), default=0)
    longest = max((one.shape[1] for one in x if one.ndim > 1), default=1)
    # An attention has a score for each pair of steps; the gates are four times the state.
    step = 4 * (-(-_numbers(model, longest) // length) + 4 * state + (0 if model.whole is None else length))
    fitting = max(1, _BYTES // (step * length))
    rows = min(batch, batch_size or (max(fitting, _ROWS) if cut else fitting))
    if not cut:
        return Pieces(rows, None)
    steps = min(max(_BYTES // (step * rows), _FEWEST_STEPS), _STEPS)
    return Pieces(rows, None if steps >= length else steps)


def _numbers(model: Model, steps: int) -> int:
    """What all layers give for a row of so many steps, those of models within the model too."""
    own = sum(math.prod(steps if size is None else size for size in shape[1:])
              for row in model.describe() for shape in row.shape)
    within = [node.layer for node in model.nodes]
    return own + sum(_numbers(layer.model, steps) for layer in within if isinstance(layer, Nested)) + sum(
        steps * _numbers(layer.layer.model, steps) for layer in within
        if isinstance(layer, TimeDistributed) and isinstance(layer.layer, Nested))


def outputs(model: Model, x: list[np.ndarray], before: State | None, pieces: Pieces, threads: int,
            after: list[State] | None, report: Callable[[int, int], None]
            ) -> Iterator[tuple[range, int, bool, tuple[np.ndarray, ...]]]:
    """(rows, first step, whether it is the last of these rows, outputs) of each piece, in order.

    The numbers are those of `Model.predict` over all at once, to the bit; from a state, those of one over what led to
    it and this. ``after`` takes the states of the rows.
    """
    batch = len(x[0])
    length, steps = (1, 1) if pieces.steps is None else (x[0].shape[1], pieces.steps)
    for start in range(0, batch, pieces.rows):
        rows = range(start, min(start + pieces.rows, batch))
        part = [one[rows.start:rows.stop] for one in x]
        own = None if before is None else before.take(rows)
        if pieces.steps is None and own is None:
            y = model.predict(part, return_state=after is not None, threads=threads)
            if after is not None:
                y, new = y
                after.append(new)
            yield rows, 0, True, _several(y)
            report(rows.stop, batch)
            continue
        stream = model.stream(len(rows), own)
        for first in range(0, length, steps):
            stop = min(first + steps, length)
            y = stream.feed(part if pieces.steps is None else part[0][:, first:stop], threads=threads)
            yield rows, first, stop == length, _several(y)
            report(rows.start * length + len(rows) * stop, batch * length)
        if after is not None:
            after.append(stream.state)


def _several(y: Any) -> tuple[np.ndarray, ...]:
    return y if isinstance(y, tuple) else (y,)


def _require_steps(model: Model, run: Run) -> None:
    option = "--state" if run.state is not None else "--save-state" if run.save_state is not None else None
    if option is not None and model.whole is not None:
        raise InputError(f"{option}: {model.whole.owner} needs all time steps at once, so that a run cannot go on from "
                         "the state of another; give whole sequences")


def _state(path: Path, batch: int) -> State:
    state = State.load(path)
    if state.batch != batch:
        raise FileError(f"{path}: is the state of {show.many(state.batch, 'sequence')}, the data have {batch:,}; give "
                        "the same sequences further on")
    return state


def _require_ending(made: dict[str, tuple[int | None, ...]], output: Path | None) -> None:
    """Before any work: can the outputs be written as that kind of file, or printed?"""
    where = "standard output" if output is None else str(output)
    ending = None if output is None else output.suffix
    if ending == ".npz":
        return
    odd = next((name for name, shape in made.items() if len(shape) > 2 and not (len(shape) == 3 and shape[0] == 1)),
               None)
    if len(made) > 1 and (ending is not None or odd is not None):
        raise InputError(message("kiyas recurrent predict", "--output",
                                 f"a .npz file, as the model has several outputs ({', '.join(made)})", where))
    if odd is not None and ending != ".npy":
        raise InputError(message("kiyas recurrent predict", "--output",
                                 f"a .npy file for {odd}, of shape {_shown(made[odd])}", where))


def _shown(shape: tuple[int | None, ...]) -> str:
    return f"({', '.join('any' if size is None else str(size) for size in shape)})"


def _tell(sink: Sink, made: dict[str, Any], output: Path | None, json: bool) -> None:
    if output is not None:
        if json:
            show.print_json({"file": str(output), "outputs": dict(zip(made, sink.shapes, strict=True))})
        else:
            shapes = ", ".join(f"{name} {shape}" for name, shape in zip(made, sink.shapes, strict=True))
            show.console().print(Text.assemble((str(output), "bold"), f": {shapes}"))
    elif json:
        show.print_json({"outputs": dict(zip(made, sink.arrays, strict=True))})
    else:
        for name, array in zip(made, sink.arrays, strict=False):
            sys.stdout.write(f"# {name}\n")
            Lines(sys.stdout).put(0, array.shape, 0, 0, array)
