"""DAUR: predictions that are likely label vectors (Wu, Wang, Pan & Ji, ICCV 2017).

A restricted Boltzmann machine learns from the labelled frames which AUs occur together. Then the
classifiers learn from the labels and, on all frames, to predict vectors of low free energy.
Documentation: docs/methods/daur.md
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ._au_relations import are_enough, complete_vectors, gaps, labelled_vectors
from ._base import (
    Batch,
    Count,
    Method,
    MethodError,
    Needs,
    NonNegative,
    Phase,
    Progress,
    Range,
    SearchSpace,
    Share,
    Task,
    Variants,
)
from ._daur import Prior, fit_rbm, squared_hinge
from ._losses import AuLoss, Weighting
from ._nets import ImageClassifier

PRIOR = "prior"
"""Name of the phase in which the prior has a say, and of its term."""


class DAUR(Method):
    """The supervised control's network, whose predictions an RBM of the labels judges."""

    @dataclass(frozen=True, kw_only=True)
    class Config(Method.Config):
        """Knobs of DAUR."""

        weighting: Weighting = "au"
        """Class balance of the labelled term: `au`, `none` or `pos_weight`."""
        dropout: Share = 0.0
        """Share of pooled features dropped before the linear layer, 0..1."""
        labelled_loss: Literal["bce", "hinge"] = "bce"
        """Labelled term: the benchmark's BCE, or the squared hinge."""
        prior: NonNegative = 0.1
        """Weight of the mean free energy; 0 = no prior."""
        prior_from: Share = 0.8
        """Share of the steps after which the prior has a say, 0..1; before, it is the control."""
        features: Literal["fixed", "end_to_end"] = "fixed"
        """What the prior's phase trains: the classifiers on fixed features, or the whole."""
        hidden: Count = 30
        """Hidden units of the RBM."""
        rbm_steps: Count = 1000
        """CD-1 updates that it learns by, of 64 label vectors each."""
        rbm_lr: NonNegative = 0.3
        """Size of its first update; it falls linearly to 0."""

    needs = Needs(clip_len=5, key="cyclic", unlabelled_ratio=4)
    search_space: ClassVar[SearchSpace] = {"prior": Range(0.01, 1.0, log=True)}
    variants: ClassVar[Variants] = {
        "no_prior": {"prior": 0.0},
        "end_to_end": {"features": "end_to_end", "prior_from": 0.0},
        "hinge": {"labelled_loss": "hinge"},
        "weak_prior": {"prior": 0.01},
        "strong_prior": {"prior": 1.0},
    }

    def __init__(self, config: Config, task: Task):
        super().__init__(config, task)
        if config.features == "fixed" and config.prior_from == 0 and task.trunk.weights == "none":
            raise MethodError(
                "daur.prior_from=0 fixes the features of a trunk that never learnt: give "
                "trunk.weights, or --set daur.features=end_to_end"
            )
        # built as the control's, and first: without a prior this is the control bit for bit
        self.net = ImageClassifier(task, config.dropout)
        self.au_loss = AuLoss(task, config.weighting)
        self.prior = self._learn_prior() if config.prior else None

    def _learn_prior(self) -> Prior | None:
        """Fit the RBM to the labelled frames that are coded whole; none where they are too few."""
        labels = labelled_vectors(self.task)
        vectors, coded = complete_vectors(labels)
        if not are_enough(vectors):
            self.warnings.append(
                f"daur: {len(vectors)} labelled frames with every AU coded are too few for an RBM "
                f"of {len(self.task.aus)} AUs (more frames than AUs are asked for): trained "
                "without it"
            )
            return None
        self.warnings.extend(gaps("daur", self.task, labels))
        config = self.config
        rbm = fit_rbm(vectors[:, coded], config.hidden, config.rbm_steps, config.rbm_lr)
        # what nobody coded has no say
        weight, visible = torch.zeros(config.hidden, len(coded)), torch.zeros(len(coded))
        weight[:, coded], visible[coded] = rbm.weight.float(), rbm.visible.float()
        return Prior(rbm._replace(weight=weight, visible=visible))

    @classmethod
    def phases(cls, config: Config) -> tuple[Phase, ...]:
        """Return the control's part of the training, and the prior's."""
        first = config.prior_from
        parts = (
            Phase(name="control", share=first, labelled_only=True),
            Phase(name=PRIOR, share=1 - first),
        )
        return tuple(part for part in parts if part.share)

    def losses(self, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        """Return `au` and, in its phase, `prior`: the mean free energy of all frames' predictions.

        Without a prior, unlabelled frames do not pass the network.
        """
        if progress.phase != PRIOR:
            return {"au": self._labelled(self.net(batch.key), batch.labels)}
        logits = self._forward(self._frames(batch))
        au = self._labelled(logits[: len(batch.key)], batch.labels)
        if self.prior is None:
            return {"au": au}
        return {"au": au, PRIOR: self.config.prior * self.prior(logits.sigmoid())}

    def _frames(self, batch: Batch) -> Tensor:
        weak = batch.unlabelled.get("weak")
        if weak is None or self.prior is None:
            return batch.key
        return torch.cat([batch.key, weak])

    def _forward(self, frames: Tensor) -> Tensor:
        if self.config.features == "end_to_end":
            logits: Tensor = self.net(frames)
            return logits
        self.net.trunk.eval()  # its statistics stay too
        with torch.no_grad():
            features = self.net.encode(frames)
        return self.net.head(features.unsqueeze(1))

    def _labelled(self, logits: Tensor, labels: Tensor) -> Tensor:
        loss = self.au_loss
        if self.config.labelled_loss == "hinge":
            return squared_hinge(logits, labels, loss.weights, loss.pos_weight)
        bce: Tensor = loss(logits, labels)
        return bce

    def encode(self, frames: Tensor, landmarks: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Encode frames (N, 3, H, W) -> (N, F)."""
        return self.net.encode(frames)

    def head(self, features: Tensor) -> Tensor:
        """Classify the middle frame of clips (B, T, F) -> logits (B, A)."""
        return self.net.head(features)
