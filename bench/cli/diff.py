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
    """Print every knob, hash and version in which two recorded cells differ."""
    from bench.differences import differences
    from bench.explain import find_record

    lines = differences(find_record(results, first), find_record(results, second))
    typer.echo("\n".join(lines) or "no difference")
