"""Every knob of a run that is not a method's own, and the presets that set them.

A preset is a whole `Settings`; `--set SECTION.KEY=VALUE` changes single knobs of it. The sections
are the fields of `Settings`, plus one for each method and one for the dataset.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from bench.errors import UsageError
from bench.training.augment_ops import POOL
from methods._base import Trunk


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """How far views stray from the stored frame. Raises UsageError for a value out of range."""

    flip: float = 0.5
    """Probability of mirroring left and right."""
    rotate: float = 15.0
    """Largest turn either way, degrees."""
    scale: float = 0.0
    """Largest zoom in or out, share of 1."""
    translate: float = 0.0
    """Largest shift along x and y, share of the side."""
    brightness: float = 0.2
    """Largest change of the brightness factor from 1."""
    contrast: float = 0.2
    """Largest change of the contrast factor (about the frame's mean grey) from 1."""
    saturation: float = 0.2
    """Largest change of the saturation factor (0 = grey) from 1."""
    strong_ops: int = 2
    """RandAugment operations in a strong view, a clip."""
    cutout: float = 0.25
    """Largest side of Cutout's square in a strong view, share of the image's side; 0 = none."""

    def __post_init__(self) -> None:
        limits = {"rotate": 180.0, "scale": 0.9, "strong_ops": float(len(POOL))}
        for name, value in vars(self).items():
            limit = limits.get(name, 1.0)
            if not 0 <= value <= limit:
                raise UsageError(f"augment.{name}={value}: it must lie between 0 and {limit:g}")


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


NOT_IDENTITY = {"checkpoint_minutes", "checkpoint_steps"}
"""Knobs that change how a run is carried out and not what comes out of it."""

AT_LEAST: Mapping[str, float] = {
    "train.lr": 0,
    "train.momentum": 0,
    "train.weight_decay": 0,
    "train.batch_size": 1,
    "train.epochs": 0.001,
    "train.steps": 0,
    "train.clip_norm": 0,
    "train.evaluate_every": 0,
    "train.checkpoint_minutes": 0,
    "train.checkpoint_steps": 0,
    "trunk.width": 0.01,
    "data.size": 8,
    "data.stride": 1,
    "data.val_subjects": 0,
}

AT_MOST: Mapping[str, float] = {"train.momentum": 1, "data.size": 4096}


def check_ranges(settings: Settings) -> None:
    """Raise UsageError for the first knob that lies outside its range."""
    for key, low in AT_LEAST.items():
        section, _, name = key.partition(".")
        value, high = getattr(getattr(settings, section), name), AT_MOST.get(key)
        if value < low or (high is not None and value > high):
            limit = f"{low:g} to {high:g}" if high is not None else f"{low:g} or more"
            raise UsageError(f"{key}={value:g}: it takes {limit}")
