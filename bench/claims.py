"""Claims: which process works on a cell, told by files alone, so that any executor may ask.

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

import os
import socket
import time
import uuid
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ._claim_files import Claim, claim_files, create_claim, last_claim, write_claim
from ._processes import is_gone, this_process
from .files import RecordError

BEAT = 10.0
"""Seconds between heartbeats."""

PATIENCE = 180.0
"""Seconds without a heartbeat after which a process counts as lost: network folders show a change
up to a minute late."""


class ClaimLost(Exception):
    """Somebody else has taken the cell over, as this process showed no sign of life."""


def claim(
    folder: Path, slot: str = "", watch: Watch | None = None, launcher: str = ""
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
        process=this_process(),
        launcher=launcher or this_process(),
        slot=slot,
        started=now,
        heartbeat=now,
        losses=last.losses if last else 0,
    )
    return mine if create_claim(mine) else None


def give_up(lost: Claim) -> bool:
    """Free the cell of a process that was seen to end, counting the loss.

    False if somebody else has the cell by now. Raises RecordError if the folder cannot be written.
    """
    freed = replace(lost, number=lost.number + 1, losses=lost.losses + 1, released=True)
    return create_claim(replace(freed, token=uuid.uuid4().hex))


def read_claim(folder: Path) -> Claim | None:
    """Return the claim that counts in a cell's folder, or None if the cell is nobody's.

    Whether its process still lives is another question: `is_dead`, `seems_lost`, `Watch`.
    """
    last = last_claim(folder)
    return None if last is None or last.released else last


def renew(held: Claim, **news: Any) -> Claim:
    """Show a sign of life, with `news` of step, total, loss and rate.

    Raises ClaimLost if the cell is no longer ours.
    """
    check(held)
    beat = replace(held, heartbeat=time.time(), **news)
    try:
        write_claim(beat)
    except RecordError:
        # a full disk is no reason to look dead: touching the file needs no space
        with suppress(OSError):
            os.utime(held.path)
    return beat


def check(held: Claim) -> None:
    """Raise ClaimLost if the cell is somebody else's by now."""
    last = last_claim(held.folder)
    if last is None or last.token != held.token:
        by = f" by {last.host}, process {last.pid}" if last else ""
        raise ClaimLost(f"{held.folder.name} was taken over{by}")


def release(held: Claim, *, over: bool) -> None:
    """Give the cell back: to be claimed again at once, or `over`, its record being on disk."""
    try:
        check(held)
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

    Trusts both machines' clocks, which `Watch` does not.
    """
    now = time.time() if now is None else now
    return is_dead(claimed) or now - claimed.heartbeat > PATIENCE


class Watch:
    """Watches claims by its own clock; one that stands still for long enough is stale.

    Only time spent watching counts: an observer that was itself suspended draws no conclusion
    from the gap.
    """

    def __init__(self, patience: float = PATIENCE):
        self.patience = patience
        self._seen: dict[Path, tuple[Claim, int, float, float]] = {}

    def stale(self, claimed: Claim) -> bool:
        """Look at a claim as it was just read; to be called every few seconds."""
        now = time.monotonic()
        before = self._seen.get(claimed.folder)
        if before is None or before[:2] != (claimed, claimed.changed):
            self._seen[claimed.folder] = (claimed, claimed.changed, now, 0.0)
            return False
        still = before[3] + min(now - before[2], BEAT)
        self._seen[claimed.folder] = (claimed, claimed.changed, now, still)
        return still >= self.patience
