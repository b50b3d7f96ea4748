"""Make the weights of `trunk.weights=faces`: a narrow ResNet-18 taught to find landmarks.

    PYTHONPATH=. python studies/pretrain_faces.py --width 0.25

The faces are two procedural casts that no benchmark can reach (`datasets.synthetic.recording` with
a seed below 0); the task is where the 68 landmarks are, and no AU label is read. Writes the weights
and, beside them, a record of how they were made into `methods/weights/`.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.config.settings import AugmentConfig
from bench.frame_store.store import FrameStore, StoredSequence, open_store
from bench.system.environment import describe, keep_freed_memory, one_thread
from bench.system.files import atomic_file
from bench.system.hashing import file_digest
from bench.training.augment import augment, move_landmarks, normalise, strong_draw
from datasets._base import Dataset, FoldList, Sequence
from datasets._landmarks.markup import MIRROR_68
from datasets.synthetic import AUS, SUBJECTS, TASKS, recording
from methods._base import Trunk
from methods._trunks import ImageTrunk, build_trunk, faces_weights, save_weights

CASTS = (-1, -2)
"""Seeds of the casts; `--dataset synthetic` refuses seeds below 0."""

HELD_OUT = 4
"""Subjects of each cast on which the error is measured."""

VIEWS = AugmentConfig(rotate=20, scale=0.15, translate=0.08, strong_ops=2, cutout=0.25)
"""Wider than any preset's, so that the features serve other crops too."""


@dataclass(frozen=True)
class Plan:
    """What is taught, and for how long."""

    width: float = 0.25
    size: int = 64
    frames: int = 40
    steps: int = 2500
    batch: int = 64
    lr: float = 4e-3
    weight_decay: float = 0.02
    seed: int = 0


class Casts(Dataset):
    """The recordings of the casts; they have no folds."""

    aus, needs_root = AUS, False

    def __init__(self, frames: int):
        super().__init__(None)
        self.frames = frames

    def sequences(self) -> list[Sequence]:
        """Play every recording; a subject's name tells the cast."""
        return [
            _renamed(recording(cast, subject, task, self.frames), f"{subject}.{-cast}")
            for cast in CASTS
            for subject in SUBJECTS
            for task in TASKS
        ]

    def folds(self) -> FoldList:
        """Return no folds."""
        raise NotImplementedError


def _renamed(sequence: Sequence, subject: str) -> Sequence:
    return Sequence(
        subject=subject,
        task=sequence.task,
        frames=sequence.frames,
        labels=sequence.labels,
        source=sequence.source,
        landmarks=sequence.landmarks,
    )


class LandmarkNet(nn.Module):
    """A trunk and one linear layer: images (N, 3, S, S) -> landmarks (N, 68, 2), -1 to 1."""

    def __init__(self, trunk: ImageTrunk):
        super().__init__()
        self.trunk = trunk
        self.head = nn.Linear(trunk.num_features, 136)

    def forward(self, images: Tensor) -> Tensor:
        """Find the landmarks."""
        points: Tensor = self.head(self.trunk(images)).reshape(-1, 68, 2)
        return points


def rows_of(sequence: StoredSequence) -> NDArray[np.int64]:
    """Return the rows of a sequence's frames in the store."""
    return np.arange(sequence.start, sequence.start + len(sequence.frames))


def points_of(store: FrameStore) -> NDArray[np.float32]:
    """Return where the landmarks of all rows are, (N, 68, 2), pixels of the stored frame."""
    marks = np.full((len(store.images), 68, 2), np.nan, np.float32)
    for sequence in store.sequences:
        if sequence.landmarks is not None:
            marks[rows_of(sequence)] = sequence.landmarks
    return marks


