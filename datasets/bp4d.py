"""BP4D (Zhang et al., Image and Vision Computing 2014) as it lies on disk, in its legacy layout.

41 subjects, 8 tasks, 25 frames a second; 12 action units coded in a window of each recording. What
copies look like, and what is done about it: `docs/datasets/bp4d.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray

from ._base import UNCODED, Dataset, DatasetError, DatasetMissing, FoldList, Sequence
from ._occurrence import read_occurrence
from ._sources import ImageFiles
from ._split import load_folds
from ._tree import listing, spans

BASES = ("", "BP4D")
IMAGES = ("Sequences(2D+3D)", "Sequences_2D+3D", "Sequences", "BP4D-training", "img", "")
LABELS = ("AUCoding/AU_OCC", "AUCoding/AUCoding/AU_OCC", "AUCoding/AUCoding", "AUCoding")
"""Where copies keep things, below the root or a folder BP4D in it; the first with any wins."""

TREE = (
    "expected are images Sequences/F001/T1/<number>.jpg (also in Sequences(2D+3D) or "
    "BP4D-training) and label files AUCoding/AU_OCC/F001_T1.csv below it"
)
CONTEXT = 8
"""Uncoded frames kept on either side: enough around a clip; all would be 2.5 times the disk."""
STRAY = 10
"""No shift is concluded if fewer than one recording in this many shows it: images get lost."""


@dataclass(frozen=True, eq=False)
class _Recording:
    """A recording that has both images and labels, before they are put together."""

    subject: str
    task: str
    files: Mapping[int, str]
    """Image number -> file relative to the root, by number."""
    coded: NDArray[np.int64]
    """Frame numbers of the label file."""
    labels: NDArray[np.int8]
    """(coded frames, A)."""

    @property
    def name(self) -> str:
        return f"{self.subject}_{self.task}"

    @property
    def numbers(self) -> NDArray[np.int64]:
        return np.fromiter(self.files, np.int64, len(self.files))

    def pictured(self, offset: int) -> NDArray[np.bool_]:
        """Tell which coded frames have an image if image number = frame number + offset."""
        return np.isin(self.coded + offset, self.numbers)

    def near_coded(self, offset: int, context: int | None) -> _Recording:
        """Drop images farther than `context` frames from the coded window; None keeps them all."""
        if context is None:
            return self
        low, high = self.coded.min() + offset - context, self.coded.max() + offset + context
        files = {number: file for number, file in self.files.items() if low <= number <= high}
        return replace(self, files=files)


@final
class Bp4d(Dataset):
    """BP4D's recordings: the frames of the coded window and a few beside them."""

    aus = (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)
    fps = 25.0
    option_help: ClassVar[Mapping[str, str]] = {
        "frame_offset": "image number minus label frame number: auto (default), 0 or -1",
        "context": "uncoded frames kept before and after the coded ones (default 8), or all",
    }

    def sequences(self) -> list[Sequence]:
        """List the recordings that have images and labels, by subject and task.

        Raises DatasetMissing if nothing is there, and DatasetCorrupt for a label file that
        breaks its format. `problems` names what was left out.
        """
        self.problems = []
        choice, context = self._offset_option(), self._context_option()
        root = self._existing_root()
        recordings = self._recordings(root)
        offset = self._evident_offset(recordings) if choice == "auto" else int(choice)
        usable = [
            r.near_coded(offset, context) for r in recordings if self._meets_images(r, offset)
        ]
        if not usable:
            raise DatasetMissing(root, f"no label meets an image ({self.problems[-1]}); {TREE}")
        return [self._sequence(root, recording, offset) for recording in usable]

    def folds(self) -> FoldList:
        """Return the canonical three subject folds (DRML, JAA-Net, ME-GraphAU)."""
        return load_folds("bp4d")

    def _existing_root(self) -> Path:
        if self.root is None:
            raise DatasetMissing("BP4D", f"say where its folder is (--root); {TREE}")
        if not self.root.is_dir():
            raise DatasetMissing(self.root, "there is no such folder: check the root")
        return self.root

    def _offset_option(self) -> str:
        choice = str(self.options.get("frame_offset", "auto"))
        if choice not in ("auto", "0", "-1"):
            raise DatasetError(f"frame_offset is {choice!r}: it may be auto, 0 or -1")
        return choice

    def _context_option(self) -> int | None:
        given = str(self.options.get("context", CONTEXT))
        if given != "all" and not given.isdecimal():
            raise DatasetError(f"context is {given!r}: give a number of frames, or all")
        return None if given == "all" else int(given)

    def _recordings(self, root: Path) -> list[_Recording]:
        """Pair image folders with label files; what has no partner is named and left out."""
        folders, files = _image_folders(root), _label_files(root)
        recordings = []
        for subject, task in sorted(folders.keys() | files.keys(), key=_by_subject_and_task):
            name = f"{subject}_{task}"
            images = self._images(root, name, folders.get((subject, task)))
            if (subject, task) not in files:
                self.problems.append(f"{name}: images without a label file, left out")
            elif not images:
                self.problems.append(f"{name}: label file without images, left out")
            else:
                coded, labels = read_occurrence(files[subject, task], self.aus)
                recordings.append(_Recording(subject, task, images, coded, labels))
        return recordings

    def _images(self, root: Path, name: str, folder: Path | None) -> dict[int, str]:
        """Map image numbers to files below the root; zero padding differs between folders."""
        if folder is None:
            return {}
        prefix = folder.relative_to(root).as_posix()
        images: dict[int, str] = {}
        twice = []
        for file in listing(folder, r"[0-9]{1,9}\.(?i:jpg|jpeg|png)"):
            number = int(file.partition(".")[0])
            if number in images:
                twice.append(number)
            images.setdefault(number, f"{prefix}/{file}")
        if twice:
            where = spans(twice)
            self.problems.append(
                f"{name}: several files for image {where}, the first by name counts"
            )
        return dict(sorted(images.items()))

    def _evident_offset(self, recordings: list[_Recording]) -> int:
        """Judge by coded windows that reach an end of their images, over the whole copy at once."""
        fits = [(r.pictured(0).all(), r.pictured(-1).all()) for r in recordings]
        same = sum(bool(at_zero and not before) for at_zero, before in fits)
        shifted = sum(bool(before and not at_zero) for at_zero, before in fits)
        if shifted <= same or shifted * STRAY < len(fits):
            return 0
        self.problems.append(
            f"image n is taken for label frame n + 1: {shifted} of {len(fits)} recordings have an "
            f"image for every label only so, {same} only otherwise; frame_offset=0 overrules it"
        )
        return -1

    def _meets_images(self, recording: _Recording, offset: int) -> bool:
        """Tell whether any coded frame has an image, and name those that have none."""
        pictured = recording.pictured(offset)
        if not pictured.any():
            self.problems.append(f"{recording.name}: no coded frame has an image, left out")
        elif not pictured.all():
            missing = recording.coded[~pictured]
            frames = (
                "1 coded frame has" if len(missing) == 1 else f"{len(missing)} coded frames have"
            )
            self.problems.append(f"{recording.name}: {frames} no image: {spans(missing.tolist())}")
        return bool(pictured.any())

    def _sequence(self, root: Path, recording: _Recording, offset: int) -> Sequence:
        """Put images and labels together; frames beside the coded window carry no label."""
        numbers = recording.numbers
        frames = numbers - offset
        labels = np.full((len(frames), len(self.aus)), UNCODED, np.int8)
        pictured = recording.pictured(offset)
        labels[np.searchsorted(frames, recording.coded[pictured])] = recording.labels[pictured]
        return Sequence(
            subject=recording.subject,
            task=recording.task,
            frames=frames,
            labels=labels,
            source=ImageFiles(root, tuple(recording.files.values())),
            numbers=numbers,
        )


def _image_folders(root: Path) -> dict[tuple[str, str], Path]:
    home, subjects = _find(root, IMAGES, r"[FM][0-9]{3}", "folder of images")
    return {
        (subject, task): home / subject / task
        for subject in subjects
        for task in listing(home / subject, r"T[0-9]+")
    }


def _label_files(root: Path) -> dict[tuple[str, str], Path]:
    home, files = _find(root, LABELS, r"[FM][0-9]{3}_T[0-9]+\.(?i:csv)", "label file")
    return {(file[:4], file[5:-4]): home / file for file in files}


def _find(root: Path, places: tuple[str, ...], pattern: str, what: str) -> tuple[Path, list[str]]:
    """Return the first place that holds names of the pattern, and those names."""
    for folder in (root / base / place for base in BASES for place in places):
        if names := listing(folder, pattern):
            return folder, names
    raise DatasetMissing(root, f"no {what} is there; {TREE}")


def _by_subject_and_task(key: tuple[str, str]) -> tuple[str, int]:
    subject, task = key
    return subject, int(task[1:])
