"""Files of arrays (`.npz`): a dataclass whose fields are arrays, written compressed and read whole.

Used by predictions and pseudo labels.
"""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterable
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
        with path.open("rb") as stream:
            found = _arrays(stream, names)
        arrays = kind(**found)
        check(arrays)
    except FileNotFoundError:
        return None
    except _DAMAGE as error:
        raise RecordError(f"{path} holds no readable {what} ({error})") from error
    return arrays


_DAMAGE = (
    OSError,
    ValueError,
    TypeError,
    EOFError,
    KeyError,
    zipfile.BadZipFile,
    zlib.error,
    RuntimeError,  # a flag of the zip file says that it is encrypted
    SyntaxError,  # as the next: an array's header is a Python literal
    tokenize.TokenError,
)
"""What reading a file raises that is not as it was written."""


def _arrays(stream: IO[bytes], names: Iterable[str]) -> dict[str, Any]:
    """Read the arrays that there are of these names; raises one of `_DAMAGE`."""
    if not zipfile.is_zipfile(stream):  # numpy would take it for a pickle, and advise to load that
        raise ValueError("it is not a whole .npz file")
    stream.seek(0)
    with np.load(stream, allow_pickle=False) as stored:
        return {name: stored[name] for name in names if name in stored}
