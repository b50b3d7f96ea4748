"""The options of the BP4D family's readers, checked before anything is read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from datasets._base import DatasetError

AUS = (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)
"""Those that the field reports on."""

CONTEXT = 8
"""Uncoded frames kept on either side: enough around a clip; all would be 2.5 times the disk."""

OPTION_HELP = {
    "frame_offset": "image number minus label frame number: auto, 0 or -1",
    "context": f"uncoded frames kept before and after the coded ones (default {CONTEXT}), or all",
    "tasks": "tasks, comma-separated, e.g. T1,T8 (default: all that are coded)",
    "aus": f"action units, comma-separated (default {','.join(map(str, AUS))})",
    "intensity": "least intensity that counts as present, 1 to 5, for AUs with intensity files; "
    "read: occurrence counts, intensities are kept for `table --metric icc`; off (default)",
    "features": "folder of landmark tracks F001_T1.mat (default 2DFeatures, if any), or none",
    "images": "folder of images, if it is none of the usual ones, or one of several",
    "labels": "folder of occurrence files, likewise",
    "folds": "CSV file of other subject folds: a header subject,fold, and folds from 0",
}


@dataclass(frozen=True, kw_only=True)
class Bp4dOptions:
    """What a person asked for; None is the default of each."""

    offset: int | None
    """Image number minus label frame number; None: judge by the files."""
    context: int | None
    """Uncoded frames kept on either side; None: all."""
    tasks: frozenset[str] | None
    aus: tuple[int, ...]
    level: int | None
    """Least intensity that counts as present; None: go by occurrence."""
    reads_levels: bool
    """Whether the intensity files are read."""
    keep_suspect: bool
    folders: Mapping[str, str]
    """`images`, `labels`, `features`: the folder to look in instead of the usual ones."""
    folds: str | None
    """File of folds; None: the dataset's."""


def read_options(options: Mapping[str, object], offset: str) -> Bp4dOptions:
    """Read the options, `offset` being the default of frame_offset.

    Raises DatasetError for a value that means nothing.
    """
    given = {key: str(value).strip() for key, value in options.items()}
    numbers = {"auto": None, "0": 0, "-1": -1}
    context = given.get("context", str(CONTEXT))
    if context != "all" and not re.fullmatch("[0-9]{1,6}", context):
        raise DatasetError(f"context is {context!r}: give a number of frames, or all")
    levels = {"off": None, "read": None, **{str(level): level for level in range(1, 6)}}
    return Bp4dOptions(
        offset=_one_of(given, "frame_offset", offset, numbers, "auto, 0 or -1"),
        context=None if context == "all" else int(context),
        tasks=_tasks(given),
        aus=_aus(given),
        level=_one_of(given, "intensity", "off", levels, "1 to 5, read or off"),
        reads_levels=given.get("intensity", "off") != "off",
        keep_suspect=bool(
            _one_of(given, "suspect", "drop", {"drop": 0, "keep": 1}, "drop or keep")
        ),
        folders={key: given[key] for key in ("images", "labels", "features") if key in given},
        folds=given.get("folds"),
    )


def _one_of(
    given: Mapping[str, str],
    key: str,
    default: str,
    values: Mapping[str, int | None],
    known: str,
) -> int | None:
    choice = given.get(key, default)
    if choice not in values:
        raise DatasetError(f"{key} is {choice!r}: it may be {known}")
    return values[choice]


def _tasks(given: Mapping[str, str]) -> frozenset[str] | None:
    choice = given.get("tasks", "all")
    names = frozenset(name.strip().upper() for name in choice.split(","))
    if choice == "all":
        return None
    if not all(re.fullmatch("T[0-9]{1,3}", name) for name in names):
        raise DatasetError(f"tasks is {choice!r}: give tasks as in tasks=T1,T8, or all")
    return names


def _aus(given: Mapping[str, str]) -> tuple[int, ...]:
    choice = given.get("aus", ",".join(map(str, AUS)))
    names = [name.strip() for name in choice.split(",")]
    if len(set(names)) < len(names) or not all(re.fullmatch("[1-9][0-9]?", n) for n in names):
        raise DatasetError(f"aus is {choice!r}: give AU numbers, once each, as in aus=6,10,12")
    return tuple(sorted(map(int, names)))
