"""Parts of BGCS alone: Bayesian group-sparse compressed sensing, by mean field, in float64.

Features x explain a code z of the labels, z ~ N(W'x, sigma^2 I), and the labels y, coded as real
numbers, explain it too, z ~ N(Phi y, chi^2 I). Each group g of AUs that go together has labels of
its own, y_g ~ N(0, I / alpha_g), alpha_g ~ Gamma(1e-6, 1e-6); AU j's label is the sum of those that
groups with j have for it. (Song, McDuff, Vasisht and Kapoor, FG 2015.)

Shapes: N rows, D features, A action units, Z dimensions of the code, G groups, C pairs of a group
and an AU in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

BUpdate = Literal["corrected", "released"]
"""How much of a group's scale comes from its own labels: all, or every group's (a slip)."""

Solver = Literal["fixed_point", "iterated"]
"""How W is found: where the mean field's updates lead, or by them, up to the released stop."""

THRESHOLDS = torch.arange(41, dtype=torch.float64) * 0.05
"""Thresholds of the labels to choose from: 0, 0.05, ..., 2 (as released)."""

_GAMMA = 1e-6
"""Both parameters of the groups' priors (as released)."""

_BLOCKS = 5
"""Parts of the labelled rows that are held out in turn."""

_ROWS_AT_ONCE = 4096
"""Rows whose labels are inferred at once: a matrix (Z, C) each."""


@dataclass(frozen=True)
class Noise:
    """Standard deviations of a code: given the features, and given the labels."""

    sigma: float
    chi: float

    @property
    def precisions(self) -> tuple[float, float]:
        """Their inverse squares."""
        return self.sigma**-2, self.chi**-2


@dataclass(frozen=True)
class Updates:
    """How the mean field's updates are made, and when they end."""

    b_update: BUpdate = "corrected"
    tolerance: float = 0.01
    """They end once none changes anything by this much ..."""
    most: int = 500
    """... or after so many."""


def sensing_matrix(dimensions: int, aus: int) -> Tensor:
    """Draw Phi (Z, A), uniform in -1..1 with columns of length 1, from torch's generator."""
    drawn = 2 * torch.rand(dimensions, aus, dtype=torch.float64) - 1
    return F.normalize(drawn, dim=0)


def label_groups(co_occurrence: Tensor, threshold: float) -> Tensor:
    """Return groups (G, A) bool from P(j | i) (A, A) at [i, j]: who is in which.

    AU i's group is all j with P(j | i) >= threshold; every AU also is a group by itself. None is
    there twice.
    """
    together = (co_occurrence >= threshold) & (co_occurrence.diagonal() > 0)[:, None]
    groups = [*together, *torch.eye(len(together), dtype=torch.bool)]
    distinct = {tuple(group.tolist()): group for group in groups if bool(group.any())}
    return torch.stack(list(distinct.values()))


def solve_weights(features: Tensor, codes: Tensor, noise: Noise) -> Tensor:
    """Return the mean of W (D, Z) that the mean field's updates lead to.

    (X'X + (sigma^2 + chi^2) I) W = X'T with T = Y Phi' (N, Z): the updates' fixed point is a ridge
    regression of the codes on the features.
    """
    ridge = noise.sigma**2 + noise.chi**2
    eye = torch.eye(features.shape[1], dtype=features.dtype, device=features.device)
    weights: Tensor = torch.linalg.solve(features.T @ features + ridge * eye, features.T @ codes)
    return weights


