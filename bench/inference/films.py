"""What networks make of recordings, or of a dataset: from sources and faces to predictions.

The steps between `network.predict` and the files of `predict`: the frame store crops, the networks
predict, and every face of every recording gets a row a frame.

Shapes: T frames of a recording, A action units.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bench.data.dataset import DatasetSpec
from bench.frame_store.crop import plan_crops
from bench.frame_store.decode import frame_sizes
from bench.frame_store.store import FrameStore, open_store
from bench.results.transfer import TransferRecord
from bench.system.files import make_folder
from datasets._base import Dataset
from datasets._base import Sequence as Film

from .film import DrawnFace
from .network import Network
from .prediction import FacePrediction, face_prediction, predict_films
from .recordings import Face, Recording, Recordings
from .transfer import common_aus, transfer_record

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Steps:
    """How the steps are carried out, and whom they tell how far they are."""

    cache: Path
    workers: int = 1
    decoding: OnProgress = lambda _done, _total: None
    predicting: OnProgress = lambda _done, _total: None
    note: Callable[[str], None] = lambda _: None


def predict_recordings(
    networks: Sequence[Network],
    recordings: Sequence[Recording],
    faces: Mapping[str, list[Face]] | None,
    steps: Steps,
) -> list[FacePrediction]:
    """Predict every face of every recording; without `faces`, what fills each whole picture.

    The cropped frames are kept only for as long as it takes. A recording in which no face is known
    is all gap. Raises what the frame store raises.
    """
    dataset = Recordings(list(recordings), networks[0].aus, faces)
    make_folder(steps.cache)
    with tempfile.TemporaryDirectory(dir=steps.cache, prefix="predict-") as folder:
        store = _open(networks[0], dataset, "recordings", Path(folder), steps)
        found = _predict(networks, store, dataset.sequences(), steps)
    by_name = {each.name: each for each in recordings}
    placed = [_placed(p, by_name[film.subject], faces, film) for p, film in found]
    seen = {p.recording for p in placed}
    placed += [_all_gap(r, len(networks[0].aus)) for r in recordings if r.name not in seen]
    return sorted(placed, key=lambda p: (list(by_name).index(p.recording), p.face))


def predict_dataset(
    networks: Sequence[Network], spec: DatasetSpec, steps: Steps
) -> list[FacePrediction]:
    """Predict every frame of a dataset's sequences; its store stays in the cache, as ever."""
    reader = spec.reader()
    store = _open(networks[0], reader, spec.name, steps.cache, steps)
    found = _predict(networks, store, reader.sequences(), steps)
    return [replace(p, times=(p.frames - p.frames[0]) / reader.fps) for p, _ in found]


def score_dataset(
    networks: Sequence[Network], spec: DatasetSpec, steps: Steps, command: str
) -> TransferRecord:
    """Score networks on the coded frames of another dataset; see `transfer_record`."""
    started = time.time()
    store = _open(networks[0], spec.reader(), spec.name, steps.cache, steps)
    common_aus(networks, store, spec.name)  # said before hours of predicting
    found = predict_films(networks, store, steps.predicting, coded_only=True)
    return transfer_record(networks, store, spec.name, found, started=started, command=command)


def _open(network: Network, dataset: Dataset, name: str, cache: Path, steps: Steps) -> FrameStore:
    known = network.description
    store = open_store(
        dataset,
        name=name,
        size=known.size,
        crop=known.crop,
        cache=cache,
        workers=steps.workers,
        progress=steps.decoding,
    )
    for sentence in (*dataset.notes, *dataset.problems, *store.problems):
        steps.note(sentence)
    _warn_of_landmarks(network, store, steps)
    return store


def _warn_of_landmarks(network: Network, store: FrameStore, steps: Steps) -> None:
    points = network.description.landmarks
    given = {0 if s.landmarks is None else s.landmarks.shape[1] for s in store.sequences}
    if points and given != {points}:
        steps.note(
            f"{network.description.id} was trained with {points} landmarks a face, and not every "
            "recording comes with them: it uses those of a mean face"
        )


def _predict(
    networks: Sequence[Network], store: FrameStore, films: Sequence[Film], steps: Steps
) -> Iterator[tuple[FacePrediction, Film]]:
    stored = {each.name: each for each in store.sequences}
    probabilities = predict_films(networks, store, steps.predicting)
    aus = len(networks[0].aus)
    for film in films:
        of_network = replace(film, labels=np.full((len(film.frames), aus), -1, np.int8))
        yield (
            face_prediction(
                of_network, stored.get(film.name), probabilities.get(film.name), store.crop
            ),
            film,
        )


def _placed(
    found: FacePrediction,
    recording: Recording,
    faces: Mapping[str, list[Face]] | None,
    film: Film,
) -> FacePrediction:
    """Give a prediction its recording's name and times, and its face's id and confidence."""
    number = int(film.task)
    times = recording.times[np.searchsorted(recording.frames, film.frames)]
    found = replace(found, recording=recording.name, face=number, times=times)
    if faces is None:
        return found
    face = next(face for face in faces[recording.name] if face.id == number)
    confidence = np.where(found.success, face.confidence, 0).astype(np.float32)
    found = replace(found, confidence=confidence, looked_for=True)
    return _padded(found, recording) if len(faces[recording.name]) == 1 else found


def _padded(found: FacePrediction, recording: Recording) -> FacePrediction:
    """Give the only face of a recording a row on every frame, gaps before and after it."""
    whole = _all_gap(recording, found.probabilities.shape[1])
    at = np.searchsorted(recording.frames, found.frames)
    for name in ("success", "confidence", "probabilities"):
        getattr(whole, name)[at] = getattr(found, name)
    return replace(whole, face=found.face)


def _all_gap(recording: Recording, aus: int) -> FacePrediction:
    """Return what is said of a recording in which a face was looked for, and none is known."""
    count = len(recording.frames)
    return FacePrediction(
        recording=recording.name,
        face=0,
        frames=recording.frames,
        times=recording.times,
        success=np.zeros(count, bool),
        confidence=np.zeros(count, np.float32),
        probabilities=np.full((count, aus), np.nan, np.float32),
        looked_for=True,
    )


def drawn_faces(
    recording: Recording,
    faces: Mapping[str, list[Face]] | None,
    predictions: Sequence[FacePrediction],
    crop: str,
) -> list[DrawnFace]:
    """Find where each predicted face's crop lies on its recording's frames, to be drawn."""
    films = {int(f.task): f for f in Recordings([recording], (), faces).sequences()}
    mine = [p for p in predictions if p.recording == recording.name and p.face in films]
    return [
        DrawnFace(p, plan_crops(films[p.face], crop, frame_sizes(films[p.face].source)).transforms)
        for p in mine
    ]
