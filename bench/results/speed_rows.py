"""Speed rows: what `bench speed` measured, one file each under `RESULTS/speed/`; free of torch.

Written by the command, read by `table complexity`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from bench.system.files import RecordError, atomic_file
from bench.system.hashing import digest

PARTS = ("end to end", "step", "loader", "bare loop", "inference")
"""What is timed: the training loop; it without the loading; the loading alone; the trunk with one
linear layer on as many frames; predictions of test frames."""


EVALUATED = 10_000
"""Test frames of the evaluation whose share of a run is told."""


@dataclass(frozen=True)
class Rate:
    """Samples a second: the median over repeats, and the least and the most of them."""

    median: float
    least: float
    most: float


@dataclass(frozen=True, kw_only=True)
class SpeedRow:
    """Size and speed of one method on one trunk, on one device."""

    method: str
    trunk: str
    preset: str
    size: int
    """Side of the square input, pixels."""
    batch: int
    """Clips in a batch."""
    frames_per_sample: float
    """Frames of a batch that go through the trunk, by clip."""
    parameters: int
    gflops_per_frame: float
    """Multiplications and additions (counted apart) to encode one frame, in 10^9."""
    gflops_per_sample: float | None = None
    """The same to train on one clip, forward and backward; None where nothing was timed."""
    bare_gflops_per_sample: float | None = None
    """The same of the bare loop."""
    rates: dict[str, Rate] = field(default_factory=dict)
    """By `PARTS`: clips a second; of `inference`, frames. Empty where only sizes were asked."""
    budget_steps: int = 0
    """Steps of a training of the preset; 0 where it counts in epochs."""
    warm_up_seconds: float = 0.0
    """The first steps: allocations, choice of kernels, and compilation where there is any."""
    peak_memory_mib: float | None = None
    """Of the GPU's memory; None on a processor."""
    precision: str = "float32"
    compiled: bool = False
    frames_in: str = "host"
    """Whose memory the frames lie in: the `host`'s, or the `device`'s."""
    environment: dict[str, Any] = field(default_factory=dict)

    @property
    def share_of_bare(self) -> float | None:
        """The training loop's rate, data included, as a share of the bare loop's."""
        return self._of_bare("end to end")

    @property
    def step_share_of_bare(self) -> float | None:
        """The rate of the step alone as a share of the bare loop's."""
        return self._of_bare("step")

    @property
    def step_share_of_arithmetic(self) -> float | None:
        """Operations a second of the step alone as a share of the bare loop's."""
        share, own, bare = (
            self._of_bare("step"),
            self.gflops_per_sample,
            self.bare_gflops_per_sample,
        )
        return share * own / bare if share and own and bare else None

    def _of_bare(self, part: str) -> float | None:
        rate, bare = self.rates.get(part), self.rates.get("bare loop")
        return rate.median / bare.median if rate and bare else None

    @property
    def share_of_evaluation(self) -> float | None:
        """What predicting `EVALUATED` test frames once takes of a run of the preset's steps."""
        whole, tested = self.rates.get("end to end"), self.rates.get("inference")
        if not (whole and tested and self.budget_steps):
            return None
        training = self.budget_steps * self.batch / whole.median
        evaluation = EVALUATED / tested.median
        return evaluation / (training + evaluation)


def save_row(results: Path, row: SpeedRow) -> Path:
    """Write a row; one of the same method, trunk, input and device takes the old one's place."""
    environment = row.environment.get("device", "unknown")
    what = (row.method, row.trunk, row.preset, row.size, row.batch)
    how = (row.precision, row.compiled, row.frames_in, environment)
    place = digest([*what, *how])[:10]
    name = f"{row.method.replace(':', '-')}-{row.trunk.replace('/', '-')}-{row.size}-{place}"
    path = results / "speed" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        file.write(json.dumps(asdict(row), indent=1) + "\n")
    return path


def read_rows(results: Path) -> list[SpeedRow]:
    """Read all rows, sorted by device, trunk, and method; raises RecordError for a broken file."""
    rows = [_read(path) for path in sorted((results / "speed").glob("*.json"))]
    return sorted(rows, key=lambda row: (row.environment.get("device", ""), row.trunk, row.method))


def _read(path: Path) -> SpeedRow:
    known = {item.name for item in fields(SpeedRow)}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        rates = {name: Rate(**rate) for name, rate in values.pop("rates").items()}
        return SpeedRow(rates=rates, **{k: v for k, v in values.items() if k in known})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordError(f"{path} is not a readable speed row ({error})") from error
