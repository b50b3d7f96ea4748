"""Small real cells: the embedded dataset with few short recordings, and a preset of seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from bench.config.names import GridPoint, MethodName
from bench.config.presets import PRESETS
from bench.data.dataset import DatasetSpec, OpenedDataset
from bench.results.records import Record
from bench.runner.context import ProgressEvent, RunContext
from bench.runner.run_cell import run_cell
from bench.study.cell import Cell, plan_cells
from bench.study.study import Study, StudyContext, make_study
from tests.helpers import manifest_tree

TINY = (
    "synthetic.subjects=6",
    "synthetic.tasks=T1,T7",
    "synthetic.frames=12",
    "synthetic.size=48",
    "data.size=32",
    "train.batch_size=4",
    "train.steps=6",
)

UNTAUGHT = "AU24: present on no labelled training frame, so there was nothing to learn"
"""What every record of the tiny dataset warns of at its usual ratio."""


def study(
    results: Path,
    *,
    methods: Sequence[str] = ("supervised",),
    ratios: Sequence[str] = ("0.2",),
    knobs: Sequence[str] = (),
    plugins: Sequence[Path] = (),
    seeds: Sequence[int] = (0,),
) -> Study:
    """Ask for a tiny grid, its records and frames under `results`."""
    return make_study(
        methods=methods,
        ratios=ratios,
        preset="smoke",
        knobs=(*TINY, *knobs),
        results=results,
        cache=results / "cache",
        plugins=plugins,
        seeds=seeds,
    )


def grid(asked: Study) -> list[Cell]:
    """List a study's cells, its frames decoded in this process."""
    return plan_cells(asked, opened(asked))


def manifest_grid(folder: Path, rows: list[dict[str, str]], folds: Sequence[int]) -> list[Cell]:
    """Write rows as the manifest of `folder/data`, and list its supervised cells at all labels."""
    manifest_tree.write(folder / "data", rows)
    asked = make_study(
        dataset="manifest",
        root=folder / "data",
        methods=("supervised",),
        ratios=("1",),
        folds=folds,
        preset="smoke",
        knobs=("data.size=32", "train.batch_size=4", "train.steps=2"),
        results=folder,
        cache=folder / "cache",
    )
    return grid(asked)


def opened(asked: Study) -> OpenedDataset:
    """Open a study's dataset."""
    context = asked.context
    return context.dataset.open(context.settings.data, context.cache)


def planned(
    results: Path,
    method: str = "supervised",
    ratio: float = 0.1,
    fold: int = 0,
    **train: Any,
) -> Cell:
    """Make a cell that no data stands behind, with `train`'s knobs; its hash is its place's."""
    settings = PRESETS["quick"].settings
    context = StudyContext(
        dataset=DatasetSpec("synthetic"),
        preset="quick",
        settings=replace(settings, train=replace(settings.train, **train)),
        results=results,
        cache=Path("cache"),
    )
    return Cell(
        context=context,
        method=MethodName.parse(method),
        point=GridPoint(ratio=ratio, fold=fold, seed=0),
        method_config={},
        settings=context.settings,
        mask_file=results / "mask.json",
        hashes={"cell": f"{method}{ratio}{fold}".ljust(10, "0")},
    )


def run(cell: Cell, **context: Any) -> Record:
    """Carry a cell out on the CPU."""
    return run_cell(cell, RunContext(torch.device("cpu"), "test", **context))


TIMINGS = ("seconds", "rates", "environment", "peak_memory_mib")


def outcome(record: Record) -> dict[str, Any]:
    """Return what a record says of the result: all but timings and where it ran."""
    return {key: value for key, value in asdict(record).items() if key not in TIMINGS}


class StopAt:
    """Asks to stop when it was asked `count` times."""

    def __init__(self, count: int):
        self.left = count

    def __call__(self) -> bool:
        self.left -= 1
        return self.left <= 0


class Listening:
    """Remembers what an executor says."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.records: list[Record] = []
        self.events: list[ProgressEvent] = []
        self.saving: list[str] = []
        self.notes: list[str] = []

    def started(self, cell: Cell) -> None:
        self.begun.append(cell.id)

    def progress(self, event: ProgressEvent) -> None:
        self.events.append(event)

    def finished(self, record: Record) -> None:
        self.records.append(record)

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)

    def stopping(self, running: Sequence[str]) -> None:
        self.saving += running
