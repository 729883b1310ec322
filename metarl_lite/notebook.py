"""What a chapter shows besides figures: highlighted source, in notebooks and plain text alike."""

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from html import escape

import numpy as np
from IPython.display import display
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

# Colours of (page, text, keyword, string, comment, number, name), each at least 4.5:1 on its page.
LIGHT = ("#f6f8fa", "#1f2328", "#a0111f", "#0a3069", "#57606a", "#0550ae", "#6639ba")
DARK = ("#0d1117", "#e6edf3", "#ff7b72", "#a5d6ff", "#9aa4ae", "#79c0ff", "#d2a8ff")
DARK_PAGES = (  # the book, JupyterLab, VS Code and Colab each say "dark" in their own way
    'html[data-theme="dark"]',
    '[data-jp-theme-light="false"]',
    "body.vscode-dark",
    "html[theme=dark]",
)
TOKENS = {  # Pygments names its classes by kind: k* keywords, s* strings, c* comments, m* numbers
    "keyword": "[class^=ms-k], .ms-ow",
    "string": "[class^=ms-s]",
    "comment": "[class^=ms-c]",
    "number": "[class^=ms-m]",
    "name": ".ms-nf, .ms-nc, .ms-nd",
}


FILM_STYLE = (
    ".metarl-film svg {width: 100%; max-width: 44em} .metarl-film text {font-size: 1px;"
    " text-anchor: middle; fill: #b34700} .metarl-film circle {fill: #0072b2}"
    " .metarl-film .room {fill: white; stroke: #444444; stroke-width: .06}"
    " .metarl-film:has(.stop:checked) circle {animation-play-state: paused !important}"
    " @media (prefers-reduced-motion: reduce)"
    " {.metarl-film circle {animation-play-state: paused !important}}"
)

MAP_RULES = (  # a tree: the root in a box, branches on a line below it, entries side by side
    "nav.metarl-map {line-height: 1.4; max-width: 44em}",
    "nav.metarl-map :is(p, ul, li) {margin: 0; padding: 0; list-style: none}",
    "nav.metarl-map > p, nav.metarl-map > ul > li {background: var(--page); color: var(--text);"
    " border: 1px solid #8c959f; border-radius: .4em; padding: .6em .8em}",
    "nav.metarl-map > p {font-weight: bold}",
    "nav.metarl-map > ul {border-left: 2px solid #8c959f; display: flow-root; margin-left: .8em}",
    "nav.metarl-map > ul > li {margin: .8em 0 0 1.2em; position: relative}",
    "nav.metarl-map > ul > li::before {content: ''; position: absolute; left: -1.3em; top: 1.3em;"
    " width: 1.2em; border-top: 2px solid #8c959f}",
    "nav.metarl-map ul ul {display: flex; flex-wrap: wrap; gap: .3em 1.6em; margin-top: .3em}",
    "nav.metarl-map a:any-link {color: var(--number); text-decoration: underline}",
)


@dataclass(frozen=True)
class Shown:
    """Something displayed as `html` where the page can, and as `text` where it cannot."""

    text: str
    html: str

    def __str__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        return {"text/plain": self.text, "text/html": self.html}


def show_source(*objects: object) -> None:
    """Return nothing: display the source of functions, classes or modules with module and line.

    Raises ValueError for an object that has no Python source, such as a number or a builtin.
    """
    for shown in [source(an_object) for an_object in objects]:
        display(shown)


def source(an_object: object) -> Shown:
    """Return the source of a function, class or module, headed by its module and line."""
    try:
        lines, first = inspect.getsourcelines(an_object)
    except (TypeError, OSError) as error:
        raise ValueError(
            f"show_source takes functions, classes or modules written in Python, got {an_object!r}"
        ) from error
    module = inspect.getmodule(an_object)
    where = f"{module.__name__ if module else '?'}, line {max(first, 1)}"
    code = inspect.cleandoc("\n" + "".join(lines)) + "\n"
    html = f'<div class="metarl-source"><p>{escape(where)}</p>{code_html(code)}</div>'
    return Shown(f"# {where}\n{code}", html)


def code_html(code: str) -> str:
    """Return Python code as highlighted HTML that reads in light and dark pages."""
    tokens = highlight(code, PythonLexer(), HtmlFormatter(nowrap=True, classprefix="ms-"))
    # a scrolling region must be reachable with the keyboard
    return f'{_style()}<pre class="metarl-code" tabindex="0">{tokens}</pre>'


