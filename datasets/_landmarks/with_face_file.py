"""Any dataset with face positions from a file (`--landmarks`): what a detector found.

A file's boxes stand in for the dataset's own boxes, its landmarks for the dataset's landmarks.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, final

import numpy as np
from numpy.typing import NDArray

from datasets._base import Dataset, DatasetCorrupt, DatasetError, DatasetMissing, FoldList, Sequence
from datasets._files.folders import match_names

if TYPE_CHECKING:
    from .face_file import FaceFile

BESIDE = "boxes.csv"
"""The face file that is used, if it lies in the dataset's root, without being asked for."""

FACE_OPTIONS: Mapping[str, str] = {
    "landmarks": f"face file or folder (boxes, landmarks); default {BESIDE} in the root, if any",
    "landmarks_offset": "image number minus frame in the face file, a whole number (default 0)",
}
"""Options that every dataset has (docs/faces.md)."""


@final
class WithFaces(Dataset):
    """Another reader's recordings, with faces from a file where there is one."""

    def __init__(self, inner: Dataset, **options: object):
        super().__init__(inner.root, **options)
        self.inner, self.aus, self.fps = inner, inner.aus, inner.fps

    def sequences(self) -> list[Sequence]:
        """List the inner reader's recordings; DatasetCorrupt for a bad face file too."""
        found = self.inner.sequences()
        self.problems, self.notes = list(self.inner.problems), list(self.inner.notes)
        self.aus, self.fps = self.inner.aus, self.inner.fps
        path = self._path()
        return found if path is None else self._with_faces(found, path)

    def folds(self) -> FoldList:
        """Return the inner reader's folds."""
        return self.inner.folds()

    def _path(self) -> Path | None:
        """Return the face file to use, if any; DatasetMissing if the one asked for is not there."""
        if "landmarks" in self.options:
            path = Path(str(self.options["landmarks"])).expanduser()
            if not path.exists():
                raise DatasetMissing(path, "there is no such face file or folder: check landmarks")
            return path
        if self.root is None:
            return None
        folder = self.root.parent if self.root.is_file() else self.root  # of a table given by name
        there = match_names(folder, f"(?i:{re.escape(BESIDE)})")
        return next((file for name in there if (file := folder / name).is_file()), None)

    def _offset(self) -> int:
        given = str(self.options.get("landmarks_offset", 0))
        if not re.fullmatch(r"[+-]?[0-9]{1,9}", given.strip()):
            raise DatasetError(f"landmarks_offset is {given!r}: give a whole number")
        return int(given)

    def _with_faces(self, sequences: list[Sequence], path: Path) -> list[Sequence]:
        # It brings pandas: half a second in every process, which most runs have no need of.
        from .face_file import pick_rows, read_face_files

        offset = self._offset()
        faces = read_face_files(path)
        alone = Counter(sequence.subject for sequence in sequences)
        asked = []
        for each in sequences:
            name = each.name
            if name not in faces.index and alone[each.subject] == 1:
                name = each.subject
            numbers = each.frames if each.numbers is None else each.numbers
            asked.append((name, numbers))
        rows = [faces.rows_of(name, numbers - offset) for name, numbers in asked]
        found = sum(int((at >= 0).sum()) for at in rows)
        self._judge(sequences, path, faces, found, _better_offset(faces, asked, offset, found))
        return [
            _placed(each, pick_rows(faces.points, at), pick_rows(faces.boxes, at))
            for each, at in zip(sequences, rows, strict=True)
        ]

    def _judge(
        self, sequences: list[Sequence], path: Path, faces: FaceFile, found: int, hint: str
    ) -> None:
        """Say how well a face file fits; one that was asked for must fit somewhere."""
        total = sum(len(each.frames) for each in sequences)
        if not found and total and "landmarks" in self.options:
            known = _example(sorted(faces.index.items()))
            raise DatasetCorrupt(
                path, None, f"it shows no face of this dataset, which has {_first(sequences)}; "
                f"the file knows {known}{hint}"
            )  # fmt: skip
        if found < total:
            lost = f"{total - found} of {total} frames have no face in it{hint}"
            self.problems.append(f"{path.name}: {lost}")
        if faces.repeated:
            what = f"{faces.repeated} rows are about a frame that an earlier row is about"
            self.problems.append(f"{path.name}: {what}, left out")


def _better_offset(
    faces: FaceFile, asked: list[tuple[str, NDArray[np.int64]]], offset: int, found: int
) -> str:
    """Name another offset, if it is evident: tables count from 0, or from 1, or where others begin.

    It is where most recordings would begin and end with their table, or where at most half as many
    frames as now would be without a face.
    """
    shared = [
        (name, n, faces.index[name][0]) for name, n in asked if name in faces.index and n.size
    ]
    ends = Counter(int(n.min() - known.min()) for _, n, known in shared)
    both = Counter(
        int(n.min() - known.min())
        for _, n, known in shared
        if n.max() - known.max() == n.min() - known.min()
    )
    total = sum(n.size for _, n in asked)
    tries = dict.fromkeys([offset + 1, offset - 1, *(start for start, _ in ends.most_common(1))])
    for other in tries:
        fit = sum(int((faces.rows_of(name, n - other) >= 0).sum()) for name, n in asked)
        evident = 2 * both[other] > len(shared) or 2 * (total - fit) <= total - found
        if fit > found and evident:
            return f" ({fit} would have one with landmarks_offset={other}: does it count so?)"
    return ""


def _placed(
    sequence: Sequence, landmarks: NDArray[np.float32] | None, boxes: NDArray[np.float32] | None
) -> Sequence:
    return replace(
        sequence,
        landmarks=sequence.landmarks if landmarks is None else landmarks,
        boxes=sequence.boxes if boxes is None else boxes,
    )


def _first(sequences: list[Sequence]) -> str:
    first = next(each for each in sequences if len(each.frames))
    numbers = first.frames if first.numbers is None else first.numbers
    return f"{first.name}, frame {numbers[0]}"


def _example(index: list[tuple[str, tuple[NDArray[np.int64], NDArray[np.intp]]]]) -> str:
    return f"{index[0][0]}, frame {index[0][1][0][0]}" if index else "no face at all"
