"""Faces of recordings from a face file (docs/faces.md), and found ones written as such a file.

Shapes: T frames of a recording, t frames from the first to the last with a face.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.errors import UsageError
from bench.system.files import atomic_file
from datasets._landmarks.face_file import FaceFile, pick_rows, read_face_files

from .recordings import Face, Recording


def faces_from_file(
    path: Path, recordings: Sequence[Recording], offset: int = 0
) -> dict[str, list[Face]]:
    """Return the faces that a file, or a folder of them, knows of each recording.

    A row is about a recording by the column `subject`, and about its face k by `task` k, if there
    is one; a file without a subject is about the only recording. `offset` is the picture's number
    minus the file's frame. Raises UsageError if there is no such file or no row is about any frame,
    and DatasetCorrupt for a file that is none.
    """
    if not path.exists():
        raise UsageError(f"--landmarks {path}: there is no such face file or folder")
    known = read_face_files(path, recordings[0].name if len(recordings) == 1 else None)
    faces = {each.name: list(_faces_of(known, each, offset)) for each in recordings}
    if not any(faces.values()):
        names = ", ".join(sorted(known.index)[:3]) or "nobody"
        first = recordings[0]
        raise UsageError(
            f"--landmarks {path}: no row is about a frame of {first.name} (its first is "
            f"{first.frames[0]}); the file is about {names}"
        )
    return faces


def _faces_of(known: FaceFile, recording: Recording, offset: int) -> Iterator[Face]:
    for name, number in _names_of(known, recording.name):
        rows = known.rows_of(name, recording.frames - offset)
        found = np.flatnonzero(rows >= 0)
        if not len(found):
            continue
        first, last = int(found[0]), int(found[-1])
        part = rows[first : last + 1]
        yield Face(
            id=number,
            first=first,
            confidence=_confidence(known, part),
            boxes=pick_rows(known.boxes, part),
            landmarks=pick_rows(known.points, part),
        )


def _names_of(known: FaceFile, recording: str) -> list[tuple[str, int]]:
    """Return the names under which a file knows a recording, with the face's id, by that."""
    numbered = re.compile(re.escape(recording) + r"(?:_([0-9]{1,6}))?")
    matches = [match for name in known.index if (match := numbered.fullmatch(name))]
    return sorted(((m[0], int(m[1] or 0)) for m in matches), key=lambda pair: pair[1])


def _confidence(known: FaceFile, rows: NDArray[np.intp]) -> NDArray[np.float32]:
    found = pick_rows(known.confidence, rows)
    return np.full(len(rows), np.nan, np.float32) if found is None else found


def write_face_file(
    path: Path, recordings: Sequence[Recording], faces: Mapping[str, Sequence[Face]]
) -> None:
    """Write boxes as a face file that `--landmarks` takes; raises RecordError."""
    parts = [_rows(each, face) for each in recordings for face in faces[each.name]]
    table = pd.concat(parts or [pd.DataFrame(columns=["subject", "task", "frame"])])
    with atomic_file(path) as stream:
        table.to_csv(stream, index=False)


def _rows(recording: Recording, face: Face) -> pd.DataFrame:
    assert face.boxes is not None
    at = np.flatnonzero(np.isfinite(face.boxes).all(axis=1))
    boxes = pd.DataFrame(face.boxes[at].round(2), columns=["x0", "y0", "x1", "y1"])
    about = pd.DataFrame(
        {
            "subject": recording.name,
            "task": face.id,
            "frame": recording.frames[face.first + at],
            "confidence": face.confidence[at].round(3),
        }
    )
    return pd.concat([about, boxes], axis=1)
