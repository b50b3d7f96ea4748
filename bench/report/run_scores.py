"""One run's score by a metric: a value per AU, and what becomes of the mean without some subjects.

Made by the metrics of `report/metric.py` from what a record holds, or from its predictions.

Shapes: N frames, A action units, S test subjects, K sums that a metric is made of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bench.metrics import with_gaps
from bench.results.predictions import StoredPredictions
from bench.results.records import Scores

from .fold_counts import Floats, FoldCounts, FoldRanking, FoldScore, Measure
from .frame_metrics import (
    Labels,
    Owners,
    agreement_parts,
    average_precisions,
    best_thresholds,
    brier,
    brier_parts,
    counts_by_subject,
    event_counts,
    f1_of_counts,
    icc,
)
from .model import ReportError


class NotStored(Exception):
    """A record does not hold what a metric is made of: a few words that say what is missing."""


@dataclass(frozen=True)
class Run:
    """What a record holds of a run under one selection rule."""

    scores: Scores
    predictions: Callable[[], StoredPredictions]
    """Reads the run's file; raises NotStored."""

    def labelled(self) -> tuple[StoredPredictions, Labels]:
        """Return predictions and labels (N, A); raises NotStored."""
        found = self.predictions()
        if found.labels is None:
            raise NotStored("predictions.npz holds no labels, for an earlier version wrote it")
        return found, found.labels


class RunScore(Protocol):
    """A run's value on each AU, and its mean with what other subjects would do to it."""

    @property
    def per_au(self) -> Sequence[float | None]:
        """A share of one for each AU of the record; None where the metric is not defined."""
        ...

    def fold(self) -> FoldScore:
        """Return the mean and what it is without some subjects."""
        ...


@dataclass(frozen=True)
class RecordedF1:
    """F1 at threshold 0.5, as the record's scores hold it."""

    scores: Scores

    @property
    def per_au(self) -> Sequence[float | None]:
        """F1 of each AU."""
        return self.scores.f1

    def fold(self) -> FoldScore:
        """Read the counts by subject; raises ReportError if the record has none."""
        return FoldCounts.read(_counts(self.scores))


@dataclass(frozen=True)
class SummedScore:
    """A metric that is made of sums over subjects."""

    subjects: tuple[str, ...]
    parts: Floats
    """(K, A, S); of metrics at a threshold: TP, FP, FN, TN."""
    coded: Floats
    """(A, S) frames, or events, that there is anything to be told of."""
    measure: Measure

    @cached_property
    def per_au(self) -> Sequence[float | None]:
        """The value of each AU's sums."""
        values = self.measure(self.parts.sum(axis=-1))
        return with_gaps(np.where(self.coded.sum(axis=-1) > 0, values, np.nan))

    def fold(self) -> FoldScore:
        """Take the AUs that have a value."""
        return FoldCounts.of(self.subjects, self.parts, self.coded, self.measure)


@dataclass(frozen=True)
class RankedScore:
    """A metric of the order of a run's frames, which does not add up over subjects."""

    run: Run
    values: Callable[[Labels, Floats, Owners], Floats]
    """One AU's truth, probabilities and owners (N,) -> its value, then without each subject."""
    told: Sequence[float | None] | None = None
    """The values per AU where the record tells them."""

    @cached_property
    def per_au(self) -> Sequence[float | None]:
        """The value of each AU."""
        if self.told is not None:
            return self.told
        found, labels = self.run.labelled()
        together = np.zeros(len(labels), dtype=np.int64)
        columns = zip(labels.T, found.probabilities.T, strict=True)
        return with_gaps(np.array([self.values(t, p, together)[0] for t, p in columns]))

    def fold(self) -> FoldScore:
        """Leave every subject out once; where no predictions are stored, say so."""
        try:
            found, labels = self.run.labelled()
        except NotStored as error:
            return self._unknown(f"no subject can be left out of this metric: {error}")
        subjects, owners = owners_of(found)
        columns = zip(labels.T, found.probabilities.T, strict=True)
        values = np.stack([self.values(t, p, owners) for t, p in columns])
        coded = [len(np.unique(owners[column != -1])) for column in labels.T]
        return FoldRanking.of(subjects, values, comparable=max(coded) > 1)

    def _unknown(self, why: str) -> FoldRanking:
        subjects = tuple(sorted(self.run.scores.counts))
        known = [value for value in self.told or () if value is not None]
        mean = float(np.mean(known)) if known else float("nan")
        unknown = np.full(len(subjects), np.nan)
        return FoldRanking(subjects, comparable=False, mean=mean, without_one=unknown, reason=why)


