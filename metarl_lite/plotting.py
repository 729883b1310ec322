"""The book's figures: arrays go in, a matplotlib Figure comes out; pyplot keeps none of them.

Every axis label is a required argument and names its unit, or says that there is none.
Figures are 7 inches wide with large type, so that they stay readable at the width of a phone, on
an opaque white face, so that they read on a dark page too.
"""

from collections.abc import Callable, Mapping, Sequence
from io import BytesIO

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito's palette for all kinds of colour vision, without the yellow that white swallows.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
WIDTH, HEIGHT = 7.0, 3.6  # inches, one row of panels
STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#444444",
    "axes.grid": True,
    "axes.prop_cycle": mpl.cycler(color=PALETTE),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": "white",
    "font.size": 12.0,
    "grid.color": "#dddddd",
    "xtick.labelsize": 11.0,
    "ytick.labelsize": 11.0,
}


class BookFigure(Figure):
    """A Figure that pyplot does not know: a notebook shows it once, where a cell returns it."""

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        png = BytesIO()
        self.savefig(png, format="png", dpi=200)
        width, height = self.get_size_inches() * 100
        return png.getvalue(), {"width": int(width), "height": int(height)}


def new_figure(
    ncols: int = 1, nrows: int = 1, *, height: float = HEIGHT
) -> tuple[Figure, Axes | np.ndarray]:
    """Return (figure, axes) in the book's style; `height` is one row's, in inches.

    `axes` is one Axes for a single panel, else an array of them as from `Figure.subplots`.
    """
    if ncols < 1 or nrows < 1 or not height > 0:
        raise ValueError(f"no figure has {ncols} x {nrows} panels of height {height}")
    with mpl.rc_context(STYLE):
        figure = BookFigure(figsize=(WIDTH, height * nrows), layout="constrained")
        axes = figure.subplots(nrows, ncols)
    return figure, axes


