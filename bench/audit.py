"""Pseudo labels held against the hidden labels: done by the runner, and nothing flows back.

A method reports the pseudo labels that it used (`Progress.audit`); their true labels never left the
loader. The counts stay on the device until somebody asks, so that no step waits for them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from datasets._base import UNCODED

from .loader import HiddenLabels


class Audit:
    """Counts of (used pseudo label, true label) pairs per AU, over the whole training."""

    def __init__(self, aus: int):
        self.aus = aus
        # per AU: true positives, false positives, false negatives, true negatives, offered, used
        self._counts = torch.zeros(6, aus, dtype=torch.int64)
        self._hidden: HiddenLabels | None = None

    def expect(self, hidden: HiddenLabels) -> None:
        """Take the true labels of the frames that the next step may pseudo-label."""
        self._hidden = hidden

    def take(self, targets: Tensor, used: Tensor) -> None:
        """Count pseudo labels (N, A), 1 or 0, where `used` (N, A) is true and labels are known."""
        assert self._hidden is not None, "no step is under way"
        truth = torch.from_numpy(self._hidden.labels).to(targets.device)
        assert targets.shape == used.shape == truth.shape, "not the frames of this batch"
        known = truth != UNCODED
        used = used.bool() & known
        positive, true = targets.detach().bool(), truth == 1
        rows = [used & positive & true, used & positive & ~true, used & ~positive & true]
        rows += [used & ~positive & ~true, known, used]
        counts = torch.stack([row.sum(dim=0) for row in rows])
        self._counts = self._counts.to(counts.device) + counts

    def summary(self) -> dict[str, Any]:
        """Return accuracy, precision, recall and share used, per AU and over all; {} if none."""
        tp, fp, fn, tn, offered, used = self._counts.cpu().double()
        if not offered.sum():
            return {}
        return {
            "accuracy": _ratios(tp + tn, used),
            "precision": _ratios(tp, tp + fp),
            "recall": _ratios(tp, tp + fn),
            "positive_share": _ratios(tp + fp, used),
            "used": _ratios(used, offered),
            "overall_accuracy": _ratios((tp + tn).sum()[None], used.sum()[None])[0],
            "overall_used": _ratios(used.sum()[None], offered.sum()[None])[0],
        }

    def state_dict(self) -> dict[str, Any]:
        """Return the counts."""
        return {"counts": self._counts.cpu()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put the counts back."""
        self._counts = state["counts"]


def _ratios(part: Tensor, whole: Tensor) -> list[float | None]:
    return [float(p / w) if w else None for p, w in zip(part.tolist(), whole.tolist(), strict=True)]
