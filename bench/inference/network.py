"""A trained network by its cell's name, and what it makes of frames; for `predict` and scripts.

    from bench.inference.network import load_network
    network = load_network("results", "synthetic-supervised-r0.1-f0")
    probabilities = network.predict(crops)

Shapes: T frames of a film, S pixels a side of the face crop, A action units, L landmarks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bench.config.registry import Registry
from bench.errors import UsageError
from bench.frame_store.store import StoredSequence
from bench.results.explain import find_cell
from bench.results.kept_weights import WEIGHTS, kept_weights
from bench.runner.weights import NetworkDescription, read_network, whole_film_table
from bench.training.evaluate import predict
from bench.training.pixels import Pixels
from methods._base import Method


@dataclass(frozen=True)
class Network:
    """A trained network, ready to predict."""

    method: Method
    description: NetworkDescription

    @property
    def aus(self) -> tuple[int, ...]:
        """The action units, in the order of all probabilities."""
        return self.description.aus

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.method.parameters()).device

    def predict(
        self, crops: NDArray[np.uint8], landmarks: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Return the probabilities (T, A) of one film's face crops (T, S, S, 3), RGB.

        `landmarks` (T, L, 2) in pixels of the crop, for a method that sees them. Raises ValueError
        for crops of another size than the network's.
        """
        side = self.description.size
        if crops.shape[1:] != (side, side, 3) or crops.dtype != np.uint8:
            raise ValueError(
                f"crops are {crops.dtype} of shape {crops.shape}: "
                f"this network takes uint8 of shape (frames, {side}, {side}, 3)"
            )
        table = whole_film_table(len(crops), len(self.aus), landmarks)
        frames = np.arange(len(crops))
        film = StoredSequence("film", "", "film", 0, frames, table.labels, landmarks)
        pixels = Pixels(crops, self.device)
        return predict(self.method, pixels, table, [film], self.description.stride).probabilities


def load_network(
    results: Path | str,
    name: str,
    *,
    device: torch.device | str = "cpu",
    registry: Registry | None = None,
) -> Network:
    """Load the trained network of the cell whose id begins with `name`.

    Raises UsageError, in a sentence, where there is no such cell or it has no weights, where the
    file is damaged or not of this cell's training, and where the code has come to make another
    network of it.
    """
    cell = find_cell(Path(results), name)
    path = Path(results) / "runs" / cell.id / WEIGHTS
    if not path.exists():
        done = "its weights were not kept" if cell.record else f"it is {cell.state}, not done"
        raise UsageError(
            f"{cell.id} has no weights ({done}): `run --keep-weights` keeps them, "
            "with --fresh for cells that are done"
        )
    method, description = read_network(path, registry or Registry(), torch.device(device))
    if cell.record and cell.record.final_weights != description.final_weights:
        raise UsageError(f"{path} is not of this cell's training: its record has other weights")
    return Network(method, description)


def load_networks(
    results: Path, names: Sequence[str], device: torch.device, registry: Registry
) -> list[Network]:
    """Load the networks of several cells: beginnings of ids, or patterns with `*`, each once.

    Raises what `load_network` does, and UsageError for networks that make no ensemble.
    """
    ids: dict[str, None] = {}
    for name in names:
        ids |= dict.fromkeys(_matching(results, name) if "*" in name else [name])
    networks = {
        network.description.id: network
        for network in (load_network(results, i, device=device, registry=registry) for i in ids)
    }
    found = list(networks.values())
    check_ensemble(found)
    return found


def _matching(results: Path, pattern: str) -> list[str]:
    whole = pattern if pattern.endswith("*") else f"{pattern}*"
    found = [k.cell for k in kept_weights(results) if fnmatchcase(k.cell, whole)]
    if not found:
        raise UsageError(f"no cell in {results / 'runs'} with weights is like '{pattern}'")
    return found


def check_ensemble(networks: Sequence[Network]) -> None:
    """Raise UsageError unless networks tell the same AUs from the same crops."""
    if not networks:
        raise UsageError("name a cell: the beginning of its id (`status` lists them)")
    first = networks[0].description
    for other in (network.description for network in networks[1:]):
        for name, what in (("aus", "AUs"), ("size", "crop size"), ("crop", "crop")):
            ours, theirs = getattr(first, name), getattr(other, name)
            if ours != theirs:
                raise UsageError(
                    f"{first.id} and {other.id} make no ensemble: their {what} differ "
                    f"({ours}, not {theirs})"
                )
