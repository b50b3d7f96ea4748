"""Our FixMatch beside a public one, semilearn's (MIT): `python -m tests.benchmarks.peers`.

Both train the same network from the same weights, on the same tensors (step alone) and then on the
same images through their own loading and augmentation (end to end). The first losses must agree.
semilearn's algorithm is used as it is: its `train_step`, its update and its average of weights.
Times are this thread's own, in the order ours, theirs, theirs, ours.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.machinery import ModuleSpec
from itertools import cycle
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn

from bench.config.settings import TrainConfig
from bench.runner.speed import KeptBatches
from bench.training.trainer import Trainer
from methods._base import Batch
from methods.fixmatch import FixMatch
from tests.helpers.timed_trainings import AUS, QUICK, make_trainer, make_video

INSTALL = (
    "peers compares with the package semilearn, which is not installed: "
    "python -m pip install --no-deps semilearn==0.3.2 (what else it asks for is not needed here)"
)
OPTIONAL = ("aim", "wandb", "transformers", "torchaudio", "progress", "skimage", "ruamel")
"""What semilearn imports at once and FixMatch on images never calls."""

TOLERANCE = 1e-5
"""Between the first losses of the two, relative."""

TAU, DECAY = 0.52, 0.999
"""Threshold (low, so that random networks accept labels) and decay of the averaged weights."""


class _StandIn(ModuleType):
    """A module that has whatever is imported from it, as an empty class."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


class StandIns:
    """Finds stand-ins for packages that are not installed; last in the row of finders."""

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        known = name.partition(".")[0] in OPTIONAL
        return ModuleSpec(name, self, is_package=True) if known else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: it makes up what it is asked for."""


def stand_in() -> None:
    """Let semilearn be imported without what it imports and FixMatch on images never calls."""
    sys.meta_path.append(StandIns())  # type: ignore[arg-type]
    if importlib.util.find_spec("tensorboard") is None:
        # torch's own module of that name is there, and wants the package at once
        name = "torch.utils.tensorboard"
        sys.modules.setdefault(name, _StandIn(name))


class TwoClasses(nn.Module):
    """A network of A labels as semilearn takes it: each frame and label a row (0, z).

    The softmax of (0, z) is (1 - sigma(z), sigma(z)), so that its cross-entropy is ours.
    """

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, frames: Tensor) -> dict[str, Tensor]:
        z = self.net(frames).reshape(-1)
        logits = torch.stack([torch.zeros_like(z), z], dim=1)
        return {"logits": logits, "feat": logits}


class Peer:
    """semilearn's FixMatch on a network, with the recipe of `train`."""

    def __init__(self, net: nn.Module, train: TrainConfig, *, joint: bool):
        from semilearn.algorithms.fixmatch.fixmatch import FixMatch as Public

        class WithoutFiles(Public):
            def set_dataset(self) -> None:
                """Have none: batches come from outside."""

        args = SimpleNamespace(
            num_classes=2, ema_m=DECAY, epoch=1, num_train_iter=train.steps, num_eval_iter=1,
            num_log_iter=1, num_warmup_iter=0, ulb_loss_ratio=1.0, use_cat=joint, amp=False,
            clip_grad=train.clip_norm, save_name="", save_dir="", resume=False, gpu=None, rank=0,
            algorithm="fixmatch", distributed=False, world_size=1, optim="SGD", lr=train.lr,
            momentum=train.momentum, weight_decay=train.weight_decay, layer_decay=1.0, T=0.5,
            p_cutoff=TAU, hard_label=True, use_pretrain=False, pretrain_path="", use_wandb=False,
            use_aim=False,
        )  # fmt: skip
        quiet = SimpleNamespace(info=lambda *_: None)
        wrapped = TwoClasses(net)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it scales gradients for a GPU that is not there
            self.public = WithoutFiles(args, lambda **_: copy.deepcopy(wrapped), None, quiet)
        self.public.model.train()
        self.public.call_hook("before_run", "EMAHook")

    def step(self, labelled: Tensor, labels: Tensor, weak: Tensor, strong: Tensor) -> float:
        """Take one step; labels (B, A). Returns the loss before it."""
        public = self.public
        public.out_dict, public.log_dict = public.train_step(
            labelled, labels.long().reshape(-1), weak, strong
        )
        for hook in ("ParamUpdateHook", "EMAHook"):
            public.call_hook("after_train_step", hook)
        loss: float = public.log_dict["train/total_loss"]
        return loss


