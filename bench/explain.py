"""Cells in words: what one is, and what tells two of them apart."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .config import UsageError
from .differences import flat
from .records import Record, read_records

_LISTED = 5
"""Cells named in an error, where there may be hundreds."""


def find_record(results: Path, name: str) -> Record:
    """Return the record whose id begins with `name`; raises UsageError if not exactly one does."""
    records, _ = read_records(results)
    if not records:
        raise UsageError(f"there are no records in {results / 'runs'}: run some cells first")
    found = [record for record in records if record.id.startswith(name)]
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(record.id for record in found[:_LISTED])
        more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
        raise UsageError(f"'{name}' is the beginning of {len(found)} cells: {listed}{more}")
    ids = [record.id for record in records]
    close = difflib.get_close_matches(name, ids, n=_LISTED, cutoff=0.3) or ids[:_LISTED]
    raise UsageError(
        f"no cell's id begins with '{name}'; among the {len(ids)} in {results / 'runs'} are "
        f"{', '.join(close)}"
    )


def explain(record: Record) -> str:
    """Spell a record out: place in the grid, outcome, knobs, hashes, environment."""
    lines = [record.id, "", *_block("cell", record.cell), f"status  {record.status}"]
    if record.reason:
        lines.append(f"reason  {record.reason}")
    for rule, scores in record.scores.items():
        lines.append(f"F1 ({rule}, step {scores.step})  {100 * scores.mean_f1:.2f}")
    for title in ("frames", "config", "hashes", "seconds", "rates", "environment"):
        lines += ["", *_block(title, getattr(record, title))]
    lines += [f"warning  {warning}" for warning in record.warnings]
    return "\n".join([*lines, *([record.traceback] if record.traceback else [])])


def _block(title: str, values: Mapping[str, Any]) -> list[str]:
    return [title, *(f"  {key} = {value}" for key, value in flat(values))]
