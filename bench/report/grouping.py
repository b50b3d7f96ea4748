"""Grouping: which records may stand in one table, and which of them form one row.

Used by every table and figure. A *condition* is one dataset (its content too), label rule and
preset: a table shows one. A row is a method under one config and one version of the code.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bench.config.names import CEILING, GridPoint, MethodName
from bench.results.compare import flatten
from bench.results.records import Record, Scores

from .model import SELECTIONS, ReportError, Source


@dataclass(frozen=True, order=True)
class Condition:
    """What all records of one table share; `data` and `folds` are hashes of what was run on."""

    dataset: str
    rule: str
    preset: str
    data: str = ""
    folds: str = ""

    @property
    def name(self) -> tuple[str, str, str]:
        """Return dataset, rule and preset."""
        return self.dataset, self.rule, self.preset

    def title(self, select: str) -> str:
        """Name the condition and the selection rule, as every table's title does."""
        return (
            f"{self.dataset}, rule {self.rule}, preset {self.preset}, "
            f"selection: {SELECTIONS[select]}"
        )

    def fingerprint(self) -> Iterator[str]:
        """Say by hash what was run on, where the records know it."""
        if self.data:
            yield f"run on data {self.data[:12]}, folds {self.folds[:12] or 'unknown'} (hashes)"

    def context(self, select: str) -> dict[str, str]:
        """Return the same as columns of a CSV file."""
        return {
            "dataset": self.dataset,
            "rule": self.rule,
            "preset": self.preset,
            "data": self.data[:12],
            "folds": self.folds[:12],
            "select": select,
        }


def cell_field(record: Record, key: str) -> Any:
    """Return an entry of the record's cell; raises ReportError naming the record if it has none."""
    try:
        return record.cell[key]
    except KeyError:
        raise ReportError(f"record {record.id} does not say its {key}: remove it") from None


def ratio_of(record: Record) -> float:
    """Return the label ratio, a share of one."""
    return float(cell_field(record, "ratio"))


def point_of(record: Record) -> GridPoint:
    """Return what two runs must share to be compared: ratio, fold, seed and rule."""
    try:
        return GridPoint.of(record.cell)
    except KeyError as error:
        raise ReportError(f"record {record.id} does not say its {error}: remove it") from None


def scores_of(record: Record, select: str) -> Scores | None:
    """Return the scores chosen by a selection rule, or None if the record holds none."""
    return record.scores.get(select) if record.status == "done" else None


def percent(ratio: float) -> str:
    """Write a ratio as a column is headed, e.g. 0.02 -> `2 %`."""
    return f"{100 * ratio:g} %"


def true_share(record: Record) -> float | None:
    """Return the share of the training frames that the label mask holds; None if it is unknown."""
    frames = record.frames
    coded = frames.get("train", 0) + frames.get("validation", 0)
    return frames["labelled"] / coded if coded and "labelled" in frames else None


def share_remark(ratio: float, share: float | None) -> str:
    """Write the true share to three digits where it differs from the ratio, e.g. `1.25 %`."""
    if share is None or f"{share:.3g}" == f"{ratio:.3g}":
        return ""
    return f"{float(f'{100 * share:.3g}'):g} %"


def by_condition(records: Iterable[Record]) -> dict[Condition, list[Record]]:
    """Split records by condition, sorted.

    A run that was skipped before its data could be read joins its first namesake.
    """
    groups: dict[Condition, list[Record]] = defaultdict(list)
    for record in sorted(records, key=lambda item: (not item.hashes.get("data"), item.id)):
        condition = _condition(record)
        if not condition.data:
            namesakes = (known for known in sorted(groups) if known.name == condition.name)
            condition = next(namesakes, condition)
        groups[condition].append(record)
    return dict(sorted(groups.items()))


def only_condition(records: Iterable[Record]) -> tuple[Condition, list[Record]]:
    """Return the only condition among the records, checked: comparable masks, one list of AUs.

    Raises ReportError if there is none or more than one, or if records must not stand together.
    """
    groups = by_condition(records)
    if not groups:
        raise ReportError("there are no records to put into a table: run some cells first")
    if len(groups) > 1:
        names = "; ".join(f"{', '.join(group.name)} (data {group.data[:8]})" for group in groups)
        raise ReportError(f"one table shows one dataset, rule and preset; these are {names}")
    condition, members = next(iter(groups.items()))
    check_masks(members)
    _check_aus(members)
    return condition, members


def check_masks(records: Iterable[Record]) -> None:
    """Refuse records that trained on different label masks for the same ratio, fold and seed."""
    first: dict[GridPoint, Record] = {}
    for record in records:
        if record.status != "done":
            continue
        point = point_of(record)
        other = first.setdefault(point, record)
        if other.hashes.get("mask") != record.hashes.get("mask"):
            raise ReportError(
                f"{other.id} and {record.id} trained on different label masks at ratio "
                f"{point.ratio:g}, fold {point.fold}, seed {point.seed} and cannot be compared: "
                "run one of them again or move it to another results folder"
            )


def _condition(record: Record) -> Condition:
    return Condition(
        dataset=str(cell_field(record, "dataset")),
        rule=str(cell_field(record, "rule")),
        preset=str(cell_field(record, "preset")),
        data=record.hashes.get("data", ""),
        folds=record.hashes.get("folds", ""),
    )


