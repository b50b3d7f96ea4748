"""Label budgets: what a label mask keeps of a dataset's labels, whatever is learnt from them.

Two questions to each label mask, on the dataset's own labels: how many of the distinct AU
combinations are among its key frames, and how far would one get by holding every key frame's label
until the next (each frame takes the nearest key frame's). The second is the F1 of a method that
knows nothing but time; it is no training result and needs no image.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.frame_store.crop import nearest_in_time
from bench.metrics import counts_per_au, f1_from_counts
from datasets._base import UNCODED
from datasets._splits.masks import RULES, label_mask

from .label_stats import LabelledSequence, Labels, combinations


@dataclass(frozen=True, kw_only=True)
class LabelBudget:
    """What one label mask keeps."""

    rule: str
    ratio: float
    seed: int
    keys: int
    """Key frames."""
    share: float
    """Their share of the coded frames, as near the ratio as the rule gets."""
    combinations: int
    """Distinct AU combinations among the key frames."""
    of_combinations: int
    """Distinct AU combinations among all frames."""
    held_f1: float
    """Mean F1 (a share of one) of holding each key frame's label over the frames nearest to it.

    Over the AUs that any frame is coded for.
    """


def label_budgets(
    name: str,
    recordings: Sequence[LabelledSequence],
    ratios: Iterable[float],
    *,
    seeds: Iterable[int] = (0,),
    rules: Iterable[str] = tuple(RULES),
) -> list[LabelBudget]:
    """Ask every (rule, ratio, seed) what it keeps; masks are drawn over all recordings."""
    every = combinations(np.concatenate([r.labels for r in recordings]))
    wanted = [(rule, ratio, seed) for rule in rules for ratio in ratios for seed in seeds]
    return [
        _label_budget(name, recordings, rule, ratio, seed, every) for rule, ratio, seed in wanted
    ]


def _label_budget(
    name: str,
    recordings: Sequence[LabelledSequence],
    rule: str,
    ratio: float,
    seed: int,
    every: int,
) -> LabelBudget:
    mask = label_mask(recordings, ratio, rule, seed, dataset=name)
    positions = [mask.positions(r) for r in recordings]
    keys = np.concatenate([r.labels[p] for r, p in zip(recordings, positions, strict=True)])
    return LabelBudget(
        rule=rule,
        ratio=ratio,
        seed=seed,
        keys=mask.count,
        share=mask.share,
        combinations=combinations(keys),
        of_combinations=every,
        held_f1=_nearest_label_f1(recordings, positions),
    )


def _nearest_label_f1(
    recordings: Sequence[LabelledSequence], positions: Sequence[NDArray[np.int64]]
) -> float:
    held = [
        nearest_labels(r.frames, r.labels, p) for r, p in zip(recordings, positions, strict=True)
    ]
    labels = np.concatenate([r.labels for r in recordings])
    return float(np.nanmean(f1_from_counts(counts_per_au(labels, np.concatenate(held)))))


def nearest_labels(
    frames: NDArray[np.int64], labels: Labels, keys: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Give every frame (T, A) the label of the nearest key frame in time, the earlier of two.

    `keys` are positions in `frames`. An AU that is uncoded on a key frame is taken from the
    nearest that codes it; where none does it counts as absent.
    """
    held = np.zeros(labels.shape)
    coded = labels[keys] != UNCODED
    for pattern in np.unique(coded, axis=1).T:  # AUs that are coded on the same key frames
        aus = (coded == pattern[:, None]).all(axis=0)
        usable = keys[pattern]
        if len(usable):
            held[:, aus] = labels[np.ix_(usable[nearest_in_time(frames, frames[usable])], aus)]
    return held
