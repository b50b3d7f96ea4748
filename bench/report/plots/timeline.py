"""Timeline of one action unit in a sequence: labels, and what each method says of the frames.

After the paper's figure 4; for `plot`. Of a test sequence it shows what each network is sure of, by
FixMatch's rule: a frame is present or absent where the network gives that a probability of at least
`confidence`, and is discarded elsewhere. Of a training sequence it shows the pseudo labels: what a
method said of each frame when a step last held it.

Shapes: N frames of a run, T frames of the sequence, A action units.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from bench.report.aggregate import RunMatrix
from bench.report.model import NothingToShow
from bench.report.stored_frames import drawn_without, listed, read_labelled
from bench.results.predictions import NAME as PREDICTIONS
from bench.results.predictions import StoredPredictions
from bench.results.pseudo_labels import (
    ABSENT,
    DISCARDED,
    NEVER,
    PRESENT,
    StoredPseudoLabels,
    read_pseudo_labels,
)
from bench.results.pseudo_labels import NAME as PSEUDO_LABELS
from bench.results.records import Record
from bench.system.files import RecordError

from .style import grid_figure, title

UNCODED, UNSEEN = 3, 4
"""States beside those that pseudo labels have."""

STATES = {
    "absent": "#d5dde3",
    "present": "#0072B2",
    "discarded": "#E69F00",
    "not coded": "#ffffff",
    "in no step": "#f6f0e2",
}
"""Names and colours of a frame's states, in the order of their numbers."""

FACES = 16
"""Faces in the strip."""

_FACE_HEIGHT = 0.9
"""Inches."""

_KEYS_A_ROW = 4
"""Entries in a row of the legend."""

_MARK: Mapping[str, Any] = {"marker": "v", "markersize": 3, "color": "black", "linestyle": "none"}
"""How a frame whose label the run was given is marked, above the labels."""

Codes = NDArray[np.int64]
Faces = Callable[[str, str, NDArray[np.int64]], Sequence[NDArray[np.uint8]]]
"""(subject, task, frame numbers) -> the stored crop of each frame"""


@dataclass(frozen=True, kw_only=True)
class TimelineOptions:
    """Which timeline is wanted; by default the sequence and AU that change most often."""

    au: int | None = None
    sequence: str = ""
    """SUBJECT/TASK."""
    training: bool = False
    """Whether a training sequence with the pseudo labels is shown, and not a test sequence."""
    confidence: float = 0.95
    faces: Faces | None = None

    @property
    def chosen(self) -> list[str]:
        """Return the AU and the sequence that were asked for, as parts of a file's name."""
        au = [] if self.au is None else [f"AU{self.au}"]
        return [*au, *([re.sub(r"[^\w.]+", "-", self.sequence)] if self.sequence else [])]


def sure_states(probabilities: NDArray[np.float64], confidence: float) -> Codes:
    """Return PRESENT, ABSENT or DISCARDED for probabilities (T,)."""
    states = np.full(probabilities.shape, DISCARDED)
    states[probabilities >= confidence] = PRESENT
    states[1 - probabilities >= confidence] = ABSENT
    return states


@dataclass(frozen=True, kw_only=True)
class _Run:
    """One run: which frames it tells of, what is true of them, and what it says."""

    subject: NDArray[np.str_]
    task: NDArray[np.str_]
    frame: NDArray[np.int64]
    aus: tuple[int, ...]
    labels: NDArray[np.int8]
    """(N, A)."""
    states: Codes
    """(N, A)."""
    labelled: NDArray[np.bool_]
    """(N,) whether the run was given the label."""

    def places(self, subject: str, task: str) -> Codes:
        """Return where a sequence's frames stand, in the order of their numbers."""
        chosen = np.flatnonzero((self.subject == subject) & (self.task == task))
        ordered: Codes = chosen[np.argsort(self.frame[chosen], kind="stable")]
        return ordered


