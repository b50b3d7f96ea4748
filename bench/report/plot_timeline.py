"""Timeline of one action unit in a test sequence: labels, and what each network is sure of.

After the paper's figure 4; for `plot`. What is sure is decided by FixMatch's rule: a frame is
present or absent where the network gives that a probability of at least `confidence`, and is
discarded elsewhere.

Shapes: T coded test frames of the sequence, A action units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from bench.results.predictions import NAME, StoredPredictions, read_predictions
from bench.results.records import Record
from bench.system.files import RecordError

from .aggregate import RunMatrix
from .model import NothingToShow, ReportError
from .plot_style import grid_figure, title

ABSENT, PRESENT, DISCARDED, UNCODED = 0, 1, 2, 3
STATES = {"absent": "#d5dde3", "present": "#0072B2", "discarded": "#E69F00", "not coded": "#ffffff"}
"""Names and colours of a frame's states, in the order of their numbers."""

FACES = 16
"""Faces in the strip."""

_FACE_HEIGHT = 0.9
"""Inches."""

Codes = NDArray[np.int64]
Faces = Callable[[str, str, NDArray[np.int64]], Sequence[NDArray[np.uint8]]]
"""(subject, task, frame numbers) -> the stored crop of each frame"""


@dataclass(frozen=True, kw_only=True)
class TimelineOptions:
    """Which timeline is wanted; by default the sequence and AU that change most often."""

    au: int | None = None
    sequence: str = ""
    """SUBJECT/TASK."""
    confidence: float = 0.95
    faces: Faces | None = None


def sure_states(probabilities: NDArray[np.float64], confidence: float) -> Codes:
    """Return PRESENT, ABSENT or DISCARDED for probabilities (T,)."""
    states = np.full(probabilities.shape, DISCARDED)
    states[probabilities >= confidence] = PRESENT
    states[1 - probabilities >= confidence] = ABSENT
    return states


def timeline_plot(matrix: RunMatrix, ratio: float, options: TimelineOptions) -> Figure:
    """Draw a strip of faces (if they are given), the labels, and a row for each method.

    Of a method's runs the first that tested the sequence is shown. Raises NothingToShow if no run
    stored its labels, ReportError for an AU or a sequence that none of them tested.
    """
    runs = _runs(matrix, ratio)
    longest = max(runs.values(), key=len)
    first = longest[0]
    place = _place(first, options.au)
    subject, task = _sequence(longest, place, options.sequence)
    rows: dict[str, Codes] = {}
    frames = np.empty(0, dtype=np.int64)
    for label, stored in runs.items():
        of = [(one, chosen) for one in stored if (chosen := _frames_of(one, subject, task)).size]
        if of:
            one, chosen = of[0]
            assert one.labels is not None
            truth = one.labels[chosen, place].astype(np.int64)
            frames = one.frame[chosen]
            rows["labels"] = np.where(truth < 0, UNCODED, truth)
            shares = one.probabilities[chosen, place].astype(np.float64)
            rows[label] = sure_states(shares, options.confidence)
    faces = options.faces(subject, task, _spread(frames)) if options.faces else []
    made = _drawn(rows, frames, faces)
    what = f"AU{first.aus[place]} of {subject} {task} at {matrix.heading(ratio)} labels"
    title(
        made,
        f"{what}: labels, and what each network is {100 * options.confidence:g} % sure of; "
        f"{matrix.condition.title(matrix.select)}",
    )
    return made


def _runs(matrix: RunMatrix, ratio: float) -> dict[str, list[StoredPredictions]]:
    """Return the stored predictions that hold labels, by line, in the order of folds and seeds."""
    found: dict[str, list[StoredPredictions]] = {}
    for line in matrix.lines:
        for _, record in sorted(line.at(ratio).items(), key=lambda item: item[0]):
            stored = _stored(matrix, record)
            if stored is not None and stored.labels is not None:
                found.setdefault(line.label, []).append(stored)
    if not found:
        raise NothingToShow(
            f"no run at ratio {ratio:g} has a {NAME} that holds labels: run it again"
        )
    return found


