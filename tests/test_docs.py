"""What the pages say is so: their code runs, links lead somewhere, and nothing public is left out."""

import ast
import contextlib
import importlib
import inspect
import io
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import kiyas
import kiyas.recurrent
from kiyas import errors

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
ENGLISH, TURKISH = ROOT / "README.md", ROOT / "README.tr.md"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
NOT_RUN = "<!-- not run -->"
NAMES = kiyas.list_measures()


def name_of(path):
    return str(path.relative_to(ROOT))


def text_of(path):
    return path.read_text(encoding="utf-8")


def blocks(text, language):
    """Fenced blocks of a language, without those that a comment says are not run."""
    lines, found, start = text.splitlines(), [], None
    for number, line in enumerate(lines):
        if start is None and line.startswith("```"):
            start, word = number, line[3:].strip()
        elif start is not None and line == "```":
            before = next((x for x in reversed(lines[:start]) if x.strip()), "")
            if word == language and before.strip() != NOT_RUN:
                found.append("\n".join(lines[start + 1 : number]) + "\n")
            start = None
    assert start is None, "a block without an end"
    return found


def without_code(text):
    """A page's text without fenced and indented code, and without code in a line."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"^ {4}.*$", "", text, flags=re.MULTILINE)
    return re.sub(r"`[^`\n]*`", "", text)


def headings(text):
    """(level, words) of every heading outside of code."""
    kept = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return [(len(a), b.strip()) for a, b in re.findall(r"^(#+) (.*)$", kept, flags=re.MULTILINE)]


# -- code --------------------------------------------------------------------------------------------------------------

# A small model of words and its tokenizer, under the names that the pages give to anybody's.
_WORDS = f"""
import shutil
for name, copy in (("loop_masked.h5", "model.h5"), ("loop_masked.tokenizer.json", "tokenizer.json"),
                   ("tokenizer_protocol4.pickle", "tokenizer.pickle")):
    shutil.copy({str(ROOT / "tests" / "golden" / "text")!r} + "/" + name, copy)
"""
# What a page's block takes for granted, by a piece of the block; it runs just before.
PREPARED = {
    ("docs/generation.md", "import Tokenizer, generate, load"): _WORDS,
    ("docs/generation.md", "from kiyas.encode import encoder"): "import os\nos.remove('tokenizer.pickle')\n",
    ("docs/keras.md", "import load_model, pad_sequences"): _WORDS,
    ("docs/keras.md", 'load_model("stateful.h5")'): """
from kiyas.recurrent import Model, layers
Model.sequential([layers.LSTM("lstm", np.ones((8, 3)), np.ones((8, 2)), None, stateful=True)]).save("stateful.h5")
""",
    ("docs/texts.md", "model.embed"): """
import numpy as np
class model:
    embed = staticmethod(lambda texts: np.ones((len(texts), 3)))
    count = staticmethod(lambda texts: [len(text.split()) for text in texts])
""",
    ("docs/texts.md", "import split_texts"): """
texts = [f"Text {i} speaks of cats, dogs and number {i}. " * (1 + 9 * (i % 5)) for i in range(30)]
""",
    ("docs/texts.md", "documents_from_passages("): """
import kiyas
index = kiyas.Index(vectors)
query_vectors = wordllama.encode(["which text speaks of dogs", "number seven"])
found = index.search(query_vectors, k=20)
ids, scores = found.ids, found.scores
""",
    ("docs/metrics.md", "judge(hits.ids, [{"): """
import kiyas
import numpy as np
rng = np.random.default_rng(0)
index = kiyas.Index(rng.standard_normal((200, 8)))
queries = rng.standard_normal((2, 8))
hits = index.search(queries, k=100)
qrels, query_ids = {"one": {5: 2, 7: 1}, "two": {9: 1}}, ["one", "two"]
""",
    ("docs/metrics.md", "known_items"): """
