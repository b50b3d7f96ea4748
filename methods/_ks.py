"""Parts of Knowledge-Spreader alone: its network, its distillation, its ramps.

Shapes: N clips, T slots of a clip, F features of the trunk, D of a token, A action units. Logits:
z_h of the AU heads, z_a of S_a, z_q of the students, z_b of T_b, one for each slot.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
import torch.nn.functional as F  # noqa: N812
from annotated_types import Interval
from torch import Tensor, nn

from ._base import Count, MethodError, Share, check_choice
from ._layers import ParallelLinear, parallel_mlp, token_encoder

Branch = Literal["transformer", "mlp", "none"]
"""What mixes a branch's tokens; `none` leaves the branch's teacher out."""


Layers = Annotated[int, Interval(ge=1, le=8)]


@dataclass(frozen=True, kw_only=True)
class KSNetworkConfig:
    """Sizes and parts of the network; the defaults are K1, 15.55 M parameters at 12 AUs."""

    spatial: Branch = "transformer"
    """S_a over the AU tokens; `none`: the AU heads' own logits take its place."""
    temporal: Branch = "transformer"
    """T_b over the frame tokens; `none`: the spatial branch predicts alone."""
    width: Count = 256
    """Features of a token, D."""
    layers: Layers = 2
    """Layers of S_a and of T_b."""
    heads: Count = 8
    """Attention heads; they divide `width`."""
    hidden: Count = 512
    """Hidden units of an encoder layer's MLP."""
    head_layers: Layers = 1
    """Linear maps in each AU head (the paper says one)."""
    student_layers: Layers = 1
    """Hidden layers of each student."""
    dropout: Share = 0.1
    """Of S_a and T_b, 0..1."""
    order_input: Literal["tokens", "features"] = "tokens"
    """What tells shuffled clips: the mean of T_b's tokens, or its input D_b, flattened."""
    order_gradient: Literal["joint", "temporal", "head"] = "joint"
    """Whom the order head's loss teaches: everything; T_b and the head; the head alone [29]."""
    readout: Literal["slot", "mean"] = "slot"
    """T_b's prediction: of the key frame's token, or of the mean of all tokens."""

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise MethodError(f"heads={self.heads} does not divide width={self.width}")


@dataclass(frozen=True)
class KSOutputs:
    """What a training step of the network gives."""

    z_h: Tensor
    """(N, A)"""
    z_a: Tensor
    """(N, A); without S_a the same tensor as z_h."""
    z_q: Tensor
    """(N, T, A)"""
    z_b: Tensor | None
    """(N, T, A); None without T_b."""
    order: Tensor | None
    """(2, N) logits of "looks shuffled": of the clips, and of the same clips shuffled."""


