"""Calibration: how often an AU is there when a network says so with p; for `plot`.

Reliability diagrams after DeGroot and Fienberg 1983, the error after Naeini et al. 2015 (ECE).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray

from bench.report.aggregate import RunMatrix
from bench.report.method_runs import CONTROL
from bench.report.stored_frames import PooledFrames, pooled_frames

from .style import GREY, WIDTH, grid_figure, legend_below, looks_of, title

BINS = 10

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Reliability:
    """Of each bin that holds any frame: mean probability, share of positives, share of frames."""

    told: Floats
    true: Floats
    weight: Floats

    @property
    def error(self) -> float:
        """Expected calibration error: mean distance of told from true, weighted by frames."""
        return float((np.abs(self.told - self.true) * self.weight).sum())


def reliability(frames: PooledFrames, bins: int = BINS) -> Reliability:
    """Sort all coded (frame, AU) by probability into bins of equal width."""
    coded = frames.labels != -1
    shares, hits = frames.probabilities[coded], frames.labels[coded] == 1
    place = np.minimum((shares * bins).astype(np.int64), bins - 1)
    count = np.bincount(place, minlength=bins)
    held = count > 0
    told = np.bincount(place, weights=shares, minlength=bins)[held] / count[held]
    true = np.bincount(place, weights=hits, minlength=bins)[held] / count[held]
    return Reliability(told, true, count[held] / count.sum())


def calibration_figure(matrix: RunMatrix, ratio: float, notes: list[str] | None = None) -> Figure:
    """Draw told against true probabilities of every method, and how often each was told.

    All action units and runs together; `notes` takes a sentence on runs that are left out. Raises
    NothingToShow if no run stored its labels.
    """
    pooled = pooled_frames(matrix, ratio, notes)
    found = {name: reliability(frames) for name, frames in pooled.items()}
    looks = looks_of(list(found), CONTROL)
    with grid_figure(2, 1, 2.0, WIDTH, sharex=True) as (made, (above, below)):
        above.plot([0, 1], [0, 1], color=GREY, lw=1, zorder=1)
        for name, curve in found.items():
            label = f"{name} ({100 * curve.error:.1f})"
            above.plot(curve.told, curve.true, label=label, **looks[name])
            below.plot(curve.told, 100 * curve.weight, **looks[name])
        above.set_ylabel("share present")
        below.set_ylabel("frames (%)")
        below.set_yscale("log")
        below.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        below.yaxis.set_minor_locator(NullLocator())
        below.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        below.set_xlabel("probability told")
        legend_below(made, above)
        what = f"Calibration at {matrix.heading(ratio)} labels; in brackets: calibration error (%)"
        title(made, f"{what}\n{matrix.condition.title(matrix.select)}")
    return made
