"""The reader that BP4D, BP4D+ and MME (BP4D++) share; they differ by a dialect.

Images and label files are paired by number. What copies look like, and what is done about it:
docs/datasets/bp4d.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from datasets._base import UNCODED, Dataset, DatasetCorrupt, DatasetMissing, FoldList, Sequence
from datasets._files.folders import existing_root, format_ranges
from datasets._files.labels import read_occurrence
from datasets._landmarks.landmark_files import read_track
from datasets._splits.folds import load_folds

from .layout import (
    FoundImages,
    Key,
    find_files,
    find_images,
    find_level_files,
    labels_by_level,
    read_levels,
)
from .options import OPTION_HELP, read_options

Frames = NDArray[np.int64]
IMAGES = ("Sequences(2D+3D)", "Sequences_2D+3D", "Sequences", "2D+3D", "BP4D-training", "img", "")
LABELS = ("AUCoding/AU_OCC", "AUCoding/AUCoding/AU_OCC", "AUCoding/AUCoding", "AUCoding")
LEVELS = ("AUCoding/AU_INT", "AU Intensity Codes3.0", "AU-Intensity-Codes3.0")

TRACKS = ("2DFeatures",)
"""Where copies keep things, below the root or a folder in it that bears the dataset's name."""

STRAY = 10
"""No shift is concluded if fewer than one recording in this many shows it: images get lost."""


@dataclass(frozen=True, kw_only=True)
class Bp4dDialect:
    """What tells the datasets of the family from one another."""

    name: str
    bases: tuple[str, ...]
    """Folders that may stand between the root and the rest; `""` is the root itself."""
    offset: str
    """Default of option frame_offset."""
    folds: str
    """Name of the fold list."""
    tree: str
    """What is expected below the root, in words."""
    suspect: Mapping[str, str] = field(default_factory=dict)
    """Recordings whose images and labels match in no copy, and why."""


