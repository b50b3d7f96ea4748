"""What the commands about a dataset share: their options, and a study of it without cells."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bench.study import Study
    from datasets._base import Dataset, Sequence

RATIOS = "0.01,0.02,0.05,0.1,0.15,0.2,0.5,1"
"""Shares of labels that the paper reports on, up to a half, and all."""

Size = Annotated[int, typer.Option(min=8, help="Side of the stored crop, pixels.")]
Landmarks = Annotated[
    Path | None,
    typer.Option(help="Face file or folder: the same as --set DATASET.landmarks=FILE."),
]


def study_of(
    dataset: str,
    root: Path | None,
    landmarks: Path | None,
    size: int,
    settings: list[str] | None,
    cache: Path,
    plugins: list[Path] | None,
) -> Study:
    """Check what was asked about a dataset; raises UsageError on the first flaw."""
    from bench.study import make_study

    knobs = [f"data.size={size}", *(settings or [])]
    if landmarks is not None:
        knobs.append(f"{dataset}.landmarks={landmarks}")
    return make_study(dataset=dataset, root=root, knobs=knobs, cache=cache, plugins=plugins or [])


def read_labels(study: Study) -> tuple[Dataset, list[Sequence]]:
    """Read the study's recordings, labels only; raises DatasetMissing if there is none."""
    from bench.data import make_dataset
    from datasets._base import DatasetMissing

    cls = study.registry.dataset(study.dataset)
    reader = make_dataset(cls, study.dataset, study.root, study.dataset_options)
    recordings = [sequence for sequence in reader.sequences() if len(sequence.frames)]
    if not recordings:
        raise DatasetMissing(study.root or study.dataset, "no recording was found in it")
    return reader, recordings
