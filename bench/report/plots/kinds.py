"""Figures by kind, as `python -m bench plot` asks for them; each a function of the results folder.

Every figure says what it shows in its title: dataset, rule, preset and how the step was chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from bench.report.aggregate import RunMatrix
from bench.report.grouping import by_condition
from bench.report.metric import Scoring
from bench.report.model import NothingToShow, ReportError
from bench.results.records import Record

from .calibration import calibration_figure
from .cooccurrence import cooccurrence_figure
from .cost import cost_figure
from .curves import curves, pseudo_labels
from .heat_map import heat_map
from .ranks import rank_figure
from .subjects import subject_dots
from .timeline import TimelineOptions, timeline_plot
from .training import training_figure


@dataclass(frozen=True, kw_only=True)
class FigureOptions:
    """What was asked of figures of records, whatever their kind."""

    scoring: Scoring = field(default_factory=Scoring)
    published: bool = False
    results: Path = Path("results")
    """Whose `runs/` hold the histories and predictions of the records."""
    timeline: TimelineOptions = field(default_factory=TimelineOptions)
    notes: list[str] = field(default_factory=list)
    """Takes sentences on what a figure leaves out, and on figures that cannot be drawn."""


def figures(
    kind: str, records: Iterable[Record], options: FigureOptions | None = None
) -> Iterator[tuple[str, Figure]]:
    """Yield a file name (without ending) and a figure for each condition among the records.

    Some kinds give a figure for each of its label ratios. Why one is missing is a note of the
    options. Raises NothingToShow if no condition gives one, with the reasons, and ReportError for a
    timeline of an AU that no record has.
    """
    asked = options or FigureOptions()
    records = list(records)
    if kind == "timeline":
        _check_au(records, asked.timeline.au)
    found, reasons = 0, []
    for condition, members in by_condition(records).items():
        data = [condition.data[:6]] if condition.data else []
        name = [_file_stem(kind, asked), *condition.name, *data]
        matrix = RunMatrix.of(members, asked.scoring)
        for suffix, build in _BUILDERS[kind](matrix, asked):
            try:
                made = build()
            except NothingToShow as error:
                reasons.append(f"{', '.join(condition.name)}: {error}")
                asked.notes.append(f"no figure of {reasons[-1]}")
                continue
            found += 1
            yield "-".join([*name, *suffix]), made
    if not found:
        raise NothingToShow(
            "; ".join(dict.fromkeys(reasons)) or "there are no records: run some cells first"
        )


def _check_au(records: Iterable[Record], wanted: int | None) -> None:
    """Name the AUs of all records at once: each condition by itself knows only its own."""
    known = sorted({au for record in records for au in record.aus})
    if wanted is not None and known and wanted not in known:
        listed = ", ".join(map(str, known))
        raise ReportError(f"no AU{wanted} is there: choose one of {listed}")


def _file_stem(kind: str, options: FigureOptions) -> str:
    """Begin a figure's file name: both kinds of timeline lie in one folder."""
    return f"{kind}-pseudo-labels" if kind == "timeline" and options.timeline.training else kind


Parts = Iterator[tuple[list[str], Callable[[], Figure]]]
"""The figures of a condition: what tells their names apart, and how each is made."""

_Builder = Callable[[RunMatrix, FigureOptions], Parts]


def _whole(draw: Callable[[RunMatrix, FigureOptions], Figure]) -> _Builder:
    return lambda matrix, options: iter([([], partial(draw, matrix, options))])


def _each_ratio(draw: Callable[[RunMatrix, float, FigureOptions], Figure]) -> _Builder:
    def parts(matrix: RunMatrix, options: FigureOptions) -> Parts:
        for ratio in matrix.ratios:
            yield [f"r{ratio:g}"], partial(draw, matrix, ratio, options)

    return parts


def _timelines(matrix: RunMatrix, options: FigureOptions) -> Parts:
    for ratio in matrix.ratios:
        suffix = [f"r{ratio:g}", *options.timeline.chosen]
        yield suffix, partial(timeline_plot, matrix, ratio, options.timeline, options.notes)


_BUILDERS: Mapping[str, _Builder] = {
    "curves": _whole(
        lambda matrix, options: curves(
            matrix, options.scoring, published=options.published, notes=options.notes
        )
    ),
    "pseudo-labels": _whole(lambda matrix, _: pseudo_labels(matrix)),
    "ranks": _whole(lambda matrix, _: rank_figure(matrix)),
    "heat-map": _each_ratio(lambda matrix, ratio, _: heat_map(matrix, ratio)),
    "subjects": _each_ratio(lambda matrix, ratio, _: subject_dots(matrix, ratio)),
    "cost": _whole(lambda matrix, _: cost_figure(matrix)),
    "calibration": _each_ratio(
        lambda m, ratio, options: calibration_figure(m, ratio, options.notes)
    ),
    "co-occurrence": _each_ratio(
        lambda m, ratio, options: cooccurrence_figure(m, ratio, options.notes)
    ),
    "timeline": _timelines,
    "training": _each_ratio(lambda m, ratio, options: training_figure(m, ratio, options.results)),
}

KINDS = tuple(_BUILDERS)
"""Figures that are made of the results folder alone."""
