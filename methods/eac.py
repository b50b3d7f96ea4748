"""EAC-Net: enhancing and cropping by landmarks (Li, Abtahi, Zhu and Yin, TPAMI 2018).

Supervised: labelled frames alone, one at a time. The first half of the training is E-Net's, a
VGG-19 (or the benchmark's trunk) enhanced by an attention map; the second is C-Net's, on crops of
E-Net's features, which stay as they are. Documentation: docs/methods/eac.md
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F  # noqa: N812
from annotated_types import Interval
from torch import Tensor

from ._base import (
    Batch,
    Method,
    MethodError,
    Needs,
    Phase,
    Progress,
    Range,
    SearchSpace,
    Share,
    Task,
    Variants,
)
from ._eac import CNet, ENet, TrunkENet, load_vgg
from ._eac_attention import (
    Form,
    au_centres,
    canonical_landmarks,
    check_count,
    eac_attention,
    eac_loss,
)
from ._trunks import build_trunk

CROPPING = "cnet"
"""Name of the phase in which C-Net learns."""


class EAC(Method):
    """E-Net, then C-Net on its features; the prediction is C-Net's, once it has begun to learn."""

    stage_two: Tensor
    mean_face: Tensor

    @dataclass(frozen=True, kw_only=True)
    class Config(Method.Config):
        """Knobs of EAC-Net."""

        body: Literal["vgg19", "trunk"] = "vgg19"
        """E-Net's network: its own VGG-19, or the trunk that every other method has."""
        stage_two_from: Share = 0.5
        """Share of the steps after which C-Net learns, 0..1; 1 = E-Net alone."""
        attention: Form = "paper"
        """Attention map: of the paper's text, or of the `released` code."""
        fixed_map: bool = False
        """Whether every face has the mean face's landmarks, as it has where a dataset has none."""
        weights: str | None = None
        """VGG-19 weights: `imagenet`, `none` or a path; None = what `trunk.weights` says."""
        width: Annotated[float, Interval(ge=0.01, le=1)] | None = None
        """Share of VGG-19's channels, above 0 and up to 1; None = what `trunk.width` says."""
        norm: Literal["auto", "batch", "none"] = "auto"
        """Batch normalisation in VGG-19; `auto`: only where it starts from random weights."""

    needs = Needs(clip_len=1, landmarks=True)
    search_space: ClassVar[SearchSpace] = {"stage_two_from": Range(0.3, 0.8)}
    variants: ClassVar[Variants] = {
        "enet": {"stage_two_from": 1.0},
        "released_map": {"attention": "released"},
        "fixed_map": {"fixed_map": True},
        "trunk": {"body": "trunk"},
    }

    def __init__(self, config: Config, task: Task):
        super().__init__(config, task)
        if task.image_size < 32:
            raise MethodError(f"eac takes images of 32 px or more, not {task.image_size}")
        width = config.width or task.trunk.width
        self.enet = self._trunk_enet() if config.body == "trunk" else self._vgg_enet(width)
        self.cnet = CNet(len(task.aus), self.enet.channels, width)
        self.register_buffer("stage_two", torch.tensor(data=False))
        mean_face = canonical_landmarks() * task.image_size
        self.register_buffer("mean_face", mean_face, persistent=False)

    def _trunk_enet(self) -> TrunkENet:
        trunk = build_trunk(self.task.trunk, self.task.image_size)
        return TrunkENet(len(self.task.aus), trunk, self.task.trunk.name)

    def _vgg_enet(self, width: float) -> ENet:
        config, weights = self.config, self.config.weights or self.task.trunk.weights
        if weights in {"faces", "package"}:
            raise MethodError(
                f"eac is built on VGG-19, and trunk.weights={weights} are not of that network: "
                "give --set eac.weights=imagenet|none|PATH, or --set eac.body=trunk"
            )
        random = weights == "none"
        batch_norm = random if config.norm == "auto" else config.norm == "batch"
        if not random and (width != 1 or batch_norm):
            raise MethodError(
                f"VGG-19 weights ({weights}) need a width of 1 and eac.norm=none|auto: "
                "give them, or --set eac.weights=none"
            )
        enet = ENet(len(self.task.aus), self.task.image_size, width, batch_norm=batch_norm)
        if not random:
            load_vgg(enet, weights)
            enet.freeze_early()
        return enet

    @classmethod
    def phases(cls, config: Config) -> tuple[Phase, ...]:
        """Return E-Net's part of the training and C-Net's, each with a schedule of its own.

        So E-Net's rate has come down before its features are fixed.
        """
        first = config.stage_two_from
        parts = (Phase(name="enet", share=first), Phase(name=CROPPING, share=1 - first))
        return tuple(part for part in parts if part.share)

    def group_of(self, parameter: str) -> str:
        """Count VGG-19's convolutions as the trunk."""
        return "trunk" if parameter.startswith("enet.stages.") else ""

    def losses(self, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        """Return `enet`, or in its phase `cnet`: each net's own loss (eq. 6)."""
        landmarks = self._landmarks(batch.landmarks, len(batch.key))
        if progress.phase != CROPPING:
            logits = self.enet(batch.key, self._attention(landmarks))
            return {"enet": eac_loss(logits.float().sigmoid(), batch.labels)}
        self.stage_two.fill_(value=True)
        self.enet.eval()  # its features are fixed from here on, statistics included
        logits = self._crop_logits(batch.key, landmarks)
        return {"cnet": eac_loss(logits.float().sigmoid(), batch.labels)}

    def _crop_logits(self, frames: Tensor, landmarks: Tensor) -> Tensor:
        with torch.no_grad():
            features = self.enet.features(frames, self._attention(landmarks))
        side = self.task.image_size
        logits: Tensor = self.cnet(features, au_centres(landmarks, (side, side)))
        return logits

    def _landmarks(self, given: Tensor | None, count: int) -> Tensor:
        """Return landmarks (N, L, 2) in pixels, the mean face's where a face has none.

        Raises MethodError unless L is 68 or 49.
        """
        if given is None or self.config.fixed_map:
            if given is None and not self.warnings:
                self.warnings.append(
                    "eac had no landmarks: its attention and crops are the mean face's"
                )
            return self.mean_face.expand(count, -1, -1)
        check_count(given)
        whole = given.shape[1] == len(self.mean_face)
        mean_face = self.mean_face if whole else _without_outline(self.mean_face)
        known = given.isfinite().all(2).all(1)
        return torch.where(known[:, None, None], given, mean_face)

    def _attention(self, landmarks: Tensor) -> Tensor:
        """Return maps (N, S, S): computed on the 100 grid, stretched to the image."""
        side = self.task.image_size
        maps = eac_attention(landmarks, (side, side), self.config.attention)
        return F.interpolate(maps[:, None], size=(side, side), mode="bilinear")[:, 0]

    def encode(self, frames: Tensor, landmarks: Tensor | None = None) -> Tensor:
        """Classify frames (N, 3, S, S) with landmarks (N, L, 2) in pixels -> logits (N, A)."""
        landmarks = self._landmarks(landmarks, len(frames))
        if self.stage_two:
            return self._crop_logits(frames, landmarks)
        logits: Tensor = self.enet(frames, self._attention(landmarks))
        return logits

    def head(self, features: Tensor) -> Tensor:
        """Return the middle frame's logits of (B, T, A) -> (B, A)."""
        return features[:, features.shape[1] // 2]


def _without_outline(face: Tensor) -> Tensor:
    """Return the 49 inner points of a face (68, 2)."""
    kept = [i for i in range(17, 68) if i not in {60, 64}]
    return face[kept]
