"""Last pseudo labels: what a method said of each frame when a step last held it; for the audit.

Figure 4 of the paper is made of them. Nothing flows back into the training.

Shapes: R rows of the frame table, N frames of a step, A action units.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.data.frame_table import RowNumbers
from bench.results.pseudo_labels import DISCARDED, NEVER


class LastPseudoLabels:
    """A code for each frame and AU, and the step that it is of; it stays on the device."""

    def __init__(self, rows: int, aus: int):
        self.codes = torch.full((rows, aus), NEVER, dtype=torch.int8)
        """(R, A)."""
        self.steps = torch.full((rows,), NEVER, dtype=torch.int32)
        """(R,) steps counted from 0."""

    def take(
        self, step: int, rows: RowNumbers, targets: Tensor, used: Tensor, kept: Tensor
    ) -> None:
        """Note targets and `used` (N, A) of the frames `rows` (N,) where `kept` (N, A) is true.

        Of a frame that a step holds twice the later place counts.
        """
        self.codes, self.steps = self.codes.to(used.device), self.steps.to(used.device)
        # chosen on the host, which knows the rows, so that the device writes no place twice
        places = len(rows) - 1 - np.unique(rows[::-1], return_index=True)[1]
        at = torch.from_numpy(rows[places]).to(used.device)
        chosen = torch.from_numpy(places).to(used.device)
        told = torch.where(used, targets.to(torch.int8), DISCARDED)[chosen]
        kept = kept[chosen]
        self.codes[at] = torch.where(kept, told, self.codes[at])
        self.steps[at] = torch.where(kept.any(dim=1), step, self.steps[at])

    def arrays(self) -> tuple[NDArray[np.int8], NDArray[np.int32]]:
        """Return codes (R, A) and steps (R,). Waits for the device."""
        return self.codes.cpu().numpy(), self.steps.cpu().numpy()

    def state_dict(self) -> dict[str, Any]:
        """Return codes and steps."""
        return {"codes": self.codes.cpu(), "steps": self.steps.cpu()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        self.codes, self.steps = state["codes"], state["steps"]
