"""Names: a point of the grid, a method with its variant, knobs without effect; for later wings.

Used by every wing from `data` on; imports neither torch nor numpy, for tables start without them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from bench.errors import UsageError

NOT_IDENTITY = {"checkpoint_minutes", "checkpoint_steps", "compile", "keep_weights"}
"""Knobs of `train` that change how a run is carried out and not what comes out of it."""

CEILING = "ceiling"
"""The runner's own control that learns from hidden labels: no method, and never ranked as one."""


@dataclass(frozen=True, order=True, kw_only=True)
class GridPoint:
    """Where in its grid a cell stands, whatever its method: what paired cells share."""

    ratio: float
    """Share of the coded frames that are labelled, in (0, 1]."""
    fold: int
    seed: int
    rule: str = "sparse"
    """How key frames are chosen: `sparse`, `contiguous` or `random`."""

    @classmethod
    def of(cls, cell: Mapping[str, Any]) -> Self:
        """Read it from a record's `cell`; raises KeyError naming what is missing."""
        return cls(
            ratio=float(cell["ratio"]),
            fold=int(cell["fold"]),
            seed=int(cell["seed"]),
            rule=str(cell["rule"]),
        )

    @property
    def ratio_text(self) -> str:
        """The ratio in its one spelling: part of a cell's id and of its random streams."""
        return spell_ratio(self.ratio)


def spell_ratio(ratio: float) -> str:
    """Write a label ratio in its one spelling: 0.1, 0.015, 1."""
    return f"{ratio:.15g}"


def parse_ratio(text: str) -> float:
    """Read a label ratio; raises UsageError outside (0, 1]."""
    try:
        ratio = float(text)
    except ValueError:
        ratio = 0.0
    if not 0 < ratio <= 1:
        raise UsageError(
            f"label ratio '{text}' is outside (0, 1]: 0.05 means 5 % of the coded frames"
        )
    return float(spell_ratio(ratio))


@dataclass(frozen=True, order=True)
class MethodName:
    """A method as it is asked for: its own name and, where wanted, that of a variant."""

    base: str
    variant: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `ks` or `ks:no_skd`."""
        base, colon, variant = text.partition(":")
        return cls(base, variant if colon else None)

    def __str__(self) -> str:
        """Spell it as it is typed."""
        return self.base if self.variant is None else f"{self.base}:{self.variant}"
