"""Aff-Wild2's action-unit set (Kollias & Zafeiriou, the ABAW competitions), as cropped faces.

Row j of a video's label file is about image `cropped_aligned/<video>/%05d.jpg` of number j; images
are missing where no face was found. Every year's competition has packed it otherwise: which layouts
are found, and what is done about the rest: `docs/datasets/others.md`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray

from datasets._files.folders import existing_root, format_ranges, match_names
from datasets._files.image_folders import LabelledImages, numbered, put_together
from datasets._files.text import read_lines
from datasets._splits.folds import fold_list

from ._base import UNCODED, Dataset, DatasetCorrupt, DatasetMissing, FoldList, Sequence

AUS = (1, 2, 4, 6, 7, 10, 12, 15, 23, 24, 25, 26)
BASES = ("", "Aff-Wild2")
ANNOTATIONS = r"[^.].*(?i:annotations)|(?i:annotations)"
"""Folders like `6th_ABAW_Annotations` and `Third ABAW Annotations`, one perhaps in the other."""

LABELS = ("AU_Set", "AU_Detection_Challenge", "AU")
IMAGES = r"cropped_aligned(?:_images|_new_50_vids)?"
"""Folders of videos' folders; later releases have added a second one beside or below the first."""

PARTS = rf"{IMAGES}|batch[0-9].*"
"""What archives were unpacked into, and those lie in."""

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
    option_help: ClassVar[Mapping[str, str]] = {
        "labels": "folder of Train_Set and Validation_Set, if it is none of the usual ones, or one "
        "of several",
        "images": "folder of the videos' folders, or of cropped_aligned and its like",
    }

    def sequences(self) -> list[Sequence]:
        """List the videos that have labels and images, by name.

        Raises DatasetMissing if nothing is there, and DatasetCorrupt for a label file that breaks
        its format or a video that is in both sets. `problems` names what was left out.
        """
        self.problems = []
        root = existing_root(self.root, "Aff-Wild2", TREE)
        files = self._label_files(root)
        home, folders = self._image_folders(root)
        found = list(self._recordings(home, folders, files))
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
        if given := self.options.get("labels"):
            home = root / Path(str(given)).expanduser()
            homes = [home, *(home / name for name in LABELS)]
        else:
            homes = _label_homes(root)
        found = {home: files for home in homes if (files := _sets(home))}
        if not found:
            where = "check option labels" if given else TREE
            raise DatasetMissing(homes[0] if given else root, f"no label file is there; {where}")
        first, *others = found
        if others:
            what = f"{first} holds label files too: choose by option labels"
            raise DatasetCorrupt(others[0], None, what)
        return found[first]

    def _image_folders(self, root: Path) -> tuple[Path, dict[str, Path]]:
        """Return the folder to name images from, and every video's folder of images.

        Raises DatasetCorrupt for a video that has two.
        """
        given = self.options.get("images")
        home = root / Path(str(given)).expanduser() if given else root
        bases = [home] if given else [root / base for base in BASES]
        homes = [*(bases if given else ()), *(folder for b in bases for folder in _parts(b, 2))]
        if not homes or not homes[0].is_dir():
            what = "check option images" if given else TREE
            raise DatasetMissing(home, f"no folder of images is there; {what}")
        found: dict[str, Path] = {}
        for folder in homes:
            for video in match_names(folder, r"[^.].*"):
                if re.fullmatch(PARTS, video) or not (folder / video).is_dir():
                    continue
                if video in found:
                    what = f"this video is in {found[video].parent.relative_to(home)} too"
                    raise DatasetCorrupt(folder / video, None, f"{what}: keep one of them")
                found[video] = folder / video
        return home, found

    def _recordings(
        self, home: Path, folders: Mapping[str, Path], files: Mapping[str, tuple[str, Path]]
    ) -> Iterator[Sequence]:
        faceless: dict[str, int] = {}
        for video, (task, file) in sorted(files.items()):
            labels = read_rows(file)
            images = numbered(folders[video]) if video in folders else {}
            if extra := [number for number in images if not 1 <= number <= len(labels)]:
                what = f"{video}: there are {len(labels)} rows of labels"
                self.problems.append(f"{what}; images that stay unlabelled: {format_ranges(extra)}")
            labelled = LabelledImages(np.arange(1, len(labels) + 1), labels)
            sequence, missing = put_together(home, video, task, images, labelled)
            if sequence is None:
                self.problems.append(f"{video}: labels without images, left out")
                continue
            faceless[video] = len(missing)
            yield sequence
        if lost := sum(faceless.values()):
            where = f"{lost}, in {np.count_nonzero([*faceless.values()])} of {len(faceless)} videos"
            why = "no face was found there"
            self.problems.append(f"labels without an image ({why}) left out: {where}")


def _label_homes(root: Path) -> list[Path]:
    """List the places that label files may be in."""
    above = [root / base for base in BASES]
    for _ in range(2):
        above += [
            a / name for a in above for name in match_names(a, ANNOTATIONS) if a / name not in above
        ]
    homes = [place / name for place in above for name in LABELS]
    return [folder for home in homes for folder in (home, home / home.name)]


def _sets(home: Path) -> dict[str, tuple[str, Path]]:
    """Map the videos of a place to their set and label file; DatasetCorrupt for one in both."""
    found: dict[str, tuple[str, Path]] = {}
    for task, folder in SETS.items():
        for name in match_names(home / folder, r"[^.].*\.(?i:txt)"):
            video, file = name[:-4], home / folder / name
            if video in found:
                what = f"this video is in {found[video][1].parent.name} too: keep one of them"
                raise DatasetCorrupt(file, None, what)
            found[video] = (task, file)
    return found


def _parts(base: Path, depth: int) -> list[Path]:
    """List the folders of videos' folders below a place, down to a depth."""
    here = [base / name for name in match_names(base, PARTS) if (base / name).is_dir()]
    return (
        [*here, *(part for folder in here for part in _parts(folder, depth - 1))] if depth else []
    )


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
