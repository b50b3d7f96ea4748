"""F1 tables: methods by label ratio, by action unit, and beside published supervised methods.

Each is a pure function of the records of one condition; F1 is in percent. They raise ReportError
where records must not stand in one table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bench.results.records import Record

from .aggregate import RunMatrix
from .grouping import percent
from .model import MISSING, Entry, NothingToShow, Row, Table, text_entry
from .notes import RUNS

BASELINES = {"always_positive": "always positive", "training_prior": "training prior"}
"""Trivial predictors as records and as tables call them."""


def ssl_table(
    records: Iterable[Record],
    *,
    select: str = "last",
    published: bool = False,
    intervals: bool = False,
) -> Table:
    """Mean F1 of methods by label ratio: supervised control, other methods, trivial baselines."""
    matrix = RunMatrix.of(records, select)
    rows = [
        Row(
            label=line.label,
            source=line.source,
            entries=tuple(matrix.f1(line, ratio, intervals=intervals) for ratio in matrix.ratios),
        )
        for line in matrix.lines
    ]
    rows += _baselines(lambda name: tuple(matrix.baseline(name, ratio) for ratio in matrix.ratios))
    paper, notes = matrix.paper(wanted=published)
    for label, figures in paper.ssl().items() if paper else ():
        entries = tuple(figures.get(ratio, MISSING) for ratio in matrix.ratios)
        rows.append(Row(label=label, source="paper", entries=entries))
    what = "Mean F1 (%) by share of labelled frames"
    return matrix.table(
        "ssl",
        what,
        [percent(ratio) for ratio in matrix.ratios],
        rows,
        notes=[RUNS, *notes],
        by_ratio=True,
    )


def per_au_table(
    records: Iterable[Record] | RunMatrix,
    *,
    ratio: float | None = None,
    select: str = "last",
    published: bool = False,
    intervals: bool = False,
) -> Table:
    """F1 of methods by action unit at one label ratio (the only one there is, if not given)."""
    matrix = RunMatrix.of(records, select)
    ratio = matrix.one_ratio(ratio)
    places = range(len(matrix.aus))
    rows = [
        Row(
            label=line.label,
            source=line.source,
            entries=(
                *(matrix.au_f1(line, ratio, place) for place in places),
                matrix.f1(line, ratio, intervals=intervals),
            ),
        )
        for line in matrix.lines
    ]
    rows += _baselines(
        lambda name: tuple(matrix.baseline(name, ratio, place) for place in [*places, None])
    )
    paper, notes = matrix.paper(wanted=published)
    if paper and (printed := paper.per_au(ratio, matrix.aus)):
        rows += printed
        notes = ["means of the paper are computed from its columns"]
    what = f"F1 (%) by action unit at {matrix.heading(ratio)} labels"
    columns = [*(f"AU{au}" for au in matrix.aus), "mean"]
    return matrix.table("per-au", what, columns, rows, notes=[RUNS, *notes], ratio=ratio)


def supervised_table(
    records: Iterable[Record],
    *,
    select: str = "last",
    published: bool = False,
    intervals: bool = False,
) -> Table:
    """Mean F1 with all labels, beside published supervised methods."""
    matrix = RunMatrix.of(records, select)
    if 1.0 not in matrix.ratios:
        raise NothingToShow("no record was trained with all labels: run with --ratios 1.0")
    rows = [
        Row(
            label=line.label,
            source=line.source,
            entries=(text_entry(""), matrix.f1(line, 1.0, intervals=intervals)),
        )
        for line in matrix.lines
    ]
    rows += _baselines(lambda name: (text_entry(""), matrix.baseline(name, 1.0)))
    paper, notes = matrix.paper(wanted=published)
    rows += paper.supervised() if paper else []
    what, columns = "Mean F1 (%) with all labels", ["venue", "mean F1"]
    return matrix.table("supervised", what, columns, rows, notes=[RUNS, *notes], ratio=1.0)


def _baselines(entries: Callable[[str], tuple[Entry, ...]]) -> list[Row]:
    return [
        Row(label=label, source="baseline", entries=entries(name))
        for name, label in BASELINES.items()
    ]
