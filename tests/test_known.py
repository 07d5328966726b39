"""Known items: questions and answers from texts alone."""

from itertools import pairwise

import numpy as np
import pytest

from kiyas.encode import different_texts, known_items
from kiyas.errors import InputError

WORDS = ["read", "write", "file", "thread", "date", "text", "close", "open", "number", "list", "print", "value"]
REST = "It goes on and on with enough words to be an answer."


def pairs(text):
    words = text.lower().split()
    return set(pairwise(words))


@pytest.mark.parametrize("share", [0.5, 0.8, 0.95])
def test_near_duplicates_are_found_as_by_comparing_all(share):
    rng = np.random.default_rng(1)
    base = [list(rng.choice(WORDS, size=30)) for _ in range(40)]
    texts = [" ".join(b) for b in base]
    for b in base[:20]:
        b[int(rng.integers(30))] = "other"
        texts.append(" ".join(b))
    texts.append(texts[3].upper())
    kept = []
    for i, text in enumerate(texts):
        p = pairs(text)
        if all(len(p & pairs(texts[j])) < share * len(p | pairs(texts[j])) for j in kept):
            kept.append(i)
    assert different_texts(texts, share) == kept
    assert len(kept) < len(texts)


def test_progress_counts_texts():
    told = []
    different_texts([f"text number {i} of many" for i in range(600)], progress=lambda a, b: told.append((a, b)))
    assert told == [(0, 600), (256, 600), (512, 600)]


def test_texts_of_a_word_are_compared_by_it():
    assert different_texts(["one", "two", "One!", "", "?"]) == [0, 1, 3]


def test_known_items_hide_the_question_from_the_answer():
    items = known_items([f"Open a file for reading. {REST}", "Too short. " + REST,
                         f"Say the same thing twice. {REST} More.", f"Say the same thing twice. {REST} Less."])
    assert items.queries == ["Open a file for reading."]
    assert items.targets == [0]
    assert items.texts[0] == REST
    assert items.texts[1].startswith("Too short.")
    assert (items.ambiguous, items.short) == (2, 1)


def test_titles_look_for_bodies_and_sentences_stand_in():
    titles = ["The care of old  bicycles", "", "Short one", "The care of old bicycles!"]
    bodies = [REST, f"Here the first sentence asks. {REST}", REST, REST + " Else."]
    items = known_items(bodies, titles)
    assert items.queries == ["Here the first sentence asks."]
    assert (items.targets, items.ambiguous, items.short) == ([1], 2, 1)
    items = known_items(bodies[:3], titles[:3])
    assert items.queries == ["The care of old bicycles", "Here the first sentence asks."]
    assert items.texts == [REST, REST, REST]
    with pytest.raises(InputError, match="'titles' must be 2, one a text, got 1"):
        known_items(["a", "b"], ["c"])


def test_a_title_on_a_line_of_its_own_is_a_question():
    items = known_items([f"The care of old bicycles\n\n{REST}"])
    assert items.queries == ["The care of old bicycles"] and items.texts == [REST]
