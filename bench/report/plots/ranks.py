"""Critical-difference diagram: methods on an axis of mean ranks, bars join those not told apart.

For `plot`. The numbers and groups are those under `table ranks`, by `rank_statistics.py`; the form
is Demsar's (JMLR 2006, figure 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report.aggregate import RunMatrix
from bench.report.method_runs import CONTROL
from bench.report.model import NothingToShow
from bench.report.rank_statistics import LEVEL, RankSummary, rank_summary
from bench.report.tables.ranks import ranked_scores

from .style import BLACK, GREY, PAGE_WIDTH, WIDTH, grid_figure, looks_of, title

_ROW = 0.17
"""Inches from one name to the next."""

_BAR = 0.5
"""Rows from one bar to the next."""

_ABOVE = 2.4
"""Rows above the axis: its numbers, and the critical difference as a length."""

_MANY, _LONG_NAME = 8, 14
"""Methods, and letters of a name, above which a column of a paper is too narrow."""


def rank_figure(matrix: RunMatrix) -> Figure:
    """Draw mean ranks over (ratio, fold), seeds averaged; thick bars join groups of methods.

    Methods of a group differ by less than Nemenyi's critical difference. Raises NothingToShow where
    fewer than two methods have runs, or share fewer than two blocks.
    """
    found = rank_summary(ranked_scores(matrix))
    if found is None:
        raise NothingToShow(
            "ranks need two blocks (ratio and fold) at least in which every method has a run"
        )
    wide = len(found.names) > _MANY or max(map(len, found.names)) > _LONG_NAME
    width = PAGE_WIDTH if wide else WIDTH
    with grid_figure(1, 1, 0.8 + _ROW * (_depth(found) + _ABOVE), width) as (made, (axes,)):
        _axis(axes, found)
        _bars(axes, found)
        _methods(axes, found, looks_of(list(found.names), CONTROL))
        axes.set_ylim(_depth(found), -_ABOVE)
        what = f"Mean rank by {matrix.metric.heading} over {found.blocks} (ratio, fold); 1 is best"
        title(made, f"{what}\n{_verdict(found)}\n{matrix.condition.title(matrix.select)}")
    return made


def _verdict(found: RankSummary) -> str:
    """Say what the bars mean, and whether there is any difference to begin with."""
    friedman = f"Friedman's p = {found.p:.2g}"
    if found.p >= LEVEL:
        return f"{friedman}: ranks tell no method from the others"
    return f"Bars join what ranks do not tell apart (Nemenyi, 5 %); {friedman}"


def _axis(axes: Axes, found: RankSummary) -> None:
    """Draw the axis of ranks along the top, and the critical difference as a length above it."""
    last = len(found.names)
    axes.set_axis_off()
    axes.set_xlim(1, last)
    axes.plot([1, last], [0, 0], color=BLACK, lw=1, clip_on=False)
    for rank in range(1, last + 1):
        axes.plot([rank, rank], [0, -0.25], color=BLACK, lw=0.8, clip_on=False)
        axes.text(rank, -0.4, str(rank), ha="center", va="bottom")
    length = found.critical_difference
    text = f"critical difference {length:.2f}"
    if length > last - 1:
        axes.text(1, -1.75, f"{text}: longer than the axis", ha="left", va="center", fontsize=7)
        return
    axes.plot([1, 1 + length], [-1.75, -1.75], color=GREY, lw=1, marker="|", clip_on=False)
    axes.text(1 + length, -1.75, f" {text}", ha="left", va="center", fontsize=7)


def _bars(axes: Axes, found: RankSummary) -> None:
    """Draw a bar below the axis for each group, from its first to its last method."""
    ranks = dict(zip(found.names, found.mean_ranks, strict=True))
    reach = 0.01 * len(ranks)  # beyond the lines that lead down, so that one sees what is joined
    for place, group in enumerate(found.groups):
        ends = ranks[group[0]] - reach, ranks[group[-1]] + reach
        height = _BAR * (place + 1.2)
        axes.plot(ends, [height] * 2, color="#444444", lw=3, clip_on=False, zorder=3)


def _methods(axes: Axes, found: RankSummary, looks: Mapping[str, dict[str, Any]]) -> None:
    """Lead from each method's rank to its name: the better half to the left, the rest right."""
    order = sorted(zip(found.mean_ranks, found.names, strict=True))
    half = (len(order) + 1) // 2
    for place, (rank, name) in enumerate(order):
        left = place < half
        row = _first_row(found) + (place if left else len(order) - 1 - place)
        side = 1.0 if left else float(len(order))
        _lead(axes, rank, row, side, looks[name])
        parts = [name, f"{rank:.2f}"]
        axes.annotate(
            "  ".join(parts if left else reversed(parts)),
            (side, row),
            xytext=(-3 if left else 3, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            va="center",
            annotation_clip=False,
        )


def _lead(axes: Axes, rank: float, row: float, side: float, look: dict[str, Any]) -> None:
    line = {"color": look["color"], "linestyle": look["linestyle"], "lw": 1}
    axes.plot([rank, rank, side], [0, row, row], clip_on=False, zorder=1, **line)
    marker = {"color": look["color"], "marker": look["marker"]}
    axes.plot([rank], [0], linestyle="", clip_on=False, zorder=4, **marker)


def _first_row(found: RankSummary) -> float:
    """Return the height of the first name, below all bars."""
    return 1.2 + _BAR * len(found.groups)


def _depth(found: RankSummary) -> float:
    """Return the height of what lies below the axis, in rows."""
    return _first_row(found) + (len(found.names) + 1) // 2
