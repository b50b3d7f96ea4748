"""F1 of single test subjects: who is served badly. Used by the figure of subjects and the page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np

from bench.results.records import Record

from .grouping import scores_of


def subject_f1(records: Iterable[Record], select: str) -> dict[str, list[float | None]]:
    """Return subject -> F1 (%) over all its AUs, then of each AU, of some runs of one method.

    Outcomes are pooled over the runs that tested the subject, for its frames are the same in each;
    and over AUs for the first value. None where an AU is neither there nor predicted.
    """
    counts: dict[str, Any] = defaultdict(int)
    for record in records:
        scores = scores_of(record, select)
        for subject, table in scores.counts.items() if scores else ():
            counts[subject] = counts[subject] + np.asarray(table, dtype=np.int64)
    return {subject: _f1s(counts[subject]) for subject in sorted(counts)}


def _f1s(counts: Any) -> list[float | None]:
    """Turn counts (4, A) of tp, fp, fn, tn into percent."""
    both = np.column_stack([counts.sum(axis=1), counts])
    tp, fp, fn, _ = both
    of = 2 * tp + fp + fn
    return [float(200 * hit / whole) if whole else None for hit, whole in zip(tp, of, strict=True)]
