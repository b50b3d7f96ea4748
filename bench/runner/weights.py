"""Trained weights as a file (`weights.safetensors`), and the network built from it again.

Beside the weights stands all that their use needs: method and knobs, AUs, crop, clip. What the
network makes of a few made-up frames stands there too (the probe), so that code that has come to
compute something else is noticed, and code that was only tidied up is not in the way. Written by
`run_cell`, read by `bench/inference`.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from bench.config.parsing import override_fields
from bench.config.registry import Registry
from bench.data.frame_table import FrameTable
from bench.errors import UsageError
from bench.frame_store.crop import canonical_face
from bench.frame_store.store import StoredSequence
from bench.results.kept_weights import WEIGHTS
from bench.study.cell import Cell
from bench.system.files import atomic_file
from bench.training.evaluate import predict
from bench.training.pixels import Pixels
from datasets._landmarks.markup import to_49
from methods._base import Method, MethodError, Task, Trunk
from methods._trunks import first_weights_skipped

from .record_builder import weights_hash
from .setup import Experiment

FORMAT = 1
PROBE_FRAMES = 8
PROBE_TOLERANCE = 2e-3
"""How far the probe's probabilities may be off: devices and libraries differ by less."""


@dataclass(frozen=True, kw_only=True)
class NetworkDescription:
    """What a file of weights says of the network that they belong to; plain values only."""

    cell: Mapping[str, Any]
    """Place in the grid, as a record keeps it."""
    id: str
    method_config: Mapping[str, Any]
    config: Mapping[str, Any]
    """The other knobs, by section; those of the dataset are left out: they name its places."""
    hashes: Mapping[str, str]
    code: Mapping[str, str]
    aus: tuple[int, ...]
    positive_rates: tuple[float | None, ...]
    """Of the labelled training frames; None for an AU that none of them is coded for."""
    labelled_frames: int
    unlabelled_frames: int
    clip_len: int
    """Frames of a clip in training."""
    test_clip_len: int
    """Frames of a clip in testing, the tested one in the middle."""
    stride: int
    """Frames between the neighbours of a clip in testing."""
    landmarks: int
    """Points of the landmarks that the network was trained with; 0 = it saw none."""
    precision: str
    """Of the arithmetic in training: `float32` or `bfloat16`."""
    stored_as: str
    final_weights: str
    """The record's hash of the trained weights."""
    stored_weights: str
    """Hash of the weights as stored: `final_weights`, unless they were rounded."""
    probe: tuple[tuple[float, ...], ...] = ()
    """Probabilities (frames, A) of the probe's frames."""

    @property
    def trunk(self) -> Trunk:
        """The image encoder."""
        return Trunk(**self.config["trunk"])

    @property
    def size(self) -> int:
        """Side of the face crop, pixels."""
        return int(self.config["data"]["size"])

    @property
    def crop(self) -> str:
        """How faces are cropped (`data.crop`)."""
        return str(self.config["data"]["crop"])


def write_weights(cell: Cell, experiment: Experiment) -> Path | None:
    """Write a cell's trained weights beside its record, if they are to be kept, and say where."""
    kept = cell.settings.train.keep_weights
    if kept == "false":
        return None
    method, dtype = experiment.method, None
    description = _described(cell, experiment, weights_hash(method))
    if kept == "bfloat16":
        dtype, method = torch.bfloat16, copy.deepcopy(method)
        method.load_state_dict(_stored(method, dtype) | _no_tensors(method))  # rounded
    description = replace(
        description,
        stored_weights=weights_hash(method),
        probe=_plain(probe(method, description)),
    )
    about = {"format": str(FORMAT), "network": _to_json(description)}
    about["extra_state"] = json.dumps(_no_tensors(method))
    content = save(_stored(method, dtype), about)
    path = cell.folder / WEIGHTS
    with atomic_file(path, "wb") as stream:
        stream.write(content)
    return path


def _stored(method: Method, dtype: torch.dtype | None) -> dict[str, Tensor]:
    """Return the weights in memory of their own each, as the format wants them."""
    tensors = {n: v.detach() for n, v in method.state_dict().items() if isinstance(v, Tensor)}
    return {
        name: value.to("cpu", dtype if value.is_floating_point() else None).contiguous().clone()
        for name, value in tensors.items()
    }


def _no_tensors(method: Method) -> dict[str, Any]:
    """Return what a method keeps by `get_extra_state()`: plain numbers and texts."""
    state = method.state_dict().items()
    return {name: value for name, value in state if not isinstance(value, Tensor)}


def _described(cell: Cell, experiment: Experiment, final_weights: str) -> NetworkDescription:
    task, table = experiment.method.task, experiment.table
    config = {name: knobs for name, knobs in cell.config().items() if name != "dataset"}
    sees = experiment.method.data_needs.landmarks and table.landmarks is not None
    return NetworkDescription(
        cell=cell.coordinates,
        id=cell.id,
        method_config=_without_paths(config.pop("method")),
        config={name: _without_paths(knobs) for name, knobs in config.items()},
        hashes=dict(cell.hashes),
        code=dict(cell.code),
        aus=task.aus,
        positive_rates=tuple(None if math.isnan(r) else r for r in task.positive_rates),
        labelled_frames=task.labelled_frames,
        unlabelled_frames=task.unlabelled_frames,
        clip_len=task.clip_len,
        test_clip_len=experiment.method.test_clip_len,
        stride=experiment.trainer.loader.sampler.test_stride,
        landmarks=table.landmarks.shape[1] if sees and table.landmarks is not None else 0,
        precision="bfloat16" if experiment.trainer.amp else "float32",
        stored_as=cell.settings.train.keep_weights.replace("true", "float32"),
        final_weights=final_weights,
        stored_weights=final_weights,
    )


