"""`report`: the results folder as one page for a browser."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from . import _options as opt


def command(
    out: Annotated[
        Path | None, typer.Option(help="The page's file; default: RESULTS/report.html.")
    ] = None,
    methods: Annotated[str, typer.Option(help="Only these methods, comma-separated.")] = "",
    dataset: Annotated[str | None, typer.Option(help="Only cells on this dataset.")] = None,
    preset: Annotated[str | None, typer.Option(help="Only cells of this preset.")] = None,
    only: opt.Only = None,
    latest: opt.Latest = False,
    results: opt.Results = opt.RESULTS,
) -> None:
    """Write one HTML file that opens offline: what was run, tables, curves, every cell.

    Prints the file's name and size. Works while a run is going on.
    """
    from bench.report.page import LIMIT, page, write_page
    from bench.results.selection import select_cells
    from bench.results.status import read_status

    found = read_status(results)
    for problem in found.problems:
        typer.echo(f"note: {problem}", err=True)
    named = {k: v for k, v in (("dataset", dataset), ("preset", preset)) if v}
    found = select_cells(found, named, opt.split_commas(methods), only or [], newest=latest)
    path = out or results / "report.html"
    typed = shlex.join(["python", "-m", "bench", *sys.argv[1:]])
    size = write_page(path, page(found, results, command=typed))
    typer.echo(f"{path} ({size / 1e6:.1f} MB)")
    if size > LIMIT:
        typer.echo(
            f"note: the page is larger than {LIMIT / 1e6:.0f} MB: choose with --methods, --preset "
            "or --latest",
            err=True,
        )
