"""What `run` does with a study: open the data, plan, carry out, sum up."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from rich.console import Console

from bench.data import Data, make_dataset, open_data
from bench.environment import cpu_count, pick_device
from bench.executors import local, serial
from bench.executors._base import Stopped
from bench.files import check_writable
from bench.plan import Plan, estimate, make_plan, put_aside
from bench.records import Record, read_records
from bench.study import Cell, Study, cells

from ._display import BuildBar, Display, outcome, stderr

_NAMED = 8
"""Left-out files that are named; the rest is counted (`data prepare` names them all)."""


@dataclass(frozen=True)
class Wishes:
    """How a study is to be carried out."""

    device: str
    workers: int
    dry_run: bool
    fresh: bool
    retry_failed: bool

    def slots(self) -> int:
        """Count the processes that cells run on; raises UsageError if the device is not there."""
        device = pick_device(self.device)
        if self.workers:
            return self.workers
        return torch.cuda.device_count() if device.type == "cuda" else cpu_count()


def run_grid(study: Study, wishes: Wishes) -> int:
    """Carry out what is left of a study; returns the exit code: 0 if every cell is done."""
    console = stderr()
    slots = wishes.slots()
    check_writable(study.results)
    data = open_study_data(study, console, slots)
    grid = cells(study, data)
    plan = make_plan(grid, fresh=wishes.fresh, retry_failed=wishes.retry_failed)
    announce(console, study, grid, plan, slots)
    if wishes.dry_run:
        show_cells(plan)
        return 0
    new = _carry_out(plan, wishes, slots, console)
    return _sum_up(console, plan, new)


def open_study_data(
    study: Study,
    console: Console,
    workers: int,
    named: int | None = _NAMED,
    *,
    retry: bool = False,
) -> Data:
    """Open the study's dataset with a progress bar; names what was left out (None: all of it).

    `retry` gives images that could not be read before another chance.
    """
    cls = study.registry.dataset(study.dataset)
    dataset = make_dataset(cls, study.dataset, study.root, study.dataset_options)
    for fold in study.folds:
        dataset.folds().test_subjects(fold)  # a wrong one is said before hours of decoding
    bar = BuildBar(console)
    try:
        data = open_data(
            dataset,
            study.dataset,
            study.settings.data,
            study.cache,
            workers=workers,
            progress=bar,
            retry=retry,
        )
    except KeyboardInterrupt:
        console.print("stopped: decoded frames are kept, and the same command goes on from here")
        raise SystemExit(130) from None
    finally:
        bar.close()
    say_problems(console, data.problems, named)
    return data


def say_problems(console: Console, problems: Sequence[str], named: int | None) -> None:
    """Name the first of the things that a dataset left out, and count the rest."""
    for problem in problems[:named]:
        console.print(f"note: {problem}", markup=False)
    if named is not None and len(problems) > named:
        rest = len(problems) - named
        console.print(f"note: ... and {rest} more (`data prepare` names them all)", markup=False)


def announce(console: Console, study: Study, grid: Sequence[Cell], plan: Plan, slots: int) -> None:
    """Say how large the grid is, what of it is done, and how long the rest may take."""
    counts = [
        f"{len(values)} {name if len(values) > 1 else name.rstrip('s')}"
        for name, values in (
            ("methods", study.methods),
            ("ratios", study.ratios),
            ("folds", study.folds),
            ("seeds", study.seeds),
        )
    ]
    size = f"{len(grid)} cell" + "s" * (len(grid) != 1)
    line = f"{study.dataset}, preset {study.preset}: {' x '.join(counts)} = {size}"
    parts = [f"{len(plan.done)} done", f"{len(plan.todo)} to do"]
    if plan.failed:
        parts.append(f"{len(plan.failed)} failed before (--retry-failed does them again)")
    console.print(f"{line}: {', '.join(parts)}", markup=False)
    seconds = estimate(plan.todo, read_records(study.results)[0], slots) if plan.todo else None
    if seconds is not None:
        about = f"{seconds / 60:.0f} min" if seconds > 90 else f"{seconds:.0f} s"
        workers = f"{slots} worker" + "s" * (slots != 1)
        console.print(f"about {about} on {workers}, going by earlier cells")


def show_cells(plan: Plan) -> None:
    """Print every cell and what would become of it: the result of a dry run."""
    for record in plan.done:
        print(f"done    {record.id}  {outcome(record)}")  # noqa: T201  a result
    for record in plan.failed:
        print(f"failed  {record.id}  {record.reason}")  # noqa: T201
    for cell in plan.todo:
        print(f"to do   {cell.id}")  # noqa: T201


def _carry_out(plan: Plan, wishes: Wishes, slots: int, console: Console) -> list[Record]:
    if wishes.fresh:
        for cell in plan.todo:
            put_aside(cell)
    display = Display(console, len(plan.todo))
    command = shlex.join(["python", "-m", "bench", *sys.argv[1:]])
    if not plan.todo:
        return []
    with display.showing():
        try:
            if slots == 1:
                serial.execute(plan.todo, display, device=wishes.device, command=command)
            else:
                local.execute(
                    plan.todo, display, device=wishes.device, command=command, workers=slots
                )
        except Stopped:
            console.print("stopped: nothing is lost, and the same command goes on from here")
            raise SystemExit(130) from None
    return display.records


def _sum_up(console: Console, plan: Plan, new: Sequence[Record]) -> int:
    over = [*plan.done, *plan.failed, *new]
    counts = Counter(record.status for record in over)
    console.print(", ".join(f"{count} {status}" for status, count in counts.items()), markup=False)
    reasons = Counter((record.status, record.reason) for record in over if record.status != "done")
    for (status, reason), count in reasons.items():
        console.print(f"{count} {status}: {reason}", markup=False)
    return 0 if set(counts) <= {"done"} else 1
