"""Decoding in parallel: a job a sequence, each frame decoded and cropped once; used by build.py.

Workers are fresh processes (a fork would not survive torch's threads) that import neither torch
nor the command line. They end with their parent, however it ends.
"""

from __future__ import annotations

import hashlib
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from multiprocessing import current_process, get_context, parent_process
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event

import numpy as np
from numpy.typing import NDArray

from bench.system.threads import one_thread_each
from datasets._base import BrokenFrame, DatasetError, FrameSource, Sequence

from .crop import CropPlan, plan_crops, sufficient_side, warp
from .files import FrameStoreError, RowFile, SequenceEntry
from .layout import CachedRows, copy_rows


@dataclass(frozen=True)
class DecodeJob:
    """One sequence to decode into the store's files from row `start` on."""

    sequence: Sequence
    start: int
    crop: str
    frames: RowFile
    """(N, S, S, 3) uint8"""
    crops: RowFile
    """(N, 2, 3) float64: each stored frame's transform, source pixels to unit square."""
    key: str = ""
    cached: CachedRows | None = None
    """Where the same rows lie already, if anywhere."""


class BuildStopped(Exception):
    """The build was given up while a job was at work."""


def build_sequence(job: DecodeJob, tick: Callable[[], None]) -> SequenceEntry:
    """Decode, crop and store a sequence's readable frames; `tick` is called before every frame.

    Raises FrameStoreError if the rows cannot be written.
    """
    if job.cached is not None and (taken := _copied_from_cache(job, job.cached, tick)) is not None:
        return taken
    source = job.sequence.source
    try:
        sizes = frame_sizes(source)
    except (DatasetError, OSError) as error:
        return _unreadable(job, str(error), tick)
    plan = plan_crops(job.sequence, job.crop, sizes)
    pixels, left_out = _store_frames(job, plan, sizes, tick)
    remarks = list(getattr(source, "remarks", list)())
    if plan.alone:
        what = "no face is known in them, nor in another of their size"
        remarks.append(f"centre crop for {plan.alone} of {len(sizes)} frames: {what}")
    return SequenceEntry(
        job.sequence.name,
        job.start,
        pixels,
        left_out,
        plan.centred,
        plan.doubtful,
        job.key,
        tuple(remarks),
    )


def _copied_from_cache(
    job: DecodeJob, cached: CachedRows, tick: Callable[[], None]
) -> SequenceEntry | None:
    total = len(job.sequence.frames)
    stored = total - len(cached[0].left_out)
    taken = copy_rows(cached, stored, job.start, job.frames, job.crops)
    if taken is None:
        return None
    for _ in range(total):
        tick()
    # the same pictures may belong to a recording of another name there: corrected, or renamed
    return replace(taken, name=job.sequence.name, key=job.key)


def _unreadable(job: DecodeJob, why: str, tick: Callable[[], None]) -> SequenceEntry:
    left_out = []
    for index in range(len(job.sequence.frames)):
        tick()
        left_out.append((index, why))
    reasons = tuple(left_out)
    return SequenceEntry(
        job.sequence.name, job.start, "", reasons, centred=False, doubtful=0, key=job.key
    )


def _store_frames(
    job: DecodeJob, plan: CropPlan, sizes: NDArray[np.int64], tick: Callable[[], None]
) -> tuple[str, tuple[tuple[int, str], ...]]:
    """Write the sequence's rows without a gap; return their SHA-256 and the frames left out."""
    side = job.frames.shape[1]
    digest, row, left_out = hashlib.sha256(), job.start, []
    frames = padded_frames(job.sequence.source, sufficient_side(plan, side, sizes))
    with job.frames.writer() as write_frame, job.crops.writer() as write_crop:
        for index, frame in enumerate(frames):
            tick()
            if isinstance(frame, BrokenFrame):
                left_out.append((index, f"{frame.name}: {frame.why}"))
                continue
            height, width = sizes[index].tolist()
            crop = warp(frame, plan.transforms[index], side, (height, width))
            write_frame(row, crop)
            write_crop(row, plan.transforms[index])
            digest.update(crop.tobytes())
            row += 1
    return digest.hexdigest(), tuple(left_out)


def frame_sizes(source: FrameSource) -> NDArray[np.int64]:
    """Return each frame's (height, width), (T, 2); raises what `FrameSource.size` does."""
    return np.broadcast_to(np.asarray(source.size(), np.int64), (len(source), 2))


def padded_frames(source: FrameSource, min_side: int) -> Iterator[NDArray[np.uint8] | BrokenFrame]:
    """Yield exactly len(source) frames: what a source gives up on, or lacks, is broken."""
    count, why = 0, "the recording ends before it"
    try:
        for frame in islice(source.read(min_side), len(source)):
            count += 1
            yield frame
    except (DatasetError, OSError) as error:
        why = str(error)
    for index in range(count, len(source)):
        yield BrokenFrame(f"frame {index + 1} of {len(source)}", why)


def run_jobs(
    jobs: list[DecodeJob],
    workers: int,
    decoded: Callable[[int], None],
    keep: Callable[[SequenceEntry], None],
) -> None:
    """Run jobs, in `workers` processes (one: in this process).

    `decoded` is told the frames done so far a few times a second; `keep` gets every result.
    Raises FrameStoreError; on any exception, Ctrl-C included, the workers stop within a frame.
    """
    workers = min(workers, len(jobs))
    if workers <= 1 or current_process().daemon:  # a daemon may not have children
        _run_here(jobs, decoded, keep)
        return
    context = get_context("spawn")
    count, stop = context.Value("q", 0), context.Event()
    pool = ProcessPoolExecutor(workers, context, _start_worker, (count, stop))
    try:
        with _ctrl_c_blocked(), one_thread_each():
            pending = {pool.submit(_run_job, job) for job in jobs}
        while pending:
            over, pending = wait(pending, timeout=0.25, return_when=FIRST_COMPLETED)
            decoded(count.value)
            _collect(over, keep)
    except BrokenProcessPool as error:
        raise FrameStoreError(
            f"{jobs[0].frames.path.parent}: a process that was decoding frames died (out of "
            "memory, or killed); run again to go on from there, with fewer workers"
        ) from error
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


@contextmanager
def _ctrl_c_blocked() -> Iterator[None]:
    """Let processes that are started meanwhile never see Ctrl-C, which is their parent's to handle.

    They inherit the mask, so that not even their start-up is interrupted (with a traceback each).
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _run_here(
    jobs: Iterable[DecodeJob],
    decoded: Callable[[int], None],
    keep: Callable[[SequenceEntry], None],
) -> None:
    count = 0

    def tick() -> None:
        nonlocal count
        decoded(count)
        count += 1

    for job in jobs:
        keep(build_sequence(job, tick))
    decoded(count)


def _collect(over: set[Future[SequenceEntry]], keep: Callable[[SequenceEntry], None]) -> None:
    """Hand over all that succeeded before the first failure is raised: none of it is lost."""
    for future in sorted(over, key=lambda future: future.exception() is not None):
        keep(future.result())


def _no_tick() -> None:
    raise AssertionError("this process is no worker")


_tick: Callable[[], None] = _no_tick


def _start_worker(count: Synchronized[int], stop: Event) -> None:
    """Prepare a worker process: it counts its frames, and ends when it should."""
    global _tick
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def tick() -> None:
        if stop.is_set():
            raise BuildStopped
        with count.get_lock():
            count.value += 1

    _tick = tick


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run_job(job: DecodeJob) -> SequenceEntry:
    return build_sequence(job, _tick)
