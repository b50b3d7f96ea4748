"""Probabilities for every frame of films, by one trained network or the mean of several.

Frames come from a frame store, whole films window by window, so that progress can be told; a
window's frames see their neighbours beyond it, and come out as if the film were taken at once.

Shapes: T frames of a film, A action units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bench.data.frame_table import FrameTable, frame_table
from bench.frame_store.crop import plan_crops
from bench.frame_store.decode import frame_sizes
from bench.frame_store.store import FrameStore, StoredSequence
from bench.training.evaluate import predict
from bench.training.pixels import Pixels
from bench.training.precision import has_bfloat16
from datasets._base import UNCODED, DatasetError
from datasets._base import Sequence as Film

from .network import Network

WINDOW = 1024
"""Frames predicted between two signs of life."""


@dataclass(frozen=True, eq=False)
class FacePrediction:
    """What networks make of one face of one recording, a row a frame."""

    recording: str
    face: int
    """The face's id within the recording."""
    frames: NDArray[np.int64]
    """(T,)"""
    times: NDArray[np.float64]
    """(T,) seconds from the recording's first frame."""
    success: NDArray[np.bool_]
    """(T,) whether the frame can be read and its face is known."""
    confidence: NDArray[np.float32]
    """(T,) of the face's position, NaN where nobody says."""
    probabilities: NDArray[np.float32]
    """(T, A), NaN where there is no success."""
    looked_for: bool
    """Whether anything says where the face is; else the middle of each frame was taken."""


def predict_films(
    networks: Sequence[Network],
    store: FrameStore,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    *,
    coded_only: bool = False,
) -> dict[str, NDArray[np.float32]]:
    """Return each film's probabilities (frames stored, A), the mean over the networks.

    `coded_only` leaves frames without any label out, which are NaN then. `progress` takes the
    frames done so far and the frames there are, over all networks.
    """
    table, films = frame_table(store), {film.name: film for film in store.sequences}
    wanted = {n: f.coded if coded_only else np.ones(len(f.frames), bool) for n, f in films.items()}
    total = len(networks) * sum(int(frames.sum()) for frames in wanted.values())
    sums = {
        name: np.where(frames[:, None], np.zeros(len(networks[0].aus)), np.nan)
        for name, frames in wanted.items()
    }
    done = 0
    progress(0, total)
    for network in networks:
        pixels = Pixels(store.images, network.device)
        for name, film in films.items():
            for places in _windows(wanted[name]):
                sums[name][places] += _predict_frames(network, pixels, table, film, places)
                done += len(places)
                progress(done, total)
    return {name: (each / len(networks)).astype(np.float32) for name, each in sums.items()}


def _windows(wanted: NDArray[np.bool_]) -> Iterator[NDArray[np.intp]]:
    """Yield the places of a film's wanted frames, `WINDOW` at a time."""
    places = np.flatnonzero(wanted)
    for start in range(0, len(places), WINDOW):
        yield places[start : start + WINDOW]


def _predict_frames(
    network: Network,
    pixels: Pixels,
    table: FrameTable,
    film: StoredSequence,
    places: NDArray[np.intp],
) -> NDArray[np.float32]:
    """Predict some frames of a film, whose clips may reach beyond them -> (frames, A)."""
    known = network.description
    landmarks = table.landmarks if known.landmarks else None
    if landmarks is not None and landmarks.shape[1] != known.landmarks:
        landmarks = None
    # evaluation predicts the frames that carry a label: here a label means that and nothing else
    labels = np.full((len(film.frames), 1), UNCODED, np.int8)
    labels[places] = 0
    window = replace(film, labels=labels)
    amp = known.precision == "bfloat16" and has_bfloat16(network.device)
    seen = replace(table, landmarks=landmarks)
    return predict(network.method, pixels, seen, [window], known.stride, amp=amp).probabilities


def face_prediction(
    film: Film,
    stored: StoredSequence | None,
    probabilities: NDArray[np.float32] | None,
    crop: str,
) -> FacePrediction:
    """Put a film's probabilities (stored frames, A) at its frames; gaps where no face is known.

    `stored` is what the frame store has of it, None if nothing. Times and confidence are the
    caller's to fill in.
    """
    count = len(film.frames)
    readable = np.isin(film.frames, stored.frames) if stored else np.zeros(count, bool)
    success = readable & _known_faces(film, crop)
    found = np.full((count, film.labels.shape[1]), np.nan, np.float32)
    if probabilities is not None:
        found[readable] = probabilities
    found[~success] = np.nan
    unknown = np.full(count, np.nan)
    return FacePrediction(
        recording=film.name,
        face=0,
        frames=film.frames,
        times=unknown,
        success=success,
        confidence=unknown.astype(np.float32),
        probabilities=found,
        looked_for=crop != "centre" and (film.landmarks is not None or film.boxes is not None),
    )


def _known_faces(film: Film, crop: str) -> NDArray[np.bool_]:
    """Tell on which frames (T,) a face was cropped, and not the place of its nearest one."""
    try:
        return plan_crops(film, crop, frame_sizes(film.source)).known
    except (DatasetError, OSError):
        return np.zeros(len(film.frames), bool)
