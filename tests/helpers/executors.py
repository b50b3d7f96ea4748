"""Which executors the tests may use: Ray and SLURM take minutes, and only run when asked for."""

from __future__ import annotations

import os

import pytest

ASKED = os.environ.get("AU_BENCH_EXECUTORS", "").split(",")


def needs(name: str) -> pytest.MarkDecorator:
    """Skip a test unless AU_BENCH_EXECUTORS names this executor."""
    reason = f"slow: AU_BENCH_EXECUTORS={name} includes it"
    return pytest.mark.skipif(name not in ASKED, reason=reason)
