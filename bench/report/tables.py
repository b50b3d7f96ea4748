"""Tables by kind, as `python -m bench table` asks for them; each a pure function of records.

`tables` builds what `python -m bench table` shows: one table for each dataset, rule and preset
among the records (and for each ratio, where a table shows one), never a mixture of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

from bench.errors import closest
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
    """Build every table of a kind that the records give, one condition after another.

    Raises ReportError if there is no such kind, if no condition gives a table, or if records that
    cannot be compared would stand together.
    """
    if kind not in KINDS:
        raise ReportError(f"no table {kind!r}: {closest(kind, KINDS)}known: {', '.join(KINDS)}")
    found: list[Table] = []
    reasons: list[str] = []
    for condition, members in by_condition(records).items():
        try:
            found += _build(kind, members, select, published=published, intervals=intervals)
        except NothingToShow as error:
            reasons.append(f"not shown: {', '.join(condition.name)}: {error}")
    if not found:
        raise NothingToShow("; ".join(reasons) or "there are no records: run some cells first")
    return [*found[:-1], replace(found[-1], notes=(*found[-1].notes, *reasons))]


def _build(
    kind: str, records: list[Record], select: str, *, published: bool, intervals: bool
) -> list[Table]:
    """Build the tables of one condition; per-AU and ablation tables show one ratio each."""
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
    matrix = RunMatrix.of(records, select)
    places: list[dict[str, Any]] = [{"ratio": ratio} for ratio in matrix.ratios]
    if kind == "ablation":
        places = [{"base": base, "ratio": ratio} for base, ratio in ablations(records)] or [{}]
    return [build(matrix, **place) for place in places]
