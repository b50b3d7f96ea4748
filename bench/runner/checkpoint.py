"""Checkpoints: the whole state of an unfinished run, replaced only by a whole newer one."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from bench.results.compare import describe_mismatch, flatten
from bench.system.files import atomic_file, cannot_read

FORMAT = 2


class CheckpointError(Exception):
    """A checkpoint cannot be gone on from: one sentence saying why."""


def save_checkpoint(path: Path, identity: Mapping[str, Any], state: dict[str, Any]) -> None:
    """Write `state` for the cell of that identity; the previous one stays until it is whole.

    Raises RecordError when the disk is full or the folder not writable.
    """
    content = {"format": FORMAT, "identity": dict(flatten(identity)), "state": state}
    with atomic_file(path, "wb") as stream:
        try:
            torch.save(content, stream)
        except RuntimeError as error:
            # torch's own complaint about a half-written archive hides the disk's
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def load_checkpoint(path: Path, identity: Mapping[str, Any]) -> dict[str, Any] | None:
    """Read a checkpoint into the CPU's memory (random states must be there), or None if none is.

    One that is torn, foreign or of another cell raises CheckpointError, naming the file and, if it
    is another cell's, in what the two differ. One that the disk does not hand out: CannotRead.
    """
    try:
        content = _read(path)
        made_as, theirs = content["format"], dict(content["identity"])
        state: dict[str, Any] = content["state"]
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise cannot_read(path, error) from error
    except Exception as error:
        raise CheckpointError(
            f"{path} is not a whole checkpoint ({type(error).__name__})"
        ) from error
    if made_as != FORMAT:
        raise CheckpointError(f"{path} is a checkpoint of format {made_as}, not {FORMAT}")
    if differing := describe_mismatch(theirs, dict(flatten(identity))):
        raise CheckpointError(f"{path} belongs to another run: it differs in {differing}")
    return state


def _read(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()  # torch does not look at the checksums
    if damaged is not None:
        raise zipfile.BadZipFile(damaged)
    content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return content
