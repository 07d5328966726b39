import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiyas.encode import CallableEncoder, documents_from_passages, passages, search_documents, sentences, split_texts
from kiyas.errors import InputError


def words(texts):
    return [len(text.split()) for text in texts]


def marked_bytes(texts):
    """Like a model's tokenizer: two marks a text, and a token for every two bytes of a word."""
    return [2 + sum((len(word.encode()) + 1) // 2 for word in text.split()) for text in texts]


def across_seams(texts):
    """A tokenizer whose counts do not add up: joining words costs tokens, by their number."""
    return [len(text.split()) + len(text.split()) // 3 for text in texts]


def cut(text):
    return [text[a:b] for a, b in sentences(text)]


# ---- sentences


@pytest.mark.parametrize("parts", [
    ["Prof. Dr. Ayşe Yılmaz, A.Ş. ve Ltd. Şti. hakkında konuştu.", "Sonra gitti."],
    ["Elma, armut vb. meyveler aldım.", "20. yüzyılda II. Mehmet vb.", "O gitti.", "Saat 10.30'da bitti."],
    ["T.C. Merkez Bankası M.Ö. 3. yüzyılda yoktu.", "Yrd. Doç. Dr. Ali bunu yazdı (bkz. s. 12)."],
    ["“Nereye gidiyorsun?” dedi.", "“Eve!”", "Sonra… sustu.", "Bitti…", "Peki."],
    ["Mr. Smith paid $3.50 for it, i.e. too much.", "Really?", "He said no.", "It ended in 1990.", "The end...", "So."],
    ["J. R. R. Tolkien wrote it, e.g. this.", "See No. 5, Fig. 3 and pp. 4, Eq. 4).", "(A remark.)",
     '"Quoted."', "Next."],
    ["Visit www.site.com.", "It costs 3.14.", "Done!", "Ph.D. Smith et al. agree.", "Yes."],
    ["an experimental study etc. was made .", "it was dr. smith vs. nobody.", "he left."],
    ["Wait . . . what?", "OK . . .", "Then."],
    ["Title without a stop", "First paragraph\nhas two lines.", "- an item", "* another", "1. a third", "Last"],
])
def test_sentences(parts):
    joined = " ".join(parts)
    if parts[0].startswith("Title"):
        joined = f"{parts[0]}\n \n{parts[1]}\n" + "\n".join(parts[2:5]) + f"\n\n{parts[5]}\n"
    assert cut(joined) == parts


def test_sentences_elsewhere():
    assert cut("これは文です。次の文！") == ["これは文です。", "次の文！"]
    assert cut("हाँ। नहीं।") == ["हाँ।", "नहीं।"]
    assert sentences("") == sentences(" \n ") == []
    assert cut("  a  ") == ["a"]


@settings(max_examples=300, deadline=None)
@given(st.text("aBÇi.!?…\"”) \n-1V", max_size=60))
def test_sentences_lose_nothing(text):
    spans = sentences(text)
    inside = np.zeros(len(text), bool)
    last = 0
    for start, stop in spans:
        assert last <= start < stop
        assert not text[start].isspace()
        assert not text[stop - 1].isspace()
        inside[start:stop] = True
        last = stop
    assert all(inside[i] or c.isspace() for i, c in enumerate(text))


# ---- passages


def check(texts, passages, limit, counter):
    assert len(passages) == len(passages.texts) == len(passages.documents) == len(passages.spans)
    assert passages.documents.dtype == passages.spans.dtype == np.int64
    assert (np.diff(passages.documents) >= 0).all()
    assert set(passages.documents.tolist()) == set(range(len(texts))), "every text has a passage"
    for text, d, (a, b) in zip(passages.texts, passages.documents, passages.spans, strict=True):
        assert text == texts[d][a:b]
    for d, text in enumerate(texts):
        spans = passages.spans[passages.documents == d]
        inside = np.zeros(len(text), bool)
        for a, b in spans:
            inside[a:b] = True
        assert all(inside[i] or c.isspace() for i, c in enumerate(text)), "nothing is lost"
        if len(spans) == 1 and counter([text])[0] <= limit:
            assert spans.tolist() == [[0, len(text)]]
        # Each passage holds something that the one before it does not.
        assert (np.diff(spans[:, 0]) > 0).all()
        assert (np.diff(spans[:, 1]) > 0).all()
    counts = counter(passages.texts)
    assert all(n <= limit for n, text in zip(counts, passages.texts, strict=True) if text.strip())


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text("ab ç.\n!😀", max_size=120), min_size=1, max_size=4), st.integers(4, 30), st.integers(0, 3),
       st.sampled_from([words, marked_bytes, across_seams]), st.data())
def test_passages_cover_their_texts_within_the_limit(texts, limit, overlap, counter, data):
    back = data.draw(st.none() | st.integers(0, limit - 1))
    passages = split_texts(texts, passage_tokens=limit, overlap=overlap, overlap_tokens=back, count_tokens=counter)
    check(texts, passages, limit, counter)


def test_passages_of_ordinary_text():
    rng = np.random.default_rng(0)
    texts = [" ".join(" ".join(["Word", *["w" * int(n) for n in rng.integers(1, 9, int(size))]]) + "."
                      for size in rng.integers(3, 40, int(count))) for count in rng.integers(1, 60, 20)]
    for counter in (words, marked_bytes, across_seams):
        passages = split_texts(texts, passage_tokens=64, count_tokens=counter)
        check(texts, passages, 64, counter)
        # Sentences of at most 40 words fit, so that every passage begins and ends at sentence bounds.
        if counter is words:
            assert all(text.startswith("Word ") and text.endswith(".") for text in passages.texts)
            full = np.mean(words(passages.texts))
            assert full > 40


def test_overlap_repeats_whole_sentences():
    text = " ".join(f"S{i} w{i}." for i in range(6))
    def parts(**options):
        return split_texts([text], passage_tokens=6, count_tokens=words, **options).texts
    assert parts(overlap=0) == ["S0 w0. S1 w1. S2 w2.", "S3 w3. S4 w4. S5 w5."]
    assert parts() == ["S0 w0. S1 w1. S2 w2.", "S3 w3. S4 w4. S5 w5."], "a sentence is more than a quarter of six"
    assert parts(overlap_tokens=2) == ["S0 w0. S1 w1. S2 w2.", "S2 w2. S3 w3. S4 w4.", "S4 w4. S5 w5."]
    assert parts(overlap=1, overlap_tokens=5) == parts(overlap_tokens=2)
    assert parts(overlap=2, overlap_tokens=4)[:2] == ["S0 w0. S1 w1. S2 w2.", "S1 w1. S2 w2. S3 w3."]


def test_an_overlong_sentence_is_split_on_words_and_overlaps():
    text = "Short one. " + " ".join(f"w{i}" for i in range(20)) + ". Last one."
    passages = split_texts([text], passage_tokens=8, count_tokens=words)
    check([text], passages, 8, words)
    assert passages.texts[0] == "Short one. w0 w1 w2 w3 w4 w5"
    assert passages.texts[1].startswith("w4 w5 w6")
    assert passages.texts[-1].endswith("Last one.")


def test_an_overlong_word_is_split_and_a_hopeless_character_raises():
    text = "a" * 100 + " ok"
    passages = split_texts([text], passage_tokens=12, count_tokens=marked_bytes)
    check([text], passages, 12, marked_bytes)
    with pytest.raises(InputError, match=r"single character.*text 1 has one of 4 tokens at character 3"):
        split_texts(["fine", "a b😀" * 9], passage_tokens=3, count_tokens=marked_bytes)


def test_short_and_blank_texts_stay_as_they_are():
    texts = ["", "  a b \n", " ", "one two three four. five."]
    passages = split_texts(texts, passage_tokens=4, count_tokens=words)
    assert passages.texts == ["", "  a b \n", " ", "one two three four.", "five."]
    assert passages.documents.tolist() == [0, 1, 2, 3, 3]
    assert passages.spans[:3].tolist() == [[0, 0], [0, 7], [0, 1]]
    # White space has tokens for some tokenizers; there is still nothing in it to split.
    assert split_texts([" " * 50], passage_tokens=4, count_tokens=lambda ts: [len(t) for t in ts]).texts == [" " * 50]


def test_the_limit_of_the_encoder():
    def vectors(texts):
        return np.ones((len(texts), 2))

    limited = CallableEncoder(vectors, max_tokens=3, count_tokens=words)
    free = CallableEncoder(vectors, count_tokens=words)
    text = "a b. c d. e f."
    assert split_texts([text], limited).texts == ["a b.", "c d.", "e f."]
    assert split_texts([text], free).texts == [text]
    assert split_texts([text], free, passage_tokens=4, overlap=0).texts == ["a b. c d.", "e f."]
    assert limited.encode(split_texts([text], limited).texts).shape == (3, 2)
    with pytest.raises(InputError, match=r"'passage_tokens' must be an integer from 1 to 3.*cut off by the encoder"):
        split_texts([text], limited, passage_tokens=4)


def test_progress_and_bad_arguments():
    calls = []
    split_texts(["a"] * 600, passage_tokens=2, count_tokens=words, progress=lambda *x: calls.append(x))
    assert calls == [(256, 600), (512, 600), (600, 600)]
    with pytest.raises(InputError, match="neither"):
        split_texts(["a"])
    with pytest.raises(InputError, match="both"):
        split_texts(["a"], CallableEncoder(words), count_tokens=words)
    for options, name in (({"passage_tokens": 0}, "passage_tokens"), ({"overlap": -1}, "overlap"),
                          ({"passage_tokens": 4, "overlap_tokens": 4}, "overlap_tokens")):
        with pytest.raises(InputError, match=f"'{name}'"):
            split_texts(["a"], count_tokens=words, **options)
    with pytest.raises(InputError, match="put a single text in a list"):
        split_texts("a", count_tokens=words)
    with pytest.raises(InputError, match="'count_tokens'"):
        split_texts(["a"], passage_tokens=3, count_tokens=lambda texts: [1.0] * len(texts))


# ---- documents


def naive_documents(scores, owners, k, by):
    """From the scores of all passages of one query: [(document, score, best passage)]."""
    found = []
    for document in sorted({o for o in owners if o >= 0}):
        mine = sorted((-scores[i], i) for i in range(len(owners)) if owners[i] == document)
        best = [-s for s, _ in mine][:1 if by == "best" else 3]
        total = 0.0
        for s in best:
            total += s
        found.append((-total / len(best), document, mine[0][1]))
    return [(document, -score, passage) for score, document, passage in sorted(found)[:k]]


def hits_of(scores, owners, fetch):
    order = np.argsort(-scores, axis=1, kind="stable")
    out = [[i for i in row if owners[i] >= 0][:fetch] for row in order]
    ids = np.array(out, np.int64)
    return ids, np.take_along_axis(scores, ids, axis=1)


@settings(max_examples=300, deadline=None)
@given(st.data(), st.sampled_from(["best", "mean3"]))
def test_documents_are_exact_when_they_say_so(data, by):
    passages = data.draw(st.integers(1, 24))
    owners = np.array(data.draw(st.lists(st.integers(-1, 5), min_size=passages, max_size=passages)))
    if (owners >= 0).sum() == 0:
        owners[0] = 2
    if data.draw(st.booleans()):
        owners = np.sort(owners)
    grid = st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.7, -0.4, 1 / 3])
    scores = np.array([data.draw(st.lists(grid, min_size=passages, max_size=passages)) for _ in range(3)])
    k = data.draw(st.integers(1, len({o for o in owners if o >= 0})))
    want = [naive_documents(row, owners, k, by) for row in scores.tolist()]
    for fetch in range(1, (owners >= 0).sum() + 1):
        hits = documents_from_passages(*hits_of(scores, owners, fetch), owners, k, by)
        for q in np.flatnonzero(hits.exact):
            assert list(zip(hits.documents[q], hits.scores[q], hits.passages[q], strict=True)) == want[q]
    assert hits.exact.all(), "with every passage fetched"
    calls = []

    def search(rows, fetch):
        calls.append((rows.tolist(), fetch))
        return hits_of(scores[rows], owners, fetch)

    found = search_documents(search, 3, owners, k, by, fetch=1)
    assert found.exact.all()
    for q in range(3):
        assert list(zip(found.documents[q], found.scores[q], found.passages[q], strict=True)) == want[q]
    assert [n for _, n in calls] == sorted({n for _, n in calls})


