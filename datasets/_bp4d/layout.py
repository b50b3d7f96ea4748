"""Where copies of BP4D and its relatives keep images and label files, and who is there twice.

Images lie in folders `F001/T1`, or in zip archives `F001.zip`, `F001_T1.zip` or `F001/T1.zip`. One
person in two spellings or two folders is an error: nobody but the owner knows whether that is one
person's recordings copied twice, or two people's.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from datasets._base import UNCODED, DatasetCorrupt
from datasets._files.folders import format_ranges, match_names
from datasets._files.images import ImageFiles
from datasets._files.labels import read_intensities
from datasets._files.zip_images import Member, ZipImages, images_in

SUBJECT, TASK = r"[FMfm][0-9]{3}", r"[Tt][0-9]{1,3}"

Key = tuple[str, str]
"""Subject and task."""

Entry = TypeVar("Entry", str, Member)


@dataclass(frozen=True, eq=False)
class FoundImages:
    """The images of a recording; `numbers` (T,) are those in their names, strictly increasing."""

    numbers: NDArray[np.int64]
    source: ImageFiles | ZipImages

    def within(self, low: int, high: int) -> FoundImages:
        """Keep the images numbered low..high."""
        kept = np.flatnonzero((self.numbers >= low) & (self.numbers <= high))
        return FoundImages(self.numbers[kept], self.source.pick(kept.tolist()))


@dataclass(eq=False)
class ImageTree:
    """The image folders and archives of every subject; `problems` gets what cannot be used."""

    root: Path
    problems: list[str]
    folders: dict[Key, Path] = field(default_factory=dict)
    archives: dict[Key, list[Path]] = field(default_factory=lambda: defaultdict(list))
    """Task `""` where the archive may hold any."""
    _listed: dict[Path, dict[str, list[tuple[int, Member]]]] = field(default_factory=dict)
    """The archive that was listed last: a thousand tables of contents would fill the memory."""

    def keys(self, tasks: Collection[str]) -> set[Key]:
        """Return what may have images: an archive of all tasks may hold each of `tasks`."""
        named = {key for key in (*self.folders, *self.archives) if key[1]}
        whole = {subject for subject, task in self.archives if not task}
        return named | {(subject, task) for subject in whole for task in (tasks or [""])}

    def images(self, subject: str, task: str) -> FoundImages | None:
        """Return a recording's images, from its folder or else from an archive; None if none."""
        if (subject, task) in self.folders:
            folder = self.folders[subject, task]
            prefix = folder.relative_to(self.root).as_posix()
            files = match_names(folder, r"[0-9]{1,9}\.(?i:jpg|jpeg|png)")
            pairs = [(int(file.partition(".")[0]), f"{prefix}/{file}") for file in files]
            if pairs:
                numbers, names = self._by_number(f"{subject}_{task}", pairs)
                return FoundImages(numbers, ImageFiles(self.root, names))
        for its_task in (task, ""):
            for archive in self.archives.get((subject, its_task), []):
                if listed := self._in_archive(archive, subject, its_task).get(task):
                    numbers, members = self._by_number(f"{subject}_{task}", listed)
                    where = archive.relative_to(self.root).as_posix()
                    return FoundImages(numbers, ZipImages(self.root, where, members))
        return None

    def _in_archive(
        self, archive: Path, subject: str, task: str
    ) -> dict[str, list[tuple[int, Member]]]:
        """List an archive; a damaged one is named and holds nothing."""
        if archive not in self._listed:
            try:
                listed, refused = images_in(archive, subject, task or None)
            except DatasetCorrupt as error:
                listed, refused = {}, [f"{error}; left out"]
            self._listed = {archive: listed}
            self.problems += refused
        return self._listed[archive]

    def _by_number(
        self, name: str, pairs: Iterable[tuple[int, Entry]]
    ) -> tuple[NDArray[np.int64], tuple[Entry, ...]]:
        """Sort by number; of several files for one number the first by name counts."""
        entries: dict[int, Entry] = {}
        twice = []
        for number, entry in pairs:
            if number in entries:
                twice.append(number)
            entries.setdefault(number, entry)
        if twice:
            where = format_ranges(twice)
            self.problems.append(
                f"{name}: several files for image {where}, the first by name counts"
            )
        numbers = sorted(entries)
        return np.array(numbers, np.int64), tuple(entries[number] for number in numbers)


def find_images(root: Path, places: Sequence[str], problems: list[str]) -> ImageTree:
    """List subjects and tasks in all of `places` below the root.

    Raises DatasetCorrupt if a subject is there in two spellings or in two places.
    """
    tree = ImageTree(root, problems)
    seen: dict[str, Path] = {}
    for home in _homes(root, places):
        for subject, entry in _subjects(home):
            other = seen.setdefault(subject, entry)
            if other.parent != home or other.name[:4] != entry.name[:4]:
                what = (
                    f"{subject} is also at {other.relative_to(root)}: keep one, or name the folder "
                    "of images to read (option images)"
                )
                raise DatasetCorrupt(entry, None, what)
            _add(tree, subject, entry)
    return tree


