"""`status`: what the results folder holds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import typer

from . import _options as opt


def command(results: opt.Results = opt.RESULTS) -> None:
    """Say which cells are done, failed, skipped, or stopped half-way; exit code 1 if any failed."""
    from bench.records import read_records

    records, problems = read_records(results)
    for problem in problems:
        typer.echo(f"note: {problem}", err=True)
    counts: Counter[str] = Counter(record.status for record in records)
    unfinished = _unfinished(results)
    counts["unfinished"] = len(unfinished)
    line = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    typer.echo(line or f"no records in {results / 'runs'}")
    for record in records:
        if record.status != "done":
            typer.echo(f"{record.status}  {record.id}: {record.reason}")
    for folder in unfinished:
        typer.echo(f"unfinished  {folder.name}: the command that began it goes on from here")
    raise typer.Exit(1 if problems or counts["failed"] else 0)


def _unfinished(results: Path) -> list[Path]:
    files = sorted(results.glob("runs/*/checkpoint.pt"))
    return [file.parent for file in files if not (file.parent / "record.json").exists()]
