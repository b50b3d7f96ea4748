"""`prune`: remove trained weights that were kept."""

from __future__ import annotations

from typing import Annotated

import typer

from . import _options as opt


def command(
    cells: Annotated[
        list[str] | None,
        typer.Argument(help="Beginnings of cells' ids; none = every cell with weights."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove them; else only say which.")] = False,
    results: opt.Results = opt.RESULTS,
) -> None:
    """Remove kept weights; records and predictions stay, so nothing is trained again."""
    from bench.results.kept_weights import describe_size, remove_weights, weights_of

    found = weights_of(results, cells or [])
    if not found:
        typer.echo(f"no weights are kept in {results / 'runs'}")
        return
    for kept in found:
        typer.echo(f"{describe_size(kept.size):>10}  {kept.cell}")
        if yes:
            remove_weights(kept)
    total = f"{describe_size(sum(kept.size for kept in found))} of {len(found)} cells"
    typer.echo(f"removed {total}" if yes else f"{total}: --yes removes them")
