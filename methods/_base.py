"""The method contract: what a method declares, what it is given, what it returns.

A method owns its networks and its losses, and nothing else: no optimiser, no epoch loop, no file,
no device, no label but those of key frames. The loop (`bench/training/trainer.py`) sums its losses,
backpropagates, steps, and logs each one by name.

Shapes: B clips in a batch, T frames in a clip, U unlabelled frames, A action units, H x W pixels,
F features of whatever shape the method's own encoder gives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, get_args

from annotated_types import Ge, Interval
from torch import Tensor, nn

Share = Annotated[float, Interval(ge=0, le=1)]
"""A knob's type: a number from 0 to 1. Any constraint of the package `annotated_types` will do."""
Confidence = Annotated[float, Interval(ge=0.5, le=1)]
"""Least confidence max(s, 1 - s) of a pseudo label."""
NonNegative = Annotated[float, Ge(0)]
"""A number that is not below 0: a weight, a rate."""
Temperature = Annotated[float, Interval(ge=1e-3, le=1e3)]
"""A divisor of logits or similarities, or another number that must stay away from 0."""
Count = Annotated[int, Ge(1)]
"""A whole number from 1 on."""

Variants = Mapping[str, Mapping[str, Any]]
"""Named settings of a method's knobs: variant -> {knob: value}."""


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both in; whole ones where both are; `log`: even in the log."""

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError(f"{self} is no range: write Range(low, high), above 0 with log=True")


SearchSpace = Mapping[str, Range | tuple[Any, ...]]
"""What `bench tune` searches: knob -> a range, or the values that it chooses among."""

View = Literal["plain", "weak", "weak2", "strong"]
"""An augmentation: one geometric and photometric draw a clip, or one an unlabelled frame that comes
outside of clips; `weak2` is a second weak draw, `plain` is none."""


@dataclass(frozen=True, kw_only=True)
class Needs:
    """The data a method wants. The loader reads this, and never a method's name."""

    clip_len: int = 1
    """Frames in a clip, T; 1 = the key frame alone."""
    key: Literal["centre", "cyclic"] = "centre"
    """Where the key frame stands: the middle slot, or slot (batch index mod T) of a whole batch."""
    key_view: View = "weak"
    """The draw that the key frame's own image (`Batch.key`) is seen in."""
    views: tuple[View, ...] = ("weak",)
    """The draws in which clips and unlabelled frames are seen."""
    clips: bool = False
    """Whether whole clips come (`Batch.clips`)."""
    unlabelled_ratio: int = 0
    """Unlabelled frames a key frame (`Batch.unlabelled`), from its clip or, with `data.pool=all`,
    from anywhere; 0 = none. Each is an image of its own: its draws are not those of its clip."""
    known_labels: bool = False
    """Whether labels of other key frames in the clips come (`Batch.known`)."""
    landmarks: bool = False
    """Whether the key frame's 68 landmarks come, moved with the augmentation."""
    one_clip_per_sequence: bool = False
    """Whether a batch holds at most one clip of a sequence (contrastive methods)."""

    @property
    def frames_per_clip(self) -> int:
        """Frames that a full batch holds a key frame, itself included, every view counted."""
        beside = self.clip_len if self.clips else self.unlabelled_ratio
        return 1 + beside * len(self.views)


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A part of the training with a rate schedule of its own, begun anew."""

    name: str
    share: Share
    """Share of the run's steps, in order; the last phase takes what is left."""
    lr_factor: NonNegative = 1.0
    """Factor on the run's learning rate."""
    labelled_only: bool = False
    """Whether its steps have key frames alone: no clips, no unlabelled frames."""
    fit: bool = False
    """Whether `Method.fit` is called at its end."""


