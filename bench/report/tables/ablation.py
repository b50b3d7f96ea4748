"""Ablations: a method, its variants, and each one's paired change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from bench.config.names import MethodName
from bench.report.aggregate import RunMatrix
from bench.report.grouping import cell_field, percent, ratio_of
from bench.report.method_runs import MethodRuns
from bench.report.metric import Scoring
from bench.report.model import MISSING, NothingToShow, ReportError, Row, Table, text_entry
from bench.report.notes import RUNS
from bench.report.published import ABLATED, ABLATION_RATIO, Published
from bench.results.records import Record

from .differences import changes_from, power_notes


def ablation_table(
    records: Iterable[Record] | RunMatrix,
    *,
    base: str | None = None,
    ratio: float | None = None,
    select: str | Scoring = "last",
    published: bool = False,
    intervals: bool = False,
) -> Table:
    """Mean score of a method and its variants at one ratio, and each one's paired change.

    `base` is the full method, `ratio` the label ratio; each may be left out if there is only one
    that has variants. The paper's changes stand beside at 50 % labels, where it made them.
    """
    matrix = RunMatrix.of(records, select)
    full, variants = _family(matrix, base)
    ratio = matrix.one_ratio(_only_ratio(variants) if ratio is None else ratio)
    differences, changes = changes_from(full, variants, matrix, ratio)
    rows = [
        Row(
            label=full.label,
            entries=(matrix.score(full, ratio, intervals=intervals), text_entry("")),
        )
    ]
    for line, change in zip(variants, changes, strict=True):
        f1 = matrix.score(line, ratio, intervals=intervals)
        rows.append(Row(label=line.label, entries=(f1, change)))
    paper, notes = _paper(matrix, full, ratio) if published else (None, [])
    heading = matrix.metric.heading
    columns = [f"mean {heading.partition(' (')[0]}", "change"]
    if paper:
        rows, columns = _beside(paper, variants, rows), [*columns, "change in the paper"]
    notes = [RUNS, CHANGE, *power_notes(differences), *notes]
    what = f"Ablation of {full.label} at {matrix.heading(ratio)} labels, mean {heading}"
    return matrix.table("ablation", what, columns, rows, notes=notes, ratio=ratio)


CHANGE = (
    "change: variant minus full method, over the runs that both have; p-values Holm-corrected over "
    "this column"
)


def ablations(records: Iterable[Record]) -> list[tuple[str, float]]:
    """Return every (full method, ratio) that variants were run of, sorted."""
    names = [(MethodName.parse(str(cell_field(r, "method"))), ratio_of(r)) for r in records]
    return sorted({(name.base, ratio) for name, ratio in names if name.variant is not None})


def _family(matrix: RunMatrix, base: str | None) -> tuple[MethodRuns, list[MethodRuns]]:
    """Return the line of the full method and those of its variants."""
    methods = [MethodName.parse(line.method) for line in matrix.lines]
    bases = sorted({name.base for name in methods if name.variant is not None})
    if base is None and len(bases) == 1:
        base = bases[0]
    if base not in bases:
        known = ", ".join(bases) or "none: run some, e.g. --methods ks,ks:no_skd"
        raise NothingToShow(f"name the method whose variants to show; with variants are {known}")
    full = [line for line in matrix.lines if line.method == base]
    if len(full) > 1:
        names = ", ".join(line.label for line in full)
        raise ReportError(f"{base} was run in more than one version: table {names} apart")
    variants = [line for line in matrix.lines if line.method.startswith(f"{base}:")]
    return full[0] if full else MethodRuns(str(base), str(base), ()), variants


def _only_ratio(lines: Iterable[MethodRuns]) -> float | None:
    ratios = {ratio_of(record) for line in lines for record in line.records}
    return ratios.pop() if len(ratios) == 1 else None


def _paper(matrix: RunMatrix, full: MethodRuns, ratio: float) -> tuple[Published | None, list[str]]:
    if ratio != ABLATION_RATIO or full.method != ABLATED:
        only = f"the paper's are of {ABLATED} at {percent(ABLATION_RATIO)} labels"
        return None, [f"published changes left out: {only}"]
    return matrix.paper(wanted=True)


def _beside(paper: Published, variants: Sequence[MethodRuns], rows: Sequence[Row]) -> list[Row]:
    """Add the paper's column, and those of its variants that were not run."""
    printed = {key: (label, entry) for label, key, entry in paper.ablation() if key}
    table = [replace(rows[0], entries=(*rows[0].entries, text_entry("")))]
    run = set()
    for line, row in zip(variants, rows[1:], strict=True):
        key = MethodName.parse(line.method).variant or ""
        run.add(key)
        _, entry = printed.get(key, ("", MISSING))
        table.append(replace(row, entries=(*row.entries, entry)))
    rest = [
        Row(label=label, source="paper", entries=(MISSING, MISSING, entry))
        for key, (label, entry) in printed.items()
        if key not in run
    ]
    return [*table, *rest]