class KSNetwork(nn.Module):
    """Everything of Knowledge-Spreader behind the trunk, without a loop over AUs or frames."""

    permutations: Tensor

    def __init__(self, config: KSNetworkConfig, features: int, aus: int, slots: int):
        super().__init__()
        width = config.width
        self.config = config
        self.heads = parallel_mlp(aus, features, width, config.head_layers, last=False)
        self.head_logits = ParallelLinear(aus, width, 1)
        self.spatial_encoder = self._encoder(config.spatial)
        if self.spatial_encoder is not None:
            self.au_positions = nn.Parameter(torch.randn(aus, width) * 0.02)
            self.spatial_logits = ParallelLinear(aus, width, 1)
        self.students = parallel_mlp(slots, features, width, config.student_layers, last=True)
        self.student_logits = ParallelLinear(slots, width, aus)
        self.frame_positions = nn.Parameter(torch.randn(slots, width) * 0.02)
        self.temporal_encoder = self._encoder(config.temporal)
        if self.temporal_encoder is not None:
            self.temporal_logits = nn.Linear(width, aus)
        self.order = _order_head(config, slots)
        shuffles = list(itertools.permutations(range(slots)))[1:]  # the first is the identity
        self.register_buffer("permutations", torch.tensor(shuffles), persistent=False)

    def _encoder(self, branch: Branch) -> nn.Sequential | None:
        c = self.config
        if branch == "none":
            return None
        sizes = {"width": c.width, "layers": c.layers, "heads": c.heads, "hidden": c.hidden}
        return token_encoder(branch, **sizes, dropout=c.dropout)

    def classify_frames(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits of the AU heads and of S_a for features (N, F): z_h, z_a (N, A).

        Without S_a both are the heads'.
        """
        tokens = self.heads(frames)
        of_heads = self.head_logits(tokens).squeeze(-1)
        if self.spatial_encoder is None:
            return of_heads, of_heads
        mixed = self.spatial_encoder(tokens + self.au_positions)
        return of_heads, self.spatial_logits(mixed).squeeze(-1)

    def classify_clips(self, clips: Tensor) -> Tensor | None:
        """Return T_b's logits z_b (N, T, A) for features (N, T, F), if there is a T_b."""
        return self._frame_logits(self._frame_tokens(self.students(clips)))

    def forward(
        self, key: Tensor, clips: Tensor, shuffle: Literal["features", "pre_student", "none"]
    ) -> KSOutputs:
        """Run both branches on key frames (N, F) and their clips (N, T, F).

        Frames are shuffled behind the students or before them; "none" leaves the order head out.
        """
        z_h, z_a = self.classify_frames(key)
        features = self.students(clips)
        z_q = self.student_logits(features)
        if shuffle == "none":
            return KSOutputs(z_h, z_a, z_q, self._frame_logits(self._frame_tokens(features)), None)
        pre_student = shuffle == "pre_student"
        other = self.students(self._permuted(clips)) if pre_student else self._permuted(features)
        both = torch.cat([features, other])
        tokens = self._frame_tokens(both)
        order = self._looks_shuffled(both, tokens).view(2, -1)
        return KSOutputs(z_h, z_a, z_q, self._frame_logits(tokens[: len(clips)]), order)

    @torch.no_grad()
    def labeller(
        self,
        name: Literal["self", "ensemble", "teacher", "temporal"],
        out: KSOutputs,
        clips: Tensor,
    ) -> Tensor:
        """Return the logits (N, T, A) that pseudo labels of clips (N, T, F) are made from."""
        if name == "ensemble":
            every: Tensor = self.student_logits(self.students(clips.flatten(0, 1)))
            return every.mean(1).view_as(out.z_q)
        if name == "teacher":
            return self.classify_frames(clips.flatten(0, 1))[1].view_as(out.z_q)
        return out.z_b if name == "temporal" and out.z_b is not None else out.z_q

    def _frame_tokens(self, features: Tensor) -> Tensor:
        """Add the slots' embeddings to student features (N, T, D), then mix them in time."""
        tokens = features + self.frame_positions
        if self.temporal_encoder is not None:
            tokens = self.temporal_encoder(tokens)
        return tokens

    def _frame_logits(self, tokens: Tensor) -> Tensor | None:
        if self.temporal_encoder is None:
            return None
        if self.config.readout == "mean":
            tokens = tokens.mean(1, keepdim=True).expand_as(tokens)
        logits: Tensor = self.temporal_logits(tokens)
        return logits

    def _looks_shuffled(self, features: Tensor, tokens: Tensor) -> Tensor:
        """Return logits (N,) for student features (N, T, D) and T_b's tokens of them (N, T, D)."""
        if self.config.order_gradient == "temporal":
            features = features.detach()
            tokens = self._frame_tokens(features)
        seen = tokens.mean(1)
        if self.config.order_input == "features":
            seen = (features + self.frame_positions).flatten(1)
        if self.config.order_gradient == "head":
            seen = seen.detach()
        logits: Tensor = self.order(seen)
        return logits.squeeze(-1)

    def _permuted(self, clips: Tensor) -> Tensor:
        """Permute the frames of each clip (N, T, ...) by its own draw, never the identity."""
        draw = torch.randint(len(self.permutations), (len(clips),), device=clips.device)
        index = self.permutations[draw].unsqueeze(-1).expand(-1, -1, clips.shape[2])
        return clips.gather(1, index)


def _order_head(config: KSNetworkConfig, slots: int) -> nn.Module:
    if config.order_input == "tokens":
        return nn.Linear(config.width, 1)
    hidden = nn.Linear(slots * config.width, config.width)
    return nn.Sequential(hidden, nn.GELU(), nn.Linear(config.width, 1))


KDVariant = Literal["A", "B", "C", "D", "F"]
"""How to read "softmax" with many labels (see `bernoulli_ensemble_kl`)."""


def bernoulli_ensemble_kl(
    teacher: Tensor,
    student: Tensor,
    temperature: float = 1.0,
    reading: KDVariant = "A",
    *,
    detach_target: bool = True,
) -> Tensor:
    """Return the distillation of two logits (N, A) towards their ensemble q (KS eqs. 1, 2, 5, 6).

    L = T^2 / (N A) sum_ij [D(q || sigma(a/T)) + D(q || sigma(b/T))], a and b the two logits.
    A: q = sigma((a + b) / 2T), D = KL of two-class distributions, q without gradient (KDCL);
    B: the printed order, D(p || q); C: softmax over the AUs in place of sigma, as if they excluded
    each other; D: q is the mean of the two probabilities; F: squared distance of a/T and b/T to
    their mean. (E, two logits an AU, is the same function as A.) `detach_target=False` lets the
    gradient into q as well. Raises MethodError for another reading.
    """
    check_choice("reading", reading, KDVariant)
    full = torch.promote_types(teacher.dtype, torch.float32)  # bfloat16 logits are too coarse
    members = [teacher.to(full) / temperature, student.to(full) / temperature]
    mean = (members[0] + members[1]) / 2
    if reading == "F":
        target = mean.detach() if detach_target else mean
        terms = [(member - target).square() for member in members]
    else:
        log_p = [_log_classes(member, reading) for member in members]
        mixed = torch.logaddexp(*log_p) - math.log(2)
        log_q = mixed if reading == "D" else _log_classes(mean, reading)
        log_q = log_q.detach() if detach_target else log_q
        terms = [_kl(p, log_q) if reading == "B" else _kl(log_q, p) for p in log_p]
    return temperature**2 * (terms[0].sum() + terms[1].sum()) / max(1, teacher.numel())


def _log_classes(logits: Tensor, reading: KDVariant) -> Tensor:
    """Return log-probabilities: (N, A) over the AUs for C, else (N, A, 2) present/absent."""
    if reading == "C":
        return F.log_softmax(logits, dim=1)
    return torch.stack([F.logsigmoid(logits), F.logsigmoid(-logits)], dim=-1)


def _kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    return log_p.exp() * (log_p - log_q)


def gaussian_ramp(epoch: float, omega: float, mu: float, sigma: float) -> float:
    """Return min(1, exp(-omega (1 - (epoch - mu)^2 / sigma^2))), a weight in (0, 1].

    KS eq. 9 as printed, which grows without bound past mu + sigma, clamped to the 1 it reaches
    there ("increases to 1"); omega = 2, mu = 0, sigma = 5 give .135 .147 .186 .278 .487 1.
    """
    return math.exp(min(0.0, -omega * (1 - ((epoch - mu) / sigma) ** 2)))


def laine_aila_ramp(epoch: float, omega: float, sigma: float) -> float:
    """Return exp(-omega (1 - min(1, epoch / sigma))^2) (Laine and Aila, ICLR 2017: omega 5)."""
    return math.exp(-omega * (1 - min(1.0, epoch / sigma)) ** 2)
