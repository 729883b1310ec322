"""`make book`: execute what changed, both cores at once, then let Jupyter Book write the pages.

    python book/build.py

Outputs go to the jupyter-cache. `_build/executed.json` tells the Sphinx extension what was
executed: fingerprints, times and claims.
"""

import asyncio
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import grimp.exceptions
import nbformat
from fingerprint import Library, fingerprint
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn, JupyterCacheAbstract
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

ROOT = Path(__file__).parent.parent
CLAIM = "application/vnd.metarl.claim+json"
BUDGET = 60  # seconds, where a notebook's metadata says nothing else
CELL_TIMEOUT = 900  # seconds, so that a hanging cell ends the build


class BuildError(Exception):
    """Something a reader of the terminal can act upon; its text says all."""


@dataclass
class Chapter:
    """A notebook to execute; `outputs` is empty until it has been."""

    path: Path
    root: Path
    source: nbformat.NotebookNode
    fingerprint: str
    outputs: nbformat.NotebookNode | None = None
    seconds: float = 0.0
    name: str = field(init=False)

    def __post_init__(self) -> None:
        self.name = self.path.relative_to(self.root).with_suffix("").as_posix()


def read_chapters(root: Path, library: Library) -> list[Chapter]:
    """Return every notebook of the book that has code, with its present fingerprint."""
    chapters = []
    for path in sorted([*root.glob("book/*.ipynb"), *root.glob("chapters/*.ipynb")]):
        notebook = nbformat.read(path, as_version=4)
        if any(cell.cell_type == "code" for cell in notebook.cells):
            mark = fingerprint(notebook, path.parent, library)
            chapters.append(Chapter(path, root, notebook, mark))
    return chapters


def load_executed(chapter: Chapter, cache: JupyterCacheAbstract) -> bool:
    """Fill in the cached outputs and return True where they belong to the present fingerprint."""
    try:
        record = cache.match_cache_notebook(chapter.source)
        _, executed = cache.merge_match_into_notebook(chapter.source)
    except (KeyError, nbformat.reader.NotJSONError):  # not there, or cut short by a kill
        return False
    if record.data.get("fingerprint") != chapter.fingerprint:
        return False
    chapter.outputs, chapter.seconds = executed, record.data["execution_seconds"]
    return True


class Loop(asyncio.SelectorEventLoop):
    """An event loop that leaves Ctrl-C to Python, so that all kernels end and nothing is kept."""

    def add_signal_handler(self, *args) -> None:
        """Refuse, as a loop outside the main thread does: nbclient then sets no handler."""
        raise RuntimeError("signals are not handled in this loop")


async def execute(chapter: Chapter) -> None:
    """Run the notebook in a fresh kernel of one thread; raise a BuildError naming the cell."""
    started: list[int] = []
    client = NotebookClient(
        nbformat.from_dict(chapter.source),
        on_cell_execute=lambda cell, cell_index: started.append(cell_index),
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        record_timing=False,  # it would change the metadata that jupyter-cache goes by
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(chapter.path.parent)}},
    )
    start = time.perf_counter()
    try:
        await client.async_execute(env={**os.environ, "OMP_NUM_THREADS": "1"})
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        raise BuildError(describe_failure(chapter, started, error)) from None
    chapter.seconds = time.perf_counter() - start
    chapter.outputs = client.nb


def describe_failure(chapter: Chapter, started: list[int], error: Exception) -> str:
    """Return the chapter, its cell (number and first line) and the error, each on a line."""
    reason = "its kernel died: interrupted, or out of memory"
    if isinstance(error, CellExecutionError):
        reason = f"{error.ename}: {error.evalue}"
    elif isinstance(error, CellTimeoutError):
        reason = f"no answer within {CELL_TIMEOUT} s"
    if not started:
        return f"{chapter.name}.ipynb, before its first cell\n  {reason}"
    first_line = chapter.source.cells[started[-1]].source.strip().splitlines()[0]
    return f"{chapter.name}.ipynb, code cell {len(started)}\n  > {first_line}\n  {reason}"