def grid_film(paths: np.ndarray, goals: np.ndarray, *, size: int, steps_an_episode: int) -> Shown:
    """Return a film of agents on boards of `size` x `size` cells, as SVG that style alone moves.

    `paths` (board, time, 2) are cells (row, column), `goals` (board, 2). A box stops and starts it;
    where the reader prefers no motion it stands still. Four steps a second, for ever again.
    """
    paths, goals = np.asarray(paths), np.asarray(goals)
    if paths.ndim != 3 or paths.shape[2] != 2 or goals.shape != (len(paths), 2):
        raise ValueError(
            f"paths must be (board, time, 2) and goals (board, 2), got {paths.shape}, {goals.shape}"
        )
    time = paths.shape[1]
    rules, boards = [FILM_STYLE], []
    for number, (path, goal) in enumerate(zip(paths, goals, strict=True)):
        frames = " ".join(
            f"{100 * t / time:.2f}% {{transform: translate({c}px, {r}px)}}"
            for t, (r, c) in enumerate(path)
        )
        rules.append(f"@keyframes film-{number} {{{frames}}}")
        boards.append(
            f'<svg x="{number * (size + 1)}" y="0" width="{size}" height="{size}">'
            f'<rect class="room" width="{size}" height="{size}"/>'
            f'<text x="{goal[1] + 0.5}" y="{goal[0] + 0.82}">★</text>'
            f'<circle cx=".5" cy=".5" r=".3" '
            f'style="animation: film-{number} {time / 4}s steps(1) infinite"/></svg>'
        )
    width = len(paths) * (size + 1) - 1
    words = f"{len(paths)} agents, {time} steps in episodes of {steps_an_episode} (a film)"
    html = (
        f'<div class="metarl-film"><style>{" ".join(rules)}</style>'
        f'<label><input type="checkbox" class="stop"> stop the film</label>'
        f'<svg viewBox="-.1 -.1 {width + 0.2} {size + 0.2}" role="img" aria-label="{words}">'
        f"{''.join(boards)}</svg></div>"
    )
    return Shown(words, html)


def chapter_map(root: str, branches: Mapping[str, Mapping[str, str]]) -> Shown:
    """Return a tree that links to chapters: a root, its branches, and entries on each of them.

    `branches[branch][entry]` is the notebook that treats the entry, such as "07_maml.ipynb" beside
    this one, which becomes a link; other words, such as "chapter 10", are shown as they are.
    """
    if not branches or not all(branches.values()):
        raise ValueError(f"branches must hold entries, each with its chapter, got {branches!r}")
    items, lines = [], [root]
    for branch, entries in branches.items():
        lines.append(f"  {branch}")
        lines += [f"    {entry}: {where}" for entry, where in entries.items()]
        shown = "".join(f"<li>{_entry(*pair)}</li>" for pair in entries.items())
        items.append(f"<li><p>{escape(branch)}</p><ul>{shown}</ul></li>")
    html = (
        f'<nav class="metarl-map" aria-label="{escape(root)}"><style>{" ".join(_map_rules())}'
        f"</style><p>{escape(root)}</p><ul>{''.join(items)}</ul></nav>"
    )
    return Shown("\n".join(lines), html)


def _entry(name: str, where: str) -> str:
    """Return one entry of a map: a link where `where` is a notebook."""
    if not where.endswith(".ipynb"):
        return f"{escape(name)} ({escape(where)})"
    number = re.match(r"\d+", where)
    chapter = f" (chapter {number[0]})" if number else ""
    return f'<a href="{escape(where)}">{escape(name)}{chapter}</a>'


def _map_rules() -> list[str]:
    """Return the rules of a map's style, with the colours of code on light and dark pages."""
    return [
        f"nav.metarl-map {{{_variables(LIGHT)}}}",
        f":is({', '.join(DARK_PAGES)}) nav.metarl-map {{{_variables(DARK)}}}",
        *MAP_RULES,
    ]


def _variables(colours: tuple[str, ...]) -> str:
    """Return the declarations that name a set of colours."""
    return "; ".join(
        f"--{name}: {colour}"
        for name, colour in zip(("page", "text", *TOKENS), colours, strict=True)
    )


@cache
def _style() -> str:
    """Return the style element that the code blocks carry with them, for pages that have none."""
    rules = [
        f"pre.metarl-code {{{_variables(LIGHT)}; background: var(--page); color: var(--text);"
        " overflow-x: auto; padding: .8em; line-height: 1.4; border: 1px solid #8c959f}",
        f":is({', '.join(DARK_PAGES)}) pre.metarl-code {{{_variables(DARK)}}}",
        *(
            f"pre.metarl-code :is({selector}) {{color: var(--{name})}}"
            for name, selector in TOKENS.items()
        ),
    ]
    return f"<style>{' '.join(rules)}</style>"
