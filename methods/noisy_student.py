"""Noisy Student: a noised student learns its teacher's labels, and teaches the next (Xie 2020).

The first phase trains the supervised control. At its end it labels the whole pool in a plain view;
a new student learns labelled and pseudo-labelled frames under noise, labels the pool anew, and so
on, a phase a student. Documentation: docs/methods/noisy_student.md
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Interval
from timm.layers import DropPath
from torch import Tensor, nn

from ._base import Batch, Count, Method, Needs, NonNegative, Phase, Progress, Share, Task, Variants
from ._consistency import NEIGHBOURS, has_unlabelled, named_losses, probabilities, report
from ._losses import AuLoss, Weighting, clamped_rates, pseudo_labels, weighted_bce
from ._nets import ImageClassifier
from ._trunks import ImageTrunk

TEACHER = "teacher"
"""Name of the first phase; those of the students are `student1`, `student2`, and so on."""

Balance = Literal["labelled", "equal", "none"]
"""Rate that an AU's pseudo labels are weighted to: of the labelled frames, 1/2, their own."""

_BRANCHES = ("drop_path", "drop_path1", "drop_path2")
"""Names under which timm's residual blocks keep what drops their branches."""


def stochastic_depth(trunk: ImageTrunk, rate: float) -> int:
    """Let residual block l of L drop its branches with probability rate l / L; return L.

    The linear rule of stochastic depth (Huang 2016, eq. 4), with a survival of 1 - rate at the end.
    """
    blocks = [m for m in trunk.modules() if any(hasattr(m, name) for name in _BRANCHES)]
    for number, block in enumerate(blocks, 1):
        for name in _BRANCHES:
            if hasattr(block, name):
                setattr(block, name, DropPath(rate * number / len(blocks)))
    return len(blocks)


def balance_weights(pseudo: Tensor, rates: Tensor) -> Tensor:
    """Return weights (2, A) of "absent" and "present" that give pseudo labels (P, A) these rates.

    w_1 = r / m and w_0 = (1 - r) / (1 - m), m the mean of an AU's pseudo labels, kept 1/P away from
    0 and 1, so that weighted pseudo labels have the shares r and 1 - r and sum to P.
    """
    least = 1 / max(2, len(pseudo))
    mean = pseudo.mean(0).clamp(least, 1 - least)
    return torch.stack([(1 - rates) / (1 - mean), rates / mean])


