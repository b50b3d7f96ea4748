"""Checkpoints: the whole state of an unfinished run, replaced only by a whole newer one."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch

from .records import whole_file

FORMAT = 1


class CheckpointError(Exception):
    """A checkpoint cannot be gone on from: one sentence saying why."""


def save_checkpoint(path: Path, fingerprint: str, state: dict[str, Any]) -> None:
    """Write `state` for the cell of hash `fingerprint`; the previous one stays until it is whole.

    Raises RecordError when the disk is full or the folder not writable.
    """
    content = {"format": FORMAT, "fingerprint": fingerprint, "state": state}
    with whole_file(path, "wb") as stream:
        try:
            torch.save(content, stream)
        except RuntimeError as error:
            # torch's own complaint about a half-written archive hides the disk's
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def load_checkpoint(path: Path, fingerprint: str) -> dict[str, Any] | None:
    """Read a checkpoint into the CPU's memory (random states must be there), or None if none is.

    One that is torn, foreign or of another cell raises CheckpointError, naming the file.
    """
    if not path.exists():
        return None
    try:
        content = _read(path)
        fields = (content["format"], content["fingerprint"])
        state: dict[str, Any] = content["state"]
    except Exception as error:
        raise CheckpointError(
            f"{path} is not a whole checkpoint ({type(error).__name__})"
        ) from error
    if fields != (FORMAT, fingerprint):
        raise CheckpointError(f"{path} belongs to another run ({fields[1]}, not {fingerprint})")
    return state


def _read(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()  # torch does not look at the checksums
    if damaged is not None:
        raise zipfile.BadZipFile(damaged)
    content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return content


def set_aside(path: Path) -> Path:
    """Rename a file that cannot be used, so that nothing is lost; returns its new name."""
    number = 1
    while (aside := path.with_name(f"{path.name}.bad-{number}")).exists():
        number += 1
    path.replace(aside)
    return aside