hits, targets = index.search(queries, k=10), [3, 4]
scores = index.measure.pairwise(queries, rng.standard_normal((200, 8)))
""",
}
# Blocks that need what a test cannot have, by a piece of the block.
NEED_MORE = {("docs/texts.md", "SentenceTransformers("): "downloads a model"}
CODE = [path for path in PAGES if path.parent in (ROOT, DOCS) and blocks(text_of(path), "python")]


# Pages whose code trains (make test-torch).
NEED_TORCH = ("docs/training.md",)


@pytest.mark.parametrize("path", [pytest.param(path, marks=pytest.mark.torch) if name_of(path) in NEED_TORCH else path
                                  for path in CODE], ids=name_of)
def test_python_of_a_page_runs(path, tmp_path, monkeypatch):
    if "wordllama" in text_of(path) and path.parent == DOCS:
        pytest.importorskip("wordllama")
    monkeypatch.chdir(tmp_path)
    space = {"__name__": "page"}
    for number, block in enumerate(blocks(text_of(path), "python"), 1):
        if any(page == name_of(path) and piece in block for page, piece in NEED_MORE):
            continue
        before = [code for (page, piece), code in PREPARED.items() if page == name_of(path) and piece in block]
        for place, code in enumerate([*before, block]):
            file = tmp_path / f"block{number}_{place}.py"  # functions of a page have a source, as a user's have
            file.write_text(code, encoding="utf-8")
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(code, str(file), "exec"), space)


def test_what_is_prepared_is_used():
    for page, piece in [*PREPARED, *NEED_MORE]:
        assert any(piece in block for block in blocks(text_of(ROOT / page), "python")), (page, piece)


def test_commands_of_the_readme_run(tmp_path):
    for extra in ("cyclopts", "rich", "wordllama", "tokenizers"):
        pytest.importorskip(extra)
    folder = str(Path(sys.executable).parent)
    if shutil.which("kiyas", path=folder) is None or os.name == "nt":
        pytest.skip("the command is not installed beside this Python")
    scripts = [block for block in blocks(text_of(ENGLISH), "sh") if "pip install" not in block]
    assert scripts
    for script in scripts:
        done = subprocess.run(["sh", "-e", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120,
                              env={**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"})
        assert done.returncode == 0, done.stderr
        assert not done.stderr


@pytest.mark.parametrize("path", [ENGLISH, DOCS / "command.md", DOCS / "tr" / "komut.md", TURKISH], ids=name_of)
def test_pages_name_commands_that_exist(path):
    pytest.importorskip("cyclopts")
    from kiyas.cli.app import app

    text = text_of(path)
    lines = re.findall(r"^ {4}(kiyas .*)|`(kiyas [^`]*)`", text, flags=re.MULTILINE)
    words = [(a or b).split()[1] for a, b in lines]
    words += re.findall(r"^kiyas (\S+)", "".join(blocks(text, "sh")), flags=re.MULTILINE)
    assert words
    assert set(words) <= set(app)


def test_pages_name_make_targets_that_exist():
    targets = set(re.findall(r"^([a-z-]+):", text_of(ROOT / "Makefile"), flags=re.MULTILINE))
    for path in PAGES:
        assert set(re.findall(r"`make ([a-z-]+)`", text_of(path))) <= targets, name_of(path)


# -- two languages -----------------------------------------------------------------------------------------------------


def test_readmes_are_in_step():
    english, turkish = text_of(ENGLISH), text_of(TURKISH)
    assert [level for level, _ in headings(english)] == [level for level, _ in headings(turkish)]
    ours, theirs = ([ast.unparse(ast.parse(b)) for b in blocks(t, "python")] for t in (english, turkish))
    assert ours == theirs  # comments may differ
    ours, theirs = ([re.sub(r" +# .*", "", b) for b in blocks(t, "sh")] for t in (english, turkish))
    assert ours == theirs
    rows = [[x.count("\n|") for x in re.split(r"^## ", t, flags=re.MULTILINE)] for t in (english, turkish)]
    assert rows[0] == rows[1], "a table has a row more in one language"


@pytest.mark.parametrize("path", [ENGLISH, TURKISH], ids=name_of)
def test_readmes_say_how_it_is(path):
    text = text_of(path)
    written = {19: ("nineteen", "on dokuz")}  # a new measure: write its number here and in both pages
    assert written[len(NAMES)][path == TURKISH] in text
    project = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]
    assert re.findall(r"^\| `([a-z0-9-]+)` \|", text, flags=re.MULTILINE) == list(project["optional-dependencies"])
    assert "make demo" in text and "make test" in text


@pytest.mark.parametrize("name", NAMES)
def test_every_measure_has_its_turkish_entry(name):
    parts = re.split(r"^### ", text_of(DOCS / "tr" / "olcutler.md"), flags=re.MULTILINE)
    entry = next(part for part in parts if part.partition("\n")[0] == name)
    assert f"(../measures/{name}.md)" in entry
    for word in ("Formül", "Anlamı", "Tuzaklar", "Ne zaman"):
        assert f"- **{word}:**" in entry, word


def test_every_turkish_entry_is_a_measure():
    assert [words for level, words in headings(text_of(DOCS / "tr" / "olcutler.md")) if level == 3] == NAMES


def test_the_glossary_explains_each_term_once():
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", text_of(DOCS / "tr" / "sozluk.md"), flags=re.MULTILINE)
    terms = [(t, e, x) for t, e, x in rows if t not in ("Türkçe", "---")]
    assert len(terms) >= 40
    for place in (0, 1):
        words = [term[place].strip() for term in terms]
        assert len(set(words)) == len(words), {w for w in words if words.count(w) > 1}
    assert all(x.strip().endswith(".") for _, _, x in terms)


# -- links and names ---------------------------------------------------------------------------------------------------


def anchors(path):
    """Anchors of a page's headings, as GitHub makes them."""
    plain = [re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", words) for _, words in headings(text_of(path))]
    return {re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-") for words in plain}


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_lead_somewhere(path):
    for link in re.findall(r"\]\(([^)\s]+)\)", without_code(text_of(path))):
        if re.match(r"[a-z]+:", link):
            continue
        place, _, anchor = link.partition("#")
        assert not place.startswith("/"), link
        target = (path.parent / place).resolve() if place else path
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_is_linked_from_the_index():
    index = {DOCS / "README.md", ROOT / "README.md"}
    for page in (DOCS / "README.md", DOCS / "tr" / "README.md"):
        links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", without_code(text_of(page)))
        index |= {(page.parent / link).resolve() for link in links if ":" not in link}
    assert not {name_of(p) for p in PAGES} - {name_of(p) for p in index if p.is_relative_to(ROOT)}


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_pages_hold_no_path_of_a_machine(path):
    assert not re.search(r"(?<![\w.])/(work|tmp|home|root|usr|opt)/", text_of(path))


def test_all_is_sorted_and_there():
    assert kiyas.__all__ == sorted(kiyas.__all__)
    assert all(hasattr(kiyas, name) for name in kiyas.__all__)


@pytest.mark.parametrize("module", ["encode", "measures", "metrics", "recurrent", "search"])
def test_all_of_a_module_is_there(module):
    found = importlib.import_module(f"kiyas.{module}")
    if not hasattr(found, "__all__"):
        return
    assert len(set(found.__all__)) == len(found.__all__)
    assert all(hasattr(found, name) for name in found.__all__)


@pytest.mark.parametrize("name", [*kiyas.__all__, *kiyas.recurrent.__all__])
def test_every_public_name_is_in_the_pages(name):
    assert any(re.search(rf"\b{name}\b", text_of(path)) for path in PAGES), name


# -- docstrings --------------------------------------------------------------------------------------------------------


def public_things():
    """(name, function or class, signature) of everything in `kiyas.__all__` and of the methods of its classes."""
    for name in kiyas.__all__:
        thing = getattr(kiyas, name)
        if inspect.isclass(thing) and not issubclass(thing, Exception):
            yield name, thing
            for inner, method in vars(thing).items():
                function = getattr(method, "__func__", method)
                if not inner.startswith("_") and inspect.isfunction(function):
                    yield f"{name}.{inner}", function
        else:
            yield name, thing


THINGS = dict(public_things())


@pytest.mark.parametrize("name", THINGS)
def test_public_things_have_docstrings(name):
    own = THINGS[name]
    # A method without words of its own has those of the class above, or is a formula the family explains.
    doc = own.__doc__ if inspect.isclass(own) else inspect.getdoc(own)
    if doc is None and "." in name:
        owner, _, method = name.partition(".")
        doc = inspect.getdoc(getattr(getattr(kiyas, owner), method))
    assert doc and doc.strip(), name


def named_parameters(doc):
    """Parameters that the ``Parameters:`` part of a docstring names: those a list item begins with."""
    part = re.search(r"Parameters: (.*?)(?=\n\s*\n|\n\s*(?:Returns|Raises)\b|\Z)", doc or "", flags=re.DOTALL)
    if part is None:
        return []
    flat = " ".join(part[1].split())
    heads = re.findall(r"(?:^|[;.] )(``\w+``(?:(?:, | and )``\w+``)*)(?= |,|:|$)", flat)
    return re.findall(r"``(\w+)``", " ".join(heads))


@pytest.mark.parametrize("name", [n for n, t in THINGS.items() if named_parameters(inspect.getdoc(t))])
def test_parameters_of_docstrings_are_in_the_signature(name):
    thing = THINGS[name]
    wanted = list(inspect.signature(thing).parameters)
    named = named_parameters(inspect.getdoc(thing))
    assert set(named) <= set(wanted), name


def test_the_check_of_docstrings_can_fail():
    assert named_parameters("Do.\n\nParameters: ``a``, ``b`` of shape; ``c``, else ``d``.\nReturns ``e``.") == \
        ["a", "b", "c"]
    assert sum(bool(named_parameters(inspect.getdoc(t))) for t in THINGS.values()) >= 5


def test_data_and_scripts_are_not_among_the_pages():
    folders = [DOCS, *(f for f in DOCS.iterdir() if f.is_dir() and f.name != "measured")]
    assert [f.name for folder in folders for f in folder.iterdir() if f.is_file() and f.suffix != ".md"] == []


# -- errors ------------------------------------------------------------------------------------------------------------


def drawn(text):
    """(name, name of the one above, other base or None) of every line of the drawing."""
    above, found = {}, []
    for line in re.findall(r"^ {4}(\S.*|[│ ].*)$", text, flags=re.MULTILINE):
        match = re.match(r"([│├└─ ]*)(\w+Error)\b(?: +\((\w+)\))?", line)
        if match:
            depth = len(match[1]) // 4
            above[depth] = match[2]
            found.append((match[2], above.get(depth - 1), match[3]))
    return found


def test_the_tree_of_errors_is_as_drawn():
    classes = {name: thing for name, thing in vars(errors).items()
               if inspect.isclass(thing) and issubclass(thing, errors.KiyasError)}
    tree = drawn(errors.__doc__)
    assert [name for name, _, _ in tree] == list(classes)
    for name, parent, other in tree:
        bases = [b.__name__ for b in classes[name].__bases__]
        assert bases == ([parent, *([other] if other else [])] if parent else ["Exception"]), name
    assert set(classes) <= set(kiyas.__all__)


def test_the_tree_is_drawn_alike_in_the_pages():
    tree = errors.__doc__.partition("\n\n")[2].partition("\n\n")[0].replace("``", "`")
    assert tree in text_of(DOCS / "README.md")
