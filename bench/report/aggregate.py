"""Aggregation: runs -> a table's entries (mean, spread, interval), and the notes under a table.

Used by every table of results and by the figures.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from bench.config.names import GridPoint
from bench.results.compare import flatten
from bench.results.records import Record, Status

from .grouping import (
    Condition,
    MethodRuns,
    failures,
    method_runs,
    only_condition,
    percent,
    point_of,
    ratio_of,
    scores_of,
)
from .model import Entry, ReportError, Row, Source, State, Table
from .published import Published
from .recipes import recipe_notes
from .statistics import subject_bootstrap

Value = Callable[[Record], float | None]
"""What a table shows of one run, in the table's unit; None if the run does not have it."""


@dataclass(frozen=True)
class RunMatrix:
    """The comparable records of one condition, by row and ratio, under one selection rule."""

    condition: Condition
    select: str
    records: tuple[Record, ...]
    lines: tuple[MethodRuns, ...]
    expected: Mapping[float, frozenset[GridPoint]]
    """ratio -> every point of the grid that any row tried there."""

    @classmethod
    def of(cls, records: Iterable[Record] | RunMatrix, select: str) -> RunMatrix:
        """Check that the records may stand in one table; raises ReportError if they may not.

        A matrix stays as it is: one that was checked serves many tables.
        """
        if isinstance(records, RunMatrix):
            return records
        condition, members = only_condition(records, select)
        tried: dict[float, set[GridPoint]] = defaultdict(set)
        for record in members:
            tried[ratio_of(record)].add(point_of(record))
        expected = {ratio: frozenset(tried[ratio]) for ratio in sorted(tried)}
        return cls(condition, select, tuple(members), tuple(method_runs(members)), expected)

    @property
    def ratios(self) -> tuple[float, ...]:
        """The label ratios that any record has, rising."""
        return tuple(self.expected)

    @property
    def aus(self) -> tuple[int, ...]:
        """The AUs that the finished records score; none if nothing finished."""
        return next((tuple(r.aus) for r in self.records if r.status == "done"), ())

    def one_ratio(self, ratio: float | None) -> float:
        """Return the ratio asked for, or the only one; raises ReportError if there is no such."""
        known = ", ".join(f"{known:g}" for known in self.ratios)
        if ratio is None and len(self.ratios) > 1:
            raise ReportError(f"choose one label ratio for this table: {known}")
        if ratio is not None and ratio not in self.ratios:
            raise ReportError(f"no record has label ratio {ratio:g}; there are {known}")
        return self.ratios[0] if ratio is None else ratio

    def entry(self, line: MethodRuns, ratio: float, value: Value) -> Entry:
        """Make a row's entry at a ratio from each run's value."""
        return entry_of_runs(line.at(ratio), self.expected[ratio], value)

    def f1(self, line: MethodRuns, ratio: float, *, intervals: bool = False) -> Entry:
        """Make the entry of a row's mean F1 (%), with its 95 % interval if asked for."""
        entry = self.entry(line, ratio, lambda record: _mean_f1(record, self.select))
        if not intervals or entry.value is None:
            return entry
        low, high = subject_bootstrap(line.at(ratio).values(), self.select)
        return replace(entry, interval=(100 * low, 100 * high))

    def au_f1(self, line: MethodRuns, ratio: float, column: int) -> Entry:
        """Make the entry of a row's F1 (%) on one AU; its n is that of the mean."""

        def value(record: Record) -> float | None:
            scores = scores_of(record, self.select)
            return 100 * scores.f1[column] if scores else None

        return replace(self.entry(line, ratio, value), terse=True)

    def baseline(self, name: str, ratio: float, column: int | None = None) -> Entry:
        """Make the entry of a trivial predictor's F1 (%) on one AU, or on average.

        It depends on the labels and the mask only, so any finished run of a (fold, seed) tells it.
        """

        def value(record: Record) -> float | None:
            f1 = record.baselines.get(name)
            if not f1:
                return None
            return 100 * (f1[column] if column is not None else sum(f1) / len(f1))

        runs = self._with_baselines.get(ratio, {})
        entry = entry_of_runs(runs, self.expected[ratio], value)
        return replace(entry, terse=column is not None)

    @cached_property
    def _with_baselines(self) -> Mapping[float, Mapping[GridPoint, Record]]:
        runs: dict[float, dict[GridPoint, Record]] = defaultdict(dict)
        for record in self.records:
            if record.baselines:
                runs[ratio_of(record)][point_of(record)] = record
        return dict(runs)

    def paper(self, *, wanted: bool) -> tuple[Published | None, list[str]]:
        """Return the published numbers if they are wanted and these records are of their data."""
        if not wanted:
            return None, []
        published = Published(self.condition.dataset)
        reason = published.why_not(self.records)
        return (None, [reason]) if reason else (published, [])

    def table(
        self,
        kind: str,
        what: str,
        columns: Sequence[str],
        rows: Sequence[Row],
        *,
        notes: Iterable[str] = (),
        ratio: float | None = None,
        column_context: Sequence[Mapping[str, str]] = (),
    ) -> Table:
        """Assemble a table whose title, notes and CSV context say what it was made from."""
        context = {"table": kind, **self.condition.context(self.select)}
        return Table(
            title=f"{what}: {self.condition.title(self.select)}",
            corner="method",
            columns=tuple(columns),
            rows=tuple(rows),
            notes=(
                *notes,
                *legend(rows),
                *recipe_notes(self.lines),
                *config_differences(self.lines),
                *troubles(failures(self.lines, ratio)),
                *self.condition.fingerprint(),
            ),
            context=context if ratio is None else {**context, "ratio": f"{ratio:g}"},
            column_context=tuple(column_context),
        )


