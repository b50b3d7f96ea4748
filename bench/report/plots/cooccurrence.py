"""Co-occurrence of action units, true and learnt: correlations of labels and of probabilities."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from bench.report.aggregate import RunMatrix
from bench.report.stored_frames import pooled_frames

from .style import SIGNED_GRADES, grid_figure, title

Floats = NDArray[np.float64]

_COLUMNS = 3


def correlations(values: Floats, coded: NDArray[np.bool_]) -> Floats:
    """Return Pearson's correlation (A, A) of columns (N, A), of each pair where both are coded.

    NaN for a pair of which one does not vary.
    """
    aus = values.shape[1]
    found = np.full((aus, aus), np.nan)
    for i in range(aus):
        for j in range(i, aus):
            both = coded[:, i] & coded[:, j]
            a, b = values[both, i], values[both, j]
            if both.any() and np.ptp(a) > 0 and np.ptp(b) > 0:
                found[i, j] = found[j, i] = np.corrcoef(a, b)[0, 1]
    return found


def cooccurrence_figure(matrix: RunMatrix, ratio: float, notes: list[str] | None = None) -> Figure:
    """Draw how AUs go together in the test labels, and in every method's probabilities.

    Above each is the mean absolute difference from the true one. `notes` takes a sentence on runs
    that are left out. Raises NothingToShow if no run stored its labels.
    """
    frames = pooled_frames(matrix, ratio, notes)
    first = next(iter(frames.values()))
    true = correlations(first.labels.astype(np.float64), first.labels != -1)
    panels = {"labels": true} | {
        name: correlations(each.probabilities, each.labels != -1) for name, each in frames.items()
    }
    columns = min(_COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    with grid_figure(rows, columns, 2.3) as (made, axes):
        images = [
            _panel(each, values, matrix.aus, name, panels)
            for each, (name, values) in zip(axes, panels.items(), strict=False)
        ]
        for spare in axes[len(panels) :]:
            spare.set_visible(False)
        made.colorbar(images[0], ax=list(axes), shrink=0.6, aspect=25, pad=0.01)
        what = f"Correlation of action units at {matrix.heading(ratio)} labels"
        more = "in brackets: mean distance from that of the labels"
        title(made, f"{what}; {more}: {matrix.condition.title(matrix.select)}")
    return made


def _panel(
    axes: Axes, values: Floats, aus: tuple[int, ...], name: str, panels: Mapping[str, Floats]
) -> AxesImage:
    image = axes.imshow(values, cmap=SIGNED_GRADES, vmin=-1, vmax=1)
    axes.set_facecolor("#dddddd")
    places = range(len(aus))
    axes.set_xticks(places, list(map(str, aus)), fontsize=6)
    axes.set_yticks(places, list(map(str, aus)), fontsize=6)
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    beside = ~np.eye(len(aus), dtype=bool)
    apart = np.abs(values - panels["labels"])[beside]
    known = apart[np.isfinite(apart)]
    remark = f" ({known.mean():.2f})" if name != "labels" and known.size else ""
    axes.set_title(f"{name}{remark}")
    return image