async def execute_all(
    chapters: list[Chapter], cache: JupyterCacheAbstract, report: Callable[[str], None]
) -> None:
    """Execute the chapters, one on each of two cores; the first that fails stops all."""
    slots = asyncio.Semaphore(min(2, os.cpu_count() or 1))
    done, width = 0, max(len(chapter.name) for chapter in chapters)

    async def execute_and_store(chapter: Chapter) -> None:
        nonlocal done
        async with slots:
            await execute(chapter)
        data = {"execution_seconds": chapter.seconds, "fingerprint": chapter.fingerprint}
        bundle = CacheBundleIn(chapter.outputs, str(chapter.path), data=data)
        cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
        done += 1
        report(f"{chapter.name:<{width}}  {done}/{len(chapters)} … {chapter.seconds:.1f} s")

    try:
        async with asyncio.TaskGroup() as group:
            for chapter in chapters:
                group.create_task(execute_and_store(chapter))
    except ExceptionGroup as group_of_errors:
        raise group_of_errors.exceptions[0] from None


def claims_of(notebook: nbformat.NotebookNode) -> list[dict]:
    """Return the claims that the notebook's cells displayed, in order."""
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    return [out.data[CLAIM] for out in outputs if CLAIM in out.get("data", {})]


def write_manifest(chapters: list[Chapter], path: Path) -> None:
    """Write what was executed, for the extension's pages; untouched when nothing changed."""
    entries = {
        chapter.name: {
            "fingerprint": chapter.fingerprint,
            "seconds": round(chapter.seconds, 1),
            "budget": chapter.source.metadata.get("budget_seconds", BUDGET),
            "claims": claims_of(chapter.outputs),
        }
        for chapter in chapters
    }
    old = json.loads(path.read_text("utf-8")) if path.exists() else {}
    if old.get("chapters") == entries:
        return
    manifest = {
        "chapters": entries,
        "seed": os.environ.get("METARL_SEED", "0"),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}",
        "date": datetime.now(UTC).date().isoformat(),
    }
    path.write_text(json.dumps(manifest, indent=1, ensure_ascii=False), "utf-8")


def write_pages(root: Path) -> None:
    """Run Jupyter Book, warnings being errors; pages of a build that failed do not stay."""
    build = root / "_build"
    finished = build / "finished"
    if not finished.exists():  # the last build failed or was interrupted
        remove_pages(root)
    finished.unlink(missing_ok=True)
    program = "from jupyter_book.cli.main import main; main()"
    options = ["build", str(root), "-W", "--keep-going", "-q"]
    command = [sys.executable, "-c", program, *options]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        remove_pages(root)
        plain = re.sub(r"\x1b\[[\d;]*m", "", run.stderr)  # without colours
        warnings = [w for w in plain.splitlines() if "WARNING" in w or "ERROR" in w]
        detail = "\n".join(warnings) or run.stdout + run.stderr
        raise BuildError(f"Jupyter Book could not write the pages:\n{detail}")
    finished.touch()


def remove_pages(root: Path) -> None:
    """Remove the pages and what Sphinx remembers of them."""
    for folder in ("html", ".doctrees", "jupyter_execute"):
        shutil.rmtree(root / "_build" / folder, ignore_errors=True)


def read_library(package: str, folder: Path) -> Library:
    """Return the package's import graph; a module that does not parse is a BuildError."""
    try:
        return Library(package, folder)
    except grimp.exceptions.SourceSyntaxError as error:
        raise BuildError(f"SyntaxError in the library: {error}") from None


def build_book(root: Path, package: str, report: Callable[[str], None] = print) -> None:
    """Execute the changed notebooks of the book at `root`, record them, write the pages."""
    (root / "_build").mkdir(exist_ok=True)
    chapters = read_chapters(root, read_library(package, root))
    cache = get_cache(root / "_build" / ".jupyter_cache")
    changed = [chapter for chapter in chapters if not load_executed(chapter, cache)]
    if changed:
        remove_pages(root)
        report(f"Executing {len(changed)} of {len(chapters)} notebooks")
        with asyncio.Runner(loop_factory=Loop) as runner:
            runner.run(execute_all(changed, cache, report))
    write_manifest(chapters, root / "_build" / "executed.json")
    write_pages(root)
    report(f"The book is ready: {(root / '_build' / 'html' / 'index.html').as_uri()}")


if __name__ == "__main__":
    try:
        build_book(ROOT, "metarl_lite", lambda line: print(line, flush=True))
    except BuildError as failure:
        sys.exit(f"\nThe book was not built.\n{failure}")
    except KeyboardInterrupt:
        sys.exit("\nInterrupted: the book was not built.")