def _check_aus(records: Iterable[Record]) -> None:
    done = [record for record in records if record.status == "done"]
    for record in done:
        if record.aus != done[0].aus:
            raise ReportError(f"{done[0].id} and {record.id} score different AUs: table them apart")
        for select, scores in record.scores.items():
            if len(scores.f1) != len(record.aus):
                raise ReportError(f"{record.id} has not one {select} F1 for each AU: remove it")


Identity = tuple[str, str, str]
"""(config, code, weights): what the finished runs of one line share."""

CONTROL = "supervised"


@dataclass(frozen=True)
class MethodRuns:
    """All records of one method under one config and code; `label` names what sets it apart."""

    label: str
    method: str
    records: tuple[Record, ...]

    @property
    def is_ceiling(self) -> bool:
        """Whether this is the control that sees hidden labels: a bound, never ranked."""
        return MethodName.parse(self.method).base == CEILING

    @property
    def source(self) -> Source:
        """What a row of these runs is."""
        return "ceiling" if self.is_ceiling else "measured"

    def at(self, ratio: float) -> Mapping[GridPoint, Record]:
        """Return this line's runs at a ratio; a finished run stands before failed and skipped ones.

        Raises ReportError if two finished records claim the same run.
        """
        return self._runs.get(ratio, {})

    @cached_property
    def _runs(self) -> Mapping[float, Mapping[GridPoint, Record]]:
        runs: dict[float, dict[GridPoint, Record]] = defaultdict(dict)
        for record in self.records:
            point = point_of(record)
            there = runs[point.ratio]
            other = there.setdefault(point, record)
            if other is not record:
                there[point] = _prevailing(other, record)
        return dict(runs)


def method_runs(records: Iterable[Record]) -> list[MethodRuns]:
    """Group records into rows: the supervised control first, then by name, the ceiling last.

    A method with more than one config or code version gives a row for each, named by what differs.
    """
    methods: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        methods[str(cell_field(record, "method"))].append(record)
    methods.setdefault(CONTROL, [])
    order = sorted(methods, key=lambda name: (name != CONTROL, name))
    lines = [line for name in order for line in _split(name, methods[name])]
    return sorted(lines, key=lambda line: line.is_ceiling)


def failures(lines: Iterable[MethodRuns], ratio: float | None = None) -> list[tuple[str, Record]]:
    """Return (label, record) of the runs that failed or were skipped, and never finished after."""
    return [
        (line.label, record)
        for line in lines
        for share in sorted({ratio_of(record) for record in line.records})
        for record in line.at(share).values()
        if ratio in (None, share) and record.status != "done"
    ]


def _split(method: str, records: list[Record]) -> Iterator[MethodRuns]:
    """Split one method's records by config and code.

    A run without a result joins the line of its config that has one: its code decided no score.
    """
    groups: dict[Identity, list[Record]] = defaultdict(list)
    for record in sorted(records, key=lambda item: (item.status != "done", item.id)):
        home = _identity(record)
        if record.status != "done":
            home = next(_homes(record, groups), home)
        groups[home].append(record)
    names = _distinctions(list(groups.values()))
    for name, members in zip(names, groups.values(), strict=True):
        yield MethodRuns(f"{method} ({name})" if name else method, method, tuple(members))
    if not groups:
        yield MethodRuns(method, method, ())


def _homes(record: Record, groups: Mapping[Identity, Sequence[Record]]) -> Iterator[Identity]:
    """Yield the groups an unfinished run may join: those that finished it first."""
    config = _identity(record)[0]
    homes = [key for key in groups if not record.config or key[0] == config]
    point = point_of(record)
    yield from sorted(homes, key=lambda key: all(point_of(other) != point for other in groups[key]))


def _identity(record: Record) -> Identity:
    """Return what a line's records share; knobs without effect on a result are not in its hash."""
    config = record.hashes.get("config") or json.dumps(record.config, sort_keys=True)
    return config, record.hashes.get("code", ""), record.hashes.get("weights", "")


def _distinctions(groups: Sequence[Sequence[Record]]) -> list[str]:
    """Name each group by the knobs (and hashes) in which they differ; one group needs no name."""
    knobs = [dict(flatten(group[0].config)) for group in groups]
    for flat, group in zip(knobs, groups, strict=True):
        hashes = group[0].hashes
        flat |= {key: hashes[key][:8] for key in ("code", "weights") if key in hashes}
    keys = sorted({key for flat in knobs for key in flat})
    differ = [key for key in keys if len({str(flat.get(key, "unset")) for flat in knobs}) > 1]
    return [
        ", ".join(f"{key.removeprefix('method.')}={flat.get(key, 'unset')}" for key in differ)
        for flat in knobs
    ]


def _prevailing(one: Record, other: Record) -> Record:
    if one.status == other.status == "done":
        raise ReportError(
            f"{one.id} and {other.id} are the same method, config, ratio, fold and seed: "
            "remove one of them, or move it to another results folder"
        )
    rank = {"done": 0, "failed": 1, "skipped": 2}
    return min(one, other, key=lambda record: rank[record.status])
