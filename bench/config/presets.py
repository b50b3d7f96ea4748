"""Presets `smoke`, `quick`, `paper`: whole settings, and the grid of a `run` without options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from methods._base import Trunk

from .settings import AugmentConfig, DataConfig, Settings, TrainConfig


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Settings under a name, and the grid that `run` takes where none is given."""

    summary: str
    settings: Settings
    methods: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Knobs of single methods, where their own network must shrink with the trunk."""
    recipes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Knobs of `train` of single methods, where the common recipe cannot be theirs."""
    ratios: tuple[float, ...]
    folds: tuple[int, ...] = (0,)
    seeds: tuple[int, ...] = (0,)


# A small trunk needs a recipe of its own: a few hundred steps of the paper's SGD teach it next to
# nothing (results/LOG.md). Found on the supervised control alone, the same for every method.
_SMALL = Settings(
    train=TrainConfig(
        optimiser="adamw",
        lr=6e-3,
        weight_decay=0.05,
        schedule="one-cycle",
        batch_size=16,
        steps=800,
        clip_norm=1.0,
    ),
    trunk=Trunk(name="resnet18", width=0.25, weights="none"),
    data=DataConfig(size=64),
    # Crops are aligned already, and at 64 px a turn of 15 degrees costs more than it teaches.
    augment=AugmentConfig(rotate=3.0),
)

# Every method gains from these weights, at a lower rate (results/studies/first-weights). Frames
# next to a labelled one teach next to nothing, even under their true labels: where unlabelled ones
# come from everywhere, there is something to win (docs/headroom.md).
_QUICK = replace(
    _SMALL,
    train=replace(_SMALL.train, lr=3e-3),
    trunk=replace(_SMALL.trunk, weights="faces"),
    data=replace(_SMALL.data, neighbours="window", pool="all"),
)

# KS's transformers are half as wide as the trunk's features, here as in the paper's: at full width
# they would cost more than the narrow trunk does. A VGG-19 from random weights learns little in so
# few steps: EAC-Net's attention and crops go onto the trunk that all methods have.
_NARROW: Mapping[str, Mapping[str, Any]] = {
    "ks": {"width": 64, "hidden": 128},
    "eac": {"body": "trunk"},
}

# EAC-Net's publication: SGD with Nesterov's momentum 0.9, 0.0001, batches of 50, no decay named.
# The paper preset's rate is 100 times as high.
_PUBLISHED: Mapping[str, Mapping[str, Any]] = {
    "eac": {"optimiser": "nesterov", "lr": 1e-4, "weight_decay": 0.0, "batch_size": 50},
}

# EAC-Net's loss has no class weights, and each of its nets half of the steps.
_QUICK_OWN: Mapping[str, Mapping[str, Any]] = {"eac": {"lr": 2e-3}}

PRESETS = {
    "smoke": Preset(
        summary="does it run: a tiny trunk, 20 steps of 8 clips; its scores mean nothing",
        settings=replace(
            _SMALL,
            train=replace(_SMALL.train, steps=20, batch_size=8),
            trunk=replace(_SMALL.trunk, width=0.125),
        ),
        methods=_NARROW,
        ratios=(0.05,),
    ),
    "quick": Preset(
        summary="small and honest: quarter-width ResNet-18 from face weights, 64 px, 800 steps",
        settings=_QUICK,
        methods=_NARROW,
        recipes=_QUICK_OWN,
        ratios=(0.01, 0.1),
    ),
    "paper": Preset(
        summary="the paper's: ResNet-18, ImageNet weights, 224 px, SGD 0.01, 50 epochs",
        # what torchvision had in 2023: timm's own choice for the bare name has changed since
        settings=Settings(trunk=Trunk(name="resnet18.tv_in1k", weights="imagenet")),
        recipes=_PUBLISHED,
        ratios=(0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
        folds=(0, 1, 2),
    ),
}
