"""Metrics of frames: counts at a threshold, ranking, calibration; used by `report/metric.py`.

What the runner scores every fold by is in `bench/metrics.py`; these are made later, from stored
predictions or from a record's counts.

Shapes: N frames, A action units, S subjects. `labels` (N, A) hold 1, 0 or -1 (not coded, counted
nowhere); `probabilities` (N, A) are in [0, 1]; counts (4, ...) are TP, FP, FN, TN. What is not
defined is NaN.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.int8]
Owners = NDArray[np.int64]
"""(N,) whose frame each one is, as a place in the list of subjects."""

DEFAULT_THRESHOLD = 0.5
HIGHEST = 5.0
"""The highest intensity there is (E): a probability times this is held against intensities."""

ROUNDING = 1e-9
"""Share of a sum of squares below which a variance is rounding."""

SAME_EVENT = 0.5
"""Two events are one if their frames in common are more than this share of the frames of both."""


def counts_by_subject(labels: Labels, predicted: NDArray[np.bool_], owners: Owners) -> Floats:
    """Count outcomes of each subject and AU, (S, 4, A)."""
    present, absent = labels == 1, labels == 0
    outcomes = (present & predicted, absent & predicted, present & ~predicted, absent & ~predicted)
    return np.stack([_sums(outcome, owners) for outcome in outcomes], axis=1)


def brier_parts(labels: Labels, probabilities: Floats, owners: Owners) -> Floats:
    """Sum squared errors, and coded frames, of each subject and AU: (S, 2, A).

    Brier's score (Monthly Weather Review 1950, in its two-class form) is the one by the other.
    """
    coded = labels != -1
    errors = np.where(coded, (probabilities - labels) ** 2, 0.0)
    return np.stack([_sums(errors, owners), _sums(coded, owners)], axis=1)


def agreement_parts(
    labels: Labels, probabilities: Floats, intensities: NDArray[np.float32], owners: Owners
) -> Floats:
    """Sum what `icc` is made of over the frames of each subject and AU, (S, 6, A).

    With x = 5 p and y the intensity these are the frames with an intensity, x, y, xx, yy and xy.
    """
    known = np.isfinite(intensities) & (labels != -1)
    x = np.where(known, HIGHEST * probabilities, 0.0)
    y = np.where(known, intensities, 0.0).astype(np.float64)
    return np.stack([_sums(each, owners) for each in (known, x, y, x * x, y * y, x * y)], axis=1)


def icc(parts: Floats) -> Floats:
    """Return ICC(3,1) of sums (6, ...) as `agreement_parts` makes them, (...).

    Shrout and Fleiss (Psychological Bulletin 1979): (BMS - EMS) / (BMS + EMS) of a two-way analysis
    of variance of n frames and two raters. (n - 1) BMS is half the sum of squares of x + y about
    its mean, (n - 1) EMS that of x - y, so that it is 2 Sxy / (Sxx + Syy). NaN where neither rater
    ever differs from itself.
    """
    count, x, y, xx, yy, xy = parts
    both = xx + yy - _divide(x * x + y * y, count)
    between = 2 * (xy - _divide(x * y, count))
    # Sums of squares leave rounding behind where all values are equal.
    varied = both > ROUNDING * (xx + yy)
    return _divide(np.where(varied, between, np.nan), np.where(varied, both, 1.0))


def _sums(values: NDArray, owners: Owners) -> Floats:
    """Add up values (N, A) of each subject, (S, A)."""
    belongs = np.arange(owners.max(initial=-1) + 1)[:, None] == owners
    return np.asarray(belongs.astype(np.float64) @ values)


def brier(parts: Floats) -> Floats:
    """Return Brier's score of sums (2, ...) as `brier_parts` makes them, (...)."""
    return _divide(parts[0], parts[1])


def f1_of_counts(counts: Floats) -> Floats:
    """Return F1 = 2 TP / (2 TP + FP + FN), (...); 0 where there is nothing to divide by."""
    tp, fp, fn, _ = counts
    return np.nan_to_num(_divide(2 * tp, 2 * tp + fp + fn))


