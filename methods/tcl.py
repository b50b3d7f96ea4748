"""TCL: temporal contrastive learning between two pathways (Singh et al., CVPR 2021).

One network with temporal shifts sees a clip at two rates, and the slow pathway learns to agree with
the fast one: clip by clip, then group by group, then by pseudo labels. Documentation, changes from
videos of one action to clips of many AUs included: docs/methods/tcl.md

Shapes: B clips, T frames of a clip, A action units.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge
from torch import Tensor, nn

from ._base import (
    Batch,
    Confidence,
    Method,
    MethodError,
    Needs,
    NonNegative,
    Progress,
    Range,
    SearchSpace,
    Share,
    Task,
    Temperature,
    Variants,
)
from ._losses import AuLoss, Weighting, pseudo_labels
from ._tcl import (
    Grouping,
    Representation,
    class_vectors,
    group_contrast,
    nt_xent,
    without_autocast,
)
from ._tcl_shift import insert_shifts
from ._trunks import build_trunk

_CLIPS_AT_ONCE = 32
"""Clips through the network at once in testing: the memory of a training batch suffices."""


class TCL(Method):
    """A temporal-shift network whose two pathways share every weight."""

    @dataclass(frozen=True, kw_only=True)
    class Config(Method.Config):
        """Knobs of TCL."""

        weighting: Weighting = "au"
        """Class balance of the labelled and the fine-tuning term: `au`, `none` or `pos_weight`."""
        gamma: NonNegative = 9.0
        """Weight of the instance contrast."""
        beta: NonNegative = 1.0
        """Weight of the group contrast."""
        scale: Literal["per_au", "literal"] = "per_au"
        """`per_au`: contrasts are divided by the number of AUs, as the labelled term is, so that
        gamma and beta keep their published proportion to it; `literal`: they are not."""
        temperature: Temperature = 0.5
        """Of both contrasts, T > 0."""
        contrast_from: Share = 0.12
        """Share of the training before the contrasts start, 0..1 (6 of 50 epochs)."""
        contrast_until: Share = 0.88
        """Share after which pseudo labels take their place, 0..1 (44 of 50 epochs)."""
        threshold: Confidence = 0.8
        """Least confidence of a pseudo label in fine-tuning, 0.5..1."""
        representation: Representation = "bern"
        """Class vector: `bern` [s, 1 - s], `sigma`, `signed`, or a `softmax` over AUs."""
        groups: Grouping = "au"
        """Groups: clips with an AU `au`, with equal AU patterns `pattern`, same top AU `argmax`."""
        key: Literal["cyclic", "centre"] = "cyclic"
        """Where the key frame stands in its clip: at each slot in turn, so that the clips hold what
        the other methods see, or in the middle."""
        slow: Literal["even", "random"] = "even"
        """Frames of the slow pathway: every second one, or as many drawn at random, in order."""
        readout: Literal["average", "centre"] = "average"
        """Prediction in testing: mean logits of the clip, or those of its middle frame."""
        shift_divisor: Annotated[int, Ge(2)] = 8
        """One in how many channels is shifted each way."""
        dropout: Share = 0.5
        """Share of pooled features dropped before the linear layer, 0..1."""

        def __post_init__(self) -> None:
            if self.contrast_until < self.contrast_from:
                raise MethodError(
                    f"contrast_until={self.contrast_until} lies before "
                    f"contrast_from={self.contrast_from}: it takes {self.contrast_from:g} to 1"
                )

    needs = Needs(
        clip_len=5,
        key="cyclic",
        views=("weak", "weak2"),
        clips=True,
        one_clip_per_sequence=True,
    )
    search_space: ClassVar[SearchSpace] = {
        "gamma": Range(0.9, 30.0, log=True),
        "beta": Range(0.1, 10.0, log=True),
        "threshold": Range(0.6, 0.95),
    }
    variants: ClassVar[Variants] = {
        "literal_scale": {"scale": "literal"},
        "no_instance": {"gamma": 0.0},
        "no_group": {"beta": 0.0},
        "no_contrast": {"gamma": 0.0, "beta": 0.0},
        "no_fine_tuning": {"contrast_until": 1.0},
        "random_slow": {"slow": "random"},
        "pattern_groups": {"groups": "pattern"},
        "centred": {"key": "centre"},
    }

    @classmethod
    def needs_for(cls, config: Config) -> Needs:
        """Return the needs, with the key frame where `key` says."""
        return replace(cls.needs, key=config.key)

    def __init__(self, config: Config, task: Task):
        super().__init__(config, task)
        if task.clip_len < 3:
            raise MethodError(f"tcl takes clips of 3 frames or more, not clip_len={task.clip_len}")
        self.trunk = build_trunk(task.trunk, task.image_size)
        self.shift = insert_shifts(self.trunk.body, config.shift_divisor, task.trunk.name)
        self.dropout = nn.Dropout(config.dropout)
        self.fc = nn.Linear(self.trunk.num_features, len(task.aus))
        self.au_loss = AuLoss(task, config.weighting)

    def losses(self, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        """Return `au` (labels against the fast clip average) and the terms of the phase.

        Until `contrast_from` no other; then `instance` and `group`; from `contrast_until` on
        `pseudo`. The fast pathway is detached in all but `au`. Metrics `false_negatives`: the share
        of contrasted pairs of clips with the same labels; `accepted`: of pseudo labels used.
        """
        self.metrics = {}
        config = self.config
        fast = self._clip_logits(batch.clips["weak"])
        losses = {"au": self.au_loss(fast, batch.labels)}
        if progress.fraction < config.contrast_from:
            return losses
        slow, fast = self._clip_logits(self._slow(batch.clips["weak2"])), fast.detach()
        if progress.fraction >= config.contrast_until:
            losses["pseudo"] = self._pseudo(fast, slow, batch, progress)
            return losses
        self.metrics["false_negatives"] = _equal_pairs(batch.labels)
        return losses | self._contrasts(fast, slow)

    def _contrasts(self, fast: Tensor, slow: Tensor) -> dict[str, Tensor]:
        config = self.config
        aus = len(self.task.aus) if config.scale == "per_au" else 1
        # autocast would take the matrix products of both in bfloat16: gradients off by 3 to 7 %
        with without_autocast(fast.device):
            fast, slow = fast.float(), slow.float()
            vectors = [class_vectors(z, config.representation) for z in (fast, slow)]
            instance = nt_xent(vectors[0], vectors[1], config.temperature)
            group = group_contrast(
                fast,
                slow,
                config.temperature,
                representation=config.representation,
                groups=config.groups,
            )
        return {"instance": config.gamma / aus * instance, "group": config.beta / aus * group}

    def _pseudo(self, fast: Tensor, slow: Tensor, batch: Batch, progress: Progress) -> Tensor:
        """Teach the slow pathway the fast one's confident answers; the mean over all elements."""
        targets, used = pseudo_labels(fast, self.config.threshold)
        self.metrics["accepted"] = used.float().mean()
        if progress.audit is not None:
            frames = batch.clips["weak"].shape[1]
            progress.audit(*(x.repeat_interleave(frames, 0) for x in (targets, used)))
        elements: Tensor = self.au_loss(slow, targets, reduction="none")
        return (elements * used).mean()

    def _slow(self, clips: Tensor) -> Tensor:
        """Return every second frame of clips (B, T, ...), or as many random ones in their order."""
        if self.config.slow == "even":
            return clips[:, ::2]
        count = (clips.shape[1] + 1) // 2
        draws = torch.rand(clips.shape[:2], device=clips.device).argsort(1)[:, :count]
        index = draws.sort(1).values
        return clips[torch.arange(len(clips), device=clips.device)[:, None], index]

    def _frame_logits(self, clips: Tensor) -> Tensor:
        """Classify each frame of clips (B, T, 3, H, W) beside its neighbours -> (B, T, A)."""
        self.shift.frames = clips.shape[1]
        logits: Tensor = self.fc(self.dropout(self.trunk(clips.flatten(0, 1))))
        return logits.view(*clips.shape[:2], -1)

    def _tested(self, clips: Tensor) -> Tensor:
        """Classify clips of what `stem` made (B, T, C, h, w) -> (B, T, A)."""
        self.shift.frames = clips.shape[1]
        logits: Tensor = self.fc(self.dropout(self.trunk.after_stem(clips.flatten(0, 1))))
        return logits.view(*clips.shape[:2], -1)

    def _clip_logits(self, clips: Tensor) -> Tensor:
        return self._frame_logits(clips).mean(1)

    def encode(self, frames: Tensor, landmarks: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Return what `stem` makes of frames (N, C, h, w): shifts mix neighbours from there on."""
        maps: Tensor = self.trunk.stem(frames)
        return maps

    def head(self, features: Tensor) -> Tensor:
        """Predict the middle frame of clips (B, T, C, h, w), fast pathway -> logits (B, A)."""
        starts = range(0, len(features), _CLIPS_AT_ONCE)
        logits = torch.cat([self._tested(features[i : i + _CLIPS_AT_ONCE]) for i in starts])
        if self.config.readout == "centre":
            return logits[:, logits.shape[1] // 2]
        return logits.mean(1)


def _equal_pairs(labels: Tensor) -> Tensor:
    """Return the share of pairs of different rows of labels (B, A) that are equal."""
    equal = (labels[:, None] == labels[None]).all(2).float()
    count = len(labels)
    return (equal.sum() - count) / max(1, count * (count - 1))
