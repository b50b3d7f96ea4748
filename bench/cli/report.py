"""`report`: the results folder as one page for a browser."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from . import _options as opt

PORT = 8000
"""Where the live page is looked for, unless another port is chosen."""


def command(
    out: Annotated[
        Path | None, typer.Option(help="The page's file; default: RESULTS/report.html.")
    ] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Show it live in a browser of this machine instead.")
    ] = False,
    port: Annotated[int, typer.Option(help="Of --serve; 0 = any free port.")] = PORT,
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
    from bench.errors import UsageError
    from bench.report.page.build import LIMIT, page, write_page
    from bench.results.selection import select_cells
    from bench.results.status import StatusReport, read_status

    def cells() -> StatusReport:
        named = {k: v for k, v in (("dataset", dataset), ("preset", preset)) if v}
        found = read_status(results)
        return select_cells(found, named, opt.split_commas(methods), only or [], newest=latest)

    typed = shlex.join(["python", "-m", "bench", *sys.argv[1:]])
    if port != PORT and not serve:
        raise UsageError("--port is of --serve: leave it out, or give --serve")
    if serve:
        if out is not None:
            raise UsageError("--serve writes no file: leave out --out, or --serve")
        _serve(results, lambda: page(cells(), results, command=typed, live=True), port)
        return
    found = cells()
    for problem in found.problems:
        typer.echo(f"note: {problem}", err=True)
    path = out or results / "report.html"
    size = write_page(path, page(found, results, command=typed))
    typer.echo(f"{path} ({size / 1e6:.1f} MB)")
    if size > LIMIT:
        typer.echo(
            f"note: the page is larger than {LIMIT / 1e6:.0f} MB: choose with --methods, --preset "
            "or --latest",
            err=True,
        )


def _serve(results: Path, make: Callable[[], str], port: int) -> None:
    from bench.report.page.live import HOST, LivePage, live_server

    with live_server(LivePage(results, make), port) as server:
        typer.echo(f"http://{HOST}:{server.server_port}/ shows {results}; Ctrl-C ends it")
        sys.stdout.flush()
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            typer.echo("ended")
