"""Reports: tables as pure functions of records, and the statistics behind them.

`tables` builds what `python -m bench table` shows: one table for each dataset, rule and preset
among the records (and for each ratio, where a table shows one), never a mixture of them.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

from bench.results.records import Record

from .aggregate import RunMatrix
from .complexity import complexity_table
from .f1_tables import per_au_table, ssl_table, supervised_table
from .grouping import by_condition
from .model import NothingToShow, ReportError, Table
from .paired_tables import ablation_table, ablations, ranks_table

KINDS = ("ssl", "supervised", "per-au", "complexity", "ablation", "ranks")


def tables(
    kind: str,
    records: Iterable[Record],
    *,
    select: str = "last",
    published: bool = False,
    intervals: bool = False,
) -> list[Table]:
    """Build every table of a kind that the records give, one setting after another.

    Raises ReportError if there is no such kind, if no setting gives a table, or if records that
    cannot be compared would stand together.
    """
    if kind not in KINDS:
        close = difflib.get_close_matches(kind, KINDS, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]}? " if close else ""
        raise ReportError(f"no table {kind!r}: {hint}known: {', '.join(KINDS)}")
    found: list[Table] = []
    reasons: list[str] = []
    for setting, members in by_condition(records).items():
        try:
            found += _build(kind, members, select, published=published, intervals=intervals)
        except NothingToShow as error:
            reasons.append(f"not shown: {', '.join(setting.name)}: {error}")
    if not found:
        raise NothingToShow("; ".join(reasons) or "there are no records: run some cells first")
    return [*found[:-1], replace(found[-1], notes=(*found[-1].notes, *reasons))]


def _build(
    kind: str, records: list[Record], select: str, *, published: bool, intervals: bool
) -> list[Table]:
    """Build the tables of one setting; per-AU and ablation tables show one ratio each."""
    if kind == "complexity":
        return [complexity_table(records, select=select, published=published)]
    if kind == "ranks":
        return [ranks_table(records, select=select, intervals=intervals)]
    builders: dict[str, Callable[..., Table]] = {
        "ssl": ssl_table,
        "supervised": supervised_table,
        "per-au": per_au_table,
        "ablation": ablation_table,
    }
    build = partial(builders[kind], select=select, published=published, intervals=intervals)
    if kind in ("ssl", "supervised"):
        return [build(records)]
    grid = RunMatrix.of(records, select)
    places: list[dict[str, Any]] = [{"ratio": ratio} for ratio in grid.ratios]
    if kind == "ablation":
        places = [{"base": base, "ratio": ratio} for base, ratio in ablations(records)] or [{}]
    return [build(grid, **place) for place in places]
