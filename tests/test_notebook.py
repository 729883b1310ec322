"""Shown source: complete, located, escaped, and legible on light and dark pages."""

import inspect
import re
from html import unescape

import numpy as np
import pytest

from metarl_lite import notebook
from metarl_lite.notebook import DARK, LIGHT, Shown, code_html, show_source, source


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
