"""What `run` does with a study: open the data, plan, announce, carry out, sum up.

Apart from `run.py`, whose options must be there before torch is imported.
"""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from bench.config.names import CEILING
from bench.errors import UsageError
from bench.executors.base import RunStopped
from bench.executors.launch import ExecutorConfig, execute
from bench.executors.worker import fingerprints, launch_spec
from bench.report.headroom import headroom_sentences, setting_key
from bench.report.method_runs import CONTROL
from bench.results.claims import read_claim, seems_lost
from bench.results.estimate import estimate
from bench.results.kept_weights import kept_weights
from bench.results.records import Record, read_records
from bench.results.selection import select_records
from bench.runner.planning import with_networks_checked
from bench.runner.profile import profile_cell
from bench.study.cell import Cell, plan_cells, request_grid
from bench.study.plan import Plan, archive, make_plan, outdated
from bench.study.study import Study
from bench.system.environment import keep_freed_memory, one_thread, pick_device
from bench.system.files import check_writable

from ._console import RunDisplay, counted, describe_outcome, open_study_data, stderr_console


@dataclass(frozen=True)
class RunOptions:
    """How a study is to be carried out."""

    executor: ExecutorConfig
    dry_run: bool
    fresh: bool
    retry_failed: bool
    profile: bool = False
    events: bool = False


def run_grid(study: Study, options: RunOptions) -> int:
    """Carry out what is left of a study; returns the exit code: 0 if every cell is done."""
    console, results = stderr_console(), study.context.results
    if not options.dry_run:
        check_writable(results)
    study = with_networks_checked(study)
    data = open_study_data(study, console, options.executor.processes)
    cells = plan_cells(study, data, save=not options.dry_run)
    before = fingerprints(cells)  # what another launch finishes from here on is done
    plan = make_plan(cells, fresh=options.fresh, retry_failed=options.retry_failed)
    records, _ = read_records(results)
    announce_grid(console, study, plan, records, options.executor.slots)
    announce_headroom(console, study, cells, records)
    if options.dry_run:
        show_cells(plan)
        return 0
    if options.profile:
        show_profiles(cells, options.executor)
        return 0
    command = shlex.join(["python", "-m", "bench", *sys.argv[1:]])
    request_grid(study, cells, command)
    new = _execute(plan, before, options, console, command)
    announce_headroom(console, study, cells, [*plan.done, *new], measured=bool(new))
    return _summarise(console, plan, new, study.context.results)


def announce_grid(
    console: Console, study: Study, plan: Plan, records: Sequence[Record], slots: int
) -> None:
    """Say how large the grid is, what of it is done, and what the rest may take."""
    parts = [f"{len(plan.done)} done", f"{len(plan.todo)} to do"]
    if plan.failed:
        parts.append(f"{len(plan.failed)} failed before (--retry-failed does them again)")
    console.print(f"{_size(study)}: {', '.join(parts)}", markup=False)
    for sentence in plan.damaged:
        console.print(f"note: {sentence}: its cell is done again, and it is kept", markup=False)
    lacking = _without_weights(study, plan)
    if lacking:
        done = "1 done cell has" if lacking == 1 else f"{lacking} done cells have"
        console.print(f"note: {done} no weights kept: only --fresh can train for them")
    for why, count in outdated(plan.todo, records).items():
        cells = f"{count} of them has a record" if count == 1 else f"{count} of them have records"
        console.print(
            f"note: {cells} made otherwise, kept and not reused: they differ in {why}", markup=False
        )
    todo = [(cell.coordinates, cell.config(), 1.0) for cell in plan.todo]
    time_needed = estimate(todo, records, slots)
    if time_needed:
        console.print(time_needed.describe(slots), markup=False)


def _without_weights(study: Study, plan: Plan) -> int:
    """Count the done cells whose weights are wanted and were not kept."""
    if study.context.settings.train.keep_weights == "false":
        return 0
    kept = {weights.cell for weights in kept_weights(study.context.results)}
    return sum(record.id not in kept for record in plan.done)