WHOLE = (Phase(name="train", share=1.0),)
"""The phases of a method that has none."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What a method may see of one training step. Only labels of key frames are in it."""

    key: Tensor
    """(B, 3, H, W) key frames in `needs.key_view`, ImageNet-normalised."""
    labels: Tensor
    """(B, A) float: 1, 0, or -1 = not coded."""
    slot: int
    """Position of the key frame in the clips of this batch, 0..T-1."""
    clips: Mapping[str, Tensor] = field(default_factory=dict)
    """view -> (B, T, 3, H, W), if `needs.clips`; none in a phase of labelled frames only."""
    unlabelled: Mapping[str, Tensor] = field(default_factory=dict)
    """view -> (U, 3, H, W), if `needs.unlabelled_ratio`; the same U frames in every view. U may be
    0: frames whose label the budget pays for are not in the pool, so at 100 % labels none is."""
    ids: Tensor | None = None
    """(N,) numbers of the frames beside the key frames, in the order of `unlabelled` or of the
    clips flattened: a frame of the pool has the same one, 0..P-1, at every step (P is
    `Task.unlabelled_frames`); -1 where the label is paid for or nobody coded the frame."""
    known: Tensor | None = None
    """(B, T, A) labels of those frames of the clips that are key frames themselves, -1 of all
    others, if `needs.known_labels`."""
    landmarks: Tensor | None = None
    """(B, 68, 2) in pixels of `key`, if `needs.landmarks` and the dataset has them."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where training stands; schedules are written in epochs or in shares of the training."""

    step: int
    """Steps done, 0-based."""
    total_steps: int
    epoch: float
    """Passes over the key frames so far, as the nominal schedule counts them (fractional)."""
    total_epochs: float
    phase: str = "train"
    """Name of the phase that the step is in (`Method.phases`)."""
    rate_share: float | None = None
    """Share of the run's summed learning rate that the steps before this one had, in [0, 1)."""
    audit: Callable[[Tensor, Tensor], None] | None = None
    """Takes the pseudo labels that were used, (N, A) targets and (N, A) bool used, in the order of
    `Batch.unlabelled` (N = U) or of the clips flattened (N = B*T). The runner scores them, and
    nothing comes back."""

    @property
    def fraction(self) -> float:
        """Share of the training done, in [0, 1): of the summed rate, so of what can be learnt.

        Under a constant rate that is the share of the steps. Under one that rises and falls, a
        tenth of the steps may be a hundredth of the learning (docs/training.md).
        """
        return self.step / max(1, self.total_steps) if self.rate_share is None else self.rate_share


@dataclass(frozen=True, kw_only=True)
class Trunk:
    """The image encoder, by its timm name."""

    name: str = "resnet18"
    width: Annotated[float, Ge(0.01)] = 1.0
    """Factor on the channel counts (ResNets only); 1 = the published network."""
    weights: str = "none"
    """`faces` (comes with the suite, for narrow ResNet-18s), `imagenet`, `package` (ImageNet, from
    an installed package, for tf_efficientnet_lite0), `none` (random), or a state dict's path."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a method is told of the problem before it sees a frame."""

    aus: tuple[int, ...]
    image_size: int
    """Side of the square input, pixels."""
    trunk: Trunk
    positive_rates: tuple[float, ...]
    """Share of positives per AU among the LABELLED training frames only; nan if none codes it."""
    labelled_frames: int
    unlabelled_frames: int
    """Distinct frames in the unlabelled pool, P; 0 at 100 % labels."""
    clip_len: int = 1
    validation_frames: int = 0
    """Labelled frames of the validation subjects, which `Method.calibrate` gets; 0 without any."""
    labels: Tensor | None = field(default=None, repr=False, compare=False)
    """(N, A) int8: 1, 0, or -1 = not coded, of the labelled training frames: what the budget paid
    for, and nothing else."""


class MethodError(Exception):
    """A method cannot do what is asked (a clip length, a trunk, a knob): one clear sentence."""