class Bp4dFamily(Dataset):
    """Recordings as the frames of their coded window and a few beside them."""

    dialect: ClassVar[Bp4dDialect]
    fps = 25.0
    option_help: ClassVar[Mapping[str, str]] = OPTION_HELP

    def __init__(self, root: Path | None = None, **options: object):
        super().__init__(root, **options)
        self.choices = read_options(options, self.dialect.offset)
        self.aus = self.choices.aus

    def sequences(self) -> list[Sequence]:
        """List the recordings that have images and labels, by subject and task.

        Raises DatasetMissing if nothing is there, and DatasetCorrupt for a label file that breaks
        its format or a subject that is there twice. `problems` names what was left out, `notes`
        says how images and labels were matched.
        """
        self.problems, self.notes = [], []
        root = existing_root(self.root, self.dialect.name, self.dialect.tree)
        recordings = list(self._recordings(root))
        offset = self._offset(recordings)
        usable = [r for r in recordings if self._meets_images(r, offset)]
        if not usable:
            why = self.problems[0] if self.problems else "no task is left"
            raise DatasetMissing(root, f"no label meets an image ({why}); {self.dialect.tree}")
        from_zero = offset == -1 or self._count_from_zero(usable)
        near = [r.near_coded(offset, self.choices.context) for r in usable]
        tracks = self._tracks(root, near, int(from_zero))
        return [r.paired(offset, t) for r, t in zip(near, tracks, strict=True)]

    def folds(self) -> FoldList:
        """Return the dataset's subject folds, or those of option folds."""
        return load_folds(self.choices.folds or self.dialect.folds)

    def _where(self, root: Path, kind: str, usual: tuple[str, ...]) -> tuple[Path, list[str]]:
        """Say where to look: in the folder that an option names, or in the usual places."""
        if kind in self.choices.folders:
            return root / Path(self.choices.folders[kind]).expanduser(), [""]
        return root, [
            f"{base}/{place}".strip("/") for base in self.dialect.bases for place in usual
        ]

    def _recordings(self, root: Path) -> Iterator[Bp4dSequence]:
        """Pair images with label files; what has no partner is named and left out."""
        home, places = self._where(root, "images", IMAGES)
        tree = find_images(home, places, self.problems)
        if not tree.keys(()):
            raise DatasetMissing(home, f"no folder of images is there; {self.dialect.tree}")
        home, places = self._where(root, "labels", LABELS)
        files = find_files(home, places, r"\.(?i:csv)")
        if not files:
            raise DatasetMissing(home, f"no label file is there; {self.dialect.tree}")
        levels = self._level_files(root)
        told = {au for by_au in levels.values() for au in by_au} & {*self.aus}
        for key in self._wanted(tree.keys({task for _, task in files}), files):
            images, name = tree.images(*key), "_".join(key)
            if images and key in files:
                coded, labels = read_occurrence(files[key], self.aus)
                found = Bp4dSequence(*key, images, coded, labels)
                yield self._with_levels(found, levels.get(key, {}), told)
            elif images:
                self.problems.append(f"{name}: images without a label file, left out")
            elif key in files:
                self.problems.append(f"{name}: label file without images, left out")

    def _wanted(self, pictured: Iterable[Key], files: Mapping[Key, Path]) -> list[Key]:
        """List what is asked for and may be there, by subject and task."""
        keys = {*pictured, *files}
        coded = {task for _, task in files}
        if self.choices.tasks is not None:
            keys = {key for key in keys if key[1] in self.choices.tasks}
        elif idle := {task for _, task in keys} - coded:
            tasks = ", ".join(sorted(idle, key=_number))
            self.notes.append(f"not coded, and so not read: {tasks} (images, but no label file)")
            keys = {key for key in keys if key[1] in coded}
        for key in sorted(keys) if not self.choices.keep_suspect else ():
            if why := self.dialect.suspect.get("_".join(key)):
                self.problems.append(f"{'_'.join(key)}: {why}; left out (suspect=keep keeps it)")
                keys.remove(key)
        return sorted(keys, key=lambda key: (key[0], _number(key[1])))

    def _level_files(self, root: Path) -> dict[Key, dict[int, Path]]:
        """Find the intensity files, if they are asked for."""
        if not self.choices.reads_levels:
            return {}
        found = find_level_files(*self._where(root, "levels", LEVELS))
        if not found:
            advice = "expected are AUCoding/AU_INT/AU06/F001_T1_AU06.csv and so on"
            raise DatasetMissing(root, f"no intensity file is there (option intensity); {advice}")
        if self.choices.level is not None:
            self.notes.append(
                f"occurrence is intensity {self.choices.level} or more for AUs with intensity files"
            )
        return found

    def _with_levels(
        self, recording: Bp4dSequence, files: Mapping[int, Path], told: set[int]
    ) -> Bp4dSequence:
        """Add the intensities, and make labels of them, as far as that is asked for.

        `told` are the AUs of which any recording has a file: where this one has none, nobody knows
        their level, and occurrence would be another rule than that of the other recordings.
        """
        if not self.choices.reads_levels:
            return recording
        levels, gap = read_levels(files, recording.coded, self.aus)
        labels = recording.labels
        if self.choices.level is not None:
            columns = np.isin(self.aus, list(told))
            labels = labels_by_level(labels, levels, columns, self.choices.level)
        gaps = [gap] if gap else []
        if lost := sorted(told - files.keys()):
            uncoded = "" if self.choices.level is None else ", so uncoded there"
            gaps.append(f"no intensity file of AU {', '.join(map(str, lost))}{uncoded}")
        if gaps:
            self.problems.append(f"{recording.name}: {'; '.join(gaps)}")
        return replace(recording, labels=labels, levels=levels)

    def _offset(self, recordings: list[Bp4dSequence]) -> int:
        """Choose the offset, by the option or by windows that reach an end of their images."""
        fits = [(r.pictured(0).all(), r.pictured(-1).all()) for r in recordings]
        same = sum(bool(at_zero and not before) for at_zero, before in fits)
        shifted = sum(bool(before and not at_zero) for at_zero, before in fits)
        chosen = "frame_offset" in self.options
        offset, how = self.choices.offset, "as chosen" if chosen else "as copies of it have it"
        if offset is None:
            evident = shifted > same and shifted * STRAY >= len(fits)
            offset, how = (-1, "judged by the files") if evident else (0, "nothing speaks against")
        self.notes.append(
            f"label frame n is image n{' - 1' if offset else ''} (frame_offset {offset}, {how}: of "
            f"{len(fits)} recordings {same} fit 0 alone, {shifted} fit -1 alone)"
        )
        if offset == -1 and not chosen and all(r.images.numbers[0] > 0 for r in recordings):
            self.problems.append(
                "no recording has an image 0: if images count from 1, labels are a frame late; "
                "frame_offset=0 says so"
            )
        return offset

    def _count_from_zero(self, recordings: list[Bp4dSequence]) -> bool:
        """Judge by most of the recordings, before most images are dropped; one may have a stray."""
        zero = [r.name for r in recordings if r.images.numbers[0] == 0]
        judged = 2 * len(zero) > len(recordings)
        if zero and len(zero) < len(recordings):
            some = ", ".join(zero[:5]) + (", ..." if len(zero) > 5 else "")
            self.problems.append(
                f"{len(zero)} of {len(recordings)} recordings have an image 0 ({some}): images are "
                f"taken to count from {0 if judged else 1} in all"
            )
        return judged

    def _meets_images(self, recording: Bp4dSequence, offset: int) -> bool:
        """Tell whether any coded frame has an image, and name those that have none."""
        pictured = recording.pictured(offset)
        if not pictured.any():
            self.problems.append(f"{recording.name}: no coded frame has an image, left out")
        elif not pictured.all():
            missing = recording.coded[~pictured].tolist()
            frames = (
                "1 coded frame has" if len(missing) == 1 else f"{len(missing)} coded frames have"
            )
            self.problems.append(f"{recording.name}: {frames} no image: {format_ranges(missing)}")
        return bool(pictured.any())

    def _tracks(
        self, root: Path, recordings: list[Bp4dSequence], shift: int
    ) -> list[NDArray[np.float32] | None]:
        """Read each recording's landmarks; frame n of a track is image n - `shift`."""
        nothing: list[NDArray[np.float32] | None] = [None] * len(recordings)
        if self.choices.folders.get("features") == "none":
            return nothing
        home, places = self._where(root, "features", TRACKS)
        files = find_files(home, places, r"\.(?i:mat)")
        if not files:
            if "features" in self.choices.folders:
                raise DatasetMissing(home, "no landmark track F001_T1.mat: check option features")
            return nothing
        tracks = [self._track(files.get((r.subject, r.task)), r, shift) for r in recordings]
        if missing := [r.name for r in recordings if (r.subject, r.task) not in files]:
            self.problems.append(f"there is no landmark track of {', '.join(missing)}")
        total = sum(len(r.images.numbers) for r in recordings)
        known = sum(int(np.isfinite(t[:, 0, 0]).sum()) for t in tracks if t is not None)
        self.notes.append(
            f"landmarks: entry n of a track is image n{' - 1' if shift else ''}; "
            f"{total - known} of {total} frames have none"
        )
        return tracks

    def _track(
        self, file: Path | None, recording: Bp4dSequence, shift: int
    ) -> NDArray[np.float32] | None:
        if file is None:
            return None
        try:
            return read_track(file, recording.images.numbers + shift)
        except DatasetCorrupt as error:
            self.problems.append(f"{error}; {recording.name} goes without landmarks")
            return None


