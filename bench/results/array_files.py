"""Files of arrays (`.npz`): a dataclass whose fields are arrays, written compressed and read whole.

Used by predictions and pseudo labels.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import numpy as np

from bench.system.files import RecordError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Arrays = TypeVar("Arrays", bound="DataclassInstance")


def save_arrays(found: DataclassInstance, stream: IO[Any]) -> None:
    """Write the fields, compressed; what is None is left out."""
    named = {item.name: getattr(found, item.name) for item in fields(found)}
    np.savez_compressed(stream, **{k: v for k, v in named.items() if v is not None})


def read_arrays(
    path: Path, kind: type[Arrays], check: Callable[[Arrays], None], what: str
) -> Arrays | None:
    """Read a cell's file; None if there is none. `check` raises ValueError for what does not fit.

    Raises RecordError, saying that the file holds no readable `what`, if it is not a whole one.
    """
    names = [item.name for item in fields(kind)]
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            found: dict[str, Any] = {name: stored[name] for name in names if name in stored}
        arrays = kind(**found)
        check(arrays)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile, KeyError) as error:
        raise RecordError(f"{path} holds no readable {what} ({error})") from error
    return arrays
