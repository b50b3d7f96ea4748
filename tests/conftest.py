"""What every test can count on."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Heed Ctrl-C even where a shell started the tests in the background, which turns it off.

    Tests that press Ctrl-C, on themselves and on what they start, would wait for nothing.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
