"""Errors that the command line turns into one sentence; any other is a bug and shows itself."""

from __future__ import annotations

import sys

EXPECTED = {
    "bench._store_files": "FrameStoreError",
    "bench.config": "UsageError",
    "bench.executors._base": "ExecutorError",
    "bench.files": "RecordError",
    "bench.report.table": "ReportError",
    "datasets._base": "DatasetError",
    "methods._base": "MethodError",
}


def expected() -> tuple[type[Exception], ...]:
    """Return the classes of errors that a person can do something about.

    One whose module was not imported was not raised, and importing it here could take longer (it
    may want torch) than what went wrong.
    """
    return tuple(
        getattr(sys.modules[module], name)
        for module, name in EXPECTED.items()
        if module in sys.modules
    )
