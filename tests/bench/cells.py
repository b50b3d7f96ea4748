"""Small real cells: the embedded dataset with few short recordings, and a preset of seconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.data.dataset import OpenedDataset, make_dataset, open_data
from bench.results.records import Record
from bench.runner.run_cell import ProgressEvent
from bench.study.cell import Cell, plan_cells
from bench.study.study import Study, make_study

TINY = (
    "synthetic.subjects=6",
    "synthetic.tasks=T1,T7",
    "synthetic.frames=12",
    "synthetic.size=48",
    "data.size=32",
    "train.batch_size=4",
    "train.steps=6",
)


def study(
    results: Path,
    *,
    methods: Sequence[str] = ("supervised",),
    ratios: Sequence[str] = ("0.2",),
    knobs: Sequence[str] = (),
    plugins: Sequence[Path] = (),
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
    )


def grid(asked: Study) -> list[Cell]:
    """List a study's cells, its frames decoded in this process."""
    return plan_cells(asked, opened(asked))


def opened(asked: Study) -> OpenedDataset:
    """Open a study's dataset."""
    cls = asked.registry.dataset(asked.dataset)
    dataset = make_dataset(cls, asked.dataset, asked.root, asked.dataset_options)
    return open_data(dataset, asked.dataset, asked.settings.data, asked.cache)


class Listening:
    """Remembers what an executor says."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.records: list[Record] = []
        self.ticks: list[ProgressEvent] = []
        self.saving: list[str] = []
        self.notes: list[str] = []

    def started(self, cell: Cell) -> None:
        self.begun.append(cell.id)

    def tick(self, tick: ProgressEvent) -> None:
        self.ticks.append(tick)

    def finished(self, record: Record) -> None:
        self.records.append(record)

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)

    def stopping(self, running: Sequence[str]) -> None:
        self.saving += running
