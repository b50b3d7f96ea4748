"""Films and pictures of one's own, read as a dataset is, without labels; made by `predict`.

A film is a video, or a folder of numbered pictures of one size; other pictures stand for themselves
each. The frame store crops them as it does any dataset's frames.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray

from bench.errors import UsageError
from datasets._base import (
    UNCODED,
    BrokenFrame,
    Dataset,
    DatasetCorrupt,
    FoldList,
    FrameSource,
    Sequence,
)
from datasets._files.images import ImageFiles
from datasets._files.video import VideoFrames, frame_times

PICTURES = frozenset({".jpg", ".jpeg", ".png"})
VIDEOS = frozenset(
    {".avi", ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".wmv", ".3gp"}
)
FPS = 25.0
"""Pictures a second of a folder of numbered pictures, unless it is said."""


@dataclass(frozen=True, eq=False)
class Recording:
    """One film or picture: its frames, and when each was taken."""

    name: str
    source: FrameSource
    frames: NDArray[np.int64]
    """(T,) numbers: of a video from 1 on, of pictures those in their names."""
    times: NDArray[np.float64]
    """(T,) seconds from the first frame."""
    path: Path
    """The video, the picture, or the folder of a film's pictures."""


@dataclass(frozen=True, eq=False)
class Face:
    """One face of a recording: where it is, on the t frames from the first to the last with it."""

    id: int
    first: int
    """Place of the first of these frames in the recording."""
    confidence: NDArray[np.float32]
    """(t,) of the detector; NaN where the face is not known, or nobody says how surely."""
    boxes: NDArray[np.float32] | None = None
    """(t, 4) x0, y0, x1, y1 in pixels; NaN where unknown."""
    landmarks: NDArray[np.float32] | None = None
    """(t, L, 2) in pixels; NaN where unknown."""


@final
class Recordings(Dataset):
    """Recordings as a dataset without labels: a sequence for each face (task = the face's id)."""

    needs_root = False

    def __init__(
        self,
        recordings: list[Recording],
        aus: tuple[int, ...],
        faces: Mapping[str, list[Face]] | None = None,
    ):
        super().__init__()
        self.recordings, self.aus, self.fps, self.faces = recordings, aus, FPS, faces

    def sequences(self) -> list[Sequence]:
        """List every face of every recording; a recording without detected faces is left out."""
        if self.faces is None:
            return [_sequence(r, len(self.aus)) for r in self.recordings]
        found = []
        for recording in self.recordings:
            for face in self.faces[recording.name]:
                whole = _sequence(recording, len(self.aus))
                found.append(_of_face(whole, recording, face))
        return found

    def folds(self) -> FoldList:
        """Return no fold: nobody is trained on."""
        return FoldList("none", (), "")


def _sequence(recording: Recording, aus: int) -> Sequence:
    labels = np.full((len(recording.frames), aus), UNCODED, np.int8)
    return Sequence(
        subject=recording.name,
        task="0",
        frames=recording.frames,
        labels=labels,
        source=recording.source,
    )


def _of_face(whole: Sequence, recording: Recording, face: Face) -> Sequence:
    places = range(face.first, face.first + len(face.confidence))
    return replace(
        whole,
        task=str(face.id),
        frames=whole.frames[places],
        labels=whole.labels[places],
        source=part_of(recording.source, places),
        boxes=face.boxes,
        landmarks=face.landmarks,
    )


def part_of(source: FrameSource, places: range) -> FrameSource:
    """Return some of a source's frames, in order."""
    if len(places) == len(source):
        return source
    if isinstance(source, VideoFrames):
        return replace(source, positions=tuple(source.positions[k] for k in places))
    assert isinstance(source, ImageFiles)
    return source.pick(places)


def find_recordings(
    source: Path,
    *,
    fps: float = FPS,
    stills: bool = False,
    note: Callable[[str], None] = lambda _: None,
) -> list[Recording]:
    """Find the films and pictures that a path stands for: a file, or a folder and those below it.

    `stills` takes every picture for itself; where it is not asked for, `note` is told why several
    pictures are no film. It is told of videos in a folder that cannot be read, too. Raises
    UsageError if there is nothing to read, and DatasetCorrupt for a video by itself that cannot be.
    """
    if source.is_file():
        return [_of_file(source)]
    if not source.is_dir():
        raise UsageError(f"{source}: there is no such video, picture or folder")
    found = list(_below(source, fps, note, stills=stills))
    if not found:
        kinds = ", ".join(sorted(kind.removeprefix(".") for kind in PICTURES | VIDEOS))
        raise UsageError(f"{source}: there is no video or picture in this folder ({kinds})")
    return _named_by_path(source, found)


