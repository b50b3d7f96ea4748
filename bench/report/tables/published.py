"""The paper's own tables, as `table --published` prints them where there are no records.

Used by `kinds.py`. Nothing in them was measured here; what could not be read stays blank.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bench.report.grouping import percent
from bench.report.model import MISSING, Entry, ReportError, Row, Table
from bench.report.notes import legend
from bench.report.published import ABLATED, ABLATION_RATIO, Published

DATASETS = ("bp4d", "disfa", "mme")
PAPER = "Li et al., ICCV 2023"


def published_tables(kind: str, dataset: str | None = None) -> list[Table]:
    """Return the paper's tables of a kind; raises ReportError where it has none."""
    if kind not in _BUILDERS:
        known = ", ".join(_BUILDERS)
        raise ReportError(
            f"there are no records, and the paper has no table {kind}: it has {known}"
        )
    if dataset and dataset not in DATASETS:
        raise ReportError(
            f"there are no records of {dataset}, and the paper has no numbers on it: it has "
            f"{', '.join(DATASETS)}"
        )
    papers = [Published(name) for name in DATASETS if dataset in (None, name)]
    return _BUILDERS[kind](papers)


def _table(
    kind: str,
    title: str,
    corner: str,
    columns: Sequence[str],
    rows: Sequence[Row],
    notes: Sequence[str] = (),
    **context: str,
) -> Table:
    return Table(
        title=f"{title} (as printed by {PAPER})",
        corner=corner,
        columns=tuple(columns),
        rows=tuple(rows),
        notes=(*notes, *legend(rows)),
        context={"table": kind, "metric": "f1", **context},
    )


def _paper_row(label: str, entries: Sequence[Entry]) -> Row:
    return Row(label=label, source="paper", entries=tuple(entries))


def _ssl(papers: Sequence[Published]) -> list[Table]:
    made = []
    for paper in papers:
        figures = paper.ssl()
        ratios = sorted({ratio for known in figures.values() for ratio in known})
        rows = [
            _paper_row(method, [known.get(ratio, MISSING) for ratio in ratios])
            for method, known in figures.items()
        ]
        columns = [percent(ratio) for ratio in ratios]
        what = "Mean F1 (%) by share of labelled frames, tables 1 and 2 of the paper"
        title = f"{what}: {paper.dataset}"
        made.append(_table("ssl", title, "method", columns, rows, dataset=paper.dataset))
    return made


def _supervised(papers: Sequence[Published]) -> list[Table]:
    """Return table 2: the methods with all labels, and EAC beside KS by label ratio."""
    found = {paper.dataset: {row.label: row for row in paper.supervised()} for paper in papers}
    found = {dataset: rows for dataset, rows in found.items() if rows}
    labels = dict.fromkeys(label for rows in found.values() for label in rows)
    venues = {label: row.entries[0] for rows in found.values() for label, row in rows.items()}
    rows = [
        _paper_row(
            label,
            [
                venues[label],
                *(
                    known[label].entries[1] if label in known else MISSING
                    for known in found.values()
                ),
            ],
        )
        for label in labels
    ]
    title = "Table 2 and table 1: mean F1 (%) with all labels"
    whole = _table("supervised", title, "method", ["venue", *found], rows)
    return [whole, *filter(None, [_eac_beside_ks(papers)])]


def _eac_beside_ks(papers: Sequence[Published]) -> Table | None:
    beside = {
        f"{method}, {paper.dataset}": paper.ssl().get(method, {})
        for paper in papers
        if "eac" in paper.ssl()
        for method in ("eac", ABLATED)
    }
    ratios = sorted({r for label, known in beside.items() if label[:3] == "eac" for r in known})
    rows = [
        _paper_row(label, [known.get(ratio, MISSING) for ratio in ratios])
        for label, known in beside.items()
    ]
    title = "Table 2: EAC beside KS, mean F1 (%) by share of labelled frames"
    columns = [percent(ratio) for ratio in ratios]
    return _table("supervised", title, "method", columns, rows) if rows else None


def _per_au(papers: Sequence[Published]) -> list[Table]:
    made = []
    for paper in papers:
        for ratio, aus in paper.per_au_places():
            columns = [*(f"AU{au}" for au in aus), "mean"]
            title = f"Table 3: F1 (%) by action unit at {percent(ratio)} labels, {paper.dataset}"
            notes = ["means are computed from the columns"]
            rows = paper.per_au(ratio, aus)
            context = {"dataset": paper.dataset, "ratio": f"{ratio:g}"}
            made.append(_table("per-au", title, "method", columns, rows, notes, **context))
    return made


def _ablation(papers: Sequence[Published]) -> list[Table]:
    changes = {paper.dataset: paper.ablation() for paper in papers}
    changes = {dataset: found for dataset, found in changes.items() if found}
    if not changes:
        raise ReportError("the paper has no ablation on this dataset: it has bp4d, disfa")
    labels = [(label, key) for label, key, _ in next(iter(changes.values()))]
    rows = [
        _paper_row(
            f"{label} ({ABLATED}:{key})" if key else label,
            [found[place][2] for found in changes.values()],
        )
        for place, (label, key) in enumerate(labels)
    ]
    title = f"Ablation of {ABLATED} at {percent(ABLATION_RATIO)} labels: change of mean F1 (points)"
    return [_table("ablation", title, "variant", list(changes), rows)]


def _complexity(papers: Sequence[Published]) -> list[Table]:
    rows = [
        _paper_row(model, [parameters, speed])
        for model, parameters, speed in papers[0].complexity()
    ]
    columns = ["parameters (M)", "samples/s at 224 x 224"]
    return [_table("complexity", "Section 3.5: size and speed", "model", columns, rows)]


def _pseudo_labels(papers: Sequence[Published]) -> list[Table]:
    ratio = 0.1
    rows = [
        _paper_row(rule, [accuracy])
        for paper in papers
        for rule, accuracy in paper.pseudo_labels(ratio)
    ]
    if not rows:
        raise ReportError("the paper has accuracies of pseudo labels on bp4d only")
    title = f"Section 3.5: accuracy of pseudo labels (%) on bp4d at {percent(ratio)} labels"
    return [_table("pseudo-labels", title, "rule", ["accuracy"], rows)]


_BUILDERS: Mapping[str, Callable[[Sequence[Published]], list[Table]]] = {
    "ssl": _ssl,
    "supervised": _supervised,
    "per-au": _per_au,
    "ablation": _ablation,
    "complexity": _complexity,
    "pseudo-labels": _pseudo_labels,
}
