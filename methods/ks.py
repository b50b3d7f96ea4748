"""Knowledge-Spreader: labels spread through space and time (Li et al., ICCV 2023).

A key frame and its clip are seen by two branches that teach each other: AU tokens of the key frame
(S_a), and frame tokens of the clip (T_b) fed by one small student a slot. Documentation, reading
of every ambiguity included: docs/methods/ks.md

Shapes: B clips, T slots, A action units; m is the slot of the key frame. Logits: z_h of the AU
heads, z_a of S_a, z_q of the students, z_b of T_b.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

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
    Task,
    Temperature,
    Variants,
)
from ._ks import (
    KDVariant,
    KSNetwork,
    KSNetworkConfig,
    KSOutputs,
    bernoulli_ensemble_kl,
    gaussian_ramp,
    laine_aila_ramp,
)
from ._losses import AuLoss, Weighting, pseudo_labels
from ._trunks import build_trunk


class KnowledgeSpreader(Method):
    """Spatial and temporal teachers, slot students, and pseudo labels gated by frame order."""

    @dataclass(frozen=True, kw_only=True)
    class Config(KSNetworkConfig, Method.Config):
        """Knobs of Knowledge-Spreader; numbers in brackets are entries of the register in ks.md."""

        weighting: Weighting = "au"
        """Class balance of every BCE: `au`, `none` or `pos_weight`."""
        reduction: Literal["mean", "au_sum"] = "mean"
        """Mean over AUs, or the printed sum, A times it."""
        alpha: NonNegative = 0.5
        """Weight of both distillations."""
        lambda_: NonNegative = 0.5
        """Weight of all that the ramp lets in: L_t, L_self, L_semi."""
        temperature: Temperature = 1.0
        """Of the distillations, T > 0."""
        kd: KDVariant = "A"
        """Reading of the distillation, A, B, C, D or F [1, 2]."""
        kd_target: Literal["fixed", "moving"] = "fixed"
        """Whether the ensemble of a distillation passes gradient [3]."""
        teaching: Literal["mutual", "one_way"] = "mutual"
        """Whether a teacher moves towards its student too [9]."""
        skd: bool = True
        """Whether S_a and the active student distil."""
        tkd: bool = True
        """Whether T_b and S_a distil."""
        ramp: Literal["gaussian", "laine_aila"] = "gaussian"
        """The printed ramp, clamped, or the one it cites [17]."""
        ramp_omega: NonNegative = 2.0
        """Steepness of the ramp."""
        ramp_epochs: Temperature = 5.0
        """Length of the ramp, epochs of `schedule`."""
        pseudo_epoch: NonNegative = 2.0
        """0-based epoch of `schedule` from which pseudo labels count [12]."""
        schedule: Literal["share", "epochs"] = "share"
        """What an epoch is: a fiftieth of the training, or a pass over the key frames."""
        pseudo: bool = True
        """Whether inactive students learn from pseudo labels."""
        gate: Literal["order", "threshold", "open"] = "order"
        """Pseudo labels of: clips that look in order; confident elements; everything."""
        threshold: Confidence = 0.95
        """Least confidence under `gate: threshold`, 0.5..1."""
        labeller: Literal["self", "ensemble", "teacher", "temporal"] = "self"
        """Who makes pseudo labels: the student, all students' mean, S_a, or T_b's token [7]."""
        use_known_labels: bool = False
        """Whether a neighbour's bought label replaces its pseudo label, whatever the gate [26]."""
        semi: Literal["sum", "mean"] = "sum"
        """L_semi of the n - 1 inactive students: their sum, as printed, or their mean [32]."""
        temporal_pseudo: bool = False
        """Whether they also teach T_b's other tokens [8]."""
        order_loss: bool = True
        """Whether the order head learns (L_self); without it there is no gate of that name."""
        shuffle: Literal["features", "pre_student"] = "features"
        """What is permuted for the order head: students' outputs, or their inputs [15, 16]."""
        ensemble: Literal["logits", "probabilities"] = "logits"
        """What is averaged over S_a and T_b to predict [21]."""
        test_slots: Literal["centre", "all"] = "centre"
        """Windows of T_b that predict a frame: one, or the frame at each slot in turn."""
        batch_norm: Literal["joint", "separate"] = "joint"
        """Key frames and clips in one forward, or in two."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.gate == "order" and self.pseudo and not self.order_loss:
                raise MethodError("gate=order needs order_loss=true: use gate=threshold or open")
            if self.temporal != "none":
                return
            needed = {"tkd": False, "order_input": "features", "temporal_pseudo": False}
            wrong = [k for k, value in needed.items() if getattr(self, k) != value]
            if wrong or self.labeller == "temporal":
                knobs = ", ".join(wrong) or "labeller"
                raise MethodError(
                    f"temporal=none leaves nothing for {knobs}: use no_temporal_teacher"
                )

    needs = Needs(
        clip_len=5, key="cyclic", key_view="weak2", views=("weak",), clips=True, known_labels=True
    )
    no_decay = ("au_positions", "frame_positions")
    search_space: ClassVar[SearchSpace] = {
        "alpha": Range(0.05, 2.0, log=True),
        "lambda_": Range(0.05, 2.0, log=True),
        "temperature": Range(0.5, 4.0, log=True),
    }
    variants: ClassVar[Variants] = {
        "transformer->mlp": {"spatial": "mlp", "temporal": "mlp"},
        "mlp": {"spatial": "mlp", "temporal": "mlp"},
        "no_spatial_teacher": {"spatial": "none", "skd": False},
        "no_temporal_teacher": {"temporal": "none", "tkd": False, "order_input": "features"},
        "no_distillation": {"skd": False, "tkd": False},
        "no_skd": {"skd": False},
        "no_tkd": {"tkd": False},
        "no_ppl": {"pseudo": False, "order_loss": False},
        "no_pseudo_label": {"pseudo": False},
        "no_selection": {"gate": "open"},
        "hard_threshold": {"gate": "threshold", "order_loss": False},
        "naive_pseudo_label": {"gate": "open", "order_loss": False},
        "order_head_only": {"order_gradient": "head"},
        "pre_student": {"shuffle": "pre_student"},
        "known_labels": {"use_known_labels": True},
        "k2": {"layers": 1, "head_layers": 2, "student_layers": 2},
    }

    def __init__(self, config: Config, task: Task):
        super().__init__(config, task)
        if not 2 <= task.clip_len <= 7:
            raise MethodError(f"ks takes clips of 2 to 7 frames, not clip_len={task.clip_len}")
        self.trunk = build_trunk(task.trunk, task.image_size)
        features = self.trunk.num_features
        self.net = KSNetwork(config, features, len(task.aus), task.clip_len)
        self.au_loss = AuLoss(task, config.weighting)

    def losses(self, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        """Return the terms of KS eq. 8, weighted; those that a variant leaves out are not in it.

        `au`: z_h. `spatial`: z_a and the active student z_m. `skd`: their distillation. Behind
        lambda times the ramp, `temporal`: z_b and z_a; `tkd`: their distillation; `order`: L_self;
        `pseudo`: L_semi, 0 until it starts. Metrics `gate`: the share of pseudo labels let through,
        and `order_accuracy`: of the order head, on clips and shuffled clips.
        """
        self.metrics = {}
        config, epoch = self.config, self.epoch(progress)
        key, clips = self._encode_both(batch)
        out = self.net(key, clips, config.shuffle if config.order_loss else "none")
        z_m = out.z_q[:, batch.slot]
        of_spatial = self._bce(out.z_a, batch) if config.spatial != "none" else 0.0
        late = config.lambda_ * self.ramp(epoch)
        losses = {"au": self._bce(out.z_h, batch), "spatial": self._bce(z_m, batch) + of_spatial}
        if config.skd:
            losses["skd"] = self._distil(out.z_a, z_m)
        if out.z_b is not None:
            z_b = out.z_b[:, batch.slot]
            losses["temporal"] = late * (self._bce(z_b, batch) + of_spatial)
            if config.tkd:
                losses["tkd"] = late * self._distil(z_b, out.z_a)
        if out.order is not None:
            losses["order"] = late * self._order_loss(out.order)
        if config.pseudo:
            started = epoch >= config.pseudo_epoch
            semi = self._semi(out, clips, batch, progress) if started else None
            losses["pseudo"] = torch.zeros_like(losses["au"]) if semi is None else late * semi
        return losses

    def epoch(self, progress: Progress) -> int:
        """Return the 0-based epoch that the schedules count: whole fiftieths, or whole passes."""
        if self.config.schedule == "epochs":
            return math.floor(progress.epoch)
        return math.floor(50 * progress.fraction + 1e-9)

    def ramp(self, epoch: int) -> float:
        """Return the ramp's value in epoch `epoch` (KS eq. 9)."""
        config = self.config
        if config.ramp == "gaussian":
            return gaussian_ramp(epoch, config.ramp_omega, 0.0, config.ramp_epochs)
        return laine_aila_ramp(epoch, config.ramp_omega, config.ramp_epochs)

    def _encode_both(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return trunk features of key frames (B, F) and of clips (B, T, F)."""
        frames = batch.clips["weak"].flatten(0, 1)
        if self.config.batch_norm == "joint":
            encoded = self.trunk(torch.cat([batch.key, frames]))
            key, others = encoded[: len(batch.key)], encoded[len(batch.key) :]
        else:
            key, others = self.trunk(batch.key), self.trunk(frames)
        return key, others.reshape(len(key), -1, others.shape[1])

    def _bce(self, logits: Tensor, batch: Batch) -> Tensor:
        loss: Tensor = self.au_loss(logits, batch.labels, reduction=self.config.reduction)
        return loss

    def _scaled(self, mean: Tensor) -> Tensor:
        return mean * len(self.task.aus) if self.config.reduction == "au_sum" else mean

    def _distil(self, teacher: Tensor, student: Tensor) -> Tensor:
        config = self.config
        loss = bernoulli_ensemble_kl(
            teacher.detach() if config.teaching == "one_way" else teacher,
            student,
            config.temperature,
            config.kd,
            detach_target=config.kd_target == "fixed",
        )
        return self._scaled(config.alpha * loss)

    def _order_loss(self, order: Tensor) -> Tensor:
        """Return L_self of logits (2, B): 0 for clips as they are, 1 for shuffled ones."""
        truth = torch.zeros_like(order)
        truth[1] = 1
        self.metrics["order_accuracy"] = ((order >= 0) == truth.bool()).float().mean()
        return F.binary_cross_entropy_with_logits(order, truth)

    def _semi(self, out: KSOutputs, clips: Tensor, batch: Batch, progress: Progress) -> Tensor:
        """Return L_semi: the inactive slots' sum, or mean, of the clips' mean of gate x wBCE."""
        config, shape = self.config, out.z_q.shape
        source = self.net.labeller(config.labeller, out, clips).flatten(0, 1)
        targets, used = pseudo_labels(
            source, config.threshold if config.gate == "threshold" else None
        )
        used = used.view(shape)
        if config.gate == "order" and out.order is not None:
            used = used & (out.order[0].sigmoid() < 0.5)[:, None, None]
        self.metrics["gate"] = used.float().mean()
        inactive = torch.arange(shape[1], device=used.device) != batch.slot
        used = (used & inactive[:, None]).flatten(0, 1)
        if progress.audit is not None:
            progress.audit(targets, used)
        if config.use_known_labels and batch.known is not None:
            known = batch.known.flatten(0, 1)
            targets = torch.where(known >= 0, known, targets)
            bought = (batch.known >= 0) & inactive[:, None]
            used = used | bought.flatten(0, 1)
        taught = [out.z_q] if out.z_b is None or not config.temporal_pseudo else [out.z_q, out.z_b]
        elements = [self.au_loss(z.flatten(0, 1), targets, reduction="none") for z in taught]
        students = 1 if config.semi == "sum" else shape[1] - 1
        return self._scaled((sum(elements) * used).sum() / (shape[0] * shape[2] * students))

    @property
    def test_clip_len(self) -> int:
        """Frames of a clip in testing: with `test_slots: all`, whatever a slot's window holds."""
        slots = self.task.clip_len
        return 2 * slots - 1 if self.config.test_slots == "all" else slots

    def encode(self, frames: Tensor, landmarks: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Encode frames (N, 3, H, W) -> (N, F)."""
        encoded: Tensor = self.trunk(frames)
        return encoded

    def head(self, features: Tensor) -> Tensor:
        """Predict the middle of clips (B, T', F): the ensemble of S_a and T_b -> logits (B, A)."""
        z_a, z_b = self._spatial(features)[1], self._temporal(features)
        if z_b is None:
            return z_a
        if self.config.ensemble == "logits":
            return (z_a + z_b) / 2
        present = torch.logaddexp(F.logsigmoid(z_a), F.logsigmoid(z_b))
        return present - torch.logaddexp(F.logsigmoid(-z_a), F.logsigmoid(-z_b))

    def members(self, features: Tensor) -> dict[str, Tensor]:
        """Predict it by each part alone: AU heads, S_a, T_b, and the middle slot's student."""
        z_h, z_a = self._spatial(features)
        slot = self.task.clip_len // 2
        middle = features[:, features.shape[1] // 2]
        of_students = self.net.students(middle)  # (B, T, D): the frame at every slot
        members = {
            "AU heads": z_h,
            "S_a": z_a,
            "student": self.net.student_logits(of_students)[:, slot],
        }
        z_b = self._temporal(features)
        return members if z_b is None else {**members, "T_b": z_b}

    def _spatial(self, features: Tensor) -> tuple[Tensor, Tensor]:
        return self.net.classify_frames(features[:, features.shape[1] // 2])

    def _temporal(self, features: Tensor) -> Tensor | None:
        """Return T_b's logits (B, A) for the middle of clips (B, T', F), if there is a T_b."""
        middle, slots = features.shape[1] // 2, self.task.clip_len
        at = torch.arange(slots) if self.config.test_slots == "all" else torch.tensor([slots // 2])
        windows = (middle - at[:, None] + torch.arange(slots)).clamp(0, features.shape[1] - 1)
        clips = features[:, windows.to(features.device)]  # (B, windows, T, F)
        every = self.net.classify_clips(clips.flatten(0, 1))
        if every is None:
            return None
        every = every.reshape(len(features), len(at), slots, -1)
        return every[:, range(len(at)), at.tolist()].mean(1)