def _of_file(file: Path) -> Recording:
    if file.suffix.lower() in PICTURES:
        return _still(file.parent, file)
    times = frame_times(file)
    source = VideoFrames(file.parent, file.name, tuple(range(len(times))))
    return Recording(file.stem, source, np.arange(1, len(times) + 1), times, file)


def _still(root: Path, file: Path) -> Recording:
    source = ImageFiles(root, (file.relative_to(root).as_posix(),))
    return Recording(file.stem, source, np.array([_number(file) or 1]), np.zeros(1), file)


def _below(
    folder: Path, fps: float, note: Callable[[str], None], *, stills: bool
) -> Iterator[Recording]:
    files = sorted(path for path in folder.iterdir() if path.is_file())
    for file in (file for file in files if file.suffix.lower() in VIDEOS):
        try:
            yield _of_file(file)
        except DatasetCorrupt as error:
            note(f"{error}; left out")
    pictures = [file for file in files if file.suffix.lower() in PICTURES]
    wanted = stills or len(pictures) < 2
    reason = None if wanted else _why_no_film(pictures)
    if reason:
        note(f"{folder}: {reason}: taken as stills (--stills says that this is meant)")
    if wanted or reason:
        yield from (_still(folder, picture) for picture in pictures)
    else:
        yield _film(folder, pictures, fps)
    for below in sorted(path for path in folder.iterdir() if path.is_dir()):
        yield from _below(below, fps, note, stills=stills)


def _film(folder: Path, pictures: list[Path], fps: float) -> Recording:
    ordered = sorted(pictures, key=lambda file: _number(file) or 0)
    frames = np.array([_number(file) for file in ordered], np.int64)
    source = ImageFiles(folder, tuple(file.name for file in ordered))
    return Recording(folder.resolve().name, source, frames, (frames - frames[0]) / fps, folder)


def _why_no_film(pictures: list[Path]) -> str | None:
    """Say why pictures are not one film, numbered frames of one size; None if they are."""
    patterns = {re.sub(r"[0-9]+(?=[^0-9]*$)", "#", file.name): file.name for file in pictures}
    if len(patterns) > 1:
        one, other = sorted(patterns.values())[:2]
        return f"names of pictures differ in more than a number ({one}, {other})"
    numbers: dict[int, str] = {}
    for file in pictures:
        number = _number(file)
        if number is None:
            return f"a number is too long for a frame ({file.name})"
        if number in numbers:
            return f"pictures have the same number ({numbers[number]}, {file.name})"
        numbers[number] = file.name
    return _other_size(pictures)


def _other_size(pictures: list[Path]) -> str | None:
    """Say which picture is of another size than those before it, if any is.

    Looked at are the first, the middle and the last one: to open thousands takes a while. One that
    cannot be read has no size, and is a gap of the film.
    """
    looked_at = [pictures[k] for k in (0, len(pictures) // 2, -1)]
    sizes = [(file, size) for file in looked_at if (size := _size(file))]
    for file, size in sizes:
        if size != sizes[0][1]:
            return f"pictures differ in size ({file.name})"
    return None


def _number(file: Path) -> int | None:
    """Return the last number in a file's name, if there is one that a frame can have."""
    digits = re.findall(r"[0-9]+", file.stem)
    return int(digits[-1]) if digits and len(digits[-1]) <= 18 else None


def _size(file: Path) -> tuple[int, ...] | None:
    """Return the (height, width) of a picture, None if it cannot be decoded, header or not."""
    (frame,) = ImageFiles(file.parent, (file.name,)).read()
    return None if isinstance(frame, BrokenFrame) else frame.shape[:2]


def _named_by_path(source: Path, recordings: list[Recording]) -> list[Recording]:
    """Name recordings by their paths below the source: F001/T1 is F001_T1, as datasets have it.

    Where that is taken (smile.mp4 lies beside smile.avi), a number is added.
    """
    names: set[str] = set()
    kept = []
    for recording in recordings:
        folders = recording.path.relative_to(source).parent.parts
        name = whole = "_".join((*folders, recording.name))
        count = 1
        while name in names:
            count += 1
            name = f"{whole}-{count}"
        names.add(name)
        kept.append(replace(recording, name=name))
    return kept
