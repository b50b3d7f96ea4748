"""`diff`: what tells two cells apart."""

from __future__ import annotations

from typing import Annotated

import typer

from . import _options as opt


def command(
    first: Annotated[str, typer.Argument(help="A cell's id, or the beginning of one.")],
    second: Annotated[str, typer.Argument(help="Another one.")],
    results: opt.Results = opt.RESULTS,
) -> None:
    """Print every knob, hash, file of code and version in which two cells differ."""
    from bench.results.compare import differences
    from bench.results.explain import find_cell

    one, other = (find_cell(results, name).source for name in (first, second))
    assert one
    assert other
    typer.echo("\n".join(differences(one, other)) or "no difference")
