"""MATLAB 5 files, read by scipy once their elements are seen to fit into each other.

scipy believes a file what it says of itself: where one byte of a data type is damaged, it does not
raise but takes the process with it. So every element is looked at first (layout: "MAT-File Format",
The MathWorks).
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Order = Literal["little", "big"]

_Element = tuple[int, memoryview]
"""(data type, data)"""

_BYTES, _INTEGERS, _FLAGS, _MATRIX, _COMPRESSED = 1, 5, 6, 14, 15
_NUMBERS = frozenset({1, 2, 3, 4, 5, 6, 7, 9, 12, 13, 16, 17, 18})

_CELL, _STRUCT, _PLAIN = 1, 2, frozenset({4, *range(6, 16)})
"""Classes of matrices; plain ones are text and numbers."""

_COMPLEX = 0x800
_HEADER = 128


def read_mat5(file: Path, name: str) -> NDArray[Any]:
    """Return the variable `name`.

    Raises ValueError for a damaged file, or one without that variable; OSError if it cannot be
    read; ImportError without scipy.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    content = file.read_bytes()
    check(content)
    try:
        found = loadmat(io.BytesIO(content), variable_names=[name])
    except MatReadError as error:
        raise ValueError(str(error)) from error
    if name not in found:
        raise ValueError(f"there is no `{name}` in it")
    return np.asarray(found[name])


def check(content: bytes) -> None:
    """Raise ValueError for a file in which an element is not what its place asks for."""
    order: Order | None = {b"IM": "little", b"MI": "big"}.get(content[126:_HEADER])  # type: ignore[assignment]
    if order is None:
        raise ValueError("it has no header of a MATLAB 5 file")
    for kind, data in _elements(memoryview(content)[_HEADER:], order):
        if kind == _COMPRESSED:
            for inner, unpacked in _elements(_decompressed(data), order):
                _check_variable(inner, unpacked, order)
        else:
            _check_variable(kind, data, order)


def _decompressed(data: memoryview) -> memoryview:
    try:
        return memoryview(zlib.decompress(data))
    except zlib.error as error:
        raise ValueError(f"an element of it does not decompress ({error})") from error


def _check_variable(kind: int, data: memoryview, order: Order) -> None:
    if kind != _MATRIX:
        raise ValueError(f"a variable of it is of data type {kind}")
    _check_matrix(data, order)


def _check_matrix(data: memoryview, order: Order) -> None:
    if not data:  # an empty cell
        return
    parts = list(_elements(data, order))
    begin, rest = parts[:3], parts[3:]
    if _kinds(begin) != [_FLAGS, _INTEGERS, _BYTES] or len(begin[0][1]) < 8:
        raise ValueError("a matrix of it does not begin with flags, dimensions and name")
    flags = int.from_bytes(begin[0][1][:4], order)
    entries = prod(np.frombuffer(begin[1][1], "<i4" if order == "little" else ">i4").tolist())
    held = flags & 0xFF
    if held in _PLAIN:
        fits = len(rest) == (2 if flags & _COMPLEX else 1) and _NUMBERS.issuperset(_kinds(rest))
        rest = []
    elif held == _STRUCT and _kinds(rest[:2]) == [_INTEGERS, _BYTES]:
        width, names = int.from_bytes(rest[0][1], order), len(rest[1][1])
        rest = rest[2:]
        fits = width > 0 and len(rest) == entries * (names // width)
    else:
        fits = held == _CELL and len(rest) == entries
    if not fits or any(kind != _MATRIX for kind, _ in rest):
        raise ValueError(f"a matrix of it, of class {held}, does not hold what it should")
    for _, nested in rest:
        _check_matrix(nested, order)


def _kinds(elements: list[_Element]) -> list[int]:
    return [kind for kind, _ in elements]


def _elements(data: memoryview, order: Order) -> Iterator[_Element]:
    """Yield what stands one after the other in `data`; ValueError where it is cut short."""
    at = 0
    while at < len(data):
        word = int.from_bytes(data[at : at + 4], order)
        if word >> 16:  # four bytes at most, which stand beside their tag
            kind, size, begin, end = word & 0xFFFF, word >> 16, at + 4, at + 8
        else:
            kind, size, begin = word, int.from_bytes(data[at + 4 : at + 8], order), at + 8
            end = begin + size + (0 if kind == _COMPRESSED else -size % 8)
        if begin + size > min(end, len(data)):
            raise ValueError("an element of it is longer than what holds it")
        yield kind, data[begin : begin + size]
        at = end
