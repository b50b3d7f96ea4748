"""The figure of a search: the best validation F1 so far, over trials and over seconds."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bench.report.method_runs import CONTROL
from bench.report.model import NothingToShow
from bench.results.searches import SearchRecord

from .style import BLACK, WIDTH, Label, grid_figure, look, name_lines, title


def search_figure(record: SearchRecord) -> Figure:
    """Draw a line a method (and fold), best so far over its trials and over what they took.

    Raises NothingToShow if no trial has a value.
    """
    lines = _curves(record)
    if not lines:
        raise NothingToShow("no trial has a validation F1 to draw")
    question = record.question
    with grid_figure(2, 1, 2.0, WIDTH) as (made, (above, below)):
        for axes, place in ((above, 0), (below, 1)):
            _draw(axes, lines, place)
            axes.set_ylabel("best so far (%)")
        above.set_xlabel("trials")
        above.xaxis.set_major_locator(MaxNLocator(integer=True))
        below.set_xlabel("seconds of all trials' cells")
        what = f"F1 on {question['val_subjects']} validation subjects, the best so far"
        where = f"{question['dataset']}, rule {question['rule']}, preset {question['preset']}"
        title(made, f"{what}\n{where}")
    return made


Curve = list[tuple[float, float, float]]
"""(trials, seconds, best so far in %) from the first trial with a value on."""


def _curves(record: SearchRecord) -> dict[tuple[str, int], Curve]:
    found: dict[tuple[str, int], Curve] = {}
    for method in record.trials:
        for fold in record.folds:
            curve = record.curve(method, fold)
            points = [(float(n), s, 100 * b) for n, s, b in curve if b is not None]
            if points:
                found[method, fold] = points
    return found


def _draw(axes: Axes, lines: dict[tuple[str, int], Curve], place: int) -> None:
    """Draw steps; folds of a method have one colour, and the last of them its name."""
    methods = list(dict.fromkeys(method for method, _ in lines))
    others = [method for method in methods if method != CONTROL]
    names: dict[str, Label] = {}
    for (method, _), points in lines.items():
        style = _style(method, others)
        x, y = [point[place] for point in points], [point[2] for point in points]
        axes.step(x, y, where="post", color=style["color"], linestyle=style["linestyle"])
        axes.plot(x[-1:], y[-1:], **{**style, "linestyle": ""})
        names[method] = (x[-1], y[-1], method, style["color"])
    name_lines(axes, list(names.values()))


def _style(method: str, others: list[str]) -> dict[str, Any]:
    control = {"color": BLACK, "marker": "o", "linestyle": "-"}
    return control if method == CONTROL else look(others.index(method))