def iterate_weights(features: Tensor, codes: Tensor, noise: Noise, updates: Updates) -> Tensor:
    """Return the mean of W (D, Z) after the updates of W and z in turn, up to the released stop.

    W <- S X'z / sigma^2, S = (X'X / sigma^2 + I)^-1; z <- (X W / sigma^2 + T / chi^2) /
    (1 / sigma^2 + 1 / chi^2); from W = 0, z = 0.
    """
    near, far = noise.precisions
    eye = torch.eye(features.shape[1], dtype=features.dtype, device=features.device)
    gain: Tensor = torch.linalg.solve(near * features.T @ features + eye, near * features.T)
    weights, z = features.new_zeros(features.shape[1], codes.shape[1]), torch.zeros_like(codes)
    for _ in range(updates.most + 1):
        before = weights, z
        weights = gain @ z
        z = (near * features @ weights + far * codes) / (near + far)
        changes = [(new - old).abs().max() for new, old in zip((weights, z), before, strict=True)]
        if max(changes) < updates.tolerance:
            break
    return weights


def infer_labels(
    means: Tensor, phi: Tensor, groups: Tensor, noise: Noise, updates: Updates
) -> Tensor:
    """Return the posterior means of labels (N, A) from the features' codes W'x (N, Z).

    Each row stops by itself, so that it does not depend on the others.
    """
    inference = _Inference(phi, groups.to(phi.device), noise, updates)
    parts = torch.split(means, _ROWS_AT_ONCE)
    return torch.cat([inference.run(part) for part in parts])


class _Inference:
    """The updates of codes z, group labels y_g and scales alpha_g, for many rows at once."""

    def __init__(self, phi: Tensor, groups: Tensor, noise: Noise, updates: Updates):
        self.noise, self.updates = noise, updates
        self.group_of, self.au_of = groups.nonzero(as_tuple=True)
        self.phi = phi[:, self.au_of]
        """(Z, C)"""
        self.sizes = groups.sum(1).to(phi.dtype)
        self.aus = phi.shape[1]

    def run(self, means: Tensor) -> Tensor:
        """Return labels (N, A) of codes W'x (N, Z)."""
        labels, codes = means.new_zeros(len(means), len(self.au_of)), means
        precisions = means.new_ones(len(means), len(self.sizes))
        going = torch.arange(len(means), device=means.device)
        for _ in range(self.updates.most):
            found, moved, growth = self._update(means[going], labels[going], precisions[going])
            changes = [self._summed(found - labels[going]), moved - codes[going]]
            labels = labels.index_copy(0, going, found)
            codes = codes.index_copy(0, going, moved)
            shapes = _GAMMA + self.sizes / 2
            precisions = precisions.index_copy(0, going, shapes / (_GAMMA + growth))
            going = going[torch.cat(changes, dim=1).abs().amax(1) >= self.updates.tolerance]
            if len(going) == 0:
                break
        return self._summed(labels)

    def _update(self, means: Tensor, labels: Tensor, precisions: Tensor) -> tuple[Tensor, ...]:
        """Return labels (N, C), codes (N, Z) and what a group's b grows by (N, G)."""
        near, far = self.noise.precisions
        codes = (near * means + far * labels @ self.phi.T) / (near + far)
        variances = 1 / precisions.clamp(1e-10, 1e10)[:, self.group_of]
        # (diag(alpha) + Phi'Phi/chi^2)^-1 by Woodbury's identity: Z is smaller than C
        eye = torch.eye(len(self.phi), dtype=means.dtype, device=means.device)
        spread = self.noise.chi**2 * eye + (self.phi * variances[:, None]) @ self.phi.T
        factor = torch.linalg.cholesky(spread)
        labels = variances * (torch.cholesky_solve(codes[:, :, None], factor)[:, :, 0] @ self.phi)
        whitened = torch.linalg.solve_triangular(
            factor, self.phi.expand(len(means), -1, -1), upper=False
        )
        own = variances - variances.square() * whitened.square().sum(1)
        return labels, codes, self._growth(labels.square() + own) / 2

    def _growth(self, squares: Tensor) -> Tensor:
        """Sum expected squares (N, C) by group (N, G)."""
        groups = squares.new_zeros(len(squares), len(self.sizes))
        groups = groups.index_add(1, self.group_of, squares)
        if self.updates.b_update == "released":  # its loop adds each group's part to all
            return groups.sum(1, keepdim=True).expand_as(groups)
        return groups

    def _summed(self, labels: Tensor) -> Tensor:
        """Sum a row's label copies (N, C) by AU (N, A)."""
        return labels.new_zeros(len(labels), self.aus).index_add(1, self.au_of, labels)


