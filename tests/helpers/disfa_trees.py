"""Builders of small copies of DISFA and of tiny videos, for any test."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.stream import Disposition
from numpy.typing import NDArray
from scipy.io import savemat

AUS = (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)


def shade(position: int) -> int:
    """The red of a video's picture at a 0-based position; 40 pictures can be told apart."""
    return 8 + 6 * (position % 40)


def make_video(
    file: Path,
    count: int,
    size: tuple[int, int] = (24, 32),
    *,
    codec: str = "mpeg4",
    gop: int = 12,
    sound: bool = False,
    cover: tuple[int, int] | None = None,
) -> None:
    """Encode `count` plain pictures of (height, width); each has its own `shade` of red.

    `cover` is the size of a cover picture to attach.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(file), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(20))
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = gop
        stream.codec_context.qmin = stream.codec_context.qmax = 2
        audio = container.add_stream("pcm_s16le", rate=8000) if sound else None
        if cover:
            _attach_cover(container, cover)
        for position in range(count):
            picture = np.full((*size, 3), (shade(position), 60, 60), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            if audio is not None:
                silence = av.AudioFrame.from_ndarray(np.zeros((1, 400), np.int16), layout="mono")
                silence.sample_rate, silence.pts = 8000, 400 * position
                container.mux(audio.encode(silence))
        container.mux(stream.encode(None))


def _attach_cover(container: OutputContainer, size: tuple[int, int]) -> None:
    stream = container.add_stream("mjpeg", rate=1)
    stream.height, stream.width = size
    stream.pix_fmt = "yuvj420p"
    stream.disposition = Disposition.attached_pic
    white = av.VideoFrame.from_ndarray(np.full((*size, 3), 255, np.uint8), format="rgb24")
    container.mux([*stream.encode(white), *stream.encode(None)])


def position_of(picture: NDArray[np.uint8]) -> int:
    """Tell which of the first 40 pictures of `make_video` this is."""
    return round((float(picture[..., 0].mean()) - 8) / 6)


def avi_chunk(data: bytes, number: int) -> tuple[int, int]:
    """First and last byte + 1 of the n-th (0-based) picture's chunk of an AVI, header included."""
    start = data.index(b"movi") + 4
    for _ in range(number):
        start += 8 + (int.from_bytes(data[start + 4 : start + 8], "little") + 1) // 2 * 2
    assert data[start : start + 4] == b"00dc"
    return start, start + 8 + int.from_bytes(data[start + 4 : start + 8], "little")


def drop_pictures(file: Path, numbers: Iterable[int], *, index: bool = True) -> None:
    """Make chunks of an AVI empty (0-based), as capture programs write what a camera dropped."""
    data, gone = file.read_bytes(), {*numbers}
    begin = data.index(b"movi") + 4
    at, end = begin, begin - 4 + int.from_bytes(data[begin - 8 : begin - 4], "little")
    chunks, entries, number = b"", b"", 0
    while at < end:
        kind, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if kind == b"00dc":
            body = b"" if number in gone else data[at + 8 : at + 8 + length]
            size, place = len(body).to_bytes(4, "little"), (4 + len(chunks)).to_bytes(4, "little")
            entries += kind + (16).to_bytes(4, "little") + place + size
            chunks += kind + size + body + bytes(len(body) % 2)
            number += 1
        at += 8 + length + length % 2
    tail = b"idx1" + len(entries).to_bytes(4, "little") + entries if index else b""
    head = data[: begin - 8] + (4 + len(chunks)).to_bytes(4, "little") + b"movi"
    whole = head + chunks + tail
    file.write_bytes(whole[:4] + (len(whole) - 8).to_bytes(4, "little") + whole[8:])


def make_disfa_tree(
    root: Path,
    *,
    subjects: Iterable[str] = ("SN001", "SN003", "SN006"),
    frames: int = 12,
    video_frames: int | None = None,
    videos: str = "Videos_LeftCamera/LeftVideo{}_comp.avi",
    labels: str = "ActionUnit_Labels",
    seed: int = 0,
) -> dict[str, NDArray[np.int64]]:
    """Write a small copy of DISFA; return each person's intensities (frames, 12) of `AUS`."""
    rng = np.random.default_rng(seed)
    truth = {}
    for subject in subjects:
        make_video(root / videos.format(subject), video_frames or frames)
        truth[subject] = rng.integers(0, 6, (frames, len(AUS)))
        write_intensities(root / labels / subject, subject, truth[subject])
    return truth


def write_intensities(folder: Path, subject: str, intensities: NDArray[np.int64]) -> None:
    """Write a person's 12 label files, frames from 1."""
    folder.mkdir(parents=True, exist_ok=True)
    for au, column in zip(AUS, intensities.T, strict=True):
        lines = [f"{frame},{value}\n" for frame, value in enumerate(column, start=1)]
        (folder / f"{subject}_au{au}.txt").write_text("".join(lines))


def write_landmarks(folder: Path, names: Iterable[str]) -> None:
    """Write a landmark file a name: in the n-th (from 0), point p is at (p, n)."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        points = np.stack([np.arange(66.0), np.full(66, number)], axis=1)
        savemat(folder / name, {"pts": points})
