"""Figures hold the numbers they were given, label their axes, and leave matplotlib as it was."""

from functools import partial

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import colors
from matplotlib._pylab_helpers import Gcf
from matplotlib.backends.backend_agg import FigureCanvasAgg

from metarl_lite.plotting import (
    PALETTE,
    bars_with_intervals,
    convergence,
    grid_values,
    learning_curves,
    new_figure,
)

LABELS = {"xlabel": "environment steps", "ylabel": "return (steps)"}
CELLS = np.array([(0, 0), (0, 1), (1, 0)])  # (1, 1) is a wall
curves = partial(learning_curves, np.arange(3), **LABELS)
grid = partial(grid_values, shape=(2, 2), label="value (return)")

FIGURES = {
    "curves": lambda: curves({"DQN": np.eye(3)}, references={"published": 2.0}),
    "convergence": lambda: convergence({"error": [1, 0.5]}, {"bound": [1, 0.9]}, **LABELS),
    "bars": lambda: bars_with_intervals(["a"], [1.0], [0.5], [2.0], xlabel="return (steps)"),
    "grid": lambda: grid([0.0, 1.0, 2.0], CELLS, arrows=[(0, 1), (0, 0), (-1, 0)]),
}


@pytest.fixture(params=FIGURES)
def figure(request):
    return FIGURES[request.param]()


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_unknown_to_pyplot_and_leaves_the_settings_alone(name):
    before = dict(mpl.rcParams)
    FigureCanvasAgg(FIGURES[name]()).draw()
    assert Gcf.get_all_fig_managers() == []
    assert dict(mpl.rcParams) == before


def test_a_notebook_gets_one_opaque_image_of_the_books_width(figure):
    png, size = figure._repr_png_()
    assert png.startswith(b"\x89PNG")
    assert size["width"] == 700
    assert colors.to_rgba(figure.get_facecolor()) == (1, 1, 1, 1)


def test_every_axis_says_what_it_measures(figure):
    ax = figure.axes[0]
    assert ax.get_xlabel()
    assert ax.get_ylabel() or [tick.get_text() for tick in ax.get_yticklabels()] == ["a"]


def test_type_is_at_least_as_large_as_a_phone_needs(figure):
    scale = 350 / (72 * figure.get_size_inches()[0])  # a phone's column by the figure's width
    for text in figure.findobj(mpl.text.Text):
        if text.get_text():
            assert text.get_fontsize() * scale >= 6.5


def test_every_colour_of_the_palette_stands_off_from_white():
    inks = np.array([colors.to_rgb(colour) for colour in PALETTE])
    assert len(set(PALETTE)) == len(PALETTE)
    assert (np.linalg.norm(1 - inks, axis=1) > 0.5).all()


def test_curves_show_the_median_the_quantiles_and_the_reference():
    values = np.arange(33.0).reshape(11, 3)
    ax = curves({"DQN": values, "one seed": np.ones((1, 3))}, references={"published": 40}).axes[0]
    dqn, one, published = ax.lines
    np.testing.assert_array_equal(dqn.get_ydata(), np.median(values, axis=0))
    np.testing.assert_array_equal(one.get_ydata(), 1)
    np.testing.assert_array_equal(published.get_ydata(), 40)
    (band,) = ax.collections  # one seed has no spread to show
    edges = band.get_paths()[0].vertices
    assert edges[:, 1].min() == np.quantile(values[:, 0], 0.1)
    assert edges[:, 1].max() == np.quantile(values[:, 2], 0.9)
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["DQN", "one seed", "published"]
    assert "10 % to 90 %" in ax.get_legend().get_title().get_text()


def test_curves_take_another_centre_and_interval():
    low_high = lambda values: (values.min(axis=0), values.max(axis=0))  # noqa: E731
    ax = curves({"x": np.diag([3.0, 3, 3])}, centre=np.mean, interval=low_high, note="n").axes[0]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), 1)
    assert ax.collections[0].get_paths()[0].vertices[:, 1].max() == 3


def test_convergence_is_logarithmic_and_leaves_exact_zeros_out():
    ax = convergence({"error": [1.0, 0.1, 0.0]}, {"bound": [1, 0.5, 0.25]}, **LABELS).axes[0]
    assert ax.get_yscale() == "log"
    error, bound = ax.lines
    np.testing.assert_array_equal(error.get_ydata(), [1, 0.1, np.nan])
    assert (error.get_linestyle(), bound.get_linestyle()) == ("-", "--")


