"""Training curves: a method's losses over its steps, as its runs' histories tell; for `plot`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from bench.report.aggregate import RunMatrix
from bench.report.method_runs import MethodRuns
from bench.report.model import NothingToShow
from bench.results.history import read_history

from .style import Label, figure, look, name_lines, title

PLACES = ("step", "epoch", "lr", "audit")
"""Of a row of a history: where it stands, and what is drawn elsewhere."""

Floats = NDArray[np.float64]
Curves = Mapping[str, tuple[Floats, Floats]]
"""name -> (steps (P,), values (runs, P) with NaN where a run has none)"""


def training_figure(matrix: RunMatrix, ratio: float, results: Path) -> Figure:
    """Draw what each method logged at one ratio, a panel a method: means over runs, bands all runs.

    Raises NothingToShow if no run left a history.
    """
    found = {line.label: _curves(line, ratio, results) for line in matrix.lines}
    found = {label: curves for label, curves in found.items() if curves}
    if not found:
        raise NothingToShow(f"no run at ratio {ratio:g} left a history.jsonl")
    with figure(len(found), 1.35) as (made, panels):
        for axes, (label, curves) in zip(panels, found.items(), strict=True):
            _panel(axes, curves)
            axes.set_title(label)
        panels[-1].set_xlabel("step")
        panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
        what = f"Losses and the methods' own metrics at {matrix.heading(ratio)} labels"
        title(made, f"{what}: mean, lowest and highest of the runs\n{_where(matrix)}")
    return made


def _where(matrix: RunMatrix) -> str:
    condition = matrix.condition
    return f"{condition.dataset}, rule {condition.rule}, preset {condition.preset}"


def _curves(line: MethodRuns, ratio: float, results: Path) -> Curves:
    histories = [
        read_history(results / "runs" / record.id)
        for record in line.at(ratio).values()
        if record.status == "done"
    ]
    return mean_curves([rows for rows in histories if rows])


def mean_curves(histories: Sequence[Sequence[Mapping[str, Any]]]) -> Curves:
    """Line histories up by step: every name's values of all runs at every step that any has."""
    told: dict[str, dict[int, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for run, rows in enumerate(histories):
        for row in rows:
            for name, value in row.items():
                if name not in PLACES and isinstance(value, int | float):
                    told[name][int(row["step"])][run] = float(value)
    curves = {}
    for name, steps in told.items():
        order = sorted(steps)
        values = [[steps[at].get(run, np.nan) for at in order] for run in range(len(histories))]
        curves[name] = np.array(order, dtype=np.float64), np.array(values)
    return curves


def _panel(axes: Axes, curves: Curves) -> None:
    names: list[Label] = []
    for index, (name, (steps, values)) in enumerate(curves.items()):
        style = look(index)
        if len(steps) > 1:
            style["marker"] = ""
        mean = np.nanmean(values, axis=0)
        axes.plot(steps, mean, **style)
        low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
        axes.fill_between(steps, low, high, color=style["color"], alpha=0.15, lw=0)
        if len(steps) == 1:  # a band of one step has no width
            axes.vlines(steps, low, high, color=style["color"], lw=0.8)
        names.append((float(steps[-1]), float(mean[-1]), name, style["color"]))
    name_lines(axes, names)
