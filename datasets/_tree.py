"""Looking into a dataset's folders: names by pattern, and numbers written for people."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from ._base import DatasetCorrupt, DatasetMissing


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


def existing_root(root: Path | None, name: str, tree: str) -> Path:
    """Return the folder a dataset is to be read from; DatasetMissing if it is none.

    `tree` says in words what is expected below it.
    """
    if root is None:
        raise DatasetMissing(name, f"say where its folder is (--root); {tree}")
    if not root.is_dir():
        raise DatasetMissing(root, "there is no such folder: check the root")
    return root


def keyed(folder: Path, pattern: str) -> dict[str, Path]:
    """Map what the pattern's group 1 captures, in capitals, to the entry of that name.

    Raises DatasetCorrupt if two entries are about the same: only the owner knows which counts.
    """
    found: dict[str, Path] = {}
    for name in listing(folder, pattern):
        match = re.fullmatch(pattern, name)
        assert match is not None, "listing lets only matches through"
        key = match[1].upper()
        if key in found:
            what = f"{found[key].name} lies beside it and is about {key} too: keep one of them"
            raise DatasetCorrupt(folder / name, None, what)
        found[key] = folder / name
    return found


def places(root: Path, bases: Iterable[str], usual: Iterable[str]) -> list[Path]:
    """List the folders to look in: the usual ones below the root or a base folder in it.

    An archive unpacked into a folder of its own name puts a place below itself.
    """
    usual = list(usual)
    homes = [root / base / place for base in bases for place in usual]
    return [folder for home in homes for folder in (home, home / home.name)]
