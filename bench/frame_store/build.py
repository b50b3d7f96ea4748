"""Building a frame store: decode what is missing, copy what is cached, retry what was unreadable.

Whoever has an opened store may go on reading it during a retry: nothing is overwritten. A retry
that gains a frame writes row files of the next generation, mostly by copying; the manifest then
names these, and the old ones are removed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import accumulate

from .decode import DecodeJob, run_jobs
from .files import FrameStoreError, SequenceEntry, build_lock, store_errors
from .layout import (
    CachedSequence,
    StoreLayout,
    StoreManifest,
    cached_sequences,
    read_manifest,
    row_files,
    write_manifest,
)

OnProgress = Callable[[int, int], None]
"""Takes the frames done so far and the frames there are."""


def build(
    site: StoreLayout, workers: int, progress: OnProgress, *, retry: bool = False
) -> StoreManifest:
    """Decode what is missing, write the manifest, return what became of every sequence, in order.

    `retry` gives images that could not be read another chance. Waits while another process builds
    the same store. A store without one readable frame is not kept. Raises FrameStoreError.
    """
    with build_lock(
        site.path, lambda: progress(_frames_done(site, site.journal.read()), site.rows)
    ):
        finished, _ = read_manifest(site)
        if finished is None:
            with store_errors(site.path):
                site.manifest.unlink(missing_ok=True)
                _remove_old_rows(site)
            return _fill(site, _cached_elsewhere(site), workers, progress)
        return _retry(finished, workers, progress) if retry else finished


def _cached_elsewhere(site: StoreLayout) -> dict[str, CachedSequence]:
    """Find what other stores of this dataset, crop and size hold already."""
    family = site.path.name.rpartition("-")[0] + "-"
    folders = [
        folder
        for folder in sorted(site.path.parent.iterdir())
        if folder.name.startswith(family) and folder != site.path
    ]
    return cached_sequences(folders, frozenset(site.keys))


def _fill(
    site: StoreLayout, donors: Mapping[str, CachedSequence], workers: int, progress: OnProgress
) -> StoreManifest:
    journal = site.journal
    with store_errors(site.path):
        done = _prepare(site)
    before = _frames_done(site, done)

    def keep(built: SequenceEntry) -> None:
        with store_errors(site.path):
            journal.add(built)
        done[built.name] = built

    missing = [job for job in _jobs(site, donors) if job.sequence.name not in done]
    run_jobs(missing, workers, lambda count: progress(before + count, site.rows), keep)
    decoded = sum(len(job.sequence.frames) for job in missing if job.donor is None)
    finished = StoreManifest(site, [done[sequence.name] for sequence in site.sequences], decoded)
    with store_errors(site.path):
        if sum(len(built.left_out) for built in finished.sequences) < site.rows:
            write_manifest(finished)
        journal.clear()
    return finished


def _prepare(site: StoreLayout) -> dict[str, SequenceEntry]:
    """Make the row files, and return the sequences that an interrupted build left finished."""
    if not (site.frames.is_whole() and site.crops.is_whole()):
        site.journal.clear()
        site.frames.create()
        site.crops.create()
    done = site.journal.read()
    needed = (site.rows - _frames_done(site, done)) * site.size**2 * 3
    free = shutil.disk_usage(site.path).free
    if needed > free:
        raise FrameStoreError(
            f"{site.path}: the frame store needs {needed / 1e6:,.1f} MB more and "
            f"{free / 1e6:,.1f} MB are free; free space or choose another folder with --cache"
        )
    return done


def _jobs(site: StoreLayout, donors: Mapping[str, CachedSequence]) -> list[DecodeJob]:
    starts = accumulate((len(sequence.frames) for sequence in site.sequences), initial=0)
    return [
        DecodeJob(sequence, start, site.crop, site.frames, site.crops, key, donors.get(key))
        for sequence, key, start in zip(site.sequences, site.keys, starts, strict=False)
    ]


def _frames_done(site: StoreLayout, done: Mapping[str, SequenceEntry]) -> int:
    """Count the frames of the finished sequences."""
    return sum(len(s.frames) for s in site.sequences if s.name in done)


def _retry(finished: StoreManifest, workers: int, progress: OnProgress) -> StoreManifest:
    """Read the sequences anew that lack frames, aside; only if one is gained the store changes."""
    old = finished.site
    lacking = [index for index, built in enumerate(finished.sequences) if built.left_out]
    if not lacking:
        return finished
    aside = replace(
        old,
        path=old.path / "retry",
        sequences=tuple(old.sequences[index] for index in lacking),
        keys=tuple(old.keys[index] for index in lacking),
        generation=0,
    )
    with store_errors(aside.path):
        shutil.rmtree(aside.path, ignore_errors=True)
        aside.path.mkdir()
    tried = _fill(aside, {}, workers, progress)
    before = [finished.sequences[index].left_out for index in lacking]
    if [built.left_out for built in tried.sequences] != before:
        donors = _rows_of(finished) | _rows_of(tried)
        finished = _next_generation(old, donors, workers, progress)
    with store_errors(aside.path):
        shutil.rmtree(aside.path)
    return replace(finished, decoded=tried.decoded)


def _rows_of(finished: StoreManifest) -> dict[str, CachedSequence]:
    site = finished.site
    return {
        key: CachedSequence(built, site.frames, site.crops)
        for key, built in zip(site.keys, finished.sequences, strict=True)
    }


def _next_generation(
    old: StoreLayout, donors: Mapping[str, CachedSequence], workers: int, progress: OnProgress
) -> StoreManifest:
    new = replace(old, generation=old.generation + 1)
    with store_errors(new.path):
        new.journal.clear()
    finished = _fill(new, donors, workers, progress)
    with store_errors(new.path):
        _remove_old_rows(new)
    return finished


def _remove_old_rows(site: StoreLayout) -> None:
    """Remove row files of other generations; whoever has them open keeps reading them."""
    for file in set(site.path.glob("*.npy")).difference(row_files(site.path, site.generation)):
        file.unlink(missing_ok=True)
