"""Judgements and queries from files: every form, and the words for every bad line."""

import json

import numpy as np
import pytest

from kiyas.encode.files import read_files
from kiyas.errors import FileError, InputError
from kiyas.evaluate import Judgements, match, read_ids, read_judgements, read_queries

GAINS = {"q1": {"d1": 2.0, "d2": 0.0}, "q2": {"d3": 1.0}}
FORMS = {
    "trec.txt": "q1 0 d1 2\nq1 0 d2 -1\n\nq2 0 d3 1\n",
    "trec.qrels": "q1\t0\td1\t2\r\nq1\t0\td2\t-1\r\nq2\t0\td3\t1\r\n",
    "beir.tsv": "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t-1\nq2\td3\t1\n",
    "bare.tsv": "q1\td1\t2\nq1\td2\t-1\nq2\td3\t1",
    "beir.jsonl": "\n".join(json.dumps(dict(zip(("query-id", "corpus-id", "score"), r, strict=True)))
                            for r in (("q1", "d1", 2), ("q1", "d2", -1), ("q2", "d3", 1))),
    "plain.jsonl": "\n".join(json.dumps(dict(zip(("query", "document", "gain"), r, strict=True)))
                             for r in (("q1", "d1", 2), ("q1", "d2", -1), ("q2", "d3", 1))),
    "qrels.json": json.dumps({"q1": {"d1": 2, "d2": -1}, "q2": {"d3": 1}}),
}


def put(folder, name, text):
    path = folder / name
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize("name", FORMS)
def test_every_form_says_the_same(name, tmp_path):
    read = read_judgements(put(tmp_path, name, FORMS[name]))
    assert {q: dict(one) for q, one in read.gains.items()} == GAINS
    assert read.negative == 1 and len(read) == 3


def test_ids_with_spaces_need_tabs(tmp_path):
    read = read_judgements(put(tmp_path, "q.tsv", "a b\tc d\t1\n"))
    assert read.gains == {"a b": {"c d": 1.0}}


@pytest.mark.parametrize(("name", "text", "words"), [
    ("q.txt", "q1 0 d1 2\nq1 d1\n", "line 2: must be 'query iteration document gain'"),
    ("q.txt", "q1 0 d1 2\nq1 0 d2 high\n", "line 2: a gain must be a number, got 'high'"),
    ("q.txt", "q1 0 d1 2\nq1 0 d2 nan\n", "line 2: a gain must be a number"),
    ("q.txt", "q1 0 d1 2\nq2 0 d1 1\nq1 0 d1 0\n",
     "line 3: judges document 'd1' for query 'q1', as line 1 does; keep one"),
    ("q.tsv", "query-id\tcorpus-id\tscore\n", "holds no judgements"),
    ("q.jsonl", '{"query-id": "a", "doc": 1}\n', "line 1: must have the fields query-id, corpus-id, score"),
    ("q.jsonl", '{"query": "a", "document": 1, "gain": true}\n', "line 1: a gain must be a number, got True"),
    ("q.jsonl", "{\n", "line 1: is not JSON"),
    ("q.json", "[1]", "must be {query: {document: gain}}"),
    ("q.json", '{"a": {"b": "x"}}', "query 'a', document 'b': a gain must be a number"),
    ("q.json", "{", "is not JSON"),
])
def test_bad_judgements_are_named_by_line(name, text, words, tmp_path):
    path = put(tmp_path, name, text)
    with pytest.raises(FileError) as caught:
        read_judgements(path)
    assert words in str(caught.value) and str(path) in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    for read in (read_judgements, read_queries, lambda p: read_ids(p, 1)):
        with pytest.raises(FileError, match="there is no such file"):
            read(tmp_path / "none.tsv")


# -- matching ----------------------------------------------------------------------------------------------------------


def test_judgements_meet_ids_of_any_type():
    found = match(GAINS, ["q2", "q1", "q3"], ["d1", "d2", "d3"])
    assert found.gains == [{"d3": 1.0}, {"d1": 2.0, "d2": 0.0}, {}]
    assert (found.judged, found.unjudged, found.negative) == (2, 1, 0)
    numbers = match({"1": {"7": 1}}, [1], [5, 7])
    assert numbers.gains == [{7: 1.0}]  # the ids of the index, as rankings have them


def test_unknown_documents_are_named_by_line_with_the_cure(tmp_path):
    path = put(tmp_path, "q.txt", "q1 0 d1 1\nq1 0 zz 1\nq1 0 yy 1\n")
    read = read_judgements(path)
    with pytest.raises(InputError) as caught:
        match(read, ["q1"], ["d1", "d2"])
    assert str(caught.value) == (
        f"{path}, line 2: document 'zz' is not in the collection of 2 (and 1 more unknown documents); queries here are "
        "like 'q1', documents like 'd1'; correct the ids, or leave such judgements out and count them with "
        "unknown='count'")
    counted = match(read, ["q1"], ["d1", "d2"], unknown="count")
    assert counted.gains == [{"d1": 1.0}] and counted.unknown_documents == 2


def test_unknown_queries_are_named_by_line(tmp_path):
    path = put(tmp_path, "q.txt", "q1 0 d1 1\nq9 0 d1 1\n")
    with pytest.raises(InputError, match=r"line 2: query 'q9' is not among the 1 queries; queries here are like 'q1'"):
        match(read_judgements(path), ["q1"], ["d1"])
    assert match(read_judgements(path), ["q1"], ["d1"], unknown="count").unknown_queries == 1


