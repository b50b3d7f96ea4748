"""Tables and findings about a dataset: label statistics, label budgets, audit; for `data`."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import numpy as np

from bench.data.audit import Finding
from bench.data.label_budget import LabelBudget
from bench.data.label_stats import AuStats, LabelStats
from bench.report.grouping import percent
from bench.report.model import MISSING, Entry, Row, Table


def stats_tables(stats: LabelStats, kept: Sequence[LabelBudget]) -> list[Table]:
    """Build the tables that `data stats` shows."""
    tables = [_rates(stats), _together(stats)]
    return [*tables, _sampling(stats.dataset, kept)] if kept else tables


def _rates(stats: LabelStats) -> Table:
    folds = len(stats.fold_coded)
    columns = ["coded", "present %", *(f"fold {k} %" for k in range(folds))]
    columns += ["events", "cut %", "1st quartile s", "median s", "3rd quartile s"]
    return Table(
        title=f"{stats.dataset}: occurrence and events of action units",
        corner="AU",
        columns=tuple(columns),
        rows=tuple(_au_row(au) for au in stats.aus),
        notes=tuple(_notes(stats)),
        context={"table": "occurrence", "dataset": stats.dataset},
    )


def _au_row(au: AuStats) -> Row:
    shares = [au.rate, *au.fold_rates]
    cut = 100 * au.cut / au.events if au.events else None
    seconds = au.seconds or (None, None, None)
    entries = [
        _count(au.coded),
        *(_number(share if share is None else 100 * share) for share in shares),
        _count(au.events),
        _number(cut, 0),
        *(_number(value, 2) for value in seconds),
    ]
    return Row(label=str(au.au), entries=tuple(entries))


def _notes(stats: LabelStats) -> list[str]:
    folds = ", ".join(f"{count:,}" for count in stats.fold_coded)
    notes = [
        f"{stats.subjects} subjects, {stats.recordings} recordings, {stats.frames:,} frames at "
        f"{stats.fps:g} a second, {stats.coded:,} of them coded (test frames by fold: {folds})",
        f"{stats.combinations:,} distinct combinations of AUs on {stats.whole:,} frames with every "
        f"AU coded",
    ]
    if stats.idle is not None:
        notes[-1] += f"; no AU at all on {100 * stats.idle:.1f} % of them"
    if stats.agreement is not None:
        notes.append(f"{100 * stats.agreement:.2f} % of labels are those of the frame before")
    notes.append(
        "an event is a run of consecutive frames with the AU; one that touches an end of the "
        "coding is cut, and counts for as long as it is seen"
    )
    return notes


def _together(stats: LabelStats) -> Table:
    names = [str(au.au) for au in stats.aus]
    return Table(
        title=f"{stats.dataset}: share (%) of an AU's frames (row) that show another (column) too",
        corner="AU",
        columns=tuple(names),
        rows=tuple(
            Row(
                label=name,
                entries=tuple(_number(v if v is None else 100 * v, 0) for v in shares),
            )
            for name, shares in zip(names, stats.cooccurrence, strict=True)
        ),
        context={"table": "co-occurrence", "dataset": stats.dataset},
    )


def _sampling(dataset: str, kept: Sequence[LabelBudget]) -> Table:
    """Show combinations and held F1 by rule (rows) and ratio (columns), means over the seeds."""
    found: dict[tuple[str, float], list[LabelBudget]] = defaultdict(list)
    for one in kept:
        found[one.rule, one.ratio].append(one)
    rules = dict.fromkeys(rule for rule, _ in found)
    ratios = sorted({ratio for _, ratio in found})
    rows = []
    for rule in rules:
        groups = [found[rule, ratio] for ratio in ratios]
        shares = [[100 * k.combinations / max(1, k.of_combinations) for k in g] for g in groups]
        f1s = [[100 * k.held_f1 for k in group] for group in groups]
        rows.append(Row(label=f"{rule}: combinations kept", entries=tuple(map(_mean, shares))))
        rows.append(Row(label=f"{rule}: F1 of held labels", entries=tuple(map(_mean, f1s))))
    return Table(
        title=f"{dataset}: what a label budget keeps (%)",
        corner="rule",
        columns=tuple(map(percent, ratios)),
        rows=tuple(rows),
        notes=(
            "combinations kept: distinct AU combinations among the key frames, of all "
            f"{kept[0].of_combinations:,}; over all recordings, mean and spread over the seeds",
            "F1 of held labels: each frame takes the label of the nearest key frame; what time "
            "alone gives, without an image, and no training result",
        ),
        context={"table": "sampling", "dataset": dataset},
    )


def _mean(values: Sequence[float]) -> Entry:
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Entry(value=float(np.mean(values)), spread=spread, n=len(values), terse=True)


def _count(value: int) -> Entry:
    return Entry(value=value, digits=0)


def _number(value: float | None, digits: int = 1) -> Entry:
    return MISSING if value is None else Entry(value=value, digits=digits)


SHOWN = 12
"""Details that are shown of one finding; JSON holds them all."""


def finding_lines(finding: Finding) -> Iterator[str]:
    """Yield the finding's line and the first of its details, for a person."""
    yield f"{finding.level:<8} {finding.check:<16} {finding.text}"
    yield from (f"{'':<25} - {detail}" for detail in finding.details[:SHOWN])
    if len(finding.details) > SHOWN:
        rest = len(finding.details) - SHOWN
        yield f"{'':<25} ... and {rest} more (--format json names all)"


def findings_summary(findings: Sequence[Finding]) -> str:
    """Count the findings of each level."""
    counts = Counter(finding.level for finding in findings)
    return ", ".join(f"{counts[level]} {level}" for level in counts)


def findings_json(dataset: str, findings: Sequence[Finding]) -> str:
    """Write everything, for programs."""
    content = {"dataset": dataset, "findings": [asdict(finding) for finding in findings]}
    return json.dumps(content, indent=1)
