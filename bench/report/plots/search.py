"""The figure of a search: the best validation F1 so far, over trials and over seconds."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bench.report.method_runs import CONTROL
from bench.report.model import NothingToShow
from bench.results.searches import SearchRecord

from .style import WIDTH, grid_figure, legend_below, looks_of, title


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
        legend_below(made, above)
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
    """Draw steps, and a marker at their end; folds of a method have one look and one name.

    Lines end anywhere, so that a leader from there to a name would run across the others.
    """
    looks = looks_of(list(dict.fromkeys(method for method, _ in lines)), CONTROL)
    for (method, _), points in lines.items():
        x, y = [point[place] for point in points], [point[2] for point in points]
        axes.plot(x, y, drawstyle="steps-post", markevery=[-1], **looks[method])
    for method, style in looks.items():
        axes.plot([], [], label=method, **style)
