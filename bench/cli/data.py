"""`data`: look after a dataset's frames and labels."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import Annotated

import typer

from . import _options as opt

app = typer.Typer(help="Look after a dataset's frames and labels.", no_args_is_help=True)


@app.command()
def prepare(
    dataset: opt.DatasetName = "synthetic",
    root: opt.Root = None,
    landmarks: opt.Landmarks = None,
    preset: opt.Preset = opt.PRESET,
    size: opt.Size = None,
    settings: opt.SetOption = None,
    cache: opt.Cache = opt.CACHE,
    workers: opt.Workers = 0,
    plugins: opt.Plugins = None,
) -> None:
    """Decode, crop and store a dataset's frames ahead of a run; names all that is left out.

    Only what is new or has changed is decoded, and what could not be read is tried again. Stop it
    whenever you like: the same command goes on.
    """
    from bench.system.environment import cpu_count

    from ._console import open_study_data, stderr_console

    study = opt.study_of(dataset, root, landmarks, size, settings, cache, plugins, preset)
    began = time.monotonic()
    data = open_study_data(study, stderr_console(), workers or cpu_count(), named=None, retry=True)
    seconds, store = time.monotonic() - began, data.store
    kept, side = len(store.images) - store.left_out, store.images.shape[1]
    typer.echo(
        f"{dataset}: {len(store.sequences)} sequences, {kept:,} frames of {side} px "
        f"({store.crop}), {store.images.nbytes / 1e9:,.2f} GB in {store.path}, "
        f"content {store.content_hash[:12]}"
    )
    rate = f": {store.decoded / seconds:,.0f} frames/s" if store.decoded else ""
    typer.echo(
        f"decoded {store.decoded:,} frames in {seconds:,.1f} s{rate}; "
        f"{len(store.images) - store.decoded:,} were there; {store.left_out:,} cannot be read"
    )


@app.command()
def stats(
    dataset: opt.DatasetName = "synthetic",
    root: opt.Root = None,
    landmarks: opt.Landmarks = None,
    ratios: Annotated[str, typer.Option(help="Label ratios to sample at.")] = opt.RATIOS,
    seeds: Annotated[str, typer.Option(help="Seeds of the draws, averaged.")] = "0,1,2",
    style: Annotated[
        str, typer.Option("--format", help="markdown, latex, csv, html or json.")
    ] = "markdown",
    settings: opt.SetOption = None,
    plugins: opt.Plugins = None,
) -> None:
    """Tell what the labels are like: rates, co-occurrence, events, combinations, budgets.

    Reads label files only; nothing is decoded.
    """
    from bench.data.label_budget import label_budgets
    from bench.data.label_stats import label_stats
    from bench.report.tables.datasets import stats_tables
    from bench.report.tables.render import render_all

    from ._console import print_problems, stderr_console

    shares = opt.label_ratios(ratios)
    draws = opt.whole_numbers("--seeds", seeds) or [0]
    study = opt.study_of(dataset, root, landmarks, None, settings, opt.CACHE, plugins)
    reader, recordings = study.context.dataset.read_labels()
    print_problems(stderr_console(), [*reader.notes, *reader.problems], None)
    found = label_stats(dataset, recordings, reader.aus, reader.fps, reader.folds())
    kept = label_budgets(dataset, recordings, shares, seeds=draws)
    if style == "json":
        content = {"stats": asdict(found), "sampling": [asdict(one) for one in kept]}
        typer.echo(json.dumps(content, indent=1, allow_nan=False))
    else:
        typer.echo(render_all(stats_tables(found, kept), style), nl=False)


@app.command()
def audit(
    dataset: opt.DatasetName = "synthetic",
    root: opt.Root = None,
    landmarks: opt.Landmarks = None,
    preset: opt.Preset = opt.PRESET,
    size: opt.Size = None,
    style: Annotated[str, typer.Option("--format", help="text or json.")] = "text",
    strict: Annotated[bool, typer.Option("--strict", help="Fail on warnings too.")] = False,
    settings: opt.SetOption = None,
    results: opt.Results = opt.RESULTS,
    cache: opt.Cache = opt.CACHE,
    workers: opt.Workers = 0,
    plugins: opt.Plugins = None,
) -> None:
    """Check that results on a dataset can be trusted; exit code 1 if not.

    Subjects in two folds, clips that cross a split, pictures that are in two folds, statistics of
    more than the training part, label masks with test subjects, coded frames against published
    counts. Decodes what is not stored yet.
    """
    from bench.data.audit import audit_dataset
    from bench.errors import pick
    from bench.report.tables.datasets import finding_lines, findings_json, findings_summary
    from bench.system.environment import cpu_count

    from ._console import open_study_data, stderr_console

    pick("format", style, {"text": None, "json": None})
    study = opt.study_of(dataset, root, landmarks, size, settings, cache, plugins, preset)
    data = open_study_data(study, stderr_console(), workers or cpu_count())
    found = []
    for finding in audit_dataset(data, results, stride=study.context.settings.data.stride):
        found.append(finding)
        for line in finding_lines(finding) if style == "text" else ():
            typer.echo(line)
    typer.echo(findings_json(dataset, found) if style == "json" else f"\n{findings_summary(found)}")
    failing = {"error", "warning"} if strict else {"error"}
    raise typer.Exit(int(any(finding.level in failing for finding in found)))