def student_loss(logits: Tensor, pseudo: Tensor, balance: Tensor) -> Tensor:
    """Return the mean over (N, A) of -w_1 t log s - w_0 (1 - t) log(1 - s), s = sigma(logits).

    t are pseudo labels (N, A) in 0..1, soft or hard, and w = `balance` (2, A).
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    absent, present = balance
    return weighted_bce(logits, pseudo, absent, pos_weight=present / absent)


class NoisyStudent(Method):
    """The supervised control, and after it students of the same network under noise."""

    pseudo: Tensor
    balance: Tensor

    @dataclass(frozen=True, kw_only=True)
    class Config(Method.Config):
        """Knobs of Noisy Student."""

        weighting: Weighting = "au"
        """Class balance of the labelled term: `au`, `none` or `pos_weight`."""
        rounds: Annotated[int, Interval(ge=1, le=9)] = 2
        """Students, one after the other, 1..9."""
        teacher_share: Annotated[float, Interval(gt=0, lt=1)] = 0.3
        """Share of the steps that train the first teacher; the students share the rest alike."""
        labels: Literal["soft", "hard"] = "soft"
        """Pseudo labels: probabilities, or 1[s >= .5]."""
        balance: Balance = "labelled"
        """Share of "present" that an AU's pseudo labels are weighted to: that of the labelled
        frames, `equal` (1/2), or `none`: their own."""
        lambda_u: NonNegative = 1.0
        """Weight of the unlabelled term."""
        unlabelled_ratio: Count = 4
        """Unlabelled frames a key frame; a clip grows if it has too few."""
        dropout: Share = 0.5
        """Share of a student's pooled features dropped before the linear layer, 0..1."""
        drop_depth: Annotated[float, Interval(ge=0, lt=1)] = 0.2
        """Probability that a student's last residual branch is dropped (survival 0.8)."""
        warm_start: bool = False
        """Whether a student begins with its teacher's weights instead of weights of its own."""

    variants: ClassVar[Variants] = {
        "hard": {"labels": "hard"},
        "one_round": {"rounds": 1},
        "three_rounds": {"rounds": 3},
        "equal_classes": {"balance": "equal"},
        "unbalanced": {"balance": "none"},
        "warm_start": {"warm_start": True},
        "no_model_noise": {"dropout": 0.0, "drop_depth": 0.0},
    }

    def __init__(self, config: Config, task: Task):
        super().__init__(config, task)
        self.nets = nn.ModuleList([ImageClassifier(task)])
        for _ in range(config.rounds):
            self.nets.append(self._student())
        self.au_loss = AuLoss(task, config.weighting)
        aus = len(task.aus)
        self.register_buffer("pseudo", torch.full((task.unlabelled_frames, aus), 0.5))
        self.register_buffer("balance", torch.ones(2, aus))
        self.turn = 0
        """Which network it is that learns, and that predicts."""

    def _student(self) -> ImageClassifier:
        net = ImageClassifier(self.task, self.config.dropout)
        rate = self.config.drop_depth
        if rate and not stochastic_depth(net.trunk, rate) and not self.warnings:
            self.warnings.append(
                f"noisy_student had no stochastic depth: {self.task.trunk.name} has no residual "
                "branches that can be dropped"
            )
        return net

    @classmethod
    def needs_for(cls, config: Config) -> Needs:
        """Return the neighbours of key frames in a strong view."""
        ratio = config.unlabelled_ratio
        length = max(NEIGHBOURS, ratio + 1)
        return Needs(clip_len=length, key="cyclic", views=("strong",), unlabelled_ratio=ratio)

    @classmethod
    def phases(cls, config: Config) -> tuple[Phase, ...]:
        """Return the teacher's part of the training and each student's; all but the last label."""
        names = [TEACHER, *(f"student{number + 1}" for number in range(config.rounds))]
        shares = [
            config.teacher_share,
            *[(1 - config.teacher_share) / config.rounds] * config.rounds,
        ]
        return tuple(
            Phase(name=name, share=share, labelled_only=name == TEACHER, fit=name != names[-1])
            for name, share in zip(names, shares, strict=True)
        )

    def losses(self, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        """Return `au`, and of a student's step `student`: its teacher's labels under noise."""
        names = [phase.name for phase in self.phases(self.config)]
        self.turn = names.index(progress.phase)
        net = self.nets[self.turn]
        if self.turn == 0 or batch.ids is None or not has_unlabelled(batch):
            au = self.au_loss(net(batch.key), batch.labels)
            return named_losses(self.task, au, student=torch.zeros_like(au))
        pseudo, strong = self.pseudo[batch.ids], batch.unlabelled["strong"]
        report(progress, (pseudo >= 0.5).float(), torch.ones_like(pseudo, dtype=torch.bool))
        labelled, noised = net(torch.cat([batch.key, strong])).split([len(batch.key), len(strong)])
        term = self.config.lambda_u * student_loss(noised, pseudo, self.balance)
        return named_losses(self.task, self.au_loss(labelled, batch.labels), student=term)

    def fit(self, features: Tensor, labels: Tensor) -> None:  # noqa: ARG002
        """Label the pool with the network that has just been trained, the next one's teacher."""
        frames = len(self.pseudo)
        if self.config.warm_start:
            self.nets[self.turn + 1].load_state_dict(self.nets[self.turn].state_dict())
        if not frames:
            return
        logits = self.head(features[len(features) - frames :].unsqueeze(1))
        soft = self.config.labels == "soft"
        self.pseudo.copy_(probabilities(logits) if soft else pseudo_labels(logits, None)[0])
        if self.config.balance != "none":
            self.balance.copy_(balance_weights(self.pseudo, self._rates().to(self.pseudo)))

    def _rates(self) -> Tensor:
        if self.config.balance == "equal":
            return torch.full((len(self.task.aus),), 0.5)
        rates = torch.tensor(self.task.positive_rates, dtype=torch.float64)
        least = 1 / max(2, self.task.labelled_frames)
        return clamped_rates(rates, self.task.labelled_frames).clamp(max=1 - least)

    def get_extra_state(self) -> dict[str, int]:
        """Keep whose turn it is with the weights, as a number: an exported graph holds one net."""
        return {"turn": self.turn}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Take up what was kept."""
        self.turn = state["turn"]

    def encode(self, frames: Tensor, landmarks: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Encode frames (N, 3, H, W) -> (N, F), by the network whose turn it is."""
        return self._predictor.encode(frames)

    def head(self, features: Tensor) -> Tensor:
        """Classify the middle frame of clips (B, T, F) -> logits (B, A)."""
        return self._predictor.head(features)

    @property
    def _predictor(self) -> ImageClassifier:
        net = self.nets[self.turn]
        assert isinstance(net, ImageClassifier)
        return net
