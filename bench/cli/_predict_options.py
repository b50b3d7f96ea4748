"""What is asked of `predict`, and whether it goes together; all that needs no network."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from bench.errors import UsageError, pick
from bench.inference.output import WRITERS


@dataclass(frozen=True, kw_only=True)
class PredictOptions:
    """What was asked of `predict`."""

    cells: tuple[str, ...]
    source: Path | None
    dataset: str | None
    root: Path | None
    landmarks: Path | None
    landmarks_offset: int
    detect: bool
    faces: str
    out: Path | None
    formats: tuple[str, ...]
    video: Path | None
    fps: float
    stills: bool
    overwrite: bool
    score: bool
    settings: tuple[str, ...]
    device: str
    results: Path
    cache: Path
    workers: int
    plugins: tuple[Path, ...]

    @property
    def folder(self) -> Path:
        """Where the files go."""
        name = self.dataset or (self.source.resolve().stem if self.source else "")
        return self.out or Path("predictions") / name


def check(asked: PredictOptions) -> None:
    """Raise UsageError for options that do not go together, and for output that is there."""
    for style in asked.formats:
        pick("format", style, WRITERS)
    pick("value of --faces", asked.faces, {"largest": None, "all": None})
    if (asked.source is None) == (asked.dataset is None):
        what = "SOURCE (a video, picture or folder) or --dataset"
        both = asked.dataset is not None
        raise UsageError(f"give {what}, not both" if both else f"say what to predict on: {what}")
    wrong = {
        "--detect finds the faces of SOURCE: leave out --landmarks and --dataset": asked.detect
        and (asked.landmarks or asked.dataset),
        "--score needs labels: give --dataset NAME --root DIR": asked.score and not asked.dataset,
        "--score writes a record below --results: leave out --out": asked.score and asked.out,
        "--video draws on a film: give SOURCE instead of --dataset": asked.video and asked.dataset,
        f"--video {asked.video}: the film's name ends in .mp4": asked.video
        and asked.video.suffix.lower() != ".mp4",
    }
    for sentence in (sentence for sentence, holds in wrong.items() if holds):
        raise UsageError(sentence)
    if not (asked.overwrite or asked.score):
        _check_free(asked.folder, "--out")
        if asked.video:
            _check_free(asked.video, "--video")


def _check_free(path: Path, option: str) -> None:
    there = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not os.access(there, os.W_OK):
        raise UsageError(f"{option} {path}: {there} cannot be written: give another {option}")
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        raise UsageError(f"{path} is there already: give another {option}, or --overwrite")
