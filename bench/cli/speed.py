"""`speed`: size and speed of methods and trunks, part by part (measured in `runner/speed.py`)."""

from __future__ import annotations

import json
import math
import shlex
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from . import _options as opt

if TYPE_CHECKING:
    import torch

    from bench.results.speed_rows import SpeedRow
    from bench.study.study import Study

TASKS, SUBJECTS, FRAMES = 8, 41, 720
"""Of the embedded dataset: tasks a subject, subjects at most, and frames drawn in seconds."""


def command(
    methods: Annotated[str, typer.Option(help="Comma-separated; none = every one.")] = "",
    trunks: Annotated[
        str, typer.Option(help="timm names, comma-separated; none = the preset's.")
    ] = "",
    preset: opt.Preset = opt.PRESET,
    dataset: opt.DatasetName = "synthetic",
    root: opt.Root = None,
    settings: opt.SetOption = None,
    aus: Annotated[int, typer.Option(min=1, help="Action units, with --params-only.")] = 12,
    params_only: Annotated[
        bool, typer.Option("--params-only", help="Count only; nothing is trained.")
    ] = False,
    ratio: Annotated[float, typer.Option(help="Label ratio of the timed training.")] = 0.05,
    steps: Annotated[int, typer.Option(min=4, help="Steps of a timed training.")] = 40,
    repeats: Annotated[int, typer.Option(min=1, help="Timed trainings of each part.")] = 3,
    host: Annotated[
        bool, typer.Option("--host", help="Frames in the host's memory, as if no GPU held them.")
    ] = False,
    style: Annotated[
        str, typer.Option("--format", help="markdown, latex, csv, html or json.")
    ] = "markdown",
    published: Annotated[
        bool, typer.Option("--published", help="Put the paper's numbers below.")
    ] = False,
    device: opt.Device = "auto",
    results: opt.Results = opt.RESULTS,
    cache: opt.Cache = opt.CACHE,
    plugins: opt.Plugins = None,
) -> None:
    """Measure methods: parameters, operations, memory, and samples a second of every part.

    Random weights everywhere: they cost the same. The embedded dataset is cut down to a few
    recordings. Rows are kept in RESULTS/speed, where `table complexity` finds them.
    """
    from bench.results.speed_rows import save_row
    from bench.runner.speed import size_of
    from bench.study.study import make_study
    from bench.system.environment import keep_freed_memory, one_thread, pick_device

    one_thread()
    keep_freed_memory()
    knobs = [*(settings or []), f"train.steps={steps}", "trunk.weights=none"]
    ask = partial(
        make_study,
        dataset=dataset,
        root=root,
        methods=opt.split_commas(methods),
        ratios=[str(ratio)],
        folds=[0],
        seeds=[0],
        preset=preset,
        results=results,
        cache=cache,
        plugins=plugins or [],
    )
    if dataset == "synthetic":
        knobs = [*_small(ask(knobs=knobs).context.settings.train.batch_size), *knobs]
    rows: list[SpeedRow] = []
    for trunk in opt.split_commas(trunks) or [""]:
        named = [f"trunk.name={trunk}"] if trunk else []
        study = _with_random_weights(ask(knobs=[*knobs, *named]))
        if params_only:
            registry = study.context.registry
            for name in study.methods:
                cls, config = registry.method(name.base), study.config_of(name)
                row = size_of(str(name), cls, config, study.settings_of(name), aus)
                rows.append(replace(row, preset=preset))
            continue
        for row in _measured(study, pick_device(device), repeats, host=host):
            save_row(results, row)
            rows.append(row)
    _show(rows, style, published=published)


def _small(batch: int) -> list[str]:
    """Cut the embedded dataset down to a few frames, of as many recordings as a batch has clips.

    Some methods take at most one clip of a recording into a batch; half of the recordings or more
    are trained on.
    """
    subjects = max(6, min(SUBJECTS, math.ceil(3 * batch / TASKS)))
    frames = max(10, FRAMES // (subjects * TASKS))
    return [f"synthetic.subjects={subjects}", f"synthetic.frames={frames}"]


def _with_random_weights(study: Study) -> Study:
    """Let networks that a method brings along begin from random weights too."""
    own = {section: dict(knobs) for section, knobs in study.knobs.items()}
    for name in study.methods:
        if getattr(study.config_of(name), "weights", "none") != "none":
            own.setdefault(str(name), {})["weights"] = "none"
    return replace(study, knobs=own)


def _measured(
    study: Study, device: torch.device, repeats: int, *, host: bool
) -> Iterator[SpeedRow]:
    """Yield the row of every method of a study; one that cannot be trained so is told apart."""
    from bench.errors import UsageError
    from bench.runner.speed import CannotMeasure, measure
    from bench.study.cell import plan_cells

    from ._console import open_study_data, stderr_console

    command = shlex.join(["python", "-m", "bench", *sys.argv[1:]])
    data = open_study_data(study, stderr_console(), 0)
    with TemporaryDirectory(prefix="bench-speed-") as folder:
        for cell in plan_cells(_in(study, folder), data):
            typer.echo(f"{cell.method} on {cell.settings.trunk.name} ...", err=True)
            try:
                yield measure(cell, device, command, repeats=repeats, host=host)
            except (CannotMeasure, UsageError) as error:
                typer.echo(f"note: {cell.method} is left out: {error}", err=True)


def _in(study: Study, folder: str) -> Study:
    """Let the study's label masks lie in a folder that goes with the measurement."""
    return replace(study, context=replace(study.context, results=Path(folder)))


def _show(rows: list[SpeedRow], style: str, *, published: bool) -> None:
    from bench.errors import UsageError
    from bench.report.tables.render import render_all
    from bench.report.tables.speed import speed_table

    if not rows:
        raise UsageError("nothing could be measured")
    if style == "json":
        typer.echo(json.dumps([asdict(row) for row in rows], indent=1))
        return
    typer.echo(render_all([speed_table(rows, published=published)], style), nl=False)
