"""The loop that every kind of training shares: steps, validation, the best epoch, checkpoints, exact resumption.

A run that was stopped and resumed ends with the same weights, bit for bit on the CPU, as one that was not: the
checkpoint holds the weights, Adam's moments, the random state, the place in the epoch and what the task carries.
"""

from __future__ import annotations

import math
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kiyas.errors import FileError, InputError, message, missing_extra
from kiyas.recurrent.training import checkpoint as files
from kiyas.recurrent.training.schedule import Epoch, Schedule

Tensor = Any  # torch.Tensor; torch is imported only when training is asked for
Progress = Callable[[int, int], None]


def import_torch(device: str = "cpu") -> Any:
    """PyTorch with that device, or an error: with its install line, or naming the device that is not there."""
    try:
        import torch
    except ImportError:
        raise missing_extra("torch", "torch", "training") from None
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        why = str(error).partition("\n")[0]
        raise InputError(message("Schedule", "device", "one that PyTorch has here", f"{device!r} ({why})")) from None
    return torch


class Task(ABC):
    """What is trained: a network, its batches, its loss and its validation score."""

    network: Any

    @property
    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """Everything that a resumed run has to share with the one it goes on from: plain values by name."""

    @abstractmethod
    def steps(self) -> int:
        """Steps in an epoch."""

    @abstractmethod
    def begin(self, epoch: int) -> None:
        """Get ready for an epoch, from its number alone or from what is then `carried`."""

    @abstractmethod
    def loss(self, step: int) -> tuple[Tensor, int]:
        """The mean loss of a step and of how many items it is the mean."""

    @abstractmethod
    def score(self) -> float:
        """The validation score; larger is better."""

    def carried(self) -> list[Tensor]:
        """What goes over from step to step beside the weights."""
        return []

    def carry(self, carried: list[Tensor]) -> None:  # noqa: B027  most tasks carry nothing
        """Take up what `carried` gave."""


@dataclass
class _Place:
    """Where a run is: the epoch, the next step in it, its loss so far, the epochs behind it and the best weights."""

    epoch: int = 0
    step: int = 0
    total: float = 0.0
    items: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)


def fit(task: Task, schedule: Schedule, checkpoint: Path | None = None, resume: bool = False,
        progress: Progress | None = None, on_epoch: Callable[[Epoch], None] | None = None) -> list[Epoch]:
    """Train the task's network in place, leave it with its best weights, and return the epochs.

    Parameters: ``checkpoint``, where to keep the run, None for nowhere; ``resume``, go on from that file;
    ``progress(done, total)`` after every step; ``on_epoch(epoch)`` after every epoch.
    Ctrl-C finishes the step, writes the checkpoint and raises KeyboardInterrupt. Raises `FileError` where a
    checkpoint is in the way or belongs to another run, `InputError` where the loss is no number any more.
    """
    torch = import_torch()
    if checkpoint is not None and not resume and checkpoint.exists():
        raise FileError(f"{checkpoint}: a run that did not end; resume it, or remove the file and start anew")
    if resume and checkpoint is None:
        raise InputError("training: to resume, name the checkpoint")
    run = _Run(torch, task, schedule, checkpoint)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(schedule.seed)
        if resume:
            run.restore()
        with _finishing_steps() as stopped:
            run.train(stopped, progress, on_epoch)
    return [Epoch(**one) for one in run.place.history]


class _Run:
    """One run of `fit`."""

    def __init__(self, torch: Any, task: Task, schedule: Schedule, checkpoint: Path | None) -> None:
        self.torch, self.task, self.schedule, self.checkpoint = torch, task, schedule, checkpoint
        self.weights = list(task.network.parameters())
        self.optimizer = torch.optim.Adam(self.weights, lr=schedule.rate)
        self.place = _Place()

    def train(self, stopped: Callable[[], bool], progress: Progress | None,
              on_epoch: Callable[[Epoch], None] | None) -> None:
        place, steps = self.place, self.task.steps()
        while place.epoch < self.schedule.epochs and not self._enough():
            if place.step == 0:
                self.task.begin(place.epoch)
            for step in range(place.step, steps):
                self._step(step)
                if progress is not None:
                    progress(place.epoch * steps + step + 1, self.schedule.epochs * steps)
                halt = stopped()
                if halt or (step + 1) % self.schedule.checkpoint_every == 0:
                    self._save()
                if halt:
                    raise KeyboardInterrupt
            epoch = self._end_epoch()
            self._save()
            if on_epoch is not None:
                on_epoch(epoch)
        self.task.network.load_state_dict(place.best)
        self.task.network.eval()

    def _enough(self) -> bool:
        best = max((one["number"] for one in self.place.history if one["best"]), default=0)
        return len(self.place.history) - best >= self.schedule.patience

    def _step(self, step: int) -> None:
        self.task.network.train()
        loss, items = self.task.loss(step)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = self.torch.nn.utils.clip_grad_norm_(self.weights, self.schedule.clip)
        # float() of both: the check has to come before the weights take a step into nowhere.
        value = float(loss.detach())
        if not (math.isfinite(value) and math.isfinite(float(norm))):
            raise InputError(f"training: loss {value:g} with a gradient of norm {float(norm):g} in epoch "
                             f"{self.place.epoch + 1}, step {step + 1}; lower the rate (now {self.schedule.rate:g}), "
                             "and look for pairs of two equal texts")
        self.optimizer.step()
        place = self.place
        place.step, place.total, place.items = step + 1, place.total + value * items, place.items + items

    def _end_epoch(self) -> Epoch:
        place = self.place
        self.task.network.eval()
        with self.torch.no_grad():
            score = self.task.score()
        before = max((one["score"] for one in place.history), default=-math.inf)
        epoch = Epoch(place.epoch + 1, place.total / place.items, score, score > before)
        if epoch.best:
            place.best = {name: value.detach().clone() for name, value in self.task.network.state_dict().items()}
        place.history.append(asdict(epoch))
        place.epoch, place.step, place.total, place.items = place.epoch + 1, 0, 0.0, 0
        return epoch

    # -- checkpoints -------------------------------------------------------------------------------

    def _facts(self) -> dict[str, Any]:
        # Epochs, patience and the frequency of checkpoints change nothing that was trained so far.
        later = ("epochs", "patience", "checkpoint_every")
        mine = {name: value for name, value in asdict(self.schedule).items() if name not in later}
        return {**mine, **self.task.facts}

    def _save(self) -> None:
        if self.checkpoint is None:
            return
        files.write(self.torch, self.checkpoint, {
            "facts": self._facts(), "place": asdict(self.place), "network": self.task.network.state_dict(),
            "optimizer": self.optimizer.state_dict(), "random": self.torch.get_rng_state(),
            "carried": self.task.carried()})

    def restore(self) -> None:
        assert self.checkpoint is not None  # `fit` has looked
        state = files.read(self.torch, self.checkpoint, self._facts())
        try:
            self.task.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.place = _Place(**state["place"])
            self.torch.set_rng_state(state["random"])
            carried = state["carried"]
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise FileError(f"{self.checkpoint}: is damaged ({error})") from None
        if self.place.step:
            self.task.begin(self.place.epoch)
            self.task.carry([one.to(self.schedule.device) for one in carried])


@contextmanager
def _finishing_steps() -> Iterator[Callable[[], bool]]:
    """While inside, Ctrl-C is only noted, so that no step and no file is left half done; a second one stops at once."""
    asked = False
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return

    def note(_number: int, _frame: Any) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)
