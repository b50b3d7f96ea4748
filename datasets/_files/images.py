"""Where pixels come from: lists of image files, read so that a bad file is named and left out.

Decoding is Pillow's. Nothing here raises for what a file holds: an empty, truncated, foreign or
absurdly large file becomes a `BrokenFrame`, and so does a picture that would come out half grey.
"""

from __future__ import annotations

import hashlib
import io
import re
import struct
import warnings
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from datasets._base import BrokenFrame, DatasetCorrupt

MAX_PIXELS = 64_000_000
"""More than any face video has; beyond it a file is an accident or an attack on memory."""

DAMAGE = (
    # Pillow's decoders let all of these out, depending on which byte is wrong.
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, OverflowError),
    *(struct.error, zlib.error),
    *(Image.DecompressionBombError, Image.DecompressionBombWarning),
)
"""What decoding a damaged file may raise."""


@dataclass(frozen=True)
class ImageFiles:
    """The frames of a sequence as JPEG or PNG files, in order (a `FrameSource`)."""

    root: Path
    """Folder of the dataset; it may move, the names below it identify the frames."""
    names: tuple[str, ...]
    """Files relative to `root`, with forward slashes, in frame order."""

    def __len__(self) -> int:
        return len(self.names)

    def pick(self, positions: Iterable[int]) -> ImageFiles:
        """Return the frames at these positions (0-based) only."""
        return replace(self, names=tuple(self.names[k] for k in positions))

    def fingerprint(self) -> str:
        """Hash the files' names, sizes and times of change; a missing file counts as such."""
        digest = hashlib.sha256()
        for name in self.names:
            try:
                stat = (self.root / name).stat()
                digest.update(f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
            except OSError:
                digest.update(f"{name}\0missing\n".encode())
        return digest.hexdigest()

    def read(self, min_side: int | None = None) -> Iterator[NDArray[np.uint8] | BrokenFrame]:
        """Yield each frame as (height, width, 3) RGB uint8, or why it cannot be read.

        With `min_side`, a JPEG may come reduced by 2, 4 or 8, which saves most of its decoding,
        as long as its shorter side keeps `min_side` pixels. EXIF orientation is not applied:
        landmarks and boxes are measured in the stored picture.
        """
        for name in self.names:
            try:
                yield decode((self.root / name).read_bytes(), min_side)
            except DAMAGE as error:
                yield BrokenFrame(name, reason(error))

    def size(self) -> tuple[int, int] | NDArray[np.int64]:
        """Return the pictures' (height, width), by their headers; (T, 2) where they differ.

        Raises DatasetCorrupt, saying why the first cannot be read, if none can.
        """
        return joint_size(self.root / self.names[0] if self.names else self.root, self._headers)

    def remarks(self) -> list[str]:
        """Say which pictures ask to be shown turned."""
        return turned(self.names, self._headers)

    @cached_property
    def _headers(self) -> list[Header | str]:
        found: list[Header | str] = []
        for name in self.names:
            try:
                with (self.root / name).open("rb") as stream:
                    found.append(read_header(stream))
            except DAMAGE as error:
                found.append(reason(error))
        return found


class Header(NamedTuple):
    """What a picture's header says."""

    height: int
    width: int
    turned: bool
    """It asks to be shown rotated or mirrored (EXIF orientation)."""


def read_header(stream: IO[bytes]) -> Header:
    """Read the header of a JPEG or PNG file; raises one of `DAMAGE`."""
    begin = stream.read(_MAGIC)
    stream.seek(0)
    with _opened(stream, begin) as image:
        return Header(image.height, image.width, _asks_to_be_turned(image))


def joint_size(first: Path, headers: list[Header | str]) -> tuple[int, int] | NDArray[np.int64]:
    """Return the (height, width) of pictures, or (T, 2) where they differ; see `FrameSource.size`.

    `headers` hold the reason in the place of an unreadable picture. DatasetCorrupt, by the name of
    the `first` picture and its reason, if all are unreadable.
    """
    known = [header[:2] for header in headers if isinstance(header, Header)]
    if not known:
        why = f"{headers[0]}; " if headers else ""
        what = f"{why}none of {len(headers)} images of the sequence is readable"
        raise DatasetCorrupt(first, None, what)
    if len({*known}) == 1:
        return known[0]
    sizes = [header[:2] if isinstance(header, Header) else known[0] for header in headers]
    return np.array(sizes, np.int64)


def turned(names: Iterable[str], headers: list[Header | str]) -> list[str]:
    """Say which of some pictures ask to be shown turned, which is not done."""
    found = [
        name
        for name, header in zip(names, headers, strict=True)
        if isinstance(header, Header) and header.turned
    ]
    if not found:
        return []
    which = f"{found[0]} asks" if len(found) == 1 else f"{found[0]} and {len(found) - 1} more ask"
    return [
        f"{which} to be shown turned (EXIF orientation): it is read as it is stored, and face "
        "positions must be measured so"
    ]


def decode(data: bytes, min_side: int | None = None) -> NDArray[np.uint8]:
    """Decode a JPEG or PNG file's bytes to (height, width, 3) RGB uint8; see `ImageFiles.read`.

    Raises one of Pillow's many errors, or ValueError, if the picture is not whole.
    """
    with _opened(io.BytesIO(data), data[:_MAGIC]) as image:
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(f"{image.width}x{image.height} pixels are too many for a video frame")
        if not _whole(data):
            raise ValueError("the file is truncated: its end marker is missing")
        if min_side is not None:
            image.draft(None, (min_side, min_side))
        return np.array(_rgb(image))


def _whole(data: bytes) -> bool:
    """Tell whether the end marker is there; without it the rest is grey or a half-done copy.

    Pillow alone misses a file whose tail is zeros, and every cut one if any library in the
    process has set its LOAD_TRUNCATED_IMAGES.
    """
    if data.startswith(b"\x89PNG"):
        return b"IEND" in data
    at = 2
    while 0 <= (at := data.find(b"\xff", at)) < len(data) - 3:
        kind = data[at + 1]
        if kind <= 1 or 0xD0 <= kind <= 0xD8 or kind == 0xFF:  # no segment begins with these
            at += 1
            continue
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if kind == _SCAN:
            end = data.find(b"\xff\xd9", at)
            # A second picture that begins before the first has ended is the tail of another file.
            return end >= 0 and data.find(b"\xff\xd8\xff", at, end) < 0
    return False


_SCAN = 0xDA
"""Marker of a JPEG's compressed pixels: in them, and only in them, an end marker ends the picture.

Behind the end there may be anything: a phone's film, a second picture, a camera's notes.
"""

_MAGIC = 512
"""Bytes by which a file of another format is recognised."""

_OTHERS = (
    (rb"BM", "BMP"),
    (rb"GIF8", "GIF"),
    (rb"RIFF....WEBP", "WebP"),
    (rb"II\*\0|MM\0\*", "TIFF"),
    (rb"....ftyp(?:hei|hev|mif|msf)", "HEIC"),
    (rb"....ftypavi", "AVIF"),
    (rb"version https://git-lfs", "a Git LFS pointer: fetch the file itself (git lfs pull)"),
    (rb"\s*<(?:!doctype|html|\?xml)", "a web page or XML: the download went wrong"),
)
"""How files of other formats begin that are met under the name of a picture."""


def _opened(stream: IO[bytes], begin: bytes) -> Image.Image:
    """Open a picture, whose file begins with `begin`; raises one of `DAMAGE`."""
    if not begin:
        raise ValueError("the file is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about damaged notes, which nobody needs
            return Image.open(stream, formats=("JPEG", "PNG"))
    except UnidentifiedImageError:
        for pattern, name in _OTHERS:
            if re.match(pattern, begin, re.DOTALL | re.IGNORECASE):
                raise ValueError(f"{reason(UnidentifiedImageError())} but {name}") from None
        raise


def _asks_to_be_turned(image: Image.Image) -> bool:
    if "exif" not in image.info:
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return image.getexif().get(ExifTags.Base.Orientation, 1) in range(2, 9)
        except DAMAGE:
            return False


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey: Pillow would clip it to white, not scale it
        grey = (np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")
    if "transparency" in image.info:  # of a palette, which Pillow warns about on the direct way
        image = image.convert("RGBA")
    return image.convert("RGB")


def reason(error: BaseException) -> str:
    """Say in words why a file could not be read."""
    if isinstance(error, UnidentifiedImageError):
        return "the file is not a JPEG or PNG image"
    if isinstance(error, FileNotFoundError):
        return "the file is not there"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
