"""Records -> settings of comparable runs, and the refusal of those that must not be mixed.

A *setting* is one dataset (its content too), label rule and preset: a table shows one. A *run* is
one (fold, seed) of a method at a label ratio.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from bench.records import Record, Scores

from .table import SELECTIONS, NothingToShow, ReportError

Run = tuple[int, int]
"""(fold, seed)"""
Place = tuple[float, Run]
"""(ratio, (fold, seed)): what two runs must share to be compared."""


@dataclass(frozen=True, order=True)
class Setting:
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
        """Name the setting and the selection rule, as every table's title does."""
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


def of(record: Record, key: str) -> Any:
    """Return an entry of the record's cell; raises ReportError naming the record if it has none."""
    try:
        return record.cell[key]
    except KeyError:
        raise ReportError(f"record {record.id} does not say its {key}: remove it") from None


def ratio_of(record: Record) -> float:
    """Return the label ratio, a share of one."""
    return float(of(record, "ratio"))


def run_of(record: Record) -> Run:
    """Return (fold, seed)."""
    return int(of(record, "fold")), int(of(record, "seed"))


def place_of(record: Record) -> Place:
    """Return (ratio, (fold, seed))."""
    return ratio_of(record), run_of(record)


def scores_of(record: Record, select: str) -> Scores | None:
    """Return the scores chosen by a selection rule, or None if the record holds none."""
    return record.scores.get(select) if record.status == "done" else None


def mean_f1s(records: Iterable[Record], select: str) -> dict[Place, float]:
    """Return the mean F1 (a share of one) of every run that has one."""
    chosen = ((record, scores_of(record, select)) for record in records)
    return {place_of(record): scores.mean_f1 for record, scores in chosen if scores}


def percent(ratio: float) -> str:
    """Write a ratio as a column is headed, e.g. 0.02 -> `2 %`."""
    return f"{100 * ratio:g} %"


def settings(records: Iterable[Record]) -> dict[Setting, list[Record]]:
    """Split records into settings, sorted.

    A run that was skipped before its data could be read joins its first namesake.
    """
    groups: dict[Setting, list[Record]] = defaultdict(list)
    for record in sorted(records, key=lambda item: (not item.hashes.get("data"), item.id)):
        setting = _setting(record)
        if not setting.data:
            setting = next(
                (known for known in sorted(groups) if known.name == setting.name), setting
            )
        groups[setting].append(record)
    return dict(sorted(groups.items()))


def one_setting(records: Iterable[Record], select: str) -> tuple[Setting, list[Record]]:
    """Return the only setting among the records, checked: comparable masks, one list of AUs.

    Raises ReportError if there is none or more than one, or if records must not stand together.
    """
    if select not in SELECTIONS:
        raise ReportError(f"no selection rule {select!r}: choose one of {', '.join(SELECTIONS)}")
    groups = settings(records)
    if not groups:
        raise ReportError("there are no records to put into a table: run some cells first")
    if len(groups) > 1:
        names = "; ".join(f"{', '.join(group.name)} (data {group.data[:8]})" for group in groups)
        raise ReportError(f"one table shows one dataset, rule and preset; these are {names}")
    setting, members = next(iter(groups.items()))
    check_masks(members)
    _check_aus(members)
    done = [record for record in members if record.status == "done"]
    if done and not any(scores_of(record, select) for record in done):
        raise NothingToShow(
            f"no record holds scores selected by {select!r}: choose another --select, "
            "or run again with what that rule needs"
        )
    return setting, members


def check_masks(records: Iterable[Record]) -> None:
    """Refuse records that trained on different label masks for the same ratio, fold and seed."""
    first: dict[Place, Record] = {}
    for record in records:
        if record.status != "done":
            continue
        place = place_of(record)
        other = first.setdefault(place, record)
        if other.hashes.get("mask") != record.hashes.get("mask"):
            raise ReportError(
                f"{other.id} and {record.id} trained on different label masks at ratio "
                f"{place[0]:g}, fold {place[1][0]}, seed {place[1][1]} and cannot be compared: "
                "run one of them again or move it to another results folder"
            )


def _setting(record: Record) -> Setting:
    return Setting(
        dataset=str(of(record, "dataset")),
        rule=str(of(record, "rule")),
        preset=str(of(record, "preset")),
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