@dataclass(frozen=True)
class GroupSparseCode:
    """The whole model: learns weights (D, Z) of whitened features, and infers labels from codes."""

    phi: Tensor
    """(Z, A)"""
    groups: Tensor
    """(G, A) bool"""
    noise: Noise
    updates: Updates
    solver: Solver = "fixed_point"
    rounds: int = 0
    """How often labels inferred for unlabelled rows join the labelled ones."""

    def infer(self, means: Tensor) -> Tensor:
        """Return the labels (N, A) of codes (N, Z)."""
        return infer_labels(means, self.phi, self.groups, self.noise, self.updates)

    def learn(self, whitened: Tensor, labels: Tensor) -> Tensor:
        """Return weights (D, Z) of whitened features (N, D), labels (N, A) of -1 being inferred.

        At first these count as their AU's positive rate, and rows without any label not at all.
        """
        known, labelled = labels >= 0, (labels >= 0).any(1)
        rates = (labels > 0).sum(0) / known.sum(0)
        rates = torch.nan_to_num(rates, nan=float(torch.nan_to_num(rates.nanmean())))
        codes = torch.where(known, labels.double(), rates.double()) @ self.phi.T
        weights = self._solve(whitened[labelled], codes[labelled])
        for _ in range(self.rounds if not known.all() else 0):
            inferred = self.infer(whitened @ weights)
            codes = torch.where(known, labels.double(), inferred) @ self.phi.T
            weights = self._solve(whitened, codes)
        return weights

    def _solve(self, whitened: Tensor, codes: Tensor) -> Tensor:
        if self.solver == "iterated":
            return iterate_weights(whitened, codes, self.noise, self.updates)
        return solve_weights(whitened, codes, self.noise)

    def held_out(self, whitened: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return labels inferred for labelled rows as if they had none, and their labels (M, A).

        Each fifth of them is inferred from the others. Rows of a fifth follow each other, so they
        are mostly of the same people. None for fewer than two rows.
        """
        rows = (labels >= 0).any(1).nonzero()[:, 0]
        inferred = [whitened.new_empty(0, labels.shape[1])]
        for block in rows.tensor_split(min(_BLOCKS, len(rows))) if len(rows) > 1 else ():
            weights = self.learn(whitened, labels.index_fill(0, block, -1))
            inferred.append(self.infer(whitened[block] @ weights))
        return torch.cat(inferred), labels[rows[: sum(map(len, inferred))]]


def best_threshold(values: Tensor, labels: Tensor) -> float:
    """Return the threshold of `THRESHOLDS` above which values (N, A) tell labels (N, A) best.

    Best is the F1 over all coded elements together (as released); the lowest of equals.
    """
    coded = labels >= 0
    truth, values = labels[coded] > 0, values[coded]
    said = values > THRESHOLDS.to(values.device)[:, None]
    hits = (said & truth).sum(1)
    f1 = 2 * hits / (said.sum(1) + truth.sum()).clamp(min=1)
    return float(THRESHOLDS[int(f1.argmax())])


def whitening(features: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Return the mean (F,) and the map (F, D) that whitens features (N, F).

    The D leading principal components are kept: the fewest that hold `share` of the variance.
    """
    mean = features.mean(0)
    centred = features - mean
    variances, axes = torch.linalg.eigh(centred.T @ centred / len(features))
    variances, axes = variances.flip(0).clamp(min=0), axes.flip(1)
    held = variances.cpu().cumsum(0)  # on a GPU a running sum is not repeatable
    kept = 1 + int((held < share * held[-1]).sum())
    kept = max(1, min(kept, int((variances > 1e-10 * variances[0]).sum())))
    return mean, axes[:, :kept] / variances[:kept].clamp(min=1e-30).sqrt()
