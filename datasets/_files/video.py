"""Pixels from a video file, decoded by PyAV (FFmpeg) once from its beginning, a frame at a time.

There is no seeking: what a decoder lands on after a seek depends on codec and container, and a
frame that is one off carries its neighbour's label. A picture that cannot be decoded, or that the
camera dropped, keeps its place, so that no later frame moves up.
"""

from __future__ import annotations

import hashlib
import re
import sys
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from datasets._base import BrokenFrame, DatasetCorrupt

from .images import MAX_PIXELS

CONTAINERS = "avi,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpeg,mpegts,asf"
"""FFmpeg's formats of video files, without its playlists, which may name any other file."""

UNDECODED = "it cannot be decoded"
DROPPED = "the camera dropped this picture (the file has an empty place for it)"


@dataclass(frozen=True)
class VideoFrames:
    """Some or all frames of a video, in order (a `FrameSource`)."""

    root: Path
    """Folder of the dataset; it may move, the name below it identifies the video."""
    name: str
    """The file relative to `root`, with forward slashes."""
    positions: tuple[int, ...]
    """Which frames: 0-based, counted as they are decoded, strictly increasing."""

    def __len__(self) -> int:
        return len(self.positions)

    def fingerprint(self) -> str:
        """Hash the file's name, size and time of change, and the positions."""
        digest = hashlib.sha256(np.asarray(self.positions, "<i8").tobytes())
        try:
            stat = (self.root / self.name).stat()
            digest.update(f"{self.name}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
        except OSError:
            digest.update(f"{self.name}\0missing\n".encode())
        return digest.hexdigest()

    def size(self) -> tuple[int, int]:
        """Return the video's (height, width); DatasetCorrupt if it cannot be opened."""
        with _opened(self.root / self.name) as (_, stream):
            return stream.height, stream.width

    def read(self, min_side: int | None = None) -> Iterator[NDArray[np.uint8] | BrokenFrame]:
        """Yield each wanted frame as (height, width, 3) RGB uint8, or why it cannot be read.

        Frames come whole whatever `min_side`: a video decoder has no reduced size. A rotation that
        the file asks for is not applied (see `remarks`): landmarks are measured in the stored
        picture.
        """
        del min_side
        wanted, seen, film = list(reversed(self.positions)), 0, ""
        try:
            for seen, frame in enumerate(_frames(self.root / self.name), start=1):
                if not wanted:
                    return
                film = film or _measures(frame)
                if wanted[-1] == seen - 1:
                    wanted.pop()
                    yield self._picture(frame, seen, film)
            why = f"the video ends after {seen} frames"
        except DatasetCorrupt as error:
            why = error.what
        for _ in wanted:
            yield BrokenFrame(self.name, why)

    def _picture(
        self, frame: VideoFrame | str, number: int, film: str
    ) -> NDArray[np.uint8] | BrokenFrame:
        if isinstance(frame, str):  # of dropped ones there may be thousands: told in one sentence
            where = "" if frame == DROPPED else f", frame {number}"
            return BrokenFrame(f"{self.name}{where}", frame)
        if (here := _measures(frame)) != film:  # where its faces lie cannot be told
            return BrokenFrame(self.name, f"a picture of {here} pixels in a video of {film}")
        return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)

    def remarks(self) -> list[str]:
        """Say whether the video asks to be shown turned; nothing if it cannot be read."""
        try:
            first = next(_frames(self.root / self.name), UNDECODED)
        except DatasetCorrupt:
            return []
        angle = 0 if isinstance(first, str) else round(first.rotation) % 360
        if not angle:
            return []
        return [
            f"{self.name} asks to be shown turned by {angle} degrees: it is read as it is stored, "
            "and face positions must be measured so"
        ]


def _measures(frame: VideoFrame | str) -> str:
    """Return a picture's width and height as `WxH`; nothing for one that there is none of."""
    return "" if isinstance(frame, str) else f"{frame.width}x{frame.height}"


def frame_count(file: Path) -> int | None:
    """Return how many frames a video's header promises, None if it does not say; decodes nothing.

    Raises DatasetCorrupt if the file is no video that can be read.
    """
    with _opened(file) as (_, stream):
        return stream.frames or None


def frame_times(file: Path) -> NDArray[np.float64]:
    """Return when each frame of a video is shown, seconds from the first; decodes nothing.

    A damaged video counts up to its damage. Raises DatasetCorrupt if there is no frame to count.
    """
    stamps: list[int] = []
    why = "there is no frame in this video"
    with _opened(file) as (container, stream):
        try:
            for place, packet in enumerate(_packets(container, stream, file)):
                if packet is not None:
                    stamps.append(packet if isinstance(packet, int) else _time(packet, place))
        except DatasetCorrupt as error:
            why = error.what
        rate = float(stream.average_rate or stream.base_rate or 25)
        unit = float(stream.time_base or 0)
    if not stamps:
        raise DatasetCorrupt(file, None, why)
    times = (np.sort(np.array(stamps, np.int64)) - min(stamps)) * unit
    if len(times) > 1 and not (np.diff(times) > 0).all():  # no time stamps that could be used
        return np.arange(len(times)) / rate
    return np.asarray(times, np.float64)


STILLS = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
"""Kinds of picture streams that are no film: covers, thumbnails."""


