"""What the book's Sphinx extension makes of a chapter's plain Markdown."""

import pytest
from docutils import nodes
from docutils.utils import new_document
from metarl_book import link_pages, upgrade_markdown

KEYS = {"https://doi.org/10.1038/nature14236": "mnih2015human"}
URL = next(iter(KEYS))


@pytest.mark.parametrize(
    ("plain", "upgraded"),
    [
        ("By equation (1.3),", "By equation [(1.3)](#equation-1-3),"),
        (
            "Equations (1.3) and (1.4)",
            "Equations [(1.3)](#equation-1-3) and [(1.4)](#equation-1-4)",
        ),
        ("$$\nx = 1 \\tag{1.3}\n$$", "(equation-1-3)=\n$$\nx = 1 \\tag{1.3}\n$$"),
        ("> $$ x \\tag{2.1} $$", "> (equation-2-1)=\n> $$ x \\tag{2.1} $$"),
        ("$$\nx = 1\n$$", "$$\nx = 1\n$$"),
        ("`equation (1.3)`", "`equation (1.3)`"),
        ("```\nequation (1.3)\n```", "```\nequation (1.3)\n```"),
        (f"[Mnih et al. 2015]({URL})", "{cite:alp}`mnih2015human`"),
        (f"[Mnih et al. (2015)]({URL})", "{cite:t}`mnih2015human`"),
        (f"[Mnih et al. 2015, table 1]({URL})", "{cite:alp}`mnih2015human`, table 1"),
        (f"[the paper]({URL})", "the paper ({cite:alp}`mnih2015human`)"),
        ("[Mnih 2015](https://example.org)", "[Mnih 2015](https://example.org)"),
    ],
)
def test_plain_markdown_is_upgraded(plain, upgraded):
    assert upgrade_markdown(plain, KEYS) == upgraded


def test_two_equations_get_a_target_each():
    text = "$$ a \\tag{1.1} $$\n\nwords\n\n$$\nb\n$$\n\n$$ c \\tag{1.2} $$"
    assert upgrade_markdown(text, {}).count(")=") == 2


@pytest.mark.parametrize(
    ("link", "page"),
    [
        ('<a href="07_maml.ipynb">', '<a href="07_maml.html">'),
        ('<a href="07_maml.ipynb#an-anchor">', '<a href="07_maml.html#an-anchor">'),
        ('<a href="https://example.org/x.ipynb">', '<a href="https://example.org/x.ipynb">'),
        ("<code>07_maml.ipynb</code>", "<code>07_maml.ipynb</code>"),
    ],
)
def test_a_link_to_a_notebook_in_an_output_leads_to_its_page(link, page):
    document = new_document("a chapter")
    document += nodes.raw("", link, format="html")
    link_pages(None, document)
    assert document.astext() == page
