"""History: the losses of a cell's training, a JSON line every few steps; for figures and pages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_history(folder: Path) -> list[dict[str, Any]]:
    """Read a cell's `history.jsonl`: step, epoch, lr and the losses by name, a row a look.

    Empty if there is none. A torn line ends it: the rest was never written, or not by us.
    """
    try:
        lines = (folder / "history.jsonl").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    rows: list[dict[str, Any]] = []
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            break
        if not isinstance(row, dict) or "step" not in row:
            break
        rows.append(row)
    return rows
