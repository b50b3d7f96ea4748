"""Builds small datasets that a manifest describes: pictures, a film, a table."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from tests.helpers.dataset_trees import jpeg
from tests.helpers.disfa_trees import make_video

AUS = (1, 4, 12)


def make(root: Path, *, subjects: int = 4, frames: int = 5) -> list[dict[str, str]]:
    """Write pictures and return the rows of a manifest about them: red is 16 x the frame."""
    rng = np.random.default_rng(0)
    rows = []
    for subject in range(subjects):
        for sequence in ("smile", "talk"):
            for frame in range(1, frames + 1):
                path = f"pictures/P{subject}/{sequence}-{frame}.jpg"
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_bytes(jpeg((frame * 16, 90, 160)))
                labels = {f"AU{au}": str(rng.choice(["0", "1", ""])) for au in AUS}
                rows.append(
                    {"path": path, "subject": f"P{subject}", "sequence": sequence}
                    | {"frame": str(frame), "sex": "FM"[subject % 2]}
                    | labels
                )
    return rows


def write(root: Path, rows: list[dict[str, str]], name: str = "manifest.csv") -> Path:
    file = root / name
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return file


def video_rows(root: Path, frames: Iterable[int], name: str = "film.avi") -> list[dict[str, str]]:
    """Write a video of 12 frames and return rows about some, whose labels follow their number."""
    make_video(root / "videos" / name, 12, gop=1)
    return [
        {"video": f"videos/{name}", "subject": "P1", "sequence": name[:4], "frame": str(frame)}
        | {"AU1": str(frame % 2)}
        for frame in frames
    ]
