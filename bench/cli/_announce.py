"""What is said of a grid before it is carried out: its size, what is done, how long it takes."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from bench.forecast import forecast
from bench.plan import Plan, outdated
from bench.records import Record
from bench.study import Cell, Study

from ._display import outcome


def announce(
    console: Console,
    study: Study,
    grid: Sequence[Cell],
    plan: Plan,
    records: Sequence[Record],
    slots: int,
) -> None:
    """Say how large the grid is, what of it is done, and what the rest may take."""
    parts = [f"{len(plan.done)} done", f"{len(plan.todo)} to do"]
    if plan.failed:
        parts.append(f"{len(plan.failed)} failed before (--retry-failed does them again)")
    console.print(f"{_size(study, grid)}: {', '.join(parts)}", markup=False)
    for sentence in plan.damaged:
        console.print(f"note: {sentence}: its cell is done again, and it is kept", markup=False)
    for why, count in outdated(plan.todo, records).items():
        cells = f"{count} of them has a record" if count == 1 else f"{count} of them have records"
        console.print(
            f"note: {cells} made otherwise, kept and not reused: they differ in {why}", markup=False
        )
    todo = [(cell.coordinates, cell.config(), 1.0) for cell in plan.todo]
    guess = forecast(todo, records, slots)
    if guess:
        console.print(guess.said(slots), markup=False)


def _size(study: Study, grid: Sequence[Cell]) -> str:
    counts = [
        f"{len(values)} {name if len(values) > 1 else name.rstrip('s')}"
        for name, values in (
            ("methods", study.methods),
            ("ratios", study.ratios),
            ("folds", study.folds),
            ("seeds", study.seeds),
            ("rules", study.rules),
        )
        if len(values) > 1 or name != "rules"
    ]
    size = f"{len(grid)} cell" + "s" * (len(grid) != 1)
    return f"{study.dataset}, preset {study.preset}: {' x '.join(counts)} = {size}"


def show_cells(plan: Plan) -> None:
    """Print every cell and what would become of it: the result of a dry run."""
    for record in plan.done:
        print(f"done    {record.id}  {outcome(record)}")  # noqa: T201  a result
    for record in plan.failed:
        print(f"failed  {record.id}  {record.reason}")  # noqa: T201
    for cell in plan.todo:
        print(f"to do   {cell.id}")  # noqa: T201
