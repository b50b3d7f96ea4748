"""`table`: measured results, beside the paper's where asked."""

from __future__ import annotations

from typing import Annotated

import typer

from . import _options as opt


def command(
    kind: Annotated[
        str, typer.Argument(help="ssl, supervised, per-au, complexity, ablation or ranks.")
    ] = "ssl",
    style: Annotated[
        str, typer.Option("--format", help="markdown, latex, csv or html.")
    ] = "markdown",
    published: Annotated[
        bool, typer.Option("--published", help="Put the paper's numbers beside.")
    ] = False,
    select: Annotated[str, typer.Option(help="last, val or test-peek.")] = "last",
    intervals: Annotated[
        bool, typer.Option("--intervals", help="95 % intervals: a bootstrap over subjects.")
    ] = False,
    results: opt.Results = opt.RESULTS,
) -> None:
    """Print a table of the records there are; works while a run is going on."""
    from bench.records import read_records
    from bench.report import render_all, tables

    records, problems = read_records(results)
    for problem in problems:
        typer.echo(f"note: {problem}", err=True)
    found = tables(kind, records, select=select, published=published, intervals=intervals)
    typer.echo(render_all(found, style), nl=False)
