"""What `run` does with a study: open the data, plan, carry out, sum up."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console

from bench.claims import read_claim, seems_lost
from bench.config import UsageError
from bench.data import Data, make_dataset, open_data
from bench.executors._base import Stopped
from bench.executors._work import fingerprints, make_orders
from bench.executors.choice import Means, execute
from bench.files import check_writable
from bench.grids import write_grid
from bench.plan import Plan, make_plan, put_aside
from bench.records import Record, read_records
from bench.study import Study, cells

from ._announce import announce, show_cells
from ._display import BuildBar, Display, stderr

_NAMED = 8
"""Left-out files that are named; the rest is counted (`data prepare` names them all)."""


@dataclass(frozen=True)
class Wishes:
    """How a study is to be carried out."""

    means: Means
    dry_run: bool
    fresh: bool
    retry_failed: bool


def run_grid(study: Study, wishes: Wishes) -> int:
    """Carry out what is left of a study; returns the exit code: 0 if every cell is done."""
    console = stderr()
    if not wishes.dry_run:
        check_writable(study.results)
    data = open_study_data(study, console, wishes.means.processes)
    grid = cells(study, data, save=not wishes.dry_run)
    before = fingerprints(grid)  # what another launch finishes from here on is done
    plan = make_plan(grid, fresh=wishes.fresh, retry_failed=wishes.retry_failed)
    announce(console, study, grid, plan, read_records(study.results)[0], wishes.means.slots)
    if wishes.dry_run:
        show_cells(plan)
        return 0
    command = shlex.join(["python", "-m", "bench", *sys.argv[1:]])
    write_grid(study, grid, command)
    new = _carry_out(plan, before, wishes, console, command)
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


def _carry_out(
    plan: Plan, before: Mapping[str, str], wishes: Wishes, console: Console, command: str
) -> list[Record]:
    if wishes.fresh:
        _start_afresh(plan)
    display = Display(console, len(plan.todo))
    if not plan.todo:
        return []
    orders = make_orders(plan.todo, wishes.means.device, command, before)
    with display.showing():
        try:
            execute(plan.todo, display, orders, wishes.means)
        except Stopped:
            console.print("stopped: nothing is lost, and the same command goes on from here")
            raise SystemExit(130) from None
    return display.records


def _start_afresh(plan: Plan) -> None:
    for cell in plan.todo:
        held = read_claim(cell.folder)
        if held and not seems_lost(held):
            by = f"process {held.pid} on {held.host}"
            raise UsageError(f"--fresh: {cell.id} is being carried out by {by}: stop that first")
    for cell in plan.todo:
        put_aside(cell)


def _sum_up(console: Console, plan: Plan, new: Sequence[Record]) -> int:
    over = [*plan.done, *plan.failed, *new]
    counts = Counter(record.status for record in over)
    console.print(", ".join(f"{count} {status}" for status, count in counts.items()), markup=False)
    reasons = Counter((record.status, record.reason) for record in over if record.status != "done")
    for (status, reason), count in reasons.items():
        console.print(f"{count} {status}: {reason}", markup=False)
    return 0 if set(counts) <= {"done"} else 1