def _without_paths(knobs: Mapping[str, Any]) -> dict[str, Any]:
    """Shorten the knobs that name a file to the file's name: where it lay is nobody's matter."""
    return {
        knob: Path(value).name if isinstance(value, str) and Path(value).is_file() else value
        for knob, value in knobs.items()
    }


def probe(method: Method, description: NetworkDescription) -> NDArray[np.float32]:
    """Return what the network makes (frames, A) of a short made-up film.

    It takes the way of every test frame: normalised, encoded, put into clips, classified.
    """
    images = made_up_film(PROBE_FRAMES, description.size)
    table = whole_film_table(len(images), len(description.aus), _probe_landmarks(description))
    film = StoredSequence("probe", "probe", "probe", 0, np.arange(len(images)), table.labels, None)
    device = next(method.parameters()).device
    pixels = Pixels(images, device)
    return predict(method, pixels, table, [film], description.stride).probabilities


def made_up_film(frames: int, side: int) -> NDArray[np.uint8]:
    """Draw frames (T, S, S, 3) of waves of colour that move: nobody's face, and never the same."""
    time = np.arange(frames)[:, None, None, None]
    row, column = np.mgrid[:side, :side] / side
    phase = 7 * row[..., None] + (3, 5, 9) * column[..., None] + 0.4 * time
    film: NDArray[np.uint8] = (127.5 + 127.5 * np.sin(phase)).astype(np.uint8)
    return film


def _probe_landmarks(description: NetworkDescription) -> NDArray[np.float32] | None:
    if not description.landmarks:
        return None
    face = canonical_face() * description.size
    points = face if description.landmarks == len(face) else to_49(face)
    return np.repeat(points[None], PROBE_FRAMES, axis=0).astype(np.float32)


def whole_film_table(
    frames: int, aus: int, landmarks: NDArray[np.float32] | None = None
) -> FrameTable:
    """Return the table of one film; its labels mean only that every frame is to be predicted."""
    first, last = np.zeros((2, frames), np.int64)
    return FrameTable(np.zeros((frames, aus), np.int8), first, last + frames - 1, landmarks)


def _plain(values: NDArray[np.float32]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(round(float(value), 6) for value in row) for row in values)


def _to_json(description: NetworkDescription) -> str:
    return json.dumps(asdict(description), allow_nan=False)


def read_description(path: Path) -> NetworkDescription:
    """Read what a file of weights says of its network, and nothing of the weights.

    Raises UsageError for a file that is missing, damaged or of another format.
    """
    try:
        with safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise UsageError(f"{path} is not a readable file of weights ({error})") from error
    if metadata.get("format") != str(FORMAT):
        raise UsageError(
            f"{path} holds weights of format {metadata.get('format', 'unknown')}, and this version "
            f"reads format {FORMAT}: train the cell again with --keep-weights"
        )
    try:
        return _from_json(metadata["network"])
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{path} was written by another version ({error}): train the cell again with "
            "--keep-weights"
        ) from error


def _from_json(text: str) -> NetworkDescription:
    known = {item.name for item in fields(NetworkDescription)}
    values = {name: value for name, value in json.loads(text).items() if name in known}
    for name in ("aus", "positive_rates"):
        values[name] = tuple(values[name])
    return NetworkDescription(**values)


def read_network(
    path: Path, registry: Registry, device: torch.device
) -> tuple[Method, NetworkDescription]:
    """Build the network that a file of weights is of, on a device, in eval mode.

    Raises UsageError where the file is damaged, or the code no longer makes that network of it.
    """
    description = read_description(path)
    method = _built(description, registry)
    with safe_open(path, framework="pt") as opened:
        state = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        state |= json.loads((opened.metadata() or {}).get("extra_state", "{}"))
    try:
        method.load_state_dict(state)
    except RuntimeError as error:
        detail = str(error).partition("\n\t")[2].partition("\n")[0] or str(error)
        raise _misfit(
            description, f"the weights do not fit its network ({detail[:150]})"
        ) from error
    if weights_hash(method) != description.stored_weights:
        raise UsageError(f"{path} is damaged: its weights are not those that were written")
    method = method.to(device).to(memory_format=torch.channels_last).eval()
    _check_probe(method, description)
    return method, description


def _check_probe(method: Method, description: NetworkDescription) -> None:
    farthest = float(np.abs(probe(method, description) - np.array(description.probe)).max())
    if farthest > PROBE_TOLERANCE:
        what = f"the same weights give other probabilities now (by up to {farthest:.3f})"
        raise _misfit(description, what)


def _misfit(description: NetworkDescription, what: str) -> UsageError:
    method = description.cell["method"]
    return UsageError(
        f"the weights of {description.id} no longer fit the code of {method}: {what}; go back to "
        "the version that trained them (`explain` names its commit), or train the cell again"
    )


def _built(description: NetworkDescription, registry: Registry) -> Method:
    """Build the untrained network; the random numbers that this draws are given back."""
    base = str(description.cell["method"]).partition(":")[0]
    cls = registry.method(base)
    try:
        config = override_fields(cls.Config(), description.method_config, base)
    except UsageError as error:
        raise _misfit(description, str(error)) from error
    count = description.labelled_frames
    task = Task(
        aus=description.aus,
        image_size=description.size,
        trunk=description.trunk,
        positive_rates=tuple(
            math.nan if rate is None else rate for rate in description.positive_rates
        ),
        labelled_frames=count,
        unlabelled_frames=description.unlabelled_frames,
        clip_len=description.clip_len,
        labels=torch.full((count, len(description.aus)), -1, dtype=torch.int8),
    )
    try:
        with first_weights_skipped(), torch.random.fork_rng(devices=[]):
            return cls(config, task)
    except MethodError as error:
        raise _misfit(description, str(error)) from error