def counted(scores: Scores, measure: Measure) -> SummedScore:
    """Make a metric of a record's counts (4, A, S): TP, FP, FN, TN at threshold 0.5."""
    counts = _counts(scores)
    subjects = tuple(sorted(counts))
    return _of_counts(subjects, np.array([counts[name] for name in subjects], float), measure)


def _of_counts(subjects: tuple[str, ...], counts: Floats, measure: Measure) -> SummedScore:
    """Take counts (S, 4, A)."""
    table = counts.transpose(1, 2, 0)
    return SummedScore(subjects, table, table.sum(axis=0), measure)


def f1_at_rates(run: Run) -> SummedScore:
    """F1 with each AU's positive rate among the labelled training frames as its threshold.

    An AU that no labelled frame shows is never predicted, as nothing tells that it exists; one
    that none is coded for keeps 0.5.
    """
    found, labels = run.labelled()
    if found.rates is None:
        raise NotStored("predictions.npz holds no training rates, for an earlier version wrote it")
    rates = np.where(np.isnan(found.rates), 0.5, found.rates)
    return _f1_at(found, labels, np.where(rates > 0, rates, np.inf))


def f1_validated(run: Run) -> SummedScore:
    """F1 with each AU's threshold chosen on the labelled frames of validation subjects."""
    found, labels = run.labelled()
    if found.validation_labels is None or found.validation_probabilities is None:
        raise NotStored(
            "no validation subjects were held out (run with --set data.val_subjects=4, say)"
        )
    shares = found.validation_probabilities.astype(np.float64)
    thresholds = best_thresholds(found.validation_labels, shares)
    return _f1_at(found, labels, thresholds)


def _f1_at(found: StoredPredictions, labels: Labels, thresholds: Floats) -> SummedScore:
    subjects, owners = owners_of(found)
    counts = counts_by_subject(labels, found.probabilities >= thresholds, owners)
    return _of_counts(subjects, counts, f1_of_counts)


def event_f1(run: Run) -> SummedScore:
    """F1 of events (unbroken runs of present frames) at threshold 0.5."""
    found, labels = run.labelled()
    subjects, owners = owners_of(found)
    counts = event_counts(labels, found.probabilities >= 0.5, stretch_starts(found), owners)
    return _of_counts(subjects, counts, f1_of_counts)


def brier_score(run: Run) -> SummedScore:
    """Mean squared error of the probabilities."""
    found, labels = run.labelled()
    subjects, owners = owners_of(found)
    parts = brier_parts(labels, found.probabilities.astype(np.float64), owners).transpose(1, 2, 0)
    return SummedScore(subjects, parts, parts[1], brier)


def intensity_agreement(run: Run) -> SummedScore:
    """ICC(3,1) of five times the probability with the intensity."""
    found, labels = run.labelled()
    if found.intensities is None:
        raise NotStored(
            "predictions.npz holds no intensities, for the dataset gave none (DISFA, DISFA+, a "
            "manifest with such columns and BP4D with intensity=read do), or an earlier version "
            "wrote it"
        )
    subjects, owners = owners_of(found)
    shares = found.probabilities.astype(np.float64)
    parts = agreement_parts(labels, shares, found.intensities, owners).transpose(1, 2, 0)
    return SummedScore(subjects, parts, parts[0], icc)


def average_precision(run: Run) -> RankedScore:
    """Average precision; raises NotStored at once where it cannot be made."""
    run.labelled()
    return RankedScore(run, average_precisions)


def owners_of(found: StoredPredictions) -> tuple[tuple[str, ...], Owners]:
    """Return the subjects, sorted, and whose each frame is, (N,)."""
    names, owners = np.unique(found.subject, return_inverse=True)
    return tuple(map(str, names)), owners.astype(np.int64)


def stretch_starts(found: StoredPredictions) -> NDArray[np.int64]:
    """Return where a recording begins, or goes on after a gap in its frame numbers."""
    same = (found.subject[1:] == found.subject[:-1]) & (found.task[1:] == found.task[:-1])
    steps = np.diff(found.frame)
    usual = int(np.median(steps[same])) if same.any() else 1
    return np.flatnonzero(np.append(True, ~same | (steps > usual)))


def _counts(scores: Scores) -> dict[str, list[list[int]]]:
    if not scores.counts:
        raise ReportError("holds no counts per subject: run it again (--fresh)")
    return scores.counts
