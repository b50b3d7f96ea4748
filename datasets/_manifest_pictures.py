"""A manifest's pictures: names of image files or of a video, none of which leaves its folder.

Shapes: R rows of the manifest.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ._base import FrameSource
from ._enclosure import Enclosure, Leaving
from ._manifest_rows import PICTURES, Rows
from ._sources import ImageFiles
from ._table import Table, Texts
from ._video import VideoFrames


@dataclass(frozen=True, eq=False)
class Pictures:
    """Where each row's picture is: in a file of its own, or in a video."""

    folder: Path
    images: Texts
    """(R,) relative to `folder`; empty where it is in a video."""
    videos: Texts
    there: NDArray[np.bool_]
    """(R,) whether the file is."""

    def source(self, rows: NDArray[np.intp], frames: NDArray[np.int64]) -> FrameSource:
        """Return the pixels of one recording's rows; a video's frames count from 1."""
        if video := self.videos[rows[0]]:
            return VideoFrames(self.folder, video, tuple((frames - 1).tolist()))
        return ImageFiles(self.folder, tuple(self.images[rows]))


def find_pictures(rows: Rows, enclosure: Enclosure) -> Pictures:
    """Look every file up, once.

    Raises DatasetCorrupt for a name that leads out of the folder, a row without picture or with
    two, and a recording in two videos.
    """
    images, videos = (_names(rows.table, kind, enclosure) for kind in PICTURES)
    wrong = (images == "") == (videos == "")
    rows.table.refuse(wrong, lambda _: "a row names either a path or a video")
    _check_videos(rows, videos)
    names = images + videos
    holds = {name: enclosure.holds(name) for name in dict.fromkeys(names)}
    there = np.array([holds[name] for name in names], np.bool_)
    return Pictures(enclosure.folder, images, videos, there)


def _names(table: Table, kind: str, enclosure: Enclosure) -> Texts:
    """Return a column of paths (R,) as names in the folder, empty where it is empty."""
    if kind not in table.data:
        return np.full(len(table.data), "", np.object_)
    known: dict[str, str] = {"": ""}
    given = table.texts(kind)
    for row, text in enumerate(given):
        if text not in known:
            try:
                known[text] = enclosure.name(text)
            except Leaving as error:
                raise table.bad(row, f"{kind} {error}") from None
    return np.array([known[text] for text in given], np.object_)


def _check_videos(rows: Rows, videos: Texts) -> None:
    video_of: dict[str, str] = {}
    first = [video_of.setdefault(n, v) for n, v in zip(rows.names, videos, strict=True)]
    before = np.array(first, np.object_)
    rows.table.refuse(
        before != videos,
        lambda row: (
            f"{rows.names[row]} is in {videos[row] or 'pictures'} here, "
            f"and in {before[row] or 'pictures'} before"
        ),
    )
    early = (videos != "") & (rows.frames < 1)
    rows.table.refuse(early, lambda _: "the frames of a video count from 1")