def test_bars_start_at_zero_read_downwards_and_carry_their_interval():
    ax = bars_with_intervals(
        ["a", "b"], [1, 2], [0, 1.5], [1, 4], xlabel="x", references={"published": 3}
    ).axes[0]
    assert [bar.get_width() for bar in ax.patches] == [1, 2]
    assert ax.yaxis_inverted()
    (whiskers,) = ax.collections
    np.testing.assert_array_equal([s[:, 0] for s in whiskers.get_segments()], [[0, 1], [1.5, 4]])


def test_a_grid_puts_each_value_at_its_row_and_column_and_leaves_walls_empty():
    ax = grid([1.0, 2.0, 3.0], CELLS).axes[0]
    picture = ax.images[0].get_array()
    np.testing.assert_array_equal(picture.filled(-1), [[1, 2], [3, -1]])
    texts = {text.get_position(): text.get_text() for text in ax.texts}
    assert texts == {(0, 0): "1.00", (1, 0): "2.00", (0, 1): "3.00"}  # (column, row)


def test_a_grid_of_large_values_spends_its_room_on_the_whole_part():
    texts = [text.get_text() for text in grid([-18.25, 2.0, 10.04], CELLS).axes[0].texts]
    assert texts == ["-18.2", "2.0", "10.0"]


@pytest.mark.parametrize("share", np.linspace(0, 1, 21))
def test_a_number_in_a_cell_stands_off_from_the_colour_behind_it(share):
    ax = grid([0.0, 1.0, share], CELLS).axes[0]
    image, text = ax.images[0], ax.texts[2]
    channels = np.array(image.cmap(image.norm(share))[:3])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]  # WCAG 2
    contrast = (
        (luminance + 0.05) / 0.05 if text.get_color() == "black" else 1.05 / (luminance + 0.05)
    )
    assert contrast >= 4.5


def test_arrows_point_the_way_of_the_move_and_rest_is_a_dot():
    ax = grid([0.0, 1.0, 2.0], CELLS, arrows=np.array([(0, 1), (0, 0), (-1, 0)])).axes[0]
    right, up = (text for text in ax.texts if not text.get_text())
    assert right.xy[0] > right.xyann[0]
    assert right.xy[1] == right.xyann[1]
    assert up.xy[1] < up.xyann[1]  # rows are counted downwards
    assert [tuple(line.get_xydata()[0]) for line in ax.lines] == [(1, 0.2)]


def test_panels_are_drawn_where_they_are_told():
    figure, (left, right) = new_figure(2)
    assert curves({"DQN": np.eye(3)}, ax=left) is figure
    assert grid([0.0, 1.0, 2.0], CELLS, ax=right) is figure
    assert left.lines
    assert right.images


def test_a_legend_of_long_names_stays_within_the_figure():
    names = ["with a target network and replay", "without a target network", "without replay"]
    figure = curves(dict.fromkeys(names, np.eye(3)), references={"published (RL Zoo)": 1})
    FigureCanvasAgg(figure).draw()
    box = figure.axes[0].get_legend().get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1
    assert box.y1 <= figure.bbox.y1


@pytest.mark.parametrize(
    ("draw", "what"),
    [
        (lambda: curves({"DQN": np.ones(3)}), r"curves\['DQN'\].*2 axes.*\(3,\)"),
        (lambda: curves({"DQN": np.ones((2, 4))}), r"\(seeds, 3\), got \(2, 4\)"),
        (lambda: curves({"DQN": np.full((2, 3), np.nan)}), "finite.*nan"),
        (lambda: learning_curves(["a"], {}, **LABELS), "x must be"),
        (lambda: convergence({"error": [-1.0]}, {}, **LABELS), "'error' must not be negative"),
        (lambda: bars_with_intervals(["a"], [1], [2], [3], xlabel="x"), "must lie within"),
        (lambda: bars_with_intervals(["a"], [1, 2], [1, 2], [1, 2], xlabel="x"), "1 names"),
        (lambda: grid([1.0], CELLS), r"cells must be \(1, 2\) integers, got \(3, 2\)"),
        (lambda: grid([1.0, 2, 3], CELLS + 1), "outside the 2 x 2 grid"),
        (lambda: grid([1.0, 2, np.inf], CELLS), "finite.*inf"),
        (lambda: grid([1.0, 2, 3], CELLS, arrows=[(0, 1)]), r"arrows must be \(3, 2\)"),
        (lambda: new_figure(0), "0 x 1 panels"),
        (lambda: new_figure(height=float("nan")), "height nan"),
    ],
)
def test_bad_arrays_are_refused_in_words(draw, what):
    with pytest.raises(ValueError, match=what):
        draw()


def test_only_colours_of_the_palette_are_cycled_through():
    _, ax = new_figure()
    lines = [ax.plot([0, i])[0].get_color() for i in range(len(PALETTE) + 1)]
    assert lines == [*PALETTE, PALETTE[0]]
