"""Kept weights: which cells have them beside their records, what they take, and their removal.

Used by `status` and `prune`; what is in the files is `bench/runner/weights.py`'s matter.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bench.errors import UsageError
from bench.system.files import cannot_write

WEIGHTS = "weights.safetensors"
"""The file's name in a cell's folder."""


@dataclass(frozen=True)
class KeptWeights:
    """The trained weights of one cell, as a file."""

    path: Path
    size: int
    """Bytes."""

    @property
    def cell(self) -> str:
        """The cell's id."""
        return self.path.parent.name


def kept_weights(results: Path) -> list[KeptWeights]:
    """Find all kept weights in a results folder, by cell."""
    found = []
    for path in sorted(results.glob(f"runs/*/{WEIGHTS}")):
        try:
            found.append(KeptWeights(path, path.stat().st_size))
        except FileNotFoundError:  # another process has just removed it
            continue
    return found


def weights_of(results: Path, names: Iterable[str]) -> list[KeptWeights]:
    """Return the kept weights of the cells whose ids begin with one of `names`; none named: all.

    Raises UsageError for a name that no cell with kept weights begins with.
    """
    everything, wanted = kept_weights(results), tuple(names)
    for name in wanted:
        if not any(kept.cell.startswith(name) for kept in everything):
            raise UsageError(f"no cell in {results / 'runs'} that begins with '{name}' has weights")
    return [kept for kept in everything if not wanted or kept.cell.startswith(wanted)]


def remove_weights(kept: KeptWeights) -> None:
    """Remove a cell's weights; its record and predictions stay. Raises RecordError."""
    try:
        kept.path.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(kept.path, error) from error


def describe_size(size: int) -> str:
    """Spell bytes as people do: `3.2 MB`."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"
