"""Cells of the report page: every cell's knobs, hashes, history and outcome; used by `page.py`.

Cells share most of their knobs, versions and hashes, so that each value is told once, in a pool,
and a cell holds its place there: a page of a thousand cells stays small.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.results.compare import flatten
from bench.results.history import read_history
from bench.results.records import Record
from bench.results.status import CellStatus

HISTORY_POINTS = 60
"""Rows of a history that a page shows of a cell, at most."""

CELL_BYTES = 7_000_000
"""What the cells take of a page, at most, as far as leaving rows of histories out can help."""

_NUMBER_BYTES = 9
"""Of a history's number, as written."""

_FEWEST_POINTS = 4
"""Fewer rows than these tell nothing: the history is left out."""

_TRACEBACK_LINES = 30
_TIMES = ("started", "finished")


class Pool:
    """Values that cells share, each told once."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._places: dict[str, int] = {}

    def place(self, value: Any) -> int:
        """Return where the value stands, putting it there if it is new."""
        key = json.dumps(value, sort_keys=True)
        if key not in self._places:
            self._places[key] = len(self.values)
            self.values.append(value)
        return self._places[key]


def cell_rows(cells: Sequence[CellStatus], results: Path, pool: Pool) -> list[dict[str, Any]]:
    """Make a page's value of each cell that is known by more than its folder, in the order given.

    Histories are thinned so that all cells together keep within CELL_BYTES.
    """
    known = [cell for cell in cells if cell.source]
    rows = [_cell(cell, pool) for cell in known]
    histories = [_history(results / "runs" / cell.id) for cell in known]
    points = _points(histories, CELL_BYTES - len(json.dumps(rows)))
    return [
        row | _thinned(*history, points, pool) for row, history in zip(rows, histories, strict=True)
    ]


def _points(histories: Sequence[tuple[Sequence[str], Sequence[Any]]], left: int) -> int:
    """Return how many rows a history may have, where `left` bytes are left for all of them."""
    a_row = _NUMBER_BYTES * sum(len(columns) for columns, _ in histories)
    points = min(HISTORY_POINTS, max(0, left) // max(1, a_row))
    return points if points >= _FEWEST_POINTS else 0


def _cell(cell: CellStatus, pool: Pool) -> dict[str, Any]:
    source = cell.source
    assert source
    found: dict[str, Any] = {
        "id": cell.id,
        "state": cell.state,
        "place": dict(source.cell),
        "knobs": pool.place([[key, _plain(value)] for key, value in flatten(source.config)]),
        "hashes": {name: pool.place(value) for name, value in source.hashes.items()},
        "code": pool.place(dict(source.code)),
    }
    if cell.claim:
        found["running"] = {"step": cell.claim.step, "of": cell.claim.total}
    if cell.request:
        found["asked"] = pool.place(cell.request.command)
    return found | (_outcome(cell.record, pool) if cell.record else {})


def _outcome(record: Record, pool: Pool) -> dict[str, Any]:
    environment = {k: v for k, v in record.environment.items() if k not in _TIMES}
    found: dict[str, Any] = {
        "scores": {
            rule: {
                "step": scores.step,
                "f1": rounded(scores.f1, 1),
                "auc": rounded(scores.auc, 1),
                "means": rounded([scores.mean_f1, _mean(scores.auc)], 2),
            }
            for rule, scores in record.scores.items()
        },
        "aus": pool.place(record.aus),
        "recipe": record.recipe,
        "environment": pool.place(environment),
        "times": {name: record.environment.get(name) for name in _TIMES},
        "seconds": record.seconds,
        "rates": record.rates,
        "frames": pool.place(record.frames),
        "memory": record.peak_memory_mib,
        "parameters": record.parameters,
    }
    optional = {
        "reason": record.reason,
        "weights": record.final_weights,
        "warnings": [pool.place(warning) for warning in record.warnings],
        "traceback": pool.place(_tail(record.traceback)) if record.traceback else None,
    }
    return found | {name: value for name, value in optional.items() if value not in (None, [])}


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def rounded(values: Iterable[float | None], digits: int) -> list[float | None]:
    """Turn shares of one into percent, to so many digits; gaps stay gaps."""
    return [
        None if value is None or math.isnan(value) else round(100 * value, digits)
        for value in values
    ]


def _tail(traceback: str) -> str:
    lines = traceback.splitlines()
    cut = len(lines) > _TRACEBACK_LINES
    return "\n".join([*(["..."] if cut else []), *lines[-_TRACEBACK_LINES:]])


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float | str | bool | None) else str(value)


def _history(folder: Path) -> tuple[list[str], list[dict[str, float]]]:
    """Return the columns and rows of a history; what the audit found is two columns of it."""
    rows = [_flat(row) for row in read_history(folder)]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return columns, rows


def _flat(row: Mapping[str, Any]) -> dict[str, float]:
    audit = row.get("audit") or {}
    numbers = {name: value for name, value in row.items() if isinstance(value, int | float)}
    told = {
        "pseudo labels right": audit.get("overall_accuracy"),
        "pseudo labels used": audit.get("overall_used"),
    }
    return numbers | {name: value for name, value in told.items() if value is not None}


def _thinned(
    columns: Sequence[str], rows: Sequence[Mapping[str, Any]], points: int, pool: Pool
) -> dict[str, Any]:
    """Keep so many rows, spread evenly, the last one among them; numbers to four digits."""
    if not rows or not points:
        return {"unshown": len(rows)} if rows else {}
    count = min(points, len(rows))
    places = sorted({round((at + 1) * len(rows) / count) - 1 for at in range(count)})
    kept = [[_short(rows[place].get(name)) for name in columns] for place in places]
    return {"history": {"columns": pool.place(list(columns)), "rows": kept, "of": len(rows)}}


def _short(value: float | None) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    short = float(f"{value:.4g}")
    return int(short) if short == int(short) else short
