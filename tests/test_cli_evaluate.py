"""``kiyas evaluate`` and ``kiyas diagnose``: what they print and write, and the words for every bad file."""

import json
import re
import sys
from xml.etree import ElementTree as ET

import numpy as np
import pytest

pytest.importorskip("cyclopts")
pytest.importorskip("rich")

from kiyas import directory
from kiyas.cli import evaluate as command
from kiyas.metrics import average_precision, judge, ndcg, rank_rows

pytestmark = pytest.mark.usefixtures("stub_encoder")


@pytest.fixture
def files(tmp_path):
    """Vectors of documents and queries, their ids, judgements in TREC's form."""
    rng = np.random.default_rng(0)
    X, Q = rng.normal(size=(80, 8)).astype(np.float32), rng.normal(size=(20, 8)).astype(np.float32)
    X *= rng.uniform(0.5, 2, (80, 1)).astype(np.float32)
    np.save(tmp_path / "d.npy", X)
    np.save(tmp_path / "q.npy", Q)
    (tmp_path / "d.txt").write_text("\n".join(f"d{i}" for i in range(80)))
    (tmp_path / "q.txt").write_text("\n".join(f"q{i}" for i in range(20)))
    near = np.argsort(-(Q @ X.T + rng.normal(size=(20, 80))), axis=1)[:, :4]
    (tmp_path / "qrels.txt").write_text("".join(f"q{q} 0 d{d} {1 + d % 3}\n" for q in range(18) for d in near[q]))
    return tmp_path


def given(folder):
    return ["--documents", folder / "d.npy", "--document-ids", folder / "d.txt", "--queries", folder / "q.npy",
            "--query-ids", folder / "q.txt", "--qrels", folder / "qrels.txt"]


@pytest.fixture
def texts(tmp_path, run):
    words = "able bad cab deaf edge fig gem hid ill jam keg lamb mop nab ode pig".split()  # noqa: SIM905
    rng = np.random.default_rng(1)
    rows = [{"id": f"t{i}", "title": " ".join(rng.choice(words, 5)), "text": " ".join(rng.choice(words, 14)) + "."}
            for i in range(40)]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run("index", tmp_path / "t.jsonl", "-o", tmp_path / "t.kiyas", "--title-column", "title")
    return rows


# -- evaluate ----------------------------------------------------------------------------------------------------------


def test_the_table_the_conclusion_and_what_is_left_out(run, files):
    out = run("evaluate", *given(files))
    assert "18 judged queries (2 without a relevant document left out) on 80 documents of 8 dimensions" in out
    for words in ("ndcg@10", "map@1000", "angular", "ranks as cosine", "mahalanobis", "p (Holm)", "baseline",
                  "Not in the table: poincare (made for vectors trained in the unit ball)", "ndd(query_norm="):
        assert words in out, words


def test_json_holds_the_numbers(run, files):
    got = json.loads(run("evaluate", *given(files), "-m", "dot", "--metric", "ndcg@5", "--metric", "map@1000",
                         "--json"))
    assert [r["measure"] for r in got["results"]] == ["cosine", "dot"]
    X, Q = np.load(files / "d.npy").astype(float), np.load(files / "q.npy").astype(float)
    gains = [{} for _ in range(20)]
    for line in (files / "qrels.txt").read_text().splitlines():
        q, _, d, g = line.split()
        gains[int(q[1:])][int(d[1:])] = int(g)
    judged = judge(np.hstack([rank_rows(Q @ X.T), np.full((20, 1), -1)]), gains)
    for name, values in (("ndcg@5", ndcg(judged, 5)), ("map@1000", average_precision(judged, 1000))):
        assert got["results"][1]["metrics"][name]["mean"] == pytest.approx(values[judged.answerable].mean())
    assert (got["queries"], got["unjudged_queries"], got["main"]) == (18, 2, "ndcg@5")
    assert got["results"][1]["comparison"]["p"] > 0


def test_an_index_gives_the_same_as_its_vectors(run, files):
    run("index", files / "d.npy", "--ids", files / "d.txt", "-o", files / "shelf")
    ask = ["--queries", files / "q.npy", "--query-ids", files / "q.txt", "--qrels", files / "qrels.txt", "-m", "dot",
           "--format", "csv"]
    assert run("evaluate", files / "shelf", *ask) == run("evaluate", *given(files), "-m", "dot", "--format", "csv")