def public_batches(batch: int, unlabelled: int) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Yield batches by semilearn's data set class and its augmentations for small pictures."""
    from semilearn.datasets.augmentation import RandAugment
    from semilearn.datasets.cv_datasets.datasetbase import BasicDataset
    from torchvision import transforms as t

    side, video = QUICK.data.size, make_video()

    def pipeline(*extra: Any) -> Any:
        crop = t.RandomCrop(side, padding=side // 8, padding_mode="reflect")
        last = (t.ToTensor(), t.Normalize(IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD))
        return t.Compose([t.Resize(side), crop, t.RandomHorizontalFlip(), *extra, *last])

    def loader(rows: np.ndarray, size: int, *, plain: bool) -> Any:
        strong = None if plain else pipeline(RandAugment(3, 5))
        images, labels = video.images[rows], video.labels[rows].astype(np.int64)
        data = BasicDataset("fixmatch", images, labels, 2, pipeline(), not plain, strong)
        return torch.utils.data.DataLoader(data, size, shuffle=True, drop_last=True)

    labelled = loader(video.keys, batch, plain=True)
    pool = loader(np.arange(len(video.images)), unlabelled, plain=False)
    for keys, others in zip(cycle(labelled), cycle(pool), strict=False):
        yield keys["x_lb"], keys["y_lb"], others["x_ulb_w"], others["x_ulb_s"]


def our_training(train: TrainConfig, *, joint: bool) -> Trainer:
    """Our FixMatch, as semilearn's is set."""
    config = FixMatch.Config(
        weighting="none", tau=TAU, ema_decay=DECAY, weak_forward="joint" if joint else "no_grad"
    )
    ours = make_trainer(FixMatch, config, train)
    ours.method.train()
    return ours


def pair(train: TrainConfig, *, joint: bool) -> tuple[Trainer, Peer]:
    """Our training and theirs, from the same weights."""
    ours = our_training(train, joint=joint)
    return ours, Peer(ours.method.net, train, joint=joint)


def first_loss(ours: Trainer) -> tuple[float, Batch]:
    """Return our loss of the first step, and its batch; pseudo labels must have a part in it."""
    batch, hidden = ours.loader.batch(0)
    ours.audit.expect(0, hidden)
    parts = ours.method.losses(batch, ours.progress()).values()
    loss = float(sum(part.detach() for part in parts))
    if not float(ours.method.metrics["accepted"]) > 0:
        raise SystemExit("no pseudo label was accepted: the unlabelled terms were not compared")
    return loss, batch


def check_first_losses(train: TrainConfig) -> tuple[float, float]:
    """Return both losses of the first step, on one batch in joint passes; they must agree."""
    ours, theirs = pair(train, joint=True)
    own, batch = first_loss(ours)
    views = batch.unlabelled["weak"], batch.unlabelled["strong"]
    other = theirs.step(batch.key, batch.labels, *views)
    if not abs(own - other) <= TOLERANCE * abs(own):
        raise SystemExit(f"the first losses differ: ours {own:.7f}, theirs {other:.7f}")
    return own, other


def step_alone(train: TrainConfig, *, joint: bool) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Our step and theirs on batches that lie ready, the same tensors."""
    ours, theirs = pair(train, joint=joint)
    kept = KeptBatches(ours.loader)
    kept.draw_all()
    ours.loader = kept  # type: ignore[assignment]
    numbers = cycle(range(4))

    def their_step() -> None:
        batch, _ = kept.batch(next(numbers))
        theirs.step(batch.key, batch.labels, batch.unlabelled["weak"], batch.unlabelled["strong"])

    return ours._one_step, their_step


def end_to_end(train: TrainConfig) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Our step and theirs, each with its own loading and augmentation of the same images."""
    ours, theirs = pair(train, joint=True)
    ratio = ours.loader.sampler.needs.unlabelled_ratio
    batches = public_batches(train.batch_size, ratio * train.batch_size)
    return ours._one_step, lambda: theirs.step(*next(batches))


def ratios(steps: tuple[Callable[[], Any], Callable[[], Any]], *, count: int, repeats: int) -> str:
    """Time blocks of steps as ours, theirs, theirs, ours; tell the median of theirs over ours."""
    found, seconds = [], ([], [])
    for which in (0, 1):
        _timed(steps[which], 3)  # allocations, choice of kernels
    for _ in range(repeats):
        blocks: tuple[list[float], list[float]] = ([], [])
        for which in (0, 1, 1, 0):
            blocks[which].append(_timed(steps[which], count))
        found.append(sum(blocks[1]) / sum(blocks[0]))
        for which in (0, 1):
            seconds[which].extend(block / count for block in blocks[which])
    own, other = (1000 * statistics.median(values) for values in seconds)
    return (
        f"ours {own:.0f} ms, theirs {other:.0f} ms, theirs over ours "
        f"{statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f})"
    )


def _timed(step: Callable[[], Any], count: int) -> float:
    began = time.thread_time()
    for _ in range(count):
        step()
    return time.thread_time() - began


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--batch", type=int, default=8, help="labelled frames a step")
    parser.add_argument("--steps", type=int, default=5, help="steps of a block")
    parser.add_argument("--repeats", type=int, default=5, help="rounds of four blocks")
    asked = parser.parse_args(arguments)
    if importlib.util.find_spec("semilearn") is None:
        raise SystemExit(INSTALL)
    stand_in()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    budget = 2 * asked.steps * asked.repeats + 10
    train = replace(
        QUICK.train, optimiser="nesterov", lr=0.03, schedule="cosine", weight_decay=5e-4,
        batch_size=asked.batch, steps=budget,
    )  # fmt: skip
    frames = asked.batch * (1 + 2 * FixMatch.Config().unlabelled_ratio)
    say(f"FixMatch, {QUICK.trunk.name} x {QUICK.trunk.width:g} at {QUICK.data.size} px, {AUS} AUs, "
        f"{frames} frames a step, one thread of this processor")  # fmt: skip
    say("first losses: ours {:.6f}, theirs {:.6f}".format(*check_first_losses(train)))
    timed = {"count": asked.steps, "repeats": asked.repeats}
    say("step alone, weak view with gradient: " + ratios(step_alone(train, joint=True), **timed))
    say("step alone, weak view without: " + ratios(step_alone(train, joint=False), **timed))
    say("end to end, own loading: " + ratios(end_to_end(train), **timed))


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
