"""Small films for tests: the embedded dataset's faces as a video or as numbered pictures."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets.synthetic import Synthetic


def faces(frames: int = 12, size: int = 96) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return the first frames (T, S, S, 3) of an embedded recording, and landmarks (T, 68, 2)."""
    options = {"subjects": "2", "tasks": "T1", "frames": str(frames + 20), "size": str(size)}
    sequence = Synthetic(None, **options).sequences()[0]
    pictures = [frame for frame in sequence.source.read() if isinstance(frame, np.ndarray)]
    assert len(pictures) >= frames
    assert sequence.landmarks is not None
    return np.stack(pictures[:frames]), sequence.landmarks[:frames]


def write_video(path: Path, frames: NDArray[np.uint8], fps: int = 25) -> Path:
    """Write frames (T, H, W, 3) as a video without loss, or nearly (H.264)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps))
        stream.width, stream.height, stream.pix_fmt = *frames.shape[2:0:-1], "yuv444p"
        stream.options = {"crf": "1"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def write_pictures(folder: Path, frames: NDArray[np.uint8], first: int = 1) -> Path:
    """Write frames as numbered PNG files."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames, start=first):
        Image.fromarray(frame).save(folder / f"frame_{number:04d}.png")
    return folder


def landmark_file(path: Path, landmarks: NDArray[np.float32], first: int = 1) -> Path:
    """Write landmarks (T, 68, 2) in OpenFace's form; a face that is NaN has success 0."""
    points = [f"{axis}_{k}" for axis in "xy" for k in range(68)]
    lines = [",".join(["frame", "timestamp", "confidence", "success", *points])]
    for number, face in enumerate(landmarks, start=first):
        known = bool(np.isfinite(face).all())
        values = np.nan_to_num(face).T.ravel().round(6).tolist()
        about = [number, (number - first) / 25, 0.98 if known else 0.0, int(known)]
        lines.append(",".join(map(str, [*about, *values])))
    path.write_text("\n".join(lines) + "\n")
    return path
