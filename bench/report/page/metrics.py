"""What the report page tells of pseudo labels: of each run, a share over all AUs and of each.

Used by `page_conditions.py`. The page's other metrics are those of `metric.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.report.aggregate import RunMatrix
from bench.report.method_runs import MethodRuns
from bench.report.model import Entry
from bench.report.tables.pseudo_labels import audit_figures
from bench.results.records import Record


@dataclass(frozen=True)
class AuditMetric:
    """A figure of the pseudo-label audit."""

    key: str
    name: str
    meaning: str
    per_au: str
    """The audit's list of shares per AU."""
    overall: str
    """The audit's share over all AUs."""

    def entry(self, matrix: RunMatrix, line: MethodRuns, ratio: float) -> Entry:
        """Make the entry over all AUs, in percent."""
        return matrix.entry(line, ratio, lambda r: _percent(audit_figures(r).get(self.overall)))

    def au_entry(self, matrix: RunMatrix, line: MethodRuns, ratio: float, place: int) -> Entry:
        """Make the entry of one AU, by its place."""

        def value(record: Record) -> float | None:
            shares: Sequence[float | None] | None = audit_figures(record).get(self.per_au)
            return _percent(shares[place]) if shares else None

        return matrix.entry(line, ratio, value)


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


AUDIT_METRICS: tuple[AuditMetric, ...] = (
    AuditMetric(
        "pseudo-used",
        "pseudo labels: used (%)",
        "share of the pseudo labels offered that the method used",
        "used",
        "overall_used",
    ),
    AuditMetric(
        "pseudo-right",
        "pseudo labels: right (%)",
        "share of the used pseudo labels that equal the hidden label",
        "accuracy",
        "overall_accuracy",
    ),
    AuditMetric(
        "pseudo-constant",
        "pseudo labels: a constant (%)",
        "share right if each AU's more frequent class were told of the same frames",
        "majority_accuracy",
        "overall_majority_accuracy",
    ),
    AuditMetric(
        "pseudo-balanced",
        "pseudo labels: balanced (%)",
        "mean of the shares right among present and among absent ones; 50 is a constant",
        "balanced_accuracy",
        "mean_balanced_accuracy",
    ),
)
