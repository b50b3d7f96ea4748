"""Consistency between views: what the methods share that ask an unlabelled frame's views to agree.

Used by fixmatch and what followed it (uda, flexmatch, freematch, softmatch), and by mean_teacher:
knobs, needs, one forward over the views, and the averaged network that predicts.

Shapes: B key frames, U unlabelled frames, A action units, H x W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 (the name that the whole field writes)
from torch import Tensor

from ._base import Batch, Count, Method, Needs, NonNegative, Progress, Share, Task, View
from ._losses import Weighting
from ._nets import EMA, ImageClassifier

NEIGHBOURS = 5
"""Frames of a clip: what the other methods of the suite see around a key frame."""


@dataclass(frozen=True, kw_only=True)
class ConsistencyConfig(Method.Config):
    """Knobs that these methods have in common."""

    weighting: Weighting = "au"
    """Class balance of the labelled term: `au`, `none` or `pos_weight`."""
    dropout: Share = 0.0
    """Share of pooled features dropped before the linear layer, 0..1."""
    lambda_u: NonNegative = 1.0
    """Weight of the unlabelled term."""
    unlabelled_ratio: Count = 4
    """Unlabelled frames a key frame (published as mu); a clip grows if it has too few."""
    inference: Literal["ema", "last"] = "ema"
    """Weights that predict: their moving average, or those of the last step."""
    ema_decay: Share = 0.999
    """Decay of the moving average a step, 0..1; min(decay, (1 + t)/(10 + t)) at step t."""


class ViewLogits(NamedTuple):
    """Logits of one step's images."""

    labelled: Tensor
    """(B, A) of the key frames."""
    weak: Tensor
    """(U, A) of the unlabelled frames in their weak view; U may be 0."""
    strong: Tensor
    """(U, A) of the same frames in their strong view."""


def pair_needs(unlabelled_ratio: int, views: tuple[View, View] = ("weak", "strong")) -> Needs:
    """Return needs of `unlabelled_ratio` frames a key frame, each in two views.

    They come from a clip around the key frame, which is longer than the usual one only where that
    holds too few.
    """
    length = max(NEIGHBOURS, unlabelled_ratio + 1)
    return Needs(clip_len=length, key="cyclic", views=views, unlabelled_ratio=unlabelled_ratio)


def has_unlabelled(batch: Batch) -> bool:
    """Tell whether a batch holds an unlabelled frame; at 100 % labels none does."""
    return any(len(frames) > 0 for frames in batch.unlabelled.values())


def view_logits(net: ImageClassifier, batch: Batch) -> ViewLogits:
    """Classify key frames, weak and strong views in one forward: BatchNorm's statistics are shared.

    Without unlabelled frames the key frames pass alone, to the bit as in the supervised control.
    """
    if not has_unlabelled(batch):
        labelled = net(batch.key)
        nothing = labelled[:0].detach()
        return ViewLogits(labelled, nothing, nothing)
    images = [batch.key, batch.unlabelled["weak"], batch.unlabelled["strong"]]
    return ViewLogits(*net(torch.cat(images)).split([len(part) for part in images]))


def named_losses(task: Task, au: Tensor, **unlabelled: Tensor) -> dict[str, Tensor]:
    """Return the labelled loss `au`, and the unlabelled ones if the task has unlabelled frames.

    At 100 % labels there is none, and the method logs what the supervised control logs.
    """
    return {"au": au, **unlabelled} if task.unlabelled_frames else {"au": au}


def probabilities(logits: Tensor) -> Tensor:
    """Return sigma(logits) without gradient, in at least single precision."""
    return torch.sigmoid(logits.detach().to(torch.promote_types(logits.dtype, torch.float32)))


def masked_consistency(strong: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Return 1/(N A) sum_ij w_ij BCE(strong_ij, t_ij) for logits (N, A); 0 where N is 0.

    Targets (N, A) in 0..1 may be soft, weights (N, A) a mask. The sum is divided by the number of
    all elements, not of those that count (Sohn 2020, eq. 4, and all that followed it).
    """
    logits = strong.to(torch.promote_types(strong.dtype, torch.float32))
    losses = F.binary_cross_entropy_with_logits(logits, targets.to(logits.dtype), reduction="none")
    return (losses * weights).sum() / max(1, losses.numel())


def report(progress: Progress, targets: Tensor, used: Tensor) -> dict[str, Tensor]:
    """Hand pseudo labels (U, A) to the runner; return the metric `accepted`, the share used.

    There is none where U is 0.
    """
    if len(targets) == 0:
        return {}
    if progress.audit is not None:
        progress.audit(targets, used)
    return {"accepted": used.float().mean()}


def average_of(net: ImageClassifier, config: ConsistencyConfig, task: Task) -> EMA | None:
    """Return the moving average of `net`, or None where its last weights predict.

    With nothing unlabelled a method is the supervised control, which has no average.
    """
    averaged = config.inference == "ema" and task.unlabelled_frames > 0
    return EMA(net, config.ema_decay) if averaged else None


def predictor(net: ImageClassifier, average: EMA | None) -> ImageClassifier:
    """Return the network that predicts: the averaged one where there is one."""
    network = net if average is None else average.network
    assert isinstance(network, ImageClassifier)
    return network