def timeline_plot(
    matrix: RunMatrix, ratio: float, options: TimelineOptions, notes: list[str] | None = None
) -> Figure:
    """Draw a strip of faces (if they are given), the labels, and a row for each method.

    Of a method's runs the first that holds the sequence is shown; `notes` takes a sentence on runs
    whose files cannot be read. Raises NothingToShow if no run stored what is asked for, be it an AU
    or a sequence.
    """
    runs, flaws = _runs(matrix, ratio, options)
    if flaws and notes is not None:
        notes.append(drawn_without(matrix, ratio, flaws))
    longest = max(runs.values(), key=len)
    au = _au(longest[0], options.au)
    subject, task = _sequence(longest, au, options.sequence)
    rows: dict[str, Codes] = {}
    frames, given = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.bool_)
    for label, of_method in runs.items():
        found = next((run for run in of_method if run.places(subject, task).size), None)
        if found is not None:
            places, column = found.places(subject, task), found.aus.index(au)
            truth = found.labels[places, column].astype(np.int64)
            frames, given = found.frame[places], found.labelled[places]
            rows["labels"] = np.where(truth < 0, UNCODED, truth)
            rows[label] = found.states[places, column]
    faces = options.faces(subject, task, _spread(frames)) if options.faces else []
    made = _drawn(rows, frames, given, faces)
    what = f"AU{au} of {subject} {task} at {matrix.heading(ratio)} labels"
    title(made, f"{what}: labels, and {_what(options)}; {matrix.condition.title(matrix.select)}")
    return made


def _what(options: TimelineOptions) -> str:
    if options.training:
        return "the pseudo labels of the step that last held a frame"
    return f"what each network is {100 * options.confidence:g} % sure of"


def _runs(
    matrix: RunMatrix, ratio: float, options: TimelineOptions
) -> tuple[dict[str, list[_Run]], list[str]]:
    """Return what runs stored, by line, in the order of folds and seeds; and what is unreadable."""
    results, flaws = matrix.scoring.results, list[str]()
    found: dict[str, list[_Run]] = {}
    read = _pseudo_labelled if options.training else _predicted
    for line in matrix.lines:
        for _, record in sorted(line.at(ratio).items(), key=lambda item: item[0]):
            if results is None or record.status != "done":
                continue
            try:
                run = read(results / "runs" / record.id, record, options)
            except RecordError as error:
                flaws.append(str(error))
                continue
            if run is not None:
                found.setdefault(line.label, []).append(run)
    if not found:
        missing = PSEUDO_LABELS if options.training else f"{PREDICTIONS} that holds labels"
        why = " with a method that makes some" if options.training else ""
        what = f"no run at ratio {ratio:g} has a {missing}"
        raise NothingToShow(f"{what}: run it again (--fresh){why}{listed(flaws)}")
    return found, flaws


def _predicted(folder: Path, _: Record, options: TimelineOptions) -> _Run:
    """Read what a cell's network says of its test frames; raises RecordError if it cannot."""
    stored, labels = read_labelled(folder / PREDICTIONS)
    states = sure_states(stored.probabilities.astype(np.float64), options.confidence)
    return _run(stored, labels, states, np.zeros(len(states), dtype=np.bool_))


def _pseudo_labelled(folder: Path, record: Record, _: TimelineOptions) -> _Run | None:
    """Read what a cell's method said of its training frames; None if it made no pseudo labels.

    Raises RecordError if it did and they cannot be read.
    """
    stored = read_pseudo_labels(folder / PSEUDO_LABELS)
    if stored is None and record.audit:
        raise RecordError(f"{folder / PSEUDO_LABELS} is missing")
    if stored is None:
        return None
    codes = stored.codes.astype(np.int64)
    return _run(stored, stored.labels, np.where(codes == NEVER, UNSEEN, codes), stored.labelled)


def _run(
    stored: StoredPredictions | StoredPseudoLabels,
    labels: NDArray[np.int8],
    states: Codes,
    labelled: NDArray[np.bool_],
) -> _Run:
    return _Run(
        subject=stored.subject,
        task=stored.task,
        frame=stored.frame,
        aus=tuple(stored.aus.tolist()),
        labels=labels,
        states=states,
        labelled=labelled,
    )


