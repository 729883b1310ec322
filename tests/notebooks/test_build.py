"""`make book` on tiny notebooks: what runs again, what stops it, what it leaves behind."""

import os
import sys
from pathlib import Path

import build
import nbformat
import pytest
from fingerprint import Library, fingerprint
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A book of one chapter over a library of three modules; its pages are not written."""
    package = tmp_path / "tinylib"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "used.py").write_text("from tinylib import deep\n\nvalue = deep.value\n")
    (package / "deep.py").write_text("value = 1\n")
    (package / "other.py").write_text("value = 2\n")
    (tmp_path / "requirements.txt").write_text("numpy==2\n")
    write_chapter(tmp_path, "from tinylib import used", "print(used.value)")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.delenv("METARL_SEED", raising=False)
    monkeypatch.delenv("METARL_DATA", raising=False)
    monkeypatch.setattr(build, "write_pages", lambda root: None)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("tinylib")]:
        del sys.modules[name]


def write_chapter(root: Path, *sources: str, name: str = "01_tiny") -> None:
    (root / "chapters").mkdir(exist_ok=True)
    cells = [new_markdown_cell("# 1. Tiny"), *map(new_code_cell, sources)]
    nbformat.write(new_notebook(cells=cells), root / "chapters" / f"{name}.ipynb")


def mark(root: Path) -> str:
    chapter = nbformat.read(root / "chapters" / "01_tiny.ipynb", as_version=4)
    return fingerprint(chapter, root / "chapters", Library("tinylib", root))


def run(root: Path) -> list[str]:
    lines: list[str] = []
    build.build_book(root, "tinylib", lines.append)
    return [line for line in lines if line.startswith("chapters/")]


def test_a_second_build_executes_nothing_and_a_new_seed_executes_again(book, monkeypatch):
    assert len(run(book)) == 1
    assert run(book) == []
    monkeypatch.setenv("METARL_SEED", "7")
    assert len(run(book)) == 1


def test_a_raising_chapter_stops_the_build_and_leaves_no_page(book):
    run(book)
    stale = book / "_build" / "html" / "index.html"
    stale.parent.mkdir()
    stale.touch()
    write_chapter(book, "x = 1", "\nprint(x)\nraise RuntimeError('planted')")
    with pytest.raises(build.BuildError) as failure:
        run(book)
    for part in ("chapters/01_tiny.ipynb", "code cell 2", "print(x)", "RuntimeError: planted"):
        assert part in str(failure.value)
    assert not stale.exists()
    with pytest.raises(build.BuildError):  # nothing of the failed run counts as executed
        run(book)


def test_a_cached_notebook_cut_short_by_a_kill_runs_again(book):
    run(book)
    (cached,) = (book / "_build" / ".jupyter_cache" / "executed").glob("*/base.ipynb")
    cached.write_text(cached.read_text()[:50])
    assert len(run(book)) == 1


def test_two_chapters_run_and_their_claims_are_recorded(book):
    claim = f"display({{'{build.CLAIM}': {{'name': 'ten', 'value': 10}}}}, raw=True)"
    write_chapter(book, "from tinylib import other", claim, name="02_more")
    assert len(run(book)) == 2
    manifest = build.json.loads((book / "_build" / "executed.json").read_text())["chapters"]
    assert manifest["chapters/02_more"]["claims"] == [{"name": "ten", "value": 10}]
    assert manifest["chapters/01_tiny"]["claims"] == []


def test_a_library_module_that_does_not_parse_is_named(book):
    (book / "tinylib" / "deep.py").write_text("value =\n")
    with pytest.raises(build.BuildError, match=r"deep\.py"):
        run(book)


@pytest.mark.parametrize("module", ["__init__", "used", "deep"])
def test_the_fingerprint_follows_modules_imported_directly_or_through_others(book, module):
    before = mark(book)
    (book / "tinylib" / f"{module}.py").write_text("value = 3\n")
    assert mark(book) != before


def test_the_fingerprint_ignores_modules_that_are_not_imported(book):
    before = mark(book)
    (book / "tinylib" / "other.py").write_text("value = 3\n")
    assert mark(book) == before


def test_the_fingerprint_follows_a_module_named_as_an_entry_point(book):
    (book / "tinylib" / "used.py").write_text('entry_point = "tinylib.other:Env"\nvalue = 1\n')
    before = mark(book)
    (book / "tinylib" / "other.py").write_text("value = 3\n")
    assert mark(book) != before


def test_the_fingerprint_follows_requirements_and_seed(book, monkeypatch):
    marks = {mark(book)}
    (book / "requirements.txt").write_text("numpy==3\n")
    marks.add(mark(book))
    monkeypatch.setenv("METARL_SEED", "1")
    marks.add(mark(book))
    assert len(marks) == 3


def test_the_fingerprint_follows_the_data_folder(book, monkeypatch):
    data = book / "data" / "letters.txt"
    data.parent.mkdir()
    data.write_text("abc")
    monkeypatch.setenv("METARL_DATA", str(data.parent))
    marks = {mark(book)}
    data.write_text("abcd")
    marks.add(mark(book))
    os.utime(data, (0, 0))
    marks.add(mark(book))
    assert len(marks) == 3


@pytest.mark.parametrize(
    "code", ['open("../records/1.json")', 'folder = "../records"\nopen(folder + "/1.json")']
)
def test_the_fingerprint_follows_a_file_or_a_folder_of_records_that_the_code_names(book, code):
    (book / "records").mkdir()
    (book / "records/1.json").write_text("[1]")
    write_chapter(book, f"from tinylib import used\n{code}")
    before = mark(book)
    (book / "records/1.json").write_text("[2]")
    assert mark(book) != before
