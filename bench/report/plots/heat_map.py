"""Heat map: the score of every method on every action unit, at one share of labels; for `plot`."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bench.report.aggregate import RunMatrix
from bench.report.model import NothingToShow

from .style import GRADES, PAGE_WIDTH, grid_figure, title

_LOW = 40.0
"""A scale to 100 would show values below this in one colour."""

_DARK = 0.6
"""Share of the scale up to which its colours are dark, so that numbers on them are white."""


def heat_map(matrix: RunMatrix, ratio: float) -> Figure:
    """Draw the score (x 100) by method and AU, numbers in the fields.

    A field without a score is grey. Raises NothingToShow if no run at this ratio is done.
    """
    lines = [line for line in matrix.lines if line.at(ratio)]
    places = range(len(matrix.aus))
    entries = [
        [*(matrix.au_score(line, ratio, place) for place in places), matrix.score(line, ratio)]
        for line in lines
    ]
    numbers = [[np.nan if e.value is None else e.value for e in row] for row in entries]
    values = np.array(numbers, dtype=np.float64).reshape(len(lines), len(matrix.aus) + 1)
    if not np.isfinite(values).any():
        raise NothingToShow(f"no finished record has a score at ratio {ratio:g}")
    columns = [*(f"AU{au}" for au in matrix.aus), "mean"]
    with grid_figure(1, 1, 0.9 + 0.24 * len(lines), PAGE_WIDTH) as (made, (axes,)):
        _fields(axes, values, columns, [line.label for line in lines])
        what = f"{matrix.metric.heading} by action unit at {matrix.heading(ratio)} labels"
        title(made, f"{what}: {matrix.condition.title(matrix.select)}")
    return made


def _fields(axes: Axes, values: NDArray[np.float64], columns: list[str], rows: list[str]) -> None:
    axes.set_facecolor("#dddddd")
    low, high = min(0.0, np.nanmin(values)), 100.0
    if np.nanmax(values) < _LOW:  # a Brier score, say
        high = float(np.nanmax(values))
    image = axes.imshow(values, cmap=GRADES, vmin=low, vmax=high, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            colour = "white" if value < low + (high - low) * _DARK else "black"
            text = f"{value:.1f}"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=7)
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.axvline(len(columns) - 1.5, color="white", lw=2)  # the mean is no action unit
    axes.spines[:].set_visible(False)
    axes.figure.colorbar(image, ax=axes, pad=0.01, aspect=12)
