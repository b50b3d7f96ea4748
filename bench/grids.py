"""Which cells were asked for: a file a grid, so that any machine can tell what is still missing.

`RESULTS/grids/<hash of what was asked>.json` is rewritten whenever the same grid is asked for
again: after a change of code the cells under the same command are others.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .files import whole_file
from .identity import digest

if TYPE_CHECKING:  # a look at the results needs no torch
    from .study import Cell, Study

SCHEMA = 1

_ASKED = ("dataset", "methods", "ratios", "folds", "seeds", "rules", "preset", "knobs")
"""What two grids must agree in (besides the settings) to be the same question."""


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A cell that somebody asked for, whatever has become of it."""

    id: str
    cell: Mapping[str, Any]
    """Its place in the grid, as a record keeps it."""
    hashes: Mapping[str, str]
    config: Mapping[str, Any]
    code: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A grid that somebody asked for."""

    command: str
    host: str
    asked: float
    """When, in epoch seconds by that host's clock."""
    cells: tuple[Planned, ...]
    path: Path


def write_grid(study: Study, cells: Sequence[Cell], command: str) -> Path:
    """Note down which cells were asked for; raises RecordError if the disk does not take it."""
    asked = {name: getattr(study, name) for name in _ASKED}
    key = digest([asked, asdict(study.settings)])
    path = study.results / "grids" / f"{study.dataset}-{study.preset}-{key[:10]}.json"
    content = {
        "schema": SCHEMA,
        "command": command,
        "host": socket.gethostname(),
        "asked": time.time(),
        "methods": {c.method: {"config": c.config(), "code": dict(c.code)} for c in cells},
        "cells": [{"id": c.id, "cell": c.coordinates, "hashes": dict(c.hashes)} for c in cells],
    }
    with whole_file(path) as stream:
        json.dump(content, stream)
    return path


def read_grids(results: Path) -> tuple[list[Grid], list[str]]:
    """Read every grid that was asked for, the latest first, and a sentence on each torn file."""
    grids, problems = [], []
    for path in sorted(results.glob("grids/*.json")):
        try:
            grids.append(_read(path))
        except (OSError, ValueError, KeyError, TypeError) as error:
            problems.append(f"{path} is not a readable grid ({error}): left out")
    return sorted(grids, key=lambda grid: -grid.asked), problems


def _read(path: Path) -> Grid:
    values = json.loads(path.read_text(encoding="utf-8"))
    if values["schema"] != SCHEMA:
        raise ValueError(f"it is not a grid of schema {SCHEMA}")
    cells = tuple(
        Planned(**cell, **values["methods"][cell["cell"]["method"]]) for cell in values["cells"]
    )
    told = {name: values[name] for name in ("command", "host", "asked")}
    return Grid(**told, cells=cells, path=path)


def wanted(grids: Sequence[Grid]) -> Iterator[tuple[Planned, Grid]]:
    """Yield each cell that still stands as asked for, with the latest grid that asked for it.

    A cell whose place was asked for again later, under other code or data, no longer stands.
    """
    seen: set[str] = set()
    for grid in grids:
        for cell in grid.cells:
            place = digest([cell.cell, cell.hashes.get("config")])
            if place not in seen:
                seen.add(place)
                yield cell, grid
