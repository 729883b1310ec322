"""Every page of the built book, wide and narrow, light and dark."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from built_book import BOOK, PAGES

TEX = re.compile(r"\$[^\s$][^$\n]*\$|\\\(|\\\[|\\begin\{")
ALL_RULES: dict = {}
COLOUR_RULES = {"runOnly": ["color-contrast", "link-in-text-block"]}  # all that dark mode changes
READ_PROSE = """() => {
    const page = document.querySelector("main").cloneNode(true);
    page.querySelectorAll("pre, code, script, style, mjx-container").forEach(e => e.remove());
    return page.textContent;
}"""
WITHOUT_ALT = """() => [...document.images]
    .filter(i => !(i.getAttribute("alt") || "").trim() && i.getAttribute("role") != "presentation")
    .map(i => i.src)"""
# axe looks at every element for minutes; of a formula's thousands of boxes and of code's coloured
# words one of each kind tells the same.
THIN_OUT = """() => {
    document.querySelectorAll("mjx-math").forEach(formula => formula.remove());
    const seen = new Set();
    for (const word of document.querySelectorAll("pre span[class]:not(:has(span))")) {
        const kind = word.className + getComputedStyle(word).color;
        if (seen.has(kind)) word.replaceWith(word.textContent);
        seen.add(kind);
    }
}"""
SCROLLS_BY = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


def test_the_book_has_pages():
    assert "chapters/01_mdps.html" in PAGES, "no built book: run make book first"


@pytest.mark.parametrize("width", [1280, 390])
def test_a_page_is_quiet_complete_and_accessible(page_name, width, site, open_page):
    page = open_page(site + page_name, width)
    problems = look_at(page)
    page.evaluate(THIN_OUT)
    problems += axe_violations(page, ALL_RULES)
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    problems += [f"dark: {violation}" for violation in axe_violations(page, COLOUR_RULES)]
    problems += page.complaints
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_book_follows_the_reader_s_colour_scheme(scheme, site, browser):
    page = browser.new_page(color_scheme=scheme)
    page.goto(site + PAGES[0])
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    page.close()


def test_a_page_opens_without_a_server(open_page):
    page = open_page((BOOK / "chapters" / "01_mdps.html").as_uri(), 1280)
    problems = look_at(page) + page.complaints
    assert page.locator("mjx-container").count() > 0, "no mathematics was set"
    assert not problems, "\n".join(problems)


def look_at(page) -> list[str]:
    """Return what is wrong with the page's mathematics, width and pictures."""
    errors = page.locator("mjx-merror, .merror, [data-mjx-error]")
    problems = [f"TeX error: {text}" for text in errors.all_inner_texts()]
    problems += [f"raw TeX: {raw}" for raw in TEX.findall(page.evaluate(READ_PROSE))]
    problems += [f"no alternative text: {src}" for src in page.evaluate(WITHOUT_ALT)]
    if page.evaluate(SCROLLS_BY) > 0:
        problems.append(f"the page scrolls sideways by {page.evaluate(SCROLLS_BY)} px")
    return problems


def axe_violations(page, rules: dict) -> list[str]:
    """Return serious and critical violations, each with the first element that has it."""
    options = {"resultTypes": ["violations"], "preload": False, **rules}
    response = Axe().run(page, options=options)
    return [
        f"{found['id']} ({len(found['nodes'])}): {found['nodes'][0]['html'][:200]}"
        for found in response.response["violations"]
        if found["impact"] in ("serious", "critical")
    ]
