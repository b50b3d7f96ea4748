"""How figures look: a column wide, colours that the colour-blind tell apart, lines named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from textwrap import wrap
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from bench.config.names import CEILING
from bench.report.model import ReportError

WIDTH = 3.5
"""Inches: a column of a paper."""

PAGE_WIDTH = 7.16
"""Inches: both columns."""

GRADES = "cividis"
"""Colours from low to high, which the colour-blind and grey printers keep in order."""

SIGNED_GRADES = "PuOr"
"""Colours from negative over white to positive, told apart by the colour-blind."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
"""Okabe and Ito's, the darker ones first; black is kept for the control, grey for context."""

MARKERS = "osD^vP"
BLACK, GREY = "#000000", "#777777"
SUFFIXES = ("png", "pdf", "svg")

_TICK_SHARE = 0.12
"""Share of a ratio axis that a tick's number needs."""

_STYLE: Any = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "figure.dpi": 150,
    "svg.hashsalt": "au",
}

Label = tuple[float, float, str, str]
"""(x and y of a line's end in data units, text, colour)"""


@contextmanager
def figure(panels: int, height: float) -> Iterator[tuple[Figure, Sequence[Axes]]]:
    """Give a figure of panels, one below the other, `height` inches each, on one x axis."""
    with grid_figure(panels, 1, height, WIDTH, sharex=True) as (made, axes):
        yield made, axes


@contextmanager
def grid_figure(
    rows: int, columns: int, height: float, width: float = PAGE_WIDTH, *, sharex: bool = False
) -> Iterator[tuple[Figure, Sequence[Axes]]]:
    """Give a figure of rows of panels, `height` inches each, in all `width` inches wide."""
    with mpl.rc_context(_STYLE):
        # No pyplot: nothing is shown, and no figure outlives its caller.
        made = Figure(figsize=(width, height * rows), layout="constrained")
        axes = made.subplots(rows, columns, sharex=sharex, squeeze=False)
        yield made, list(axes.ravel())


def title(made: Figure, text: str) -> None:
    """Write a figure's title at its left edge, broken where it would be wider than the figure."""
    letters = int(made.get_figwidth() * 17)
    lines = [part for line in text.split("\n") for part in wrap(line, letters)]
    made.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=8)


def legend_below(made: Figure, axes: Axes) -> None:
    """Name the lines of `axes` below the figure, in as many columns as its width holds."""
    handles, names = axes.get_legend_handles_labels()
    letters = max(map(len, names), default=0) + 7  # what a line's sample takes
    columns = max(1, min(3, int(made.get_figwidth() * 18 / letters)))
    made.legend(
        handles, names, loc="outside lower center", ncols=columns, frameon=False, fontsize=7
    )


def look(index: int) -> dict[str, Any]:
    """Return the colour and marker of a line; a seventh line looks like the first, but dashed."""
    style = "-" if index < len(COLOURS) else "--"
    place = index % len(COLOURS)
    return {"color": COLOURS[place], "marker": MARKERS[place], "linestyle": style}


CONTROL_LOOK: dict[str, Any] = {"color": BLACK, "marker": "o", "linestyle": "-"}


CEILING_LOOK: dict[str, Any] = {"color": BLACK, "marker": "x", "linestyle": "--"}
"""Of the control that sees hidden labels: a bound, and no method. Its points may have no line."""


def looks_of(labels: Sequence[str], control: str) -> dict[str, dict[str, Any]]:
    """Give each line its colour and marker by its place; the control black, the ceiling dashed."""
    controls = [label for label in labels if label.partition(" ")[0] == control]
    fixed = {controls[0]: CONTROL_LOOK} if len(controls) == 1 else {control: CONTROL_LOOK}
    fixed |= {label: CEILING_LOOK for label in labels if label.partition(" ")[0] == CEILING}
    others = [label for label in labels if label not in fixed]
    return {label: fixed.get(label) or look(others.index(label)) for label in labels}


def ratio_axis(axes: Axes, ratios: Iterable[float]) -> None:
    """Make the x axis one of label ratios, logarithmic, with a tick for each that has room."""
    every = sorted(set(ratios), reverse=True)
    apart = (every[0] / every[-1]) ** _TICK_SHARE
    shown: list[float] = []
    for ratio in every:
        if not shown or shown[-1] / ratio > apart:
            shown.append(ratio)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(shown))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda ratio, _: f"{100 * ratio:g}"))
    if len(every) == 1:
        axes.set_xlim(every[0] / 2, every[0] * 2)


def name_lines(axes: Axes, labels: Sequence[Label]) -> None:
    """Write each line's name to the right of its end, moved apart where they would overlap.

    Long names are broken: written out they would leave the curves no room.
    """
    low, high = axes.get_ylim()
    inches = axes.get_window_extent().height / axes.figure.dpi
    names = ["\n".join(wrap(label[2], _LONGEST_NAME)) for label in labels]
    lines = 1 + max((name.count("\n") for name in names), default=0)
    gap = (high - low) * 0.125 * lines / inches
    places = _apart([label[1] for label in labels], gap, high)
    for (at, height, _, colour), name, place in zip(labels, names, places, strict=True):
        axes.annotate(
            name,
            (at, height),
            xytext=(1.03, place),
            textcoords=("axes fraction", "data"),
            color=colour,
            va="center",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "lw": 0.4,
                "shrinkA": 0,
                "shrinkB": 4,
                "relpos": (0, 0.5),  # it ends where the word begins, and crosses none
            },
        )


_LONGEST_NAME = 18
"""Letters of a name beside a line before it is broken."""


def _apart(heights: Sequence[float], gap: float, high: float) -> list[float]:
    """Move heights at least `gap` apart, keeping their order, and the highest not above `high`."""
    order = sorted(range(len(heights)), key=lambda index: heights[index])
    placed = list(heights)
    for below, index in pairwise(order):
        placed[index] = max(placed[index], placed[below] + gap)
    limit = high
    for index in reversed(order):
        placed[index] = min(placed[index], limit)
        limit = placed[index] - gap
    return placed


def save(made: Figure, path: Path) -> None:
    """Write a figure as PNG (300 dots an inch), PDF or SVG, by the file's ending.

    Raises ReportError for another ending, or if the file cannot be written.
    """
    kind = path.suffix.lstrip(".").lower()
    if kind not in SUFFIXES:
        raise ReportError(f"{path}: a figure's file ends in one of .{', .'.join(SUFFIXES)}")
    dated = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}[kind]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with mpl.rc_context(_STYLE):
            made.savefig(path, dpi=300, metadata=dated)
    except OSError as error:
        raise ReportError(f"cannot write {path}: {error.strerror or error}") from error
