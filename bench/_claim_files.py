"""The files of claims: created exclusively and whole, read in whatever state they are."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from .files import cannot_write, whole_file


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A process's hold on a cell. Times are UTC epoch seconds by the clock of its machine."""

    folder: Path
    number: int
    """Which of the folder's claims this is; higher ones came later."""
    token: str = ""
    host: str = "unknown"
    pid: int = 0
    process: str = ""
    """The process among all there are (`this_process`); `launcher` is the one that started it."""
    launcher: str = ""
    slot: str = ""
    started: float = 0.0
    heartbeat: float = 0.0
    step: int = 0
    total: int = 0
    loss: float | None = None
    """The last training loss; `rate` is in frames a second."""
    rate: float = 0.0
    losses: int = 0
    """How many processes were seen to die of this cell."""
    released: bool = False
    changed: int = field(default=0, compare=False)
    """The file's modification time in nanoseconds, by the clock of the disk's machine."""

    @property
    def path(self) -> Path:
        """The claim's file."""
        return self.folder / f"claim-{self.number}.json"


def _optional(value: Any) -> float | None:
    return None if value is None else float(value)


_KINDS: dict[str, Callable[[Any], Any]] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
    "float | None": _optional,
}
_TOLD = {
    item.name: _KINDS[str(item.type)]
    for item in fields(Claim)
    if item.name not in ("folder", "number", "changed")
}
"""What a claim's file says; the rest is where it lies."""


def claim_files(folder: Path) -> Iterator[Path]:
    """Find the claims of a cell, those that no longer count included."""
    yield from folder.glob("claim-*.json")


def last_claim(folder: Path) -> Claim | None:
    """Read the claim that counts, released or not; None if there is none."""
    numbers = [path.stem.partition("-")[2] for path in claim_files(folder)]
    highest = max((int(number) for number in numbers if number.isdigit()), default=0)
    return _read(Claim(folder=folder, number=highest)) if highest else None


def _read(blank: Claim) -> Claim | None:
    """Fill in a claim from its file; one that makes no sense stays blank, and is watched.

    So does one that only its owner may read.
    """
    try:
        changed = blank.path.stat().st_mtime_ns
    except FileNotFoundError:
        return None  # its owner is through
    try:
        values = json.loads(blank.path.read_text(encoding="utf-8"))
        told = {name: kind(values[name]) for name, kind in _TOLD.items()}
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, PermissionError):
        return replace(blank, changed=changed)
    return replace(blank, changed=changed, **told)


def _content(held: Claim) -> str:
    return json.dumps({name: getattr(held, name) for name in _TOLD}) + "\n"


def create_claim(mine: Claim) -> bool:
    """Create the claim's file with all its content, unless it exists.

    Raises RecordError if the folder cannot be written.
    """
    draft = mine.folder / f".claim-{mine.token}.tmp"
    try:
        mine.folder.mkdir(parents=True, exist_ok=True)
        draft.write_text(_content(mine), encoding="utf-8")
        return _link(draft, mine)
    except OSError as error:
        raise cannot_write(mine.path, error) from error
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def _link(draft: Path, mine: Claim) -> bool:
    try:
        os.link(draft, mine.path)
    except FileExistsError:
        # a network disk may have done it and lost the answer
        return draft.stat().st_nlink == 2
    except OSError:
        return _create_without_links(mine)
    return True


def _create_without_links(mine: Claim) -> bool:
    try:
        with mine.path.open("x", encoding="utf-8") as stream:
            stream.write(_content(mine))
    except FileExistsError:
        return False
    return True


def write_claim(held: Claim) -> None:
    """Replace the content of a claim's file; raises RecordError if the disk does not take it."""
    with whole_file(held.path) as stream:
        stream.write(_content(held))
