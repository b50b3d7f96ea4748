"""Differences of methods as entries of a table, and the power of a study to find any.

Used by every table that compares methods, settings or people.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from bench.report.aggregate import RunMatrix
from bench.report.entries import entry_of_estimate
from bench.report.method_runs import MethodRuns
from bench.report.model import MISSING, Entry
from bench.report.statistics import (
    Estimate,
    Runs,
    estimate_difference,
    holm,
    scored_runs,
    smallest_difference,
    tied,
    untested,
)


def difference(one: Runs, two: Runs, span: float) -> Estimate | None:
    """Take the paired difference; None where they share no run."""
    return estimate_difference(one, two, span) if one.keys() & two.keys() else None


def changes_from(
    base: MethodRuns, lines: Sequence[MethodRuns], matrix: RunMatrix, ratio: float
) -> tuple[list[Estimate | None], list[Entry]]:
    """Take each line's paired difference from `base` at a ratio; as entries, too."""
    whole = scored_runs(base.at(ratio).values(), matrix.scoring)
    found = [
        difference(scored_runs(line.at(ratio).values(), matrix.scoring), whole, matrix.metric.span)
        for line in lines
    ]
    return found, difference_entries(found, runs=len(matrix.expected[ratio]))


def difference_entries(differences: Sequence[Estimate | None], runs: int) -> list[Entry]:
    """Turn differences (or shares) into entries, in percent, their p-values corrected together."""
    family = [item.p for item in differences if item and item.p is not None]
    adjusted = iter(holm(family).tolist())
    return [
        _change(item, None if item.p is None else next(adjusted), runs) if item else MISSING
        for item in differences
    ]


def _change(item: Estimate, p: float | None, runs: int) -> Entry:
    return replace(
        entry_of_estimate(item, runs),
        p=p,
        tied=tied(item, p),
        untested=untested(item),
        signed=True,
    )


def power_notes(differences: Sequence[Estimate | None]) -> Iterator[str]:
    """Say how large a true difference this study would have told from none, four times in five."""
    known = [item for item in differences if item and item.error and item.df]
    if not known:
        return
    sizes = [100 * smallest_difference(item, len(known)) for item in known]
    low, middle, high = min(sizes), float(np.median(sizes)), max(sizes)
    spread = f" ({low:.1f} to {high:.1f} among the {len(known)} comparisons)" if high > low else ""
    yield (
        f"power: a true difference of {middle:.1f} points{spread} is told from none in 80 of 100 "
        "studies like this one, after correction; smaller ones mostly look tied here"
    )
