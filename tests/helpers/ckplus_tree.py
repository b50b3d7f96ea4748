"""Builds a small copy of CK+."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.helpers.dataset_trees import jpeg

PEAKS: Mapping[tuple[str, str], tuple[int, str]] = {
    ("S005", "001"): (4, "   9.0000000e+00   5.0000000e+00\n   1.7000000e+01   4.0000000e+00\n"),
    ("S010", "001"): (3, "   1.0000000e+00   0.0000000e+00\n   4.3000000e+01   0.0000000e+00\n"),
    ("S010", "002"): (5, ""),
    ("S999", "003"): (3, "   2.5000000e+01   3.0000000e+00\n"),
}
"""Recording -> number of images, and the label file of the last."""


def make_tree(root: Path) -> None:
    for (person, task), (count, text) in PEAKS.items():
        stem = f"{person}_{task}_"
        images = root / "cohn-kanade-images" / person / task
        images.mkdir(parents=True)
        for number in range(1, count + 1):
            (images / f"{stem}{number:08}.png").write_bytes(jpeg((number * 20, 90, 160)))
        (root / "FACS" / person / task).mkdir(parents=True)
        (root / "FACS" / person / task / f"{stem}{count:08}_facs.txt").write_text(text)


def add_landmarks(root: Path) -> None:
    """Point p of image n is at (p, n)."""
    for (person, task), (count, _) in PEAKS.items():
        folder = root / "Landmarks" / person / task
        folder.mkdir(parents=True)
        for number in range(1, count + 1):
            rows = "".join(f"   {p:.7e}   {number:.7e}\n" for p in range(68))
            (folder / f"{person}_{task}_{number:08}_landmarks.txt").write_text(rows)