def test_tables_to_copy(run, files):
    markdown = run("evaluate", *given(files), "-m", "manhattan", "--format", "markdown").splitlines()
    assert markdown[0].startswith("| measure | ndcg@10 |") and markdown[1].startswith("|---|---:|")
    assert [line.split(" | ")[0] for line in markdown[2:]] == ["| cosine", "| manhattan"]
    csv = run("evaluate", *given(files), "-m", "manhattan", "--format", "csv").splitlines()
    assert len(csv) == 3 and csv[0].startswith("measure,ndcg@10,") and csv[2].startswith("manhattan,0.")


def test_unit_vectors_are_said_to_be_one_measure(run, files):
    for name in ("d", "q"):
        X = np.load(files / f"{name}.npy")
        np.save(files / f"{name}.npy", X / np.linalg.norm(X, axis=1, keepdims=True))
    out = run("evaluate", *given(files))
    assert "All vectors have length 1" in out
    for name in ("dot", "euclidean", "ndd", "log_scaled", "hybrid", "tanimoto", "dice"):
        assert re.search(rf"^{name} .*ranks as cosine", out, flags=re.MULTILINE), name


def test_known_items_of_an_index_of_texts(run, texts, tmp_path):
    got = json.loads(run("evaluate", tmp_path / "t.kiyas", "-m", "dot", "--json"))
    assert got["queries"] == 40 and got["main"] == "mrr@10" and got["documents"] == 40
    assert "Known items: a title or first sentence has to find the rest of its own text" in got["notes"][-1]
    fewer = json.loads(run("evaluate", tmp_path / "t.kiyas", "-m", "dot", "--limit", 10, "--json"))
    assert fewer["queries"] == 10 and "10 known items of 40 on 40 texts" in fewer["what"]


def test_queries_as_texts_and_documents_that_are_queries(run, texts, tmp_path):
    lines = [json.dumps({"_id": row["id"], "text": row["title"]}) for row in texts[:5]]
    (tmp_path / "q.jsonl").write_text("\n".join(lines))
    (tmp_path / "r.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(
        f"t{i}\tt{i + 5}\t1\nt{i}\tt{i}\t-1\n" for i in range(5)))
    ask = ["evaluate", tmp_path / "t.kiyas", "--queries", tmp_path / "q.jsonl", "--qrels", tmp_path / "r.tsv", "-m",
           "dot", "--json"]
    plain, without = json.loads(run(*ask)), json.loads(run(*ask, "--drop-self"))
    assert "5 gains below 0 count as not relevant." in plain["notes"]
    assert any("5 queries are documents themselves" in note for note in without["notes"])
    assert without["results"][0]["metrics"]["ndcg@10"]["mean"] >= plain["results"][0]["metrics"]["ndcg@10"]["mean"]


def test_runs_of_other_systems(run, files, tmp_path):
    (tmp_path / "a.run").write_text("q0 Q0 d1 1 2.0 a\nq0 Q0 d2 2 1.0 a\nq1 Q0 d1 1 1.0 a\n")
    (tmp_path / "b.run").write_text("q0 Q0 d2 1 2.0 b\nq0 Q0 d1 2 1.0 b\n")
    (tmp_path / "r.txt").write_text("q0 0 d1 1\nq1 0 d9 1\n")
    got = json.loads(run("evaluate", "--run", tmp_path / "a.run", "--run", tmp_path / "b.run", "--qrels",
                         tmp_path / "r.txt", "--metric", "mrr@10", "--json"))
    assert [r["metrics"]["mrr@10"]["mean"] for r in got["results"]] == [0.5, 0.25]
    assert "b lacks 1 of the 2 judged queries, which count as 0." in got["notes"]


def test_pairs_of_texts(run, tmp_path):
    (tmp_path / "p.tsv").write_text("a cab\tcab a\t5\nbad gem\tjam pig\t1\nedge\tedges\t4\nfig\tlamb\t0\n")
    got = json.loads(run("evaluate", "--pairs", tmp_path / "p.tsv", "-m", "manhattan", "--json"))
    assert got["pairs"] == 4 and set(got["results"][0]["metrics"]) == {"spearman", "pearson"}
    out = run("evaluate", "--pairs", tmp_path / "p.tsv", "-m", "angular", "-m", "manhattan")
    assert "4 scored pairs, by wordllama" in out.lower() and "orders as cosine" in out
    assert run("evaluate", "--pairs", tmp_path / "p.tsv", "--format", "csv").startswith("measure,spearman,pearson,")


