"""How often 95 % intervals hold the truth: a simulation of the forms that were to choose from.

    PYTHONPATH=. python results/studies/interval-coverage/simulate.py           # all CSV files
    PYTHONPATH=. python results/studies/interval-coverage/simulate.py subjects  # one of them

`subjects`: populations x test subjects a fold x folds, one training. `alone`: folds of one subject.
`trainings`: three and five seeds. `tails`: small p-values. Every line of a file has a stream of
random numbers of its own.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from populations import KINDS, Population
from scipy.special import ndtr, ndtri, stdtrit

from bench.config.names import GridPoint
from bench.report.fold_counts import FoldCounts
from bench.report.statistics import Estimate, estimate_difference, estimate_mean
from bench.report.variance import Replicates, run_weights, student_t, subject_components

HERE = Path(__file__).resolve().parent
REPEATS, DRAWS, TAIL_REPEATS = 2000, 1000, 20_000
Runs = dict[GridPoint, FoldCounts]
Interval = tuple[float, float]
Signed = list[tuple[int, FoldCounts]]
"""A fold's runs: one method's, or two methods' with a sign each."""


def sample(
    population: Population, stream: np.random.Generator, subjects: int, folds: int, seeds: int
) -> list[Runs]:
    """Draw test subjects and trainings for every fold; the runs of each method."""
    runs: list[Runs] = [{}, {}]
    for fold in range(folds):
        names = tuple(f"{fold}-{subject}" for subject in range(subjects))
        counts = population.draw(stream, subjects, seeds)
        for method, seed in product(range(2), range(seeds)):
            point = GridPoint(ratio=0.05, fold=fold, seed=seed)
            runs[method][point] = FoldCounts.make(names, counts[method, seed])
    return runs


def jackknife(
    runs: Sequence[tuple[int, Runs]], *, corrected: bool, truth: float = 0.0
) -> tuple[Interval, float]:
    """Use Student's t and the jackknife's error over subjects alone: interval, p of the truth."""
    parts = {
        point: Replicates(
            fold.subjects,
            fold.comparable,
            sum(sign * other[point].mean for sign, other in runs),
            sum(sign * other[point].without_one for sign, other in runs),
            sum(sign * other[point].without_two for sign, other in runs) if corrected else None,
        )
        for point, fold in runs[0][1].items()
    }
    weights = run_weights(list(parts))
    mean = sum(weights[point] * part.value for point, part in parts.items())
    return student_t(mean - truth, subject_components(parts, weights), (-1.0, 1.0))


class Bootstrap:
    """Values (D,) of draws of subjects within each fold, and what the forms need beside them."""

    def __init__(self, folds: Sequence[Signed], stream: np.random.Generator, draws: int) -> None:
        self.folds, self.subjects = len(folds), len(folds[0][0][1].subjects)
        self.value, self.values = 0.0, np.zeros(draws)
        self.variance, self.variances = 0.0, np.zeros(draws)
        self.left_out: list[NDArray] = []
        for fold in folds:
            self._add(fold, stream, draws)

    def _add(self, fold: Signed, stream: np.random.Generator, draws: int) -> None:
        often = stream.multinomial(self.subjects, np.full(self.subjects, 1 / self.subjects), draws)
        whole, drawn, left = 0.0, 0.0, 0.0
        for sign, counts in fold:
            self.value += sign * counts.mean / self.folds
            whole += sign * influence(counts, np.ones((self.subjects, 1)))[1]
            values, moved = influence(counts, often.T.astype(float))
            self.values += sign * values / self.folds
            drawn += sign * moved
            left += sign * counts.without_one
        factor = self.subjects / (self.subjects - 1) / self.folds**2
        self.variance += factor * float((whole**2).sum())
        self.variances += factor * (drawn**2 * often.T).sum(axis=0)
        self.left_out.append((left.mean() - left) / self.folds)

    def percentile(self) -> Interval:
        """Take the middle 95 % of the draws."""
        return quantiles(self.values, 0.025, 0.975)

    def basic(self) -> Interval:
        """Mirror the percentile form at the estimate."""
        low, high = self.percentile()
        return 2 * self.value - high, 2 * self.value - low

    def bca(self) -> Interval:
        """Correct percentiles for bias and skewness: BCa (Efron 1987)."""
        below = np.clip((self.values < self.value).mean(), 0.5 / len(self.values), 1 - 1e-4)
        moved, cubes = ndtri(below), np.concatenate(self.left_out)
        scale = max(float((cubes**2).sum()) ** 1.5, 1e-300)
        bend = float((cubes**3).sum()) / (6 * scale)
        ends = (moved + side * 1.96 for side in (-1, 1))
        return quantiles(self.values, *(ndtr(moved + end / (1 - bend * end)) for end in ends))

    def studentised(self) -> Interval:
        """Divide each draw by its own error, that of the linearised mean (bootstrap-t)."""
        ratios = (self.values - self.value) / np.sqrt(np.maximum(self.variances, 1e-12))
        low, high = quantiles(ratios, 0.025, 0.975)
        error = float(np.sqrt(self.variance))
        return self.value - high * error, self.value - low * error

    def widened(self) -> Interval:
        """Take 2 x estimate - mean of draws, +- 1.96 sd, widened for the number of subjects."""
        s = self.subjects
        more = 1 + (float(stdtrit(s - 1, 0.975)) / 1.96 - 1) / self.folds
        half = 1.96 * float(self.values.std(ddof=1)) * np.sqrt(s / (s - 1)) * more
        centre = 2 * self.value - float(self.values.mean())
        return centre - half, centre + half


