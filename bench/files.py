"""Files that are there whole or not at all, on local disks and on network folders alike.

A file is written under a temporary name in its own folder, fsynced, renamed, and its folder
fsynced: a reader never sees half of one, and what was there before stays until the new one is
whole. No file is ever locked.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


class RecordError(Exception):
    """A record cannot be read or written: one sentence naming the file."""


def cannot_write(path: Path, error: OSError) -> RecordError:
    """Build the error for a file that the disk did not take."""
    why = error.strerror or error
    return RecordError(f"cannot write {path}: {why}; free space or change --results")


@contextmanager
def whole_file(path: Path, mode: str = "w", *, replace: bool = True) -> Iterator[IO[Any]]:
    """Open a temporary file that becomes `path` on success: fsynced, renamed; removed on any error.

    Without `replace`, a file that is there by then stays as it is. Raises RecordError naming the
    file when the folder is not writable or the disk is full.
    """
    temporary: str | None = None
    try:
        make_folder(path.parent)
        handle, temporary = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"
        )
        with os.fdopen(handle, mode, encoding=None if "b" in mode else "utf-8") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o644)
        if replace or not _put_new(Path(temporary), path):
            Path(temporary).replace(path)
        _fsync_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def _put_new(temporary: Path, path: Path) -> bool:
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
    with whole_file(results / "runs" / ".writable") as stream:
        stream.write("")
    (results / "runs" / ".writable").unlink(missing_ok=True)


def set_aside(path: Path, why: str = "bad") -> Path:
    """Rename a file so that nothing is lost, to `NAME.WHY-1` and so on; returns its new name."""
    number = 1
    while (aside := path.with_name(f"{path.name}.{why}-{number}")).exists():
        number += 1
    try:
        return path.replace(aside)
    except OSError as error:
        raise cannot_write(aside, error) from error


def remove_drafts(folder: Path) -> None:
    """Remove what a killed process left half-written in a cell's folder.

    Only for whoever has claimed the cell: nobody else's drafts lie there.
    """
    names = ("record.json", "checkpoint.pt", "predictions.npz", "history.jsonl")
    for draft in (path for name in names for path in folder.glob(f".{name}.*.tmp")):
        draft.unlink(missing_ok=True)
