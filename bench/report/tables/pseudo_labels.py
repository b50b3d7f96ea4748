"""Table of pseudo labels held against the hidden labels, beside what a constant would reach.

An accuracy says little where most AUs are absent most of the time: the more frequent class of each
AU, told of every frame, is right as often as that. Used by `table` and `plot pseudo-labels`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bench.report.aggregate import RunMatrix
from bench.report.method_runs import MethodRuns
from bench.report.metric import Scoring
from bench.report.model import MISSING, Entry, NothingToShow, Row, Table
from bench.report.notes import RUNS
from bench.results.records import Record

MEASURES: Mapping[str, tuple[str, str]] = {
    "used": ("used", "overall_used"),
    "right": ("accuracy", "overall_accuracy"),
    "more frequent class": ("majority_accuracy", "overall_majority_accuracy"),
    "balanced": ("balanced_accuracy", "mean_balanced_accuracy"),
}
"""What a row shows: the audit's list per AU, and its figure over all AUs."""

MEANING = (
    "used: of the pseudo labels offered; right: of those used; more frequent class: right if each "
    "AU's more frequent class were told of every frame used; balanced: mean of the shares right "
    "among present and among absent ones (over all AUs: mean over the AUs)"
)

NO_PSEUDO_LABELS = "no record has pseudo labels: run pseudo_label, fixmatch, tcl or ks"

UNTOLD = (
    "– among a method's figures: only one class was used, or the records are of an earlier version "
    "and do not tell"
)

WEIGHTS_TOLERANCE = 0.0005
"""How exactly equal weights must give an old record's overall accuracy: half a digit printed."""


def pseudo_label_tables(
    records: Iterable[Record], *, select: str | Scoring = "last", published: bool = False
) -> list[Table]:
    """Shares (%) of pseudo labels by action unit over the whole training, a table a label ratio.

    The paper's accuracies are shown where it made them: BP4D, 10 % labels. Raises NothingToShow if
    no record has pseudo labels.
    """
    matrix = RunMatrix.of(records, select)
    tables = [
        _table(matrix, lines, ratio, published=published)
        for ratio in matrix.ratios
        if (lines := [line for line in matrix.lines if _audited(line, ratio)])
    ]
    if not tables:
        raise NothingToShow(NO_PSEUDO_LABELS)
    return tables


def _table(
    matrix: RunMatrix, lines: Sequence[MethodRuns], ratio: float, *, published: bool
) -> Table:
    rows = [row for line in lines for row in _rows(matrix, line, ratio)]
    untold = any(entry.state == "missing" for row in rows for entry in row.entries)
    paper, notes = matrix.paper(wanted=published)
    for rule, accuracy in paper.pseudo_labels(ratio) if paper else ():
        entries = (*(MISSING for _ in matrix.aus), accuracy)
        rows.append(Row(label=f"{rule}: right", source="paper", entries=entries))
    what = f"Pseudo labels against the hidden labels (%) at {matrix.heading(ratio)} labels"
    columns = [*(f"AU{au}" for au in matrix.aus), "all AUs"]
    notes = [RUNS, MEANING, *([UNTOLD] if untold else []), *notes]
    return matrix.table("pseudo-labels", what, columns, rows, notes=notes, ratio=ratio, of_f1=False)


def _audited(line: MethodRuns, ratio: float) -> bool:
    """Tell whether any run of a line used a pseudo label."""
    runs = line.at(ratio).values()
    return any(record.audit.get("overall_accuracy") is not None for record in runs)


def audit_figures(record: Record) -> dict[str, Any]:
    """Return a record's audit, with what earlier versions did not write but imply.

    Of a used pseudo label they told accuracy, precision and the share that is positive: that gives
    all four outcomes. Over all AUs it takes how many were used of each; where equal weights do not
    give the overall accuracy, that figure stays unknown.
    """
    audit = record.audit
    if not audit.get("accuracy") or "majority_accuracy" in audit:
        return audit
    pairs = [_implied(*values) for values in _told(audit)]
    majority = [most for most, _ in pairs]
    balanced = [both for _, both in pairs]
    known = [value for value in balanced if value is not None]
    return {
        **audit,
        "majority_accuracy": majority,
        "balanced_accuracy": balanced,
        "overall_majority_accuracy": _overall(audit, majority),
        "mean_balanced_accuracy": sum(known) / len(known) if known else None,
    }


def _told(audit: Mapping[str, Any]) -> Iterator[tuple[float | None, float | None, float | None]]:
    return zip(audit["accuracy"], audit["precision"], audit["positive_share"], strict=True)


def _implied(
    accuracy: float | None, precision: float | None, positive_share: float | None
) -> tuple[float | None, float | None]:
    """Return the majority accuracy and the balanced accuracy of one AU."""
    if accuracy is None or positive_share is None:
        return None, None
    true_positive = positive_share * (precision or 0.0)
    true_negative = accuracy - true_positive
    present = true_positive + 1 - positive_share - true_negative
    absent = 1 - present
    if min(present, absent) < 1e-9:  # one class only, but for rounding
        return 1.0, None
    return max(present, absent), (true_positive / present + true_negative / absent) / 2


def _overall(audit: Mapping[str, Any], majority: Sequence[float | None]) -> float | None:
    """Average the majority accuracy over the AUs, weighted by how many were used of each."""
    told = zip(audit["used"], audit["accuracy"], majority, strict=True)
    known = [(used, right, most) for used, right, most in told if used and most is not None]
    weight = sum(used for used, _, _ in known)
    if not weight:
        return None
    overall = sum(used * right for used, right, _ in known) / weight
    if abs(overall - audit["overall_accuracy"]) > WEIGHTS_TOLERANCE:
        return None
    return float(sum(used * most for used, _, most in known) / weight)


def _rows(matrix: RunMatrix, line: MethodRuns, ratio: float) -> Iterator[Row]:
    for measure, (per_au, overall) in MEASURES.items():
        entries = [_entry(matrix, line, ratio, per_au, place) for place in range(len(matrix.aus))]
        entries.append(_entry(matrix, line, ratio, overall))
        yield Row(label=f"{line.label}: {measure}", entries=tuple(entries))


def _entry(
    matrix: RunMatrix, line: MethodRuns, ratio: float, key: str, place: int | None = None
) -> Entry:
    def value(record: Record) -> float | None:
        found = audit_figures(record).get(key)
        share = found[place] if found is not None and place is not None else found
        return None if share is None else 100 * float(share)

    return replace(matrix.entry(line, ratio, value), terse=place is not None)