def _au(run: _Run, wanted: int | None) -> int:
    """Return the AU; by default the one whose labels change most often."""
    if wanted is None:
        changes = (np.diff(run.labels.astype(np.int64), axis=0) != 0).sum(axis=0)
        return run.aus[int(np.argmax(changes))]
    if wanted not in run.aus:
        raise NothingToShow(f"no AU{wanted} is there: choose one of {', '.join(map(str, run.aus))}")
    return wanted


def _sequence(runs: Sequence[_Run], au: int, wanted: str) -> tuple[str, str]:
    """Return subject and task; by default of the sequence of which most can be seen.

    That is the one with most changes of the AU, times the share of frames that were in some step.
    """
    seen: dict[tuple[str, str], float] = {}
    for run in runs:
        column = run.aus.index(au)
        for subject, task in dict.fromkeys(zip(run.subject, run.task, strict=True)):
            places = run.places(subject, task)
            changes = (np.diff(run.labels[places, column].astype(np.int64)) != 0).sum()
            told = (run.states[places, column] != UNSEEN).mean()
            name = str(subject), str(task)
            seen[name] = max(seen.get(name, 0.0), float(changes * told))
    if not wanted:
        return max(seen, key=lambda name: seen[name])
    subject, _, task = wanted.partition("/")
    if (subject, task) not in seen:
        some = ", ".join("/".join(name) for name in list(seen)[:5])
        raise NothingToShow(
            f"{wanted} is no sequence of these runs (SUBJECT/TASK); such are {some}"
        )
    return subject, task


def _spread(frames: NDArray[np.int64]) -> NDArray[np.int64]:
    """Choose frames for the strip: the middles of parts of equal length."""
    count = min(FACES, len(frames))
    chosen: NDArray[np.int64] = frames[((np.arange(count) + 0.5) * len(frames) / count).astype(int)]
    return chosen


def _drawn(
    rows: Mapping[str, Codes],
    frames: NDArray[np.int64],
    given: NDArray[np.bool_],
    faces: Sequence[NDArray[np.uint8]],
) -> Figure:
    keys = _legend(rows, given)
    legend = 0.2 * -(-len(keys) // _KEYS_A_ROW)
    panels = [*([_FACE_HEIGHT] if faces else []), 0.75 + legend + 0.26 * len(rows)]
    with grid_figure(len(panels), 1, sum(panels) / len(panels)) as (made, axes):
        grid = axes[0].get_gridspec()
        assert grid is not None
        grid.set_height_ratios(panels)
        _states(axes[-1], rows, frames)
        at = np.flatnonzero(given)
        if at.size:  # an empty line would take all room below the rows
            axes[-1].plot(at, np.full(len(at), -0.62), **_MARK, clip_on=False)
        if faces:
            axes[0].imshow(np.concatenate(list(faces), axis=1))
            axes[0].axis("off")
        made.legend(handles=keys, loc="outside lower center", ncols=_KEYS_A_ROW, frameon=False)
    return made


def _legend(rows: Mapping[str, Codes], given: NDArray[np.bool_]) -> list[Patch | Line2D]:
    """Return an entry for each state that is drawn, and for the frames with a label."""
    values = np.concatenate(list(rows.values()))
    shown = [name for code, name in enumerate(STATES) if (values == code).any()]
    states = [Patch(facecolor=STATES[n], edgecolor="#777777", label=n) for n in shown]
    marks = [Line2D([], [], **_MARK, label="labelled frame")] if given.any() else []
    return [*states, *marks]


def _states(axes: Axes, rows: Mapping[str, Codes], frames: NDArray[np.int64]) -> None:
    """Draw a row of colours for the labels and for each method, a column a frame."""
    values, colours = np.array(list(rows.values())), ListedColormap(list(STATES.values()))
    axes.imshow(
        values,
        cmap=colours,
        vmin=-0.5,
        vmax=len(STATES) - 0.5,
        aspect="auto",
        interpolation="nearest",
    )
    axes.set_yticks(range(len(rows)), list(rows))
    ticks = np.unique(np.linspace(0, len(frames) - 1, 8).astype(int))
    axes.set_xticks(ticks, [str(frames[at]) for at in ticks])
    axes.set_xlabel("frame")
    axes.grid(visible=False)
    axes.tick_params(length=0)
    for row in range(1, len(rows)):
        axes.axhline(row - 0.5, color="white", lw=2)
