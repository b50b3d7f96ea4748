"""Options that several commands share, and the commas in them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Dataset = Annotated[str, typer.Option(help="A dataset's name (`list datasets`).")]
Root = Annotated[Path | None, typer.Option(help="Folder that the dataset lies in.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="SECTION.KEY=VALUE, e.g. train.lr=0.003; repeat.")
]
Results = Annotated[
    Path, typer.Option(help="Folder for records (its runs/) and label masks (its masks/).")
]
Cache = Annotated[
    Path, typer.Option(envvar="AU_BENCH_CACHE", help="Folder for decoded frames (the frame store).")
]
Plugins = Annotated[
    list[Path] | None,
    typer.Option("--plugin", help="FILE.py of a method or dataset from elsewhere; repeat."),
]
Workers = Annotated[
    int, typer.Option(min=0, help="Processes; 0 = one a GPU, or one a processor core.")
]

RESULTS = Path("results")
CACHE = Path(".cache/frames")


def words(text: str) -> list[str]:
    """Split a comma-separated option; empty items are dropped."""
    return [word.strip() for word in text.split(",") if word.strip()]


def shares(text: str) -> list[float]:
    """Split a comma-separated option of label ratios; raises UsageError outside (0, 1]."""
    from bench.config import checked_ratio

    return [float(checked_ratio(word)) for word in words(text)]


def whole_numbers(option: str, text: str) -> list[int]:
    """Split a comma-separated option of whole numbers; raises UsageError on others."""
    from bench.config import UsageError

    try:
        return [int(word) for word in words(text)]
    except ValueError:
        raise UsageError(f"{option} {text}: give whole numbers, e.g. 0,1,2") from None
