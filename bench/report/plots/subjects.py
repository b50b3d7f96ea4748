"""Dots of subjects: F1 of every test subject under every method; for `plot`."""

from __future__ import annotations

from typing import cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from bench.report.aggregate import RunMatrix
from bench.report.method_runs import CONTROL
from bench.report.model import NothingToShow
from bench.report.subject_scores import subject_f1

from .style import GREY, figure, looks_of, title

_NAMED = 2
"""Subjects of each method that are named: those it serves worst."""

_GAP = 3
"""Dots between a name and the axis."""

_MOST = 0.6
"""Of the axis, which a name may take at most."""

_SPREAD = 0.3
"""Of a row's height, over which its dots are spread, so that they are told apart."""


def subject_dots(matrix: RunMatrix, ratio: float) -> Figure:
    """Draw a row of dots a method, a dot a subject, its median as a bar; the worst are named.

    F1 is over all AUs of a subject, pooled over the runs that tested it. Raises NothingToShow if no
    run at this ratio is done.
    """
    found = {
        line.label: subject_f1(line.at(ratio).values(), matrix.select) for line in matrix.lines
    }
    found = {
        label: f1s for label, f1s in found.items() if any(f1 is not None for f1, *_ in f1s.values())
    }
    if not found:
        raise NothingToShow(f"no finished record has counts of subjects at ratio {ratio:g}")
    looks = looks_of(list(found), CONTROL)
    rng = np.random.default_rng(0)  # where in its row a dot lies means nothing
    with figure(1, 0.9 + 0.42 * len(found)) as (made, (axes,)):
        for row, (label, f1s) in enumerate(found.items()):
            named = sorted((f1[0], name) for name, f1 in f1s.items() if f1[0] is not None)
            values = [value for value, _ in named]
            heights = row + _SPREAD * rng.uniform(-1, 1, len(values))
            colour = looks[label]["color"]
            axes.scatter(values, heights, s=12, color=colour, alpha=0.6, linewidths=0)
            median = float(np.median(values))
            axes.plot([median, median], [row - 0.4, row + 0.4], color=colour, lw=2)
            for (value, name), height in list(zip(named, heights, strict=True))[:_NAMED]:
                axes.annotate(
                    name, (value, height), xytext=(-3, 0), textcoords="offset points",
                    ha="right", va="center", fontsize=6, color=GREY,
                )  # fmt: skip
        axes.set_yticks(range(len(found)), list(found))
        axes.invert_yaxis()
        axes.margins(x=0.05)
        axes.set_xlabel("F1 of a subject (%); bar: median")
        what = f"F1 of each test subject at {matrix.heading(ratio)} labels"
        title(made, f"{what}\n{matrix.condition.title(matrix.select)}")
        _make_room(made, axes)
    return made


def _make_room(made: Figure, axes: Axes) -> None:
    """Begin the x axis where the name that lies farthest to the left has room beside its dot."""
    made.draw_without_rendering()  # only then is it known how wide things are
    whole = axes.get_window_extent()
    low, high = axes.get_xlim()
    for name in cast("list[Annotation]", list(axes.texts)):
        dot = axes.transData.transform(name.xy)[0]
        length = min(dot - name.get_window_extent().x0 + _GAP, _MOST * whole.width)
        # the dot moves as the axis grows: (value - low) / (high - low) = length / width
        value, share = name.xy[0], length / whole.width
        low = min(low, (value - share * high) / (1 - share))
    axes.set_xlim(low, high)
