"""Files of a frame store under construction: row files, journal and lock.

Rows are written with plain writes, never through a memory map: on a full disk a write is an error
that can be told, a map is a killed process. All of it may be repeated, so that two builders who
cannot see each other's lock write the same bytes to the same places and do no harm.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from bench.system.files import RecordError


class FrameStoreError(RecordError):
    """The frame store cannot be built or opened: one sentence naming the folder and what to do."""


@dataclass(frozen=True)
class SequenceEntry:
    """What became of one sequence; a line of the journal, and later of the manifest."""

    name: str
    start: int
    """Row of its first stored frame."""
    pixels: str
    """SHA-256 of its stored frames."""
    left_out: tuple[tuple[int, str], ...]
    """Frames (0-based in the sequence) that are not stored, and the sentence that says why."""
    centred: bool
    doubtful: int
    """As in `bench/frame_store/crop.py: CropPlan`."""
    key: str = ""
    """Hash of all that its pixels depend on: other stores in the cache are searched for it."""
    remarks: tuple[str, ...] = ()
    """Sentences of its source about files that a person should look at."""


def entry_from_json(values: dict[str, Any]) -> SequenceEntry:
    """Read an entry back from JSON; raises KeyError, TypeError or ValueError if it is none."""
    left_out = tuple((int(index), str(why)) for index, why in values["left_out"])
    remarks = tuple(map(str, values.get("remarks", ())))
    return SequenceEntry(**{**values, "left_out": left_out, "remarks": remarks})


@contextmanager
def store_errors(path: Path) -> Iterator[None]:
    """Turn a failed write in the cache into one sentence: disk full, quota, not writable."""
    try:
        yield
    except FrameStoreError:
        raise
    except RecordError as error:
        cause = error.__cause__
        raise FrameStoreError(_advice(path, cause if cause is not None else error)) from error
    except OSError as error:
        raise FrameStoreError(_advice(path, error)) from error


def _advice(path: Path, error: BaseException) -> str:
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return (
        f"cannot write the frame store {path}: {why}; free space or choose another folder "
        "with --cache (what is finished is kept)"
    )


@dataclass(frozen=True)
class RowFile:
    """An .npy file of rows that are written in any order, by any process."""

    path: Path
    shape: tuple[int, ...]
    dtype: str

    @classmethod
    def found(cls, path: Path) -> RowFile:
        """Describe the row file at `path` by its header; raises OSError or ValueError."""
        with path.open("rb") as stream:
            np.lib.format.read_magic(stream)
            shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        return cls(path, shape, dtype.str)

    def create(self) -> None:
        """Give the file its header and full length, taking no space yet; rows stay as they are.

        Nothing is replaced: another builder may have it open.
        """
        header = {"descr": self.dtype, "fortran_order": False, "shape": self.shape}
        self.path.touch()
        with self.path.open("r+b") as stream:
            np.lib.format.write_array_header_1_0(stream, header)
            stream.truncate(stream.tell() + self._row_bytes * self.shape[0])

    def is_whole(self) -> bool:
        """Tell whether the file has this header and its full length."""
        try:
            with self.path.open("rb") as stream:
                begin = _data_offset(stream, self)
                return os.fstat(stream.fileno()).st_size == begin + self._row_bytes * self.shape[0]
        except (OSError, ValueError):
            return False

    def open(self) -> NDArray[Any]:
        """Map the file, read-only."""
        rows: NDArray[Any] = np.load(self.path, mmap_mode="r")
        return rows

    def rows(self, start: int, count: int) -> Iterator[NDArray[Any]]:
        """Read rows one after another, without a map that would count as this process's memory.

        Raises OSError, or ValueError if the file ends too soon.
        """
        with self.path.open("rb") as stream:
            stream.seek(_data_offset(stream, self) + start * self._row_bytes)
            for _ in range(count):
                row = np.frombuffer(stream.read(self._row_bytes), self.dtype)
                yield row.reshape(self.shape[1:])

    @contextmanager
    def writer(self) -> Iterator[Callable[[int, NDArray[Any]], None]]:
        """Give a function that writes one row; on leaving, all rows are on disk, not in a cache.

        Both raise FrameStoreError.
        """
        with store_errors(self.path):
            stream = self.path.open("r+b", buffering=0)
        with stream:
            begin = _data_offset(stream, self)

            def write(row: int, values: NDArray[Any]) -> None:
                left = memoryview(values.astype(self.dtype, copy=False).tobytes())
                with store_errors(self.path):
                    stream.seek(begin + row * self._row_bytes)
                    while len(left):
                        left = left[stream.write(left) :]

            yield write
            with store_errors(self.path):
                os.fsync(stream.fileno())

    @property
    def _row_bytes(self) -> int:
        return int(np.prod(self.shape[1:])) * np.dtype(self.dtype).itemsize


def _data_offset(stream: IO[bytes], file: RowFile) -> int:
    """Return where the rows begin; ValueError if the header is another array's."""
    version = np.lib.format.read_magic(stream)
    if version != (1, 0):
        raise ValueError(f"{file.path} has another format")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    if (shape, fortran, dtype) != (file.shape, False, np.dtype(file.dtype)):
        raise ValueError(f"{file.path} holds another array")
    return stream.tell()


class Journal:
    """The sequences whose frames are safely on disk, a line each, while the store is built."""

    def __init__(self, path: Path):
        self.path = path

    def read(self) -> dict[str, SequenceEntry]:
        """Return the finished sequences by name; a line that was cut short does not count."""
        entries: dict[str, SequenceEntry] = {}
        try:
            lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return entries
        for line in lines:
            try:
                entry = entry_from_json(json.loads(line))
            except (ValueError, KeyError, TypeError):
                continue
            entries[entry.name] = entry
        return entries

    def add(self, entry: SequenceEntry) -> None:
        """Write down a finished sequence; it begins a line of its own even after a cut one."""
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write("\n" + json.dumps(asdict(entry)))
            stream.flush()
            os.fsync(stream.fileno())

    def clear(self) -> None:
        """Forget all."""
        self.path.unlink(missing_ok=True)


@contextmanager
def build_lock(folder: Path, while_waiting: Callable[[], None]) -> Iterator[None]:
    """Make the folder and hold its lock; whoever comes second waits, calling `while_waiting`.

    The lock dies with its holder, so none is ever stale. Where the file system knows no locks
    both go on (see the module's docstring).
    """
    with store_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / "lock").open("a")
    with handle:
        while not _lock(handle):
            while_waiting()
            time.sleep(0.2)
        yield


def _lock(handle: IO[str]) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
