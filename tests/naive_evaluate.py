"""Tests of significance and expected metrics with plain loops. Imports nothing of kiyas."""

import itertools
import math


def sign_flip_exact(differences):
    """The p-value over all 2ⁿ sign patterns."""
    seen = abs(sum(differences)) - 1e-12
    patterns = list(itertools.product((1, -1), repeat=len(differences)))
    return sum(abs(sum(s * d for s, d in zip(p, differences, strict=True))) >= seen for p in patterns) / len(patterns)


def holm(p_values):
    """Step down: the smallest times their number, the next times one less, and never below the one before."""
    adjusted, highest = [None] * len(p_values), 0.0
    for step, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, p_values[i] * (len(p_values) - step))
        adjusted[i] = min(1.0, highest)
    return adjusted


def effect_size(differences):
    mean = sum(differences) / len(differences)
    return mean / math.sqrt(sum((d - mean) ** 2 for d in differences) / (len(differences) - 1))
