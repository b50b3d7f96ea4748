"""Records -> lines: what one row of a table shows, a method under one config and one code."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bench.records import Record

from .grid import Run, of, place_of, ratio_of, run_of
from .table import ReportError

Identity = tuple[str, str, str]
"""(config, code, weights): what the finished runs of one line share."""
CONTROL = "supervised"


@dataclass(frozen=True)
class Line:
    """All records of one method under one config and code; `label` names what sets it apart."""

    label: str
    method: str
    records: tuple[Record, ...]

    def at(self, ratio: float) -> Mapping[Run, Record]:
        """Return this line's runs at a ratio; a finished run stands before failed and skipped ones.

        Raises ReportError if two finished records claim the same run.
        """
        return self._runs.get(ratio, {})

    @cached_property
    def _runs(self) -> Mapping[float, Mapping[Run, Record]]:
        runs: dict[float, dict[Run, Record]] = defaultdict(dict)
        for record in self.records:
            there, run = runs[ratio_of(record)], run_of(record)
            other = there.setdefault(run, record)
            if other is not record:
                there[run] = _prevailing(other, record)
        return dict(runs)


def lines_of(records: Iterable[Record]) -> list[Line]:
    """Group records into rows: the supervised control first, then by name.

    A method with more than one config or code version gives a row for each, named by what differs.
    """
    methods: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        methods[str(of(record, "method"))].append(record)
    methods.setdefault(CONTROL, [])
    order = sorted(methods, key=lambda name: (name != CONTROL, name))
    return [line for name in order for line in _split(name, methods[name])]


def failures(lines: Iterable[Line], ratio: float | None = None) -> list[tuple[str, Record]]:
    """Return (label, record) of the runs that failed or were skipped, and never finished after."""
    return [
        (line.label, record)
        for line in lines
        for share in sorted({ratio_of(record) for record in line.records})
        for record in line.at(share).values()
        if ratio in (None, share) and record.status != "done"
    ]


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested mappings to dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _split(method: str, records: list[Record]) -> Iterator[Line]:
    """Split one method's records by config and code.

    A run without a result joins the line of its config that has one: its code decided no score.
    """
    groups: dict[Identity, list[Record]] = defaultdict(list)
    for record in sorted(records, key=lambda item: (item.status != "done", item.id)):
        home = _identity(record)
        if record.status != "done":
            home = next(_homes(record, groups), home)
        groups[home].append(record)
    names = _distinctions(list(groups.values()))
    for name, members in zip(names, groups.values(), strict=True):
        yield Line(f"{method} ({name})" if name else method, method, tuple(members))
    if not groups:
        yield Line(method, method, ())


def _homes(record: Record, groups: Mapping[Identity, Sequence[Record]]) -> Iterator[Identity]:
    """Yield the groups an unfinished run may join: those that finished it first."""
    config = _identity(record)[0]
    homes = [key for key in groups if not record.config or key[0] == config]
    place = place_of(record)
    yield from sorted(homes, key=lambda key: all(place_of(other) != place for other in groups[key]))


def _identity(record: Record) -> Identity:
    """Return what a line's records share; knobs without effect on a result are not in its hash."""
    config = record.hashes.get("config") or json.dumps(record.config, sort_keys=True)
    return config, record.hashes.get("code", ""), record.hashes.get("weights", "")


def _distinctions(groups: Sequence[Sequence[Record]]) -> list[str]:
    """Name each group by the knobs (and hashes) in which they differ; one group needs no name."""
    knobs = [flatten(group[0].config) for group in groups]
    for flat, group in zip(knobs, groups, strict=True):
        hashes = group[0].hashes
        flat |= {key: hashes[key][:8] for key in ("code", "weights") if key in hashes}
    keys = sorted({key for flat in knobs for key in flat})
    differ = [key for key in keys if len({str(flat.get(key, "unset")) for flat in knobs}) > 1]
    return [
        ", ".join(f"{key.removeprefix('method.')}={flat.get(key, 'unset')}" for key in differ)
        for flat in knobs
    ]


def _prevailing(one: Record, other: Record) -> Record:
    if one.status == other.status == "done":
        raise ReportError(
            f"{one.id} and {other.id} are the same method, config, ratio, fold and seed: "
            "remove one of them, or move it to another results folder"
        )
    rank = {"done": 0, "failed": 1, "skipped": 2}
    return min(one, other, key=lambda record: rank[record.status])