def test_rows_counted_from_one_are_explained():
    with pytest.raises(InputError, match="without ids of its own a document is known by its row, counted from 0"):
        match({"1": {"4": 1}}, ["1"], [0, 1, 2, 3])


def test_nothing_relevant_is_an_error():
    with pytest.raises(InputError, match="none of the 1 queries has a relevant document"):
        match({"a": {"b": 0}}, ["a"], ["b"])
    with pytest.raises(InputError, match="different ids"):
        match(GAINS, ["q1", "q1"], ["d1"])
    with pytest.raises(InputError, match="'unknown' must be 'error' or 'count'"):
        match(GAINS, ["q1"], ["d1"], unknown="drop")


def test_the_place_of_a_judgement_without_lines():
    assert Judgements({"a": {"b": 1.0}}, "q.json").place("a", "b") == "q.json, query 'a'"


# -- queries -----------------------------------------------------------------------------------------------------------

TEXTS = {
    "q.jsonl": '{"_id": "a", "text": "one thing"}\n\n{"_id": "b", "text": "another"}\n',
    "r.jsonl": '{"id": "a", "text": "one thing"}\n{"id": "b", "text": "another"}\n',
    "q.csv": "id,text\na,one thing\nb,another\n",
    "q.tsv": "a\tone thing\nb\tanother\n",
}


@pytest.mark.parametrize("name", TEXTS)
def test_queries_of_every_form(name, tmp_path):
    read = read_queries(put(tmp_path, name, TEXTS[name]))
    assert read.ids == ["a", "b"] and read.texts == ["one thing", "another"] and len(read) == 2


def test_queries_one_a_line_are_numbered_from_one(tmp_path):
    read = read_queries(put(tmp_path, "q.txt", "first\n\nthird\n"))
    assert read.ids == ["1", "3"] and read.texts == ["first", "third"]


def test_queries_as_vectors_have_ids_beside(tmp_path):
    np.save(tmp_path / "q.npy", np.eye(3, dtype=np.float32))
    with pytest.raises(FileError, match=r"vectors without ids.*--query-ids"):
        read_queries(tmp_path / "q.npy")
    put(tmp_path, "ids.txt", "a\nb\nc\n")
    put(tmp_path, "ids.json", '["a", "b", "c"]')
    np.save(tmp_path / "ids.npy", np.arange(3))
    for name, wanted in (("ids.txt", list("abc")), ("ids.json", list("abc")), ("ids.npy", list("012"))):
        read = read_queries(tmp_path / "q.npy", tmp_path / name)
        assert read.ids == wanted and read.vectors.shape == (3, 3)


@pytest.mark.parametrize(("name", "text", "words"), [
    ("q.jsonl", '{"id": 1, "text": "a"}\n{"id": 2, "text": " "}\n', "line 2: the query is blank"),
    ("q.jsonl", '{"id": 1, "text": "a"}\n{"id": 1, "text": "b"}\n', "line 2: the query id '1' is that of line 1"),
    ("q.jsonl", '{"text": "a"}\n', "line 1: must have the fields id and text; it has text"),
    ("q.tsv", "a\tb\nc\n", "line 2: must be an id and a text with a tab between"),
    ("q.tsv", "a\tb\nc\t\n", "line 2: the query is blank"),
    ("q.csv", "id,text\n", "holds no queries"),
    ("q.md", "x", "not .md"),
])
def test_bad_queries_are_named_by_line(name, text, words, tmp_path):
    path = put(tmp_path, name, text)
    with pytest.raises(FileError) as caught:
        read_queries(path)
    assert words in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize(("name", "text", "words"), [
    ("ids.txt", "a\nb\n", "holds 2 ids for 3 rows"),
    ("ids.txt", "a\nb\na\n", "line 3: the id 'a' is that of line 1"),
    ("ids.json", "{}", "must be a list of ids, got dict"),
    ("ids.json", "[", "is not JSON"),
    ("ids.csv", "a\n", "ends in .txt, .json or .npy"),
])
def test_bad_files_of_ids(name, text, words, tmp_path):
    with pytest.raises(FileError) as caught:
        read_ids(put(tmp_path, name, text), 3)
    assert words in str(caught.value)


# -- titles before texts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["t.jsonl", "t.csv", "t.parquet"])
def test_titles_stand_before_texts(name, tmp_path):
    rows = [{"_id": "a", "title": " One ", "text": "two three"}, {"_id": "b", "title": "", "text": "four"}]
    if name == "t.jsonl":
        put(tmp_path, name, "\n".join(map(json.dumps, rows)))
    elif name == "t.csv":
        put(tmp_path, name, "_id,title,text\na, One ,two three\nb,,four\n")
    else:
        arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        parquet.write_table(arrow.Table.from_pylist(rows), tmp_path / name)
    read = read_files([tmp_path / name], title_column="title")
    assert read.texts == ["One\n\ntwo three", "four"]
    assert read.ids == ["a", "b"]
    with pytest.raises(FileError, match="'head'"):
        read_files([tmp_path / name], title_column="head")


def test_a_title_alone_is_a_text(tmp_path):
    path = put(tmp_path, "t.jsonl", '{"title": "Only this", "text": ""}\n')
    assert read_files([path], title_column="title").texts == ["Only this"]
    with pytest.raises(FileError, match="line 1: field 'text' must be a text that is not blank"):
        read_files([path])
    words = "line 1: has no field 'heading' for the title; it has title, text; name one with --title-column"
    with pytest.raises(FileError, match=words):
        read_files([path], title_column="heading")