def influence(counts: FoldCounts, often: NDArray) -> tuple[NDArray, NDArray]:
    """Mean F1 (D,) where subjects count `often` (S, D), and each one's influence on it (S, D)."""
    hits, of = counts.parts
    drawn = np.maximum(of @ often, 1)
    f1 = (hits @ often) / drawn
    return f1.mean(axis=0), (hits.T @ (1 / drawn) - of.T @ (f1 / drawn)) / len(f1)


def quantiles(values: NDArray, low: float, high: float) -> Interval:
    """Return two quantiles."""
    found = np.quantile(values, [low, high])
    return float(found[0]), float(found[1])


def all_forms(runs: Sequence[tuple[int, Runs]], stream: np.random.Generator) -> dict[str, Interval]:
    """Return every form that was to choose from."""
    folds = [[(sign, other[point]) for sign, other in runs] for point in runs[0][1]]
    drawn = Bootstrap(folds, stream, DRAWS)
    names = ("percentile", "basic", "bca", "studentised", "widened")
    forms = {name: getattr(drawn, name)() for name in names}
    forms["jackknife_t"] = jackknife(runs, corrected=False)[0]
    forms["jackknife_t_corrected"] = jackknife(runs, corrected=True)[0]
    return forms


def subjects_only(runs: Sequence[tuple[int, Runs]], _: np.random.Generator) -> dict[str, Interval]:
    """Return the chosen form as if trainings were all alike."""
    return {"without_trainings": jackknife(runs, corrected=len(runs) == 1)[0]}


Forms = Callable[[Sequence[tuple[int, Runs]], np.random.Generator], dict[str, Interval]]


def coverage(
    population: Population, size: dict[str, int], forms: Forms, seed: list[int], repeats: int
) -> Iterator[dict[str, object]]:
    """Yield a line for the mean of one method and one for the difference of two."""
    stream = np.random.default_rng(seed)
    truths = {
        "mean": float(population.truth[0]),
        "difference": float(population.truth[0] - population.truth[1]),
    }
    held: dict[str, list[dict[str, bool]]] = {quantity: [] for quantity in truths}
    found: dict[str, list[Estimate]] = {quantity: [] for quantity in truths}
    for _ in range(repeats):
        one, two = sample(population, stream, **size)
        for quantity, runs in (("mean", [(1, one)]), ("difference", [(1, one), (-1, two)])):
            chosen = estimate_mean(one) if quantity == "mean" else estimate_difference(one, two)
            assert chosen.interval is not None
            found[quantity].append(chosen)
            intervals = {**forms(runs, stream), "chosen": chosen.interval}
            held[quantity].append(
                {n: low <= truths[quantity] <= high for n, (low, high) in intervals.items()}
            )
    for quantity, truth in truths.items():
        yield {
            "population": population.kind,
            **size,
            "quantity": quantity,
            "repeats": repeats,
            **summary(found[quantity], truth),
            **{
                name: f"{100 * np.mean([one[name] for one in held[quantity]]):.1f}"
                for name in held[quantity][0]
            },
        }


