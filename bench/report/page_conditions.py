"""Conditions of the report page: what its tables and curves show of one dataset, rule and preset.

Used by `page.py`. Means, spreads and intervals are those of the tables: the page computes none.
An entry is a list `[value, spread, n, low, high, state, cells]`, numbers in percent; that of one AU
is `[value, state]`. `cells` are places in the page's list of cells.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bench.config.names import MethodName
from bench.results.records import Record

from .aggregate import RunMatrix
from .grouping import Condition, scores_of
from .method_runs import CONTROL, MethodRuns, failures
from .model import SELECTIONS, Entry, ReportError
from .page_metrics import METRICS, PageMetric
from .render import render
from .tables import tables

FRAGMENTS = {
    "ranks": "Paired comparisons",
    "ablation": "Ablations",
    "complexity": "Size and speed",
}
"""Tables that the page takes over as they are."""

Places = Mapping[str, int]
"""Cell id -> its place in the page's list of cells."""


def condition_data(
    condition: Condition, records: Sequence[Record], places: Places
) -> dict[str, Any]:
    """Make the page's value of one condition; of records that cannot be compared it tells why."""
    known = _selections(records)
    found: dict[str, Any] = {
        "name": list(condition.name),
        "data": condition.data,
        "folds": condition.folds,
        "selections": {},
        "problems": [],
    }
    for select in known:
        try:
            matrix = RunMatrix.of(records, select)
            found["selections"][select] = _selection(matrix, places)
        except ReportError as error:
            found["problems"].append(str(error))
    found["problems"] = sorted(set(found["problems"]))
    return found


def fragments(records: Sequence[Record]) -> Iterator[tuple[str, list[str]]]:
    """Yield a heading and the HTML of its tables; of tables that cannot be made, nothing."""
    whole = [record for record in records if not MethodName.parse(record.cell["method"]).variant]
    methods = {record.cell["method"] for record in whole}
    for kind, heading in FRAGMENTS.items():
        of, against = records, None
        if kind == "ranks":  # over runs that all rows have: variants are often run on few
            of, against = whole, CONTROL if CONTROL in methods else None
        try:
            yield heading, [render(table, "html") for table in tables(kind, of, against=against)]
        except ReportError:
            continue


def _selections(records: Iterable[Record]) -> list[str]:
    told = Counter(rule for record in records for rule in record.scores)
    return [rule for rule in SELECTIONS if told[rule]] or ["last"]


def _selection(matrix: RunMatrix, places: Places) -> dict[str, Any]:
    metrics = {metric.key: _metric(matrix, metric, places) for metric in METRICS}
    return {
        "title": matrix.condition.title(matrix.select),
        "aus": list(matrix.aus),
        "ratios": list(matrix.ratios),
        "headings": [matrix.heading(ratio) for ratio in matrix.ratios],
        "lines": [_line(line) for line in matrix.lines],
        "metrics": {key: found for key, found in metrics.items() if found},
        "baselines": _baselines(matrix),
        "subjects": _subjects(matrix),
        "failures": [
            [label, places[record.id]]
            for label, record in failures(matrix.lines)
            if record.id in places
        ],
        "notes": list(matrix.table("report", "", (), ()).notes),
    }


def _line(line: MethodRuns) -> dict[str, Any]:
    name = MethodName.parse(line.method)
    return {
        "label": line.label,
        "control": line.method == CONTROL,
        "variant": bool(name.variant),
    }


def _metric(matrix: RunMatrix, metric: PageMetric, places: Places) -> dict[str, Any] | None:
    """Return a metric's entries by line and ratio, and by AU; None if no run has it."""
    means = [
        [
            _entry(metric.entry(matrix, line, ratio), line.at(ratio), places)
            for ratio in matrix.ratios
        ]
        for line in matrix.lines
    ]
    if not any(entry[0] is not None for row in means for entry in row):
        return None
    aus = range(len(matrix.aus))
    per_au = [
        [
            [_short(metric.au_entry(matrix, line, ratio, au)) for au in aus]
            for ratio in matrix.ratios
        ]
        for line in matrix.lines
    ]
    return {"entries": means, "aus": per_au}


def _entry(entry: Entry, runs: Mapping[Any, Record], places: Places) -> list[Any]:
    low, high = entry.interval or (None, None)
    cells = [places[record.id] for record in runs.values() if record.id in places]
    numbers = [_two(entry.value), _two(entry.spread), entry.n, _two(low), _two(high)]
    return [*numbers, entry.state, cells]


def _short(entry: Entry) -> list[Any]:
    return [_two(entry.value), entry.state]


def _two(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _baselines(matrix: RunMatrix) -> dict[str, list[Any]]:
    return {
        name: [_short(matrix.baseline(name, ratio)) for ratio in matrix.ratios]
        for name in ("always_positive", "training_prior")
    }


def _subjects(matrix: RunMatrix) -> list[list[dict[str, Any]]]:
    """Return, for each line and ratio, subject -> F1 over all its AUs, then of each AU; percent.

    Outcomes are pooled over the runs that tested the subject: its frames are the same in each.
    """
    return [
        [_subject_f1(line.at(ratio).values(), matrix.select) for ratio in matrix.ratios]
        for line in matrix.lines
    ]


def _subject_f1(runs: Iterable[Record], select: str) -> dict[str, Any]:
    counts: dict[str, Any] = defaultdict(int)
    for record in runs:
        scores = scores_of(record, select)
        for subject, table in scores.counts.items() if scores else ():
            counts[subject] = counts[subject] + np.asarray(table, dtype=np.int64)
    return {subject: _f1s(counts[subject]) for subject in sorted(counts)}


def _f1s(counts: Any) -> list[float | None]:
    tp, fp, fn, _ = counts
    every = [np.array([part.sum()]) for part in (tp, fp, fn)]
    tp, fp, fn = (np.concatenate(pair) for pair in zip(every, (tp, fp, fn), strict=True))
    of = 2 * tp + fp + fn
    return [
        round(float(100 * 2 * hit / whole), 1) if whole else None
        for hit, whole in zip(tp, of, strict=True)
    ]
