"""Files that a table names: they must lie within one folder, whatever the table says."""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath


class Leaving(Exception):
    """A name that leads out of the folder, or is none: what is wrong with it, in words."""


class Enclosure:
    """A folder, and the names of files in it that may be followed."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._real = os.path.realpath(folder)
        self._checked: set[str] = set()
        """Folders that were found to lie within, so that each is looked at once."""

    def name(self, given: str) -> str:
        """Return a given path relative to the folder, with forward slashes.

        Raises Leaving for one that is absolute and elsewhere, contains `..`, or goes through a
        symbolic link to elsewhere.
        """
        if not given.isprintable() or not given:
            raise Leaving(f"{given!r} is no file name")
        path = PurePosixPath(given.replace("\\", "/"))
        if ".." in path.parts:
            raise Leaving(f"{given} contains .., which may lead out of {self.folder}")
        if path.is_absolute():
            path = self._relative(path)
        parent = str(path.parent)
        if parent not in self._checked:
            self._follow(parent)
            self._checked.add(parent)
        if (self.folder / path).is_symlink():
            self._follow(str(path))
        return str(path)

    def holds(self, name: str) -> bool:
        """Tell whether a name that was checked is that of a file (no folder, pipe or device)."""
        try:
            return stat.S_ISREG((self.folder / name).stat().st_mode)
        except (OSError, ValueError):
            return False

    def _relative(self, path: PurePosixPath) -> PurePosixPath:
        for folder in (str(self.folder.absolute()), self._real):
            if path.is_relative_to(folder):
                return path.relative_to(folder)
        raise Leaving(f"{path} is not within {self.folder}")

    def _follow(self, name: str) -> None:
        real = os.path.realpath(self.folder / name)
        if os.path.commonpath([real, self._real]) != self._real:
            raise Leaving(f"{name} is a link that leads out of {self.folder}")
