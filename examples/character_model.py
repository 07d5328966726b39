"""Train a small character model on Python's own docstrings, save it, load it without PyTorch, let it write."""

import argparse
import inspect
import logging
import subprocess
import tempfile
from pathlib import Path

from kiyas import recurrent
from kiyas.recurrent import LanguageModel, Schedule, train_language_model

# A text that every Python has: what its modules say of themselves.
text = "\n\n".join(
    inspect.cleandoc(thing.__doc__)
    for module in (argparse, inspect, logging, subprocess)
    for _, thing in inspect.getmembers(module, lambda x: inspect.isclass(x) or inspect.isfunction(x))
    if thing.__doc__)

done = train_language_model(
    text, LanguageModel(level="character", hidden=48, layers=2, window=32, lower=True),
    Schedule(epochs=4, batch=8, rate=5e-3),
    on_epoch=lambda epoch: print(f"epoch {epoch.number}: loss {epoch.loss:.2f}, validation {-epoch.score:.2f}"))
print(f"undecided among {done.validation['perplexity']:.1f} characters, of {len(done.tokenizer)}")

with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "docstrings.safetensors"
    done.save(file)  # and docstrings.tokenizer.json beside it
    model = recurrent.load(file)

print(recurrent.generate(model, done.tokenizer, seed_text="return the ", steps=80, temperature=0.5, seed=0).text)
