"""Procedural face video with exact labels and landmarks: the dataset that needs no licence.

41 subjects (23 F, 18 M, named and folded as BP4D's) do 8 tasks at 25 fps; 12 action units. Rates
and signs of co-occurrence are BP4D's. Nothing lies on disk: a recording is a recipe, and its pixels
are drawn when they are read. How it is made and how hard it is: docs/datasets/synthetic.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from datasets._splits.folds import load_folds
from datasets._synthetic import performance, render
from datasets._synthetic import subjects as people
from datasets._synthetic.geometry import AUS

from ._base import BrokenFrame, Dataset, DatasetError, FoldList, Sequence

RENDERER_VERSION = 3
"""Raised whenever the same recipe would give other pixels, so that old frame stores are rebuilt."""


FULL = 5.0
"""An action at full strength, FACS intensity E, in numbers."""


@dataclass(frozen=True)
class Recipe:
    """All that a recording depends on: `frames` is the mean length, `side` a frame's in pixels."""

    seed: int
    subject: str
    task: str
    frames: int
    side: int

    def take(self) -> performance.Performance:
        """Play the recording: labels, movement, camera; no pixel."""
        return performance.perform(self.seed, self.subject, self.task, self.person(), self.frames)

    def person(self) -> people.Person:
        """Return who is filmed."""
        return _person(self.seed, self.subject)


SUBJECTS, TASKS = performance.SUBJECTS, performance.TASKS

_person = lru_cache(maxsize=64)(people.person)


@lru_cache(maxsize=2)
def _studio(seed: int, subject: str, side: int) -> render.Renderer:
    return render.Renderer(_person(seed, subject), side)


@final
@dataclass(frozen=True)
class RenderedFrames:
    """The frames of one recording, drawn when read; the same pixels in any process."""

    recipe: Recipe
    length: int

    def __len__(self) -> int:
        """Count the frames, T."""
        return self.length

    def fingerprint(self) -> str:
        """Hash the recipe and the renderer's version."""
        text = f"synthetic {RENDERER_VERSION} {self.recipe!r} {self.length}"
        return hashlib.sha256(text.encode()).hexdigest()

    def read(self, min_side: int | None = None) -> Iterator[NDArray[np.uint8] | BrokenFrame]:  # noqa: ARG002
        """Draw the frames in order, (S, S, 3) RGB uint8, always at full size."""
        recipe = self.recipe
        yield from _studio(recipe.seed, recipe.subject, recipe.side).film(recipe.take())

    def size(self) -> tuple[int, int]:
        """Return (height, width) of every frame."""
        return self.recipe.side, self.recipe.side


def portrait(
    subject: str, intensity: NDArray[np.floating[Any]], *, seed: int = 0, side: int = 128
) -> Iterator[NDArray[np.uint8]]:
    """Draw a subject who faces the camera and acts the given intensities (T, A), 0..1, of `AUS`."""
    who = _person(seed, subject)
    return _studio(seed, subject, side).film(performance.pose(who, intensity.astype(np.float32)))


@final
class Synthetic(Dataset):
    """The embedded dataset: faces drawn from a seed, with every label; reads no folder."""

    aus = AUS
    fps = performance.FPS
    needs_root: ClassVar[bool] = False
    option_help: ClassVar[Mapping[str, str]] = {
        "seed": "another cast and other recordings (default 0)",
        "subjects": "how many subjects, 1-41, or their names, comma-separated (default 41)",
        "tasks": "tasks, comma-separated, of T1-T8 (default all)",
        "frames": "mean length of a recording in frames, 10 or more; +-15 % (default 80)",
        "size": "side of the drawn frames in pixels, 48-512 (default 88)",
    }

    def __init__(self, root: Path | None = None, **options: object):
        super().__init__(root, **options)
        for key in options:
            if key not in self.option_help:
                raise DatasetError(
                    f"synthetic has no option {key}: it has {', '.join(self.option_help)}"
                )

    def sequences(self) -> list[Sequence]:
        """Play every recording of the chosen subjects and tasks; no pixel is drawn."""
        self.problems = []
        seed = self._number("seed", 0, 0, 2**31)
        frames = self._number("frames", 80, 10, 10_000)
        side = self._number("size", 88, 48, 512)
        tasks = self._names("tasks", performance.TASKS)
        return [
            recording(seed, subject, task, frames, side)
            for subject in self._subjects()
            for task in tasks
        ]

    def folds(self) -> FoldList:
        """Return BP4D's three subject-exclusive folds, less the subjects that were not chosen."""
        full, chosen = load_folds("bp4d"), set(self._subjects())
        groups = tuple(tuple(s for s in group if s in chosen) for group in full.groups)
        return FoldList(full.name, groups, full.sha256)

    def _subjects(self) -> list[str]:
        given = str(self.options.get("subjects", len(performance.SUBJECTS)))
        if not given.isdigit():
            return self._names("subjects", performance.SUBJECTS)
        count = self._number("subjects", len(performance.SUBJECTS), 1, len(performance.SUBJECTS))
        # Women and men in turn: the first few already reach every fold.
        return sorted(sorted(performance.SUBJECTS, key=lambda name: (int(name[1:]), name))[:count])

    def _names(self, key: str, known: tuple[str, ...]) -> list[str]:
        given = self.options.get(key, known)
        parts = (
            given
            if isinstance(given, Iterable) and not isinstance(given, str)
            else str(given).split(",")
        )
        names = sorted({str(part).strip() for part in parts} - {""})
        for name in names:
            if name not in known:
                raise DatasetError(
                    f"synthetic.{key}: there is no {name} among {known[0]} to {known[-1]}"
                )
        if not names:
            raise DatasetError(
                f"synthetic.{key} names nothing: leave it out or give some of {', '.join(known)}"
            )
        return names

    def _number(self, key: str, default: int, low: int, high: int) -> int:
        given = self.options.get(key, default)
        try:
            value = int(str(given))
        except ValueError:
            raise DatasetError(f"synthetic.{key} is {given!r}: give a whole number") from None
        if not low <= value <= high:
            raise DatasetError(f"synthetic.{key} is {value}: give a number from {low} to {high}")
        return value


def recording(seed: int, subject: str, task: str, frames: int = 80, side: int = 88) -> Sequence:
    """Play one recording of about so many frames of `side` pixels; no pixel is drawn.

    The option `seed` reaches casts from 0 on. Those below are for teaching trunks
    (`studies/pretrain_faces.py`): no benchmark can meet their faces.
    """
    recipe = Recipe(seed, subject, task, frames, side)
    take = recipe.take()
    return Sequence(
        subject=recipe.subject,
        task=recipe.task,
        frames=np.arange(1, len(take.labels) + 1),
        labels=take.labels,
        source=RenderedFrames(recipe, len(take.labels)),
        landmarks=render.landmarks(recipe.person(), take, recipe.side),
        intensities=np.clip(FULL * take.intensity, 0, FULL).astype(np.float32),
    )
