"""Label statistics of a dataset: rates, co-occurrence, events, combinations. No pixel is read.

Shapes: N frames of all recordings one after another, A action units.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from datasets._base import UNCODED, FoldList
from datasets._splits.folds import SequenceLike

Labels = NDArray[np.int8]


class LabelledSequence(SequenceLike, Protocol):
    """A recording with its labels, as a dataset yields it or a frame store keeps it."""

    @property
    def labels(self) -> Labels:
        """(T, A): 1, 0 or `UNCODED`."""
        ...


@dataclass(frozen=True, kw_only=True)
class AuStats:
    """One action unit over all recordings."""

    au: int
    coded: int
    """Frames on which it was coded."""
    rate: float | None
    """Share of these on which it is present; None if it was never coded."""
    fold_rates: tuple[float | None, ...]
    """The same among each fold's test subjects."""
    events: int
    """Runs of consecutive frames on which it is present."""
    cut: int
    """Events that touch an end of the coding, so that they may have been longer."""
    seconds: tuple[float, float, float] | None
    """Quartiles of the events' lengths, cut ones as long as they are seen."""


@dataclass(frozen=True, kw_only=True)
class LabelStats:
    """A dataset's labels in numbers; shares are of one."""

    dataset: str
    fps: float
    subjects: int
    recordings: int
    frames: int
    coded: int
    """Frames with a label for at least one AU."""
    whole: int
    """Frames with a label for every AU: those that combinations are counted on."""
    fold_coded: tuple[int, ...]
    """Coded frames of each fold's test subjects."""
    combinations: int
    """Distinct combinations of AUs."""
    idle: float | None
    """Share of the whole frames on which no AU is present."""
    agreement: float | None
    """How often a label is that of the frame before."""
    aus: tuple[AuStats, ...]
    cooccurrence: tuple[tuple[float | None, ...], ...]
    """[a][b]: share of AU a's frames on which AU b is present too (where both are coded)."""


def label_stats(
    name: str,
    recordings: Sequence[LabelledSequence],
    aus: Sequence[int],
    fps: float,
    folds: FoldList,
) -> LabelStats:
    """Count the labels of a dataset's recordings; `fps` are frames a second."""
    labels = np.concatenate([r.labels for r in recordings])
    broken = join_with_breaks(recordings)
    in_fold = [[r for r in recordings if r.subject in set(group)] for group in folds.groups]
    whole = labels[(labels != UNCODED).all(axis=1)]
    return LabelStats(
        dataset=name,
        fps=fps,
        subjects=len({r.subject for r in recordings}),
        recordings=len(recordings),
        frames=len(labels),
        coded=sum(int(r.coded.sum()) for r in recordings),
        whole=len(whole),
        fold_coded=tuple(sum(int(r.coded.sum()) for r in part) for part in in_fold),
        combinations=combinations(labels),
        idle=_share(int((whole == 0).all(axis=1).sum()), len(whole)),
        agreement=_agreement(broken),
        aus=tuple(_au_stats(au, i, labels, broken, in_fold, fps) for i, au in enumerate(aus)),
        cooccurrence=cooccurrence(labels),
    )


def combinations(labels: Labels) -> int:
    """Count the distinct AU combinations among frames (N, A) on which every AU is coded."""
    whole = labels[(labels != UNCODED).all(axis=1)]
    return len(np.unique(np.packbits(whole == 1, axis=1), axis=0))


def join_with_breaks(recordings: Iterable[LabelledSequence]) -> Labels:
    """Join recordings to (N + breaks, A), an uncoded row wherever two frames are not neighbours.

    Neighbours are as far apart as the nearest frames of all: a dataset may number every fifth.
    """
    recordings, parts = list(recordings), []
    steps = [np.diff(recording.frames) for recording in recordings]
    nearest = min((between.min() for between in steps if len(between)), default=1)
    for recording, between in zip(recordings, steps, strict=True):
        gaps = np.flatnonzero(between > nearest) + 1
        joined = np.insert(recording.labels, gaps, UNCODED, axis=0)
        parts += [joined, np.full((1, joined.shape[1]), UNCODED, np.int8)]
    return np.concatenate(parts)


def event_lengths(track: Labels) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the lengths in frames of the runs of 1 in a track (N,), and which may go on unseen.

    A run that an uncoded frame, or the track's end, stands beside may have been longer.
    """
    edged = np.concatenate([[UNCODED], track, [UNCODED]])
    steps = np.diff((edged == 1).astype(np.int8))
    begin, end = np.flatnonzero(steps == 1) + 1, np.flatnonzero(steps == -1) + 1
    cut = (edged[begin - 1] == UNCODED) | (edged[end] == UNCODED)
    return end - begin, cut


def cooccurrence(labels: Labels) -> tuple[tuple[float | None, ...], ...]:
    """Return [a][b], the share of AU a's frames with AU b, among frames (N, A) that code both."""
    present = (labels == 1).astype(np.float64)
    coded = (labels != UNCODED).astype(np.float64)
    both, chances = present.T @ present, present.T @ coded
    return tuple(
        tuple(_share(b, c) for b, c in zip(row, of, strict=True))
        for row, of in zip(both.tolist(), chances.tolist(), strict=True)
    )


def _au_stats(
    au: int,
    index: int,
    labels: Labels,
    broken: Labels,
    in_fold: Sequence[Sequence[LabelledSequence]],
    fps: float,
) -> AuStats:
    lengths, cut = event_lengths(broken[:, index])
    quartiles = np.quantile(lengths / fps, [0.25, 0.5, 0.75]).tolist() if len(lengths) else None
    return AuStats(
        au=au,
        coded=int((labels[:, index] != UNCODED).sum()),
        rate=_rate([labels[:, index]]),
        fold_rates=tuple(_rate([r.labels[:, index] for r in part]) for part in in_fold),
        events=len(lengths),
        cut=int(cut.sum()),
        seconds=tuple(quartiles) if quartiles else None,
    )


def _rate(tracks: Iterable[Labels]) -> float | None:
    counts = [(int((track == 1).sum()), int((track != UNCODED).sum())) for track in tracks]
    return _share(sum(c[0] for c in counts), sum(c[1] for c in counts))


def _agreement(broken: Labels) -> float | None:
    before, after = broken[:-1], broken[1:]
    known = (before != UNCODED) & (after != UNCODED)
    return _share(int((known & (before == after)).sum()), int(known.sum()))


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None
