"""Training, through PyTorch (extra ``torch``): language models and sentence encoders. See docs/training.md.

What comes out is an ordinary frozen model; PyTorch is needed to train it and not to run it.
"""

from __future__ import annotations

from kiyas.recurrent.training.language import LanguageModel, train_language_model
from kiyas.recurrent.training.schedule import Epoch, Schedule
from kiyas.recurrent.training.sentences import SentenceEncoder, train_sentence_encoder
from kiyas.recurrent.training.trained import Trained

__all__ = [
    "Epoch",
    "LanguageModel",
    "Schedule",
    "SentenceEncoder",
    "Trained",
    "train_language_model",
    "train_sentence_encoder",
]
