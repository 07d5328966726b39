"""Diagnosis of a space of vectors: what is in it, what that means, which measures it makes equivalent or dangerous.

`diagnose` measures everything; each `Finding` has its formula, its meaning and a picture. See docs/diagnosing.md.
"""

from kiyas.evaluate.diagnosis.finding import Finding, Plot
from kiyas.evaluate.diagnosis.whole import Diagnosis, diagnose

__all__ = ["Diagnosis", "Finding", "Plot", "diagnose"]
