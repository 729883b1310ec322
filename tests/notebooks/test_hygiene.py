"""Every notebook of the book is stored, laid out and explained as a chapter must be."""

import ast
import re
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted([*ROOT.glob("book/*.ipynb"), *ROOT.glob("chapters/*.ipynb")])
CHAPTERS = [path for path in NOTEBOOKS if path.parent.name == "chapters"]
STORED = {"nbval-check-output", "keep_output"}  # tags of cells that keep their output
DRAWS = re.compile(r"\bplotting\.|\bplt\.|\bnew_figure\(|\bdraw_\w+\(|\bplot_\w+\(")


def notebook_test(paths):
    return pytest.mark.parametrize("notebook", paths, ids=lambda path: path.stem, indirect=True)


@pytest.fixture
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def code_cells(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def first_line(cell) -> str:
    return cell.source.partition("\n")[0]


def test_there_are_chapters():
    assert CHAPTERS


@notebook_test(NOTEBOOKS)
def test_outputs_are_stored_only_where_nbval_compares_them(notebook):
    for cell in code_cells(notebook):
        tags = set(cell.metadata.get("tags", []))
        if tags & STORED:
            assert tags >= STORED, f"{first_line(cell)}: needs both tags {STORED}"
            assert cell.outputs, f"{first_line(cell)}: tagged, but no output is stored"
        else:
            assert not cell.outputs, f"{first_line(cell)}: strip the output"
            assert cell.execution_count is None, f"{first_line(cell)}: strip the count"


@notebook_test(NOTEBOOKS)
def test_the_kernel_is_python3_and_no_tool_left_its_metadata(notebook):
    assert notebook.metadata.kernelspec.name == "python3"
    assert set(notebook.metadata) <= {"kernelspec", "language_info", "budget_seconds"}


@notebook_test(NOTEBOOKS)
def test_cells_are_short(notebook):
    lengths = {first_line(cell): len(cell.source.splitlines()) for cell in code_cells(notebook)}
    assert max(lengths.values()) <= 25, max(lengths, key=lengths.get)
    long = [line for line, length in lengths.items() if length > 15]
    assert len(long) <= len(lengths) / 10, f"more than 15 lines: {long}"


@notebook_test(NOTEBOOKS)
def test_cells_that_draw_have_alternative_text(notebook):
    for cell in code_cells(notebook):
        if DRAWS.search(cell.source):
            alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
            assert len(alt.split()) >= 5, f"no alternative text: {first_line(cell)}"


@notebook_test(CHAPTERS)
def test_a_chapter_has_at_least_eight_words_of_prose_for_a_line_of_code(notebook):
    prose = " ".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    words = len(re.findall(r"\w+", re.sub(r"\$\$.*?\$\$", "", prose, flags=re.DOTALL)))
    lines = sum(
        1 for cell in code_cells(notebook) for line in cell.source.splitlines() if line.strip()
    )
    assert words >= 8 * lines, f"{words} words for {lines} lines"


@notebook_test(CHAPTERS)
def test_a_chapter_starts_with_its_number_then_imports_and_seed(notebook):
    assert re.match(r"# \d+\. \w", notebook.cells[0].source)
    first = code_cells(notebook)[0].source
    assert 'find_spec("metarl_lite")' in first
    assert "%pip install" in first
    assert "chapter_seed()" in first


@notebook_test(NOTEBOOKS)
def test_a_notebook_defines_nothing_that_the_library_has(notebook):
    transform = TransformerManager().transform_cell
    trees = [ast.parse(transform(cell.source)) for cell in code_cells(notebook)]
    defined = {n.name for t in trees for n in ast.walk(t) if isinstance(n, ast.FunctionDef)}
    imported = {
        alias.asname or alias.name
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("metarl_lite")
        for alias in node.names
    }
    assert not defined & imported