def central_80_percent(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the 10 % and 90 % quantiles over axis 0: the spread of the seeds themselves."""
    low, high = np.quantile(values, (0.1, 0.9), axis=0)
    return low, high


def learning_curves(
    x: np.ndarray,
    curves: Mapping[str, np.ndarray],
    *,
    xlabel: str,
    ylabel: str,
    references: Mapping[str, float] | None = None,
    centre: Callable[..., np.ndarray] = np.median,
    interval: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]] = central_80_percent,
    note: str = "line: median, band: 10 % to 90 % of seeds",
    ax: Axes | None = None,
) -> Figure:
    """Return a figure of one line and band a name; `curves[name]` is (seeds, len(x)).

    `interval` maps (seeds, len(x)) to (low, high), each (len(x),); another one, or another
    `centre(values, axis=0)`, needs its own `note`. `references` are dashed lines: published or
    exact figures. With `ax` the panel is drawn there and its figure returned.
    """
    x = _finite("x", x, ndim=1)
    figure, ax = _panel(ax)
    for name, values in curves.items():
        values = _finite(f"curves[{name!r}]", values, ndim=2)
        if values.shape[1] != len(x):
            raise ValueError(f"curves[{name!r}] must be (seeds, {len(x)}), got {values.shape}")
        (line,) = ax.plot(x, centre(values, axis=0), label=name, linewidth=2)
        if len(values) > 1:
            ax.fill_between(x, *interval(values), color=line.get_color(), alpha=0.2, linewidth=0)
    _reference_lines(ax.axhline, references)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    _legend_above(ax, note)
    return figure


def convergence(
    errors: Mapping[str, np.ndarray],
    bounds: Mapping[str, np.ndarray],
    *,
    xlabel: str,
    ylabel: str,
    ax: Axes | None = None,
) -> Figure:
    """Return a figure of errors on a logarithmic axis; each bound is dashed, each array (k,).

    Entry i belongs to iteration i. An error of exactly 0 has no logarithm and is left out.
    """
    figure, ax = _panel(ax)
    for series, style in ((errors, "-"), (bounds, "--")):
        for name, values in series.items():
            values = _finite(name, values, ndim=1)
            if (values < 0).any():
                raise ValueError(f"{name!r} must not be negative, got {values.min()}")
            ax.semilogy(np.where(values > 0, values, np.nan), style, label=name, linewidth=2)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    _legend_above(ax)
    return figure


def bars_with_intervals(
    names: Sequence[str],
    centres: np.ndarray,
    lows: np.ndarray,
    highs: np.ndarray,
    *,
    xlabel: str,
    references: Mapping[str, float] | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Return a figure of one horizontal bar a name, from 0, with its interval; arrays are (names,).

    The first name stands on top.
    """
    centres, lows, highs = (
        _finite(what, values, ndim=1)
        for what, values in (("centres", centres), ("lows", lows), ("highs", highs))
    )
    if not len(names) == len(centres) == len(lows) == len(highs):
        raise ValueError(
            f"{len(names)} names need as many centres, lows and highs, "
            f"got {len(centres)}, {len(lows)}, {len(highs)}"
        )
    if (lows > centres).any() or (highs < centres).any():
        raise ValueError(f"centres {centres} must lie within lows {lows} and highs {highs}")
    figure, ax = _panel(ax)
    colours = [PALETTE[i % len(PALETTE)] for i in range(len(names))]
    errors = (centres - lows, highs - centres)
    ax.barh(names, centres, xerr=errors, color=colours, error_kw={"capsize": 4, "elinewidth": 2})
    ax.invert_yaxis()
    ax.set(xlabel=xlabel)
    _reference_lines(ax.axvline, references)
    if references:
        _legend_above(ax)
    return figure


def grid_values(
    values: np.ndarray,
    cells: np.ndarray,
    shape: tuple[int, int],
    *,
    label: str,
    arrows: np.ndarray | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Figure:
    """Return a picture of one value a cell, named by the colour bar's `label` (with its unit).

    `values` is (cells,), `cells` (cells, 2) as (row, column) counted from the top left, `shape`
    (rows, columns); a place that is no cell is drawn as wall. `arrows` (cells, 2) are the policy's
    moves as (rows down, columns right), `MOVES[policy]` for short; (0, 0) is drawn as a dot.
    """
    values, cells = _finite("values", values, ndim=1), np.asarray(cells)
    if cells.shape != (len(values), 2) or cells.dtype.kind not in "iu":
        raise ValueError(f"cells must be ({len(values)}, 2) integers, got {cells.shape}")
    if not ((cells >= 0) & (cells < shape)).all():
        raise ValueError(f"cells outside the {shape[0]} x {shape[1]} grid: {cells.tolist()}")
    figure, ax = _panel(ax, height=max(HEIGHT, 0.6 * shape[0]))
    grid = np.full(shape, np.nan)
    grid[tuple(cells.T)] = values
    ax.set_facecolor("#bbbbbb")  # shows through where there is no cell
    image = ax.imshow(grid, cmap="viridis")
    figure.colorbar(image, ax=ax, label=label, shrink=0.8)
    inks = np.where(image.norm(values) > 0.43, "black", "white")  # whichever stands off more
    decimals = 2 if abs(values).max() < 10 else 1
    lift = 0.0 if arrows is None else 0.22
    style = {"ha": "center", "va": "center", "fontsize": 10}
    for (row, column), value, ink in zip(cells, values, inks, strict=True):
        ax.text(column, row - lift, f"{value:.{decimals}f}", color=ink, **style)
    if arrows is not None:
        _draw_moves(ax, cells, _finite("arrows", arrows, ndim=2), inks)
    ax.grid(visible=False)
    ax.set(xticks=range(shape[1]), yticks=range(shape[0]), title=title)
    ax.set(xlabel="column (cell)", ylabel="row (cell)")
    return figure


def _draw_moves(ax: Axes, cells: np.ndarray, moves: np.ndarray, inks: np.ndarray) -> None:
    if moves.shape != cells.shape:
        raise ValueError(f"arrows must be {cells.shape}, one a cell, got {moves.shape}")
    for (row, column), (down, right), ink in zip(cells, moves, inks, strict=True):
        centre = np.array([column, row + 0.2])
        if down == right == 0:
            ax.plot(*centre, "o", color=ink, markersize=4)
            continue
        reach = 0.2 * np.array([right, down])
        arrow = {"arrowstyle": "->", "color": ink, "linewidth": 1.8, "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", centre + reach, centre - reach, arrowprops=arrow)


def _panel(ax: Axes | None, height: float = HEIGHT) -> tuple[Figure, Axes]:
    return new_figure(height=height) if ax is None else (ax.figure, ax)


def _reference_lines(draw: Callable, references: Mapping[str, float] | None) -> None:
    styles = ("--", ":", "-.")
    for i, (name, value) in enumerate((references or {}).items()):
        draw(value, linestyle=styles[i % 3], color="#222222", linewidth=1.5, label=name)


def _legend_above(ax: Axes, note: str | None = None) -> None:
    """Put the legend above the axes, where it hides no data, in as many columns as fit."""
    labels = ax.get_legend_handles_labels()[1]
    ncols = max(1, min(len(labels), 56 // (max(map(len, labels), default=0) + 6)))
    ax.legend(
        title=note,
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        ncols=ncols,
        fontsize=11,
        title_fontsize=10,
        frameon=False,
    )


def _finite(what: str, values: np.ndarray, *, ndim: int) -> np.ndarray:
    values = np.asarray(values)
    if values.dtype.kind not in "fiu" or values.ndim != ndim or values.size == 0:
        raise ValueError(
            f"{what} must be a non-empty numeric array with {ndim} axes, "
            f"got dtype {values.dtype}, shape {values.shape}"
        )
    if not np.isfinite(values).all():
        raise ValueError(f"{what} must be finite, got {values[~np.isfinite(values)][:3]}")
    return values.astype(np.float64)