def announce_headroom(
    console: Console,
    study: Study,
    cells: Sequence[Cell],
    records: Iterable[Record],
    *,
    measured: bool | None = None,
) -> None:
    """Say of the study's settings which tell nothing of methods, as far as records know.

    Before the run (`measured` is None) also where nobody knows; after it, if it had new records.
    """
    if measured is False:
        return
    keys = list(dict.fromkeys(setting_key(c.config(), c.recipe) for c in cells))
    names = {name.base for name in study.methods}
    for rule in study.rules:
        place = {"dataset": study.context.dataset.name, "preset": study.context.preset}
        like = select_records(records, {**place, "rule": rule})
        like = [r for r in like if r.hashes.get("data") == cells[0].hashes["data"]]
        sure = CEILING in names or names <= {CONTROL} or measured
        for sentence in headroom_sentences(keys, study.ratios, like, unknown=not sure):
            console.print(f"note: {sentence}", markup=False)


def _size(study: Study) -> str:
    axes = {
        "method": len(study.methods),
        "ratio": len(study.ratios),
        "fold": len(study.folds),
        "seed": len(study.seeds),
        "rule": len(study.rules),
    }
    counts = [counted(count, name) for name, count in axes.items() if count > 1 or name != "rule"]
    size = counted(len(study.methods) * len(list(study.points())), "cell")
    context = study.context
    return f"{context.dataset.name}, preset {context.preset}: {' x '.join(counts)} = {size}"


def show_cells(plan: Plan) -> None:
    """Print every cell and what would become of it: the result of a dry run."""
    for record in plan.done:
        print(f"done    {record.id}  {describe_outcome(record)}")  # noqa: T201  a result
    for record in plan.failed:
        print(f"failed  {record.id}  {record.reason}")  # noqa: T201
    for cell in plan.todo:
        print(f"to do   {cell.id}")  # noqa: T201


def show_profiles(cells: Sequence[Cell], config: ExecutorConfig) -> None:
    """Print where the time of a step goes, for one cell of each method; nothing else is done."""
    one_thread()
    keep_freed_memory()
    device = pick_device(config.device)
    for cell in {cell.method: cell for cell in reversed(cells)}.values():
        found = profile_cell(cell, device, cell.context.results / "profiles")
        print(*found.describe(), sep="\n")  # noqa: T201  a result


def _execute(
    plan: Plan, before: Mapping[str, str], options: RunOptions, console: Console, command: str
) -> list[Record]:
    if options.fresh:
        _archive_old(plan.todo)
    display = RunDisplay(console, len(plan.todo))
    if not plan.todo:
        return []
    spec = launch_spec(plan.todo, options.executor.device, command, before, events=options.events)
    with display.showing():
        try:
            execute(plan.todo, display, spec, options.executor)
        except RunStopped:
            console.print("stopped: nothing is lost, and the same command goes on from here")
            raise SystemExit(130) from None
    return display.records


def _archive_old(cells: Sequence[Cell]) -> None:
    """Move the old results of `cells` away; UsageError if somebody is at one of them."""
    for cell in cells:
        held = read_claim(cell.folder)
        if held and not seems_lost(held):
            by = f"process {held.pid} on {held.host}"
            raise UsageError(f"--fresh: {cell.id} is being carried out by {by}: stop that first")
    for cell in cells:
        archive(cell)


def _summarise(console: Console, plan: Plan, new: Sequence[Record], results: Path) -> int:
    over = [*plan.done, *plan.failed, *new]
    counts = Counter(record.status for record in over)
    console.print(", ".join(f"{count} {status}" for status, count in counts.items()), markup=False)
    reasons = Counter((record.status, record.reason) for record in over if record.status != "done")
    for (status, reason), count in reasons.items():
        console.print(f"{count} {status}: {reason}", markup=False)
    if broken := [record.id for record in over if record.traceback]:
        words = ["python", "-m", "bench", "explain", broken[0], "--results", str(results)]
        console.print(f"where: {shlex.join(words)}", markup=False)
    return 0 if set(counts) <= {"done"} else 1
