"""Aggregation: runs -> a table's entries (mean, spread, interval).

Used by every table of results and by the figures.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from bench.config.names import GridPoint
from bench.results.records import Record

from .entries import (
    Value,
    entry_of_runs,
    percent_of,
    trivial_values,
    uncoded_aus,
)
from .grouping import (
    Condition,
    only_condition,
    percent,
    point_of,
    ratio_of,
    scores_of,
    share_remark,
    true_share,
)
from .headroom import uninformative_notes
from .method_runs import MethodRuns, failures, method_runs
from .metric import Metric, Scoring
from .model import Entry, ReportError, Row, Table
from .notes import SHARES, config_differences, legend, troubles, uncoded_note
from .published import Published
from .recipes import recipe_notes
from .statistics import mean_interval


@dataclass(frozen=True)
class RunMatrix:
    """The comparable records of one condition, by row and ratio, under one selection rule."""

    condition: Condition
    scoring: Scoring
    records: tuple[Record, ...]
    lines: tuple[MethodRuns, ...]
    expected: Mapping[float, frozenset[GridPoint]]
    """ratio -> every point of the grid that any row tried there."""

    @classmethod
    def of(cls, records: Iterable[Record] | RunMatrix, select: str | Scoring) -> RunMatrix:
        """Check that the records may stand in one table; raises ReportError if they may not.

        `select` is a rule to choose the step by, for F1, or a scoring with a metric of its own.
        A matrix stays as it is: one that was checked serves many tables.
        """
        if isinstance(records, RunMatrix):
            return records
        scoring = Scoring.of(select)
        condition, members = only_condition(records)
        scoring.check(members)
        tried: dict[float, set[GridPoint]] = defaultdict(set)
        for record in members:
            tried[ratio_of(record)].add(point_of(record))
        expected = {ratio: frozenset(tried[ratio]) for ratio in sorted(tried)}
        return cls(condition, scoring, tuple(members), tuple(method_runs(members)), expected)

    @property
    def select(self) -> str:
        """The rule that chose the step."""
        return self.scoring.select

    @property
    def metric(self) -> Metric:
        """What the entries are values of."""
        return self.scoring.metric

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

    def score(self, line: MethodRuns, ratio: float, *, intervals: bool = False) -> Entry:
        """Make the entry of a row's mean score (x 100), with its 95 % interval if asked for."""
        entry = self.entry(line, ratio, lambda record: percent_of(self.scoring.mean(record)))
        entry = replace(entry, aus=self._over(line.at(ratio)))
        if entry.value is None:
            return self._unstored(entry, line.at(ratio))
        if not intervals:
            return entry
        known = mean_interval(line.at(ratio).values(), self.scoring)
        if known.interval is None:
            return replace(entry, remark=known.reason)
        low, high = known.interval
        return replace(entry, interval=(100 * low, 100 * high), trainings=known.trainings)

    def au_score(self, line: MethodRuns, ratio: float, column: int) -> Entry:
        """Make the entry of a row's score (x 100) on one AU; its n is that of the mean."""

        def value(record: Record) -> float | None:
            values = self.scoring.per_au(record)
            return percent_of(values[column]) if values else None

        entry = self._au_entry(line.at(ratio), ratio, column, value)
        return self._unstored(entry, line.at(ratio))

    def _unstored(self, entry: Entry, runs: Mapping[GridPoint, Record]) -> Entry:
        """Tell runs without what the metric needs from runs that were never made."""
        scored = any(scores_of(record, self.select) for record in runs.values())
        return replace(entry, state="unstored") if entry.state == "missing" and scored else entry

    def predicted_to_true(self, line: MethodRuns, ratio: float, column: int | None = None) -> Entry:
        """Make the entry of how often a row says "present", as a multiple of how often it is so.

        Of one AU, or of all together.
        """

        def value(record: Record) -> float | None:
            told = self.scoring.predicted_to_true(record)
            return None if told is None else told[-1 if column is None else column]

        if column is not None:
            entry = self._au_entry(line.at(ratio), ratio, column, value)
        else:
            entry = self.entry(line, ratio, value)
        return replace(entry, digits=2, terse=True)

    def auc(self, line: MethodRuns, ratio: float) -> float | None:
        """Return a row's mean AUC (%) at a ratio, if every run with a score there has one."""
        found = self.entry(line, ratio, lambda record: percent_of(self._auc.mean(record)))
        scored = sum(self.scoring.score(r) is not None for r in line.at(ratio).values())
        return found.value if found.n == scored else None

    @cached_property
    def _auc(self) -> Scoring:
        return self.scoring.by("auc")

    def _au_entry(
        self, runs: Mapping[GridPoint, Record], ratio: float, column: int, value: Value
    ) -> Entry:
        """Make an entry of one AU from the runs of those folds in which it is coded."""
        expected, coded = self.expected[ratio], runs
        if any(column in uncoded for uncoded in self.uncoded.values()):
            expected = frozenset(p for p in expected if column not in self.uncoded.get(p.fold, ()))
            coded = {point: record for point, record in runs.items() if point in expected}
        if not coded and any(record.status == "done" for record in runs.values()):
            return Entry(state="uncoded")
        return replace(entry_of_runs(coded or runs, expected, value), terse=True)

    def baseline(self, name: str, ratio: float, column: int | None = None) -> Entry:
        """Make the entry of a trivial predictor's score (x 100) on one AU, or on average.

        It depends on the labels and the mask only, so any finished run of a (fold, seed) tells it.
        """

        def value(record: Record) -> float | None:
            values = trivial_values(record, name, self.metric)
            some = values if column is None else values[column : column + 1]
            known = [each for each in some if each is not None]
            return percent_of(sum(known) / len(known)) if known else None

        runs = self._with_baselines.get(ratio, {})
        if column is not None:
            return self._au_entry(runs, ratio, column, value)
        return replace(entry_of_runs(runs, self.expected[ratio], value), aus=self._over(runs))

    @property
    def baselines(self) -> Mapping[str, str]:
        """The trivial predictors that have a score by the metric: in records, and in tables."""
        if self.metric.of_frames:
            return {"always_positive": "always positive", "training_prior": "training prior"}
        return {"chance": "chance"} if self.metric.by_chance else {}

    @cached_property
    def uncoded(self) -> Mapping[int, frozenset[int]]:
        """Fold -> the AUs (their places) that no test frame is coded for."""
        return uncoded_aus(self.records)

    def _over(self, runs: Mapping[GridPoint, Record]) -> str:
        """Say over how many AUs the means of these runs are, if not over all."""
        folds = {point.fold for point, record in runs.items() if record.status == "done"}
        counts = {len(self.aus) - len(self.uncoded.get(fold, ())) for fold in folds}
        if counts <= {len(self.aus)}:
            return ""
        ends = dict.fromkeys((min(counts), max(counts)))
        return f"{' to '.join(map(str, ends))} of {len(self.aus)}"

    @cached_property
    def shares(self) -> Mapping[float, float]:
        """Ratio -> the share of labelled frames that the masks hold, a mean over the runs' masks.

        Ratios of which no record tells it are left out.
        """
        known: dict[float, dict[GridPoint, float]] = defaultdict(dict)
        for record in self.records:
            if (share := true_share(record)) is not None:
                known[ratio_of(record)][point_of(record)] = share
        return {ratio: float(np.mean(list(found.values()))) for ratio, found in known.items()}

    def share_remark(self, ratio: float) -> str:
        """Write what the masks of a ratio hold, where it is not the ratio."""
        return share_remark(ratio, self.shares.get(ratio))

    def heading(self, ratio: float) -> str:
        """Write a ratio with the share that its masks hold, e.g. `1 % (1.25 %)`."""
        remark = self.share_remark(ratio)
        return f"{percent(ratio)} ({remark})" if remark else percent(ratio)

    def ratio_context(self, ratio: float) -> dict[str, str]:
        """Return a ratio and its true share as columns of a CSV file."""
        share = self.shares.get(ratio)
        return {"ratio": f"{ratio:g}", "share": "" if share is None else f"{share:.6g}"}

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
        if self.metric.name != "f1":
            return None, [
                f"published numbers left out: the paper prints F1, not {self.metric.name}"
            ]
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
        by_ratio: bool = False,
        of_f1: bool = True,
        turned: str = "",
    ) -> Table:
        """Assemble a table whose title, notes and CSV context say what it was made from.

        It is of one `ratio`, or has a column for each (`by_ratio`), or mixes them; `of_f1` tells
        whether it matters which AUs have one.
        """
        metric = self.metric.name if of_f1 else ""
        context = {"table": kind, "metric": metric, **self.condition.context(self.select)}
        ratios = self.ratios if by_ratio or ratio is None else (ratio,)
        told = by_ratio or ratio is not None
        return Table(
            title=f"{what}: {self.condition.title(self.select)}",
            corner="method",
            turned=turned,
            columns=tuple(columns),
            rows=tuple(rows),
            notes=(
                *notes,
                *filter(None, [self.metric.meaning if of_f1 else ""]),
                *([SHARES] if told and any(map(self.share_remark, ratios)) else []),
                *legend(rows),
                *uninformative_notes(self.lines, ratios, self.select),
                *(self._gaps(ratios) if of_f1 else ()),
                *recipe_notes(self.lines),
                *config_differences(self.lines),
                *troubles(failures(self.lines, ratio)),
                *self.condition.fingerprint(),
            ),
            context=context if ratio is None else {**context, **self.ratio_context(ratio)},
            column_context=tuple(map(self.ratio_context, ratios)) if by_ratio else (),
            remarks=tuple(map(self.share_remark, ratios)) if by_ratio else (),
        )

    def _gaps(self, ratios: Iterable[float]) -> Iterator[str]:
        """Say which AUs no test frame is coded for, and what records do not hold."""
        yield from uncoded_note(self.aus, self._uncoded_at(ratios))
        yield from self.scoring.not_stored(self.records)

    def _uncoded_at(self, ratios: Iterable[float]) -> dict[int, frozenset[int]]:
        folds = {point.fold for ratio in ratios for point in self.expected[ratio]}
        return {fold: places for fold, places in self.uncoded.items() if fold in folds}
