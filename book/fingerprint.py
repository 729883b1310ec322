"""What an executed notebook depends on, as one hash: when it changes, the notebook runs again.

jupyter-cache looks at code cells only. A notebook's output also depends on the library
modules it imports (transitively), the pinned requirements, the seed, the data and Python.
"""

import ast
import hashlib
import os
import platform
import re
from pathlib import Path

import grimp
from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode


class Library:
    """The import graph of one importable package, and the files behind it."""

    def __init__(self, package: str, folder: Path) -> None:
        self.package = package
        self.folder = folder
        self.graph = grimp.build_graph(package, cache_dir=None)

    def upstream(self, modules: set[str]) -> set[str]:
        """Return `modules` and everything of the package that importing them may run."""
        found, todo = set(), set(modules)
        while todo:
            module = todo.pop()
            found.add(module)
            imports = self.graph.find_modules_directly_imported_by(module)
            parents = {module.rpartition(".")[0]} - {""}
            named = self.named_in(ast.parse(self.path(module).read_text("utf-8")))
            todo |= (imports | parents | named) - found
        return found

    def path(self, module: str) -> Path:
        """Return the file that defines `module`."""
        stem = self.folder.joinpath(*module.split("."))
        return stem / "__init__.py" if stem.is_dir() else stem.with_suffix(".py")

    def named_in(self, tree: ast.AST) -> set[str]:
        """Return the modules that `tree` imports, or names in a string as entry points do."""
        names = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names |= {node.module, *(f"{node.module}.{a.name}" for a in node.names)}
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                names |= set(re.findall(rf"^({self.package}(?:\.\w+)+):\w+$", node.value))
        return names & self.graph.modules


def fingerprint(notebook: NotebookNode, folder: Path, library: Library) -> str:
    """Return the hash of all that the outputs of `notebook`, run in `folder`, depend on."""
    digest = hashlib.sha256()
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    tree = _syntax_tree(sources)
    parts = [*sources, os.environ.get("METARL_SEED", "0"), platform.python_version()]
    parts += [_content(library.folder / "requirements.txt")]
    parts += [*_data_files(), *_named_files(tree, folder)]
    modules = library.upstream(library.named_in(tree))
    parts += [f"{module}\n{_content(library.path(module))}" for module in sorted(modules)]
    for part in parts:
        digest.update(hashlib.sha256(part.encode()).digest())
    return digest.hexdigest()


def _syntax_tree(sources: list[str]) -> ast.Module:
    """Return the tree of all cells; a cell that does not parse fails when it is executed."""
    transform = TransformerManager().transform_cell
    tree = ast.Module(body=[], type_ignores=[])
    for source in sources:
        try:
            tree.body += ast.parse(transform(source)).body
        except SyntaxError:
            continue
    return tree


def _content(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _named_files(tree: ast.Module, folder: Path) -> list[str]:
    """Return name and content of each file that a string in the code names, as `open` would.

    A string that names a folder stands for the records in it, its JSON files.
    """
    strings = (n.value for n in ast.walk(tree) if isinstance(n, ast.Constant))
    names = {s for s in strings if isinstance(s, str) and re.fullmatch(r"[\w./-]+", s)}
    paths = {path for name in names for path in (folder / name, *(folder / name).glob("*.json"))}
    return [
        f"{os.path.relpath(path, folder)}\n{_content(path)}"
        for path in sorted(paths)
        if path.is_file()
    ]


def _data_files() -> list[str]:
    """Return name, size and time of every file under METARL_DATA."""
    folder = os.environ.get("METARL_DATA")
    if not folder:
        return []
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    stats = ((path, path.stat()) for path in files)
    return [f"{path} {stat.st_size} {stat.st_mtime_ns}" for path, stat in stats]
