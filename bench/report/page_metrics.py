"""Metrics that the report page can show: of each, entries over all AUs and of one AU, in percent.

Used by `page_conditions.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.results.records import Record

from .aggregate import RunMatrix
from .grouping import scores_of
from .method_runs import MethodRuns
from .model import Entry
from .pseudo_labels import audit_figures

PerAu = Callable[[Record, str], "Sequence[float | None] | None"]
"""(record, selection rule) -> a share of one for each AU, or None where the record has none."""


@dataclass(frozen=True)
class PageMetric:
    """A metric of a run, as a mean over the AUs that have it, and AU by AU."""

    key: str
    name: str
    meaning: str
    per_au: PerAu
    overall: Callable[[Record, str], float | None] | None = None
    """The figure over all AUs, where it is not the mean of theirs."""
    audit: bool = False
    """Whether it is about pseudo labels, and not about test frames."""

    def entry(self, matrix: RunMatrix, line: MethodRuns, ratio: float) -> Entry:
        """Make the entry over all AUs."""
        return matrix.entry(
            line, ratio, lambda record: _percent(self._whole(record, matrix.select))
        )

    def au_entry(self, matrix: RunMatrix, line: MethodRuns, ratio: float, place: int) -> Entry:
        """Make the entry of one AU, by its place."""

        def value(record: Record) -> float | None:
            values = self.per_au(record, matrix.select)
            return _percent(values[place]) if values else None

        return matrix.entry(line, ratio, value)

    def _whole(self, record: Record, select: str) -> float | None:
        if self.overall:
            return self.overall(record, select)
        known = [value for value in self.per_au(record, select) or () if value is not None]
        return sum(known) / len(known) if known else None


class MeanF1(PageMetric):
    """F1 at threshold 0.5: the only one with intervals, and with AUs that a fold does not code."""

    def entry(self, matrix: RunMatrix, line: MethodRuns, ratio: float) -> Entry:
        """Make the entry of the mean F1 with its 95 % interval."""
        return matrix.score(line, ratio, intervals=True)

    def au_entry(self, matrix: RunMatrix, line: MethodRuns, ratio: float, place: int) -> Entry:
        """Make the entry of one AU's F1."""
        return matrix.au_score(line, ratio, place)


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _scored(part: str) -> PerAu:
    def per_au(record: Record, select: str) -> Sequence[float | None] | None:
        scores = scores_of(record, select)
        return getattr(scores, part) if scores else None

    return per_au


def _audited(key: str) -> PerAu:
    return lambda record, _: audit_figures(record).get(key)


def _audited_whole(key: str) -> Callable[[Record, str], float | None]:
    return lambda record, _: audit_figures(record).get(key)


METRICS: tuple[PageMetric, ...] = (
    MeanF1("f1", "F1", "2 TP / (2 TP + FP + FN), present from probability 0.5 on", _scored("f1")),
    PageMetric("auc", "AUC", "area under the ROC curve: no threshold is chosen", _scored("auc")),
    PageMetric(
        "accuracy", "accuracy", "share of coded frames predicted right", _scored("accuracy")
    ),
    PageMetric(
        "pseudo-used",
        "pseudo labels: used",
        "share of the pseudo labels offered that the method used",
        _audited("used"),
        _audited_whole("overall_used"),
        audit=True,
    ),
    PageMetric(
        "pseudo-right",
        "pseudo labels: right",
        "share of the used pseudo labels that equal the hidden label",
        _audited("accuracy"),
        _audited_whole("overall_accuracy"),
        audit=True,
    ),
    PageMetric(
        "pseudo-constant",
        "pseudo labels: a constant",
        "share right if each AU's more frequent class were told of the same frames",
        _audited("majority_accuracy"),
        _audited_whole("overall_majority_accuracy"),
        audit=True,
    ),
    PageMetric(
        "pseudo-balanced",
        "pseudo labels: balanced",
        "mean of the shares right among present and among absent ones; 50 is a constant",
        _audited("balanced_accuracy"),
        _audited_whole("mean_balanced_accuracy"),
        audit=True,
    ),
)
