"""Dataset audit: whether results on it can be trusted (folds, splits, duplicates, counts).

Every check returns findings and stops nothing. `error`: results on this data mean less than they
seem to. `warning`: look at it. `note`: good to know.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.config.names import GridPoint
from bench.frame_store.layout import read_store
from bench.metrics import positive_rates
from datasets._base import UNCODED, DatasetError, FoldList
from datasets._splits.masks import LabelMask

from .dataset import OpenedDataset
from .frame_table import clip_rows, frame_table, key_rows
from .near_duplicates import MIN_CORRELATION, near_duplicates

Severity = Literal["ok", "note", "warning", "error"]
PUBLISHED = Path(__file__).resolve().parents[2] / "results" / "published" / "coded_frames.csv"

RATIO = 0.1
"""Share of labels that the check of statistics draws; any would do."""

OVERLAPPING_DATASETS = {
    "disfa": "DISFA+",
    "disfa_plus": "DISFA",
}

SHARED_SUBJECTS = frozenset(f"SN{n:03}" for n in (1, 3, 4, 7, 9, 10, 13, 25, 27))
"""People who are in DISFA and in DISFA+ under the same id."""


@dataclass(frozen=True)
class Finding:
    """What one check has to say; `details` are sentences about single subjects or recordings."""

    check: str
    level: Severity
    text: str
    details: tuple[str, ...] = ()


def audit_dataset(
    data: OpenedDataset, results: Path, *, clip_len: int = 5, stride: int = 1
) -> Iterator[Finding]:
    """Carry out every check on an opened dataset, one after another.

    `results` is looked through for label masks; clips are `clip_len` frames, `stride` apart.
    """
    yield check_pixels(data)
    yield from check_subjects(data)
    yield check_windows(data, clip_len, stride)
    yield check_duplicates(data)
    yield check_statistics(data)
    yield check_action_units(data)
    yield check_masks(data, results)
    yield from check_counts(data)
    yield from check_shared(data)


def check_pixels(data: OpenedDataset) -> Finding:
    """Compare the stored frames with what was written: a disk, or a copy to another, may fail."""
    store = data.store
    _, entries = read_store(store.path)
    written = {entry.name: entry.pixels for entry in entries}
    changed = tuple(
        f"{s.name}: its stored frames are not what was written"
        for s in store.sequences
        if _pixel_hash(store.images[s.start : s.start + len(s.frames)]) != written.get(s.name)
    )
    if changed:
        text = f"{len(changed)} recordings have changed in {store.path}: remove that folder"
        return Finding("pixels", "error", f"{text}, and frames are decoded again", changed)
    return Finding("pixels", "ok", f"{len(store.images):,} stored frames are what was written")


def _pixel_hash(frames: NDArray[np.uint8]) -> str:
    digest = hashlib.sha256()
    for frame in frames:
        digest.update(frame.tobytes())
    return digest.hexdigest()


def fold_of(folds: FoldList) -> dict[str, int]:
    """Map subjects to the fold that tests on them (the last one, should there be several)."""
    return {subject: fold for fold, group in enumerate(folds.groups) for subject in group}


def check_subjects(data: OpenedDataset) -> Iterator[Finding]:
    """Look for subjects in two folds or in none, and for ids that may be one person."""
    listed = Counter(subject for group in data.folds.groups for subject in set(group))
    present = sorted({s.subject for s in data.store.sequences})
    twice = tuple(
        f"{subject} is in {count} folds" for subject, count in listed.items() if count > 1
    )
    strangers = tuple(f"{subject} is in no fold" for subject in present if subject not in listed)
    alike = tuple(
        f"{' and '.join(sorted(names))} may be one subject"
        for names in _spellings(present).values()
        if len(names) > 1
    )
    if twice or strangers:
        yield Finding("subjects", "error", "the fold list does not divide them", twice + strangers)
    else:
        text = f"{len(present)} subjects, each in one fold of list {data.folds.name}"
        yield Finding("subjects", "ok", text)
    if alike:
        yield Finding("subjects", "warning", "ids that differ in case or zeros only", alike)
    absent = sorted(set(listed).difference(present))
    if absent:
        some = ", ".join(absent)
        yield Finding("subjects", "note", f"{len(absent)} of the list are not here", (some,))


def _spellings(subjects: Sequence[str]) -> dict[str, list[str]]:
    spellings: dict[str, list[str]] = defaultdict(list)
    for subject in subjects:
        spellings[re.sub(r"0+(?=[0-9])", "", subject.casefold())].append(subject)
    return spellings


def check_windows(data: OpenedDataset, clip_len: int, stride: int) -> Finding:
    """Look for clips that reach into another recording, with the key frame at every place."""
    table = frame_table(data.store)
    owner = np.full(len(data.store.images), -1, np.int64)
    crossing: set[str] = set()
    for index, s in enumerate(data.store.sequences):
        rows = slice(s.start, s.start + len(s.frames))
        if (owner[rows] != -1).any():
            crossing.add(f"{s.name} shares stored frames with another recording")
        owner[rows] = index
    keys = np.flatnonzero(owner >= 0)
    for slot in range(clip_len):
        reached = owner[clip_rows(table, keys, slot, clip_len, stride)]
        for index in np.unique(owner[keys][(reached != owner[keys][:, None]).any(axis=1)]):
            crossing.add(f"clips of {data.store.sequences[index].name} leave it")
    count = f"{len(keys):,} clips of {clip_len} frames, {stride} apart"
    if crossing:
        return Finding("windows", "error", f"of {count} some cross", tuple(sorted(crossing)))
    return Finding("windows", "ok", f"{count}: none leaves its recording, so none crosses a split")


def check_duplicates(data: OpenedDataset) -> Finding:
    """Look for the same pictures in two folds."""
    found = near_duplicates(data.store, fold_of(data.folds))
    text = f"{found.compared:,} frames compared across folds"
    if found.flat:
        text += f" ({found.flat:,} too plain to compare)"
    if not found.twins:
        return Finding("near-duplicates", "ok", f"{text}: none has a double in another fold")
    details = tuple(
        f"{t.one} and {t.other}: {t.frames} frame{'s' * (t.frames > 1)} alike, "
        f"such as {t.frame} and {t.other_frame} (correlation {t.likeness:.4f})"
        for t in found.twins
    )
    pairs = f"{len(details)} pair{'s' * (len(details) > 1)} of recordings"
    text = (
        f"{text}: {pairs} in different folds share pictures (correlation {MIN_CORRELATION} or more)"
    )
    return Finding("near-duplicates", "error", text, details)


def check_statistics(data: OpenedDataset) -> Finding:
    """Scramble every label that a method may not see: neither mask nor class rates may move."""
    moved = []
    for fold in range(len(data.folds.groups)):
        try:
            before, mask = _statistics(data, fold)
        except DatasetError as error:
            return Finding("statistics", "warning", f"fold {fold} cannot be trained: {error}")
        after, again = _statistics(data.with_hidden_scrambled(mask), fold)
        if again.sha256 != mask.sha256:
            moved.append(f"fold {fold}: the label mask depends on labels")
        if not np.array_equal(before, after, equal_nan=True):
            moved.append(f"fold {fold}: class rates depend on labels outside the training part")
    if moved:
        return Finding("statistics", "error", "taken outside the training part", tuple(moved))
    text = "with all hidden labels scrambled, masks and class rates of every fold stay the same"
    return Finding("statistics", "ok", text)


def _statistics(data: OpenedDataset, fold: int) -> tuple[tuple[float, ...], LabelMask]:
    found = data.labelled_split(GridPoint(ratio=RATIO, fold=fold, seed=0))
    keys = key_rows(data.sequences_of(found.split.train), found.mask)
    return tuple(positive_rates(frame_table(data.store).labels[keys])), found.mask


def check_action_units(data: OpenedDataset) -> Finding:
    """Look for AUs that a fold cannot be tested on, or that nothing can be learnt of."""
    details = [text for fold in range(len(data.folds.groups)) for text in _au_gaps(data, fold)]
    if not details:
        text = "every AU is coded in each fold's test part, and present in its training part"
        return Finding("action-units", "ok", text)
    text = "AUs that have no score in a fold, or of which nothing can be learnt"
    return Finding("action-units", "warning", text, tuple(details))


def _au_gaps(data: OpenedDataset, fold: int) -> Iterator[str]:
    tested = data.folds.test_subjects(fold)
    trained = {subject for group in data.folds.groups for subject in group}.difference(tested)
    test, training = (_labels_of(data, subjects) for subjects in (tested, trained))
    missing = {
        "coded on no test frame: no score": (test == UNCODED).all(axis=0),
        "coded on no training frame": (training == UNCODED).all(axis=0),
        "present on no training frame": (training != 1).all(axis=0)
        & (training != UNCODED).any(axis=0),
    }
    for what, found in missing.items():
        names = ", ".join(f"AU{data.store.aus[place]}" for place in np.flatnonzero(found))
        if names:
            yield f"fold {fold}: {names} {what}"


def _labels_of(data: OpenedDataset, subjects: Collection[str]) -> NDArray[np.int8]:
    labels = [s.labels for s in data.store.sequences if s.subject in subjects]
    return np.concatenate([np.empty((0, len(data.store.aus)), np.int8), *labels])


def check_masks(data: OpenedDataset, results: Path) -> Finding:
    """Look into saved label masks of this dataset for frames of test subjects."""
    subject_of = {s.name: s.subject for s in data.store.sequences}
    wrong, count = [], 0
    for file in sorted((results / "masks").glob(f"{data.name}-f*-r*.json")):
        fold = re.match(rf"{re.escape(data.name)}-f(\d+)-", file.name)
        if fold is None or int(fold[1]) >= len(data.folds.groups):
            continue
        count += 1
        try:
            labelled = {subject_of.get(name) for name in LabelMask.load(file).key_frames}
        except DatasetError as error:
            wrong.append(str(error))
            continue
        tested = sorted(data.folds.test_subjects(int(fold[1])).intersection(labelled))
        wrong += [f"{file.name} buys labels of {subject}, a test subject" for subject in tested]
    if wrong:
        return Finding("masks", "error", f"of {count} saved label masks:", tuple(wrong))
    return Finding("masks", "ok", f"{count} saved label masks in {results}, none of a test subject")


def check_counts(data: OpenedDataset) -> Iterator[Finding]:
    """Hold the coded frames of each fold against those that papers print."""
    found = [0] * len(data.folds.groups)
    where = fold_of(data.folds)
    for s in data.store.sequences:
        if s.subject in where:
            found[where[s.subject]] += int(s.coded.sum())
    folds = " + ".join(f"{count:,}" for count in found)
    text = f"{sum(found):,} coded frames ({folds} by fold)"
    published = published_counts(data.name)
    if not published:
        yield Finding("counts", "note", f"{text}; none are published to hold them against")
    elif same := next((name for name, counts in published.items() if counts == found), None):
        yield Finding("counts", "ok", f"{text}: exactly those of {same}")
    else:
        details = tuple(
            f"{name}: {sum(counts):,} ({' + '.join(f'{c:,}' for c in counts)})"
            for name, counts in published.items()
        )
        text += ": a part, a copy or another thing than what is published"
        yield Finding("counts", "warning", text, details)


def published_counts(dataset: str) -> Mapping[str, list[int]]:
    """Return the published coded frames by fold, by the name of the list."""
    counts: dict[str, list[int]] = defaultdict(list)
    with PUBLISHED.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            if row["dataset"] == dataset:
                assert len(counts[row["list"]]) == int(row["fold"]), "rows go by fold"
                counts[row["list"]].append(int(row["frames"]))
    return counts


def check_shared(data: OpenedDataset) -> Iterator[Finding]:
    """Name the people that DISFA and DISFA+ share."""
    here = sorted(SHARED_SUBJECTS.intersection(s.subject for s in data.store.sequences))
    if data.name in OVERLAPPING_DATASETS and here:
        other = OVERLAPPING_DATASETS[data.name]
        text = f"{len(here)} subjects are in {other} too: never train on one for the other"
        yield Finding("shared", "note", text, (", ".join(here),))