def _stored(matrix: RunMatrix, record: Record) -> StoredPredictions | None:
    if matrix.scoring.results is None:
        return None
    try:
        return read_predictions(matrix.scoring.results / "runs" / record.id / NAME)
    except RecordError:
        return None


def _place(stored: StoredPredictions, au: int | None) -> int:
    """Return the place of an AU; by default of the one whose labels change most often."""
    aus: list[int] = stored.aus.tolist()
    if au is None:
        assert stored.labels is not None
        changes = (np.diff(stored.labels.astype(np.int64), axis=0) != 0).sum(axis=0)
        return int(np.argmax(changes))
    if au not in aus:
        raise ReportError(f"no AU{au} was tested: choose one of {', '.join(map(str, aus))}")
    return aus.index(au)


def _sequence(stored: Sequence[StoredPredictions], place: int, wanted: str) -> tuple[str, str]:
    """Return subject and task; by default of the sequence in which the AU changes most often."""
    changes: dict[tuple[str, str], int] = {}
    for one in stored:
        assert one.labels is not None
        for subject, task in dict.fromkeys(zip(one.subject, one.task, strict=True)):
            labels = one.labels[_frames_of(one, subject, task), place].astype(np.int64)
            changes[str(subject), str(task)] = int((np.diff(labels) != 0).sum())
    if not wanted:
        return max(changes, key=lambda name: changes[name])
    subject, _, task = wanted.partition("/")
    if (subject, task) not in changes:
        some = ", ".join("/".join(name) for name in list(changes)[:5])
        raise ReportError(f"{wanted} is no tested sequence (SUBJECT/TASK); such are {some}")
    return subject, task


def _frames_of(stored: StoredPredictions, subject: str, task: str) -> Codes:
    """Return where a sequence's frames stand, in the order of their numbers."""
    chosen = np.flatnonzero((stored.subject == subject) & (stored.task == task))
    ordered: Codes = chosen[np.argsort(stored.frame[chosen], kind="stable")]
    return ordered


def _spread(frames: NDArray[np.int64]) -> NDArray[np.int64]:
    """Choose frames for the strip: the middles of parts of equal length."""
    count = min(FACES, len(frames))
    chosen: NDArray[np.int64] = frames[((np.arange(count) + 0.5) * len(frames) / count).astype(int)]
    return chosen


def _drawn(
    rows: Mapping[str, Codes], frames: NDArray[np.int64], faces: Sequence[NDArray[np.uint8]]
) -> Figure:
    height, strips = 0.75 + 0.26 * len(rows), [_FACE_HEIGHT] if faces else []
    panels = [*strips, height]
    with grid_figure(len(panels), 1, sum(panels) / len(panels)) as (made, axes):
        grid = axes[0].get_gridspec()
        assert grid is not None
        grid.set_height_ratios(panels)
        _states(axes[-1], rows, frames)
        if faces:
            axes[0].imshow(np.concatenate(list(faces), axis=1))
            axes[0].axis("off")
        values = np.concatenate(list(rows.values()))
        shown = [name for code, name in enumerate(STATES) if (values == code).any()]
        patches = [Patch(facecolor=STATES[n], edgecolor="#777777", label=n) for n in shown]
        made.legend(handles=patches, loc="outside lower center", ncols=4, frameon=False)
    return made


def _states(axes: Axes, rows: Mapping[str, Codes], frames: NDArray[np.int64]) -> None:
    """Draw a row of colours for the labels and for each method, a column a frame."""
    values, colours = np.array(list(rows.values())), ListedColormap(list(STATES.values()))
    axes.imshow(values, cmap=colours, vmin=-0.5, vmax=3.5, aspect="auto", interpolation="nearest")
    axes.set_yticks(range(len(rows)), list(rows))
    ticks = np.unique(np.linspace(0, len(frames) - 1, 8).astype(int))
    axes.set_xticks(ticks, [str(frames[at]) for at in ticks])
    axes.set_xlabel("frame")
    axes.grid(visible=False)
    axes.tick_params(length=0)
    for row in range(1, len(rows)):
        axes.axhline(row - 0.5, color="white", lw=2)
