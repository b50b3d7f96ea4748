"""Options that several commands share, how their commas are split, and a study of one dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bench.study.study import Study

DatasetName = Annotated[str, typer.Option(help="A dataset's name (`list datasets`).")]
Root = Annotated[Path | None, typer.Option(help="Folder that the dataset lies in.")]

SetOption = Annotated[
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

Preset = Annotated[str, typer.Option(help="smoke, quick or paper (`list presets`).")]

Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]

Workers = Annotated[
    int, typer.Option(min=0, help="Processes; 0 = one a GPU, or one a processor core.")
]

Slots = Annotated[
    int, typer.Option(min=0, help="Slots for cells; 0 = one a GPU, or one a processor core.")
]

ExecutorName = Annotated[str, typer.Option(help="local, ray or slurm.")]

SlotsPerGpu = Annotated[int, typer.Option(min=1, help="Cells side by side on a GPU.")]

Address = Annotated[
    str | None, typer.Option(help="Of a Ray cluster: HOST:PORT or auto; none = start one here.")
]

Only = Annotated[
    list[str] | None,
    typer.Option(
        "--only", metavar="KEY=VALUE", help="Only rows told apart so, e.g. code=1a2b3c4d; repeat."
    ),
]

Latest = Annotated[
    bool, typer.Option("--latest", help="Of a method run with several versions: the last one.")
]

RESULTS = Path("results")
CACHE = Path(".cache/frames")
PRESET = "quick"


def split_commas(text: str) -> list[str]:
    """Split a comma-separated option; empty items are dropped."""
    return [word.strip() for word in text.split(",") if word.strip()]


def label_ratios(text: str) -> list[float]:
    """Split a comma-separated option of label ratios; raises UsageError outside (0, 1]."""
    from bench.config.names import parse_ratio

    return [parse_ratio(word) for word in split_commas(text)]


def whole_numbers(option: str, text: str) -> list[int]:
    """Split a comma-separated option of whole numbers; raises UsageError on others."""
    from bench.errors import UsageError

    try:
        numbers = [int(word) for word in split_commas(text)]
    except ValueError:
        raise UsageError(f"{option} {text}: give whole numbers, e.g. 0,1,2") from None
    if any(number < 0 for number in numbers):
        raise UsageError(f"{option} {text}: give whole numbers from 0 on, e.g. 0,1,2")
    return numbers


RATIOS = "0.01,0.02,0.05,0.1,0.15,0.2,0.5,1"
"""Shares of labels that the paper reports on, up to a half, and all."""

Size = Annotated[
    int | None,
    typer.Option(min=8, help="Side of the stored crop, pixels; none = the preset's."),
]

Landmarks = Annotated[
    Path | None,
    typer.Option(help="Face file or folder: the same as --set DATASET.landmarks=FILE."),
]


def study_of(
    dataset: str,
    root: Path | None,
    landmarks: Path | None,
    size: int | None,
    settings: list[str] | None,
    cache: Path,
    plugins: list[Path] | None,
    preset: str = PRESET,
) -> Study:
    """Check what was asked about a dataset; raises UsageError on the first flaw.

    Without a `size` its frames are those that a `run` of the preset trains on.
    """
    from bench.study.study import make_study

    knobs = [*([f"data.size={size}"] if size else []), *(settings or [])]
    if landmarks is not None:
        knobs.append(f"{dataset}.landmarks={landmarks}")
    return make_study(
        dataset=dataset,
        root=root,
        preset=preset,
        knobs=knobs,
        cache=cache,
        plugins=plugins or [],
    )
