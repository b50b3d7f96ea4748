"""`doctor`: what is there, what is missing, what to do next."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import _options as opt


def command(
    roots: Annotated[
        list[Path] | None,
        typer.Option("--root", help="Folder to look for datasets in and below; repeat."),
    ] = None,
    results: opt.Results = opt.RESULTS,
    cache: opt.Cache = opt.CACHE,
) -> None:
    """Show on one screen what is installed, the device, datasets and where, and what to do next.

    Looks in --root, in the folders of the variable AU_BENCH_DATA, and where earlier runs looked.
    """
    from bench.doctor import diagnose
    from bench.results.records import read_records

    records, problems = read_records(results)
    for problem in problems:
        typer.echo(f"note: {problem}", err=True)
    typer.echo(diagnose(roots or [], results, cache, records).page(), nl=False)
