"""Settings: every knob of a run that is not a method's or a dataset's own, with the range of each.

Read by all wings that train. `--set SECTION.KEY=VALUE` changes single knobs: the sections are the
fields of `Settings`, plus one for each method and one for the dataset.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Interval

from methods._base import Count, NonNegative, Range, SearchSpace, Share, Trunk


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """How far views stray from the stored frame."""

    flip: Share = 0.5
    """Probability of mirroring left and right."""
    rotate: Annotated[float, Interval(ge=0, le=180)] = 15.0
    """Largest turn either way, degrees."""
    scale: Annotated[float, Interval(ge=0, le=0.9)] = 0.0
    """Largest zoom in or out, share of 1."""
    translate: Share = 0.0
    """Largest shift along x and y, share of the side."""
    brightness: Share = 0.2
    """Largest change of the brightness factor from 1."""
    contrast: Share = 0.2
    """Largest change of the contrast factor (about the frame's mean grey) from 1."""
    saturation: Share = 0.2
    """Largest change of the saturation factor (0 = grey) from 1."""
    strong_ops: Annotated[int, Interval(ge=0, le=14)] = 2
    """RandAugment operations in a strong view, a clip; at most as many as the pool has."""
    cutout: Share = 0.25
    """Largest side of Cutout's square in a strong view, share of the image's side; 0 = none."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The optimiser's recipe and the budget, the same for every method."""

    optimiser: Literal["sgd", "nesterov", "adamw"] = "sgd"
    """SGD with momentum, with Nesterov's, or AdamW (which has no use for `momentum`)."""
    lr: NonNegative = 0.01
    """Peak learning rate."""
    momentum: Share = 0.9
    """Of SGD; the paper gives none (methods.md 0.9)."""
    weight_decay: NonNegative = 5e-4
    """L2 (SGD) or decoupled (AdamW); on matrices and kernels, not on biases, norms, embeddings."""
    schedule: Literal["constant", "cosine", "one-cycle"] = "constant"
    """Constant; half a cosine down to 0; or up over 30 % of the run, then down to 0."""
    warmup: Annotated[float, Interval(ge=0, le=0.9)] = 0.0
    """Share of the steps over which the rate rises linearly first (not for `one-cycle`)."""
    group_lr: tuple[str, ...] = ()
    """NAME=FACTOR: factors on the rate of parameter groups, `trunk` or `head`, say; joined by +."""
    batch_size: Count = 32
    """Key-frame clips a step."""
    epochs: Annotated[float, Ge(0.001)] = 50.0
    """Budget in passes over the key frames; also what method schedules count in."""
    steps: Annotated[int, Ge(0)] = 0
    """Budget in steps, the same at every ratio; 0 = go by `epochs`."""
    clip_norm: NonNegative = 0.0
    """Largest gradient norm; 0 = unclipped."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Whether the trunk is compiled; `auto`: on a GPU, in a long training; no part either."""
    amp: Literal["auto", "on", "off"] = "auto"
    """bfloat16 autocast; `auto`: where the device has it in its own units, and gains by it."""
    evaluate_every: NonNegative = 0.0
    """Epochs between looks that `val` or `test-peek` may choose from; 0 = the end alone."""
    test_peek: bool = False
    """Record the best-on-test step too, named `test-peek`; never the primary result."""
    checkpoint_minutes: NonNegative = 5.0
    """Minutes between checkpoints; no part of a cell's identity."""
    checkpoint_steps: Annotated[int, Ge(0)] = 0
    """Steps between checkpoints, beside the minutes; 0 = by minutes alone; no part either."""
    keep_weights: Literal["false", "true", "bfloat16"] = "false"
    """Whether the trained weights stay beside the record, as they are or at half size; no part."""

    def __post_init__(self) -> None:
        list(self.group_factors())

    def group_factors(self) -> Iterator[tuple[str, float]]:
        """Yield each parameter group's name and factor; raises ValueError for another form."""
        for text in self.group_lr:
            name, equals, factor = text.partition("=")
            if not (name and equals and factor.replace(".", "", 1).isdecimal()):
                raise ValueError(f"group_lr={text}: write NAME=FACTOR, e.g. trunk=0.1")
            yield name, float(factor)


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which frames a method gets to see, and at what size."""

    size: Annotated[int, Interval(ge=8, le=4096)] = 224
    """Side of the stored face crop, pixels."""
    crop: Literal["auto", "align", "box", "centre"] = "auto"
    """Face crop: by landmarks, by box, or centred; auto = the best that the dataset allows."""
    stride: Count = 1
    """Frames from one slot of a clip to the next."""
    neighbours: Literal["contiguous", "window"] = "contiguous"
    """A clip is every `stride`-th frame around the key frame, or drawn within half a label step."""
    pool: Literal["clip", "all"] = "clip"
    """Unlabelled frames: of the key frame's clip, or any coded one of the training subjects."""
    val_subjects: Annotated[int, Ge(0)] = 0
    """Training subjects held out for validation; their key frames are part of the budget."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All knobs of a run but the method's and the dataset's own."""

    train: TrainConfig = field(default_factory=TrainConfig)
    trunk: Trunk = field(default_factory=Trunk)
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)


_SGD: SearchSpace = {
    "lr": Range(5e-5, 0.2, log=True),
    "weight_decay": (0.0, 1e-5, 1e-4, 5e-4, 2e-3, 1e-2),
}
_ADAMW: SearchSpace = {
    "lr": Range(3e-4, 3e-2, log=True),
    "weight_decay": (0.0, 5e-4, 5e-3, 0.02, 0.05, 0.1, 0.3),
}
OPTIMISER_SPACE: Mapping[str, SearchSpace] = {"sgd": _SGD, "nesterov": _SGD, "adamw": _ADAMW}
"""What `tune` searches of `train`, by optimiser; every method's search holds it."""