def mean_of_runs(values: Mapping[GridPoint, float]) -> float:
    """Average over the folds of each seed, then over the seeds (methods.md 0.10)."""
    seeds: dict[int, list[float]] = defaultdict(list)
    for point, value in values.items():
        seeds[point.seed].append(value)
    return float(np.mean([np.mean(folds) for folds in seeds.values()]))


def entry_of_runs(
    runs: Mapping[GridPoint, Record], expected: Iterable[GridPoint], value: Value
) -> Entry:
    """Make an entry from each run's value; with fewer runs than `expected` it is partial."""
    values = {run: number for run, record in runs.items() if (number := value(record)) is not None}
    if not values:
        states = {record.status for record in runs.values()}
        return Entry(state=_emptiness(states))
    numbers = list(values.values())
    return Entry(
        state="done" if set(values) >= set(expected) else "partial",
        value=mean_of_runs(values),
        spread=float(np.std(numbers, ddof=1)) if len(numbers) > 1 else None,
        n=len(numbers),
    )


def _emptiness(states: set[Status]) -> Literal["failed", "skipped", "missing"]:
    if "failed" in states:
        return "failed"
    return "skipped" if "skipped" in states else "missing"


def _mean_f1(record: Record, select: str) -> float | None:
    scores = scores_of(record, select)
    return 100 * scores.mean_f1 if scores else None


RUNS = "mean over folds, then over seeds ± standard deviation over folds and seeds (number of runs)"
INTERVAL = "[low, high]: 95 % interval, bootstrap over test subjects"
TIED = "≈ tied: not told apart from no difference"

STATES: Mapping[State, str] = {
    "partial": "† partial: some of the runs that others have in this column are missing here",
    "missing": "– not run, or not in the paper",
    "check": "? hard to read in the paper",
    "unread": "blank: could not be read in the paper",
}

SOURCES: Mapping[Source, str] = {
    "baseline": "baseline: a trivial predictor that looks at no image",
    "paper": "paper: as printed by Li et al., ICCV 2023; other code, preparation and hardware",
}


def legend(rows: Iterable[Row]) -> Iterator[str]:
    """Explain the signs that stand in these rows, and no others."""
    entries = [entry for row in rows for entry in row.entries]
    sources = {row.source for row in rows} | {entry.source for entry in entries}
    states = {entry.state for entry in entries}
    signs = [
        (any(entry.interval for entry in entries), INTERVAL),
        (any(entry.tied for entry in entries), TIED),
        *((state in states, note) for state, note in STATES.items()),
        *((source in sources, note) for source, note in SOURCES.items()),
    ]
    yield from (note for shown, note in signs if shown)


def troubles(failures: Iterable[tuple[str, Record]]) -> Iterator[str]:
    """Say why runs have no result: one sentence for each reason, with the first and how many."""
    reasons: dict[tuple[Status, str], list[str]] = defaultdict(list)
    for label, record in failures:
        point = point_of(record)
        where = f"{label} at {percent(point.ratio)}, fold {point.fold}, seed {point.seed}"
        reasons[record.status, record.reason or "no reason was recorded"].append(where)
    for (status, reason), places in sorted(reasons.items()):
        more = f" and {len(places) - 1} more" if len(places) > 1 else ""
        yield f"{status}: {places[0]}{more}: {reason}"


def config_differences(lines: Sequence[MethodRuns]) -> Iterator[str]:
    """Say which shared knobs (trunk, training, data) the lines do not share.

    The knobs of a recipe of a method's own are no difference: `recipe_notes` tells them.
    """
    known = {line.label: dict(flatten(line.records[0].config)) for line in lines if line.records}
    known = {label: flat for label, flat in known.items() if flat}
    own = {line.label for line in lines if line.records and line.records[0].recipe != "common"}
    for key in sorted({key for flat in known.values() for key in flat}):
        users: dict[str, list[str]] = defaultdict(list)
        for label, flat in known.items():
            if not (key.startswith("train.") and label in own):
                users[str(flat.get(key, "unset"))].append(label)
        if len(users) > 1 and not key.startswith("method."):
            parts = "; ".join(f"{value} ({', '.join(rows)})" for value, rows in users.items())
            yield f"not shared by all rows: {key} = {parts}"
