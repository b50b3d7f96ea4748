"""Who is tested on and who is learnt from: fold lists as files, and splits of what is on disk."""

from __future__ import annotations

import csv
import difflib
import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from datasets._base import DatasetCorrupt, DatasetError, FoldList
from datasets._files.text import read_text, separator_hint

FOLDS = Path(__file__).resolve().parents[1] / "folds"


class SequenceLike(Protocol):
    """What a split or a mask needs of a sequence, as a dataset yields it or a frame store keeps it.

    `frames` (T,) are frame numbers, `coded` (T,) tells which carry a label.
    """

    @property
    def subject(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def frames(self) -> NDArray[np.int64]: ...
    @property
    def coded(self) -> NDArray[np.bool_]: ...


class SplitError(DatasetError):
    """A fold list, split, ratio, rule or mask that cannot be had: one sentence saying why."""


def sha256(text: str) -> str:
    """Hash a text, hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def unknown_choice(kind: str, name: str, known: Iterable[str]) -> SplitError:
    """Say that there is no `kind` called `name`, what there is, and which is closest."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return SplitError(f"unknown {kind} {name!r}: there are {', '.join(known)}{hint}")


def load_folds(name: str) -> FoldList:
    """Read the fold list `datasets/folds/NAME.csv`, columns `subject,fold` (0-based test fold).

    A name that ends in .csv (or .CSV) is a file of anybody's own. The hash is over the sorted rows:
    line ends and row order do not matter, subjects do. Raises SplitError for an unknown name or
    file and DatasetCorrupt for a list that is not disjoint and whole.
    """
    own = name.lower().endswith(".csv")
    file = Path(name).expanduser() if own else FOLDS / f"{name}.csv"
    if own and not file.is_file():
        raise SplitError(f"{file}: there is no such fold list: check the option folds")
    if not file.is_file():
        raise unknown_choice("fold list", name, (known.stem for known in FOLDS.glob("*.csv")))
    fold_of = _read_folds(file)
    try:
        return fold_list(file.stem, fold_of)
    except SplitError as error:
        raise DatasetCorrupt(file, None, str(error)) from None


def fold_list(name: str, fold_of: Mapping[str, int]) -> FoldList:
    """Make a list of each subject's fold; SplitError if one is empty (folds count from 0)."""
    count = max(fold_of.values()) + 1
    empty = min(set(range(len(fold_of) + 1)).difference(fold_of.values()))
    if empty < count:
        raise SplitError(f"fold {empty} has no subject, but fold {count - 1} has")
    groups = tuple(tuple(sorted(s for s in fold_of if fold_of[s] == k)) for k in range(count))
    canonical = "".join(f"{subject},{fold_of[subject]}\n" for subject in sorted(fold_of))
    return FoldList(name, groups, sha256(canonical))


def draw_folds(
    subjects: Iterable[str],
    count: int,
    seed: int,
    name: str,
    sex: Mapping[str, str] | None = None,
) -> dict[str, int]:
    """Deal subjects out to folds 0..count - 1 at random, the same anywhere, each sex evenly.

    `sex` tells each subject's; without it, it is the first letter of an id (F001, M001). The lists
    `*-ours` are drawn so, with seed 0: this project's own, on which no published result was
    measured.
    """

    def place(subject: str) -> tuple[str, str]:
        kind = subject[:1] if sex is None else sex.get(subject, "")
        return kind, sha256(f"{name}/{seed}/{subject}")

    return {subject: at % count for at, subject in enumerate(sorted(subjects, key=place))}


def _read_folds(file: Path) -> dict[str, int]:
    fold_of: dict[str, int] = {}
    rows = csv.reader(io.StringIO(read_text(file)))
    filled = ([cell.strip() for cell in row] for row in rows if "".join(row).strip())
    if (header := next(filled, None)) != ["subject", "fold"]:
        hint = separator_hint(",".join(header or []))
        raise DatasetCorrupt(file, max(rows.line_num, 1), f"the header must be subject,fold{hint}")
    for row in filled:
        if len(row) != 2 or not row[0] or not (row[1].isdecimal() and len(row[1]) < 10):
            raise DatasetCorrupt(file, rows.line_num, f"expected subject,fold, found {row}")
        if row[0] in fold_of:
            raise DatasetCorrupt(file, rows.line_num, f"subject {row[0]} is listed twice")
        fold_of[row[0]] = int(row[1])
    if not fold_of:
        raise DatasetCorrupt(file, None, "the list names no subject")
    return fold_of


@dataclass(frozen=True, kw_only=True)
class Split:
    """The subjects of one fold that are on disk; no subject is on two sides."""

    folds: str
    """Name of the fold list."""
    fold: int
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    def __post_init__(self) -> None:
        sides = (self.train, self.validation, self.test)
        everyone = set().union(*sides)
        assert len(everyone) == sum(map(len, sides)), "a subject is on two sides of the split"

    @property
    def sha256(self) -> str:
        """Hash of who is on which side."""
        sides = [sorted(side) for side in (self.train, self.validation, self.test)]
        return sha256(json.dumps([self.folds, self.fold, *sides]))


def make_split(
    sequences: Iterable[SequenceLike],
    folds: FoldList,
    fold: int,
    val_subjects: int = 0,
    seed: int = 0,
) -> Split:
    """Divide the subjects of `sequences` for one fold; a copy that lacks subjects is fine.

    `val_subjects` of the training subjects are set aside for validation, women and men in the
    proportion of the training side as far as ids (F001, M001) tell; smaller choices are contained
    in larger ones. Raises SplitError for subjects the list does not know and for an empty side.
    """
    present = {sequence.subject for sequence in sequences}
    strangers = sorted(present.difference(*folds.groups))
    if strangers:
        raise SplitError(
            f"fold list {folds.name} does not know subject {', '.join(strangers)}: "
            "remove them from the dataset's folder or use the fold list they belong to"
        )
    test = folds.test_subjects(fold) & present
    training = present - test
    for side, subjects in (("test", test), ("training", training)):
        if not subjects:
            raise SplitError(
                f"fold {fold} of {folds.name} has no {side} subject on disk: "
                f"there are only {', '.join(sorted(present)) or 'none'}"
            )
    if not 0 <= val_subjects < len(training):
        raise SplitError(
            f"{val_subjects} validation subjects cannot be taken from {len(training)} training "
            f"subjects: ask for 0 to {len(training) - 1}"
        )
    validation = _validation_order(training, folds.name, fold, seed)[:val_subjects]
    return Split(
        folds=folds.name,
        fold=fold,
        train=tuple(sorted(training.difference(validation))),
        validation=tuple(sorted(validation)),
        test=tuple(sorted(test)),
    )


def _validation_order(subjects: Iterable[str], folds: str, fold: int, seed: int) -> list[str]:
    """Shuffle within each sex, then interleave so that every beginning is in proportion."""
    by_sex: dict[str, list[str]] = {}
    for subject in sorted(subjects, key=lambda s: sha256(f"{folds}/{fold}/{seed}/{s}")):
        by_sex.setdefault(subject[:1], []).append(subject)
    ranked = [
        ((2 * rank + 1) / len(group), subject)
        for group in by_sex.values()
        for rank, subject in enumerate(group)
    ]
    return [subject for _, subject in sorted(ranked)]