def balanced_accuracy(counts: Floats) -> Floats:
    """Return the mean of the shares right among present and among absent frames, (...).

    NaN where the frames hold one class only.
    """
    tp, fp, fn, tn = counts
    return (_divide(tp, tp + fn) + _divide(tn, tn + fp)) / 2


def kappa(counts: Floats) -> Floats:
    """Return Cohen's kappa (Educational and Psychological Measurement 1960), (...).

    Agreement beyond that of two coins with the same rates. NaN where truth and predictions are one
    and the same constant, for then no agreement is beyond chance.
    """
    tp, fp, fn, tn = counts
    by_chance = (tp + fp) * (fp + tn) + (tp + fn) * (fn + tn)
    return _divide(2 * (tp * tn - fn * fp), by_chance)


def predicted_to_true(counts: Floats) -> Floats:
    """Return how often an AU was predicted, as a multiple of how often it was there, (...)."""
    tp, fp, fn, _ = counts
    return _divide(tp + fp, tp + fn)


def best_thresholds(labels: Labels, probabilities: Floats) -> Floats:
    """Return for each AU the threshold with the highest F1 on these frames, (A,).

    Candidates are the probabilities themselves; of equal ones the closest to 0.5. An AU that no
    frame shows keeps 0.5.
    """
    columns = zip(labels.T, probabilities.T, strict=True)
    return np.array([_best_threshold(truth, share) for truth, share in columns])


def _best_threshold(truth: Labels, share: Floats) -> float:
    coded = truth != -1
    hits, share = truth[coded] == 1, share[coded]
    if not hits.any():
        return DEFAULT_THRESHOLD
    order = np.argsort(-share, kind="stable")
    ends = _group_ends(share[order])
    tp, predicted = np.cumsum(hits[order])[ends], ends + 1
    f1 = 2 * tp / (predicted + hits.sum())
    best = share[order][ends[f1 == f1.max()]]
    return float(best[np.argmin(np.abs(best - DEFAULT_THRESHOLD))])


def average_precisions(truth: Labels, share: Floats, owners: Owners) -> Floats:
    """Return one AU's average precision, then that without each subject's frames: (1 + S,).

    Precision at each step of recall, weighted by the step, as scikit-learn's
    `average_precision_score`. NaN where the frames left hold one class only.
    """
    coded = truth != -1
    order = np.argsort(-share[coded], kind="stable")
    hits, owners = (truth[coded] == 1)[order], owners[coded][order]
    ends = _group_ends(share[coded][order])
    group = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=-1))
    upto = ends[group[hits]]
    keeps = [np.ones(len(hits), bool), *(owners != s for s in range(owners.max(initial=-1) + 1))]
    return np.array([_precision_at(upto, hits, keep) for keep in keeps])


def _precision_at(
    upto: NDArray[np.int64], hits: NDArray[np.bool_], keep: NDArray[np.bool_]
) -> float:
    """Average precision over the kept hits; `upto` (hits,) is the last frame of each one's tie."""
    kept = keep[hits]
    if not kept.any() or kept.sum() == keep.sum():
        return float("nan")
    tp, frames = np.cumsum(hits & keep), np.cumsum(keep)
    return float((tp[upto] / np.maximum(frames[upto], 1))[kept].mean())


def aucs(truth: Labels, share: Floats, owners: Owners) -> Floats:
    """Return one AU's area under the ROC curve, then that without each subject: (1 + S,).

    The share of (positive, negative) pairs in the right order, a tie counting half (Mann-Whitney).
    Without a subject, the pairs that hold one of its frames are gone. NaN where one class is left.
    """
    coded = truth != -1
    hits, share, owners = truth[coded] == 1, share[coded], owners[coded]
    count = int(owners.max(initial=-1)) + 1
    won = _pairs_won(hits, share)
    touched = np.bincount(owners, won, count)
    for subject in range(count):
        mine = owners == subject
        touched[subject] -= _pairs_won(hits[mine], share[mine]).sum() / 2
    positives = np.bincount(owners, hits, count)
    negatives = np.bincount(owners, ~hits, count)
    pairs = np.append(0, positives), np.append(0, negatives)
    left = (positives.sum() - pairs[0]) * (negatives.sum() - pairs[1])
    return _divide(won.sum() / 2 - np.append(0, touched), left)


