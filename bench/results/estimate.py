"""Estimate: how long cells take and how much memory, going by the records of others like them.

Used by `run` (`--dry-run`) and `status`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .records import Record

_LATEST = 20
"""Records that a guess goes by: the last ones, as they tell of the machines in use now."""

_Key = tuple[Any, ...]


@dataclass(frozen=True)
class Estimate:
    """What a set of cells will take."""

    seconds: float
    """Of all that could be guessed, on the given number of slots."""
    memory_mib: float
    """Peak of one slot: of the GPU, or of the process."""
    unknown: tuple[str, ...]
    """Methods of which no cell like these has finished yet."""

    def describe(self, slots: int) -> str:
        """Say it in a line, for so many slots."""
        time = f"{self.seconds / 60:.0f} min" if self.seconds > 90 else f"{self.seconds:.0f} s"
        if self.seconds > 7200:
            time = f"{self.seconds / 3600:.1f} h"
        memory = f", {self.memory_mib:,.0f} MiB each" if self.memory_mib else ""
        names = ", ".join(self.unknown) if len(self.unknown) < 5 else f"{len(self.unknown)} methods"
        rest = f"; without {names}, new here" if self.unknown else ""
        least = "at least" if self.unknown else "about"
        workers = f"{slots} worker" + "s" * (slots != 1)
        return f"{least} {time} on {workers}{memory}, going by earlier cells{rest}"


class Estimator:
    """Guesses by the finished cells of the same dataset, preset and method.

    Of those, the ones with the same trunk, frames and batch count, if there are any. The time of
    training is scaled by the work (steps, or epochs times labels), the rest is taken as it was.
    """

    def __init__(self, records: Iterable[Record]):
        self._like: dict[_Key, list[Record]] = defaultdict(list)
        finished = (record for record in records if "total" in record.seconds)
        for record in sorted(finished, key=lambda r: str(r.environment.get("finished", ""))):
            for kind in _keys(record.cell, record.config):
                self._like[kind].append(record)

    def seconds(self, cell: Mapping[str, Any], config: Mapping[str, Any]) -> float | None:
        """Return how long a cell takes from its start to its record, if there is one like it."""
        work = _work(cell, config)
        like = [_scaled(r, work / _work(r.cell, r.config)) for r in self._records(cell, config)]
        return sum(like) / len(like) if like else None

    def memory_mib(self, cell: Mapping[str, Any], config: Mapping[str, Any]) -> float:
        """Return the highest peak of the cells like it; 0 if there is none."""
        return max((r.peak_memory_mib for r in self._records(cell, config)), default=0.0)

    def _records(self, cell: Mapping[str, Any], config: Mapping[str, Any]) -> list[Record]:
        exact, rough = _keys(cell, config)
        return (self._like.get(exact) or self._like.get(rough) or [])[-_LATEST:]


def estimate(
    cells: Sequence[tuple[Mapping[str, Any], Mapping[str, Any], float]],
    records: Iterable[Record],
    slots: int,
) -> Estimate | None:
    """Guess what `cells`, each (place, config, share still to do), take on `slots` slots.

    None if there is nothing to go by.
    """
    guess, times, unknown = Estimator(records), [], set()
    for cell, config, share in cells:
        seconds = guess.seconds(cell, config)
        if seconds is None:
            unknown.add(str(cell["method"]))
        else:
            times.append(share * seconds)
    if not times:
        return None
    memory = max(guess.memory_mib(cell, config) for cell, config, _ in cells)
    spread = sum(times) / max(1, min(slots, len(cells)))
    return Estimate(max(spread, *times), memory, tuple(sorted(unknown)))


def _keys(cell: Mapping[str, Any], config: Mapping[str, Any]) -> tuple[_Key, _Key]:
    """Return what cells alike agree in: exactly, and roughly."""
    train, data = config.get("train", {}), config.get("data", {})
    budget = "steps" if train.get("steps") else "epochs"
    rough = (cell["dataset"], cell["preset"], cell["method"], budget)
    trunk = tuple(sorted(map(str, config.get("trunk", {}).items())))
    return (*rough, trunk, data.get("size"), train.get("batch_size")), rough


def _work(cell: Mapping[str, Any], config: Mapping[str, Any]) -> float:
    train = config.get("train", {})
    if train.get("steps"):
        return float(train["steps"]) * float(train.get("batch_size", 1))
    return float(train.get("epochs", 1)) * float(cell["ratio"])


def _scaled(record: Record, factor: float) -> float:
    train = record.seconds.get("train", record.seconds["total"])
    return record.seconds["total"] + (factor - 1) * train