def test_few_passages_suffice_for_the_best():
    rng = np.random.default_rng(0)
    owners = np.repeat(np.arange(200), 5)
    scores = rng.random((8, 1000))
    calls = []

    def search(rows, fetch):
        calls.append(fetch)
        return hits_of(scores[rows], owners, fetch)

    assert search_documents(search, 8, owners, 10).exact.all()
    assert calls == [40]
    search_documents(search, 8, owners, 10, by="mean3")
    assert max(calls) < 1000


def test_scores_and_passages_by_hand():
    ids, scores = [[5, 0, 4, 1, 2]], [[.9, .8, .6, .5, .1]]
    owners = [0, 0, 0, 1, 2, 2]
    best = documents_from_passages(ids, scores, owners, k=2)
    assert best.documents.tolist() == [[2, 0]]
    assert best.scores.tolist() == [[.9, .8]]
    assert best.passages.tolist() == [[5, 0]]
    assert best.exact.tolist() == [True]
    mean = documents_from_passages(ids, scores, owners, k=2, by="mean3")
    np.testing.assert_allclose(mean.scores, [[.75, (.8 + .5 + .1) / 3]])
    assert mean.exact.tolist() == [True], "the document that is left has one passage, of at most 0.1"
    short = documents_from_passages([[5, 0]], [[.9, .8]], owners, k=2, by="mean3")
    assert short.exact.tolist() == [False]
    equal = documents_from_passages([[5]], [[.9]], owners, k=1)
    assert equal.exact.tolist() == [False], "document 0 may score as much and comes before 2"