@pytest.mark.parametrize(("argv", "words"), [
    ([], "give one thing to evaluate: an index DIR, --documents FILE, --run FILE or --pairs FILE"),
    (["D", "--documents", "d.npy"], "give one thing to evaluate"),
    (["--documents", "d.npy", "--queries", "q.npy"], "--queries and --qrels go together"),
    (["--documents", "d.npy"], "known items are made from texts: give --queries and --qrels"),
    (["--run", "r"], "--run needs --qrels"),
    (["--documents", "d.npy", "--format", "html"], "--format must be one of table, markdown, csv, got 'html'"),
    (["--documents", "d.npy", "--queries", "q.npy", "--qrels", "qrels.txt"], "vectors without ids"),
    (["--documents", "none.npy"], "none.npy: there is no such file"),
])
def test_what_is_given_wrongly(run, files, monkeypatch, argv, words):
    monkeypatch.chdir(files)
    assert words in run("evaluate", *argv, code=1)


def test_bad_files_are_named_by_line_with_the_cure(run, files, texts):
    def words(**changed):
        argv = dict(zip(given(files)[::2], given(files)[1::2], strict=True)) | {
            f"--{k.replace('_', '-')}": v for k, v in changed.items()}
        return run("evaluate", *(x for pair in argv.items() for x in pair), "-m", "dot", code=1)

    def put(text):
        (files / "bad.txt").write_text(text)
        return files / "bad.txt"

    unknown = words(qrels=put("q0 0 d1 1\nq0 0 d99 1\n"))
    assert "bad.txt, line 2: document 'd99' is not in the collection of 80" in unknown and "--allow-unknown" in unknown
    assert "bad.txt, line 2: query 'x' is not among the 20 queries" in words(qrels=put("q0 0 d1 1\nx 0 d1 1\n"))
    assert "line 2: judges document 'd1' for query 'q0', as line 1 does" in words(qrels=put("q0 0 d1 1\nq0 0 d1 1\n"))
    np.save(files / "wide.npy", np.ones((20, 9)))
    assert "wide.npy: has vectors of 9 dimensions, the documents have 8; encode both with one encoder" in words(
        queries=files / "wide.npy")
    twice = put("\n".join([*(f"q{i}" for i in range(19)), "q0"]))
    assert "line 20: the id 'q0' is that of line 1" in words(query_ids=twice)
    assert "holds texts, but the index holds vectors" in words(queries=put("one\ntwo\n"), query_ids=put("q0\nq1\n"))
    (files / "q.jsonl").write_text('{"id": "t1", "text": "a"}\n{"id": "t2", "text": "  "}\n')
    (files / "r.txt").write_text("t1 0 t2 1\n")
    assert "q.jsonl, line 2: the query is blank" in run("evaluate", files / "t.kiyas", "--queries", files / "q.jsonl",
                                                        "--qrels", files / "r.txt", code=1)


def test_unknown_judgements_are_counted_when_allowed(run, files):
    with (files / "qrels.txt").open("a") as file:
        file.write("q0 0 zz 1\nzz 0 d1 1\n")
    out = run("evaluate", *given(files), "-m", "dot", "--allow-unknown")
    assert "Left out of the judgements: 1 of documents and 1 of queries that are not in the collection." in out