@contextmanager
def _opened(file: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a video and its first film, no cover; DatasetCorrupt if there is none of a sane size."""
    whitelists = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
    try:
        container = av.open(str(file), "r", options=whitelists)
    except (FFmpegError, OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise DatasetCorrupt(file, None, f"this video cannot be opened ({why})") from error
    with container:
        films = [s for s in container.streams.video if not s.disposition & STILLS]
        if not films:
            what = "but a cover picture" if container.streams.video else ""
            raise DatasetCorrupt(file, None, f"there is no video {what}".strip() + " in this file")
        stream = films[0]
        if getattr(stream, "codec_context", None) is None:
            raise DatasetCorrupt(file, None, "this video is coded in a way that no decoder knows")
        if not 0 < stream.height * stream.width <= MAX_PIXELS:
            what = f"a video of {stream.width}x{stream.height} pixels cannot be read"
            raise DatasetCorrupt(file, None, what)
        # Recordings are decoded side by side, each in a process of its own.
        stream.codec_context.thread_count = 1
        yield container, stream


def _frames(file: Path) -> Iterator[VideoFrame | str]:
    """Yield every frame in order, and the reason in the place of one that there is none of.

    A decoder may hand out frames some packets late; time stamps tell where a lost one belongs.
    """
    lost: list[tuple[int, str]] = []
    with _opened(file) as (container, stream):
        for packet in _packets(container, stream, file):
            if isinstance(packet, int):
                lost.append((packet, DROPPED))
                continue
            try:
                frames = stream.decode(packet)
            except FFmpegError:
                lost.append((_time(packet, -1), UNDECODED))
                continue
            for frame in frames:
                while lost and lost[0][0] < _time(frame, sys.maxsize):
                    yield lost.pop(0)[1]
                yield UNDECODED if frame.is_corrupt else frame
    for _, why in lost:
        yield why


def _packets(
    container: InputContainer, stream: VideoStream, file: Path
) -> Iterator[Packet[VideoStream] | int | None]:
    """Yield the stream's packets; a number, its place in time, for a picture that was dropped.

    None stands at the end: the decoder is to hand out its rest. (Empty packets, which some
    formats have for dropped pictures, mean the end to a decoder too.)
    """
    try:
        expected = _expected(container, stream, file)
        packets = (packet for packet in container.demux(stream) if packet.size)
        for place, packet in enumerate(packets):
            yield from expected.dropped_before(place)
            if not expected.allows(packet.pos, place):
                what = f"the video is damaged at frame {place + 1}: the rest has lost its place"
                raise DatasetCorrupt(file, None, what)
            yield packet
        yield from expected.dropped_before(sys.maxsize)
    except (FFmpegError, OSError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise DatasetCorrupt(file, None, f"the rest of the video is unreadable ({why})") from error
    yield None


_MOST_DROPPED = 1000
"""No camera drops as many pictures in a row; an index that says so counts something else."""


@dataclass
class _Expected:
    """What the structure of a file says of its packets."""

    place_of: dict[int, int]
    """Where a packet begins in the file -> which of those that hold a picture it is."""
    dropped: list[tuple[int, int]]
    """Pictures that were dropped: before which packet, and when, in the stream's units."""
    strict: bool
    """There are no other packets."""

    def allows(self, at: int | None, place: int) -> bool:
        """Tell whether a packet that begins there may be the one of this place."""
        return at is None or self.place_of.get(at, -1 if self.strict else place) == place

    def dropped_before(self, place: int) -> Iterator[int]:
        """Take the pictures that were dropped before a packet; each is yielded once."""
        while self.dropped and self.dropped[0][0] <= place:
            yield self.dropped.pop(0)[1]


def _expected(container: InputContainer, stream: VideoStream, file: Path) -> _Expected:
    """Read a file's structure: FFmpeg passes over packets in damaged files, and tells nobody.

    Files that are odd and whole must not suffer: what the structure of an AVI does not show, its
    index may. In an AVI every picture has a chunk, an empty one if the camera dropped it; its time
    is its number.
    """
    avi = container.format.name == "avi"
    chunks = picture_chunks(file, stream.index) if avi else []
    entries = [(e.pos + 8 * avi, e.size, e.timestamp) for e in stream.index_entries]
    strict = avi and not len(chunks) < stream.frames <= len(entries)
    if strict:
        entries = [(at, size, time) for time, (at, size) in enumerate(chunks)]
    held = [entry for entry in entries if entry[1]]
    times = [time for _, _, time in held]
    if avi and not strict:  # FFmpeg leaves empty chunks out of its index
        steps = [step for step in pairwise([-1, *times]) if step[1] - step[0] < _MOST_DROPPED]
        empty = [time for before, after in steps for time in range(before + 1, after)]
    else:  # the index of other containers than these two knows no sizes
        known = avi or container.format.name.startswith("mov")
        empty = [time for _, size, time in entries if known and not size]
    return _Expected(
        place_of={at: place for place, (at, _, _) in enumerate(held)},
        dropped=[(bisect_left(times, time), time) for time in empty],
        strict=strict,
    )


def _time(item: Packet[VideoStream] | VideoFrame | None, unknown: int) -> int:
    """Return an item's place in time, in the stream's units."""
    times = (item.pts, item.dts) if item is not None else ()
    return next((time for time in times if time is not None), unknown)


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
