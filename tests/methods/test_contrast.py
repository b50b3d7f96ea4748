"""Contrasts and the temporal shift against loops in numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from methods._tcl import class_vectors, group_contrast, nt_xent
from methods._tcl_shift import temporal_shift

RNG = np.random.default_rng(5)


def t(array: object) -> torch.Tensor:
    return torch.as_tensor(np.asarray(array), dtype=torch.float64)


def cosine(u: np.ndarray, v: np.ndarray) -> float:
    return float(u @ v / np.sqrt((u @ u) * (v @ v)))


def contrast_by_hand(fast: list[np.ndarray], slow: list[np.ndarray], temperature: float) -> float:
    rows, n = [*fast, *slow], len(fast)
    total = 0.0
    for i, anchor in enumerate(rows):
        partner = i + n if i < n else i - n
        others = [math.exp(cosine(anchor, rows[k]) / temperature) for k in range(2 * n) if k != i]
        total -= math.log(math.exp(cosine(anchor, rows[partner]) / temperature) / sum(others))
    return total / (2 * n)


def bern(z: np.ndarray) -> np.ndarray:
    s = 1 / (1 + np.exp(-z))
    return np.concatenate([s, 1 - s])


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_instance_contrast_is_the_published_formula(temperature: float) -> None:
    fast, slow = RNG.normal(size=(6, 7)), RNG.normal(size=(6, 7))
    loss = nt_xent(t(fast), t(slow), temperature)
    assert loss.dtype == torch.float64
    assert loss.item() == pytest.approx(contrast_by_hand([*fast], [*slow], temperature), rel=1e-10)


def test_absent_pairs_are_neither_anchors_nor_negatives() -> None:
    fast, slow = RNG.normal(size=(5, 3)), RNG.normal(size=(5, 3))
    present = torch.tensor([True, False, True, True, False])
    kept = [0, 2, 3]
    loss = nt_xent(t(fast), t(slow), 0.5, present)
    expected = contrast_by_hand([fast[i] for i in kept], [slow[i] for i in kept], 0.5)
    assert loss.item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("present", [torch.zeros(3, dtype=torch.bool), torch.tensor([1, 0, 0]) > 0])
def test_no_pair_or_a_single_one_costs_nothing(present: torch.Tensor) -> None:
    fast, slow = torch.zeros(3, 2, requires_grad=True), torch.randn(3, 2, requires_grad=True)
    loss = nt_xent(fast, slow, 0.5, present)
    loss.backward()
    assert loss == 0
    assert torch.isfinite(fast.grad).all()
    assert torch.isfinite(slow.grad).all()
    assert nt_xent(torch.randn(1, 4), torch.randn(1, 4), 0.5) == 0


def test_agreement_of_every_pair_is_cheaper_than_a_mix_up() -> None:
    rows = torch.eye(4)
    assert nt_xent(rows, rows, 0.5) < nt_xent(rows, rows.roll(1, 0), 0.5)


def groups_by_hand(fast: np.ndarray, slow: np.ndarray, temperature: float) -> float:
    centres: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for au in range(fast.shape[1]):
        members = [[bern(z) for z in rows if z[au] >= 0] for rows in (fast, slow)]
        if all(members):
            for side in (0, 1):
                centres[side].append(np.mean(members[side], axis=0))
    return contrast_by_hand(*centres, temperature) if centres[0] else 0.0


@pytest.mark.parametrize("seed", range(4))
def test_group_contrast_runs_over_aus_predicted_in_both_pathways(seed: int) -> None:
    rng = np.random.default_rng(seed)
    fast, slow = rng.normal(-1, 1.5, (6, 5)), rng.normal(-1, 1.5, (6, 5))
    fast[:, 0] = -2  # absent in one pathway
    loss = group_contrast(t(fast), t(slow), 0.5)
    assert loss.item() == pytest.approx(groups_by_hand(fast, slow, 0.5), rel=1e-9)


def test_group_contrast_of_a_batch_without_any_au_is_zero_with_a_gradient() -> None:
    slow = torch.full((3, 4), -5.0, requires_grad=True)
    loss = group_contrast(torch.full((3, 4), -5.0), slow, 0.5)
    loss.backward()
    assert loss == 0
    assert (slow.grad == 0).all()


def test_groups_are_the_patterns_that_both_pathways_show() -> None:
    fast, slow = RNG.normal(0, 1, (9, 2)), RNG.normal(0, 1, (9, 2))
    patterns = {tuple(z >= 0) for z in fast} & {tuple(z >= 0) for z in slow}
    centres: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for pattern in sorted(patterns):
        for side, rows in enumerate((fast, slow)):
            members = [bern(z) for z in rows if tuple(z >= 0) == pattern]
            centres[side].append(np.mean(members, axis=0))
    loss = group_contrast(t(fast), t(slow), 0.5, groups="pattern")
    assert len(patterns) > 1
    assert loss.item() == pytest.approx(contrast_by_hand(*centres, 0.5), rel=1e-9)


def test_groups_of_the_top_au_hold_each_clip_once() -> None:
    fast, slow = RNG.normal(0, 1, (8, 3)), RNG.normal(0, 1, (8, 3))
    centres: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for au in range(3):
        members = [[bern(z) for z in rows if z.argmax() == au] for rows in (fast, slow)]
        if all(members):
            for side in (0, 1):
                centres[side].append(np.mean(members[side], axis=0))
    loss = group_contrast(t(fast), t(slow), 0.5, groups="argmax")
    assert loss.item() == pytest.approx(contrast_by_hand(*centres, 0.5), rel=1e-9)


def test_class_vectors_are_what_their_names_say() -> None:
    z = RNG.normal(size=(3, 4))
    s = 1 / (1 + np.exp(-z))
    assert class_vectors(t(z)).numpy() == pytest.approx(np.hstack([s, 1 - s]))
    assert class_vectors(t(z), "sigma").numpy() == pytest.approx(s)
    assert class_vectors(t(z), "signed").numpy() == pytest.approx(np.tanh(z / 2))
    soft = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    assert class_vectors(t(z), "softmax").numpy() == pytest.approx(soft)


@pytest.mark.parametrize("divisor", [4, 8])
def test_a_shift_brings_the_next_frame_then_the_previous_one(divisor: int) -> None:
    clips, frames, channels = 2, 3, 8
    x = RNG.normal(size=(clips * frames, channels, 2, 2))
    expected = x.copy()
    fold = channels // divisor
    for i in range(clips * frames):
        first, last = i % frames == 0, i % frames == frames - 1
        expected[i, :fold] = 0 if last else x[i + 1, :fold]
        expected[i, fold : 2 * fold] = 0 if first else x[i - 1, fold : 2 * fold]
    assert np.array_equal(temporal_shift(t(x), frames, divisor).numpy(), expected)
    channels_last = t(x).contiguous(memory_format=torch.channels_last)
    assert np.array_equal(temporal_shift(channels_last, frames, divisor).numpy(), expected)


def test_a_shift_s_gradient_is_the_shift_back() -> None:
    x = t(RNG.normal(size=(6, 8, 2, 2))).requires_grad_()
    assert torch.autograd.gradcheck(lambda y: temporal_shift(y, 3, 4), x)
    assert torch.autograd.gradgradcheck(lambda y: temporal_shift(y, 3, 4), x)


def test_a_shift_and_its_gradient_stay_channels_last() -> None:
    x = torch.randn(6, 8, 4, 4).contiguous(memory_format=torch.channels_last).requires_grad_()
    shifted = temporal_shift(x, 3)
    shifted.backward(torch.ones_like(shifted))
    assert shifted.is_contiguous(memory_format=torch.channels_last)
    assert x.grad is not None
    assert x.grad.is_contiguous(memory_format=torch.channels_last)
