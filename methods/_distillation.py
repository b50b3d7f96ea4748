"""Distillation between networks that learn together, and the ramps that let it in.

Shapes: N rows, A action units.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from ._config import check_choice

Reading = Literal["A", "B", "C", "D", "F"]
"""How to read "softmax" with many labels (see `bernoulli_ensemble_kl`)."""


def bernoulli_ensemble_kl(
    teacher: Tensor,
    student: Tensor,
    temperature: float = 1.0,
    reading: Reading = "A",
    *,
    detach_target: bool = True,
) -> Tensor:
    """Return the distillation of two logits (N, A) towards their ensemble q (KS eqs. 1, 2, 5, 6).

    L = T^2 / (N A) sum_ij [D(q || sigma(a/T)) + D(q || sigma(b/T))], a and b the two logits.
    A: q = sigma((a + b) / 2T), D = KL of two-class distributions, q without gradient (KDCL);
    B: the printed order, D(p || q); C: softmax over the AUs in place of sigma, as if they excluded
    each other; D: q is the mean of the two probabilities; F: squared distance of a/T and b/T to
    their mean. (E, two logits an AU, is the same function as A.) `detach_target=False` lets the
    gradient into q as well. Raises MethodError for another reading.
    """
    check_choice("reading", reading, Reading)
    full = torch.promote_types(teacher.dtype, torch.float32)  # bfloat16 logits are too coarse
    members = [teacher.to(full) / temperature, student.to(full) / temperature]
    mean = (members[0] + members[1]) / 2
    if reading == "F":
        target = mean.detach() if detach_target else mean
        terms = [(member - target).square() for member in members]
    else:
        log_p = [_log_classes(member, reading) for member in members]
        mixed = torch.logaddexp(*log_p) - math.log(2)
        log_q = mixed if reading == "D" else _log_classes(mean, reading)
        log_q = log_q.detach() if detach_target else log_q
        terms = [_kl(p, log_q) if reading == "B" else _kl(log_q, p) for p in log_p]
    return temperature**2 * (terms[0].sum() + terms[1].sum()) / max(1, teacher.numel())


def _log_classes(logits: Tensor, reading: Reading) -> Tensor:
    """Return log-probabilities: (N, A) over the AUs for C, else (N, A, 2) present/absent."""
    if reading == "C":
        return F.log_softmax(logits, dim=1)
    return torch.stack([F.logsigmoid(logits), F.logsigmoid(-logits)], dim=-1)


def _kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    return log_p.exp() * (log_p - log_q)


def gaussian_ramp(epoch: float, omega: float, mu: float, sigma: float) -> float:
    """Return min(1, exp(-omega (1 - (epoch - mu)^2 / sigma^2))), a weight in (0, 1].

    KS eq. 9 as printed, which grows without bound past mu + sigma, clamped to the 1 it reaches
    there ("increases to 1"); omega = 2, mu = 0, sigma = 5 give .135 .147 .186 .278 .487 1.
    """
    return math.exp(min(0.0, -omega * (1 - ((epoch - mu) / sigma) ** 2)))


def laine_aila_ramp(epoch: float, omega: float, sigma: float) -> float:
    """Return exp(-omega (1 - min(1, epoch / sigma))^2) (Laine and Aila, ICLR 2017: omega 5)."""
    return math.exp(-omega * (1 - min(1.0, epoch / sigma)) ** 2)