def find_files(root: Path, places: Sequence[str], pattern: str) -> dict[Key, Path]:
    """Map subject and task to `F001_T1<pattern>` in any of `places`, spelled in either case.

    Raises DatasetCorrupt if two files are about one recording and are not the same, byte for byte.
    """
    found: dict[Key, Path] = {}
    for home in _homes(root, places):
        for name in match_names(home, rf"{SUBJECT}_{TASK}{pattern}"):
            subject, task = name.upper().partition(".")[0].split("_")[:2]
            file, first = home / name, found.setdefault((subject, task), home / name)
            if file != first and not _same(file, first):
                what = (
                    f"{first.relative_to(root)} is about the same recording and differs: keep one, "
                    "or name the folder to read (option labels)"
                )
                raise DatasetCorrupt(file, None, what)
    return found


def _same(one: Path, other: Path) -> bool:
    """Compare two files' content; one that cannot be read is not the same as anything."""
    try:
        return one.read_bytes() == other.read_bytes()
    except OSError:
        return False


def _homes(root: Path, places: Sequence[str]) -> Iterator[Path]:
    """Yield the places that exist, a folder that is there under two names once."""
    seen = set()
    for home in (root / place for place in places):
        if home.is_dir() and home.resolve() not in seen:
            seen.add(home.resolve())
            yield home


def _subjects(home: Path) -> Iterator[tuple[str, Path]]:
    """Yield each subject with its folders and archives in one place."""
    for name in match_names(home, rf"{SUBJECT}(?:(?:_{TASK})?\.(?i:zip))?"):
        yield name[:4].upper(), home / name


def _add(tree: ImageTree, subject: str, entry: Path) -> None:
    """Enter a subject's folder, or an archive, into the tree."""
    if entry.suffix:
        task = entry.stem.upper()[5:]
        tree.archives[subject, task].append(entry)
        return
    for name in match_names(entry, rf"{TASK}(?:\.(?i:zip))?"):
        task = name.upper().partition(".")[0]
        if name.upper() != task:
            tree.archives[subject, task].append(entry / name)
        elif tree.folders.setdefault((subject, task), entry / name) != entry / name:
            first = tree.folders[subject, task].name
            raise DatasetCorrupt(entry / name, None, f"there is also {first}: keep one of them")


LINE = re.compile(r"\s*([0-9]{1,9})\s*,\s*([0-59])\s*")
LOOKS = "a line is frame,intensity: 0 to 5, or 9 for unknown"
UNKNOWN = 9


def find_level_files(root: Path, places: Iterable[str]) -> dict[Key, dict[int, Path]]:
    """Map subject and task to AU -> intensity file, in folders `AU06` of any of `places`."""
    folders: dict[int, list[str]] = defaultdict(list)
    for place in places:
        for name in match_names(root / place, r"(?i:au)[0-9]{1,2}"):
            folders[int(name[2:])].append(f"{place}/{name}")
    found: dict[Key, dict[int, Path]] = defaultdict(dict)
    for au, homes in sorted(folders.items()):
        for key, file in find_files(root, homes, rf"(?:_(?i:au)0?{au})?\.(?i:csv)").items():
            found[key][au] = file
    return found


def read_levels(
    files: Mapping[int, Path], coded: NDArray[np.int64], aus: tuple[int, ...]
) -> tuple[NDArray[np.float32], str]:
    """Return the intensities (T, A) of the frames `coded` (T,): 0 to 5, NaN where unknown.

    The sentence returned says where the files that there are of these AUs are silent; empty if
    nowhere.
    Raises DatasetCorrupt.
    """
    levels = np.full((len(coded), len(aus)), np.nan, np.float32)
    ours = tuple(au for au in aus if au in files)
    if not ours:
        return levels, ""
    table = read_intensities(files, ours, LINE, LOOKS)
    table.values[table.values == UNKNOWN] = UNCODED
    _, here, there = np.intersect1d(coded, table.frames, return_indices=True)
    for column, au in enumerate(ours):
        levels[here, aus.index(au)] = table.levels[there, column]
    silent = np.setdiff1d(coded, table.frames).tolist()
    parts = [f"coded frames {format_ranges(silent)} have no intensity"] if silent else []
    return levels, "; ".join([*parts, *table.gaps])


def labels_by_level(
    labels: NDArray[np.int8], levels: NDArray[np.float32], told: NDArray[np.bool_], least: int
) -> NDArray[np.int8]:
    """Replace the labels (T, A) of the AUs `told` (A,): present from intensity `least` on.

    A frame without an intensity becomes `UNCODED`.
    """
    present = np.where(np.isnan(levels), UNCODED, levels >= least).astype(np.int8)
    return np.where(told, present, labels)
