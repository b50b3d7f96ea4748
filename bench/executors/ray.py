"""Ray executor: workers as Ray actors, on this machine alone or on a cluster that is there.

Ray places long-lived actors and tells when one is gone; which cell runs where, it never learns.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bench
from bench.errors import UsageError
from bench.results.records import Record
from bench.runner.context import ProgressEvent
from bench.study.cell import Cell
from bench.system.threads import THREADS

from .base import ExecutorError, Listener
from .supervisor import WorkerHandle, supervise
from .worker import LaunchSpec, work_through

_OBJECT_STORE = 100 * 2**20
"""Bytes for objects that actors share: they share none, and Ray would take a third of memory."""

_CONNECT_TIMEOUT = 10.0
"""Seconds to wait for a cluster to answer."""


def execute(
    cells: Sequence[Cell],
    listener: Listener,
    spec: LaunchSpec,
    workers: int,
    *,
    slots_per_gpu: int = 1,
    address: str | None = None,
) -> None:
    """Carry out `cells` on `workers` actors; 0 = as many as the cluster has room for.

    Without an address (or RAY_ADDRESS), Ray is started on this machine and ended again. Raises
    RunStopped (after the running cells are saved), RecordError (disk full), ExecutorError, and
    UsageError if Ray is not installed.
    """
    ray = _ray()
    with _session(ray, address):
        share = _share(ray, spec.device, slots_per_gpu)
        count = min(workers or _slots_that_fit(ray, share), len(cells))
        supervise(cells, listener, spec, _ActorPool(ray, cells, spec, share), count)


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ModuleNotFoundError:
        raise UsageError(
            "--executor ray needs Ray: pip install -c constraints.txt -e '.[ray]'"
        ) from None
    return ray


@contextmanager
def _session(ray: Any, address: str | None) -> Iterator[None]:
    """Be connected to Ray for as long as the block runs; a connection that is there stays."""
    if ray.is_initialized():
        yield
        return
    quiet = {"log_to_driver": False, "logging_level": "WARNING"}
    address = address or os.environ.get("RAY_ADDRESS")
    _check_reachable(address)
    try:
        if address:
            ray.init(address=address, **quiet)
        else:
            memory = {"object_store_memory": _OBJECT_STORE, "include_dashboard": False}
            ray.init(address="local", **memory, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise ExecutorError(f"no connection to Ray at {address or 'this machine'}: {reason}") from (
            error
        )
    try:
        yield
    finally:
        ray.shutdown()


def _check_reachable(address: str | None) -> None:
    """Raise ExecutorError if nobody answers at HOST:PORT: Ray itself tries for minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_TIMEOUT).close()
    except (OSError, OverflowError) as error:
        raise ExecutorError(
            f"no connection to Ray at {address}: {error}; is the cluster up, and is this the "
            "address that `ray start --head` printed?"
        ) from error


def _share(ray: Any, device: str, slots_per_gpu: int) -> dict[str, float]:
    """Say what of a machine a slot takes: a part of a GPU where there are any, else a core."""
    has_gpu = ray.cluster_resources().get("GPU", 0) > 0
    if device.startswith("cuda") and not has_gpu:
        raise UsageError(f"--device {device}: Ray knows of no GPU; use --device cpu")
    if has_gpu and device != "cpu":
        return {"num_gpus": 1 / slots_per_gpu, "num_cpus": 0}
    return {"num_gpus": 0, "num_cpus": 1}


def _slots_that_fit(ray: Any, share: dict[str, float]) -> int:
    resources = ray.cluster_resources()
    if share["num_gpus"]:
        return int(resources["GPU"] / share["num_gpus"] + 0.5)
    return max(1, int(resources.get("CPU", 1)))


class _ActorPool:
    def __init__(self, ray: Any, cells: Sequence[Cell], spec: LaunchSpec, share: dict[str, float]):
        self.ray, self.spec = ray, spec
        self.cells = ray.put(list(cells))
        root = str(Path(bench.__file__).parents[1])
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        self.kind = ray.remote(_Worker).options(
            **share,
            max_concurrency=2,  # one to work, one to be asked to stop
            runtime_env={"env_vars": {**THREADS, "PYTHONPATH": path}},
        )
        self.handles: list[_ActorHandle] = []

    def start(self, slots: Sequence[str]) -> list[WorkerHandle]:
        started: list[_ActorHandle] = []
        for slot in slots:
            actor = self.kind.remote(str(Path.cwd()))
            done = actor.work.remote(self.cells, self.spec, slot)
            started.append(_ActorHandle(self.ray, slot, actor, done))
        self.handles += started
        return list(started)

    def wait(self, seconds: float, on_event: Callable[[ProgressEvent | Record], None]) -> None:  # noqa: ARG002
        self.handles = [handle for handle in self.handles if not handle.ended()]
        if self.handles:
            self.ray.wait([handle.done for handle in self.handles], timeout=seconds)
        else:
            time.sleep(seconds)


class _ActorHandle:
    def __init__(self, ray: Any, slot: str, actor: Any, done: Any):
        self.ray, self.slot, self.actor, self.done = ray, slot, actor, done

    def ended(self) -> bool:
        return bool(self.ray.wait([self.done], timeout=0)[0])

    def exception(self) -> Exception | None:
        try:
            self.ray.get(self.done)
        except self.ray.exceptions.RayTaskError as error:
            cause: Exception = error.cause
            return cause
        except self.ray.exceptions.RayError as error:
            return ExecutorError(str(error).partition("\n")[0])
        return None

    def stop(self) -> None:
        self.actor.stop.remote()

    def kill(self) -> None:
        self.ray.kill(self.actor)


class _Worker:
    """Lives in a process of Ray's, in the folder that the command was given in."""

    def __init__(self, folder: str):
        os.chdir(folder)
        self.stopping = False

    def work(self, cells: Sequence[Cell], spec: LaunchSpec, slot: str) -> None:
        work_through(cells, spec, slot, stop=lambda: self.stopping, emit=lambda _: None)

    def stop(self) -> None:
        self.stopping = True
