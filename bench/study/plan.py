"""Plan: what of a study is on disk already, what is left to do, and in which order.

Used by `run`; workers use `load_or_quarantine`, `record_of`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.results.compare import describe_mismatch, flatten, identity_of
from bench.results.records import Record
from bench.results.records import read_record as read_file
from bench.system.files import CannotRead, RecordError, cannot_write, quarantine
from bench.system.hashing import digest

from .cell import Cell


@dataclass(frozen=True)
class Plan:
    """A study's cells, parted by what has become of them."""

    todo: list[Cell]
    """The shortest, so that there is a score to look at soon; then the longest first, so that no
    slot is left waiting for one long cell at the end."""
    done: list[Record]
    failed: list[Record]
    """Failed before, and not to be tried again in this run."""
    damaged: list[str]
    """A sentence on each record that cannot be used; its cell is among those to do."""


def make_plan(cells: Sequence[Cell], *, fresh: bool = False, retry_failed: bool = False) -> Plan:
    """Part `cells` by their records; a skipped cell is always tried again: it cost nothing.

    `fresh` does every cell, whatever there is of it. Raises CannotRead for a record that the disk
    does not hand out.
    """
    todo: list[Cell] = []
    done: list[Record] = []
    failed: list[Record] = []
    damaged: list[str] = []
    for cell in cells:
        record, flaw = (None, "") if fresh else usable_record(cell)
        if flaw:
            damaged.append(flaw)
        if record is None or record.status == "skipped":
            todo.append(cell)
        elif record.status == "done":
            done.append(record)
        else:
            (todo.append(cell) if retry_failed else failed.append(record))
    return Plan(_in_order(todo), done, failed, damaged)


def _in_order(todo: Iterable[Cell]) -> list[Cell]:
    by_cost = sorted(todo, key=estimated_cost, reverse=True)
    shortest = min(by_cost, key=estimated_cost, default=None)
    return sorted(by_cost, key=lambda cell: cell is not shortest)


def record_of(cell: Cell) -> Record | None:
    """Read the cell's record, or None if it has none yet.

    Raises RecordError for one that is not whole or another cell's, and CannotRead.
    """
    path = cell.folder / "record.json"
    try:
        record = read_file(path)
    except CannotRead as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise
    if record.id != cell.id:
        raise RecordError(f"{path} is the record of another cell, {record.id}")
    return record


def usable_record(cell: Cell) -> tuple[Record | None, str]:
    """Read the cell's record; one of no use is none, with a sentence on it. Raises CannotRead."""
    try:
        return record_of(cell), ""
    except CannotRead:
        raise  # it may be as good as any
    except RecordError as error:
        return None, str(error)


def load_or_quarantine(cell: Cell) -> tuple[Record | None, list[str]]:
    """Read the record of a cell that this process has claimed; one of no use is set aside.

    Returns the record, if there is one, and a sentence on what was set aside. Raises CannotRead.
    """
    record, flaw = usable_record(cell)
    if not flaw:
        return record, []
    aside = quarantine(cell.folder / "record.json")
    return None, [f"{flaw}; set aside as {aside.name}"]


def archive(cell: Cell) -> Path | None:
    """Move a cell's old folder to `RESULTS/replaced/`; returns where it went, if there was one.

    Raises RecordError if it cannot be moved.
    """
    if not cell.folder.exists():
        return None
    place = cell.context.results / "replaced"
    number = 1
    while (target := place / f"{cell.id}-{number}").exists():
        number += 1
    try:
        place.mkdir(parents=True, exist_ok=True)
        return cell.folder.rename(target)
    except OSError as error:
        raise cannot_write(target, error) from error


def estimated_cost(cell: Cell) -> float:
    """Return how long a cell takes next to others: frames that pass through the trunk, roughly."""
    frames = cell.needs.frames_per_clip
    train = cell.settings.train
    steps = float(train.steps) or train.epochs * 1000 * cell.point.ratio
    return steps * train.batch_size * frames


def outdated(todo: Iterable[Cell], records: Iterable[Record]) -> Counter[str]:
    """Count the cells done before under the same knobs, whose records are not reused, by why.

    Those are results of other code or data.
    """
    known = {_request_key(r.cell, r.hashes): r for r in records if r.status == "done"}
    reasons: Counter[str] = Counter()
    for cell in todo:
        record = known.get(_request_key(cell.coordinates, cell.hashes))
        if record and record.id != cell.id:
            old, new = _data_and_code(identity_of(record)), _data_and_code(cell.identity)
            reasons[describe_mismatch(old, new)] += 1
    return reasons


def _data_and_code(identity: Mapping[str, Any]) -> dict[str, Any]:
    return dict(flatten({name: identity[name] for name in ("hashes", "code")}))


def _request_key(place: Mapping[str, Any], hashes: Mapping[str, str]) -> str:
    return digest([place, hashes.get("config")])
