"""DISFA's official landmarks: a MATLAB file a video frame, and where their tracker lost the face.

Files in `Landmark_Points/SN001/tmp_frame_lm` are named in two ways: `SN001_0000_lm.mat` counts
frames from 0, `l00001_lm.mat` from 1, where the file numbered 0 is one too many. Copies differ, so
that the last number decides: it is the video's last frame, counted from 0 or from 1. Files of the
second name that stop one short and have none numbered 0 have lost their last.

Shapes: T frames that are asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasets._files.image_folders import numbered
from datasets._files.matlab import read_mat5
from datasets._landmarks.landmark_files import read_points, shaped

from ._options import chosen_aus, one_of

NAME = r"(?i:(?:SN[0-9]{3}_|l)([0-9]{1,9})_lm\.mat)"
POINTS = 66
FOLDERS = ("tmp_frame_lm", "frame_lm", "")

TRACKER_FAILURES: Mapping[str, tuple[tuple[int, int], ...]] = {
    "SN001": ((398, 420), (3190, 3243)),
    "SN002": ((800, 826),),
    "SN004": ((4541, 4555),),
    "SN006": ((1349, 1405),),
    "SN009": ((1736, 1808), (1851, 1885)),
    "SN011": ((4529, 4533), (4830, 4845)),
    "SN021": (
        *((574, 616), (985, 1164), (1190, 1205), (1305, 1338), (1665, 1710), (1862, 2477)),
        *((2554, 4657), (4710, 4722)),
    ),
    "SN023": (
        *((1021, 1049), (3378, 3557), (3584, 3668), (4547, 4621), (4741, 4772), (4825, 4845)),
    ),
    "SN025": ((4596, 4662), (4816, 4835)),
    "SN027": ((3461, 3494), (4738, 4785)),
    "SN028": ((1875, 1885), (4571, 4690)),
    "SN029": ((4090, 4543),),
    "SN030": ((939, 962), (1406, 1422), (2100, 2132), (2893, 2955)),
}
"""First and last frames, from 1, on which the official points are not on the face."""


def tracker_failed(subject: str, frames: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell for which frames (T,), counted from 1, the official points are not to be believed."""
    failed = np.zeros(len(frames), bool)
    for first, last in TRACKER_FAILURES.get(subject, ()):
        failed |= (frames >= first) & (frames <= last)
    return failed


def official_landmarks(
    home: Path, frames: NDArray[np.int64], video_frames: int, problems: list[str]
) -> NDArray[np.float32] | None:
    """Read a subject's points (T, 49, 2) for frames (T,), counted from 1; None if it has none.

    `home` is the subject's folder. Points are NaN where a file is missing or unusable, or where the
    tracker failed; `problems` gets a sentence about either.
    """
    files = _files(home)
    if not files:
        return None
    first = _first_number(home, files, video_frames, problems)
    failed = tracker_failed(home.name.upper(), frames)
    points = np.full((len(frames), 49, 2), np.nan, np.float32)
    by_frame = {number - first + 1: file for number, file in files.items()}
    points[~failed] = read_points(home.name, frames[~failed], by_frame, _points, problems)
    return points


def _files(home: Path) -> dict[int, Path]:
    """Return landmark files by number."""
    return next((found for place in FOLDERS if (found := numbered(home / place, NAME))), {})


def _first_number(
    home: Path, files: Mapping[int, Path], video_frames: int, problems: list[str]
) -> int:
    """Return the number of the file about frame 1: 0 or 1."""
    last = max(files)
    counts_from_zero = 0 in files or files[last].name.upper().startswith("SN")
    if last == video_frames - 1 and counts_from_zero:
        return 0
    if last in (video_frames - 1, video_frames):  # one less: the last file is lost
        return 1
    first = int(not files[last].name.upper().startswith("SN"))
    problems.append(
        f"{home.name}: the landmark files end with {files[last].name} and the video with frame "
        f"{video_frames}: file {first} is taken for frame 1"
    )
    return first


def _points(file: Path) -> NDArray[np.float64]:
    """Read `pts`, (66, 2); ValueError, or whatever else scipy raises, if it is not there."""
    return shaped(read_mat5(file, "pts").astype(np.float64), POINTS, "`pts`")


CODED_AUS = (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)
"""Every AU that is coded."""

BENCHMARK_AUS = (1, 2, 4, 6, 9, 12, 25, 26)
"""Those that the literature reports on (JAA-Net, ME-GraphAU and after)."""

OPTION_HELP = {
    "threshold": "least intensity that counts as present, 1 to 5 (default 2)",
    "aus": f"action units, comma-separated (default {','.join(map(str, BENCHMARK_AUS))}), or all",
}


def threshold_option(options: Mapping[str, object]) -> int:
    """Return option `threshold`; DatasetError if it is no intensity of what is present."""
    return int(one_of(options, "threshold", "2", ("1", "2", "3", "4", "5")))


def aus_option(options: Mapping[str, object]) -> tuple[int, ...]:
    """Return the AUs that option `aus` asks for, sorted; DatasetError for any that is not coded."""
    return chosen_aus(options, BENCHMARK_AUS, CODED_AUS)
