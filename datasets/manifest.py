"""Any other dataset, without code: one table that names pictures, people and labels.

A CSV or parquet file with a row a frame; its columns and a worked example:
docs/datasets/manifest.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray

from datasets._files.folders import SafeFolder, fold_name, format_ranges, match_names
from datasets._landmarks.face_file import face_positions
from datasets._splits.folds import draw_folds, fold_list, load_folds

from ._base import Dataset, DatasetError, DatasetMissing, FoldList, Sequence
from ._manifest import Pictures, Rows, find_pictures, read_people, read_rows
from ._manifest_labels import HIGHEST

NAMES = ("manifest.csv", "manifest.parquet")
"""Looked for in the root, in this order."""

EXPECTED = "expected is a table manifest.csv or manifest.parquet (docs/datasets/manifest.md)"


@final
class Manifest(Dataset):
    """Any dataset that one table lists."""

    aus: tuple[int, ...] = ()
    fps = 25.0
    option_help: ClassVar[Mapping[str, str]] = {
        "file": f"the table, from the root (default {' or '.join(NAMES)})",
        "files": "folder that its paths are in and stay in (default the table's own)",
        "aus": "action units, comma-separated (default all that have a column)",
        "threshold": f"least intensity that counts as present, up to {HIGHEST} (default 2)",
        "folds": "how many folds to draw, or a CSV file subject,fold (default column fold, or 3)",
        "fold_seed": "another draw of the folds, a whole number (default 0)",
    }

    def sequences(self) -> list[Sequence]:
        """List the recordings in the table, by subject and sequence.

        Raises DatasetMissing and DatasetCorrupt; `problems` names pictures that are not there.
        """
        self.problems, self.notes = [], []
        file = self._file()
        rows = read_rows(file, self._aus(), self._threshold())
        self.aus = rows.aus
        self.notes += _two_spellings(set(rows.subjects))
        pictures = find_pictures(rows, self._folder(file))
        boxes, points = face_positions(rows.table)
        sequences = [
            Sequence(
                subject=str(rows.subjects[chosen[0]]),
                task=str(rows.sequences[chosen[0]]),
                frames=rows.frames[chosen],
                labels=rows.labels[chosen],
                source=pictures.source(chosen, rows.frames[chosen]),
                boxes=None if boxes is None else boxes[chosen],
                landmarks=None if points is None else points[chosen],
                intensities=None if rows.intensities is None else rows.intensities[chosen],
            )
            for chosen in self._recordings(rows, pictures)
        ]
        if not sequences:
            raise DatasetMissing(file, f"no picture that it names is there ({self.problems[0]})")
        return sequences

    def folds(self) -> FoldList:
        """Return the column fold's folds, or those that are asked for: a file's, or drawn ones."""
        given = str(self.options.get("folds", ""))
        if given.lower().endswith(".csv"):
            return load_folds(given)
        sexes, column = read_people(self._file())
        if column is not None and not given:
            return fold_list("manifest-column", column)
        return self._drawn(sexes, _whole("folds", given or "3", 2))

    def _drawn(self, sexes: Mapping[str, str], count: int) -> FoldList:
        seed = _whole("fold_seed", str(self.options.get("fold_seed", 0)), 0)
        if len(sexes) < count:
            raise DatasetError(
                f"{count} folds take {count} subjects, and the manifest has {len(sexes)}: "
                "set option folds to fewer"
            )
        drawn = draw_folds(sexes, count, seed, "manifest", sexes)
        return fold_list(f"manifest-ours-{count}-seed{seed}", drawn)

    def _file(self) -> Path:
        if self.root is None:
            raise DatasetMissing("manifest", f"say where its folder is (--root); {EXPECTED}")
        given = self.options.get("file")
        tries = [str(given)] if given is not None else list(NAMES)
        if self.root.is_file():
            return self.root
        for name in tries:
            file = self.root / Path(name).expanduser()
            # The usual names are found in any case, as other files of datasets are.
            same = "" if given is not None else f"(?i:{re.escape(name)})"
            for found in (file, *(self.root / other for other in match_names(self.root, same))):
                if found.is_file():
                    return found
        folder = self.root.is_dir()
        what = (
            f"there is no {' and no '.join(tries)} in it" if folder else "there is no such folder"
        )
        raise DatasetMissing(self.root, f"{what}; {EXPECTED}")

    def _folder(self, file: Path) -> SafeFolder:
        folder = file.parent / Path(str(self.options.get("files", "."))).expanduser()
        if not folder.is_dir():
            raise DatasetMissing(folder, "there is no such folder: check option files")
        return SafeFolder(folder)

    def _aus(self) -> tuple[int, ...]:
        given = str(self.options.get("aus", ""))
        names = [name.strip() for name in given.split(",")] if given else []
        if len(set(names)) < len(names) or not all(re.fullmatch("[1-9][0-9]?", n) for n in names):
            raise DatasetError(f"aus is {given!r}: give AU numbers once each, as in aus=6,10,12")
        return tuple(sorted(map(int, names)))

    def _threshold(self) -> float:
        given = str(self.options.get("threshold", 2))
        if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", given) or not 0 < float(given) <= HIGHEST:
            raise DatasetError(f"threshold is {given!r}: give a number above 0, up to {HIGHEST}")
        return float(given)

    def _recordings(self, rows: Rows, pictures: Pictures) -> Iterator[NDArray[np.intp]]:
        """Yield each recording's rows in the order of frames; what is not there is named."""
        for name, chosen in rows.recordings():
            there = pictures.there[chosen]
            if not there.all():
                lost = format_ranges(rows.frames[chosen[~there]].tolist())
                what = "video" if pictures.videos[chosen[0]] else "picture"
                where = pictures.lost(chosen[~there])
                self.problems.append(f"{name}: the {what} is not there, frame {lost} ({where})")
            if there.any():
                yield chosen[there]


def _two_spellings(subjects: Iterable[str]) -> list[str]:
    """Name subjects that may be one person: folds would learn from her and test on her."""
    spelled: dict[str, list[str]] = {}
    for subject in sorted(subjects):
        spelled.setdefault(fold_name(subject), []).append(subject)
    return [
        f"subjects {' and '.join(map(ascii, names))} differ in case or in the form of accents "
        "alone: if they are one person, folds divide that person"
        for names in spelled.values()
        if len(names) > 1
    ]


def _whole(key: str, given: str, least: int) -> int:
    if not re.fullmatch("[0-9]{1,9}", given) or int(given) < least:
        raise DatasetError(f"{key} is {given!r}: give a whole number from {least} on")
    return int(given)
