"""`run`: carry out a grid of cells, or what is left of it (the work is in `_run_grid.py`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import _options as opt
from ._study_file import Config, Plugins, SetOption, Slurm, checked_study

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
    preset: opt.Preset = opt.PRESET,
    settings: SetOption = None,
    val_subjects: Annotated[
        int, typer.Option(min=0, help="Training subjects held out to choose the step by.")
    ] = 0,
    keep_weights: Annotated[
        bool, typer.Option("--keep-weights", help="Keep the trained weights, for `predict`.")
    ] = False,
    log: Annotated[
        str, typer.Option(help="tensorboard: its files in every cell's folder, beside the history.")
    ] = "",
    results: opt.Results = opt.RESULTS,
    cache: opt.Cache = opt.CACHE,
    plugins: Plugins = None,
    device: opt.Device = "auto",
    workers: opt.Slots = 0,
    executor: opt.ExecutorName = "local",
    slots_per_gpu: opt.SlotsPerGpu = 1,
    address: opt.Address = None,
    slurm: Slurm = None,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="Repeatable bits on a GPU; slower.")
    ] = False,
    tuned: Annotated[
        Path | None,
        typer.Option(metavar="SEARCH.JSON", help="The search that the recipes are of (`tune`)."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Only say where the time of a step goes, by method.")
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

    from ._run_grid import RunOptions, run_grid

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
        "keep_weights": keep_weights,
        "results": results,
        "cache": cache,
        "plugins": plugins,
        "deterministic": deterministic,
        "tuned": tuned,
    }
    study = checked_study(ctx, asked, config)
    for name in study.methods:
        study.context.registry.require_method(name.base)
    if methods:
        _name_broken_plugins(study.context.registry)
    executor_config = ExecutorConfig(
        executor=executor,
        device=device,
        workers=workers,
        slots_per_gpu=slots_per_gpu,
        address=address,
        slurm=tuple(slurm or []),
    )
    options = RunOptions(executor_config, dry_run, fresh, retry_failed, profile, _events(log))
    raise typer.Exit(run_grid(study, options))


def _events(log: str) -> bool:
    """Tell whether TensorBoard's files are wanted; UsageError for anything else, or without it."""
    from bench.errors import pick
    from bench.runner.event_log import check_installed

    if not log:
        return False
    pick("--log", log, {"tensorboard": None})
    check_installed()
    return True


def _usable(registry: Registry) -> list[str]:
    """Return all methods that are whole, and say why the others are left out."""
    usable, problems = registry.usable_methods()
    for problem in problems:
        typer.echo(f"note: {problem}; it is left out", err=True)
    return usable


def _name_broken_plugins(registry: Registry) -> None:
    """Say which `--plugin` files cannot be used, though nothing asks for what is in them."""
    given = {file.resolve() for file in registry.plugins}
    named = [name for name, found in registry.methods().items() if found.file in given]
    for problem in registry.unusable(named).values():
        typer.echo(f"note: {problem}", err=True)