def train(plan: Plan, store: FrameStore) -> tuple[LandmarkNet, dict[str, Any]]:
    """Teach a network to find the landmarks; returns it and what was seen on the way."""
    torch.manual_seed(plan.seed)
    net = LandmarkNet(build_trunk(Trunk(width=plan.width), plan.size)).train()
    net = net.to(memory_format=torch.channels_last)
    marks, (taught, held_out) = points_of(store), _divided(store)
    optimiser = torch.optim.AdamW(net.parameters(), plan.lr, weight_decay=plan.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, plan.lr, plan.steps)
    rng, began = np.random.default_rng(plan.seed), time.monotonic()
    for step in range(plan.steps):
        rows = rng.choice(taught, plan.batch, replace=False)
        loss = _loss(net, store, marks, rows, seed=plan.seed + step)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        if step % 100 == 99:
            print(f"step {step + 1}/{plan.steps}: loss {loss.item():.4f}", flush=True)
    found = {"seconds": round(time.monotonic() - began), "frames_taught": len(taught)}
    return net.eval(), found | {
        "held_out_error_px": round(_error(net, store, marks, held_out[::7]), 3)
    }


def _divided(store: FrameStore) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows that are taught and those of the held-out subjects."""
    subjects = sorted({sequence.subject for sequence in store.sequences})
    apart = set(subjects[:: len(subjects) // (HELD_OUT * len(CASTS))])
    rows: dict[bool, list[NDArray[Any]]] = {True: [], False: []}
    for sequence in store.sequences:
        rows[sequence.subject in apart].append(rows_of(sequence))
    return np.concatenate(rows[False]), np.concatenate(rows[True])


def _loss(
    net: LandmarkNet, store: FrameStore, marks: NDArray[Any], rows: NDArray[Any], *, seed: int
) -> Tensor:
    """Return the mean absolute error of a batch's landmarks, in half image sides."""
    order, side = np.arange(len(rows)), store.size
    draw = strong_draw(VIEWS, len(rows), seed)
    images = augment(torch.from_numpy(store.images[rows]), order, draw)
    moved = move_landmarks(marks[rows], order, draw, mirror=MIRROR_68, side=side)
    target = torch.from_numpy(moved * (2 / side) - 1)
    found = net(images.contiguous(memory_format=torch.channels_last))
    loss: Tensor = (found - target).abs().mean()
    return loss


@torch.no_grad()
def _error(net: LandmarkNet, store: FrameStore, marks: NDArray[Any], rows: NDArray[Any]) -> float:
    """Return the mean distance between found and true landmarks, pixels of the stored frame."""
    parts = np.array_split(rows, max(1, len(rows) // 256))
    images = [normalise(torch.from_numpy(store.images[part])) for part in parts]
    found = torch.cat([net(part) for part in images]).numpy()
    distance = np.linalg.norm((found + 1) * (store.size / 2) - marks[rows], axis=2)
    return float(distance.mean())


def main() -> None:
    """Draw the faces, teach, and write weights and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=float, default=Plan.width)
    parser.add_argument("--steps", type=int, default=Plan.steps)
    parser.add_argument("--cache", type=Path, default=Path("cache"))
    given = parser.parse_args()
    plan = Plan(width=given.width, steps=given.steps)
    began = time.time()
    one_thread()
    keep_freed_memory()
    casts = Casts(plan.frames)
    store = open_store(casts, name="pretraining-casts", size=plan.size, cache=given.cache)
    net, found = train(plan, store)
    path = faces_weights(Trunk(width=plan.width))
    save_weights(net.trunk.body, path)
    record = {
        "task": "68 landmarks of procedural faces, no AU label",
        "casts": CASTS,
        "frames_sha256": store.content_hash,
        "plan": asdict(plan),
        "views": asdict(VIEWS),
        **found,
        "sha256": file_digest(path),
        "made": datetime.now(UTC).date().isoformat(),
        "environment": describe(torch.device("cpu"), began, "studies/pretrain_faces.py"),
    }
    with atomic_file(path.with_suffix(".json")) as file:
        file.write(json.dumps(record, indent=1) + "\n")
    print(f"{path}: held-out error {found['held_out_error_px']} px of {plan.size}")


if __name__ == "__main__":
    main()
