"""Layers of a person's own, by class name: what a loader makes of a class that kiyas does not have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from kiyas.errors import InputError, message
from kiyas.recurrent.layers.base import Layer

# (name of the layer, its config in the file, its weights in the file's order) -> a frozen layer
Factory = Callable[[str, Mapping[str, Any], Sequence[np.ndarray]], Layer]

_registered: dict[str, Factory] = {}


def register_layer(class_name: str, factory: Factory) -> None:
    """Say how a layer class that kiyas does not know is made from a file.

    Parameters: ``class_name``: as the file has it (Keras: ``MyLayer``, or ``package>MyLayer``); ``factory``: called
    with the layer's name, its config and its weights (NumPy arrays in the file's order), returns a `Layer`: one of
    ours, or an instance of a subclass of `kiyas.recurrent.layers.Layer` or `Elementwise`. Registering again replaces.

    >>> from kiyas.recurrent.layers import ActivationLayer
    >>> register_layer("Squash", lambda name, config, weights: ActivationLayer(name, "tanh"))
    >>> registered("Squash")("squash", {}, []).name
    'squash'
    """
    if not isinstance(class_name, str) or not class_name:
        raise InputError(message("register_layer", "class_name", "the name of a class", repr(class_name)))
    if not callable(factory):
        raise InputError(message("register_layer", "factory", "a callable (name, config, weights) -> layer",
                                 type(factory).__name__))
    _registered[class_name] = factory


def registered(class_name: str) -> Factory | None:
    """The factory of a class name, or None."""
    return _registered.get(class_name)
