"""Timeline of predictions: a row an AU, time along it, probability as darkness; for `predict`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .style import BLACK, GREY, WIDTH, figure

LONGEST = 4000
"""Columns of the picture at most: more cannot be told apart."""


def timeline_figure(
    title: str,
    aus: Sequence[int],
    times: NDArray[np.float64],
    probabilities: NDArray[np.float32],
) -> Figure:
    """Draw the probabilities (T, A) of one face over `times` (T,) seconds; NaN stays hatched.

    Where an AU is present (0.5 or more) a line runs below its row.
    """
    inches = 0.45 + 0.2 * len(aus)
    with figure(1, inches) as (made, (axes,)):
        made.set_size_inches(2 * WIDTH, inches)
        every = max(1, -(-len(times) // LONGEST))
        at, shown = times[::every], probabilities[::every].T
        edges = _edges(at)
        axes.set_facecolor("#f4f4f4")
        mesh = axes.pcolormesh(
            edges,
            np.arange(len(aus) + 1),
            np.ma.masked_invalid(shown),
            vmin=0,
            vmax=1,
            cmap="Blues",
        )
        for row, shares in enumerate(shown):
            for begin, end in _runs(shares >= 0.5):
                axes.plot((edges[begin], edges[end]), (row + 0.94, row + 0.94), color=BLACK, lw=1.2)
        axes.set_yticks(np.arange(len(aus)) + 0.5, [f"AU{au}" for au in aus])
        axes.set_ylim(len(aus), 0)
        axes.set_xlim(edges[0], edges[-1])
        axes.set_xlabel("seconds")
        axes.set_title(title)
        axes.grid(visible=False)
        axes.tick_params(axis="y", length=0)
        bar = made.colorbar(mesh, ax=axes, pad=0.01, aspect=30, ticks=(0, 0.5, 1))
        bar.set_label("probability", color=GREY)
    return made


def _edges(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the T + 1 times between which each of T frames is shown."""
    if len(times) == 1:
        return np.array([times[0], times[0] + 1.0])
    middles = (times[1:] + times[:-1]) / 2
    first, last = times[0], times[-1] + (times[-1] - middles[-1])
    return np.concatenate([[first], middles, [last]])


def _runs(present: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return where a truth begins and ends (exclusive), again and again."""
    steps = np.flatnonzero(np.diff(np.concatenate([[0], present.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in steps.reshape(-1, 2)]
