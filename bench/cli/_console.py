"""The console of long commands: live progress on a terminal, plain lines elsewhere.

Used by `run`, `predict`, `data prepare` and `data audit`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from bench.data.dataset import OpenedDataset
from bench.results.records import Record
from bench.runner.context import ProgressEvent
from bench.study.cell import Cell
from bench.study.study import Study
from bench.system.signals import kill_like_ctrl_c

_LINE_INTERVAL = 30.0
"""Seconds between a cell's plain lines where output is no terminal."""


class RunDisplay:
    """Shows what happens to a grid's cells (a `Listener`), and remembers their records."""

    def __init__(self, console: Console, total: int):
        self.console, self.total = console, total
        self.records: list[Record] = []
        self.live = console.is_terminal
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not self.live,
        )
        self._grid = self._bars.add_task("cells", total=total, note="")
        self._tasks: dict[str, TaskID] = {}
        self._last_line: dict[str, float] = {}

    @contextmanager
    def showing(self) -> Iterator[None]:
        """Show the bars for as long as the block runs."""
        with self._bars:
            yield

    def started(self, cell: Cell) -> None:
        """Add a bar for the cell."""
        self._tasks[cell.id] = self._bars.add_task(_short(cell.id), total=None, note="")
        self._last_line[cell.id] = time.monotonic()

    def progress(self, event: ProgressEvent) -> None:
        """Move the cell's bar, or print a line from time to time."""
        loss = "" if event.loss is None else f"loss {event.loss:.3f}  "
        note = f"{loss}{event.frames_per_second:,.0f} frames/s"
        task = self._tasks[event.cell]
        self._bars.update(task, completed=event.step, total=event.total, note=note)
        if not self.live and time.monotonic() - self._last_line[event.cell] > _LINE_INTERVAL:
            self._last_line[event.cell] = time.monotonic()
            self.console.print(f"  {event.cell}: step {event.step}/{event.total}  {note}")

    def finished(self, record: Record) -> None:
        """Print the cell's outcome and take its bar away."""
        self.records.append(record)
        task = self._tasks.pop(record.id, None)
        if task is not None:
            self._bars.remove_task(task)
        self._bars.advance(self._grid)
        place = f"[{len(self.records)}/{self.total}]"
        self.console.print(f"{place} {record.id}  {describe_outcome(record)}", markup=False)

    def note(self, sentence: str) -> None:
        """Print what happened to the slots."""
        self.console.print(f"note: {sentence}", markup=False)

    def stopping(self, running: Sequence[str]) -> None:
        """Say that the running cells are being saved."""
        self.console.print(f"stopping: saving {len(running)} running cell(s) ...", markup=False)


def describe_outcome(record: Record) -> str:
    """Say in a few words how a cell ended."""
    if record.status != "done":
        return f"{record.status}: {record.reason}"
    seconds, rate = record.seconds["total"], record.rates["frames_per_second"]
    return f"F1 {100 * record.scores['last'].mean_f1:.1f}  {seconds:.0f} s  {rate:,.0f} frames/s"


def _short(cell_id: str) -> str:
    return cell_id.rsplit("-", 1)[0]


class FrameBar:
    """Progress over frames: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self, console: Console, doing: str = "decoding frames"):
        self.console, self.doing = console, doing
        self.progress = Progress(
            TextColumn(doing),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self.task: TaskID | None = None
        self.began = self.last_line = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        """Take a sign of life: `done` of `total` frames are over."""
        if self.task is None:
            self.progress.start()
            self.task = self.progress.add_task("", total=total)
        self.progress.update(self.task, completed=done, total=total)
        now = time.monotonic()
        if not self.console.is_terminal and (now - self.last_line > 10 or done == total):
            self.last_line = now
            self.console.print(f"{self.doing}: {done}/{total}{self._times(done, total, now)}")

    def _times(self, done: int, total: int, now: float) -> str:
        passed = now - self.began
        left = f", about {passed * (total - done) / done:.0f} s to go" if 0 < done < total else ""
        return f" after {passed:.0f} s{left}"

    def close(self) -> None:
        """Take the bar away."""
        self.progress.stop()


def stderr_console() -> Console:
    """Return the console for everything that is no result: progress, warnings, summaries."""
    return Console(
        stderr=True, soft_wrap=True, highlight=False, file=cast(TextIO, _LastingStream(sys.stderr))
    )


class _LastingStream:
    """A stream that goes quiet where it can no longer be written to.

    A closed terminal or a full disk under a log must not end a grid.
    """

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> int:
        """Write what can be written."""
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush what can be flushed."""
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


_PROBLEMS_SHOWN = 8
"""Left-out files that are named; the rest is counted (`data prepare` names them all)."""


def open_study_data(
    study: Study,
    console: Console,
    workers: int,
    named: int | None = _PROBLEMS_SHOWN,
    *,
    retry: bool = False,
) -> OpenedDataset:
    """Open the study's dataset with a progress bar; names what was left out (None: all of it).

    `retry` gives images that could not be read before another chance.
    """
    context = study.context
    folds = context.dataset.reader().folds()
    for fold in study.folds:
        folds.test_subjects(fold)  # a wrong one is said before hours of decoding
    bar = FrameBar(console)
    try:
        with kill_like_ctrl_c():
            data = context.dataset.open(
                context.settings.data, context.cache, workers=workers, progress=bar, retry=retry
            )
    except KeyboardInterrupt:
        console.print("stopped: decoded frames are kept, and the same command goes on from here")
        raise SystemExit(130) from None
    finally:
        bar.close()
    print_problems(console, data.problems, named)
    return data


def print_problems(console: Console, problems: Sequence[str], named: int | None) -> None:
    """Name the first of the things that a dataset left out, and count the rest."""
    for problem in problems[:named]:
        console.print(f"note: {problem}", markup=False)
    if named is not None and len(problems) > named:
        rest = len(problems) - named
        console.print(f"note: ... and {rest} more (`data prepare` names them all)", markup=False)


def counted(count: int, name: str) -> str:
    """Count things of a name that takes an s: `1 cell`, `2 cells`."""
    return f"{count} {name}" + "s" * (count != 1)
