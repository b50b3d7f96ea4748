"""Looking into a dataset's folders: names by pattern, and numbers written for people."""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from datasets._base import DatasetCorrupt, DatasetMissing


def match_names(folder: Path, pattern: str) -> list[str]:
    """Return the sorted names in a folder that match whole; none if there is no such folder.

    Raises DatasetMissing if it may not be listed, and DatasetCorrupt for a name that is not UTF-8.
    """
    wanted = re.compile(pattern)
    found = [name for name in _listed(folder) if wanted.fullmatch(name)]
    for name in found:
        if not name.isprintable() and printable(name) != name:
            what = f"the name {printable(name)} in it is not UTF-8: rename it"
            raise DatasetCorrupt(folder, None, what)
    return found


def _listed(folder: Path) -> list[str]:
    """Return the sorted names in a folder; none if there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise DatasetMissing(folder, f"it cannot be listed ({error.strerror})") from error


def printable(name: str) -> str:
    """Write a name so that any terminal takes it: bytes that are no UTF-8 in hexadecimal."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def files_below(folder: Path, pattern: str) -> list[Path]:
    """List the files at any depth whose names match whole, sorted; links are followed, once each.

    What systems and programs put beside files is passed over: hidden files (`._a.csv`), folders
    of archives (`__MACOSX`), locks of open documents (`~$a.csv`).
    """
    found: list[Path] = []
    seen: set[str] = set()
    for place, inside, files in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(place)) in seen:
            inside.clear()
            continue
        seen.add(real)
        inside[:] = sorted(name for name in inside if not name.startswith((".", "__MACOSX")))
        wanted = (name for name in match_names(Path(place), pattern) if name in files)
        found += [Path(place, name) for name in wanted if not name.startswith((".", "~$"))]
    return sorted(found)


def format_ranges(numbers: Iterable[int]) -> str:
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


def group_by_key(folder: Path, pattern: str) -> dict[str, Path]:
    """Map what the pattern's group 1 captures, in capitals, to the entry of that name.

    Raises DatasetCorrupt if two entries are about the same: only the owner knows which counts.
    """
    found: dict[str, Path] = {}
    for name in match_names(folder, pattern):
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


class PathEscape(Exception):
    """A name that leads out of the folder, or is none: what is wrong with it, in words."""


class SafeFolder:
    """A folder, and the names of files in it that may be followed."""

    def __init__(self, folder: Path):
        self.path = folder
        self._real = os.path.realpath(folder)
        self._checked: set[str] = set()
        """Folders that were found to lie within, so that each is looked at once."""
        self._names: dict[str, dict[str, str]] = {}
        """What lies in a folder: names without case and accents' form -> names as they are."""

    def name(self, given: str) -> str:
        """Return a given path relative to the folder, with forward slashes.

        Raises PathEscape for one that is absolute and elsewhere, contains `..` or a control
        character, or goes through a symbolic link to elsewhere.
        """
        # Spaces of every width and the joiners of emoji are in the names of real files.
        if not given or any(unicodedata.category(letter) in ("Cc", "Cs") for letter in given):
            raise PathEscape(f"{given!r} is no file name")
        path = PurePosixPath(given.replace("\\", "/"))
        if ".." in path.parts:
            raise PathEscape(f"{given} contains .., which may lead out of {self.path}")
        if path.is_absolute():
            path = self._relative(path)
        parent = str(path.parent)
        if parent not in self._checked:
            self._follow(parent)
            self._checked.add(parent)
        if (self.path / path).is_symlink():
            self._follow(str(path))
        return str(path)

    def holds(self, name: str) -> bool:
        """Tell whether a name that was checked is that of a file (no folder, pipe or device)."""
        try:
            return stat.S_ISREG((self.path / name).stat().st_mode)
        except (OSError, ValueError):
            return False

    def alike(self, name: str) -> str:
        """Return the name of what is there instead, if only case or the form of accents differs.

        `name` is one that was checked and is not there; "" if nothing is alike.
        """
        found = PurePosixPath()
        for part in PurePosixPath(name).parts:
            here = str(found)
            if here not in self._names:
                self._names[here] = {fold_name(entry): entry for entry in _listed(self.path / here)}
            same = (self.path / found / part).exists()
            other = part if same else self._names[here].get(fold_name(part))
            if other is None:
                return ""
            found /= other
            if (self.path / found).is_symlink():
                return ""
        return printable(str(found)) if self.holds(str(found)) else ""

    def _relative(self, path: PurePosixPath) -> PurePosixPath:
        for folder in (str(self.path.absolute()), self._real):
            if path.is_relative_to(folder):
                return path.relative_to(folder)
        raise PathEscape(f"{path} is not within {self.path}")

    def _follow(self, name: str) -> None:
        real = os.path.realpath(self.path / name)
        if os.path.commonpath([real, self._real]) != self._real:
            raise PathEscape(f"{name} is a link that leads out of {self.path}")


def fold_name(name: str) -> str:
    """Write a name as one sees it who knows neither case nor forms of accents."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
