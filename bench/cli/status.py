"""`status`: what has become of every cell in the results folder."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, get_args

import typer

from . import _options as opt

if TYPE_CHECKING:
    from bench.results.status import CellStatus, StatusReport

_LISTED = 20
"""Cells of one state that are listed; the rest is counted."""


def command(results: opt.Results = opt.RESULTS) -> None:
    """Say which cells are done, running (where, how far), stale, failed (why) or missing.

    Works from any machine that sees the folder. Exit code 1 if any failed or a file is damaged.
    """
    from bench.results.kept_weights import describe_size, kept_weights
    from bench.results.status import read_status

    found = read_status(results)
    for problem in found.problems:
        typer.echo(f"note: {problem}", err=True)
    typer.echo(_counts(found) or f"no records in {results / 'runs'}")
    for line in _lines(found):
        typer.echo(line)
    if weights := kept_weights(results):
        size = describe_size(sum(each.size for each in weights))
        typer.echo(f"weights  kept of {len(weights)} cells: {size} (`prune` removes them)")
    raise typer.Exit(1 if found.problems or found.in_state("failed") else 0)


def _counts(found: StatusReport) -> str:
    from bench.results.status import CellState

    counts = Counter(cell.state for cell in found.cells)
    return ", ".join(f"{counts[state]} {state}" for state in get_args(CellState) if counts[state])


def _lines(found: StatusReport) -> Iterator[str]:
    for state in ("running", "stale", "unfinished", "failed", "skipped"):
        cells = found.in_state(state)
        yield from (f"{state}  {cell.id}{_about(cell)}" for cell in cells[:_LISTED])
        if len(cells) > _LISTED:
            yield f"{state}  ... and {len(cells) - _LISTED} more"
    yield from _missing(found.in_state("missing"))
    yield from _to_go(found)


def _about(cell: CellStatus) -> str:
    if cell.record:
        return f": {cell.record.reason}"
    if cell.claim is None:
        return ": the command that began it goes on from here"
    claim = cell.claim
    step = (
        f"step {claim.step}/{claim.total} ({1 - cell.remaining:.0%})" if claim.total else "starting"
    )
    rate = f", {claim.rate:,.0f} frames/s" if claim.rate else ""
    heard = f"heard of {_ago(time.time() - claim.heartbeat)}"
    line = f"  {step}{rate}, {claim.host} {claim.slot}, {heard}"
    return line if cell.state == "running" else f"{line}: any run of its grid takes it over"


def _ago(seconds: float) -> str:
    if seconds < 90:  # clocks of two machines may disagree by a little
        return f"{max(0, seconds):.0f} s ago"
    return f"{seconds / 60:.0f} min ago" if seconds < 5400 else f"{seconds / 3600:.0f} h ago"


def _missing(cells: Sequence[CellStatus]) -> Iterator[str]:
    """Name the missing cells by the command that asked for them; the file is what to forget."""
    grids = {cell.request.path: cell.request for cell in cells if cell.request}
    for path, grid in grids.items():
        count = sum(cell.request is not None and cell.request.path == path for cell in cells)
        asked = time.strftime("%Y-%m-%d %H:%M", time.localtime(grid.asked))
        yield f"missing  {count} of `{grid.command}`, asked for {asked} ({path})"


def _to_go(found: StatusReport) -> Iterator[str]:
    left = found.remaining_time()
    if left:
        slots = max(1, len(found.in_state("running")))
        yield f"to go: {left.describe(slots)}"