def _pairs_won(hits: NDArray[np.bool_], share: Floats) -> Floats:
    """Count for each frame the pairs in the right order that it is in, (N,)."""
    values, group = np.unique(share, return_inverse=True)
    positive = np.bincount(group[hits], minlength=len(values))
    negative = np.bincount(group[~hits], minlength=len(values))
    below = np.cumsum(negative) - negative / 2
    above = positive.sum() - np.cumsum(positive) + positive / 2
    return np.where(hits, below[group], above[group]) if len(hits) else np.zeros(0)


def _group_ends(values: Floats) -> NDArray[np.int64]:
    """Return where each run of equal values ends in a sorted column."""
    return np.flatnonzero(np.append(values[1:] != values[:-1], True)) if len(values) else _NONE


_NONE = np.empty(0, dtype=np.int64)


def event_counts(
    labels: Labels, predicted: NDArray[np.bool_], starts: NDArray[np.int64], owners: Owners
) -> Floats:
    """Count events of each subject and AU, (S, 4, A): found, false, missed, and 0.

    An event is an unbroken run of present frames within a recording; `starts` are the first frames
    of unbroken stretches (of a recording, or after a gap in its frame numbers). Frames that are not
    coded for the AU end an event of either side. A true and a predicted event match if their
    frames in common are more than half of the frames of both together, so that each has one match
    at most.
    """
    counts = np.zeros((int(owners.max(initial=-1)) + 1, 4, labels.shape[1]))
    for place in range(labels.shape[1]):
        coded = labels[:, place] != -1
        true = _events((labels[:, place] == 1), starts)
        told = _events(predicted[:, place] & coded, starts)
        matched = _matched(true, told)
        for kind, first in enumerate((true[matched, 0], told[:, 0], true[:, 0])):
            np.add.at(counts[:, kind, place], owners[first], 1)
    counts[:, 1:3] -= counts[:, :1]
    return counts


def _events(present: NDArray[np.bool_], starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (events, 2): first frame, and the one after the last."""
    fresh = np.zeros(len(present) + 1, dtype=bool)
    fresh[starts] = True
    padded = np.concatenate([[False], present, [False]])
    before, now = padded[:-1], padded[1:]
    begin = np.flatnonzero(now & (~before | fresh))
    end = np.flatnonzero(before & (~now | fresh))
    return np.stack([begin, end], axis=1)


def _matched(true: NDArray[np.int64], told: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which true events one predicted event matches."""
    first = np.searchsorted(told[:, 1], true[:, 0], side="right")
    last = np.searchsorted(told[:, 0], true[:, 1], side="left")
    meeting = np.maximum(last - first, 0)
    mine = np.repeat(np.arange(len(true)), meeting)
    other = np.arange(meeting.sum()) - np.repeat(np.cumsum(meeting) - meeting - first, meeting)
    one, two = true[mine], told[other]
    common = np.minimum(one[:, 1], two[:, 1]) - np.maximum(one[:, 0], two[:, 0])
    union = np.diff(one)[:, 0] + np.diff(two)[:, 0] - common
    found = np.zeros(len(true), dtype=bool)
    found[mine[common > SAME_EVENT * union]] = True
    return found


def _divide(part: NDArray, whole: NDArray) -> Floats:
    """Divide, with NaN where there is nothing to divide by."""
    result = np.full(np.shape(whole), np.nan)
    np.divide(part, whole, out=result, where=np.asarray(whole) != 0)
    return result
