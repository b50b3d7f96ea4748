"""`run`: carry out a grid of cells, or what is left of it."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from bench.errors import UsageError
from bench.executors.base import RunStopped
from bench.executors.launch import ExecutorConfig, execute
from bench.executors.worker import fingerprints, launch_spec
from bench.results.claims import read_claim, seems_lost
from bench.results.estimate import estimate
from bench.results.records import Record, read_records
from bench.study.cell import Cell, plan_cells, write_request
from bench.study.plan import Plan, archive, make_plan, outdated
from bench.study.study import Study
from bench.system.files import check_writable

from . import _options as opt
from ._console import RunDisplay, describe_outcome, open_study_data, stderr_console
from ._study_file import Config, Plugins, SetOption, add_file, checked_study

if TYPE_CHECKING:
    from bench.config.registry import Registry


def command(
    ctx: typer.Context,
    config: Config = None,
    dataset: opt.DatasetName = "synthetic",
    root: opt.Root = None,
    methods: Annotated[str, typer.Option(help="Comma-separated; none = every one.")] = "",
    ratios: Annotated[str, typer.Option(help="Label ratios in (0, 1]; none = the preset's.")] = "",
    folds: Annotated[str, typer.Option(help="Test folds; none = the preset's.")] = "",
    seeds: Annotated[str, typer.Option(help="Seeds; none = the preset's.")] = "",
    rule: Annotated[
        str, typer.Option(help="Key frames: sparse, contiguous, random; several by commas.")
    ] = "sparse",
    preset: Annotated[str, typer.Option(help="smoke, quick or paper (`list presets`).")] = "quick",
    settings: SetOption = None,
    val_subjects: Annotated[
        int, typer.Option(min=0, help="Training subjects held out to choose the step by.")
    ] = 0,
    results: opt.Results = opt.RESULTS,
    cache: opt.Cache = opt.CACHE,
    plugins: Plugins = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    workers: Annotated[
        int, typer.Option(min=0, help="Slots for cells; 0 = one a GPU, or one a processor core.")
    ] = 0,
    executor: Annotated[str, typer.Option(help="local, ray or slurm.")] = "local",
    slots_per_gpu: Annotated[int, typer.Option(min=1, help="Cells side by side on a GPU.")] = 1,
    address: Annotated[
        str | None, typer.Option(help="Of a Ray cluster: HOST:PORT or auto; none = start one here.")
    ] = None,
    slurm: Annotated[
        list[str] | None,
        typer.Option(callback=add_file, help="KEY=VALUE for sbatch, e.g. partition=gpu; repeat."),
    ] = None,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="Repeatable bits on a GPU; slower.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Do done cells again; keep old results.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Do failed cells again.")
    ] = False,
) -> None:
    """Train and test every cell of the grid that has no record yet.

    No argument at all: the embedded dataset, every method, preset quick. Stop it whenever you like;
    the same command goes on.
    """
    from bench.config.registry import Registry
    from bench.executors.launch import ExecutorConfig

    from .run import RunOptions, run_grid

    asked = {
        "dataset": dataset,
        "root": root,
        "methods": methods or ",".join(_usable(Registry(tuple(plugins or [])))),
        "ratios": ratios,
        "folds": folds,
        "seeds": seeds,
        "rule": rule,
        "preset": preset,
        "settings": settings,
        "val_subjects": val_subjects,
        "results": results,
        "cache": cache,
        "plugins": plugins,
        "deterministic": deterministic,
    }
    study = checked_study(ctx, asked, config)
    for name in study.methods:
        study.registry.require_method(name.partition(":")[0])
    means = ExecutorConfig(
        executor=executor,
        device=device,
        workers=workers,
        slots_per_gpu=slots_per_gpu,
        address=address,
        slurm=tuple(slurm or []),
    )
    raise typer.Exit(run_grid(study, RunOptions(means, dry_run, fresh, retry_failed)))


def _usable(registry: Registry) -> list[str]:
    """Return all methods that are whole, and say why the others are left out."""
    usable, problems = registry.usable_methods()
    for problem in problems:
        typer.echo(f"note: {problem}; it is left out", err=True)
    return usable


def announce_grid(
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
    guess = estimate(todo, records, slots)
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
        print(f"done    {record.id}  {describe_outcome(record)}")  # noqa: T201  a result
    for record in plan.failed:
        print(f"failed  {record.id}  {record.reason}")  # noqa: T201
    for cell in plan.todo:
        print(f"to do   {cell.id}")  # noqa: T201


@dataclass(frozen=True)
class RunOptions:
    """How a study is to be carried out."""

    means: ExecutorConfig
    dry_run: bool
    fresh: bool
    retry_failed: bool


def run_grid(study: Study, wishes: RunOptions) -> int:
    """Carry out what is left of a study; returns the exit code: 0 if every cell is done."""
    console = stderr_console()
    if not wishes.dry_run:
        check_writable(study.results)
    data = open_study_data(study, console, wishes.means.processes)
    grid = plan_cells(study, data, save=not wishes.dry_run)
    before = fingerprints(grid)  # what another launch finishes from here on is done
    plan = make_plan(grid, fresh=wishes.fresh, retry_failed=wishes.retry_failed)
    announce_grid(console, study, grid, plan, read_records(study.results)[0], wishes.means.slots)
    if wishes.dry_run:
        show_cells(plan)
        return 0
    command = shlex.join(["python", "-m", "bench", *sys.argv[1:]])
    write_request(study, grid, command)
    new = _execute(plan, before, wishes, console, command)
    return _summarise(console, plan, new)


def _execute(
    plan: Plan, before: Mapping[str, str], wishes: RunOptions, console: Console, command: str
) -> list[Record]:
    if wishes.fresh:
        _start_afresh(plan)
    display = RunDisplay(console, len(plan.todo))
    if not plan.todo:
        return []
    orders = launch_spec(plan.todo, wishes.means.device, command, before)
    with display.showing():
        try:
            execute(plan.todo, display, orders, wishes.means)
        except RunStopped:
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
        archive(cell)


def _summarise(console: Console, plan: Plan, new: Sequence[Record]) -> int:
    over = [*plan.done, *plan.failed, *new]
    counts = Counter(record.status for record in over)
    console.print(", ".join(f"{count} {status}" for status, count in counts.items()), markup=False)
    reasons = Counter((record.status, record.reason) for record in over if record.status != "done")
    for (status, reason), count in reasons.items():
        console.print(f"{count} {status}: {reason}", markup=False)
    return 0 if set(counts) <= {"done"} else 1
