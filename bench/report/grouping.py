"""Grouping: which records may stand in one table, and which of them form one row.

Used by every table and figure. A *condition* is one dataset (its content too), label rule and
preset: a table shows one. A row is a method under one config and one version of the code.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from bench.config.names import GridPoint
from bench.results.records import Record, Scores

from .model import SELECTIONS, ReportError


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
    if any(record.trial for record in members):
        raise ReportError(
            "these are trials of a search, scored on validation subjects, and no results: `tune` "
            "wrote study files whose runs are"
        )
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
