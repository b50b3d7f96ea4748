"""Status: what has become of every cell in a results folder, from its files alone.

Used by `status`, `explain` and `diff`, on any machine that sees the folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from .claims import Claim, read_claim, seems_lost
from .estimate import Estimate, estimate
from .records import Record, read_records
from .requests import GridRequest, RequestedCell, read_requests, requested_cells

CellState = Literal["done", "running", "stale", "unfinished", "failed", "skipped", "missing"]


@dataclass(frozen=True, kw_only=True)
class CellStatus:
    """What has become of one cell."""

    id: str
    state: CellState
    record: Record | None = None
    """Of a cell that is over."""
    claim: Claim | None = None
    """Of a cell that a process works on, or did when it was last heard of."""
    requested: RequestedCell | None = None
    """The cell as it was asked for, where a grid's file tells."""
    request: GridRequest | None = None

    @property
    def source(self) -> Record | RequestedCell | None:
        """What tells of the cell itself: its record, or else the grid that asked for it."""
        return self.record or self.requested

    @property
    def remaining(self) -> float:
        """Share of the cell's training that is still to do, as far as it is known."""
        if self.record:
            return 0.0
        return 1 - self.claim.step / self.claim.total if self.claim and self.claim.total else 1.0


@dataclass(frozen=True)
class StatusReport:
    """A look at a results folder."""

    cells: list[CellStatus]
    problems: list[str]
    """A sentence on each file that cannot be read."""

    def in_state(self, state: CellState) -> list[CellStatus]:
        """Return the cells in this state, by id."""
        return [cell for cell in self.cells if cell.state == state]

    def remaining_time(self) -> Estimate | None:
        """Guess how long what is left takes on the slots that are at work, or on one."""
        left = [c for c in self.cells if c.state in ("running", "stale", "unfinished", "missing")]
        cells = [(c.requested.cell, c.requested.config, c.remaining) for c in left if c.requested]
        records = [cell.record for cell in self.cells if cell.record]
        return estimate(cells, records, max(1, len(self.in_state("running"))))


def read_status(results: Path) -> StatusReport:
    """Look at a results folder: nothing is written, and nothing need be finished."""
    records, problems = read_records(results)
    requests, torn = read_requests(results)
    asked = {cell.id: (cell, request) for cell, request in requested_cells(requests)}
    begun = {cell.id: cell for cell in _found_on_disk(results / "runs", records)}
    cells = [_with_request(begun.get(name), name, *asked[name]) for name in asked]
    cells += [cell for name, cell in begun.items() if name not in asked]
    return StatusReport(sorted(cells, key=lambda cell: cell.id), [*problems, *torn])


def _with_request(
    cell: CellStatus | None, name: str, requested: RequestedCell, request: GridRequest
) -> CellStatus:
    cell = cell or CellStatus(id=name, state="missing")
    return replace(cell, requested=requested, request=request)


def _found_on_disk(runs: Path, records: Iterable[Record]) -> Iterator[CellStatus]:
    over = set()
    for record in records:
        over.add(record.id)
        claimed = None if record.status == "done" else read_claim(runs / record.id)
        yield _from_claim(claimed) or CellStatus(id=record.id, state=record.status, record=record)
    for folder in runs.glob("*"):
        if folder.name not in over and folder.is_dir():
            if begun := _from_claim(read_claim(folder)):
                yield begun
            elif (folder / "checkpoint.pt").exists():
                yield CellStatus(id=folder.name, state="unfinished")


def _from_claim(claim: Claim | None) -> CellStatus | None:
    if claim is None:
        return None
    state: CellState = "stale" if seems_lost(claim) else "running"
    return CellStatus(id=claim.folder.name, state=state, claim=claim)
