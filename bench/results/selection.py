"""Choosing records: by place in the grid, by knob, by version of the code; for tables and plots."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.config.names import MethodName
from bench.errors import UsageError, closest, unknown_name

from .compare import flatten
from .records import Record
from .requests import RequestedCell
from .status import StatusReport


def select_records(
    records: Iterable[Record],
    named: Mapping[str, str],
    methods: Collection[str] = (),
    ratios: Collection[float] = (),
) -> list[Record]:
    """Keep the records of what is named (a cell's `dataset`, ...); nothing named keeps all."""
    return [
        record
        for record in records
        if named.items() <= record.cell.items()
        and (not methods or record.cell["method"] in methods)
        and (not ratios or record.cell["ratio"] in ratios)
    ]


def choose(
    records: Sequence[Record],
    results: Path,
    named: Mapping[str, str],
    methods: Collection[str],
    ratios: Collection[float],
    only: Sequence[str] = (),
    *,
    newest: bool = False,
) -> tuple[list[Record], list[str]]:
    """Keep the records of what is asked for; returns with them notes on what is not there.

    Raises UsageError, saying what there is, if none is left of some.
    """
    folder = results / "runs"
    if not records and not results.is_dir():
        return [], [f"--results {results}: there is no such folder"]
    chosen = select_records(records, named, methods, ratios)
    if records and not chosen:
        places = [record.cell for record in records]
        raise _none_of(places, named, methods, ratios, f"record in {folder}")
    absent = sorted({*methods} - {str(record.cell["method"]) for record in chosen})
    kept = only_matching(latest(chosen) if newest else chosen, only)
    if chosen and not kept:
        raise UsageError(f"no record in {folder} that is asked for has {' '.join(only)}")
    return kept, [f"no record in {folder} is of {name} there" for name in absent]


def _none_of(
    places: Sequence[Mapping[str, Any]],
    named: Mapping[str, str],
    methods: Collection[str],
    ratios: Collection[float],
    what: str,
) -> UsageError:
    """Build the error for names of which no place is: the first that nobody knows, or all."""
    asked: dict[str, Collection[Any]] = {key: [value] for key, value in named.items()}
    for key, values in {**asked, "method": methods, "ratio": ratios}.items():
        known = {place[key] for place in places}
        for value in (value for value in values if value not in known):
            listed = ", ".join(map(str, sorted(known)))
            near = closest(str(value), map(str, known)) if isinstance(value, str) else ""
            return UsageError(f"no {what} is of {key} {value}: {near}there are: {listed}")
    of = " ".join(map(str, [*named.values(), *methods, *ratios]))
    return UsageError(f"no {what} is of {of} at once, of {len(places)}")


def only_matching(records: Sequence[Record], texts: Iterable[str]) -> list[Record]:
    """Keep the records for which every KEY=VALUE holds, spelt as rows of a table are told apart.

    A key is a knob (`train.lr`, or a method's own, `width`), a hash (`code`, `weights`: its first
    digits do), `recipe` or `commit`. A record without such a knob stays: the knob is not its own.
    Raises UsageError for another form, and for a key that no record knows.
    """
    chosen = list(records)
    for text in texts:
        key, equals, value = text.partition("=")
        if not (equals and key):
            raise UsageError(f"--only {text}: write KEY=VALUE, e.g. --only code=1a2b3c4d")
        told = [(record, _tells(record)) for record in chosen]
        if told and not any(key in keys for _, keys in told):
            raise unknown_name("key of --only", key, {name for _, keys in told for name in keys})
        chosen = [record for record, keys in told if _agrees(key, str(keys.get(key, value)), value)]
    return chosen


_BY_FIRST_DIGITS = ("code", "weights", "commit")


def _tells(record: Record) -> dict[str, Any]:
    knobs = {key.removeprefix("method."): value for key, value in flatten(record.config)}
    hashes = {key: record.hashes[key] for key in _BY_FIRST_DIGITS if key in record.hashes}
    commit = record.environment.get("commit")
    return {**knobs, **hashes, "recipe": record.recipe, **({"commit": commit} if commit else {})}


def _agrees(key: str, told: str, wanted: str) -> bool:
    return told.startswith(wanted) if key in _BY_FIRST_DIGITS else told == wanted


def without_variants(records: Iterable[Record]) -> list[Record]:
    """Leave out the variants of methods (`ks:no_skd`), unless there is nothing else."""
    records = list(records)
    whole = [r for r in records if MethodName.parse(str(r.cell["method"])).variant is None]
    return whole or records


def latest(records: Iterable[Record]) -> list[Record]:
    """Keep of each method, in each dataset and preset, the code that finished a cell last."""
    records = list(records)
    newest: dict[tuple[str, ...], tuple[str, str]] = {}
    for record in records:
        when = str(record.environment.get("finished", ""))
        code = record.hashes.get("code", "")
        newest[_whose(record)] = max(newest.get(_whose(record), ("", "")), (when, code))
    return [r for r in records if r.hashes.get("code", "") == newest[_whose(r)][1]]


def _whose(record: Record) -> tuple[str, ...]:
    return tuple(str(record.cell[key]) for key in ("method", "dataset", "preset", "rule"))


def select_cells(
    report: StatusReport,
    named: Mapping[str, str],
    methods: Collection[str] = (),
    only: Sequence[str] = (),
    *,
    newest: bool = False,
) -> StatusReport:
    """Keep the cells of what is named, finished or not; `only` and `newest` choose among records.

    Raises UsageError as `only_matching` does, and where there are cells and none is of it.
    """
    records = [cell.record for cell in report.cells if cell.record]
    chosen = select_records(records, named, methods)
    chosen = only_matching(latest(chosen) if newest else chosen, only)
    kept = {record.id for record in chosen}
    cells = [
        cell
        for cell in report.cells
        if (cell.id in kept if cell.record else _is_of(cell.source, named, methods))
    ]
    if report.cells and not cells:
        if records and not kept and select_records(records, named, methods):
            raise UsageError(f"no cell that is asked for has {' '.join(only)}")
        raise _none_of(
            [c.source.cell for c in report.cells if c.source], named, methods, (), "cell"
        )
    return replace(report, cells=cells)


def _is_of(
    source: Record | RequestedCell | None, named: Mapping[str, str], methods: Collection[str]
) -> bool:
    if source is None:
        return not (named or methods)
    place = source.cell
    return named.items() <= place.items() and (not methods or place["method"] in methods)
