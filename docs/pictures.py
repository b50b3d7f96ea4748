"""Draws the pictures of the embedded dataset that the docs show, into `docs/images`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from datasets.synthetic import Synthetic, portrait

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMES = {
    1: "inner brow\nraiser", 2: "outer brow\nraiser", 4: "brow\nlowerer", 6: "cheek\nraiser",
    7: "lid\ntightener", 10: "upper lip\nraiser", 12: "lip corner\npuller", 14: "dimpler",
    15: "lip corner\ndepressor", 17: "chin\nraiser", 23: "lip\ntightener", 24: "lip\npressor",
}  # fmt: skip


SUBJECTS = ("F001", "M004", "F010", "M015", "F018", "M012", "F002")


def contact_sheet(
    path: Path,
    *,
    subjects: Sequence[str] = SUBJECTS,
    seed: int = 0,
    level: float = 0.9,
    side: int = 128,
) -> None:
    """Draw subjects x action units into a PNG: at rest, then each alone at intensity `level`."""
    acts = np.vstack([np.zeros(len(Synthetic.aus)), level * np.eye(len(Synthetic.aus))])
    rows = [list(portrait(subject, acts, seed=seed, side=side)) for subject in subjects]
    titles = ["at rest", *(f"AU{au}\n{NAMES[au]}" for au in Synthetic.aus)]
    _draw(path, rows, titles, subjects)


def time_strip(
    path: Path, *, subject: str = "M009", task: str = "T2", every: int = 7, side: int = 128
) -> None:
    """Draw one recording as a strip: every `every`-th frame with its time and its labels."""
    (sequence,) = Synthetic(subjects=subject, tasks=task, size=side).sequences()
    wanted = range(0, len(sequence.frames), every)
    frames = [frame for t, frame in enumerate(sequence.source.read()) if t in wanted]
    labels = [_active(sequence.labels[t]) for t in wanted]
    titles = [
        f"{sequence.frames[t] / Synthetic.fps:.1f} s\n{text}"
        for t, text in zip(wanted, labels, strict=True)
    ]
    _draw(path, [frames], titles, [sequence.name])


def _active(row: NDArray[np.int8]) -> str:
    present = [str(au) for au, label in zip(Synthetic.aus, row, strict=True) if label == 1]
    return "+".join(present) or "none"


def _draw(path: Path, rows: list[list[Any]], titles: Sequence[str], names: Sequence[str]) -> None:
    # Without pyplot: no window system, no global figure list.
    from matplotlib.figure import Figure

    side = 0.92
    figure = Figure(figsize=(side * len(titles) + 0.5, side * len(rows) + 0.6), dpi=120)
    grid = figure.subplots(len(rows), len(titles), squeeze=False)
    for panels, images, name in zip(grid, rows, names, strict=True):
        for panel, image in zip(panels, images, strict=True):
            _show(panel, image)
        panels[0].set_ylabel(name, fontsize=7)
    for panel, title in zip(grid[0], titles, strict=True):
        panel.set_title(title, fontsize=6, pad=3)
    figure.subplots_adjust(0.035, 0.01, 0.998, 1 - 0.5 / figure.get_figheight(), 0.03, 0.03)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, pil_kwargs={"optimize": True})


def _show(panel: Axes, image: NDArray[np.uint8]) -> None:
    panel.imshow(image, interpolation="lanczos")
    panel.set_xticks([])
    panel.set_yticks([])
    for edge in panel.spines.values():
        edge.set_visible(False)


IMAGES = Path(__file__).with_name("images")


def main() -> None:
    """Draw the contact sheet (subjects x action units) and one recording over time."""
    IMAGES.mkdir(exist_ok=True)
    contact_sheet(IMAGES / "synthetic_faces.png")
    time_strip(IMAGES / "synthetic_time.png")


if __name__ == "__main__":
    main()
