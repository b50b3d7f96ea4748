"""Looking into a dataset's folders: names by pattern, and numbers written for people."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from ._base import DatasetMissing


def listing(folder: Path, pattern: str) -> list[str]:
    """Return the sorted names in a folder that match whole; none if there is no such folder.

    Raises DatasetMissing if it may not be listed.
    """
    wanted = re.compile(pattern)
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if wanted.fullmatch(entry.name))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise DatasetMissing(folder, f"it cannot be listed ({error.strerror})") from error


def spans(numbers: Iterable[int]) -> str:
    """Write whole numbers as spans: 1, 2, 3, 7 -> `1-3, 7`."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number <= runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
