"""The film with what networks say of it drawn on: face crops, and a bar for each AU beside them.

Shapes: T frames, A action units, H x W pixels of the drawn picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from bench.errors import UsageError
from bench.frame_store.crop import transform_points
from bench.frame_store.decode import frame_sizes, padded_frames
from bench.metrics import THRESHOLD
from bench.system.files import atomic_file
from datasets._base import BrokenFrame

from .prediction import FacePrediction
from .recordings import Recording

HEIGHTS = (360, 720)
"""Pixels that a drawn picture is high, at least and at most: smaller texts cannot be read."""

PANEL = 190
"""Width of the bars beside the picture, a face, pixels at a height of 360."""

FACES_SHOWN = 3
"""Faces with bars of their own; further ones only have their crop drawn."""

COLOURS = ("#56B4E9", "#E69F00", "#009E73")
TIME_BASE = Fraction(1, 90_000)
CODECS = {"libx264": {"preset": "veryfast"}, "mpeg4": {}}
"""The first of these that FFmpeg has here, and its options: to draw must not take the longest."""


@dataclass(frozen=True, eq=False)
class DrawnFace:
    """A face with its predictions, and where its crop lies."""

    prediction: FacePrediction
    transforms: NDArray[np.float64]
    """(T, 2, 3) source pixels to the unit square of the crop."""

    def place_of(self, frame: int) -> int | None:
        """Return the row that is about a frame; None if none is, or the face is not known there."""
        row = int(np.searchsorted(self.prediction.frames, frame))
        known = row < len(self.prediction.frames) and self.prediction.frames[row] == frame
        return row if known and self.prediction.success[row] else None


def write_film(
    path: Path,
    recording: Recording,
    aus: Sequence[int],
    faces: Sequence[DrawnFace],
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> None:
    """Write a recording as a video with its faces' probabilities drawn; raises RecordError.

    UsageError if FFmpeg cannot encode it here.
    """
    canvas = _Canvas(frame_sizes(recording.source)[0].tolist(), aus, min(len(faces), FACES_SHOWN))
    with atomic_file(path, "wb") as stream:
        try:
            with av.open(stream, "w", format="mp4") as container:
                video = _video_stream(container, canvas, recording)
                for place, picture in enumerate(_pictures(canvas, recording, faces)):
                    frame = av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")
                    frame.time_base = TIME_BASE
                    frame.pts = round(float(recording.times[place]) / TIME_BASE)
                    container.mux(video.encode(frame))
                    progress(place + 1, len(recording.frames))
                container.mux(video.encode())
        except (FFmpegError, ValueError) as error:
            raise UsageError(f"{path} cannot be encoded here ({error})") from error


def _video_stream(container: Any, canvas: _Canvas, recording: Recording) -> Any:
    codec = next(name for name in CODECS if name in av.codecs_available)
    paces = np.diff(recording.times)
    pace = float(np.median(paces)) if len(paces) else 0.0
    rate = Fraction(1 / pace).limit_denominator(1001) if pace > 0 else Fraction(1)
    video = container.add_stream(codec, rate=rate, options=CODECS[codec])
    video.width, video.height, video.pix_fmt = canvas.width, canvas.height, "yuv420p"
    video.codec_context.time_base = TIME_BASE
    return video


def _pictures(
    canvas: _Canvas, recording: Recording, faces: Sequence[DrawnFace]
) -> Iterator[Image.Image]:
    frames = padded_frames(recording.source, canvas.height)
    for number, pixels in zip(recording.frames.tolist(), frames, strict=True):
        yield canvas.draw(pixels, number, faces)


class _Canvas:
    """Where everything of a drawn picture goes; sides are even, as encoders want them."""

    def __init__(self, size: Sequence[int], aus: Sequence[int], panels: int):
        height, width = size
        self.height = 2 * (min(max(height, HEIGHTS[0]), HEIGHTS[1]) // 2)
        self.scale = self.height / height
        self.picture_width = 2 * round(width * self.scale / 2)
        self.panel = 2 * round(PANEL * self.height / HEIGHTS[0] / 2)
        self.width = self.picture_width + max(1, panels) * self.panel
        self.aus = tuple(aus)
        row = min(self.height // (len(self.aus) + 2), self.height // 14)
        self.row, self.font = row, ImageFont.load_default(max(8, round(0.62 * row)))

    def draw(
        self, pixels: NDArray[np.uint8] | BrokenFrame, number: int, faces: Sequence[DrawnFace]
    ) -> Image.Image:
        """Return one picture: the frame, the crops of its faces, and their bars."""
        whole = Image.new("RGB", (self.width, self.height), "#1c1c1c")
        if not isinstance(pixels, BrokenFrame):
            shown = Image.fromarray(pixels).resize((self.picture_width, self.height))
            whole.paste(shown, (0, 0))
        pen = ImageDraw.Draw(whole)
        for index, face in enumerate(faces):
            place = face.place_of(number)
            colour = COLOURS[index % len(COLOURS)]
            if place is not None:
                self._outline(pen, face, place, colour)
            if index < FACES_SHOWN:
                self._bars(pen, index, face, place, colour)
        if not faces:
            self._write(pen, self.picture_width + self.row // 2, 0, "no face found", "#9a9a9a")
        return whole

    def _outline(self, pen: ImageDraw.ImageDraw, face: DrawnFace, place: int, colour: str) -> None:
        transform = face.transforms[place]
        inverse = np.linalg.inv(np.vstack([transform, [0, 0, 1]]))[:2]
        corners = transform_points(inverse, np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]]))
        points = [(float(x), float(y)) for x, y in corners * self.scale]
        pen.line([*points, points[0]], fill=colour, width=max(2, self.height // 240))
        pen.text(points[0], str(face.prediction.face), fill=colour, font=self.font, anchor="lb")

    def _bars(
        self,
        pen: ImageDraw.ImageDraw,
        index: int,
        face: DrawnFace,
        place: int | None,
        colour: str,
    ) -> None:
        left = self.picture_width + index * self.panel + self.row // 2
        self._write(pen, left, 0, f"face {face.prediction.face}", colour)
        if place is None:
            self._write(pen, left, 1, "not seen", "#9a9a9a")
            return
        start, end = left + round(2.9 * self.row), left + self.panel - self.row
        for row, (au, share) in enumerate(
            zip(self.aus, face.prediction.probabilities[place], strict=True), start=1
        ):
            top, shown = self._top(row), share >= THRESHOLD
            self._write(pen, left, row, f"AU{au:02d}", "#ffffff" if shown else "#9a9a9a")
            full = (start, top + 0.2 * self.row, end, top + 0.8 * self.row)
            pen.rectangle(full, fill="#333333")
            filled = (*full[:2], start + max(1.0, float(share) * (end - start)), full[3])
            pen.rectangle(filled, fill=colour if shown else "#777777")
            middle = start + THRESHOLD * (end - start)
            pen.line((middle, full[1], middle, full[3]), fill="#9a9a9a")

    def _top(self, row: int) -> float:
        return (row + 0.5) * self.row

    def _write(
        self, pen: ImageDraw.ImageDraw, left: float, row: int, text: str, colour: str
    ) -> None:
        pen.text(
            (left, self._top(row) + self.row / 2), text, fill=colour, font=self.font, anchor="lm"
        )
