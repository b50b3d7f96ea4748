"""Tables by kind, as `python -m bench table` asks for them; each a pure function of records.

`tables` builds what `python -m bench table` shows: one table for each dataset, rule and preset
among the records (and for each ratio, where a table shows one), never a mixture of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.config.names import MethodName
from bench.errors import closest
from bench.results.records import Record

from .aggregate import RunMatrix
from .complexity import complexity_table
from .grouping import by_condition, cell_field
from .headroom_table import headroom_tables
from .metric import Scoring
from .model import NothingToShow, ReportError, Table
from .paired_tables import ablation_table, ablations, ranks_table
from .pseudo_labels import pseudo_label_tables
from .score_tables import per_au_table, ssl_table, supervised_table


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """What was asked of a table, whatever its kind."""

    select: str | Scoring = "last"
    published: bool = False
    intervals: bool = False
    against: str | None = None
    variants: bool = False

    @property
    def shared(self) -> dict[str, Any]:
        """The options that the score tables and ablations have in common."""
        names = ("select", "published", "intervals")
        return {name: getattr(self, name) for name in names}


def tables(
    kind: str,
    records: Iterable[Record],
    *,
    select: str | Scoring = "last",
    published: bool = False,
    intervals: bool = False,
    against: str | None = None,
    variants: bool = False,
) -> list[Table]:
    """Build every table of a kind that the records give, one condition after another.

    Variants (`ks:no_skd`) stand in ablations, and elsewhere with `variants`, or where `against`
    names one. Raises ReportError if there is no such kind, if no condition gives a table, or if
    records that cannot be compared would stand together.
    """
    if kind not in KINDS:
        raise ReportError(f"no table {kind!r}: {closest(kind, KINDS)}known: {', '.join(KINDS)}")
    if against is not None and kind != "ranks":
        raise ReportError("only `table ranks` compares against one method: leave out --against")
    metric = Scoring.of(select).metric.name
    if metric != "f1" and kind in _OF_NO_METRIC:
        raise ReportError(f"`table {kind}` has no {metric}: leave out --metric")
    options = TableOptions(
        select=Scoring.of(select),
        published=published,
        intervals=intervals,
        against=against,
        variants=variants or ":" in (against or ""),
    )
    hiding = kind != "ablation" and not options.variants
    found: list[Table] = []
    reasons: list[str] = []
    for condition, members in by_condition(records).items():
        kept, left_out = _without_variants(members) if hiding else (members, [])
        try:
            found += _noted(_BUILDERS[kind](kept, options), left_out)
        except NothingToShow as error:
            reasons.append(f"not shown: {', '.join(condition.name)}: {error}")
    if not found:
        raise NothingToShow("; ".join(reasons) or "there are no records: run some cells first")
    return [*found[:-1], replace(found[-1], notes=(*found[-1].notes, *reasons))]


def _without_variants(records: list[Record]) -> tuple[list[Record], list[str]]:
    """Split off the variants of methods, unless there is nothing else; returns their names."""
    kept = [r for r in records if MethodName.parse(str(cell_field(r, "method"))).variant is None]
    if not kept:
        return records, []
    return kept, sorted({r.cell["method"] for r in records} - {r.cell["method"] for r in kept})


def _noted(made: list[Table], left_out: Sequence[str]) -> list[Table]:
    if not left_out:
        return made
    note = (
        f"variants left out: {', '.join(left_out)} (`--variants` shows them, `table ablation` too)"
    )
    return [replace(table, notes=(*table.notes, note)) for table in made]


def _per_au(records: list[Record], options: TableOptions) -> list[Table]:
    matrix = RunMatrix.of(records, options.select)
    return [per_au_table(matrix, ratio=ratio, **options.shared) for ratio in matrix.ratios]


def _ablation(records: list[Record], options: TableOptions) -> list[Table]:
    matrix = RunMatrix.of(records, options.select)
    places: list[dict[str, Any]] = [{"base": b, "ratio": r} for b, r in ablations(records)]
    return [ablation_table(matrix, **place, **options.shared) for place in places or [{}]]


def _ranks(records: list[Record], options: TableOptions) -> list[Table]:
    return [
        ranks_table(
            records,
            against=options.against,
            select=options.select,
            intervals=options.intervals,
        )
    ]


def _headroom(records: list[Record], options: TableOptions) -> list[Table]:
    return headroom_tables(records, select=Scoring.of(options.select).select)


def _complexity(records: list[Record], options: TableOptions) -> list[Table]:
    return [complexity_table(records, select=options.select, published=options.published)]


def _pseudo_labels(records: list[Record], options: TableOptions) -> list[Table]:
    return pseudo_label_tables(records, select=options.select, published=options.published)


_BUILDERS: Mapping[str, Callable[[list[Record], TableOptions], list[Table]]] = {
    "ssl": lambda records, options: [ssl_table(records, **options.shared)],
    "supervised": lambda records, options: [supervised_table(records, **options.shared)],
    "per-au": _per_au,
    "complexity": _complexity,
    "ablation": _ablation,
    "ranks": _ranks,
    "headroom": lambda records, options: headroom_tables(
        records, select=Scoring.of(options.select).select
    ),
    "pseudo-labels": _pseudo_labels,
}
"""Builders of the tables of one condition."""

_OF_NO_METRIC = ("complexity", "headroom", "pseudo-labels")
"""Tables that another metric than F1 does not change."""

KINDS = tuple(_BUILDERS)
