"""Prediction checks: each frame by itself, encoded once, nothing moved."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from bench.data.frame_table import clip_rows
from bench.errors import UsageError
from bench.runner.weights import read_network, write_weights
from bench.training.augment import normalise
from bench.training.loader import batch_landmarks

from .harness import CPU, Harness, differing_entries, name_some
from .probe import ContractViolation

_CLIPS = 6


def _clips(harness: Harness) -> tuple[Tensor, Tensor | None]:
    """Return test clips (B, T, 3, S, S) and their landmarks, if the method needs them."""
    experiment = harness.reference.experiment
    length = experiment.method.test_clip_len
    table, pixels = experiment.table, experiment.pixels
    coded = np.concatenate([s.start + np.flatnonzero(s.coded) for s in experiment.test])
    keys = coded[:: max(1, len(coded) // _CLIPS)][:_CLIPS]
    rows = clip_rows(table, keys, length // 2, length)
    clips = normalise(pixels.gather(rows.ravel()))
    clips = clips.reshape(_CLIPS, length, *clips.shape[1:])
    points = batch_landmarks(table, rows.ravel(), clips.device)
    if points is None or not experiment.method.data_needs.landmarks:
        return clips, None
    return clips, points.reshape(_CLIPS, length, *points.shape[1:])


def batch_independence(harness: Harness) -> None:
    """Check that a clip is predicted the same in any company, and predicting moves nothing."""
    method = harness.reference.trainer.method.eval()
    clips, landmarks = _clips(harness)
    random = torch.get_rng_state()
    with torch.inference_mode():
        together = method.predict(clips, landmarks)
        _check_logits(together, len(method.task.aus))
        alone = torch.cat(
            [
                method.predict(
                    clips[i : i + 1], None if landmarks is None else landmarks[i : i + 1]
                )
                for i in range(_CLIPS)
            ]
        )
    if not _close(together, alone):
        raise ContractViolation(
            f"a clip's logits change by up to {_gap(together, alone):.2g} with the clips beside "
            "it: look for statistics over the batch, a BatchNorm without running statistics, or "
            "F.dropout without training=self.training"
        )
    moved = differing_entries(harness.reference.state, method.state_dict())
    if moved:
        raise ContractViolation(
            f"predicting changes {name_some(moved)}: it must leave the method as it is"
        )
    if not torch.equal(random, torch.get_rng_state()):
        raise ContractViolation("predicting draws random numbers: in eval mode it must be certain")


def kept_weights(harness: Harness) -> None:
    """Check that its kept weights alone, without the labels, give the same predictions."""
    cell = harness.cell(knobs=["train.keep_weights=true"])
    cell.folder.mkdir(parents=True, exist_ok=True)
    path = write_weights(cell, harness.reference.experiment)
    assert path is not None
    try:
        read_network(path, harness.registry, CPU)
    except UsageError as error:
        raise ContractViolation(
            f"its weights do not make it again for `predict` ({error}): what the labels of the "
            "task tell and head() needs must be in state_dict(), in a shape that no label decides"
        ) from error


def one_encoding(harness: Harness) -> None:
    """Check that predict() gives what head() makes of frames that encode() saw one by one."""
    method = harness.reference.trainer.method.eval()
    clips, landmarks = _clips(harness)
    frames = clips.flatten(0, 1)
    points = [None] * len(frames) if landmarks is None else landmarks.flatten(0, 1)[:, None]
    with torch.inference_mode():
        encoded = [method.encode(f[None], p) for f, p in zip(frames, points, strict=True)]
        if any(len(features) != 1 for features in encoded):
            raise ContractViolation(
                "encode() must return one row for each frame: (N, 3, H, W) -> (N, ...)"
            )
        split = method.head(_as_clips(torch.cat(encoded), clips))
        whole = method.predict(clips, landmarks)
    _check_logits(split, len(method.task.aus))
    if not _close(whole, split):
        raise ContractViolation(
            f"predict() differs from head(encode()) by up to {_gap(whole, split):.2g}: a run is "
            "judged by encode() and head(); leave predict() as it is inherited"
        )


def _as_clips(features: Tensor, clips: Tensor) -> Tensor:
    return features.reshape(*clips.shape[:2], *features.shape[1:])


def _check_logits(logits: Tensor, aus: int) -> None:
    if logits.shape != (_CLIPS, aus):
        raise ContractViolation(
            f"the prediction for {_CLIPS} clips of {aus} AUs has shape {tuple(logits.shape)}: "
            "head() returns one logit for each clip and AU, (B, A), for the middle frame"
        )
    if not bool(logits.isfinite().all()):
        raise ContractViolation(
            "the prediction is not finite: look for a division or a log of 0 in eval mode"
        )


def _gap(first: Tensor, second: Tensor) -> float:
    return float((first - second).abs().max())


def _close(first: Tensor, second: Tensor) -> bool:
    """Tell whether two predictions agree but for the rounding of kernels of other batch sizes."""
    return _gap(first, second) <= 1e-4 * (1 + float(first.abs().max()))
