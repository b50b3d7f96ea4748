"""The notes under a table: what its signs mean, what has no result, what rows do not share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from bench.records import Record, Status

from .grid import percent, ratio_of, run_of
from .lines import Line, flatten
from .table import Row, Source, State

RUNS = "mean over folds, then over seeds ± standard deviation over folds and seeds (number of runs)"
INTERVAL = "[low, high]: 95 % interval, bootstrap over test subjects"
TIED = "≈ tied: not told apart from no difference"
STATES: Mapping[State, str] = {
    "partial": "† partial: some of the runs that others have in this column are missing here",
    "missing": "– not run, or not in the paper",
    "check": "? hard to read in the paper",
    "unread": "blank: could not be read in the paper",
}
SOURCES: Mapping[Source, str] = {
    "baseline": "baseline: a trivial predictor that looks at no image",
    "paper": "paper: as printed by Li et al., ICCV 2023; other code, preparation and hardware",
}


def legend(rows: Iterable[Row]) -> Iterator[str]:
    """Explain the signs that stand in these rows, and no others."""
    cells = [cell for row in rows for cell in row.cells]
    sources = {row.source for row in rows} | {cell.source for cell in cells}
    states = {cell.state for cell in cells}
    signs = [
        (any(cell.interval for cell in cells), INTERVAL),
        (any(cell.tied for cell in cells), TIED),
        *((state in states, note) for state, note in STATES.items()),
        *((source in sources, note) for source, note in SOURCES.items()),
    ]
    yield from (note for shown, note in signs if shown)


def troubles(failures: Iterable[tuple[str, Record]]) -> Iterator[str]:
    """Say why runs have no result: one sentence for each reason, with the first and how many."""
    reasons: dict[tuple[Status, str], list[str]] = defaultdict(list)
    for label, record in failures:
        fold, seed = run_of(record)
        where = f"{label} at {percent(ratio_of(record))}, fold {fold}, seed {seed}"
        reasons[record.status, record.reason or "no reason was recorded"].append(where)
    for (status, reason), places in sorted(reasons.items()):
        more = f" and {len(places) - 1} more" if len(places) > 1 else ""
        yield f"{status}: {places[0]}{more}: {reason}"


def config_differences(lines: Iterable[Line]) -> Iterator[str]:
    """Say which shared knobs (trunk, training, data) the lines do not share."""
    known = {line.label: flatten(line.records[0].config) for line in lines if line.records}
    known = {label: flat for label, flat in known.items() if flat}
    for key in sorted({key for flat in known.values() for key in flat}):
        users: dict[str, list[str]] = defaultdict(list)
        for label, flat in known.items():
            users[str(flat.get(key, "unset"))].append(label)
        if len(users) > 1 and not key.startswith("method."):
            parts = "; ".join(f"{value} ({', '.join(rows)})" for value, rows in users.items())
            yield f"not shared by all rows: {key} = {parts}"
