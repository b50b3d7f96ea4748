"""DISFA (Mavadati et al., IEEE Transactions on Affective Computing 2013) as it lies on disk.

27 people watching a video of four minutes, 20 frames a second; 12 action units with intensities 0
to 5 on every frame. What copies look like, and what is done about it: `docs/datasets/disfa.md`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray

from datasets._files.folders import existing_root, format_ranges, group_by_key, places
from datasets._files.labels import Intensities, read_intensities
from datasets._files.video import VideoFrames, frame_count
from datasets._splits.folds import load_folds

from ._base import UNCODED, Dataset, DatasetCorrupt, DatasetMissing, FoldList, Sequence
from ._disfa import (
    BENCHMARK_AUS,
    OPTION_HELP,
    aus_option,
    official_landmarks,
    threshold_option,
    tracker_failed,
)
from ._options import one_of

BASES = ("", "DISFA")

VIDEOS = {
    "left": ("Videos_LeftCamera", "Video_LeftCamera"),
    "right": ("Video_RightCamera", "Videos_RightCamera"),
}

LABELS = ("ActionUnit_Labels", "ActionUnits_Labels")

LANDMARKS = ("Landmark_Points",)
"""Where copies keep things, below the root or a folder DISFA in it, perhaps below themselves."""

SUBJECT = "(?i:SN[0-9]{3})"
LINE = re.compile(r"\s*([1-9][0-9]{0,8})\s*,\s*([0-5])\s*")
LOOKS = "a line is frame,intensity: whole numbers, the frame from 1, the intensity 0 to 5"

TREE = (
    "expected are videos Videos_LeftCamera/LeftVideoSN001_comp.avi and label files "
    "ActionUnit_Labels/SN001/SN001_au1.txt below it"
)


@final
class Disfa(Dataset):
    """DISFA's recordings, one a person: the frames that both video and label files have."""

    aus: tuple[int, ...] = BENCHMARK_AUS
    fps = 20.0
    option_help: ClassVar[Mapping[str, str]] = {
        "camera": "left (default) or right",
        **OPTION_HELP,
        "tracker_failures": "keep (default) or drop the labels of the frames on which the "
        "official tracker lost the face",
        "features": "folder of official landmarks (default Landmark_Points, if any), or none",
    }

    def __init__(self, root: Path | None = None, **options: object):
        super().__init__(root, **options)
        self.aus = aus_option(options)
        self._threshold = threshold_option(options)
        self._camera = one_of(options, "camera", "left", ("left", "right"))
        self._drop = one_of(options, "tracker_failures", "keep", ("keep", "drop")) == "drop"

    def sequences(self) -> list[Sequence]:
        """List the people who have a video and labels, sorted.

        Raises DatasetMissing if nothing is there, and DatasetCorrupt for a label file that breaks
        its format or a person who is there twice. `problems` names what was left out.
        """
        self.problems = []
        root = existing_root(self.root, "DISFA", TREE)
        folders = self._found(root, LABELS, f"({SUBJECT})", "label folder")
        video = rf"(?i:{self._camera}Video({SUBJECT})_comp\.avi)"
        videos = self._found(
            root, VIDEOS[self._camera], video, f"video of the {self._camera} camera"
        )
        landmarks = self._landmark_folders(root)
        sequences = []
        for subject in sorted(folders.keys() | videos.keys()):
            if subject not in videos or subject not in folders:
                what = "a video without labels" if subject in videos else "labels without a video"
                self.problems.append(f"{subject}: {what}, left out")
                continue
            found = self._sequence(
                root, subject, folders[subject], videos[subject], landmarks.get(subject)
            )
            sequences += [found] if found else []
        self.problems += [
            f"{sequence.subject}: no landmark file is there, as others have"
            for sequence in sequences
            if landmarks and sequence.landmarks is None
        ]
        if not sequences:
            raise DatasetMissing(root, f"no label meets a video ({self.problems[-1]}); {TREE}")
        return sequences

    def folds(self) -> FoldList:
        """Return the canonical three subject folds (JAA-Net, ME-GraphAU)."""
        return load_folds("disfa")

    def _found(
        self, root: Path, usual: tuple[str, ...], pattern: str, what: str
    ) -> dict[str, Path]:
        """Map people to what a place holds of them; the first place with any wins, and is said."""
        held = {place: group_by_key(place, pattern) for place in places(root, BASES, usual)}
        having = [place for place, found in held.items() if found]
        if not having:
            raise DatasetMissing(root, f"no {what} is there; {TREE}")
        taken, *others = having
        for other in others:
            if held[other].keys() & held[taken].keys() and not other.samefile(taken):
                self.problems.append(f"{what}s are in {taken} and in {other}: the first are taken")
        return held[taken]

    def _landmark_folders(self, root: Path) -> dict[str, Path]:
        """Map people to their folders of official landmarks, which are of the left video."""
        given = str(self.options.get("features", "")).strip()
        if given == "none" or self._camera == "right":
            return {}
        if given:
            folder = root / Path(given).expanduser()
            if not (found := group_by_key(folder, f"({SUBJECT})")):
                raise DatasetMissing(folder, "no folder SN001 is there: check option features")
            return found
        try:
            return self._found(root, LANDMARKS, f"({SUBJECT})", "folder of landmarks")
        except DatasetMissing:
            return {}

    def _sequence(
        self, root: Path, subject: str, folder: Path, video: Path, landmarks: Path | None
    ) -> Sequence | None:
        """Put a person's recording together; None, and a sentence, if it cannot be."""
        coded = self._intensities(subject, folder)
        if coded is None:
            return None
        try:
            count = frame_count(video) or int(coded.frames[-1])
        except DatasetCorrupt as error:
            self.problems.append(f"{error}; {subject} left out")
            return None
        self._compare(subject, coded.frames, count)
        filmed = coded.frames <= count
        if not filmed.any():
            self.problems.append(f"{subject}: no labelled frame is in the video, left out")
            return None
        frames, labels = coded.frames[filmed], coded.labels(self._threshold)[filmed]
        levels = coded.levels[filmed]
        if self._drop:
            failed = tracker_failed(subject, frames)
            labels[failed], levels[failed] = UNCODED, np.nan
        name = video.relative_to(root).as_posix()
        return Sequence(
            subject=subject,
            task=self._camera,
            frames=frames,
            labels=labels,
            source=VideoFrames(root, name, tuple((frames - 1).tolist())),
            landmarks=official_landmarks(landmarks, frames, count, self.problems)
            if landmarks
            else None,
            intensities=levels,
        )

    def _intensities(self, subject: str, folder: Path) -> Intensities | None:
        files = group_by_key(folder, rf"(?i:{subject}_au0?([1-9][0-9]?)\.txt)")
        if not any(str(au) in files for au in self.aus):
            where = f"{folder.parent.name}/{folder.name}"
            self.problems.append(f"{subject}: no label file of these AUs in {where}, left out")
            return None
        by_au = {int(au): file for au, file in files.items()}
        coded = read_intensities(by_au, self.aus, LINE, LOOKS)
        self.problems += [f"{subject}: {gap}" for gap in coded.gaps]
        return coded

    def _compare(self, subject: str, frames: NDArray[np.int64], count: int) -> None:
        """Say where labels and video differ in length; frame n is the n-th picture in any case."""
        lengths = f"{subject}: the video has {count} frames, the labels go to {frames[-1]}"
        unfilmed = frames[frames > count].tolist()
        if unfilmed:
            self.problems.append(
                f"{lengths}; labels without a picture left out: {format_ranges(unfilmed)}"
            )
        # A header may promise billions, and a label file speak of them: no range is written out.
        edges = np.concatenate([[0], frames[frames <= count], [count + 1]])
        holes = [(a + 1, b - 1) for a, b in pairwise(edges.tolist()) if b > a + 1]
        if holes:
            where = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in holes)
            self.problems.append(f"{lengths}; pictures without a label left out: {where}")
