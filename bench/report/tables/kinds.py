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
from bench.report.aggregate import RunMatrix
from bench.report.grouping import by_condition, cell_field, percent, ratio_of
from bench.report.metric import Scoring
from bench.report.model import NothingToShow, ReportError, Table
from bench.results.records import Record

from .ablation import ablation_table, ablations
from .budget import budget_table
from .complexity import complexity_table
from .headroom import headroom_tables
from .people import sex_table, subject_table
from .pooling import pooling_table
from .pseudo_labels import pseudo_label_tables
from .published import published_tables
from .ranks import ranks_table
from .scores import per_au_table, ssl_table, supervised_table
from .settings import settings_tables


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """What was asked of a table, whatever its kind."""

    select: str | Scoring = "last"
    published: bool = False
    intervals: bool = False
    against: str | None = None
    variants: bool = False
    signs: bool = False
    by_ratio: bool = False
    dataset: str | None = None
    """Only this one; matters where there are no records, and the paper's tables are shown."""

    def check(self, kind: str) -> None:
        """Raise ReportError for an option that changes nothing in a table of this kind."""
        metric = Scoring.of(self.select).metric.name
        if metric != "f1" and kind in _OF_NO_METRIC:
            raise ReportError(f"`table {kind}` has no {metric}: leave out --metric")
        if kind == "ranks":
            if self.signs and self.against is not None:
                raise ReportError("--signs is of all pairs: leave it out, or --against")
            return
        if self.against is not None and kind != "settings":
            raise ReportError("only `ranks` and `settings` compare with one row: no --against")
        for name, asked in (("--signs", self.signs), ("--by-ratio", self.by_ratio)):
            if asked:
                raise ReportError(f"only `table ranks` has {name}: leave it out")

    @property
    def shared(self) -> dict[str, Any]:
        """The options that the score tables and ablations have in common."""
        names = ("select", "published", "intervals")
        return {name: getattr(self, name) for name in names}


def tables(
    kind: str, records: Iterable[Record], options: TableOptions | None = None, **asked: Any
) -> list[Table]:
    """Build every table of a kind that the records give, one condition after another.

    `options`, or single ones of its fields by name, say how. Variants (`ks:no_skd`) stand in
    ablations, and elsewhere where they are asked for, or `against` names one. Raises ReportError if
    there is no such kind, if no condition gives a table, or if records that cannot be compared
    would stand together.
    """
    if kind not in KINDS:
        known = [*KINDS, "transfer"]  # which is of records of another kind
        raise ReportError(f"no table {kind!r}: {closest(kind, known)}known: {', '.join(known)}")
    options = options or TableOptions(**asked)
    options.check(kind)
    options = replace(options, select=Scoring.of(options.select))
    records = list(records)
    if not records and options.published:
        return published_tables(kind, options.dataset)
    hiding = kind != "ablation" and not options.variants and ":" not in (options.against or "")
    found: list[Table] = []
    reasons: list[str] = []
    for condition, members in by_condition(records).items():
        kept, left_out = _without_variants(members) if hiding else (members, [])
        try:
            found += _noted(_BUILDERS[kind](kept, options), _hidden(left_out))
        except NothingToShow as error:
            reasons.append(f"not shown: {', '.join(condition.name)}: {error}")
    if not found:
        raise NothingToShow("; ".join(reasons) or NO_RECORDS)
    return [*found[:-1], replace(found[-1], notes=(*found[-1].notes, *reasons))]


NO_RECORDS = (
    "there are no records: run some cells first, or see the paper's own tables with --published"
)


def _without_variants(records: list[Record]) -> tuple[list[Record], list[str]]:
    """Split off the variants of methods, unless there is nothing else; returns their names."""
    kept = [r for r in records if MethodName.parse(str(cell_field(r, "method"))).variant is None]
    if not kept:
        return records, []
    return kept, sorted({r.cell["method"] for r in records} - {r.cell["method"] for r in kept})


def _noted(made: list[Table], notes: Sequence[str]) -> list[Table]:
    return [replace(table, notes=(*table.notes, *notes)) for table in made]


def _hidden(names: Sequence[str]) -> list[str]:
    if not names:
        return []
    shown_by = "`--variants` shows them, `table ablation` compares them"
    return [f"variants left out: {', '.join(names)} ({shown_by})"]


def _per_au(records: list[Record], options: TableOptions) -> list[Table]:
    matrix = RunMatrix.of(records, options.select)
    return [per_au_table(matrix, ratio=ratio, **options.shared) for ratio in matrix.ratios]


def _subjects(records: list[Record], options: TableOptions) -> list[Table]:
    matrix = RunMatrix.of(records, options.select)
    return [subject_table(matrix, ratio=ratio) for ratio in matrix.ratios]


def _ablation(records: list[Record], options: TableOptions) -> list[Table]:
    matrix = RunMatrix.of(records, options.select)
    places: list[dict[str, Any]] = [{"base": b, "ratio": r} for b, r in ablations(records)]
    return [ablation_table(matrix, **place, **options.shared) for place in places or [{}]]


def _ranks(records: list[Record], options: TableOptions) -> list[Table]:
    ratios: Sequence[float | None] = [None]
    if options.by_ratio:
        ratios = sorted({ratio_of(record) for record in records})
    found, reasons = [], []
    for ratio in ratios:
        try:
            found.append(
                ranks_table(
                    records,
                    ratio=ratio,
                    against=options.against,
                    select=options.select,
                    intervals=options.intervals,
                    signs=options.signs,
                )
            )
        except NothingToShow as error:
            reasons.append(str(error) if ratio is None else f"at {percent(ratio)} labels: {error}")
    if not found:
        raise NothingToShow("; ".join(reasons))
    return _noted(found, reasons)


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
    "settings": lambda records, options: settings_tables(
        records, against=options.against, select=options.select, intervals=options.intervals
    ),
    "headroom": _headroom,
    "pseudo-labels": _pseudo_labels,
    "budget": lambda records, options: [budget_table(records, select=options.select)],
    "pooling": lambda records, options: [pooling_table(records, select=options.select)],
    "sex": lambda records, options: [sex_table(records, select=options.select)],
    "subjects": _subjects,
}
"""Builders of the tables of one condition."""

_OF_NO_METRIC = ("complexity", "headroom", "pseudo-labels", "subjects")
"""Tables that another metric than F1 does not change."""

KINDS = tuple(_BUILDERS)
