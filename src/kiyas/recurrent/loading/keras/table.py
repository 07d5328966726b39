"""What stands for each Keras class: the weights that it has, in Keras' order, and the layer of ours that it becomes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kiyas.recurrent.layers.base import Layer
from kiyas.recurrent.loading.keras.options import Options

Names = tuple[str, ...]
Build = Callable[[Options], Layer]
NamesOf = Callable[[Options], tuple[Names, Names]]


@dataclass(frozen=True)
class Entry:
    """How a class is read.

    ``weights(options)`` names its weights in Keras' order, the trainable ones and then the others; ``build`` makes the
    layer of them; ``in_cell`` tells that ``.weights.h5`` files keep them one level down, under ``cell``.
    """

    weights: NamesOf
    build: Build
    in_cell: bool = False


ENTRIES: dict[str, Entry] = {}


def always(*names: str) -> NamesOf:
    """The weights of these names, whatever the options."""
    return lambda _: (names, ())


def entry(*class_names: str, weights: NamesOf | None = None, in_cell: bool = False) -> Callable[[Build], Build]:
    """Enter the decorated function as what builds layers of these classes."""
    def enter(build: Build) -> Build:
        for name in class_names:
            ENTRIES[name] = Entry(weights or always(), build, in_cell)
        return build
    return enter


def with_bias(*names: str) -> NamesOf:
    """The weights of these names, and the last of them only with ``use_bias`` (in Keras 1 ``bias``)."""
    def weights(options: Options) -> tuple[Names, Names]:
        return (names if options.flag("use_bias", "bias", default=True) else names[:-1]), ()
    return weights
