"""Comparing cells: an identity as flat keys, and in what two differ; for `diff` and plans."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bench.config.names import NOT_IDENTITY

from .records import Record
from .requests import RequestedCell

_LISTED = 4
"""Differences named in one sentence."""


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (`section.key`, value) of nested mappings."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def identity_knobs(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the knobs of a cell by flat key, but for those that are no part of what it is."""
    idle = {f"train.{name}" for name in NOT_IDENTITY}
    return {key: value for key, value in flatten(config) if key not in idle}


def identity_of(cell: Record | RequestedCell) -> dict[str, Any]:
    """Return what a cell is: place in the grid, knobs, hashes, code."""
    return {**cell.cell, "config": cell.config, "hashes": cell.hashes, "code": cell.code}


def differences(first: Record | RequestedCell, second: Record | RequestedCell) -> list[str]:
    """List what differs between two cells (not what came of them): a line a knob, hash, version."""
    sides = [
        dict(flatten({**identity_of(c), "environment": _environment(c)})) for c in (first, second)
    ]
    return [
        f"{key}: {sides[0].get(key, '(absent)')} | {sides[1].get(key, '(absent)')}"
        for key in dict.fromkeys([*sides[0], *sides[1]])
        if sides[0].get(key) != sides[1].get(key)
    ]


def _environment(cell: Record | RequestedCell) -> dict[str, Any]:
    environment = cell.environment if isinstance(cell, Record) else {}
    return {name: environment.get(name) for name in ("device", "versions", "deterministic")}


def describe_mismatch(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    """Name in what two flat identities differ, or return nothing if their cells are the same.

    A hash is named only where nothing plainer tells what has changed.
    """
    if theirs.get("hashes.cell") == ours.get("hashes.cell"):
        return ""
    keys = [key for key in dict.fromkeys([*theirs, *ours]) if theirs.get(key) != ours.get(key)]
    told = [any(key.startswith("code.") for key in side) for side in (theirs, ours)]
    vague = ("hashes.",) if all(told) else ("hashes.", "code.")
    plain = [key for key in keys if not key.startswith(vague)]
    hashes = [key for key in keys if key.startswith("hashes.") and key != "hashes.cell"]
    named = [_named(key, theirs, ours) for key in plain or hashes or ["hashes.cell"]]
    more = [f"{len(named) - _LISTED} more"] if len(named) > _LISTED else []
    return ", ".join([*named[:_LISTED], *more])


def _named(key: str, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    section, _, name = key.partition(".")
    if section == "code":
        return name
    if section == "hashes":
        return f"the hash of its {name}"
    return f"{key} ({theirs.get(key, 'absent')}, not {ours.get(key, 'absent')})"
