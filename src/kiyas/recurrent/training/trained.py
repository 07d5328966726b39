"""What training returns: a frozen model, its tokenizer, and how it went."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from kiyas.recurrent.model import Model
from kiyas.recurrent.tokenizer import Tokenizer
from kiyas.recurrent.training.schedule import Epoch


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained model.

    ``model`` runs as any other; ``tokenizer`` turns texts into its ids; ``epochs`` tell how it went; ``validation``
    has the score of the best epoch, by its name.
    """

    model: Model
    tokenizer: Tokenizer
    epochs: list[Epoch]
    validation: dict[str, float]

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the model, and its tokenizer beside it as NAME.tokenizer.json; return the path of the latter."""
        target = Path(path)
        beside = tokenizer_path(target)
        self.tokenizer.save(beside)
        self.model.save(target)
        return beside


def tokenizer_path(model: Path) -> Path:
    """Where the tokenizer of a model lies.

    >>> tokenizer_path(Path("models/small.safetensors")).name
    'small.tokenizer.json'
    """
    return model.with_name(f"{model.stem}.tokenizer.json")


def digest(*texts: str) -> str:
    """A fingerprint of texts, to tell whether a run goes on with the same."""
    found = hashlib.sha256()
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        found.update(len(data).to_bytes(8, "little"))
        found.update(data)
    return found.hexdigest()
