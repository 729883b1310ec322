"""Shown source: complete, located, escaped, and legible on light and dark pages."""

import inspect
import re
from html import unescape

import numpy as np
import pytest

from metarl_lite import notebook
from metarl_lite.notebook import (
    DARK,
    LIGHT,
    Shown,
    chapter_map,
    code_html,
    grid_film,
    show_source,
    source,
)


def quoted(text="a < b & c"):
    """Return a text that HTML would misread."""
    return f"<{text}>"  # keep


def contrast(one, other):
    """WCAG 2's contrast ratio of two colours such as #1f2328."""

    def luminance(colour):
        channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(
            channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4
        )
        return linear @ [0.2126, 0.7152, 0.0722]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_plain_text_is_the_source_with_module_and_line(capsys):
    show_source(quoted)
    first = inspect.getsourcelines(quoted)[1]
    expected = f"# {__name__}, line {first}\n{inspect.getsource(quoted)}\n"
    assert capsys.readouterr().out == expected


def test_the_html_holds_the_same_code_escaped_and_reachable_by_keyboard():
    html = source(quoted).html
    code = re.search('<pre class="metarl-code" tabindex="0">(.*)</pre>', html, re.DOTALL)[1]
    assert unescape(re.sub("<[^>]*>", "", code)).strip() == inspect.getsource(quoted).strip()
    assert f"{__name__}, line" in html


def test_each_object_is_shown_in_its_turn(monkeypatch):
    shown = []
    monkeypatch.setattr(notebook, "display", shown.append)
    show_source(quoted, Shown, notebook)
    assert ["def quoted" in shown[0].text, "class Shown" in shown[1].text] == [True, True]
    assert shown[2].text.startswith("# metarl_lite.notebook, line 1\n")


def test_a_method_is_shown_without_its_indentation():
    assert "\ndef __str__(self)" in source(Shown.__str__).text


@pytest.mark.parametrize("thing", [3, "text", len, np.add, None])
def test_what_has_no_python_source_is_refused_by_name(thing):
    with pytest.raises(ValueError, match=re.escape(repr(thing))):
        show_source(quoted, thing)


def test_nothing_is_shown_when_one_object_is_refused(capsys):
    with pytest.raises(ValueError, match="functions, classes or modules"):
        show_source(quoted, 3)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_every_colour_of_code_reaches_contrast_4_5_on_its_page(colours):
    page, *inks = colours
    assert min(contrast(page, ink) for ink in inks) >= 4.5


def test_contrast_is_21_between_black_and_white():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


def test_every_kind_of_token_is_coloured():
    html = code_html('@wraps\ndef f(x):  # why\n    return "s" if x in 3.0 else None\n')
    tokens = dict.fromkeys(re.findall(r'class="ms-(\w+)"', html))
    assert {"nd", "k", "nf", "c1", "s2", "ow", "mf", "kc"} <= set(tokens)
    assert html.count("<style>") == 1
    assert len(html) < 4_000


def test_a_film_has_a_frame_for_every_step_and_can_be_stopped():
    paths = np.array([[[0, 0], [0, 1], [2, 1]], [[0, 0], [1, 0], [1, 1]]])
    film = grid_film(paths, np.array([[2, 1], [1, 1]]), size=3, steps_an_episode=3)
    assert "0.00% {transform: translate(0px, 0px)}" in film.html
    assert "66.67% {transform: translate(1px, 2px)}" in film.html  # column, row
    assert film.html.count("<circle") == 2
    assert '<input type="checkbox"' in film.html
    assert "prefers-reduced-motion" in film.html
    assert "http" not in film.html
    assert "2 agents, 3 steps" in str(film)


@pytest.mark.parametrize("paths", [np.zeros((2, 3)), np.zeros((2, 3, 3)), np.zeros((1, 3, 2))])
def test_paths_of_another_shape_are_refused(paths):
    with pytest.raises(ValueError, match="paths must be"):
        grid_film(paths, np.zeros((2, 2)), size=3, steps_an_episode=3)


def test_a_map_links_to_notebooks_and_names_what_is_to_come():
    tree = chapter_map("Where?", {"a < b": {"MAML": "07_maml.ipynb", "SNAIL": "chapter 12"}})
    assert '<a href="07_maml.ipynb">MAML (chapter 07)</a>' in tree.html
    assert "<li>SNAIL (chapter 12)</li>" in tree.html
    assert "a &lt; b" in tree.html
    assert 'aria-label="Where?"' in tree.html
    assert "http" not in tree.html
    assert str(tree) == "Where?\n  a < b\n    MAML: 07_maml.ipynb\n    SNAIL: chapter 12"


def test_a_map_has_colours_for_light_and_for_dark_pages():
    html = chapter_map("Where?", {"here": {"MAML": "07_maml.ipynb"}}).html
    for colours in (LIGHT, DARK):
        assert f"--page: {colours[0]}; --text: {colours[1]}" in html
        assert contrast(colours[0], colours[5]) >= 4.5  # a link on its page


@pytest.mark.parametrize("branches", [{}, {"here": {}}, {"here": {"MAML": "x"}, "there": {}}])
def test_a_map_without_entries_is_refused(branches):
    with pytest.raises(ValueError, match="branches"):
        chapter_map("Where?", branches)
