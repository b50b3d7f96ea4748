"""Grid requests: a file for each grid that was asked for, so that any machine sees what is missing.

Written by `run`, read by `status`. `RESULTS/grids/<hash of what was asked>.json` is rewritten
whenever the same grid is asked for again: after a change of code its cells are others.
"""

from __future__ import annotations

import json
import socket
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.system.files import atomic_file
from bench.system.hashing import digest

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class RequestedCell:
    """A cell that somebody asked for, whatever has become of it."""

    id: str
    cell: Mapping[str, Any]
    """Its place in the grid, as a record keeps it."""
    hashes: Mapping[str, str]
    config: Mapping[str, Any]
    code: Mapping[str, str]
    tuned: str = ""
    """The search that its recipe comes from, if one did."""


@dataclass(frozen=True, kw_only=True)
class GridRequest:
    """A grid that somebody asked for."""

    command: str
    host: str
    asked: float
    """When, in epoch seconds by that host's clock."""
    cells: tuple[RequestedCell, ...]
    path: Path


def write_request(path: Path, cells: Sequence[RequestedCell], command: str) -> None:
    """Note down which cells were asked for; raises RecordError if the disk does not take it."""
    methods = {
        c.cell["method"]: {"config": c.config, "code": dict(c.code), "tuned": c.tuned}
        for c in cells
    }
    content = {
        "schema": SCHEMA,
        "command": command,
        "host": socket.gethostname(),
        "asked": time.time(),
        "methods": methods,
        "cells": [{"id": c.id, "cell": c.cell, "hashes": dict(c.hashes)} for c in cells],
    }
    with atomic_file(path) as stream:
        json.dump(content, stream)


def read_requests(results: Path) -> tuple[list[GridRequest], list[str]]:
    """Read every grid that was asked for, the latest first, and a sentence on each torn file."""
    requests, problems = [], []
    for path in sorted(results.glob("grids/*.json")):
        try:
            requests.append(_read(path))
        except (OSError, ValueError, KeyError, TypeError) as error:
            problems.append(f"{path} is not a readable grid ({error}): left out")
    return sorted(requests, key=lambda request: -request.asked), problems


def _read(path: Path) -> GridRequest:
    values = json.loads(path.read_text(encoding="utf-8"))
    if values["schema"] != SCHEMA:
        raise ValueError(f"it is not a grid of schema {SCHEMA}")
    cells = tuple(
        RequestedCell(**cell, **values["methods"][cell["cell"]["method"]])
        for cell in values["cells"]
    )
    circumstances = {name: values[name] for name in ("command", "host", "asked")}
    return GridRequest(**circumstances, cells=cells, path=path)


def requested_cells(
    requests: Sequence[GridRequest],
) -> Iterator[tuple[RequestedCell, GridRequest]]:
    """Yield each cell that still stands as asked for, with the latest grid that asked for it.

    A cell whose place was asked for again later, under other code or data, no longer stands. Other
    data because of other options of the dataset are another place, and so is a search's recipe.
    """
    seen: dict[str, list[tuple[Any, Any]]] = defaultdict(list)
    for request in requests:
        for cell in request.cells:
            later = seen[digest([cell.cell, cell.hashes.get("config"), cell.tuned])]
            options, data = cell.config.get("dataset"), [cell.hashes.get(k) for k in _DATA]
            if not any(options == asked or data == found for asked, found in later):
                yield cell, request
                later.append((options, data))


_DATA = ("data", "folds")
"""Hashes that a dataset's options decide."""
