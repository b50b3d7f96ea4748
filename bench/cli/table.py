"""`table`: measured results, beside the paper's where asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import _options as opt
from ._study_file import study_of_file, take_file

if TYPE_CHECKING:
    from bench.report.model import Table
    from bench.results.records import Record
    from bench.study.study import Study


def command(
    ctx: typer.Context,
    kind: Annotated[
        str,
        typer.Argument(
            help="ssl, supervised, per-au, ablation, settings, ranks, budget, pooling, sex, "
            "subjects, headroom, pseudo-labels, complexity or transfer."
        ),
    ] = "ssl",
    style: Annotated[
        str, typer.Option("--format", help="markdown, latex, csv or html.")
    ] = "markdown",
    published: Annotated[
        bool, typer.Option("--published", help="Put the paper's numbers beside.")
    ] = False,
    metric: Annotated[
        str,
        typer.Option(
            help="f1, f1-prior, f1-val, f1-event, auc, ap, balanced-accuracy, kappa, icc or brier."
        ),
    ] = "f1",
    select: Annotated[str, typer.Option(help="last, val or test-peek.")] = "last",
    intervals: Annotated[
        bool, typer.Option("--intervals", help="95 % intervals, for other test subjects.")
    ] = False,
    against: Annotated[
        str | None,
        typer.Option(
            help="Of `ranks`: compare with this method only; of `settings`: with the setting whose "
            "name holds this."
        ),
    ] = None,
    signs: Annotated[
        bool, typer.Option("--signs", help="Of `ranks`: a triangle that says who is better.")
    ] = False,
    by_ratio: Annotated[
        bool, typer.Option("--by-ratio", help="Of `ranks`: a table for each label ratio.")
    ] = False,
    together: Annotated[
        bool, typer.Option("--together", help="Of `ssl`: all datasets in one table.")
    ] = False,
    width: Annotated[
        str,
        typer.Option(
            help="column (80 characters), page (120) or full: wider tables are turned or broken. "
            "LaTeX: a table for one column of a two-column paper, or across the page."
        ),
    ] = "page",
    variants: Annotated[
        bool, typer.Option("--variants", help="Show variants (ks:no_skd) beside the methods.")
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option(
            is_eager=True,
            callback=take_file,
            metavar="STUDY.TOML",
            help="Only cells of this study file, from its --results.",
        ),
    ] = None,
    methods: Annotated[str, typer.Option(help="Only these methods, comma-separated.")] = "",
    ratios: Annotated[str, typer.Option(help="Only these label ratios.")] = "",
    dataset: Annotated[str | None, typer.Option(help="Only cells on this dataset.")] = None,
    preset: Annotated[str | None, typer.Option(help="Only cells of this preset.")] = None,
    only: opt.Only = None,
    latest: opt.Latest = False,
    results: opt.Results = opt.RESULTS,
) -> None:
    """Print a table of the records there are; works while a run is going on."""
    from bench.errors import UsageError
    from bench.report.metric import Scoring, find_metric
    from bench.report.tables.joined import joined
    from bench.report.tables.kinds import TableOptions, tables
    from bench.report.tables.render import render_all
    from bench.results.records import read_records
    from bench.results.selection import choose

    records, problems = read_records(results)
    for problem in problems:
        typer.echo(f"note: {problem}", err=True)
    named = {k: v for k, v in (("dataset", dataset), ("preset", preset)) if v}
    wanted = opt.split_commas(methods)
    wanted += [against] if wanted and against and kind == "ranks" else []
    if kind == "ablation":
        wanted += [name for name in _variants_of(wanted, records) if name not in wanted]
    shares = opt.label_ratios(ratios)
    chosen, notes = choose(records, results, named, wanted, shares, only or [], newest=latest)
    for note in notes:
        typer.echo(f"note: {note}", err=True)
    if config:  # only then is torch imported, which takes longer than a small table
        chosen = _of_study(study_of_file(ctx, config, **named), chosen, config, results / "runs")
    asked = TableOptions(
        select=Scoring(select, find_metric(metric), results),
        published=published,
        intervals=intervals,
        against=against,
        variants=variants or any(":" in name for name in wanted),
        signs=signs,
        by_ratio=by_ratio,
        dataset=dataset,
    )
    if together and kind != "ssl":
        raise UsageError("only `table ssl` puts datasets into one table: leave out --together")
    own = _tables_of_their_own(kind, results, records, chosen, intervals)
    wanted_too = kind != "transfer" and (chosen or not own)
    found = [*(tables(kind, chosen, asked) if wanted_too else []), *own]
    if kind == "ssl" and style != "csv" and (together or not chosen):
        found = joined(found)
    typer.echo(render_all(found, style, width), nl=False)


def _variants_of(methods: Sequence[str], records: Sequence[Record]) -> list[str]:
    """Return the variants of `methods` that records are of: an ablation is of these."""
    known = dict.fromkeys(str(record.cell["method"]) for record in records)
    return [name for name in known if name.partition(":")[0] in methods]


def _of_study(study: Study, records: Sequence[Record], config: Path, folder: Path) -> list[Record]:
    """Keep the records of a study file; raises UsageError, which says in what others differ."""
    from bench.errors import UsageError

    chosen = study.select(records)
    if records and not chosen:
        knobs = study.differences(records)
        why = f"the closest differ in {knobs}: " if knobs else ""
        raise UsageError(
            f"no record in {folder} is of {config}: {why}leave out --config, or change the file"
        )
    return chosen


def _tables_of_their_own(
    kind: str, results: Path, records: Sequence[Record], chosen: Sequence[Record], intervals: bool
) -> list[Table]:
    """Build the tables of a kind that stand on other files than cells' records."""
    from bench.report.tables.speed import speed_tables
    from bench.report.tables.transfer import transfer_tables
    from bench.results.transfer import read_transfers

    if kind == "complexity":
        return speed_tables(results)
    if kind != "transfer":
        return []
    transfers, problems = read_transfers(results)
    for problem in problems:
        typer.echo(f"note: {problem}", err=True)
    # those of the chosen cells, and of cells whose records are gone
    left_out = {record.id for record in records} - {record.id for record in chosen}
    wanted = [each for each in transfers if not left_out & each.cells.keys()]
    return transfer_tables(wanted, chosen, intervals=intervals)
