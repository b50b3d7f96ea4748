"""`explain`: what a cell is, in words."""

from __future__ import annotations

from typing import Annotated

import typer

from . import _options as opt


def command(
    cell: Annotated[str, typer.Argument(help="A cell's id, or the beginning of one.")],
    results: opt.Results = opt.RESULTS,
) -> None:
    """Print what a cell is, with which knobs, what its id is the hash of, and what came of it."""
    from bench.results.explain import explain_cell, find_cell
    from bench.results.status import read_status

    found = find_cell(results, cell)
    # only a cell without a record can have a broken one: no need to read all of them twice
    for problem in read_status(results).problems if found.record is None else ():
        if found.id in problem:
            typer.echo(f"note: {problem}", err=True)
    typer.echo(explain_cell(found))
