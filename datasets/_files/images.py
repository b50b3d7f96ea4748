"""Where pixels come from: lists of image files, read so that a bad file is named and left out.

Decoding is Pillow's. Nothing here raises for what a file holds: an empty, truncated, foreign or
absurdly large file becomes a `BrokenFrame`, and so does a picture that would come out half grey.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

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

    def size(self) -> tuple[int, int]:
        """Return (height, width) of the first file with a readable header.

        Raises DatasetCorrupt if no file has one.
        """
        for name in self.names:
            try:
                with Image.open(self.root / name, formats=("JPEG", "PNG")) as image:
                    return image.height, image.width
            except DAMAGE:
                continue
        first = self.root / self.names[0] if self.names else self.root
        raise DatasetCorrupt(first, None, f"none of {len(self)} images of the sequence is readable")


def decode(data: bytes, min_side: int | None = None) -> NDArray[np.uint8]:
    """Decode a JPEG or PNG file's bytes to (height, width, 3) RGB uint8; see `ImageFiles.read`.

    Raises one of Pillow's many errors, or ValueError, if the picture is not whole.
    """
    if not data:
        raise ValueError("the file is empty")
    with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
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
    return data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda")


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