def test_runs_given_twice_and_of_unknown_queries(run, tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.run").write_text("q0 Q0 d1 1 2.0 same\n")
    (tmp_path / "r.txt").write_text("q0 0 d1 1\nq1 0 d1 1\n")
    ask = ["evaluate", "--run", tmp_path / "a.run", "--run", tmp_path / "b.run", "--qrels", tmp_path / "r.txt"]
    assert "b.run: is the run 'same', as" in run(*ask, code=1)
    (tmp_path / "b.run").write_text("q7 Q0 d1 1 2.0 other\n")
    assert "b.run: ranks for the query 'q7', which has no judgements in" in run(*ask, code=1)
    assert "same" in run(*ask, "--allow-unknown")


# -- reports -----------------------------------------------------------------------------------------------------------


def alone(html):
    """The page loads nothing, its pictures are well-formed, and no two things share an id."""
    assert not re.search(r"\b(src|href)\s*=\s*[\"'](?!#)|@import|url\((?!#)|https?:|<script|<link|<iframe", html, re.I)
    pictures = re.findall(r"<svg.*?</svg>", html, re.S)
    for picture in pictures:
        ET.fromstring(picture)
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert not re.search(r"#0[1-7]0\w0\w0\w|#0(\d)0\d0\d", html)  # stand-ins for the page's own colours
    return len(pictures)


def test_the_report_of_an_evaluation(run, files):
    pytest.importorskip("altair")
    pytest.importorskip("vl_convert")
    out = run("evaluate", *given(files), "--html", files / "new" / "r.html")
    assert "The report, with pictures:" in out
    html = (files / "new" / "r.html").read_text()
    assert alone(html) == 3
    assert "as Markdown" in html and "as CSV" in html and "| cosine |" in html
    assert "Which measure finds more?" in html and "18 judged queries" in html
    words = "able bad cab deaf edge fig gem hid ill jam keg lamb mop nab ode pig".split()  # noqa: SIM905
    (files / "p.tsv").write_text("".join(f"{a} {b}\t{b} {c} {a}\t{i % 6}\n" for i, (a, b, c) in enumerate(
        zip(words, words[3:] + words, words[7:] + words, strict=False))))
    run("evaluate", "--pairs", files / "p.tsv", "--html", files / "p.html")
    assert alone((files / "p.html").read_text()) == 1


def test_the_report_of_a_diagnosis(run, files):
    pytest.importorskip("altair")
    pytest.importorskip("vl_convert")
    run("diagnose", *given(files), "--html", files / "d.html")
    html = (files / "d.html").read_text()
    assert alone(html) == 12
    for words in ("Anisotropy", "IsoScore", "What to take from it", "−ln(1 − rank/N)"):
        assert words in html


def test_stopping_leaves_no_half_written_report(run, files, monkeypatch):
    pytest.importorskip("altair")
    pytest.importorskip("vl_convert")
    (files / "r.html").write_text("the one before")

    def stop(path, pieces):
        path.write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(directory, "write_file", stop)
    said = run("evaluate", *given(files), "-m", "dot", "--html", files / "r.html", code=130)
    assert said == "kiyas evaluate: stopped\n"
    assert (files / "r.html").read_text() == "the one before"
    assert not list(files.glob("r.html.*"))


def test_a_report_without_its_extra_is_refused_before_the_work(run, files, monkeypatch):
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    monkeypatch.setattr(command, "evaluated", lambda asked: pytest.fail("worked before it looked"))
    assert "pip install 'kiyas[report]'" in run("evaluate", *given(files), "--html", files / "r.html", code=1)
    assert "--html: " in run("evaluate", *given(files), "--html", files, code=1)


def test_progress_is_shown_to_a_terminal(run, files, monkeypatch):
    told = []

    class Seen:
        def __enter__(self):
            return lambda done, total: told.append((done, total))

        def __exit__(self, *_):
            return None

    monkeypatch.setattr(command.show, "progress", lambda text: Seen())
    run("evaluate", *given(files), "-m", "dot", "-m", "ndd")
    assert told == [(1, 3), (2, 3), (3, 3)]


# -- diagnose ----------------------------------------------------------------------------------------------------------


def test_the_page_of_a_diagnosis(run, files, texts):
    out = run("diagnose", *given(files))
    assert out.startswith("80 vectors of 8 dimensions, 20 queries\n")
    for title in ("Unit length", "Lengths of vectors", "Length of vector and relevance", "Anisotropy", "Hubs",
                  "Effective dimensions", "Dead and rogue dimensions", "Intrinsic dimension", "Duplicates",
                  "Concentration of distances", "What changes with the measure"):
        assert title in out, title
    plain = run("diagnose", "--documents", files / "d.npy")
    assert "relevance\n" not in plain and "From the queries" not in plain
    of_texts = run("diagnose", files / "t.kiyas")
    assert "Length of vector and length of text" in of_texts and "Score and length of text" in of_texts
    assert of_texts.startswith("40 passages of texts of 16 dimensions\n")


def test_a_diagnosis_as_json(run, files):
    got = json.loads(run("diagnose", "--documents", files / "d.npy", "--queries", files / "q.npy", "--json"))
    assert got["documents"] == 80 and got["queries"] == 20
    assert {"formula", "meaning", "here", "effect", "concern", "values", "title"} == set(got["findings"]["hubness"])
    assert got["findings"]["spread"]["values"]["dims"] == 8


@pytest.mark.parametrize(("argv", "words"), [
    ([], "give an index DIR, or vectors with --documents FILE"),
    (["--documents", "d.npy", "--qrels", "qrels.txt"], "--qrels needs --queries"),
    (["--documents", "d.npy", "--queries", "q.npy", "--qrels", "qrels.txt"], "vectors without ids"),
])
def test_what_a_diagnosis_cannot_use(run, files, monkeypatch, argv, words):
    monkeypatch.chdir(files)
    assert words in run("diagnose", *argv, code=1)


def test_a_fitted_measure_is_evaluated_by_its_directory(run, files):
    from kiyas.fit import save_measure
    from kiyas.measures import measure

    X = np.load(files / "d.npy")
    save_measure(measure("mahalanobis").fit(X), files / "own.measure")
    got = json.loads(run("evaluate", *given(files), "-m", files / "own.measure", "-m", "mahalanobis", "--json"))
    assert [r["measure"] for r in got["results"]] == ["cosine", str(files / "own.measure"), "mahalanobis"]
    assert got["results"][2]["ranks_as"] == str(files / "own.measure")
