"""Curves over label ratios: mean F1 of each method, and its pseudo labels; for `plot`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report.aggregate import RunMatrix
from bench.report.method_runs import CONTROL, MethodRuns
from bench.report.metric import Scoring
from bench.report.model import Entry, NothingToShow
from bench.report.published import Figures
from bench.report.tables.pseudo_labels import NO_PSEUDO_LABELS, audit_figures
from bench.results.records import Record

from .style import GREY, Label, figure, looks_of, name_lines, ratio_axis, title

Drawn = list[tuple[MethodRuns, dict[float, Entry]]]
"""The lines of a figure: of each, ratio -> an entry with a value."""

Looks = Mapping[str, dict[str, Any]]
"""Label of a line -> how it is drawn in every panel of a figure."""

RATIO_LABEL = "labelled frames (%)"


def curves(
    records: Iterable[Record] | RunMatrix,
    select: str | Scoring = "last",
    *,
    published: bool = False,
    notes: list[str] | None = None,
) -> Figure:
    """Draw the mean score over label ratios, a line a method.

    Bands and bars are the 95 % intervals for other people.
    Points at one ratio stand a little beside each other, so that their bars can be told apart.
    Published figures, where they are wanted and of the same data, are hollow and dotted; `notes`
    takes the reason if they are not.

    Raises ReportError if the records are of more than one condition, NothingToShow if no score.
    """
    matrix = RunMatrix.of(records, select)
    paper, reasons = matrix.paper(wanted=published)
    if notes is not None:
        notes.extend(reasons)
    found = _points(matrix, lambda line, ratio: matrix.score(line, ratio, intervals=True))
    if not found:
        raise NothingToShow("no finished record has a score to draw")
    looks = _looks([line for line, _ in found])
    with figure(1, 3.0) as (made, (axes,)):
        _bands(axes, found, looks)
        printed = _published(axes, paper.ssl(), found, looks) if paper else ()
        _lines(axes, found, looks, printed)
        axes.set_ylabel(f"mean {matrix.metric.heading}")
        axes.set_xlabel(RATIO_LABEL)
        more = "; hollow: as printed in the paper" if paper else ""
        what = f"{matrix.metric.heading} by share of labels; bands: 95 % for other subjects{more}"
        title(made, f"{what}\n{matrix.condition.title(matrix.select)}")
    return made


def _bands(axes: Axes, drawn: Drawn, looks: Looks) -> None:
    """Fill between the ends of each line's intervals."""
    for (line, points), beside in zip(drawn, _beside(len(drawn)), strict=True):
        known = {ratio: e.interval for ratio, e in points.items() if e.interval is not None}
        if len(known) > 1:
            low, high = zip(*known.values(), strict=True)
            places, colour = [ratio * beside for ratio in known], looks[line.label]["color"]
            axes.fill_between(places, low, high, color=colour, alpha=0.1, lw=0, zorder=0.5)


def _published(axes: Axes, figures: Figures, drawn: Drawn, looks: Looks) -> list[Label]:
    """Draw what the paper prints, methods that were not run in grey; returns their names."""
    of_method = {line.method: looks[line.label] for line, _ in drawn}
    names = []
    for method, entries in figures.items():
        points = {ratio: e.value for ratio, e in sorted(entries.items()) if e.value is not None}
        if points:
            style = of_method.get(method, {"color": GREY, "marker": "x"})
            axes.plot(
                list(points), list(points.values()), color=style["color"], marker=style["marker"],
                mfc="none", linestyle=":", lw=0.9,
            )  # fmt: skip
            end = max(points)
            names.append((end, points[end], f"{method} (paper)", style["color"]))
    return names


def pseudo_labels(records: Iterable[Record] | RunMatrix) -> Figure:
    """Draw how many of the pseudo labels that methods used were right, and how many they used.

    Dashed is how many would be right if each AU's more frequent class were told of the same frames.
    All are over the whole training, all AUs together. Raises NothingToShow if no record has any.
    """
    matrix = RunMatrix.of(records, "last")
    accuracy = _audited(matrix, "overall_accuracy")
    constant = _audited(matrix, "overall_majority_accuracy")
    used = _audited(matrix, "overall_used")
    if not accuracy:
        raise NothingToShow(NO_PSEUDO_LABELS)
    # a method that used none is in the lower panel alone
    shown = {line.label for panel in (accuracy, constant, used) for line, _ in panel}
    looks = _looks([line for line in matrix.lines if line.label in shown])
    with figure(2, 1.9) as (made, (above, below)):
        _lines(above, accuracy, looks)
        _dashed(above, constant, looks)
        above.set_ylabel("right, % of those used")
        _lines(below, used, looks)
        below.set_ylabel("used, % of those offered")
        below.set_xlabel(RATIO_LABEL)
        what = "Pseudo labels against the hidden labels; dashed: a constant"
        title(made, f"{what}\n{matrix.condition.title(matrix.select)}")
    return made


def _points(matrix: RunMatrix, entry: Callable[[MethodRuns, float], Entry]) -> Drawn:
    """Make an entry of every line at every ratio; those without a value are left out."""
    drawn = []
    for line in matrix.lines:
        entries = {ratio: entry(line, ratio) for ratio in matrix.ratios if line.at(ratio)}
        points = {ratio: found for ratio, found in entries.items() if found.value is not None}
        if points:
            drawn.append((line, points))
    return drawn


def _audited(matrix: RunMatrix, key: str) -> Drawn:
    """Return percentages of the lines whose records were audited."""

    def value(record: Record) -> float | None:
        share = audit_figures(record).get(key)
        return None if share is None else 100 * float(share)

    return _points(matrix, lambda line, ratio: matrix.entry(line, ratio, value))


def _lines(axes: Axes, drawn: Drawn, looks: Looks, more: Iterable[Label] = ()) -> None:
    """Draw a line a method with its bars, the control black, each named at its right end.

    `more` are names of lines that were drawn already.
    """
    names: list[Label] = [*more]
    for (line, points), beside in zip(drawn, _beside(len(drawn)), strict=True):
        style = looks[line.label]
        places = [ratio * beside for ratio in points]
        values = [float(entry.value or 0) for entry in points.values()]
        axes.plot(places, values, **style)
        bars = [(at, c.interval) for at, c in zip(places, points.values(), strict=True)]
        for at, interval in bars:
            if interval is not None:
                axes.plot([at, at], interval, color=style["color"], lw=0.8, zorder=1)
        names.append((places[-1], values[-1], line.label, style["color"]))
    ratio_axis(axes, {ratio for _, points in drawn for ratio in points})
    name_lines(axes, names)


def _dashed(axes: Axes, drawn: Drawn, looks: Looks) -> None:
    """Draw values in the colours of the lines that they belong to, without a name."""
    for line, points in drawn:
        values = [float(entry.value or 0) for entry in points.values()]
        axes.plot(list(points), values, color=looks[line.label]["color"], linestyle="--", lw=0.8)


def _looks(lines: Sequence[MethodRuns]) -> Looks:
    """Give each line of a figure its colour and marker, in all panels the same; control black."""
    control = next((line.label for line in lines if line.method == CONTROL), "")
    return looks_of([line.label for line in lines], control)


_BESIDE = 1.02
"""Factor between the places of two lines' points at one ratio."""


def _beside(count: int) -> list[float]:
    """Return the factors by which so many lines' points are moved beside their ratio."""
    return [_BESIDE ** (index - (count - 1) / 2) for index in range(count)]
