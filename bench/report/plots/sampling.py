"""What key-frame rules keep of labels and of F1 (the paper's figure 6); for `plot sampling`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.data.label_budget import LabelBudget
from bench.report.grouping import cell_field, ratio_of
from bench.report.method_runs import CONTROL
from bench.report.model import NothingToShow
from bench.results.records import Record

from .curves import RATIO_LABEL
from .style import figure, legend_below, look, ratio_axis

RULE_LOOKS = {"sparse": look(0), "contiguous": look(1), "random": look(2)}


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
        legend_below(made, above)
        above.set_ylabel("combinations kept (%)")
        _rules(below, held, dashed=True)
        _rules(below, measured)
        below.set_ylabel("F1 kept (%)")
        below.set_xlabel(RATIO_LABEL)
        ratio_axis(below, [k.ratio for k in kept])
        above.set_title(f"{dataset}: AU combinations kept, of {every:,}")
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
        axes.plot(list(points), list(points.values()), label=rule, **style)


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
