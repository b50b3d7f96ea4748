"""CK+ (Lucey et al., CVPR workshops 2010): posed expressions from neutral to peak, as images.

Only the last image of a recording, the peak, is coded: a list of the AUs that are present. What is
done about it: `docs/datasets/others.md`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray

from datasets._files.folders import existing_root, group_by_key, places
from datasets._files.image_folders import LabelledImages, numbered, put_together, unpictured
from datasets._files.text import read_lines
from datasets._landmarks.landmark_files import read_points, shaped
from datasets._splits.folds import draw_folds, fold_list

from ._base import Dataset, DatasetCorrupt, DatasetMissing, FoldList, Sequence
from ._options import chosen_aus, one_of

AUS = (1, 2, 4, 5, 6, 7, 9, 12, 15, 17, 20, 23, 24, 25, 26, 27)
"""The AUs that are present often enough to be learnt and tested; our choice."""

BASES = ("", "CK+", "CKplus")
IMAGES = ("cohn-kanade-images", "extended-cohn-kanade-images/cohn-kanade-images")
LABELS = ("FACS", "FACS_labels/FACS")
LANDMARKS = ("Landmarks", "Landmarks/Landmarks")
SUBJECT, TASK = "((?i:S[0-9]{3}))", "([0-9]{3})"

TREE = (
    "expected are cohn-kanade-images/S010/001/S010_001_00000014.png and "
    "FACS/S010/001/S010_001_00000014_facs.txt below it"
)

FOLDS = 3
Key = tuple[str, str]


@final
class CkPlus(Dataset):
    """CK+'s recordings: every image, of which the peak is labelled."""

    aus: tuple[int, ...] = AUS
    fps = 30.0
    option_help: ClassVar[Mapping[str, str]] = {
        "aus": f"action units, comma-separated (default {','.join(map(str, AUS))})",
        "features": "landmarks: official (default, if Landmarks is there) or none",
    }

    def __init__(self, root: Path | None = None, **options: object):
        super().__init__(root, **options)
        self.aus = chosen_aus(options, AUS)
        self._official = one_of(options, "features", "official", ("official", "none")) == "official"

    def sequences(self) -> list[Sequence]:
        """List the recordings whose peak is coded, by person and task.

        Raises DatasetMissing if nothing is there, and DatasetCorrupt for a label file that breaks
        its format or two entries about one thing. `problems` names what was left out.
        """
        self.problems = []
        root = existing_root(self.root, "CK+", TREE)
        images, labels = _tasks(root, IMAGES), _tasks(root, LABELS)
        for what, found in (("folder of images", images), ("label folder", labels)):
            if not found:
                raise DatasetMissing(root, f"no {what} is there; {TREE}")
        landmarks = _tasks(root, LANDMARKS) if self._official else {}
        sequences = []
        for key in sorted(images.keys() | labels.keys()):
            sequence = self._sequence(root, key, images.get(key), labels.get(key))
            if sequence is not None:
                points = self._landmarks(key, sequence, landmarks) if landmarks else None
                sequences.append(replace(sequence, landmarks=points))
        if not sequences:
            raise DatasetMissing(root, f"no label meets an image ({self.problems[-1]}); {TREE}")
        return sequences

    def folds(self) -> FoldList:
        """Return three subject folds of our own, drawn from the people of this copy."""
        root, name = existing_root(self.root, "CK+", TREE), "ckplus-ours"
        people = {subject for subject, _ in _tasks(root, IMAGES)}
        if len(people) < FOLDS:
            what = f"{len(people)} people have images, which makes no {FOLDS} folds; {TREE}"
            raise DatasetMissing(root, what)
        return fold_list(name, draw_folds(people, FOLDS, 0, name))

    def _sequence(
        self, root: Path, key: Key, images: Path | None, labels: Path | None
    ) -> Sequence | None:
        """Put a recording together; None, and a sentence, if it cannot be."""
        name = "_".join(key)
        files = numbered(labels, rf"(?i:{name}_)([0-9]{{8}})(?i:_facs\.txt)") if labels else {}
        if images is None or not files:
            what = "images without a label" if images else "a label without images"
            self.problems.append(f"{name}: {what}, left out")
            return None
        labelled = LabelledImages(
            np.array(list(files), np.int64),
            np.array(
                [[au in read_active(file) for au in self.aus] for file in files.values()], np.int8
            ),
        )
        pictures = numbered(images, rf"(?i:{name}_)([0-9]{{8}})\.(?i:png|jpg|jpeg)")
        sequence, missing = put_together(root, *key, pictures, labelled)
        self.problems += unpictured(name, missing, sequence)
        return sequence

    def _landmarks(
        self, key: Key, sequence: Sequence, folders: Mapping[Key, Path]
    ) -> NDArray[np.float32]:
        """Read a recording's official landmarks, 68 points a file."""
        files = {}
        if key in folders:
            pattern = rf"(?i:{sequence.name}_)([0-9]{{8}})(?i:_landmarks\.txt)"
            files = numbered(folders[key], pattern)
        return read_points(sequence.name, sequence.frames, files, _points, self.problems)


def _tasks(root: Path, usual: tuple[str, ...]) -> dict[Key, Path]:
    """Map person and task to their folder in the first place that has any."""
    for place in places(root, BASES, usual):
        if people := group_by_key(place, SUBJECT):
            return {
                (person, task): inside
                for person, folder in people.items()
                for task, inside in group_by_key(folder, TASK).items()
            }
    return {}


def read_active(file: Path) -> frozenset[int]:
    """Return the AUs that a label file lists, at any intensity: 0 means present, not scored.

    An empty file lists none. Raises DatasetCorrupt(file, line, what) for one of another form.
    """
    active = set()
    for line, text in enumerate(read_lines(file), start=1):
        cells = text.split()
        if not cells:
            continue
        try:
            au, intensity = map(float, cells)
        except ValueError:
            au, intensity = math.nan, math.nan
        if not (au.is_integer() and 1 <= au < 100 and 0 <= intensity <= 5):
            what = f"found {text.strip()[:40]!r}; a line is two numbers, AU and intensity 0 to 5"
            raise DatasetCorrupt(file, line, what)
        active.add(int(au))
    return frozenset(active)


def _points(file: Path) -> NDArray[np.float64]:
    """Read a landmark file, a line x y a point; ValueError if it is none."""
    try:
        rows = [line.split() for line in read_lines(file) if line.strip()]
    except DatasetCorrupt as error:
        raise ValueError(error.what) from error
    return shaped(np.array(rows, np.float64), 68, "the list of points")
