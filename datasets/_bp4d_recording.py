"""A recording of BP4D or a relative: its images, its labels, and how they are paired by number.

Shapes: T images of a recording, A action units.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ._base import UNCODED, Sequence
from ._bp4d_tree import FoundImages


@dataclass(frozen=True, eq=False)
class Recording:
    """A recording that has both images and labels, before they are put together."""

    subject: str
    task: str
    images: FoundImages
    coded: NDArray[np.int64]
    """Frame numbers of the label file."""
    labels: NDArray[np.int8]
    """(coded frames, A)"""

    @property
    def name(self) -> str:
        """Name it as the field does."""
        return f"{self.subject}_{self.task}"

    def pictured(self, offset: int) -> NDArray[np.bool_]:
        """Tell which coded frames have an image if image number = frame number + offset."""
        return np.isin(self.coded + offset, self.images.numbers)

    def near_coded(self, offset: int, context: int | None) -> Recording:
        """Drop images farther than `context` frames from the coded window; None keeps them all."""
        if context is None:
            return self
        low, high = self.coded.min() + offset - context, self.coded.max() + offset + context
        return replace(self, images=self.images.within(int(low), int(high)))

    def paired(self, offset: int, landmarks: NDArray[np.float32] | None) -> Sequence:
        """Put images and labels together; frames beside the coded window carry no label."""
        numbers = self.images.numbers
        labels = np.full((len(numbers), self.labels.shape[1]), UNCODED, np.int8)
        pictured = self.pictured(offset)
        rows = np.searchsorted(numbers, self.coded[pictured] + offset)
        labels[rows] = self.labels[pictured]
        return Sequence(
            subject=self.subject,
            task=self.task,
            frames=numbers - offset,
            labels=labels,
            source=self.images.source,
            landmarks=landmarks,
            numbers=numbers,
        )
