"""Cost against score: what F1 a label and a second of training buy; for `plot`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from bench.report.aggregate import RunMatrix
from bench.report.method_runs import CONTROL
from bench.report.metric import Metric
from bench.report.model import NothingToShow
from bench.results.records import Record

from .style import GREY, WIDTH, grid_figure, legend_below, looks_of, title

Point = tuple[float, float]
"""(cost, score x 100)"""

_LAST_STEP = 1.15
"""Factor of cost by which the line of the front goes on beyond its last point."""


def cost_figure(matrix: RunMatrix) -> Figure:
    """Draw the mean score over labelled frames and over seconds of training.

    There is a point for each method and ratio; not for the ceiling, whose labels nobody paid for.
    The grey line is the Pareto front: nothing costs less and scores as much. Seconds are of the
    device that most runs trained on, and of no other. Raises NothingToShow if no run is done.
    """
    device = _device(matrix.records)
    by_labels = _points(matrix, lambda record: record.frames.get("labelled"))
    by_time = _points(matrix, lambda r: r.seconds.get("train") if _device_of(r) == device else None)
    if not by_labels:
        raise NothingToShow("no finished record has a score and says how many frames were labelled")
    with grid_figure(2, 1, 2.2, WIDTH) as (made, (above, below)):
        looks = looks_of(list(by_labels), CONTROL)
        metric = matrix.metric
        _panel(above, by_labels, looks, "labelled frames of a run", metric)
        _panel(below, by_time, looks, f"seconds of training a run, on {device}", metric)
        legend_below(made, above)
        what = f"Cost against {metric.heading}: methods and shares of labels; grey: Pareto front"
        title(made, f"{what}\n{matrix.condition.title(matrix.select)}")
    return made


def pareto_front(points: Sequence[Point], *, lower_is_better: bool = False) -> list[Point]:
    """Return the points that no other equals in score at the same cost or less, by cost."""
    sign = -1 if lower_is_better else 1
    front: list[Point] = []
    for cost, score in sorted(points, key=lambda point: (point[0], -sign * point[1])):
        if not front or sign * score > sign * front[-1][1]:
            front.append((cost, score))
    return front


def _points(matrix: RunMatrix, cost: Callable[[Record], float | None]) -> dict[str, list[Point]]:
    """Return label -> (mean cost, mean F1) at each ratio where both are known."""
    found: dict[str, list[Point]] = {}
    for line in (line for line in matrix.lines if not line.is_ceiling):
        for ratio in matrix.ratios:
            paid = matrix.entry(line, ratio, cost).value
            score = matrix.score(line, ratio).value
            if paid and score is not None:
                found.setdefault(line.label, []).append((paid, score))
    return found


def _panel(
    axes: Axes, points: dict[str, list[Point]], looks: dict, cost: str, metric: Metric
) -> None:
    every = [point for each in points.values() for point in each]
    front = pareto_front(every, lower_is_better=metric.lower_is_better)
    costs = [point[0] for each in points.values() for point in each]
    if front:
        # it begins at the cheapest point: nobody knows what less would give
        xs, ys = zip(*front, (max(costs) * _LAST_STEP, front[-1][1]), strict=True)
        axes.step(xs, ys, where="post", color=GREY, lw=1, zorder=1)
    for label, each in points.items():
        look = {key: looks[label][key] for key in ("color", "marker")}
        axes.plot(*zip(*each, strict=True), linestyle="", label=label, alpha=0.85, **look)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.set_xlabel(cost)
    axes.set_ylabel(f"mean {metric.heading}")


def _device(records: Sequence[Record]) -> str:
    devices = Counter(_device_of(record) for record in records if record.status == "done")
    return devices.most_common(1)[0][0] if devices else "an unknown device"


def _device_of(record: Record) -> str:
    return str(record.environment.get("device", "an unknown device"))
