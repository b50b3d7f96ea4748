"""`explain`: what a cell is, in words."""

from __future__ import annotations

from typing import Annotated

import typer

from . import _options as opt


def command(
    cell: Annotated[str, typer.Argument(help="A cell's id, or the beginning of one.")],
    results: opt.Results = opt.RESULTS,
) -> None:
    """Print what a recorded cell trained on, with which knobs, and what came of it."""
    from bench.explain import explain, find_record

    typer.echo(explain(find_record(results, cell)))
