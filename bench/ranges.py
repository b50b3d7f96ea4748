"""Ranges of knobs whose type alone would let nonsense train, and be recorded as done."""

from __future__ import annotations

from collections.abc import Mapping

from .config import UsageError
from .settings import Settings

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
