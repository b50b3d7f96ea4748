"""Distillation and ramps against numpy, written from the equations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from methods._base import MethodError
from methods._ks import KDVariant, bernoulli_ensemble_kl, gaussian_ramp, laine_aila_ramp

RNG = np.random.default_rng(11)
A_LOGITS, B_LOGITS = RNG.normal(0, 2, (6, 4)), RNG.normal(0, 2, (6, 4))


def t(array: object) -> torch.Tensor:
    return torch.as_tensor(np.asarray(array), dtype=torch.float64)


def sigma(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def kl(p: list[float], q: list[float]) -> float:
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def coin(p: float) -> list[float]:
    return [p, 1 - p]


def by_hand(reading: KDVariant, temperature: float) -> float:
    total = 0.0
    for row_a, row_b in zip(A_LOGITS, B_LOGITS, strict=True):
        if reading == "C":
            soft = [np.exp(z / temperature) / np.exp(z / temperature).sum() for z in (row_a, row_b)]
            mean = np.exp((row_a + row_b) / 2 / temperature)
            total += sum(kl(list(mean / mean.sum()), list(p)) for p in soft)
            continue
        for a, b in zip(row_a / temperature, row_b / temperature, strict=True):
            p = [sigma(a), sigma(b)]
            q = (p[0] + p[1]) / 2 if reading == "D" else sigma((a + b) / 2)
            if reading == "F":
                total += 2 * ((a - b) / 2) ** 2
            elif reading == "B":
                total += kl(coin(p[0]), coin(q)) + kl(coin(p[1]), coin(q))
            else:
                total += kl(coin(q), coin(p[0])) + kl(coin(q), coin(p[1]))
    return temperature**2 * total / A_LOGITS.size


@pytest.mark.parametrize("temperature", [1.0, 2.5])
@pytest.mark.parametrize("reading", ["A", "B", "C", "D", "F"])
def test_every_reading_is_what_its_equation_says(reading: KDVariant, temperature: float) -> None:
    loss = bernoulli_ensemble_kl(t(A_LOGITS), t(B_LOGITS), temperature, reading)
    assert loss.dtype == torch.float64
    assert loss.item() == pytest.approx(by_hand(reading, temperature), rel=1e-10)


def test_two_logits_an_au_would_be_the_same_function() -> None:
    pairs = [torch.stack([z / 2, -z / 2], -1) for z in (t(A_LOGITS), t(B_LOGITS))]
    log_p = [pair.log_softmax(-1) for pair in pairs]
    target = ((pairs[0] + pairs[1]) / 2).softmax(-1)
    terms = [torch.nn.functional.kl_div(p, target, reduction="sum") for p in log_p]
    expected = (terms[0] + terms[1]) / A_LOGITS.size
    torch.testing.assert_close(bernoulli_ensemble_kl(t(A_LOGITS), t(B_LOGITS)), expected)


def test_agreement_costs_nothing_disagreement_pulls_together() -> None:
    assert bernoulli_ensemble_kl(t(A_LOGITS), t(A_LOGITS)).item() == pytest.approx(0, abs=1e-15)
    a, b = t([[2.0]]).requires_grad_(), t([[-1.0]]).requires_grad_()
    bernoulli_ensemble_kl(a, b).backward()
    assert a.grad.item() > 0 > b.grad.item()
    # through p alone: d/da KL(q || sigma(a)) = sigma(a) - q
    assert a.grad.item() == pytest.approx(sigma(2) - sigma(0.5))


def test_a_moving_target_matters_unless_it_is_the_best_already() -> None:
    """The mean logit minimises KL(q || p_a) + KL(q || p_b): under A no gradient is left in q."""

    def gradient(reading: KDVariant, *, fixed: bool) -> float:
        a, b = t([[2.0]]).requires_grad_(), t([[-0.5]])
        bernoulli_ensemble_kl(a, b, 1.0, reading, detach_target=fixed).backward()
        return float(a.grad.item())

    assert gradient("A", fixed=False) == pytest.approx(gradient("A", fixed=True))
    assert gradient("D", fixed=False) != pytest.approx(gradient("D", fixed=True), rel=1e-2)


def test_extreme_logits_stay_finite() -> None:
    for reading in ("A", "B", "C", "D", "F"):
        a = torch.tensor([[300.0, -300.0]], requires_grad=True)
        loss = bernoulli_ensemble_kl(a, torch.tensor([[-300.0, 300.0]]), 1.0, reading)
        loss.backward()
        assert torch.isfinite(loss), reading
        assert torch.isfinite(a.grad).all(), reading


def test_the_printed_ramp_has_the_papers_values_and_is_clamped() -> None:
    values = [gaussian_ramp(e, 2.0, 0.0, 5.0) for e in (0, 1, 2, 3, 4, 5, 6, 50)]
    assert values == pytest.approx([0.135, 0.147, 0.186, 0.278, 0.487, 1, 1, 1], abs=5e-4)
    assert gaussian_ramp(7, 3.0, 2.0, 10.0) == pytest.approx(math.exp(-3 * (1 - 0.25)))


def test_the_cited_ramp_rises_from_its_own_start_and_stays() -> None:
    assert laine_aila_ramp(0, 5.0, 10.0) == pytest.approx(math.exp(-5))
    assert laine_aila_ramp(5, 5.0, 10.0) == pytest.approx(math.exp(-1.25))
    assert laine_aila_ramp(10, 5.0, 10.0) == laine_aila_ramp(99, 5.0, 10.0) == 1


def test_an_unknown_reading_is_named() -> None:
    with pytest.raises(MethodError, match="reading='E' is not a choice: it takes A, B, C, D, F"):
        bernoulli_ensemble_kl(torch.zeros(1, 1), torch.zeros(1, 1), 1.0, "E")  # type: ignore[arg-type]
