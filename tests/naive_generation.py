"""Generation as slowly and plainly as can be: loops over lists, and the usual Keras loop written out."""

import itertools
import math


def keras_loop(predict, numbers_of, word_of, seed_text, steps, maxlen, padding="pre", join=" "):
    """The loop of countless tutorials: tokenize the whole text, pad, predict, argmax, append the word. The numbers."""
    found, text = [], seed_text
    for _ in range(steps):
        ids = numbers_of(text)[-maxlen:]
        zeros = [0] * (maxlen - len(ids))
        row = predict(zeros + ids if padding == "pre" else ids + zeros)
        best = max(range(len(row)), key=lambda i: (row[i], -i))
        found.append(best)
        text += join + word_of.get(best, "")
    return found, text


def chances(logs, temperature=None, top_k=None, top_p=None):
    """{number: probability} of what may be drawn, number by number."""
    heat = 1.0 if temperature is None else temperature
    ranked = sorted(range(len(logs)), key=lambda i: (-logs[i], i))
    if top_k is not None:
        ranked = ranked[:top_k]
    weights = {i: math.exp((logs[i] - logs[ranked[0]]) / heat) for i in ranked}
    total = math.fsum(weights.values())
    weights = {i: w / total for i, w in weights.items()}
    if top_p is not None:
        kept, reached = [], 0.0
        for i in ranked:
            kept.append(i)
            reached += weights[i]
            if reached >= top_p - 1e-12:
                break
        total = math.fsum(weights[i] for i in kept)
        weights = {i: weights[i] / total for i in kept}
    return {i: w for i, w in sorted(weights.items()) if w > 0}


def drawn(weights, u):
    """The number that a uniform draw falls on, going over the numbers as they rise."""
    reached = 0.0
    for i, w in weights.items():
        reached += w
        if u < reached:
            return i
    return i


def all_texts(logs_after, numbers, steps, power=0.0, stop=()):
    """Every text of up to ``steps`` numbers, [(score, numbers)], best first; ``stop`` numbers end one."""
    found = []
    for length in range(1, steps + 1):
        for text in itertools.product(numbers, repeat=length):
            ends = text[-1] in stop
            if any(i in stop for i in text[:-1]) or (length < steps and not ends):
                continue
            total = sum(logs_after(text[:k])[text[k]] for k in range(length))
            found.append((total / length**power, text))
    return sorted(found, key=lambda one: -one[0])
