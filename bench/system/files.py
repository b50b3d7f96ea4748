"""Atomic files: there whole or not at all, on local disks and on network folders alike.

A file is written under a temporary name in its own folder, fsynced, renamed, and its folder
fsynced: a reader never sees half of one, and what was there before stays until the new one is
whole. No file is ever locked.
"""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any


class RecordError(Exception):
    """A record cannot be read or written: one sentence naming the file."""


class CannotRead(RecordError):
    """The disk does not hand a file out, which may be whole for all that is known."""


def cannot_write(path: Path, error: OSError) -> RecordError:
    """Build the error for a file that the disk did not take."""
    return RecordError(f"cannot write {path}: {error.strerror or error}; {_way_out(path, error)}")


def cannot_read(path: Path, error: OSError) -> CannotRead:
    """Build the error for a file that the disk does not hand out."""
    return CannotRead(f"cannot read {path}: {error.strerror or error}; {_way_out(path, error)}")


def _way_out(path: Path, error: OSError) -> str:
    if error.errno == errno.EROFS:
        return f"the disk is read-only: {_ELSEWHERE}"
    if error.errno == errno.ENOTDIR:
        return f"a part of this path is a file, not a folder: {_ELSEWHERE}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            f"it is {_owner(path)}'s: have the folder shared (chmod -R g+rwX, and umask 002 for "
            f"what is to come), or {_ELSEWHERE}"
        )
    return f"free space or {_ELSEWHERE}"


_ELSEWHERE = "choose another folder (--results, or --out where there is one)"


def _owner(path: Path) -> str:
    """Name whose the file is, or the nearest folder above it that can be looked at."""
    for place in (path, *path.parents):
        try:
            return place.owner()
        except KeyError:
            return f"user {place.stat().st_uid}"
        except OSError:
            continue
    return "somebody else"


@contextmanager
def atomic_file(path: Path, mode: str = "w", *, replace: bool = True) -> Iterator[IO[Any]]:
    """Open a temporary file that becomes `path` on success: fsynced, renamed; removed on any error.

    Without `replace`, a file that is there by then stays as it is. Raises RecordError naming the
    file when the folder is not writable or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        make_folder(path.parent)
        # as any new file, it may be read and written by whom the umask says: folders are shared
        encoding = None if "b" in mode else "utf-8"
        with temporary.open(mode.replace("w", "x"), encoding=encoding) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        if replace or not _link_new(temporary, path):
            temporary.replace(path)
        _fsync_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        with suppress(OSError):  # what kept it from being written may keep it from being removed
            temporary.unlink()


def _link_new(temporary: Path, path: Path) -> bool:
    """Give a file its name unless the name is taken; False where the disk knows no hard links."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return True
    except OSError:
        return path.exists()
    return True


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, durably: a file is lost with the folder that it is in."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for place in missing:
        _fsync_folder(place.parent)


def _fsync_folder(folder: Path) -> None:
    """Make a rename durable; some network file systems refuse, and lose nothing by it."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        return
    finally:
        os.close(handle)


def check_writable(results: Path) -> None:
    """Raise RecordError at once if nothing can be written to the results folder."""
    with atomic_file(results / "runs" / ".writable") as stream:
        stream.write("")
    (results / "runs" / ".writable").unlink(missing_ok=True)


def quarantine(path: Path, why: str = "bad") -> Path:
    """Rename a file so that nothing is lost, to `NAME.WHY-1` and so on; returns its new name."""
    number = 1
    while (aside := path.with_name(f"{path.name}.{why}-{number}")).exists():
        number += 1
    try:
        return path.replace(aside)
    except OSError as error:
        raise cannot_write(aside, error) from error


def remove_temporary_files(folder: Path) -> None:
    """Remove what a killed process left half-written in a cell's folder.

    Only for whoever has claimed the cell: nobody else's drafts lie there.
    """
    names = (
        "record.json",
        "checkpoint.pt",
        "predictions.npz",
        "pseudo_labels.npz",
        "history.jsonl",
        "weights.safetensors",
    )
    for draft in (path for name in names for path in folder.glob(f".{name}.*.tmp")):
        draft.unlink(missing_ok=True)
