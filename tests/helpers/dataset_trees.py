"""Builders of small dataset trees in the layouts that real copies have, for any test."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets._base import Sequence

BP4D_AUS = (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)
RELEASE = (*range(1, 3), *range(4, 8), *range(9, 21), 22, 23, 24, *range(27, 40))
"""AU columns of the later release's label files; before them stands a dummy `1`."""


def jpeg(colour: tuple[int, int, int], size: tuple[int, int] = (48, 40)) -> bytes:
    """Encode a plain picture of (height, width); its colour tells it from others."""
    stream = io.BytesIO()
    Image.new("RGB", size[::-1], colour).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def make_bp4d_tree(
    root: Path,
    *,
    subjects: Iterable[str] = ("F001", "F003", "F004"),
    tasks: Iterable[str] = ("T1", "T2"),
    images: range = range(8, 28),
    coded: range = range(10, 24),
    offset: int = 0,
    padding: int = 4,
    image_home: str = "Sequences",
    label_home: str = "AUCoding/AU_OCC",
    dialect: Literal["legacy", "release"] = "legacy",
    newline: str = "\n",
    size: tuple[int, int] = (48, 40),
    seed: int = 0,
) -> dict[str, NDArray[np.int8]]:
    """Write a small copy of BP4D; return the labels of each recording's coded frames.

    Images are numbered `images`, label rows are for frames `coded`, and an image's number is its
    frame's + `offset`. Labels are random, 1, 0 or -1 (written 9), of `BP4D_AUS`; red is the image
    number x 8 (mod 256), so that a test can tell which picture it got.
    """
    rng = np.random.default_rng(seed)
    truth = {}
    for subject in subjects:
        for task in tasks:
            folder = root / image_home / subject / task
            folder.mkdir(parents=True)
            for number in images:
                picture = jpeg((number * 8 % 256, 90, 160), size)
                (folder / f"{number:0{padding}}.jpg").write_bytes(picture)
            labels = rng.choice([0, 1, -1], (len(coded), len(BP4D_AUS)), p=[0.6, 0.35, 0.05])
            file = root / label_home / f"{subject}_{task}.csv"
            write_occurrence(file, coded, labels, dialect=dialect, newline=newline)
            truth[f"{subject}_{task}"] = labels.astype(np.int8)
    return truth


def plain_labels(file: Path) -> dict[int, list[int]]:
    """Read a label file of BP4D's the plainest way: frame -> labels of `BP4D_AUS`."""
    with file.open(newline="") as stream:
        header, *rows = csv.reader(stream)
    columns = [1 + header[1:].index(str(au)) for au in BP4D_AUS]
    code = {"0": 0, "1": 1, "9": -1}
    return {int(row[0]): [code[row[column]] for column in columns] for row in rows}


def assert_labels_are_those_of_the_files(
    sequences: Iterable[Sequence], label_home: Path
) -> tuple[int, int]:
    """Compare every label with a plain reading of its file; return coded rows and those not there.

    Frames that no row is about must be uncoded.
    """
    rows = lost = 0
    for sequence in sequences:
        expected = plain_labels(label_home / f"{sequence.name}.csv")
        nothing = [-1] * len(BP4D_AUS)
        for frame, labels in zip(sequence.frames.tolist(), sequence.labels.tolist(), strict=True):
            assert labels == expected.get(frame, nothing), f"{sequence.name}, frame {frame}"
        rows += len(expected)
        lost += len(expected.keys() - set(sequence.frames.tolist()))
    return rows, lost


def write_occurrence(
    file: Path,
    frames: Iterable[int],
    labels: NDArray[np.integer],
    *,
    dialect: Literal["legacy", "release"] = "legacy",
    newline: str = "\n",
) -> None:
    """Write a label file of BP4D's; AUs other than `BP4D_AUS` are 9, not coded."""
    aus = range(1, 100) if dialect == "legacy" else RELEASE
    first = 0 if dialect == "legacy" else 1
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="") as stream:
        rows = csv.writer(stream, lineterminator=newline)
        rows.writerow([first, *aus])
        for frame, row in zip(frames, labels, strict=True):
            codes = {
                au: 9 if label == -1 else label for au, label in zip(BP4D_AUS, row, strict=True)
            }
            rows.writerow([frame, *(codes.get(au, 9) for au in aus)])
