"""Every knob of a run that is not a method's own, and the presets that set them.

A preset is a whole `Settings`; `--set SECTION.KEY=VALUE` changes single knobs of it. The sections
are the fields of `Settings`, plus one for each method and one for the dataset.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from methods._base import Trunk

from .augment import AugmentConfig


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The optimiser's recipe and the budget, the same for every method."""

    optimiser: Literal["sgd", "adamw"] = "sgd"
    """SGD with momentum, or AdamW (which has no use for `momentum`)."""
    lr: float = 0.01
    """Peak learning rate."""
    momentum: float = 0.9
    """Of SGD; the paper gives none (methods.md 0.9)."""
    weight_decay: float = 5e-4
    """L2 (SGD) or decoupled (AdamW); on matrices and kernels, not on biases and norms."""
    schedule: Literal["constant", "cosine", "one-cycle"] = "constant"
    """Constant; half a cosine down to 0; or up over 30 % of the run, then down to 0."""
    batch_size: int = 32
    """Key-frame clips a step."""
    epochs: float = 50.0
    """Budget in passes over the key frames; also what method schedules count in."""
    steps: int = 0
    """Budget in steps, the same at every ratio; 0 = go by `epochs`."""
    clip_norm: float = 0.0
    """Largest gradient norm; 0 = unclipped."""
    amp: Literal["auto", "on", "off"] = "auto"
    """bfloat16 autocast; auto = on a GPU only."""
    evaluate_every: float = 0.0
    """Epochs between looks that `val` or `test-peek` may choose from; 0 = the end alone."""
    test_peek: bool = False
    """Record the best-on-test step too, named `test-peek`; never the primary result."""
    checkpoint_minutes: float = 5.0
    """Minutes between checkpoints; no part of a cell's identity."""
    checkpoint_steps: int = 0
    """Steps between checkpoints, beside the minutes; 0 = by minutes alone; no part either."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which frames a method gets to see, and at what size."""

    size: int = 224
    """Side of the stored face crop, pixels."""
    crop: Literal["auto", "align", "box", "centre"] = "auto"
    """Face crop: by landmarks, by box, or centred; auto = the best that the dataset allows."""
    stride: int = 1
    """Frames from one slot of a clip to the next."""
    neighbours: Literal["contiguous", "window"] = "contiguous"
    """A clip is every `stride`-th frame around the key frame, or drawn within half a label step."""
    pool: Literal["clip", "all"] = "clip"
    """Unlabelled frames: of the key frame's clip, or any coded one of the training subjects."""
    val_subjects: int = 0
    """Training subjects held out for validation; their key frames are part of the budget."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All knobs of a run but the method's and the dataset's own."""

    train: TrainConfig = field(default_factory=TrainConfig)
    trunk: Trunk = field(default_factory=Trunk)
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Settings under a name, and the grid that `run` takes where none is given."""

    summary: str
    settings: Settings
    methods: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Knobs of single methods, where their own network must shrink with the trunk."""
    ratios: tuple[str, ...]
    folds: tuple[int, ...] = (0,)
    seeds: tuple[int, ...] = (0,)


# A small trunk needs a recipe of its own: a few hundred steps of the paper's SGD teach it next to
# nothing (results/LOG.md). Found on the supervised control alone, the same for every method.
_QUICK = Settings(
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

# KS's transformers are half as wide as the trunk's features, here as in the paper's: at full width
# they would cost more than the narrow trunk does. VGG-19 is ten times the work of ResNet-18.
_NARROW: Mapping[str, Mapping[str, Any]] = {
    "ks": {"width": 64, "hidden": 128},
    "eac": {"width": 0.125},
}

PRESETS = {
    "smoke": Preset(
        summary="does it run: a tiny trunk, 20 steps of 8 clips; its scores mean nothing",
        settings=replace(
            _QUICK,
            train=replace(_QUICK.train, steps=20, batch_size=8),
            trunk=replace(_QUICK.trunk, width=0.125),
        ),
        methods=_NARROW,
        ratios=("0.05",),
    ),
    "quick": Preset(
        summary="small and honest: quarter-width ResNet-18, 64 px, 800 steps at every ratio",
        settings=_QUICK,
        methods=_NARROW,
        ratios=("0.01", "0.1"),
    ),
    "paper": Preset(
        summary="the paper's: ResNet-18, ImageNet weights, 224 px, SGD 0.01, 50 epochs",
        settings=Settings(trunk=Trunk(weights="imagenet")),
        ratios=(
            "0.01",
            "0.02",
            "0.05",
            "0.1",
            "0.15",
            "0.2",
            "0.5",
            "0.6",
            "0.7",
            "0.8",
            "0.9",
            "1",
        ),
        folds=(0, 1, 2),
    ),
}
