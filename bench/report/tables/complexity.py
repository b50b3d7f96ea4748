"""Size and speed of the methods, beside the paper's; never averaged over different devices."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from bench.report.aggregate import RunMatrix
from bench.report.method_runs import MethodRuns
from bench.report.metric import Scoring
from bench.report.model import MISSING, Entry, Row, Table, text_entry
from bench.report.published import Published
from bench.results.records import Record

COLUMNS: tuple[tuple[str, int, Callable[[Record], float | None]], ...] = (
    ("parameters (M)", 2, lambda record: record.parameters / 1e6),
    ("samples/s", 1, lambda record: record.rates.get("samples_per_second")),
    ("frames/s", 1, lambda record: record.rates.get("frames_per_second")),
    ("peak memory (MiB)", 0, lambda record: record.peak_memory_mib),
)
"""Heading, digits, value. Rates are of the training loop, data included."""

SPEED = (
    "speed and memory: of training, mean over all runs of a row; compare rows of one device only; "
    "memory: the highest of each cell, with the interpreter and its libraries on a processor"
)

PAPER_SPEED = "the paper's samples/s are at 224 x 224 on its own hardware"


def complexity_table(
    records: Iterable[Record], *, select: str | Scoring = "last", published: bool = False
) -> Table:
    """Parameters, speed and memory of each method, a row for each device it ran on."""
    matrix = RunMatrix.of(records, select)
    rows = [row for line in matrix.lines for row in _rows(line)]
    paper, notes = matrix.paper(wanted=published)
    if paper:
        rows, notes = [*rows, *_paper_rows(paper)], [PAPER_SPEED]
    columns = ["device", *(heading for heading, _, _ in COLUMNS)]
    what = "Parameters, speed and memory"
    return matrix.table("complexity", what, columns, rows, notes=[SPEED, *notes], of_f1=False)


def _rows(line: MethodRuns) -> list[Row]:
    devices: dict[str, list[Record]] = defaultdict(list)
    for record in line.records:
        if record.status == "done":
            devices[str(record.environment.get("device", "unknown"))].append(record)
    if not devices:
        entries = (text_entry(""), *(MISSING for _ in COLUMNS))
        return [Row(label=line.label, source=line.source, entries=entries)]
    return [
        Row(
            label=line.label,
            source=line.source,
            entries=(
                text_entry(device),
                *(_entry(runs, value, digits) for _, digits, value in COLUMNS),
            ),
        )
        for device, runs in sorted(devices.items())
    ]


def _entry(runs: Sequence[Record], value: Callable[[Record], float | None], digits: int) -> Entry:
    numbers = [number for record in runs if (number := value(record)) is not None]
    if not numbers:
        return MISSING
    # a count that is the same in every run has no spread to show
    spread = float(np.std(numbers, ddof=1)) if len(set(numbers)) > 1 else None
    return Entry(value=float(np.mean(numbers)), spread=spread, n=len(numbers), digits=digits)


def _paper_rows(paper: Published) -> list[Row]:
    return [
        Row(
            label=model,
            source="paper",
            entries=(text_entry(""), parameters, samples, *(MISSING for _ in COLUMNS[2:])),
        )
        for model, parameters, samples in paper.complexity()
    ]
