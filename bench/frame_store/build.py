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
    CachedRows,
    StoreLayout,
    cached_sequences,
    read_manifest,
    row_files,
    write_manifest,
)

OnProgress = Callable[[int, int], None]
"""Takes the frames done so far and the frames there are."""


def build(
    layout: StoreLayout, workers: int, progress: OnProgress, *, retry: bool = False
) -> StoreLayout:
    """Decode what is missing, write the manifest, return the layout with its entries.

    `retry` gives images that could not be read another chance. Waits while another process builds
    the same store. A store without one readable frame is not kept. Raises FrameStoreError.
    """
    with build_lock(
        layout.path, lambda: progress(_frames_done(layout, layout.journal.read()), layout.rows)
    ):
        built, _ = read_manifest(layout)
        if built is None:
            with store_errors(layout.path):
                layout.manifest_file.unlink(missing_ok=True)
                _remove_old_rows(layout)
            return _fill(layout, _cached_elsewhere(layout), workers, progress)
        return _retry(built, workers, progress) if retry else built


def _cached_elsewhere(layout: StoreLayout) -> dict[str, CachedRows]:
    """Find what other stores of this dataset, crop and size hold already."""
    family = layout.path.name.rpartition("-")[0] + "-"
    folders = [
        folder
        for folder in sorted(layout.path.parent.iterdir())
        if folder.name.startswith(family) and folder != layout.path
    ]
    return cached_sequences(folders, frozenset(layout.keys))


def _fill(
    layout: StoreLayout, cached: Mapping[str, CachedRows], workers: int, progress: OnProgress
) -> StoreLayout:
    journal = layout.journal
    with store_errors(layout.path):
        done = _prepare(layout)
    before = _frames_done(layout, done)

    def keep(entry: SequenceEntry) -> None:
        with store_errors(layout.path):
            journal.add(entry)
        done[entry.name] = entry

    missing = [job for job in _jobs(layout, cached) if job.sequence.name not in done]
    run_jobs(missing, workers, lambda count: progress(before + count, layout.rows), keep)
    decoded = sum(len(job.sequence.frames) for job in missing if job.cached is None)
    entries = tuple(done[sequence.name] for sequence in layout.sequences)
    built = replace(layout, entries=entries, decoded=decoded)
    with store_errors(layout.path):
        if sum(len(entry.left_out) for entry in entries) < layout.rows:
            write_manifest(built)
        journal.clear()
    return built


def _prepare(layout: StoreLayout) -> dict[str, SequenceEntry]:
    """Make the row files, and return the sequences that an interrupted build left finished."""
    if not (layout.frames.is_whole() and layout.crops.is_whole()):
        layout.journal.clear()
        layout.frames.create()
        layout.crops.create()
    keys = {sequence.name: key for sequence, key in zip(layout.sequences, layout.keys, strict=True)}
    found = layout.journal.read()
    done = {name: entry for name, entry in found.items() if entry.key == keys.get(name)}
    needed = (layout.rows - _frames_done(layout, done)) * layout.size**2 * 3
    free = shutil.disk_usage(layout.path).free
    if needed > free:
        raise FrameStoreError(
            f"{layout.path}: the frame store needs {needed / 1e6:,.1f} MB more and "
            f"{free / 1e6:,.1f} MB are free; free space or choose another folder with --cache"
        )
    return done


def _jobs(layout: StoreLayout, cached: Mapping[str, CachedRows]) -> list[DecodeJob]:
    starts = accumulate((len(sequence.frames) for sequence in layout.sequences), initial=0)
    return [
        DecodeJob(sequence, start, layout.crop, layout.frames, layout.crops, key, cached.get(key))
        for sequence, key, start in zip(layout.sequences, layout.keys, starts, strict=False)
    ]


def _frames_done(layout: StoreLayout, done: Mapping[str, SequenceEntry]) -> int:
    """Count the frames of the finished sequences."""
    return sum(len(s.frames) for s in layout.sequences if s.name in done)


def _retry(old: StoreLayout, workers: int, progress: OnProgress) -> StoreLayout:
    """Read the sequences anew that lack frames, aside; only if one is gained the store changes."""
    lacking = [index for index, entry in enumerate(old.entries) if entry.left_out]
    if not lacking:
        return old
    aside = replace(
        old,
        path=old.path / "retry",
        sequences=tuple(old.sequences[index] for index in lacking),
        keys=tuple(old.keys[index] for index in lacking),
        generation=0,
        entries=(),
    )
    with store_errors(aside.path):
        shutil.rmtree(aside.path, ignore_errors=True)
        aside.path.mkdir()
    tried, newest = _fill(aside, {}, workers, progress), old
    before = [old.entries[index].left_out for index in lacking]
    if [entry.left_out for entry in tried.entries] != before:
        cached = _rows_of(old) | _rows_of(tried)
        newest = _next_generation(old, cached, workers, progress)
    with store_errors(aside.path):
        shutil.rmtree(aside.path)
    return replace(newest, decoded=tried.decoded)


def _rows_of(built: StoreLayout) -> dict[str, CachedRows]:
    return {
        key: (entry, built.frames, built.crops)
        for key, entry in zip(built.keys, built.entries, strict=True)
    }


def _next_generation(
    old: StoreLayout, cached: Mapping[str, CachedRows], workers: int, progress: OnProgress
) -> StoreLayout:
    new = replace(old, generation=old.generation + 1, entries=())
    with store_errors(new.path):
        new.journal.clear()
    built = _fill(new, cached, workers, progress)
    with store_errors(new.path):
        _remove_old_rows(new)
    return built


def _remove_old_rows(layout: StoreLayout) -> None:
    """Remove row files of other generations; whoever has them open keeps reading them."""
    for file in set(layout.path.glob("*.npy")).difference(
        row_files(layout.path, layout.generation)
    ):
        file.unlink(missing_ok=True)
