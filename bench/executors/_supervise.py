"""Looks after hired slots: replaces those that die, frees what they held, stops them when asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from bench.records import Record, RecordError
from bench.runner import Tick
from bench.study import Cell

from ._base import ExecutorError, Listener, Stopped
from ._follow import Follow
from ._signals import stop_on_signals
from ._work import TRIES, Orders

PATIENCE = 60.0
"""Seconds that stopping slots get to save their state."""


class Hand(Protocol):
    """A hired slot: something that runs `work` somewhere."""

    slot: str

    def trouble(self) -> Exception | None:
        """Say what ended it, None if it ended as it should; asked only once it has ended."""

    def ended(self) -> bool:
        """Tell whether it has ended, one way or another."""

    def stop(self) -> None:
        """Ask it to save what it is doing and end."""

    def kill(self) -> None:
        """End it, and return when it has ended."""


class Crew(Protocol):
    """Where slots come from."""

    def hire(self, slots: Sequence[str]) -> list[Hand]:
        """Start slots of these names."""

    def wait(self, seconds: float, hear: Callable[[Tick | Record], None]) -> None:
        """Let time pass, at most so much of it, and pass on what hands tell meanwhile."""


def supervise(
    cells: Sequence[Cell], listener: Listener, orders: Orders, crew: Crew, count: int
) -> None:
    """See that every cell is carried out by `count` slots of the crew, or by anybody else.

    Raises Stopped (after the running cells are saved), RecordError (disk full) and ExecutorError.
    """
    foreman = _Foreman(Follow(cells, orders, listener), crew)
    with stop_on_signals() as stop:
        try:
            foreman.run(count, stop)
        finally:
            foreman.close()


class _Foreman:
    def __init__(self, follow: Follow, crew: Crew):
        self.follow, self.crew = follow, crew
        self.hands: list[Hand] = []
        self.stopping = False
        self.deadline = float("inf")
        self.error: Exception | None = None
        self.barren, self.left = 0, len(follow.left)
        """How many hands in a row ended before they had taken a cell."""

    def run(self, count: int, stop: Callable[[], bool]) -> None:
        self.hands = self.crew.hire([f"slot {index}" for index in range(count)])
        while self.follow.left and self.hands and time.monotonic() < self.deadline:
            if (stop() or self.error) and not self.stopping:
                self._stop()
            self.crew.wait(0.5, self.follow.hear)
            self._look_after()
            self.follow.look()
        self.follow.look(now=True)
        if self.error:
            raise self.error
        if self.stopping and self.follow.left:
            raise Stopped
        if self.follow.left:
            raise ExecutorError(
                f"every slot has ended and {len(self.follow.left)} cells are left: "
                "the same command goes on"
            )

    def close(self) -> None:
        """End every hand: idle ones end by themselves, others by force."""
        until = time.monotonic() + (0 if self.follow.left else 2)
        while time.monotonic() < until and not all(hand.ended() for hand in self.hands):
            self.crew.wait(0.1, self.follow.hear)
        for hand in self.hands:
            hand.kill()

    def _stop(self) -> None:
        self.stopping, self.deadline = True, time.monotonic() + PATIENCE
        self.follow.listener.stopping(self.follow.running)
        for hand in self.hands:
            hand.stop()

    def _look_after(self) -> None:
        for hand in [hand for hand in self.hands if hand.ended()]:
            self.hands.remove(hand)
            trouble = hand.trouble()
            if isinstance(trouble, RecordError):
                self.error = self.error or trouble
            elif trouble and not self.stopping:
                self._replace(hand, trouble)

    def _replace(self, hand: Hand, trouble: Exception) -> None:
        """Free what a dead hand held, and hire another, unless hands die before they do a thing."""
        fruitful = self.follow.give_up(hand.slot) or len(self.follow.left) < self.left
        self.left = len(self.follow.left)
        self.barren = 0 if fruitful else self.barren + 1
        if self.barren >= TRIES * (len(self.hands) + 1):
            self.error = ExecutorError(f"slots end before they take a cell, the last of {trouble}")
            return
        self.follow.listener.note(f"{hand.slot} ended ({trouble}); another takes its place")
        self.hands += self.crew.hire([hand.slot])
