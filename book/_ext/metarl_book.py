"""What the book adds to Sphinx: links from plain Markdown, two made pages, offline MathJax.

The chapters are plain Markdown that reads well in any notebook viewer. When Sphinx reads a
page, an equation's `\\tag{1.3}` becomes a link target, "equation (1.3)" a link to it, and a link
to a work of the bibliography a citation.
"""

import hashlib
import importlib.util
import json
import re
import zlib
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from pybtex.database import parse_file
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective
from sphinx.util.fileutil import copy_asset

MADE_PAGES = ("book/claims", "book/running_times")
MATHJAX = ("tex-chtml.js", "input/tex/extensions", "output/chtml")
CALLOUTS = {
    "Predict.": "callout-predict",
    "Were you right?": "callout-right",
    "What goes wrong.": "callout-wrong",
}

CODE = re.compile(r"(```.*?```|~~~.*?~~~|`[^`\n]+`)", re.DOTALL)
DISPLAYED = re.compile(
    r"^(?P<indent>[ >]*)\$\$(?P<body>(?:(?!\$\$).)*?\\tag\{(?P<tag>[\w.]+)\}(?:(?!\$\$).)*)\$\$",
    re.DOTALL | re.MULTILINE,
)
REFERENCE = re.compile(
    r"\b[Ee]quations?\s+\(\d+\.\d+\w?\)(?:(?:,\s+and\s+|,\s+|\s+and\s+|\s+to\s+|–)\(\d+\.\d+\w?\))*"
)
TO_NOTEBOOK = re.compile(r'(?P<start> href="[\w/-]+)\.ipynb')
LINK = re.compile(r"(?<!!)\[(?P<text>[^\]\[]+)\]\((?P<url>https?://[^)\s]+)\)")
AUTHOR_YEAR = re.compile(r"^(?P<authors>\D+?),? (?P<year>\(?\d{4}\)?)(?P<rest>.*)$", re.DOTALL)


def upgrade_markdown(text: str, keys: dict[str, str]) -> str:
    """Return Markdown with targets, equation links and citations; code is left alone."""
    parts = CODE.split(text)
    for i in range(0, len(parts), 2):  # every other part is code
        parts[i] = DISPLAYED.sub(add_target, parts[i])
        parts[i] = REFERENCE.sub(link_equations, parts[i])
        parts[i] = LINK.sub(lambda match: cite(match, keys), parts[i])
    return "".join(parts)


def add_target(match: re.Match) -> str:
    """Put a MyST target on the line before a displayed, tagged equation."""
    target = f"({equation_label(match['tag'])})="
    return f"{match['indent']}{target}\n{match[0]}"


def link_equations(match: re.Match) -> str:
    """Make each number of "equations (1.3) and (1.4)" a link."""
    return re.sub(r"\(([\d.]+\w?)\)", lambda m: f"[{m[0]}](#{equation_label(m[1])})", match[0])


def equation_label(tag: str) -> str:
    """Return the name of the link target of the equation tagged `tag`."""
    return "equation-" + tag.replace(".", "-")


def cite(match: re.Match, keys: dict[str, str]) -> str:
    """Make a link whose address is a work of the bibliography a citation, keeping its words."""
    key = keys.get(match["url"])
    if key is None:
        return match[0]
    named = AUTHOR_YEAR.match(match["text"])
    if named is None:  # "the paper" is not a name and a year
        return f"{match['text']} ({{cite:alp}}`{key}`)"
    role = "cite:t" if named["year"].startswith("(") else "cite:alp"
    return f"{{{role}}}`{key}`{named['rest']}"


def read_source(app: Sphinx, docname: str, source: list[str]) -> None:
    """Upgrade the Markdown of a notebook's cells, or of a Markdown page, as Sphinx reads it."""
    keys = app.env.metarl_citation_keys
    path = Path(app.env.doc2path(docname))
    if path.suffix == ".md":
        source[0] = upgrade_markdown(source[0], keys)
    elif path.suffix == ".ipynb":
        notebook = json.loads(source[0])
        for cell in notebook["cells"]:
            if cell["cell_type"] == "markdown":
                cell["source"] = upgrade_markdown("".join(cell["source"]), keys)
        source[0] = json.dumps(notebook)


def citation_keys(app: Sphinx) -> dict[str, str]:
    """Return the bibliography's keys by the address of the work."""
    works = {}
    for name in app.config.bibtex_bibfiles:
        entries = parse_file(str(Path(app.srcdir) / name)).entries
        works |= {e.fields["url"]: key for key, e in entries.items() if "url" in e.fields}
    return works


def keep_tags(app: Sphinx, doctree: nodes.document) -> None:
    """Stop Sphinx from wrapping tagged equations in `split`, where TeX allows no tag."""
    for node in doctree.findall(nodes.math_block):
        if r"\tag{" in node.astext():
            opening, closing = app.config.mathjax_display
            node.children = [nodes.Text(f"{opening}{node.astext()}{closing}")]
            node["nowrap"] = True


def name_callouts(app: Sphinx, doctree: nodes.document) -> None:
    """Give a block quote that begins with a call-out's bold words its class, for its colour."""
    for quote in doctree.findall(nodes.block_quote):
        strong = quote.next_node(nodes.strong)
        if strong is not None and strong.astext() in CALLOUTS:
            quote["classes"].append(CALLOUTS[strong.astext()])


def link_pages(app: Sphinx, doctree: nodes.document) -> None:
    """Lead links to notebooks in a cell's HTML, such as a map's, to the pages of the book."""
    for node in doctree.findall(nodes.raw):
        if node.get("format") == "html":
            node.children = [nodes.Text(TO_NOTEBOOK.sub(r"\g<start>.html", node.astext()))]


