"""`tune`: the same search for every method (the work is in `_tune_methods.py`)."""

from __future__ import annotations

from typing import Annotated

import typer

from . import _options as opt
from ._study_file import Config, Plugins, SetOption, Slurm, checked_study


def command(
    ctx: typer.Context,
    trials: Annotated[int, typer.Option(min=1, help="Settings tried of each method and fold.")],
    config: Config = None,
    dataset: opt.DatasetName = "synthetic",
    root: opt.Root = None,
    methods: Annotated[
        str, typer.Option(help="Comma-separated; the control is always among them; none = all.")
    ] = "",
    ratio: Annotated[
        str, typer.Option("--ratio", help="Label ratios of a trial; none = the study's lowest.")
    ] = "",
    ratios: Annotated[
        str, typer.Option(help="Label ratios of the study file; none = the preset's.")
    ] = "",
    folds: Annotated[str, typer.Option(help="Each is searched apart; none = the preset's.")] = "",
    seeds: Annotated[
        str, typer.Option(help="Of the study file; a trial has the first; none = the preset's.")
    ] = "",
    rule: Annotated[str, typer.Option(help="Key frames: sparse, contiguous or random.")] = "sparse",
    preset: opt.Preset = opt.PRESET,
    settings: SetOption = None,
    val_subjects: Annotated[
        int, typer.Option(min=0, help="Training subjects that choices are made on.")
    ] = 0,
    at_once: Annotated[
        int, typer.Option(min=1, help="Settings of a method tried side by side.")
    ] = 1,
    results: opt.Results = opt.RESULTS,
    cache: opt.Cache = opt.CACHE,
    plugins: Plugins = None,
    device: opt.Device = "auto",
    workers: opt.Slots = 0,
    executor: opt.ExecutorName = "local",
    slots_per_gpu: opt.SlotsPerGpu = 1,
    address: opt.Address = None,
    slurm: Slurm = None,
) -> None:
    """Search the knobs of every method with the same number of trials, and write study files.

    The optimiser's knobs and those that a method declares are tried on cells that are scored on
    validation subjects, never on test subjects. Stop it when you like; the same command goes on.
    """
    from importlib.util import find_spec

    from bench.errors import UsageError
    from bench.executors.launch import ExecutorConfig

    if find_spec("optuna") is None:
        raise UsageError(
            "tune needs the package optuna: pip install -c constraints.txt -e '.[tune]'"
        )
    from ._tune_methods import TuneOptions, tune

    asked = {
        "dataset": dataset,
        "root": root,
        "methods": methods,
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
        "deterministic": False,
        "keep_weights": False,
    }
    study = checked_study(ctx, asked, config)
    executor_config = ExecutorConfig(
        executor=executor,
        device=device,
        workers=workers,
        slots_per_gpu=slots_per_gpu,
        address=address,
        slurm=tuple(slurm or []),
    )
    shares = tuple(opt.label_ratios(ratio)) or (min(study.ratios),)
    tune(study, TuneOptions(executor_config, trials, at_once, shares, tuple(settings or [])))
