"""Launch: which executor carries out a grid, with how many slots; as `run` was asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from bench.errors import UsageError, pick
from bench.study.cell import Cell
from bench.system.environment import cpu_count, pick_device

from . import local
from .base import Listener
from .worker import LaunchSpec

EXECUTORS = ("local", "ray", "slurm")


@dataclass(frozen=True, kw_only=True)
class ExecutorConfig:
    """How a grid is carried out. Raises UsageError for options that do not go together."""

    executor: str = "local"
    device: str = "auto"
    workers: int = 0
    """Slots; 0 = one (or `slots_per_gpu`) a GPU, or one a processor core."""
    slots_per_gpu: int = 1
    address: str | None = None
    """Of a Ray cluster."""
    slurm: tuple[str, ...] = ()
    """KEY=VALUE for sbatch."""

    def __post_init__(self) -> None:
        pick("executor", self.executor, dict.fromkeys(EXECUTORS))
        if self.address and self.executor != "ray":
            raise UsageError("--address is a Ray cluster's: add --executor ray")
        if self.slurm and self.executor != "slurm":
            raise UsageError("--slurm is for --executor slurm: add it")
        if self.executor == "slurm" and not self.workers:
            raise UsageError("--executor slurm: say how many slots by --workers N")
        if self.executor == "slurm" and self.slots_per_gpu > 1:
            raise UsageError("--slots-per-gpu: SLURM gives an element whole GPUs; leave it out")
        if self.executor == "local":
            pick_device(self.device)

    @property
    def processes(self) -> int:
        """Processes for the work that this machine does before the first cell."""
        return self.slots if self.executor == "local" else cpu_count()

    @property
    def slots(self) -> int:
        """Slots that cells run on, as far as this machine can know."""
        if self.workers or self.executor != "local":
            return self.workers or cpu_count()
        if pick_device(self.device).type == "cuda":
            return torch.cuda.device_count() * self.slots_per_gpu
        return cpu_count()


def execute(
    cells: Sequence[Cell], listener: Listener, spec: LaunchSpec, config: ExecutorConfig
) -> None:
    """Carry out `cells` by the executor that was chosen.

    Raises RunStopped, RecordError (disk full), ExecutorError, and UsageError for a missing extra.
    """
    if config.executor == "ray":
        from . import ray

        ray.execute(
            cells,
            listener,
            spec,
            config.workers,
            slots_per_gpu=config.slots_per_gpu,
            address=config.address,
        )
    elif config.executor == "slurm":
        from . import slurm

        slurm.execute(cells, listener, spec, config.workers, options=config.slurm)
    elif config.slots == 1:
        local.execute_in_process(cells, listener, spec)
    else:
        local.execute(cells, listener, spec, config.slots)