def _number(task: str) -> int:
    return int(task[1:])


@dataclass(frozen=True, eq=False)
class Bp4dSequence:
    """A recording that has both images and labels, before they are put together."""

    subject: str
    task: str
    images: FoundImages
    coded: NDArray[np.int64]
    """Frame numbers of the label file."""
    labels: NDArray[np.int8]
    """(coded frames, A)"""
    levels: NDArray[np.float32] | None = None
    """(coded frames, A) intensities, where they are asked for."""

    @property
    def name(self) -> str:
        """Name it as the field does."""
        return f"{self.subject}_{self.task}"

    def pictured(self, offset: int) -> NDArray[np.bool_]:
        """Tell which coded frames have an image if image number = frame number + offset."""
        return np.isin(self.coded + offset, self.images.numbers)

    def near_coded(self, offset: int, context: int | None) -> Bp4dSequence:
        """Drop images farther than `context` frames from the coded window; None keeps them all."""
        if context is None:
            return self
        low, high = self.coded.min() + offset - context, self.coded.max() + offset + context
        return replace(self, images=self.images.within(int(low), int(high)))

    def paired(self, offset: int, landmarks: NDArray[np.float32] | None) -> Sequence:
        """Put images and labels together; frames beside the coded window carry no label."""
        numbers = self.images.numbers
        labels = np.full((len(numbers), self.labels.shape[1]), UNCODED, np.int8)
        pictured = self.pictured(offset)
        rows = np.searchsorted(numbers, self.coded[pictured] + offset)
        labels[rows] = self.labels[pictured]
        levels = None
        if self.levels is not None:
            levels = np.full(labels.shape, np.nan, np.float32)
            levels[rows] = self.levels[pictured]
        return Sequence(
            subject=self.subject,
            task=self.task,
            frames=numbers - offset,
            labels=labels,
            source=self.images.source,
            landmarks=landmarks,
            numbers=numbers,
            intensities=levels,
        )
