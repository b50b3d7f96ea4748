"""Errors that the command line turns into one sentence; any other is a bug and shows itself."""

from __future__ import annotations

from bench.config import UsageError
from bench.executors._base import ExecutorError
from bench.files import RecordError
from bench.frames import FrameStoreError
from bench.report import ReportError
from datasets._base import DatasetError
from methods._base import MethodError

EXPECTED = (
    UsageError,
    DatasetError,
    MethodError,
    FrameStoreError,
    RecordError,
    ReportError,
    ExecutorError,
)
