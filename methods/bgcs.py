"""BGCS: group-sparse compressed sensing of the labels (Song, McDuff, Vasisht & Kapoor, FG 2015).

The supervised control is trained; then, on its fixed features, labels are inferred jointly, few
groups of AUs at a time, by a model without gradient steps. Documentation: docs/methods/bgcs.md
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt, Interval
from torch import Tensor

from ._au_relations import are_enough, co_occurrence, gaps, labelled_vectors
from ._base import Batch, Count, Method, Needs, Phase, Progress, Share, Task, Variants
from ._bgcs import (
    BUpdate,
    GroupSparseCode,
    Noise,
    Solver,
    Updates,
    best_threshold,
    label_groups,
    sensing_matrix,
    whitening,
)
from ._losses import AuLoss, Weighting
from ._nets import ImageClassifier

Deviation = Annotated[float, Interval(ge=1e-4, le=1e4)]
"""A standard deviation."""

_NO_EVIDENCE = 0.5
"""The threshold where there is nothing to choose it on."""


class BGCS(Method):
    """The control's features, and a linear code of the labels, read by group-sparse inference."""

    projection: Tensor
    offset: Tensor
    threshold: Tensor
    fitted: Tensor
    phi: Tensor
    groups: Tensor

    @dataclass(frozen=True, kw_only=True)
    class Config(Method.Config):
        """Knobs of BGCS."""

        weighting: Weighting = "au"
        """Class balance of the control that gives the features: `au`, `none` or `pos_weight`."""
        sigma: Deviation = 0.01
        """Standard deviation of a code, given the features."""
        chi: Deviation = 0.1
        """Standard deviation of a code, given the labels."""
        compression: Annotated[float, Gt(0)] = 1.0
        """Dimensions of a code per AU, rounded up."""
        group_threshold: Share = 0.6
        """Least P(j | i), among labelled frames, for AU j to be in AU i's group, 0..1."""
        variance: Share = 0.95
        """Share of the features' variance that the whitened components keep, 0..1."""
        rounds: Annotated[int, Ge(0)] = 3
        """How often labels inferred for unlabelled frames join the labelled ones; 0 = never."""
        b_update: BUpdate = "corrected"
        """How much of a group's scale comes from its own labels: `corrected`, or `released`."""
        solver: Solver = "fixed_point"
        """How the code's weights are found: exactly, or `iterated` up to the released stop."""
        iterations: Count = 500
        """Most updates of the mean field."""

    needs = Needs(clip_len=5, key="cyclic", views=("plain",), unlabelled_ratio=4)
    variants: ClassVar[Variants] = {
        "labelled_only": {"rounds": 0},
        "released": {"b_update": "released", "solver": "iterated", "rounds": 0},
        "released_b": {"b_update": "released"},
        "expanded": {"compression": 2.0, "group_threshold": 0.8},
    }

    def __init__(self, config: Config, task: Task):
        super().__init__(config, task)
        self.net = ImageClassifier(task)  # first: it draws what the control draws
        self.au_loss = AuLoss(task, config.weighting)
        aus, size = len(task.aus), self.net.fc.in_features
        dimensions = math.ceil(aus * config.compression)
        self.register_buffer("phi", sensing_matrix(dimensions, aus))
        self.register_buffer("projection", torch.zeros(size, dimensions, dtype=torch.float64))
        self.register_buffer("offset", torch.zeros(dimensions, dtype=torch.float64))
        self.register_buffer("threshold", torch.tensor(_NO_EVIDENCE, dtype=torch.float64))
        self.register_buffer("fitted", torch.tensor(data=False))
        self.register_buffer("groups", torch.zeros(2 * aus, aus, dtype=torch.bool))
        known = self._known_groups()
        self.groups[: len(known)] = known
        if not task.validation_frames:
            self.warnings.append(
                "bgcs: no validation subjects (--val-subjects): its threshold was chosen on the "
                "training subjects"
            )

    def _known_groups(self) -> Tensor:
        """Return the G <= 2A groups (G, A) of the labelled frames; where too few, single AUs."""
        labels = labelled_vectors(self.task)
        if not are_enough(labels):
            self.warnings.append(
                f"bgcs: {len(labels)} labelled frames are too few for groups of "
                f"{len(self.task.aus)} AUs (more frames than AUs are asked for): each AU stands "
                "alone"
            )
            return torch.eye(len(self.task.aus), dtype=torch.bool)
        self.warnings.extend(gaps("bgcs", self.task, labels))
        return label_groups(co_occurrence(labels), self.config.group_threshold)

    @classmethod
    def phases(cls, config: Config) -> tuple[Phase, ...]:  # noqa: ARG003
        """Return the control's training, at whose end the code is fitted to its features."""
        return (Phase(name="control", share=1.0, labelled_only=True, fit=True),)

    def losses(self, batch: Batch, progress: Progress) -> dict[str, Tensor]:  # noqa: ARG002
        """Return `au`: the control's loss, of the network that gives the features."""
        return {"au": self.au_loss(self.net(batch.key), batch.labels)}

    def fit(self, features: Tensor, labels: Tensor) -> None:
        """Fit the code to features (N + P, F) and labels (N + P, A), those of the pool inferred.

        Without validation subjects, the threshold is chosen on labels inferred for one fifth of
        the labelled frames from the others', each in turn.
        """
        features = features.double()
        mean, axes = whitening(features, self.config.variance)
        ones = features.new_ones(len(features), 1)
        whitened = torch.cat([(features - mean) @ axes, ones], dim=1)
        weights = self._code.learn(whitened, labels)
        self.projection.copy_(axes @ weights[:-1])
        self.offset.copy_(weights[-1] - mean @ self.projection)
        self.fitted.fill_(value=True)
        if not self.task.validation_frames:
            self._choose_threshold(*self._code.held_out(whitened, labels))

    @property
    def _code(self) -> GroupSparseCode:
        config, noise = self.config, Noise(self.config.sigma, self.config.chi)
        updates = Updates(config.b_update, most=config.iterations)
        groups = self.groups[self.groups.any(dim=1)]
        return GroupSparseCode(self.phi, groups, noise, updates, config.solver, config.rounds)

    def calibrate(self, features: Tensor, labels: Tensor) -> None:
        """Choose the threshold on features (V, F) and labels (V, A) of validation subjects."""
        self._choose_threshold(self._inferred(features), labels)

    def _choose_threshold(self, inferred: Tensor, labels: Tensor) -> None:
        if bool((labels > 0).any()):
            self.threshold.fill_(best_threshold(inferred, labels))

    def _inferred(self, features: Tensor) -> Tensor:
        """Return the labels (N, A) of features (N, F)."""
        return self._code.infer(features.double() @ self.projection + self.offset)

    def encode(self, frames: Tensor, landmarks: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Encode frames (N, 3, H, W) -> (N, F)."""
        return self.net.encode(frames)

    def head(self, features: Tensor) -> Tensor:
        """Return (y - threshold) / chi, y the middle frame's inferred labels (B, A).

        Before the fit it is the control that answers.
        """
        if not self.fitted:
            return self.net.head(features)
        above: Tensor = self._inferred(features[:, features.shape[1] // 2]) - self.threshold
        return above.div(self.config.chi).float()

    def members(self, features: Tensor) -> dict[str, Tensor]:
        """Return what the control, whose features these are, predicts."""
        return {"control": self.net.head(features)}
