"""Text files as editors save them: byte order marks, other encodings named; for all readers.

UTF-8 is read, with or without its mark. Anything else is refused by name: to guess an encoding is
to guess the names of subjects.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from datasets._base import DatasetCorrupt

_OTHERS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
"""Marks at the beginning of other encodings; those of UTF-16 begin the ones of UTF-32."""


NO_TEXT = "this is no text, or UTF-16: save it as UTF-8"


def read_text(file: Path) -> str:
    """Return a text file's content, every line ended by a line feed.

    Raises DatasetCorrupt, which names line and encoding, if it is not UTF-8 or cannot be read.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise DatasetCorrupt(file, None, f"it cannot be read: {error.strerror}") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetCorrupt(file, *_not_utf8(data, error.start)) from None
    if "\0" in text[:1000]:
        raise DatasetCorrupt(file, None, NO_TEXT)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_lines(file: Path) -> list[str]:
    """Return a text file's lines; raises as `read_text`."""
    return read_text(file).split("\n")


def separator_hint(header: str) -> str:
    """Say that a table's header is separated by something else than commas, if it seems so."""
    for separator, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars")):
        if separator in header:
            return f"; its cells are separated by {name}: save it with commas"
    return ""


def _not_utf8(data: bytes, at: int) -> tuple[int | None, str]:
    """Return the line of the first byte that is not UTF-8, and what the file is instead."""
    for mark, name in _OTHERS:
        if data.startswith(mark):
            return None, f"this is {name} text: save it as UTF-8"
    if re.search(rb"[\0-\x08\x0e-\x1f]", data[:1000]):
        return None, NO_TEXT
    what = f"this is not plain text (UTF-8; byte {data[at]:#04x} is none): save it as UTF-8"
    return data.count(b"\n", 0, at) + 1, what
