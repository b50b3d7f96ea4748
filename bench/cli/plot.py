"""`plot`: figures of the records, and of what a label budget keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import _options as opt


def command(
    kind: Annotated[
        str,
        typer.Argument(
            help="curves, heat-map, subjects, cost, calibration, co-occurrence, training, "
            "pseudo-labels or sampling."
        ),
    ] = "curves",
    dataset: Annotated[str, typer.Option(help="Of `sampling`: whose labels.")] = "synthetic",
    root: opt.Root = None,
    landmarks: opt.Landmarks = None,
    methods: Annotated[
        str, typer.Option(help="Of records: only these methods, comma-separated.")
    ] = "",
    ratios: Annotated[
        str, typer.Option(help=f"Only these label ratios; of `sampling`: {opt.RATIOS}.")
    ] = "",
    variants: Annotated[
        bool, typer.Option("--variants", help="Draw variants (ks:no_skd) beside the methods.")
    ] = False,
    published: Annotated[
        bool, typer.Option("--published", help="Of `curves`: the paper's points too.")
    ] = False,
    seeds: Annotated[str, typer.Option(help="Of `sampling`: seeds, averaged.")] = "0,1,2",
    metric: Annotated[
        str, typer.Option(help="Of `curves`, `heat-map`, `cost`: as in `table`, e.g. auc.")
    ] = "f1",
    select: Annotated[str, typer.Option(help="last, val or test-peek.")] = "last",
    style: Annotated[str, typer.Option("--format", help="png, pdf or svg.")] = "png",
    out: Annotated[
        Path | None, typer.Option(help="Folder for the figures; default: RESULTS/plots.")
    ] = None,
    only: opt.Only = None,
    latest: opt.Latest = False,
    settings: opt.SetOption = None,
    results: opt.Results = opt.RESULTS,
    plugins: opt.Plugins = None,
) -> None:
    """Draw a figure for each dataset, rule and preset among the records; prints the files' names.

    `curves`: F1 by share of labels. `heat-map`: F1 by action unit. `subjects`: F1 by test subject.
    `cost`: F1 by labels and by seconds. `calibration`: probabilities told and true.
    `co-occurrence`: correlations of action units, true and learnt. `training`: losses.
    `pseudo-labels`: how many were used and right. `sampling`: the AU combinations and the F1 that
    key-frame rules keep, from a dataset's labels and the records.
    """
    from bench.data.label_budget import label_budgets
    from bench.errors import pick
    from bench.report.metric import Scoring, find_metric
    from bench.report.plot_sampling import sampling_figures
    from bench.report.plot_style import SUFFIXES, save
    from bench.report.plots import KINDS, FigureOptions, figures
    from bench.results.records import read_records
    from bench.results.selection import latest as latest_of
    from bench.results.selection import only_matching, select_records, without_variants

    pick("plot", kind, dict.fromkeys(("sampling", *KINDS)))
    pick("format", style, dict.fromkeys(SUFFIXES))
    records, problems = read_records(results)
    for problem in problems:
        typer.echo(f"note: {problem}", err=True)
    notes: list[str] = []
    if kind == "sampling":
        shares = opt.label_ratios(ratios or opt.RATIOS)
        draws = opt.whole_numbers("--seeds", seeds) or [0]
        study = opt.study_of(dataset, root, landmarks, 224, settings, opt.CACHE, plugins)
        _, recordings = study.context.dataset.read_labels()
        kept = label_budgets(dataset, recordings, shares, seeds=draws)
        found = sampling_figures(dataset, kept, records)
    else:
        chosen = select_records(records, {}, opt.split_commas(methods), opt.label_ratios(ratios))
        chosen = only_matching(latest_of(chosen) if latest else chosen, only or [])
        chosen = chosen if variants or methods else without_variants(chosen)
        scoring = Scoring(select, find_metric(metric), results)
        options = FigureOptions(scoring=scoring, published=published, results=results)
        notes, found = options.notes, figures(kind, chosen, options)
    for name, made in found:
        path = (out or results / "plots") / f"{name}.{style}"
        save(made, path)
        typer.echo(str(path))
    for note in dict.fromkeys(notes):
        typer.echo(f"note: {note}", err=True)
