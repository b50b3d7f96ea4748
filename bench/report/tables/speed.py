"""Table of speed rows: size and rates of methods; for `bench speed` and `table complexity`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.report.model import MISSING, Entry, Row, Table, text_entry
from bench.report.published import Published
from bench.results.speed_rows import EVALUATED, Rate, SpeedRow, read_rows

SIZES = ("trunk", "parameters (M)", "GFLOP a frame")

TIMES = (
    "samples/s",
    "step only",
    "loader only",
    "bare loop",
    "share of bare",
    "share, step alone",
    "share by arithmetic",
    "test frames/s",
    "evaluation (%)",
    "peak memory (MiB)",
    "warm-up (s)",
)

NOTES = (
    "samples (clips) a second of training: the whole loop, data included; the step on batches that "
    "lie ready; loading and augmentation alone; a bare loop (the trunk and one linear layer on as "
    "many frames, all with gradients): medians ± half the range over repeats",
    "share of bare: of the bare loop's samples/s, by the whole loop and by the step alone; by "
    "arithmetic: of its operations a second, by the step alone with all that the method computes",
    f"evaluation: what {EVALUATED:,} test frames, predicted once, take of a run of the preset's "
    "steps; blank where it counts in epochs",
    "on a processor: by this thread's own time, one thread; warm-up (and compilation) apart",
)

PAPER = "the paper's samples/s are at 224 x 224 on its own hardware"


def speed_tables(results: Path) -> list[Table]:
    """Return the table of what `bench speed` has kept in a results folder, if there is any."""
    rows = read_rows(results)
    return [speed_table(rows)] if rows else []


def speed_table(rows: Sequence[SpeedRow], *, published: bool = False) -> Table:
    """Put speed rows into a table, the paper's numbers below if wanted."""
    devices = sorted({_where(row) for row in rows})
    titles = [f"{row.preset}, {row.size} px, batches of {row.batch}" for row in rows]
    notes = [*NOTES] if any(row.rates for row in rows) else []
    columns = (*SIZES, *TIMES) if notes or published else SIZES
    lines = [Row(label=_label(row, devices), entries=_entries(row)) for row in rows]
    if published:
        lines += _published()
        notes.append(PAPER)
    what = "; ".join(dict.fromkeys(titles))
    where = f" on {devices[0]}" if len(devices) == 1 and devices[0] else ""
    return Table(
        title=f"Size and speed ({what}){where}",
        corner="method",
        columns=columns,
        rows=tuple(replace(line, entries=line.entries[: len(columns)]) for line in lines),
        notes=tuple(notes),
        context={"table": "speed"},
    )


def _where(row: SpeedRow) -> str:
    how = ", compiled" if row.compiled else ""
    how += "" if row.frames_in == "device" or row.peak_memory_mib is None else ", frames in host"
    device = row.environment.get("device")
    return f"{device}, {row.precision}{how}" if device else ""


def _label(row: SpeedRow, devices: Sequence[str]) -> str:
    return row.method if len(devices) == 1 else f"{row.method} [{_where(row)}]"


def _entries(row: SpeedRow) -> tuple[Entry, ...]:
    evaluation = row.share_of_evaluation
    return (
        text_entry(row.trunk),
        Entry(value=row.parameters / 1e6, digits=2),
        Entry(value=row.gflops_per_frame, digits=3),
        *(_rate(row.rates.get(part)) for part in ("end to end", "step", "loader", "bare loop")),
        _known(row.share_of_bare, digits=2),
        _known(row.step_share_of_bare, digits=2),
        _known(row.step_share_of_arithmetic, digits=2),
        _rate(row.rates.get("inference")),
        _known(None if evaluation is None else 100 * evaluation),
        _known(row.peak_memory_mib, digits=0),
        _known(row.warm_up_seconds if row.rates else None),
    )


def _known(value: float | None, digits: int = 1) -> Entry:
    return MISSING if value is None else Entry(value=value, digits=digits)


def _rate(rate: Rate | None) -> Entry:
    if rate is None:
        return MISSING
    # of a single repeat nothing tells how far it may be off
    spread = (rate.most - rate.least) / 2 if rate.most > rate.least else None
    return Entry(value=rate.median, spread=spread)


def _published() -> list[Row]:
    blank = [MISSING] * (len(TIMES) - 1)
    return [
        Row(
            label=model,
            source="paper",
            entries=(text_entry(""), parameters, MISSING, samples, *blank),
        )
        for model, parameters, samples in Published("bp4d").complexity()
    ]