def test_rows_that_ended_are_exact():
    owners = [0, 0, 1, 2]
    ids, scores = [[2, 0, -1], [-1, -1, -1]], [[.9, .5, np.nan], [np.nan] * 3]
    for by in ("best", "mean3"):
        hits = documents_from_passages(ids, scores, owners, k=3, by=by)
        assert hits.exact.tolist() == [True, True]
        assert hits.documents.tolist() == [[1, 0, -1], [-1, -1, -1]]
        np.testing.assert_array_equal(hits.scores, [[.9, .5, np.nan], [np.nan] * 3])
        assert hits.passages.tolist() == [[2, 0, -1], [-1, -1, -1]]


@pytest.mark.parametrize(("ids", "scores", "owners", "options", "words"), [
    ([[0, 1]], [[.1, .2]], [0, 1], {}, "best first"),
    ([[0, 1]], [[.2, np.nan]], [0, 1], {}, "other in row 0"),
    ([[0, 1]], [[np.inf, 1]], [0, 1], {}, "finite"),
    ([[0, 1], [-1, 1]], [[.2, .1], [.2, .1]], [0, 1], {}, "other in row 1"),
    ([[0, 0]], [[.2, .1]], [0, 1], {}, "different passages"),
    ([[0, 1]], [[.2, .1]], [0, -1], {}, "left out"),
    ([[0, 2]], [[.2, .1]], [0, 1], {}, "rows of the 2 passages"),
    ([[0, -2]], [[.2, .1]], [0, 1], {}, "rows of the 2 passages"),
    ([["a"]], [[.2]], [0, 1], {}, "'ids'"),
    ([0], [.2], [0, 1], {}, "'ids'"),
    ([[0]], [[.2, .1]], [0, 1], {}, "'scores'"),
    ([[0]], [[.2]], [[0]], {}, "'documents'"),
    ([[0]], [[.2]], [-1], {}, "'documents'"),
    ([[0]], [[.2]], [0.0], {}, "'documents'"),
    ([[0]], [[.2]], [0, 1], {"k": 3}, "'k' must be an integer from 1 to 2"),
    ([[0]], [[.2]], [0, 1], {"by": "mean"}, "'best' or 'mean3'"),
])
def test_bad_hits(ids, scores, owners, options, words):
    with pytest.raises(InputError, match=words):
        documents_from_passages(ids, scores, owners, **{"k": 1, **options})


def test_a_search_that_returns_too_few_raises():
    with pytest.raises(InputError, match="'search'"):
        search_documents(lambda rows, fetch: ([[0]], [[.5]]), 1, [0, 0, 1, 1], 2, fetch=3)


def test_a_text_without_ends_of_sentences_is_split_in_bounded_memory(monkeypatch):
    text = "an old man walks past the river " * 20_000
    seen = []

    def counted(texts):
        seen.append(len(texts))
        return words(texts)

    tracemalloc.start()
    try:
        found = split_texts([text], passage_tokens=50, count_tokens=counted, overlap=0)
        used = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert " ".join(found.texts) == text.strip()
    assert max(seen) <= passages._COUNTED
    assert used < 25 * len(text)
    monkeypatch.setattr(passages, "_COUNTED", 7)
    again = split_texts([text[:5000]], passage_tokens=50, count_tokens=words, overlap=0)
    assert again.texts == found.texts[:len(again)][:-1] + again.texts[-1:]
