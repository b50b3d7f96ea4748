"""What has become of every cell in a results folder, from its files alone, on any machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from .claims import Claim, read_claim, seems_lost
from .forecast import Forecast, forecast
from .grids import Grid, Planned, read_grids, wanted
from .records import Record, read_records

State = Literal["done", "running", "stale", "unfinished", "failed", "skipped", "missing"]


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What has become of one cell."""

    id: str
    state: State
    record: Record | None = None
    """Of a cell that is over."""
    claim: Claim | None = None
    """Of a cell that a process works on, or did when it was last heard of."""
    planned: Planned | None = None
    """The cell as it was asked for, where a grid's file tells."""
    grid: Grid | None = None

    @property
    def told(self) -> Record | Planned | None:
        """What tells of the cell itself: its record, or else the grid that asked for it."""
        return self.record or self.planned

    @property
    def left(self) -> float:
        """Share of the cell's training that is still to do, as far as it is known."""
        if self.record:
            return 0.0
        return 1 - self.claim.step / self.claim.total if self.claim and self.claim.total else 1.0


@dataclass(frozen=True)
class Survey:
    """A look at a results folder."""

    cells: list[Standing]
    problems: list[str]
    """A sentence on each file that cannot be read."""

    def of(self, state: State) -> list[Standing]:
        """Return the cells in this state, by id."""
        return [cell for cell in self.cells if cell.state == state]

    def to_go(self) -> Forecast | None:
        """Guess how long what is left takes on the slots that are at work, or on one."""
        left = [c for c in self.cells if c.state in ("running", "stale", "unfinished", "missing")]
        cells = [(c.planned.cell, c.planned.config, c.left) for c in left if c.planned]
        records = [cell.record for cell in self.cells if cell.record]
        return forecast(cells, records, max(1, len(self.of("running"))))


def survey(results: Path) -> Survey:
    """Look at a results folder: nothing is written, and nothing need be finished."""
    records, problems = read_records(results)
    grids, torn = read_grids(results)
    asked = {cell.id: (cell, grid) for cell, grid in wanted(grids)}
    begun = {cell.id: cell for cell in _begun(results / "runs", records)}
    cells = [_placed(begun.get(name), name, *asked[name]) for name in asked]
    cells += [cell for name, cell in begun.items() if name not in asked]
    return Survey(sorted(cells, key=lambda cell: cell.id), [*problems, *torn])


def _placed(cell: Standing | None, name: str, planned: Planned, grid: Grid) -> Standing:
    cell = cell or Standing(id=name, state="missing")
    return replace(cell, planned=planned, grid=grid)


def _begun(runs: Path, records: Iterable[Record]) -> Iterator[Standing]:
    over = set()
    for record in records:
        over.add(record.id)
        claimed = None if record.status == "done" else read_claim(runs / record.id)
        yield _claimed(claimed) or Standing(id=record.id, state=record.status, record=record)
    for folder in runs.glob("*"):
        if folder.name not in over and folder.is_dir():
            if begun := _claimed(read_claim(folder)):
                yield begun
            elif (folder / "checkpoint.pt").exists():
                yield Standing(id=folder.name, state="unfinished")


def _claimed(claim: Claim | None) -> Standing | None:
    if claim is None:
        return None
    state: State = "stale" if seems_lost(claim) else "running"
    return Standing(id=claim.folder.name, state=state, claim=claim)
