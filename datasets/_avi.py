"""The chunks of an AVI file, to tell whether pictures are missing between those that FFmpeg finds.

FFmpeg passes over damage silently and goes on at the next picture it recognises. A walk from chunk
to chunk (RIFF: four letters, a length, the data) ends where the file's structure does.
"""

from __future__ import annotations

import re
from pathlib import Path

ENTERED = (b"AVI ", b"AVIX", b"movi", b"rec ")
"""Kinds of lists that pictures lie in; other chunks are stepped over."""


def picture_chunks(file: Path, stream: int) -> list[tuple[int, int]]:
    """Return where the pictures of a stream begin and how long they are, as far as the walk gets.

    Raises OSError if the file cannot be read.
    """
    found = []
    picture = re.compile(b"%02dd[bc]" % stream)
    with file.open("rb") as opened:
        at = 0
        while len(header := opened.read(12)) >= 8 and re.fullmatch(b"[ -~]{4}", header[:4]):
            kind, length = header[:4], int.from_bytes(header[4:8], "little")
            if kind in (b"RIFF", b"LIST") and header[8:] in ENTERED:
                at += 12
            else:
                if picture.fullmatch(kind):
                    found.append((at + 8, length))
                at += 8 + length + length % 2
            opened.seek(at)
    return found