def read_manifest(env: BuildEnvironment) -> dict:
    """Return what `book/build.py` executed: chapters with their times and claims."""
    path = Path(env.app.outdir).parent / "executed.json"
    return json.loads(path.read_text("utf-8"))


def outdated_pages(
    app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]
) -> list[str]:
    """Return the pages whose executed outputs are not those that were read last time."""
    chapters = read_manifest(env)["chapters"]
    total = hashlib.sha256(json.dumps(chapters).encode()).hexdigest()
    now = {name: chapter["fingerprint"] for name, chapter in chapters.items()}
    now |= dict.fromkeys(MADE_PAGES, total)
    before = getattr(env, "metarl_executed", {})
    env.metarl_executed = now
    keys = citation_keys(app)
    if keys != getattr(env, "metarl_citation_keys", keys):  # a work gained or lost its address
        before = dict.fromkeys(env.found_docs)
        now = dict.fromkeys(env.found_docs, "read again")
    env.metarl_citation_keys = keys
    return [name for name in now if now[name] != before.get(name) and name in env.found_docs]


class Table(SphinxDirective):
    """A page's table made from the executed chapters, written as Markdown."""

    def run(self) -> list[nodes.Node]:
        """Return the parsed table."""
        text = "\n".join(self.markdown(read_manifest(self.env)))
        box = nodes.container(classes=["metarl-table"])
        self.state.nested_parse(StringList(text.splitlines()), self.content_offset, box)
        return box.children

    def markdown(self, manifest: dict) -> list[str]:
        """Return the lines of Markdown to show."""
        raise NotImplementedError


class Claims(Table):
    """`{claims}`: every asserted headline number, beside its bound and the published figure."""

    def markdown(self, manifest: dict) -> list[str]:
        """Return a table for each chapter that claims something."""
        lines = []
        for name, chapter in manifest["chapters"].items():
            if not chapter["claims"]:
                continue
            lines += [f"**[](/{name})**", ""]
            lines += ["| claim | in this build | bound | published |", "|---|---|---|---|"]
            lines += [self.row(name, claim) for claim in chapter["claims"]] + [""]
        return lines or ["No chapter has claimed anything yet."]

    def row(self, name: str, claim: dict) -> str:
        """Return one claim's row; its name links to the cell that asserted it."""
        page = self.env.app.builder.get_relative_uri(self.env.docname, name)
        bounds = [f"≥ {claim['at_least']:g}"] if claim["at_least"] is not None else []
        bounds += [f"≤ {claim['at_most']:g}"] if claim["at_most"] is not None else []
        published = "" if claim["published"] is None else f"{claim['published']:g}"
        if claim["source"]:
            published += f" {{cite:p}}`{claim['source']}`"
        link = f'<a href="{page}#{claim["anchor"]}">{claim["name"].replace("|", "&#124;")}</a>'
        value = f"✓ {claim['value']:.4g} {claim['unit']}".strip()
        return f"| {link} | {value} | {' and '.join(bounds)} | {published} |"


class RunningTimes(Table):
    """`{running-times}`: the measured time of each notebook beside its budget."""

    def markdown(self, manifest: dict) -> list[str]:
        """Return one table, with the machine and the seed named above it."""
        lines = [
            f"Measured on {manifest['date']}: {manifest['machine']}, one thread a notebook, "
            f"two notebooks at once, seed {manifest['seed']}.",
            "",
            "| notebook | seconds | budget |",
            "|---|--:|--:|",
        ]
        return lines + [
            f"| [](/{name}) | {chapter['seconds']:.1f} | {chapter['budget']} |"
            for name, chapter in manifest["chapters"].items()
        ]


def mend_reference_list(
    app: Sphinx, pagename: str, templatename: str, context: dict, doctree: nodes.document | None
) -> None:
    """Drop a role of docutils' list of references whose children are not list items."""
    if "body" in context:
        wrong = '<div role="list" class="citation-list">'
        context["body"] = context["body"].replace(wrong, '<div class="citation-list">')


def launch_only_from_repository(app: Sphinx, config: Config) -> None:
    """Without a repository's address there is nothing that a launch button could open."""
    options = config.html_theme_options
    if not options.get("repository_url"):
        options["launch_buttons"] = {}


def copy_mathjax(app: Sphinx, error: Exception | None) -> None:
    """Copy the part of MathJax that the pages ask for into the book."""
    if error:
        return
    package = importlib.util.find_spec("sphinx-mathjax-offline").submodule_search_locations[0]
    for name in MATHJAX:
        source = Path(package) / "static" / "mathjax" / name
        target = Path(app.outdir) / "_static" / "mathjax" / name
        copy_asset(source, target if source.is_dir() else target.parent)


def setup(app: Sphinx) -> dict:
    """Register the extension."""
    app.config.mathjax_path = "mathjax/tex-chtml.js"
    app.add_directive("claims", Claims)
    app.add_directive("running-times", RunningTimes)
    app.connect("config-inited", launch_only_from_repository)
    app.connect("env-get-outdated", outdated_pages)
    app.connect("source-read", read_source)
    app.connect("doctree-read", keep_tags)
    app.connect("doctree-read", name_callouts)
    app.connect("doctree-read", link_pages)
    app.connect("html-page-context", mend_reference_list)
    app.connect("build-finished", copy_mathjax)
    own_version = zlib.crc32(Path(__file__).read_bytes())  # a changed extension reads all again
    return {"version": "1", "env_version": own_version, "parallel_read_safe": False}
