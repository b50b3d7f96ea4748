"""Ceiling: the supervised control with hidden labels shown; bounds what pseudo labels can win.

A control of the runner's own. Its name alone opens the loader's door (`Cell.sees_hidden_labels`).
Documentation: docs/headroom.md
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from bench.training.loader import RevealedBatch
from methods._base import (
    Batch,
    Method,
    MethodError,
    Needs,
    NonNegative,
    Progress,
    Range,
    SearchSpace,
    Share,
    Task,
)
from methods._losses import AuLoss, Weighting
from methods._nets import ImageClassifier


class Ceiling(Method):
    """Pseudo-label with labels that are all right: sees hidden labels, bounds methods.

    L = wBCE(labelled) + weight wBCE(unlabelled, true labels), on the batches that Pseudo-label and
    FixMatch are given in the same cell. Everything else is the supervised control's: network, class
    weights (of the labelled frames alone), first weights; with all labels it is that, bit for bit.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(Method.Config):
        """Knobs of the ceiling."""

        weighting: Weighting = "au"
        """Class balance of both terms: `au`, `none` or `pos_weight`."""
        dropout: Share = 0.0
        """Share of pooled features dropped before the linear layer, 0..1."""
        weight: NonNegative = 1.0
        """Weight of the unlabelled frames' term, as Pseudo-label's at its end."""
        view: Literal["weak", "strong"] = "weak"
        """The view in which the unlabelled frames are learnt: Pseudo-label's, or FixMatch's."""

    search_space: ClassVar[SearchSpace] = {"weight": Range(0.1, 10.0, log=True)}
    needs = Needs(clip_len=5, key="cyclic", unlabelled_ratio=4)

    @classmethod
    def needs_for(cls, config: Config) -> Needs:
        """Return the needs, with unlabelled frames in the view that `view` says."""
        return replace(cls.needs, views=(config.view,))

    def __init__(self, config: Config, task: Task):
        super().__init__(config, task)
        self.net = ImageClassifier(task, config.dropout)
        self.au_loss = AuLoss(task, config.weighting)

    def losses(self, batch: Batch, progress: Progress) -> dict[str, Tensor]:  # noqa: ARG002
        """Return `au` and, while there is an unlabelled pool, `hidden`: its true labels' loss.

        Raises MethodError for a batch without hidden labels: the door was not opened.
        """
        if not isinstance(batch, RevealedBatch):
            raise MethodError(
                "a ceiling learns from hidden labels, and the runner shows them to its own control "
                "'ceiling' alone: ask for it by that name"
            )
        frames = batch.unlabelled[self.config.view]
        if len(frames) == 0:
            au = self.au_loss(self.net(batch.key), batch.labels)
            pool = self.task.unlabelled_frames > 0
            return {"au": au, "hidden": torch.zeros_like(au)} if pool else {"au": au}
        labelled, unlabelled = self.net(torch.cat([batch.key, frames])).split(
            [len(batch.key), len(frames)]
        )
        return {
            "au": self.au_loss(labelled, batch.labels),
            "hidden": self.config.weight * self.au_loss(unlabelled, batch.hidden),
        }

    def encode(self, frames: Tensor, landmarks: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Encode frames (N, 3, H, W) -> (N, F)."""
        return self.net.encode(frames)

    def head(self, features: Tensor) -> Tensor:
        """Classify the middle frame of clips (B, T, F) -> logits (B, A)."""
        return self.net.head(features)