def summary(found: Sequence[Estimate], truth: float) -> dict[str, str]:
    """Return truth, bias and spread of the means, width of the chosen intervals: points of F1."""
    means = 100 * np.array([one.mean for one in found])
    widths = [100 * (one.interval[1] - one.interval[0]) for one in found if one.interval]
    return {
        "truth": f"{100 * truth:.2f}",
        "bias": f"{means.mean() - 100 * truth:.2f}",
        "sd": f"{means.std(ddof=1):.2f}",
        "chosen_width": f"{np.mean(widths):.2f}",
    }


def subject_lines() -> Iterator[dict[str, object]]:
    """Yield coverage by population, test subjects and folds; one training."""
    for number, kind in enumerate(KINDS):
        population = Population(kind)
        for folds, subjects in product((1, 3), (5, 9, 14, 41)):
            size = {"subjects": subjects, "folds": folds, "seeds": 1}
            yield from coverage(population, size, all_forms, [1, number, folds, subjects], REPEATS)


def alone_lines() -> Iterator[dict[str, object]]:
    """Yield coverage with folds of one subject: the truth is the mean F1 of single people."""
    for number, kind in enumerate(KINDS[:3]):
        population = Population(kind)
        population.truth = truth_of_single_people(population)
        for folds in (5, 9, 27):
            size = {"subjects": 1, "folds": folds, "seeds": 1}
            yield from coverage(population, size, lambda *_: {}, [2, number, folds], REPEATS)


def truth_of_single_people(population: Population) -> NDArray:
    """Return each method's mean over people of their own mean F1."""
    counts = population.draw(np.random.default_rng(11), 40_000)[:, 0]
    hits = 2 * counts[:, :, 0]
    of = hits + counts[:, :, 1] + counts[:, :, 2]
    return (hits / np.maximum(of, 1)).mean(axis=(1, 2))


def training_lines() -> Iterator[dict[str, object]]:
    """Yield coverage with several trainings, whose F1 differs by 1 or 2 points."""
    for (number, kind), spread in product(enumerate((KINDS[0], KINDS[2])), (0.01, 0.02)):
        population = Population(kind, spread)
        for folds, seeds, subjects in product((1, 3), (3, 5), (5, 14, 41)):
            size = {"subjects": subjects, "folds": folds, "seeds": seeds}
            seed = [3, number, int(1000 * spread), folds, seeds, subjects]
            for line in coverage(population, size, subjects_only, seed, REPEATS):
                yield {"training_sd": f"{100 * spread:g}", **line}


def tail_lines() -> Iterator[dict[str, object]]:
    """Yield how often the p-value of a true difference is below small numbers."""
    levels = (0.05, 0.01, 0.001, 0.0005)
    for number, kind in ((0, KINDS[0]), (2, KINDS[2])):
        population = Population(kind)
        truth = float(population.truth[0] - population.truth[1])
        for folds, subjects in product((1, 3), (5, 9, 14)):
            stream = np.random.default_rng([4, number, folds, subjects])
            chances = []
            for _ in range(TAIL_REPEATS):
                one, two = sample(population, stream, subjects, folds, 1)
                pair = [(1, one), (-1, two)]
                chances.append(jackknife(pair, corrected=False, truth=truth)[1])
            found = {
                f"below_{level}": f"{np.mean(np.less(chances, level)):.5f}" for level in levels
            }
            size = {"population": kind, "subjects": subjects, "folds": folds}
            yield {**size, "repeats": TAIL_REPEATS, **found}


PARTS = {
    "subjects": subject_lines,
    "alone": alone_lines,
    "trainings": training_lines,
    "tails": tail_lines,
}


def write(name: str) -> None:
    """Write a part's file, line by line."""
    path = HERE / f"{name}.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = None
        for line in PARTS[name]():
            writer = writer or csv.DictWriter(stream, list(line), lineterminator="\n")
            if stream.tell() == 0:
                writer.writeheader()
            writer.writerow(line)
            stream.flush()


if __name__ == "__main__":
    for chosen_part in sys.argv[1:] or PARTS:
        write(chosen_part)
