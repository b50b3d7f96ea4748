"""Rows of tables: all runs of one method under one config and code, or one search's recipes.

Used by every table and figure of results.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from bench.config.names import CEILING, GridPoint, MethodName
from bench.results.compare import identity_knobs
from bench.results.records import Record

from .grouping import cell_field, point_of, ratio_of
from .model import ReportError, Source

Identity = tuple[str, str, str]
"""(config, code, weights): what the finished runs of one line share."""

CONTROL = "supervised"


@dataclass(frozen=True)
class MethodRuns:
    """All records of one method under one config and code; `label` names what sets it apart."""

    label: str
    method: str
    records: tuple[Record, ...]

    @property
    def is_ceiling(self) -> bool:
        """Whether this is the control that sees hidden labels: a bound, never ranked."""
        return MethodName.parse(self.method).base == CEILING

    @property
    def source(self) -> Source:
        """What a row of these runs is."""
        return "ceiling" if self.is_ceiling else "measured"

    def at(self, ratio: float) -> Mapping[GridPoint, Record]:
        """Return this line's runs at a ratio; a finished run stands before failed and skipped ones.

        Raises ReportError if two finished records claim the same run.
        """
        return self._runs.get(ratio, {})

    @cached_property
    def _runs(self) -> Mapping[float, Mapping[GridPoint, Record]]:
        runs: dict[float, dict[GridPoint, Record]] = defaultdict(dict)
        for record in self.records:
            point = point_of(record)
            there = runs[point.ratio]
            other = there.setdefault(point, record)
            if other is not record:
                there[point] = _prevailing(other, record)
        return dict(runs)


def method_runs(records: Iterable[Record]) -> list[MethodRuns]:
    """Group records into rows: the supervised control first, then by name, the ceiling last.

    A method with more than one config or code version gives a row for each, named by what differs.
    """
    methods: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        methods[str(cell_field(record, "method"))].append(record)
    methods.setdefault(CONTROL, [])
    order = sorted(methods, key=lambda name: (name != CONTROL, name))
    lines = [line for name in order for line in _split(name, methods[name])]
    return sorted(lines, key=lambda line: line.is_ceiling)


def failures(lines: Iterable[MethodRuns], ratio: float | None = None) -> list[tuple[str, Record]]:
    """Return (label, record) of the runs that failed or were skipped, and never finished after."""
    return [
        (line.label, record)
        for line in lines
        for share in sorted({ratio_of(record) for record in line.records})
        for record in line.at(share).values()
        if ratio in (None, share) and record.status != "done"
    ]


def _split(method: str, records: list[Record]) -> Iterator[MethodRuns]:
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
        yield MethodRuns(f"{method} ({name})" if name else method, method, tuple(members))
    if not groups:
        yield MethodRuns(method, method, ())


def _homes(record: Record, groups: Mapping[Identity, Sequence[Record]]) -> Iterator[Identity]:
    """Yield the groups an unfinished run may join: those that finished it first."""
    config = _identity(record)[0]
    homes = [key for key in groups if not record.config or key[0] == config]
    point = point_of(record)
    yield from sorted(homes, key=lambda key: all(point_of(other) != point for other in groups[key]))


def _identity(record: Record) -> Identity:
    """Return what a line's records share; knobs without effect on a result are not in its hash."""
    config = record.hashes.get("config") or json.dumps(record.config, sort_keys=True)
    if record.tuning:  # each fold has a recipe of its own
        knobs, searched = identity_knobs(record.config), _searched(record)
        fixed = [(key, value) for key, value in knobs.items() if key not in searched]
        config = json.dumps(["tuned", record.tuning["search"], fixed], sort_keys=True)
    return config, record.hashes.get("code", ""), record.hashes.get("weights", "")


def _searched(record: Record) -> set[str]:
    """Return the knobs that a search set, as keys of the record's config."""
    found = set()
    for key in record.tuning.get("searched", ()):
        section, _, knob = key.rpartition(".")
        found.add(f"train.{knob}" if section.endswith(".train") else f"method.{knob}")
    return found


def _distinctions(groups: Sequence[Sequence[Record]]) -> list[str]:
    """Name each group by the knobs (and hashes) in which they differ; one group needs no name."""
    knobs = [identity_knobs(group[0].config) for group in groups]
    for flat, group in zip(knobs, groups, strict=True):
        hashes = group[0].hashes
        flat |= dict.fromkeys(_searched(group[0]), _TUNED)
        flat["search"] = group[0].tuning.get("search", _TUNED)
        flat |= {key: hashes[key][:8] for key in ("code", "weights") if key in hashes}
    keys = sorted({key for flat in knobs for key in flat})
    told = {key: [flat.get(key, "unset") for flat in knobs] for key in keys}
    differ = [key for key in keys if len({str(v) for v in told[key] if v is not _TUNED}) > 1]
    return [
        ", ".join(
            [
                *(["tuned"] if group[0].tuning else []),
                *(
                    f"{key.removeprefix('method.')}={value}"
                    for key in differ
                    if (value := flat.get(key, "unset")) is not _TUNED
                ),
            ]
        )
        for flat, group in zip(knobs, groups, strict=True)
    ]


_TUNED = object()
"""The value of what does not tell rows apart: of a knob that a search set, each fold's own."""


def _prevailing(one: Record, other: Record) -> Record:
    if one.status == other.status == "done":
        raise ReportError(
            f"{one.id} and {other.id} are the same method, config, ratio, fold and seed: "
            "remove one of them, or move it to another results folder"
        )
    rank = {"done": 0, "failed": 1, "skipped": 2}
    return min(one, other, key=lambda record: rank[record.status])
