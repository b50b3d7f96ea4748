"""The report page: one HTML file of a results folder that needs nothing else; for `bench report`.

The page is a function of the files in the folder. All that comes from records goes into it as JSON
and is put on the screen as text, so that no name can become markup.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shlex
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import jinja2

from bench.errors import UsageError
from bench.report.grouping import by_condition
from bench.report.metric import METRICS, Metric
from bench.report.model import SELECTIONS, ReportError
from bench.results.records import Record
from bench.results.status import CellStatus, StatusReport
from bench.system.files import atomic_file

from .cells import Pool, cell_rows
from .conditions import condition_data
from .metrics import AUDIT_METRICS, AuditMetric
from .tables import taken_over

LIMIT = 8_000_000
"""Bytes of a page that still opens at once and may be mailed."""

_ASSETS = Path(__file__).with_name("assets")
_SCRIPTS = ("elements", "tables", "charts", "sections", "cell", "main")


def page(status: StatusReport, results: Path, *, command: str = "", live: bool = False) -> str:
    """Make the page of a results folder as `read_status` saw it; `command` is what made it.

    A `live` page asks its server now and then whether anything changed. Raises ReportError if there
    is no cell to show.
    """
    cells = [cell for cell in status.cells if cell.source]
    if not cells:
        raise ReportError(f"there are no records in {results / 'runs'}: run some cells first")
    commands = {"command": command, "csv": _csv_command(command)}
    data = _data(cells, results) | commands | {"problems": status.problems, "live": live}
    style, script = _asset("page.css"), _script()
    return _template().render(
        title=_title(cells),
        style=style,
        script=script,
        policy=_policy(script, live=live),
        data=as_json(data),
    )


def write_page(path: Path, text: str) -> int:
    """Write a page, whole or not at all, and return its bytes.

    Raises UsageError if the path is a folder, RecordError if it cannot be written.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder: give the page's file, e.g. {path / 'report.html'}")
    with atomic_file(path) as stream:
        stream.write(text)
    return len(text.encode())


def as_json(value: Any) -> str:
    """Write JSON that may stand inside a `<script>`: no `<`, so that nothing in it ends it."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    signs: dict[str, str | int | None] = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}
    return text.translate(str.maketrans(signs))


def _csv_command(command: str) -> str:
    """Spell the command that prints the page's numbers, of the folder that the page's names."""
    words = shlex.split(command)
    named = [word for before, word in pairwise(words) if before == "--results"]
    named += [word.partition("=")[2] for word in words if word.startswith("--results=")]
    folder = ["--results", named[-1]] if named else []
    return shlex.join(["python", "-m", "bench", "table", *folder, "--format", "csv"])


def _data(cells: Sequence[CellStatus], results: Path) -> dict[str, Any]:
    """Return what the script draws."""
    pool = Pool()
    rows = cell_rows(cells, results, pool)
    places = {row["id"]: place for place, row in enumerate(rows)}
    groups = by_condition([cell.record for cell in cells if cell.record])
    conditions = [condition_data(c, members, places, results) for c, members in groups.items()]
    _assign(rows, groups, conditions)
    tables = [
        {"condition": place, **part}
        for place, members in enumerate(groups.values())
        for part in taken_over(members)
    ]
    metrics = [*map(_scored_metric, METRICS.values()), *map(_audit_metric, AUDIT_METRICS)]
    return {
        "metrics": metrics,
        "selections": dict(SELECTIONS),
        "conditions": conditions,
        "cells": rows,
        "pool": pool.values,
        "tables": tables,
    }


def _scored_metric(metric: Metric) -> dict[str, Any]:
    meaning = metric.meaning or "2 TP / (2 TP + FP + FN), present from probability 0.5 on"
    return {"key": metric.name, "name": metric.heading, "meaning": meaning, "audit": False}


def _audit_metric(metric: AuditMetric) -> dict[str, Any]:
    return {"key": metric.key, "name": metric.name, "meaning": metric.meaning, "audit": True}


def _assign(
    rows: Iterable[dict[str, Any]],
    groups: dict[Any, list[Record]],
    conditions: list[dict[str, Any]],
) -> None:
    """Give each cell its condition; one without a record joins its first namesake, or a new one."""
    homes = {record.id: at for at, members in enumerate(groups.values()) for record in members}
    by_name: dict[tuple[str, ...], int] = {}
    for at, condition in enumerate(conditions):
        by_name.setdefault(tuple(condition["name"]), at)
    for row in rows:
        name = tuple(str(row["place"][key]) for key in ("dataset", "rule", "preset"))
        if row["id"] in homes:
            row["condition"] = homes[row["id"]]
            continue
        if name not in by_name:
            by_name[name] = len(conditions)
            empty = {"data": "", "folds": "", "selections": {}, "problems": []}
            conditions.append({"name": list(name), **empty})
        row["condition"] = by_name[name]


def _title(cells: Iterable[CellStatus]) -> str:
    names: dict[str, set[str]] = defaultdict(set)
    for cell in cells:
        if cell.source:
            names["dataset"].add(str(cell.source.cell["dataset"]))
    return f"Action unit detection: results on {_listed(names['dataset'])}"


def _listed(names: Collection[str]) -> str:
    *most, last = sorted(names)
    return f"{', '.join(most)} and {last}" if most else last


def _policy(script: str, *, live: bool) -> str:
    """Forbid every request, and every script but the page's own."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    rules = ["default-src 'none'", "style-src 'unsafe-inline'", "img-src data:"]
    rules += [f"script-src 'sha256-{digest}'", *(["connect-src 'self'"] if live else [])]
    return "; ".join(rules)


def _script() -> str:
    parts = "\n".join(_asset(f"{name}.js") for name in _SCRIPTS)
    return f'"use strict";\n(() => {{\n{parts}\n}})();\n'


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def _template() -> jinja2.Template:
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_asset("page.html"))
