"""Explaining a cell in words: what it is, what its id is a hash of, what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.config.names import CEILING, MethodName
from bench.errors import UsageError, similar

from .compare import flatten
from .records import Record
from .status import CellStatus, read_status

_LISTED = 5
"""Cells named in an error, where there may be hundreds."""

HASHED = {
    "data": "the stored frames and their labels",
    "folds": "who is tested in which fold",
    "split": "who is trained on, who is held out",
    "mask": "which frames are labelled",
    "code": "what the code does (comments, layout and places of modules do not count)",
    "config": "every knob",
    "weights": "the file of the trunk's first weights",
    "landmarks": "the landmarks that the method sees",
    "cell": "all of this, and the place in the grid: the end of the id",
}
"""What each hash is of; one named after a knob is of the file that the knob names."""


def find_cell(results: Path, name: str) -> CellStatus:
    """Return the cell whose id begins with `name`, whatever has become of it.

    Raises UsageError if it is not exactly one.
    """
    cells = read_status(results).cells
    if not cells:
        raise UsageError(f"there are no records in {results / 'runs'}: run some cells first")
    found = [cell for cell in cells if cell.id.startswith(name)]
    if len(found) == 1:
        return _known(found[0])
    if found:
        listed = ", ".join(cell.id for cell in found[:_LISTED])
        more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
        raise UsageError(f"'{name}' is the beginning of {len(found)} cells: {listed}{more}")
    ids = [cell.id for cell in cells]
    close = similar(name, ids, count=_LISTED, cutoff=0.3) or ids[:_LISTED]
    raise UsageError(
        f"no cell's id begins with '{name}'; among the {len(ids)} in {results / 'runs'} are "
        f"{', '.join(close)}"
    )


def _known(cell: CellStatus) -> CellStatus:
    if cell.source is None:
        raise UsageError(
            f"{cell.id} has no record yet, and no file in grids/ tells what it is: "
            "look again when it is over"
        )
    return cell


def explain_cell(cell: CellStatus) -> str:
    """Spell a cell out: in words, what came of it, then every knob, hash and circumstance."""
    source = cell.source
    assert source
    lines = [cell.id, "", *_in_a_sentence(source.cell, source.config), "", f"status  {cell.state}"]
    if cell.record:
        lines += _outcome(cell.record)
    blocks = {"cell": source.cell, "config": source.config, "code": source.code}
    for title, values in blocks.items():
        lines += _block(title, values)
    lines += ["", *_hashes(source.hashes)]
    if cell.record:
        lines += _circumstances(cell.record)
    return "\n".join(lines)


def _in_a_sentence(place: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[str]:
    """Say it as one would in a paper."""
    yield (
        f"{place['method']} on {place['dataset']}: {100 * float(place['ratio']):g} % of the coded "
        f"frames labelled (rule {place['rule']}), tested on fold {place['fold']}, "
        f"seed {place['seed']}, preset {place['preset']}."
    )
    if MethodName.parse(str(place["method"])).base == CEILING:
        yield "It sees the labels that the budget did not pay for: a bound for methods, and none."
    train, trunk, data = (config.get(name, {}) for name in ("train", "trunk", "data"))
    if {"batch_size", "optimiser", "lr", "schedule"} <= train.keys() and trunk:
        budget = f"{train['steps']} steps" if train["steps"] else f"{train['epochs']:g} epochs"
        yield (
            f"Trained for {budget} of {train['batch_size']} clips with {train['optimiser']} at "
            f"{train['lr']:g} ({train['schedule']}); {trunk['name']}, width {trunk['width']:g}, "
            f"weights {trunk['weights']}, {data.get('size')} px."
        )


def _outcome(record: Record) -> Iterator[str]:
    if record.reason:
        yield f"reason  {record.reason}"
    for rule, scores in record.scores.items():
        yield f"F1 ({rule}, step {scores.step})  {100 * scores.mean_f1:.2f}"


def _hashes(hashes: Mapping[str, str]) -> Iterator[str]:
    yield "hashes"
    for name, value in hashes.items():
        yield f"  {name} = {value}" + (f"  {HASHED[name]}" if name in HASHED else "")


def _circumstances(record: Record) -> Iterator[str]:
    for title in ("frames", "seconds", "rates", "environment"):
        yield from _block(title, getattr(record, title))
    if record.final_weights:
        yield from ("", f"trained weights  {record.final_weights}")
    yield from (f"warning  {warning}" for warning in record.warnings)
    if record.traceback:
        yield record.traceback


def _block(title: str, values: Mapping[str, Any]) -> list[str]:
    """Return a blank line, the title and its values; nothing where there are none."""
    lines = [f"  {key} = {value}" for key, value in flatten(values)]
    return ["", title, *lines] if lines else []
