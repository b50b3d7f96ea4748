"""Aff-Wild2's action-unit set (Kollias & Zafeiriou, the ABAW competitions), as cropped faces.

Row j of a video's label file is about image `cropped_aligned/<video>/%05d.jpg` of number j; images
are missing where no face was found. What is done about it: `docs/datasets/others.md`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray

from datasets._files.folders import existing_root, format_ranges, match_names, places
from datasets._files.image_folders import LabelledImages, numbered, put_together
from datasets._files.text import read_lines
from datasets._splits.folds import fold_list

from ._base import UNCODED, Dataset, DatasetCorrupt, DatasetMissing, FoldList, Sequence

AUS = (1, 2, 4, 6, 7, 10, 12, 15, 23, 24, 25, 26)
BASES = ("", "Aff-Wild2", "annotations", "Aff-Wild2/annotations")
LABELS = ("AU_Set", "AU_Detection_Challenge")
IMAGES = ("cropped_aligned", "cropped_aligned_images")

SETS = {"validation": "Validation_Set", "train": "Train_Set"}
"""Sequences' task -> folder of the official partition, in the order of the folds."""

HEADER = [f"AU{au}" for au in AUS]
CODES = {"0": 0, "1": 1, "-1": UNCODED}

TREE = (
    "expected are cropped_aligned/VIDEO/00001.jpg and "
    "annotations/AU_Set/{Train_Set,Validation_Set}/VIDEO.txt below it"
)


@final
class AffWild2(Dataset):
    """Aff-Wild2's videos, each a subject of its own: who is in them is not published."""

    aus = AUS
    fps = 30.0
    option_help: ClassVar[Mapping[str, str]] = {}

    def sequences(self) -> list[Sequence]:
        """List the videos that have labels and images, by name.

        Raises DatasetMissing if nothing is there, and DatasetCorrupt for a label file that breaks
        its format or a video that is in both sets. `problems` names what was left out.
        """
        self.problems = []
        root = existing_root(self.root, "Aff-Wild2", TREE)
        files, home = self._label_files(root), _image_home(root)
        found = list(self._recordings(root, home, files))
        if not found:
            raise DatasetMissing(root, f"no label meets an image ({self.problems[-1]}); {TREE}")
        return found

    def folds(self) -> FoldList:
        """Return the official partition: fold 0 tests on the validation set, fold 1 the reverse."""
        files = self._label_files(existing_root(self.root, "Aff-Wild2", TREE))
        order = list(SETS)
        return fold_list("affwild2-official", {v: order.index(s) for v, (s, _) in files.items()})

    def _label_files(self, root: Path) -> dict[str, tuple[str, Path]]:
        """Map videos to the set they are in and their label file."""
        for home in places(root, BASES, LABELS):
            found: dict[str, tuple[str, Path]] = {}
            for task, folder in SETS.items():
                for name in match_names(home / folder, r"[^.].*\.(?i:txt)"):
                    video, file = name[:-4], home / folder / name
                    if video in found:
                        what = (
                            f"this video is in {found[video][1].parent.name} too: keep one of them"
                        )
                        raise DatasetCorrupt(file, None, what)
                    found[video] = (task, file)
            if found:
                return found
        raise DatasetMissing(root, f"no label file is there; {TREE}")

    def _recordings(
        self, root: Path, home: Path, files: Mapping[str, tuple[str, Path]]
    ) -> Iterator[Sequence]:
        faceless: dict[str, int] = {}
        for video, (task, file) in sorted(files.items()):
            labels = read_rows(file)
            images = numbered(home / video)
            if extra := [number for number in images if number > len(labels)]:
                what = f"{video}: there are {len(labels)} rows of labels"
                self.problems.append(f"{what}; images that stay unlabelled: {format_ranges(extra)}")
            labelled = LabelledImages(np.arange(1, len(labels) + 1), labels)
            sequence, missing = put_together(root, video, task, images, labelled)
            if sequence is None:
                self.problems.append(f"{video}: labels without images, left out")
                continue
            faceless[video] = len(missing)
            yield sequence
        if lost := sum(faceless.values()):
            where = f"{lost}, in {np.count_nonzero([*faceless.values()])} of {len(faceless)} videos"
            why = "no face was found there"
            self.problems.append(f"labels without an image ({why}) left out: {where}")


def _image_home(root: Path) -> Path:
    for home in places(root, BASES, IMAGES):
        if home.is_dir():
            return home
    raise DatasetMissing(root, f"no folder of images is there; {TREE}")


def read_rows(file: Path) -> NDArray[np.int8]:
    """Return a label file's labels (rows, 12): 1, 0 or `UNCODED`.

    Raises DatasetCorrupt(file, line, what) for anything that is not such a file.
    """
    first, *lines = read_lines(file)
    header = [cell.strip() for cell in first.split(",")]
    if header != HEADER:
        raise DatasetCorrupt(file, 1, f"the header must be {','.join(HEADER)}")
    # A few hundred different rows make up millions: each is judged once.
    known: dict[str, list[int]] = {}
    rows = []
    while lines and not lines[-1].strip():
        lines.pop()
    for line, text in enumerate(lines, start=2):
        if text not in known:
            known[text] = _row(file, line, text)
        rows.append(known[text])
    if not rows:
        raise DatasetCorrupt(file, 1, "no row follows the header")
    return np.array(rows, np.int8)


def _row(file: Path, line: int, text: str) -> list[int]:
    cells = [cell.strip() for cell in text.split(",")]
    if len(cells) != len(AUS):
        raise DatasetCorrupt(file, line, f"{len(cells)} cells, but the header has {len(AUS)}")
    for name, cell in zip(HEADER, cells, strict=True):
        if cell not in CODES:
            what = f"column {name} holds {cell!r}; a label is 1, 0 or -1 (not coded)"
            raise DatasetCorrupt(file, line, what)
    return [CODES[cell] for cell in cells]
