"""Pseudo-label audit: pseudo labels scored against hidden labels; nothing flows back.

A method reports the pseudo labels that it used (`Progress.audit`); their true labels never left the
loader. The counts stay on the device until somebody asks, so that no step waits for them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from datasets._base import UNCODED

from .last_pseudo_labels import LastPseudoLabels
from .loader import HiddenLabels


class PseudoLabelAudit:
    """Counts of (used pseudo label, true label) pairs per AU, and the means of a method's metrics.

    They are kept apart from the training's own history, which must not depend on hidden labels.
    """

    def __init__(self, aus: int, frames: int):
        self.aus = aus
        self.last = LastPseudoLabels(frames, aus)
        """What was said of each row of the frame table when a step last held it."""
        # per AU: true positives, false positives, false negatives, true negatives, offered, used
        self._counts = torch.zeros(6, aus, dtype=torch.int64)
        self._seen = self._counts
        self._hidden: HiddenLabels | None = None
        self._step = 0
        self.rows: list[dict[str, Any]] = []
        """What was found from look to look, by step; nothing where no pseudo label was offered."""
        self._metrics: dict[str, tuple[float, int, float]] = {}

    def expect(self, step: int, hidden: HiddenLabels) -> None:
        """Take the true labels of the frames that `step`, the next, may pseudo-label."""
        self._step, self._hidden = step, hidden

    def take(self, targets: Tensor, used: Tensor) -> None:
        """Count pseudo labels (N, A), 1 or 0, where `used` (N, A) is true and labels are known."""
        assert self._hidden is not None, "no step is under way"
        truth = torch.from_numpy(self._hidden.labels).to(targets.device)
        assert targets.shape == used.shape == truth.shape, "not the frames of this batch"
        known = truth != UNCODED
        used = used.bool() & known
        positive, true = targets.detach().bool(), truth == 1
        self.last.take(self._step, self._hidden.rows, positive, used, known)
        rows = [used & positive & true, used & positive & ~true, used & ~positive & true]
        rows += [used & ~positive & ~true, known, used]
        counts = torch.stack([row.sum(dim=0) for row in rows])
        self._counts = self._counts.to(counts.device) + counts

    def look(self, step: int, metrics: Sequence[Mapping[str, float]] = ()) -> None:
        """Score what was counted since the last look; take in the `metrics` of the steps since.

        Waits for the device.
        """
        counts = self._counts.cpu()
        found = _scores(counts - self._seen, digits=4)
        self._seen = counts
        if found:
            self.rows.append({"step": step, **found})
        for name in dict.fromkeys(name for row in metrics for name in row):
            # a record holds no nan: a mean of nothing is left out
            values = [row[name] for row in metrics if math.isfinite(row.get(name, math.nan))]
            if values:
                total, count, _ = self._metrics.get(name, (0.0, 0, 0.0))
                now = sum(values) / len(values)
                self._metrics[name] = (total + sum(values), count + len(values), now)

    def summary(self) -> dict[str, Any]:
        """Return accuracy, precision, recall and share used, per AU and over all, if any was used.

        Beside the accuracy stand what a constant would reach, and the balanced accuracy.

        And, if the method logged metrics (a gate's acceptance, the accuracy of an order head), the
        mean of each over the training, and over the last steps that had it.
        """
        means = {
            n: {"mean": total / k, "last": now} for n, (total, k, now) in self._metrics.items()
        }
        return _scores(self._counts.cpu()) | ({"metrics": means} if means else {})

    def state_dict(self) -> dict[str, Any]:
        """Return the counts, the rows and the metrics' sums."""
        return {
            "counts": self._counts.cpu(),
            "seen": self._seen,
            "rows": list(self.rows),
            "metrics": dict(self._metrics),
            "last": self.last.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        self._counts, self._seen = state["counts"], state["seen"]
        self.rows, self._metrics = list(state["rows"]), dict(state["metrics"])
        self.last.load_state_dict(state["last"])


def _scores(counts: Tensor, digits: int | None = None) -> dict[str, Any]:
    """Return the scores of counts (6, A), to so many digits; {} if no pseudo label was offered.

    The majority accuracy is what a constant reaches on the frames used: the share of the more
    frequent class of each AU. The balanced accuracy is the mean of the two classes' recalls.
    """
    tp, fp, fn, tn, offered, used = counts.double()
    if not offered.sum():
        return {}

    def ratios(part: Tensor, whole: Tensor) -> list[float | None]:
        shares = (p / w if w else None for p, w in zip(part.tolist(), whole.tolist(), strict=True))
        return [s if s is None or digits is None else round(s, digits) for s in shares]

    present, absent = tp + fn, fp + tn
    majority = torch.maximum(present, absent)
    balanced = ratios(tp * absent + tn * present, 2 * present * absent)
    known = [value for value in balanced if value is not None]
    return {
        "accuracy": ratios(tp + tn, used),
        "precision": ratios(tp, tp + fp),
        "recall": ratios(tp, present),
        "positive_share": ratios(tp + fp, used),
        "majority_accuracy": ratios(majority, used),
        "balanced_accuracy": balanced,
        "used": ratios(used, offered),
        "overall_accuracy": ratios((tp + tn).sum()[None], used.sum()[None])[0],
        "overall_majority_accuracy": ratios(majority.sum()[None], used.sum()[None])[0],
        "mean_balanced_accuracy": sum(known) / len(known) if known else None,
        "overall_used": ratios(used.sum()[None], offered.sum()[None])[0],
    }
