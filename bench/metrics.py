"""Metrics: scores per action unit (F1 as the field counts it, AUC), and trivial baselines.

Used by the runner to score a fold, and by `bench data stats`.

Shapes: N frames, A action units. `labels` (N, A) hold 1, 0 or -1; -1 = not coded, and is counted
nowhere. `probabilities` (N, A) are in [0, 1]; at or above the threshold means predicted. An AU that
none of the frames is coded for has no score: NaN here, None in a record.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.results.records import Scores

THRESHOLD = 0.5


def counts_per_au(
    labels: ArrayLike, probabilities: ArrayLike, threshold: float = THRESHOLD
) -> NDArray[np.int64]:
    """Count outcomes per AU, (4, A): true and false positives, false and true negatives.

    Raises ValueError where shapes differ, a label is outside the code or a probability is no
    probability.
    """
    truth, share = _checked(labels, probabilities)
    positive, negative, predicted = truth == 1, truth == 0, share >= threshold
    outcomes = (
        positive & predicted,
        negative & predicted,
        positive & ~predicted,
        negative & ~predicted,
    )
    return np.stack([outcome.sum(axis=0, dtype=np.int64) for outcome in outcomes])


def f1_from_counts(counts: ArrayLike) -> NDArray[np.float64]:
    """Turn counts (..., 4, A) into F1 (..., A) = 2 TP / (2 TP + FP + FN); NaN where all are 0.

    An AU that is absent and never predicted scores 0, as in the field's evaluation scripts; one
    that no frame is coded for has no F1.
    """
    table = np.asarray(counts, dtype=np.float64)
    tp, fp, fn = table[..., 0, :], table[..., 1, :], table[..., 2, :]
    coded = table.sum(axis=-2) > 0
    return np.where(coded, _ratio(2 * tp, 2 * tp + fp + fn), np.nan)


def f1_per_au(
    labels: ArrayLike, probabilities: ArrayLike, threshold: float = THRESHOLD
) -> NDArray[np.float64]:
    """Return F1 per AU, (A,), with TP, FP and FN pooled over all frames given."""
    return f1_from_counts(counts_per_au(labels, probabilities, threshold))


def accuracy_per_au(
    labels: ArrayLike, probabilities: ArrayLike, threshold: float = THRESHOLD
) -> NDArray[np.float64]:
    """Return the share of coded frames that are predicted right, (A,); NaN where none is coded."""
    return _accuracy_from_counts(counts_per_au(labels, probabilities, threshold))


def auc_per_au(labels: ArrayLike, probabilities: ArrayLike) -> NDArray[np.float64]:
    """Return the area under the ROC curve per AU, (A,); NaN where the frames hold one class only.

    It is the share of (positive, negative) pairs in the right order, a tie counting half
    (Mann-Whitney), computed from ranks.
    """
    truth, share = _checked(labels, probabilities)
    columns = zip(truth.T, share.T, strict=True)
    return np.array([_auc(column, score) for column, score in columns], dtype=np.float64)


def positive_rates(labels: ArrayLike) -> NDArray[np.float64]:
    """Return the share of positives among the coded frames, (A,); NaN where none is coded."""
    truth = _checked_labels(labels)
    return _share((truth == 1).sum(axis=0), (truth != -1).sum(axis=0))


def always_positive_f1(labels: ArrayLike) -> NDArray[np.float64]:
    """Return the F1 per AU, (A,), of seeing every AU on every frame: 2r / (1 + r) at rate r."""
    rates = positive_rates(labels)
    return 2 * rates / (1 + rates)


def training_prior_f1(labels: ArrayLike, training_rates: ArrayLike) -> NDArray[np.float64]:
    """Return the F1 per AU, (A,), of a coin that says "present" as often as training did.

    `training_rates` (A,) are the positive rates p of the labelled training frames; r is the rate
    in `labels`. A coin blind to the frame has the expected counts TP = rp, FP = (1 - r)p and
    FN = r(1 - p) a frame, and the F1 of these is given: 2pr / (p + r). (Predicting an AU always
    where p >= 0.5, and else never, would be the other reading; it scores 0 on every rare AU and
    says less about what base rates alone can reach.)
    """
    prior, rates = np.asarray(training_rates, dtype=np.float64), positive_rates(labels)
    if prior.shape != rates.shape or not np.all((prior >= 0) & (prior <= 1)):
        raise ValueError(f"training rates must be {rates.size} shares in [0, 1], one per AU")
    return np.where(np.isnan(rates), np.nan, _ratio(2 * prior * rates, prior + rates))


def score_fold(
    labels: ArrayLike, probabilities: ArrayLike, subjects: Sequence[str], step: int
) -> Scores:
    """Score one fold's frames; `subjects` (N,) names whose frame each one is.

    The F1 is pooled over the fold; the counts are kept per subject, for pooling and for intervals.
    """
    truth, share = _checked(labels, probabilities)
    owners = np.asarray(subjects, dtype=np.str_)
    if owners.shape != truth.shape[:1]:
        raise ValueError(f"{truth.shape[0]} frames need as many subjects, not {owners.size}")
    counts = {
        str(name): counts_per_au(truth[owners == name], share[owners == name])
        for name in np.unique(owners)
    }
    pooled = counts_per_au(truth, share)
    return Scores(
        step=step,
        f1=with_gaps(f1_from_counts(pooled)),
        auc=with_gaps(auc_per_au(truth, share)),
        accuracy=with_gaps(_accuracy_from_counts(pooled)),
        counts={name: table.tolist() for name, table in counts.items()},
    )


def with_gaps(values: NDArray[np.float64]) -> list[float | None]:
    """Write NaN as None: a record is JSON, which has no NaN."""
    return [None if value != value else value for value in values.tolist()]  # NaN is no equal


def _accuracy_from_counts(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    return _share(counts[0] + counts[3], counts.sum(axis=0))


def _auc(truth: NDArray[np.int64], share: NDArray[np.float64]) -> float:
    """Compute one AU's AUC from average ranks: multiples of 1/2, so exact in float64.

    Not scikit-learn's, which a test holds it against: that takes four times as long, and a second
    to be imported, in every worker.
    """
    coded = truth != -1
    positive = truth[coded] == 1
    pairs = int(positive.sum()) * int((~positive).sum())
    if pairs == 0:
        return float("nan")
    _, place, repeats = np.unique(share[coded], return_inverse=True, return_counts=True)
    ranks = (np.cumsum(repeats) - (repeats - 1) / 2)[place]
    hits = int(positive.sum())
    return float((ranks[positive].sum() - hits * (hits + 1) / 2) / pairs)


def _ratio(part: NDArray, whole: NDArray) -> NDArray[np.float64]:
    """Divide, with 0 for 0 / 0."""
    result = np.zeros(np.shape(whole), dtype=np.float64)
    np.divide(part, whole, out=result, where=np.asarray(whole) > 0)
    return result


def _share(part: NDArray, whole: NDArray) -> NDArray[np.float64]:
    """Divide, with NaN for 0 / 0."""
    return np.where(whole > 0, _ratio(part, whole), np.nan)


def _checked(
    labels: ArrayLike, probabilities: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    truth, share = _checked_labels(labels), np.asarray(probabilities, dtype=np.float64)
    if share.shape != truth.shape:
        raise ValueError(
            f"labels {truth.shape} and probabilities {share.shape} differ in shape; "
            "both must be (frames, AUs)"
        )
    if not np.isfinite(share).all():
        frame, au = np.argwhere(~np.isfinite(share))[0]
        raise ValueError(
            f"the probability of frame {frame}, AU column {au} is {share[frame, au]}; "
            "the model's output is not finite, so nothing can be scored"
        )
    if share.size and (share.min() < 0 or share.max() > 1):
        raise ValueError("probabilities must lie in [0, 1]; apply the sigmoid to logits first")
    return truth, share


def _checked_labels(labels: ArrayLike) -> NDArray[np.int64]:
    values = np.asarray(labels)
    if values.ndim != 2:
        raise ValueError(f"labels must be (frames, AUs), not of shape {values.shape}")
    if not np.isin(values, (-1, 0, 1)).all():
        raise ValueError("labels must be 1, 0 or -1 (not coded)")
    return values.astype(np.int64)
