"""Tables of people: scores of women and men, and of every test subject; for `table`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from bench.config.names import GridPoint
from bench.report.aggregate import RunMatrix
from bench.report.entries import entry_of_runs, percent_of
from bench.report.fold_counts import FoldCounts, FoldScore
from bench.report.grouping import percent
from bench.report.method_runs import MethodRuns
from bench.report.metric import Scoring
from bench.report.model import Entry, NothingToShow, Row, Table
from bench.report.notes import RUNS
from bench.report.statistics import Estimate, estimate
from bench.report.subject_scores import subject_f1
from bench.report.variance import Replicates
from bench.results.records import Record

from .differences import difference_entries

SEXES: Mapping[str, str] = {"F": "women", "M": "men"}
"""First letter of a subject's name in BP4D and its relatives, and of the embedded dataset."""

BY_SEX = (
    "women, men: scores of their frames alone, averaged over the AUs that have one there; the "
    "interval of the gap leaves out each test subject, women and men being samples of their own, "
    "its p-value is Holm-corrected over the methods at a ratio; it tells nothing of why"
)

BY_SUBJECT = (
    "F1 (%) over all AUs together of one subject's frames, at threshold 0.5, pooled over the runs "
    "that tested it; subjects by their mean over the methods, those served worst first"
)


def sex_table(records: Iterable[Record], *, select: str | Scoring = "last") -> Table:
    """Scores of women and of men by label ratio, and their gap with its 95 % interval.

    Raises NothingToShow where subjects' names do not tell both, or the metric is no sum over them.
    """
    matrix = RunMatrix.of(records, select)
    gaps = {ratio: _gaps(matrix, ratio) for ratio in matrix.ratios}
    rows = []
    for place, line in enumerate(matrix.lines):
        rows += _by_sex(matrix, line)
        entries = tuple(gaps[ratio][place] for ratio in matrix.ratios)
        rows.append(Row(label=f"{line.label}: women - men", source=line.source, entries=entries))
    if not any(entry.value is not None for row in rows for entry in row.entries):
        raise NothingToShow(
            "no run tells women from men by this metric: names of subjects have to begin with F or "
            "M, both among the test subjects, and the metric has to add up over them"
        )
    columns = [percent(ratio) for ratio in matrix.ratios]
    what = f"Mean {matrix.metric.heading} of women and men by share of labelled frames"
    return matrix.table("sex", what, columns, rows, notes=[RUNS, BY_SEX], by_ratio=True)


def _by_sex(matrix: RunMatrix, line: MethodRuns) -> list[Row]:
    def entries(sex: str) -> tuple[Entry, ...]:
        return tuple(
            entry_of_runs(
                line.at(ratio),
                matrix.expected[ratio],
                lambda record: _mean_of(matrix.scoring.fold(record), sex),
            )
            for ratio in matrix.ratios
        )

    return [
        Row(label=f"{line.label}: {name}", source=line.source, entries=entries(sex))
        for sex, name in SEXES.items()
    ]


def _both(fold: FoldScore) -> bool:
    return {name[:1].upper() for name in fold.subjects} == set(SEXES)


def _only(fold: FoldCounts, sex: str) -> FoldCounts:
    """Keep the subjects of one sex; AUs that none of them is coded for are left out."""
    mine = np.array([name[:1].upper() == sex for name in fold.subjects])
    names = tuple(name for name, own in zip(fold.subjects, mine, strict=True) if own)
    return FoldCounts.of(names, fold.parts[..., mine], fold.coded[:, mine], fold.measure)


def _mean_of(fold: FoldScore | None, sex: str) -> float | None:
    if not isinstance(fold, FoldCounts) or not _both(fold):
        return None
    return percent_of(_only(fold, sex).mean)


def _gaps(matrix: RunMatrix, ratio: float) -> list[Entry]:
    """Take women minus men of every line at a ratio, over its runs that test both."""
    found = [_gap(line.at(ratio), matrix.scoring) for line in matrix.lines]
    return difference_entries(found, len(matrix.expected[ratio]))


def _gap(runs: Mapping[GridPoint, Record], scoring: Scoring) -> Estimate | None:
    folds = {point: scoring.fold(record) for point, record in runs.items()}
    both = {p: f for p, f in folds.items() if isinstance(f, FoldCounts) and _both(f)}
    return estimate({p: _replicates(f) for p, f in both.items()}) if both else None


def _replicates(fold: FoldCounts) -> Replicates:
    """Return a run's gap, and that without each subject: who is left out changes one side alone."""
    women, men = (_only(fold, sex) for sex in SEXES)
    without = {
        **dict(zip(women.subjects, women.without_one - men.mean, strict=True)),
        **dict(zip(men.subjects, women.mean - men.without_one, strict=True)),
    }
    gaps = np.array([without[name] for name in fold.subjects])
    alike = women.comparable and men.comparable
    sexes = tuple(name[:1].upper() for name in fold.subjects)
    gap = women.mean - men.mean
    alone = next((word for sex, word in SEXES.items() if sexes.count(sex) == 1), "")
    reason = f"only one of the test subjects is of the {alone}" if alone else ""
    return Replicates(fold.subjects, alike, gap, gaps, reason=reason, groups=sexes)


def subject_table(
    records: Iterable[Record] | RunMatrix,
    *,
    ratio: float | None = None,
    select: str | Scoring = "last",
) -> Table:
    """F1 of every test subject under every method at one label ratio, the worst served first."""
    matrix = RunMatrix.of(records, select)
    ratio = matrix.one_ratio(ratio)
    scores = {
        line.label: subject_f1(line.at(ratio).values(), matrix.select) for line in matrix.lines
    }
    columns = [label for label, found in scores.items() if found]
    subjects = {name for label in columns for name in scores[label]}
    if not subjects:
        raise NothingToShow(f"no finished record has counts of subjects at {percent(ratio)} labels")

    def value(label: str, subject: str) -> float | None:
        found = scores[label].get(subject)
        return found[0] if found else None

    def mean(subject: str) -> float:
        known = [v for label in columns if (v := value(label, subject)) is not None]
        return float(np.mean(known)) if known else float("inf")

    missing = Entry(state="missing")
    rows = [
        Row(
            label=subject,
            entries=tuple(
                missing if (v := value(label, subject)) is None else Entry(value=v)
                for label in columns
            ),
        )
        for subject in sorted(subjects, key=lambda name: (mean(name), name))
    ]
    what = f"F1 (%) of single subjects at {matrix.heading(ratio)} labels"
    table = matrix.table("subjects", what, columns, rows, notes=[BY_SUBJECT], ratio=ratio)
    return replace(table, corner="subject", turned="method")
