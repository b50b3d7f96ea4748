"""Claims: which process works on a cell, said by files alone, so that any executor may ask.

A cell's folder holds `claim-1.json`, `claim-2.json`, ...: each is created exclusively, whole at
once, and only the highest counts. Taking over from a lost process is creating the next number,
which succeeds for exactly one; nothing is locked, and nothing that counts is deleted before the
cell's record is there. Whoever has claimed a cell must look for its record *after* that.

A lost process is known at once on its own machine. Elsewhere it is known by watching: its
heartbeat stands still while the observer's own clock runs, so that clocks need not agree. Whoever
started a process and saw it end gives up its claim for it, and counts the loss: a cell that kills
whatever runs it is not to be tried for ever.
"""

from __future__ import annotations

import json
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from bench.system.files import RecordError, atomic_file, cannot_write
from bench.system.processes import is_gone, process_name

HEARTBEAT_INTERVAL = 10.0
"""Seconds between heartbeats."""

CLAIM_TIMEOUT = 180.0
"""Seconds without a heartbeat after which a process counts as lost: network folders show a change
up to a minute late."""


class ClaimLost(Exception):
    """Somebody else has taken the cell over, as this process showed no sign of life."""


def claim(
    folder: Path, slot: str = "", watch: ClaimWatch | None = None, launcher: str = ""
) -> Claim | None:
    """Claim the cell of this folder, or return None while somebody else has it.

    Taken over is a claim of a process that is known to be gone together with its launcher (who
    else gives it up), or that `watch` has seen stand still. Raises RecordError if the folder cannot
    be written.
    """
    last = last_claim(folder)
    if last and not (last.released or _orphaned(last) or (watch and watch.stale(last))):
        return None
    now = time.time()
    mine = Claim(
        folder=folder,
        number=last.number + 1 if last else 1,
        token=uuid.uuid4().hex,
        host=socket.gethostname(),
        pid=os.getpid(),
        process=process_name(),
        launcher=launcher or process_name(),
        slot=slot,
        started=now,
        heartbeat=now,
        losses=last.losses if last else 0,
    )
    return mine if create_claim(mine) else None


def free_lost(lost: Claim) -> bool:
    """Free the cell of a process that was seen to end, counting the loss.

    False if somebody else has the cell by now. Raises RecordError if the folder cannot be written.
    """
    freed = replace(lost, number=lost.number + 1, losses=lost.losses + 1, released=True)
    return create_claim(replace(freed, token=uuid.uuid4().hex))


def read_claim(folder: Path) -> Claim | None:
    """Return the claim that counts in a cell's folder, or None if the cell is nobody's.

    Whether its process still lives is another question: `is_dead`, `seems_lost`, `ClaimWatch`.
    """
    last = last_claim(folder)
    return None if last is None or last.released else last


def renew(held: Claim, **news: Any) -> Claim:
    """Show a sign of life, with `news` of step, total, loss and rate.

    Raises ClaimLost if the cell is no longer ours.
    """
    check_held(held)
    beat = replace(held, heartbeat=time.time(), **news)
    try:
        write_claim(beat)
    except RecordError:
        # a full disk is no reason to look dead: touching the file needs no space
        with suppress(OSError):
            os.utime(held.path)
    return beat


def check_held(held: Claim) -> None:
    """Raise ClaimLost if the cell is somebody else's by now."""
    last = last_claim(held.folder)
    if last is None or last.token != held.token:
        by = f" by {last.host}, process {last.pid}" if last else ""
        raise ClaimLost(f"{held.folder.name} was taken over{by}")


def release(held: Claim, *, over: bool) -> None:
    """Give the cell back: to be claimed again at once, or `over`, its record being on disk."""
    try:
        check_held(held)
        if over:
            for path in [*claim_files(held.folder), *held.folder.glob(".claim-*")]:
                path.unlink(missing_ok=True)
        else:
            write_claim(replace(held, released=True))
    except (ClaimLost, RecordError, OSError):
        return  # what cannot be given back is taken over once this process is gone


def is_dead(claimed: Claim) -> bool:
    """Tell whether the claim's process is gone for certain: only its own machine can know."""
    return is_gone(claimed.process)


def _orphaned(claimed: Claim) -> bool:
    return is_gone(claimed.process) and is_gone(claimed.launcher)


def seems_lost(claimed: Claim, now: float | None = None) -> bool:
    """Guess from one look whether a process is lost: to be shown, never to be acted upon.

    Trusts both machines' clocks, which `ClaimWatch` does not.
    """
    now = time.time() if now is None else now
    return is_dead(claimed) or now - claimed.heartbeat > CLAIM_TIMEOUT


class ClaimWatch:
    """Watches claims by its own clock; one that stands still for long enough is stale.

    Only time spent watching counts: an observer that was itself suspended draws no conclusion
    from the gap.
    """

    def __init__(self, patience: float = CLAIM_TIMEOUT):
        self.patience = patience
        self._seen: dict[Path, tuple[Claim, int, float, float]] = {}

    def stale(self, claimed: Claim) -> bool:
        """Look at a claim as it was just read; to be called every few seconds."""
        now = time.monotonic()
        before = self._seen.get(claimed.folder)
        if before is None or before[:2] != (claimed, claimed.changed):
            self._seen[claimed.folder] = (claimed, claimed.changed, now, 0.0)
            return False
        still = before[3] + min(now - before[2], HEARTBEAT_INTERVAL)
        self._seen[claimed.folder] = (claimed, claimed.changed, now, still)
        return still >= self.patience


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

_FIELDS = {
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
        told = {name: kind(values[name]) for name, kind in _FIELDS.items()}
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, PermissionError):
        return replace(blank, changed=changed)
    return replace(blank, changed=changed, **told)


def _content(held: Claim) -> str:
    return json.dumps({name: getattr(held, name) for name in _FIELDS}) + "\n"


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
    with atomic_file(held.path) as stream:
        stream.write(_content(held))
