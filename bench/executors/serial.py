"""One slot in this very process: for one worker, and for tests."""

from __future__ import annotations

from collections.abc import Sequence

from bench.records import Record
from bench.runner import Tick
from bench.study import Cell

from ._base import Listener, Stopped
from ._follow import Follow
from ._signals import stop_on_signals
from ._work import Orders, work


def execute(cells: Sequence[Cell], listener: Listener, orders: Orders) -> None:
    """Carry out `cells` one after another. Raises Stopped, and RecordError (disk full)."""
    follow = Follow(cells, orders, listener)

    def tell(news: Tick | Record) -> None:
        follow.hear(news)
        follow.look()

    with stop_on_signals() as stop:
        work(cells, orders, "slot 0", stop=stop, tell=tell)
        follow.look(now=True)
        if stop() and follow.left:
            listener.stopping(follow.running)
            raise Stopped
