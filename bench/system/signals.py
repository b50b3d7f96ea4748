"""Signals: other handlers for as long as a block runs; which signals a terminal sends to all."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

TERMINAL_SIGNALS = (signal.SIGINT, signal.SIGHUP)
"""Ctrl-C and a closed terminal: they reach a whole process group, and only the parent acts."""


@contextmanager
def kill_like_ctrl_c() -> Iterator[None]:
    """Let a plain `kill` or a closed terminal raise KeyboardInterrupt, as Ctrl-C does.

    What is ignored stays ignored (`nohup`).
    """
    signs = (signal.SIGTERM, signal.SIGHUP)
    usual = [sign for sign in signs if signal.getsignal(sign) is not signal.SIG_IGN]
    with handled(usual, signal.default_int_handler):
        yield


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
