"""What becomes of a study's cells, wherever they run: read from the results folder."""

from __future__ import annotations

import time
from collections.abc import Sequence

from bench.claims import Claim, give_up, read_claim
from bench.files import RecordError
from bench.plan import read_record
from bench.records import Record
from bench.runner import Tick
from bench.study import Cell

from ._base import Listener
from ._work import Orders


class Follow:
    """Tells a listener what happens to `cells`, each thing once, whoever makes it happen."""

    def __init__(self, cells: Sequence[Cell], orders: Orders, listener: Listener):
        self.left = {cell.id: cell for cell in cells}
        self.orders, self.listener = orders, listener
        self._begun: set[str] = set()
        self._last: dict[str, Claim] = {}
        self._next_look = 0.0

    @property
    def running(self) -> list[str]:
        """The cells that have begun and are not over, by their ids."""
        return [name for name in self.left if name in self._begun]

    def hear(self, news: Tick | Record) -> None:
        """Pass on what a slot of this launch tells of its cell."""
        if isinstance(news, Record):
            self._finish(news)
        elif news.cell in self.left:
            self._begin(self.left[news.cell])
            self.listener.tick(news)

    def look(self, *, now: bool = False) -> None:
        """Look at every cell that is left, if it is time again: a large grid takes a while."""
        began = time.monotonic()
        if now or began >= self._next_look:
            for cell in list(self.left.values()):
                self._look_at(cell)
            spent = time.monotonic() - began
            self._next_look = began + max(0.5, 20 * spent)

    def give_up(self, slot: str) -> bool:
        """Free the cell that a slot of this launch held when it ended; False if it held none."""
        self.look(now=True)
        lost = [
            held
            for cell in self.left.values()
            if (held := read_claim(cell.folder)) and self._ours(held) and held.slot == slot
        ]
        return sum(give_up(held) for held in lost) > 0

    def _ours(self, held: Claim) -> bool:
        return held.launcher == self.orders.launcher

    def _look_at(self, cell: Cell) -> None:
        if self.orders.over(cell):
            try:
                record = read_record(cell)
            except RecordError:
                return  # whoever claims the cell puts it aside
            if record:
                self._finish(record)
            return
        held = read_claim(cell.folder)
        if held and self._ours(held) and held != self._last.get(cell.id):
            self._last[cell.id] = held
            self.hear(Tick(cell.id, held.step, held.total, held.loss, held.rate))

    def _begin(self, cell: Cell) -> None:
        if cell.id not in self._begun:
            self._begun.add(cell.id)
            self.listener.started(cell)

    def _finish(self, record: Record) -> None:
        cell = self.left.pop(record.id, None)
        if cell:
            self._begin(cell)
            self.listener.finished(record)
