"""Figures as pure functions of records and label statistics.

Every figure says what it shows in its title: dataset, rule, preset and how the step was chosen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.data.label_budget import LabelBudget
from bench.results.records import Record

from .aggregate import RunMatrix
from .grouping import by_condition, cell_field, ratio_of
from .method_runs import CONTROL, MethodRuns
from .model import Entry, NothingToShow
from .plot_style import BLACK, Label, figure, look, name_lines, ratio_axis
from .pseudo_labels import NO_PSEUDO_LABELS, audit_figures

Drawn = list[tuple[MethodRuns, dict[float, Entry]]]
"""The lines of a figure: of each, ratio -> an entry with a value."""

RULE_LOOKS = {"sparse": look(0), "contiguous": look(1), "random": look(2)}
RATIO_LABEL = "labelled frames (%)"

KINDS = ("curves", "pseudo-labels")
"""Figures that are made of records alone."""


def figures(
    kind: str, records: Iterable[Record], select: str = "last"
) -> Iterator[tuple[str, Figure]]:
    """Yield a file name (without ending) and a figure for each condition among the records.

    Raises NothingToShow if no condition gives one, with the reasons.
    """
    assert kind in KINDS, kind
    found, reasons = 0, []
    for condition, members in by_condition(records).items():
        try:
            made = curves(members, select) if kind == "curves" else pseudo_labels(members)
        except NothingToShow as error:
            reasons.append(f"{', '.join(condition.name)}: {error}")
            continue
        found += 1
        yield (
            "-".join([kind, *condition.name, *([condition.data[:6]] if condition.data else [])]),
            made,
        )
    if not found:
        raise NothingToShow("; ".join(reasons) or "there are no records: run some cells first")


def sampling_figures(
    dataset: str, kept: Sequence[LabelBudget], records: Iterable[Record]
) -> Iterator[tuple[str, Figure]]:
    """Yield a file name and a figure for each preset and data that has records of the dataset.

    Without such records there is one figure, of the labels alone.
    """
    groups: dict[tuple[str, ...], list[Record]] = defaultdict(list)
    for record in records:
        data = record.hashes.get("data", "")[:6]
        if cell_field(record, "dataset") == dataset and record.status == "done":
            groups[str(cell_field(record, "preset")), data].append(record)
    drawn = {key: members for key, members in groups.items() if measured_kept(members)}
    for key, members in sorted(drawn.items()):
        yield "-".join(["sampling", dataset, *key]), sampling_figure(dataset, kept, members)
    if not drawn:
        yield f"sampling-{dataset}", sampling_figure(dataset, kept)


def curves(records: Iterable[Record], select: str = "last") -> Figure:
    """Draw mean F1 over label ratios, a line a method, bars the 95 % intervals for other people.

    Points at one ratio stand a little beside each other, so that their bars can be told apart.

    Raises ReportError if the records are of more than one condition, NothingToShow if none has F1.
    """
    matrix = RunMatrix.of(records, select)
    found = _points(matrix, lambda line, ratio: matrix.score(line, ratio, intervals=True))
    if not found:
        raise NothingToShow("no finished record has an F1 to draw")
    with figure(1, 3.0) as (made, (axes,)):
        _lines(axes, found)
        axes.set_ylabel("mean F1 (%)")
        axes.set_xlabel(RATIO_LABEL)
        made.suptitle(
            _title("F1 by share of labels; bars: 95 % for other subjects", matrix),
            x=0.02,
            ha="left",
            fontsize=8,
        )
    return made


def pseudo_labels(records: Iterable[Record]) -> Figure:
    """Draw how many of the pseudo labels that methods used were right, and how many they used.

    Dashed is how many would be right if each AU's more frequent class were told of the same frames.
    All are over the whole training, all AUs together. Raises NothingToShow if no record has any.
    """
    matrix = RunMatrix.of([r for r in records if r.status == "done"], "last")
    accuracy = _audited(matrix, "overall_accuracy")
    constant = _audited(matrix, "overall_majority_accuracy")
    used = _audited(matrix, "overall_used")
    if not accuracy:
        raise NothingToShow(NO_PSEUDO_LABELS)
    with figure(2, 1.9) as (made, (above, below)):
        _lines(above, accuracy)
        _dashed(above, constant, [line for line, _ in accuracy])
        above.set_ylabel("right, % of those used")
        _lines(below, used)
        below.set_ylabel("used, % of those offered")
        below.set_xlabel(RATIO_LABEL)
        what = "Pseudo labels against the hidden labels; dashed: a constant"
        title = _title(what, matrix)
        made.suptitle(title, x=0.02, ha="left", fontsize=8)
    return made


def sampling_figure(
    dataset: str, kept: Sequence[LabelBudget], records: Sequence[Record] = ()
) -> Figure:
    """Draw what key-frame rules keep: distinct AU combinations, and F1 (the paper's figure 6).

    F1 is that of held labels (dashed: time alone, no training) and, as a share of its F1 with all
    labels, that of the control in `records` of one dataset and preset, where there are any (solid).
    """
    if not kept:
        raise NothingToShow("no rule and ratio to draw")
    measured, every = measured_kept(records), kept[0].of_combinations
    combinations = _means(kept, lambda k: 100 * k.combinations / max(1, every))
    held = _means(kept, lambda k: 100 * k.held_f1)
    with figure(2, 2.0) as (made, (above, below)):
        _rules(above, combinations)
        _name_rules(above, combinations)
        above.set_ylabel("combinations kept (%)")
        _rules(below, held, dashed=True)
        _rules(below, measured)
        below.set_ylabel("F1 kept (%)")
        below.set_xlabel(RATIO_LABEL)
        ratio_axis(below, [k.ratio for k in kept])
        above.set_title(f"{dataset}: AU combinations among key frames, of {every:,}")
        held_is = "dashed: labels held, no training"
        below.set_title(f"F1; {held_is}; solid: {CONTROL}" if measured else f"F1; {held_is}")
    return made


def _means(
    kept: Sequence[LabelBudget], value: Callable[[LabelBudget], float]
) -> dict[str, dict[float, float]]:
    """Return rule -> ratio -> mean over the seeds."""
    values: dict[str, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for one in kept:
        values[one.rule][one.ratio].append(value(one))
    return {
        rule: {ratio: float(np.mean(found[ratio])) for ratio in sorted(found)}
        for rule, found in values.items()
    }


def _rules(
    axes: Axes, curves: Mapping[str, Mapping[float, float]], *, dashed: bool = False
) -> None:
    for rule, points in curves.items():
        style = {**RULE_LOOKS[rule], **({"linestyle": "--", "marker": ""} if dashed else {})}
        axes.plot(list(points), list(points.values()), **style)


def _name_rules(axes: Axes, curves: Mapping[str, Mapping[float, float]]) -> None:
    """Name each rule where the lines are farthest apart."""
    ratios = next(iter(curves.values()))
    at = max(ratios, key=lambda ratio: np.ptp([points[ratio] for points in curves.values()]))
    highest = max(curves, key=lambda rule: curves[rule][at])
    for rule, points in curves.items():
        above = rule == highest
        axes.annotate(
            rule,
            (at, points[at]),
            xytext=(-4, 3) if above else (4, -2),
            textcoords="offset points",
            ha="right" if above else "left",
            va="bottom" if above else "top",
            color=RULE_LOOKS[rule]["color"],
        )


def measured_kept(records: Iterable[Record]) -> dict[str, dict[float, float]]:
    """Return rule -> ratio -> F1 in percent of the F1 with all labels, of the control's records.

    Empty if there is no record with all labels to divide by: with all labels, rules are one.
    """
    f1s: dict[tuple[str, float], list[float]] = defaultdict(list)
    for record in records:
        if record.status == "done" and cell_field(record, "method") == CONTROL:
            f1s[str(cell_field(record, "rule")), ratio_of(record)].append(
                record.scores["last"].mean_f1
            )
    whole = [f1 for (_, ratio), values in f1s.items() if ratio == 1 for f1 in values]
    if not whole:
        return {}
    kept: dict[str, dict[float, float]] = defaultdict(dict)
    for rule, ratio in sorted(f1s):
        kept[rule][ratio] = float(100 * np.mean(f1s[rule, ratio]) / np.mean(whole))
    return {rule: points for rule, points in kept.items() if set(points) != {1.0}}


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


def _lines(axes: Axes, drawn: Drawn) -> None:
    """Draw a line a method with its bars, the control black, each named at its right end."""
    names: list[Label] = []
    looks = _looks([line for line, _ in drawn])
    for index, (line, points) in enumerate(drawn):
        style = looks[line.label]
        beside = _BESIDE ** (index - (len(drawn) - 1) / 2)
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


def _dashed(axes: Axes, drawn: Drawn, order: Sequence[MethodRuns]) -> None:
    """Draw values in the colours of the lines that they belong to, without a name."""
    looks = _looks(order)
    for line, points in drawn:
        values = [float(entry.value or 0) for entry in points.values()]
        axes.plot(list(points), values, color=looks[line.label]["color"], linestyle="--", lw=0.8)


def _looks(lines: Sequence[MethodRuns]) -> dict[str, dict[str, Any]]:
    """Give each line its colour and marker, the control black and the ceiling dashed."""
    others = [line.label for line in lines if _look_of(line) is None]
    return {line.label: _look_of(line) or look(others.index(line.label)) for line in lines}


def _look_of(line: MethodRuns) -> dict[str, Any] | None:
    """Return the look of what is no method: the control, or the ceiling; None for others."""
    if line.is_ceiling:
        return _CEILING_LOOK
    return _CONTROL_LOOK if line.method == CONTROL else None


_BESIDE = 1.02
"""Factor between the places of two lines' points at one ratio."""

_CONTROL_LOOK: dict[str, Any] = {"color": BLACK, "marker": "o", "linestyle": "-"}
_CEILING_LOOK: dict[str, Any] = {"color": BLACK, "marker": "", "linestyle": "--"}


def _title(what: str, matrix: RunMatrix) -> str:
    return f"{what}\n{matrix.condition.title(matrix.select)}"