class Method(nn.Module):
    """Base of every method. A concrete method is final: share by functions, not by subclassing one.

    The network must not depend on batch mates when `training` is off, and the constructor must draw
    all its random numbers from torch's global generator (the runner seeds it).
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """A method's knobs: every one with a default, a unit and one line of meaning.

        What a knob takes is said by its annotation (`Literal`, `Share`, any of `annotated_types`)
        and, for what knobs must be together, by `__post_init__`, which raises MethodError. All of
        it is checked when a study is planned.
        """

    needs: ClassVar[Needs] = Needs()
    """The data that the method wants, whatever its knobs; else define `needs_for`."""
    no_decay: ClassVar[tuple[str, ...]] = ()
    """Endings of the names of parameters that are not decayed though they are matrices (tables of
    embeddings, say); vectors never are."""
    variants: ClassVar[Variants] = {}
    """Named settings of Config (`ks:no_skd`): variant -> {knob: value}."""

    search_space: ClassVar[SearchSpace] = {}
    """Knobs that `bench tune` searches beside the optimiser's; their defaults must lie within."""

    def __init__(self, config: Any, task: Task):
        super().__init__()
        self.config, self.task = config, task
        self.metrics: dict[str, Tensor] = {}
        """Detached scalars of the last step, logged beside the losses by their names; the loop
        empties it before each step."""
        self.warnings: list[str] = []
        """Sentences about what the method had to do without; they stand in the record."""

    @classmethod
    def needs_for(cls, config: Any) -> Needs:  # noqa: ARG003
        """Return the data that the method wants under these knobs; `needs` by default."""
        return cls.needs

    @classmethod
    def phases(cls, config: Any) -> tuple[Phase, ...]:  # noqa: ARG003
        """Return the parts of the training, in order; their shares sum to 1 or less.

        A single one of share 0 is a training without gradient steps: all is left to `fit`.
        """
        return WHOLE

    def group_of(self, parameter: str) -> str:  # noqa: ARG002
        """Name the group of a parameter, by its name, for `train.group_lr`; "" = trunk or head."""
        return ""

    @property
    def data_needs(self) -> Needs:
        """The data that this method, with its knobs, wants."""
        return self.needs_for(self.config)

    def fit(self, features: Tensor, labels: Tensor) -> None:
        """Fit what no gradient step fits (a prior, a linear model, pseudo labels of the pool).

        Called without gradients, in eval mode, at the end of each phase whose `fit` is true.
        `features` (N + P, F) are `encode`'s of plain frames: the labelled ones, then the pool's in
        the order of their `Batch.ids`; `labels` (N + P, A) are -1 throughout for the pool. What it
        finds goes into buffers.
        """

    def calibrate(self, features: Tensor, labels: Tensor) -> None:
        """Choose on frames of other people what `fit` cannot (a threshold, say); does nothing here.

        Called after `fit` if the run holds out validation subjects (`--val-subjects`), with
        `encode`'s features (V, F) of their labelled frames and the labels (V, A), which the budget
        paid for too. What it finds goes into buffers.
        """

    def members(self, features: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        """Return what the network's parts would predict alone: name -> logits (B, A); none here.

        Of the same features (B, T, F) as `head`'s; the record scores each part beside the method.
        """
        return {}

    @property
    def test_clip_len(self) -> int:
        """Frames of a clip in testing, the key frame in the middle; those of training by default.

        Each frame is encoded once however many clips it is in.
        """
        return self.data_needs.clip_len

    def losses(self, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        """Return named scalar losses, already weighted: the loop adds them up."""
        raise NotImplementedError(f"{type(self).__name__} does not define losses")

    def encode(self, frames: Tensor, landmarks: Tensor | None = None) -> Tensor:
        """Encode single frames (N, 3, H, W) -> (N, ...): each test frame passes here once.

        `landmarks` (N, 68, 2) come only if `needs.landmarks` and the dataset has them.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define encode")

    def head(self, features: Tensor) -> Tensor:
        """Turn encoded clips (B, T, ...) with the key frame in the middle into logits (B, A)."""
        raise NotImplementedError(f"{type(self).__name__} does not define head")

    def predict(self, clips: Tensor, landmarks: Tensor | None = None) -> Tensor:
        """Return logits (B, A) for the middle frame of clips (B, T, 3, H, W).

        `landmarks` (B, T, 68, 2) as in `encode`.
        """
        flat = landmarks.flatten(0, 1) if landmarks is not None else None
        features = self.encode(clips.flatten(0, 1), flat)
        return self.head(features.reshape(*clips.shape[:2], *features.shape[1:]))

    def after_step(self, progress: Progress) -> None:
        """Run after each optimiser step (EMA teachers); does nothing by default."""


def check_choice(name: str, value: Any, choices: Any) -> None:
    """Raise MethodError unless `value` is one of a Literal's `choices`."""
    known = get_args(choices)
    if value not in known:
        raise MethodError(f"{name}={value!r} is not a choice: it takes {', '.join(known)}")
