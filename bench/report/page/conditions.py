"""Conditions of the report page: what its tables and curves show of one dataset, rule and preset.

Used by `page.py`. Means, spreads and intervals are those of the tables: the page computes none.
An entry is a list `[value, spread, n, low, high, state, cells]`, numbers in percent; that of one AU
is `[value, state]`. `cells` are places in the page's list of cells.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bench.config.names import MethodName
from bench.report.aggregate import RunMatrix
from bench.report.grouping import Condition
from bench.report.method_runs import CONTROL, MethodRuns, failures
from bench.report.metric import METRICS, Metric, Scoring
from bench.report.model import SELECTIONS, Entry, NothingToShow, ReportError
from bench.report.subject_scores import subject_f1
from bench.results.records import Record

from .metrics import AUDIT_METRICS, AuditMetric
from .tables import paper_data

Places = Mapping[str, int]
"""Cell id -> its place in the page's list of cells."""


def condition_data(
    condition: Condition, records: Sequence[Record], places: Places, results: Path
) -> dict[str, Any]:
    """Make the page's value of one condition; of records that cannot be compared it tells why.

    `results` is the folder whose predictions belong to the records.
    """
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
            scoring = Scoring(select, results=results)
            found["selections"][select] = _selection(RunMatrix.of(records, scoring), places)
        except ReportError as error:
            found["problems"].append(str(error))
    found["problems"] = sorted(set(found["problems"]))
    return found


def _selections(records: Iterable[Record]) -> list[str]:
    told = Counter(rule for record in records for rule in record.scores)
    return [rule for rule in SELECTIONS if told[rule]] or ["last"]


def _selection(matrix: RunMatrix, places: Places) -> dict[str, Any]:
    metrics = {name: _scored(matrix, metric, places) for name, metric in METRICS.items()}
    metrics |= {each.key: _audited(matrix, each, places) for each in AUDIT_METRICS}
    return {
        "title": matrix.condition.title(matrix.select),
        "aus": list(matrix.aus),
        "ratios": list(matrix.ratios),
        "headings": [matrix.heading(ratio) for ratio in matrix.ratios],
        "lines": [_line(line) for line in matrix.lines],
        "metrics": {key: found for key, found in metrics.items() if found},
        "paper": paper_data(matrix),
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


def _scored(matrix: RunMatrix, metric: Metric, places: Places) -> dict[str, Any] | None:
    """Return a metric's entries and those of trivial predictors; None if no run has it."""
    scoring = Scoring(matrix.select, metric, matrix.scoring.results)
    try:
        scored = RunMatrix.of(matrix.records, scoring)
    except NothingToShow:
        return None
    found = _entries(
        scored,
        places,
        lambda line, ratio: scored.score(line, ratio, intervals=True),
        scored.au_score,
    )
    trivial = [
        [label, [_short(scored.baseline(name, ratio)) for ratio in scored.ratios]]
        for name, label in scored.baselines.items()
    ]
    return found and found | {"baselines": trivial}


def _audited(matrix: RunMatrix, metric: AuditMetric, places: Places) -> dict[str, Any] | None:
    entry, au_entry = partial(metric.entry, matrix), partial(metric.au_entry, matrix)
    return _entries(matrix, places, entry, au_entry)


def _entries(
    matrix: RunMatrix,
    places: Places,
    entry: Callable[[MethodRuns, float], Entry],
    au_entry: Callable[[MethodRuns, float, int], Entry],
) -> dict[str, Any] | None:
    """Return entries by line and ratio, and by AU; None if there is no value among them."""
    lines, ratios, aus = matrix.lines, matrix.ratios, range(len(matrix.aus))
    means = [
        [_entry(entry(line, ratio), line.at(ratio), places) for ratio in ratios] for line in lines
    ]
    if not any(each[0] is not None for row in means for each in row):
        return None
    per_au = [
        [[_short(au_entry(line, ratio, au)) for au in aus] for ratio in ratios] for line in lines
    ]
    return {"entries": means, "aus": per_au}


def _entry(entry: Entry, runs: Mapping[Any, Record], places: Places) -> list[Any]:
    low, high = entry.interval or (None, None)
    cells = [places[record.id] for record in runs.values() if record.id in places]
    numbers = [_kept(entry.value), _kept(entry.spread), entry.n, _kept(low), _kept(high)]
    return [*numbers, entry.state, cells]


def _short(entry: Entry) -> list[Any]:
    return [_kept(entry.value), entry.state]


def _kept(value: float | None) -> float | None:
    """Shorten a number so little that the page, which rounds it again, prints what tables print."""
    return None if value is None else round(value, 6)


def _subjects(matrix: RunMatrix) -> list[list[dict[str, Any]]]:
    """Return, for each line and ratio, subject -> F1 over all its AUs, then of each AU; percent."""
    found = [
        [subject_f1(line.at(ratio).values(), matrix.select) for ratio in matrix.ratios]
        for line in matrix.lines
    ]
    return [[{name: _tenths(f1) for name, f1 in one.items()} for one in row] for row in found]


def _tenths(values: Iterable[float | None]) -> list[float | None]:
    return [None if value is None else round(value, 1) for value in values]
