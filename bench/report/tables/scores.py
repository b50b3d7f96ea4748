"""Score tables: methods by label ratio, by action unit, and beside published supervised methods.

Each is a pure function of the records of one condition; scores are times 100. They raise
ReportError where records must not stand in one table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from bench.report.aggregate import RunMatrix
from bench.report.grouping import percent
from bench.report.method_runs import MethodRuns
from bench.report.metric import Scoring
from bench.report.model import MISSING, Entry, NothingToShow, Row, Table, text_entry
from bench.report.notes import RUNS
from bench.results.records import Record

BESIDE = "after the stroke: AUC (%), which knows no threshold (`--metric auc` for its spread)"

BEST = (
    "bold: best, italic or underlined: second of the measured rows; neither says that the "
    "difference is more than luck (`table ranks` does)"
)

PREDICTED = (
    "predicted / true: how often the row says that the AU is present, as a multiple of how often "
    "it is; where it is far from 1, F1 says as much about the threshold as about the network"
)


def ssl_table(
    records: Iterable[Record] | RunMatrix,
    *,
    select: str | Scoring = "last",
    published: bool = False,
    intervals: bool = False,
) -> Table:
    """Mean score of methods by label ratio: supervised control, other methods, baselines.

    AUC stands beside F1: methods differ in how often they say "present", which AUC does not see.
    """
    matrix = RunMatrix.of(records, select)
    paper, notes = matrix.paper(wanted=published)
    figures = paper.ssl() if paper else {}
    with_auc = matrix.metric.of_frames

    def entry(line: MethodRuns, ratio: float) -> Entry:
        found = matrix.score(line, ratio, intervals=intervals)
        beside = matrix.auc(line, ratio) if with_auc and found.value is not None else None
        return beside_paper(replace(found, beside=beside), figures.get(line.method, {}).get(ratio))

    rows = [
        Row(
            label=line.label,
            source=line.source,
            entries=tuple(entry(line, ratio) for ratio in matrix.ratios),
        )
        for line in matrix.lines
    ]
    shown = any(entry.beside is not None for row in rows for entry in row.entries)
    rows += _baselines(matrix, lambda name: [matrix.baseline(name, at) for at in matrix.ratios])
    for label, known in figures.items():
        entries = tuple(known.get(ratio, MISSING) for ratio in matrix.ratios)
        rows.append(Row(label=label, source="paper", entries=entries))
    what = f"Mean {matrix.metric.heading}{' / AUC (%)' * shown} by share of labelled frames"
    return matrix.table(
        "ssl",
        what,
        [percent(ratio) for ratio in matrix.ratios],
        rows,
        notes=[RUNS, *([BESIDE] if shown else []), *notes],
        by_ratio=True,
        turned="labels",
    )


def per_au_table(
    records: Iterable[Record] | RunMatrix,
    *,
    ratio: float | None = None,
    select: str | Scoring = "last",
    published: bool = False,
    intervals: bool = False,
) -> Table:
    """Score of methods by action unit at one label ratio (the only one there is, if not given).

    Under each method stands how often it says "present", where the metric has a threshold.
    """
    matrix = RunMatrix.of(records, select)
    ratio = matrix.one_ratio(ratio)
    paper, notes = matrix.paper(wanted=published)
    printed = paper.per_au(ratio, matrix.aus) if paper else []
    if printed:
        notes = ["means of the paper are computed from its columns"]
    known = {row.label: row.entries for row in printed}
    scores = {
        line.label: tuple(
            _au_scores(matrix, line, ratio, known.get(line.method), intervals=intervals)
        )
        for line in matrix.lines
    }
    methods = {line.label: scores[line.label] for line in matrix.lines if not line.is_ceiling}
    placed = scores | _placed(methods, lower_is_better=matrix.metric.lower_is_better)
    places = range(len(matrix.aus))
    rows: list[Row] = []
    for line in matrix.lines:
        rows.append(Row(label=line.label, source=line.source, entries=placed[line.label]))
        rows += _predicted(matrix, line, ratio)
    said = any(row.label.endswith(PREDICTED_ROW) for row in rows)
    rows += _baselines(
        matrix, lambda name: [matrix.baseline(name, ratio, place) for place in [*places, None]]
    )
    what = f"{matrix.metric.heading} by action unit at {matrix.heading(ratio)} labels"
    columns = [*(f"AU{au}" for au in matrix.aus), "mean"]
    best = any(entry.place for row in rows for entry in row.entries)
    notes = [RUNS, *([BEST] if best else []), *([PREDICTED] if said else []), *notes]
    every = [*rows, *printed]
    return matrix.table("per-au", what, columns, every, notes=notes, ratio=ratio, turned="AU")


PREDICTED_ROW = ": predicted / true"


def _au_scores(
    matrix: RunMatrix,
    line: MethodRuns,
    ratio: float,
    known: Sequence[Entry] | None,
    *,
    intervals: bool,
) -> list[Entry]:
    """Make a row's entry for each AU and for their mean, beside the paper's row of that method."""
    entries = [matrix.au_score(line, ratio, place) for place in range(len(matrix.aus))]
    entries.append(matrix.score(line, ratio, intervals=intervals))
    papers: Sequence[Entry | None] = known or [None for _ in entries]
    return [beside_paper(entry, paper) for entry, paper in zip(entries, papers, strict=True)]


def _placed(
    scores: Mapping[str, Sequence[Entry]], *, lower_is_better: bool
) -> dict[str, tuple[Entry, ...]]:
    """Mark the best and the second of every column, if there are three rows or more to choose of.

    Partial entries are of other runs, and take no part; where all are equal, none is best.
    """
    sign = -1 if lower_is_better else 1
    columns = []
    for column in zip(*scores.values(), strict=True):
        values = [sign * e.value for e in column if e.state == "done" and e.value is not None]
        top = sorted({round(value, 9) for value in values}, reverse=True)[:2]
        place = {value: number for number, value in enumerate(top, 1)}
        if len(values) <= 2 or len(top) == 1:
            place = {}
        columns.append(
            [
                replace(e, place=place.get(round(sign * e.value, 9)))
                if e.state == "done" and e.value is not None
                else e
                for e in column
            ]
        )
    return dict(zip(scores, zip(*columns, strict=True), strict=True))


def _predicted(matrix: RunMatrix, line: MethodRuns, ratio: float) -> Iterator[Row]:
    """Make the row that tells how often a method says "present", if that is known."""
    places: list[int | None] = [*range(len(matrix.aus)), None]
    entries = tuple(matrix.predicted_to_true(line, ratio, place) for place in places)
    if any(entry.value is not None for entry in entries):
        yield Row(label=f"{line.label}{PREDICTED_ROW}", source=line.source, entries=entries)


def supervised_table(
    records: Iterable[Record] | RunMatrix,
    *,
    select: str | Scoring = "last",
    published: bool = False,
    intervals: bool = False,
) -> Table:
    """Mean score with all labels, beside published supervised methods."""
    matrix = RunMatrix.of(records, select)
    if 1.0 not in matrix.ratios:
        raise NothingToShow("no record was trained with all labels: run with --ratios 1.0")
    paper, notes = matrix.paper(wanted=published)
    printed = paper.supervised() if paper else []
    known = {row.label: row.entries[1] for row in printed}
    rows = [
        Row(
            label=line.label,
            source=line.source,
            entries=(
                text_entry(""),
                beside_paper(matrix.score(line, 1.0, intervals=intervals), known.get(line.method)),
            ),
        )
        for line in matrix.lines
    ]
    rows += _baselines(matrix, lambda name: [text_entry(""), matrix.baseline(name, 1.0)])
    what = f"Mean {matrix.metric.heading} with all labels"
    columns = ["venue", f"mean {matrix.metric.heading.partition(' (')[0]}"]
    notes = [RUNS, *notes]
    return matrix.table("supervised", what, columns, [*rows, *printed], notes=notes, ratio=1.0)


def beside_paper(entry: Entry, paper: Entry | None) -> Entry:
    """Put the distance to the paper's number beside a measured one, where both are known."""
    if paper is None or paper.value is None or entry.value is None:
        return entry
    return replace(entry, gap=entry.value - paper.value)


def _baselines(matrix: RunMatrix, entries: Callable[[str], Sequence[Entry]]) -> list[Row]:
    return [
        Row(label=label, source="baseline", entries=tuple(entries(name)))
        for name, label in matrix.baselines.items()
    ]
