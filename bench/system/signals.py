"""Signals: other handlers for as long as a block runs; which signals a terminal sends to all."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

TERMINAL_SIGNALS = (signal.SIGINT, signal.SIGHUP)
"""Ctrl-C and a closed terminal: they reach a whole process group, and only the parent acts."""


@contextmanager
def handled(
    signs: Iterable[signal.Signals], handler: Callable[..., object] | signal.Handlers
) -> Iterator[None]:
    """Give signals another handler for as long as the block runs."""
    before = {sign: signal.signal(sign, handler) for sign in signs}
    try:
        yield
    finally:
        for sign, usual in before.items():
            signal.signal(sign, usual)
