"""Made-up populations of test subjects whose true mean F1 is known, for `simulate.py` and a test.

A subject is made from one of the 41 of the committed records (rendered BP4D video, 5 % labels, two
methods): its base rate, recall and false alarm rate of every AU are moved a little on the logit
scale and counts are drawn from them. What one person has of all AUs stays together, and so do the
two methods.

Shapes: M = 2 methods, K trainings, S subjects, A action units.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from bench.results.records import read_record

RUNS = Path(__file__).resolve().parents[1] / "ssl-rendered-bp4d" / "runs"
METHODS = ("supervised", "tcl")

KINDS = ("as recorded", "rare", "skewed", "rare, very skewed")
"""`rare`: AUs on 1 to 5 % of the frames. `skewed`: a few subjects hold most of the positives."""

SKEW = {"skewed": 0.5, "rare, very skewed": 0.15}
"""Shape of the base rates' distribution over subjects: the best fifth holds about two thirds and
more than nine tenths of the positives."""

MOVED, SHARED = 0.5, 0.7
"""Part of the subjects' spread by which one is moved; how far two methods are moved alike."""

TRAINED_ALIKE, BY_SUBJECT = 0.3, 0.4
"""Correlation of two methods' trainings of one seed; spread (logits) of a training by subject."""

Floats = NDArray[np.float64]


class Population:
    """A population of people as two methods see them; `truth` (M,) is their mean F1 on all people.

    With a `spread`, every training differs: it is the standard deviation of mean F1 over trainings.
    """

    def __init__(self, kind: str, spread: float = 0.0, people: int = 200_000) -> None:
        self.kind = kind
        self._read_donors()
        self._set_base_rates()
        stream = np.random.default_rng(7)
        crowd = self._rates(stream, people)
        methods = range(len(METHODS))
        if spread:
            crowd[1:3] = [
                rate + self._by_subject(stream, people, len(METHODS)) for rate in crowd[1:3]
            ]
        self.truth = np.array([self._f1(crowd, method) for method in methods])
        self.tau = 0.0
        if spread:
            few = [part[..., : people // 20, :] for part in crowd]
            effects = self._effects(stream, 400)
            self.tau = self._strength(few, effects[:200], spread)
            trained = [[self._f1(few, m, self.tau * one[m]) for one in effects] for m in methods]
            self.truth += np.mean(trained, axis=1) - [self._f1(few, m) for m in methods]

    def draw(self, stream: np.random.Generator, subjects: int, trainings: int = 1) -> Floats:
        """Draw subjects and trainings: counts (M, K, S, 4, A) of tp, fp, fn, tn."""
        base, recall, alarm, frames = self._rates(stream, subjects)
        positive = stream.binomial(frames, base)
        effects = self.tau * self._effects(stream, trainings)
        counts = np.empty((len(METHODS), trainings, subjects, 4, self.aus))
        for method in range(len(METHODS)):
            for training in range(trainings):
                moved = effects[training, method][:, None, :]
                if self.tau:
                    moved = moved + self._by_subject(stream, subjects, 2)
                tp = stream.binomial(positive, expit(recall[method] + moved[0]))
                fp = stream.binomial(frames - positive, expit(alarm[method] + moved[1]))
                parts = [tp, fp, positive - tp, frames - positive - fp]
                counts[method, training] = np.stack(parts, axis=1)
        return counts

    def _read_donors(self) -> None:
        """Read what the 41 subjects' rates are, (M, 41, A) on the logit scale."""
        tables = [
            np.concatenate([_counts(method, fold) for fold in range(3)]) for method in METHODS
        ]
        tp, fp, fn, tn = np.array(tables).transpose(2, 0, 1, 3)
        self.aus = tp.shape[-1]
        self.frames = (tp + fp + fn + tn)[0, :, 0]
        self.base = logit((tp + fn + 0.5) / (tp + fp + fn + tn + 1))[0]
        self.recall = _shrunk(tp, tp + fn)
        self.alarm = _shrunk(fp, fp + tn)

    def _set_base_rates(self) -> None:
        """Choose each AU's rate over all people, and move the donors' base rates to it."""
        recorded = expit(self.base).mean(axis=0)
        rare = "rare" in self.kind
        self.rates = np.geomspace(0.01, 0.05, self.aus) if rare else recorded
        self.alarm = self.alarm + np.log(self.rates / recorded)
        self.shift = np.zeros(self.aus)
        if self.kind in SKEW:
            return
        people = self._moved_base(np.random.default_rng(3), 20_000)[0]
        low, high = np.full(self.aus, -15.0), np.full(self.aus, 15.0)
        for _ in range(50):
            self.shift = (low + high) / 2
            above = expit(people + self.shift).mean(axis=0) > self.rates
            low, high = np.where(above, low, self.shift), np.where(above, self.shift, high)

    def _moved_base(self, stream: np.random.Generator, count: int) -> tuple[Floats, NDArray]:
        donor = stream.integers(0, len(self.base), count)
        moved = MOVED * self.base.std(axis=0) * stream.standard_normal((count, self.aus))
        return self.base[donor] + moved, donor

    def _by_subject(self, stream: np.random.Generator, count: int, kinds: int) -> Floats:
        """Draw how a training differs from subject to subject, logits."""
        return BY_SUBJECT * stream.standard_normal((kinds, count, self.aus))

    def _rates(self, stream: np.random.Generator, count: int) -> list[NDArray]:
        """Make people: base rates (S, A), recall and false alarms (M, S, A; logits), frames."""
        moved, donor = self._moved_base(stream, count)
        base = expit(moved + self.shift)
        frames = self.frames[donor].astype(int)
        if self.kind in SKEW:
            shape = SKEW[self.kind]
            base = stream.beta(shape, shape * (1 - self.rates) / self.rates, moved.shape)
            frames = np.maximum(30, frames * stream.lognormal(-0.3, 0.8, count)).astype(int)
        common = stream.standard_normal((2, 1, count, self.aus))
        own = stream.standard_normal((2, len(METHODS), count, self.aus))
        away = MOVED * (np.sqrt(SHARED) * common + np.sqrt(1 - SHARED) * own)
        recall = self.recall[:, donor] + away[0] * self.recall.std(axis=1, keepdims=True)
        alarm = self.alarm[:, donor] + away[1] * self.alarm.std(axis=1, keepdims=True)
        return [base, recall, alarm, frames[:, None]]

    def _effects(self, stream: np.random.Generator, count: int) -> Floats:
        """Draw how trainings differ, (K, M, 2, A), in units of `tau`."""
        common = stream.standard_normal((count, 1, 2, self.aus))
        own = stream.standard_normal((count, len(METHODS), 2, self.aus))
        return np.sqrt(TRAINED_ALIKE) * common + np.sqrt(1 - TRAINED_ALIKE) * own

    def _strength(self, crowd: list[NDArray], effects: Floats, spread: float) -> float:
        """Find the effects' size that gives the wanted spread of mean F1 over trainings."""
        low, high = 0.0, 3.0
        for _ in range(12):
            tau = (low + high) / 2
            found = np.std([self._f1(crowd, 0, tau * one[0]) for one in effects])
            low, high = (tau, high) if found < spread else (low, tau)
        return (low + high) / 2

    def _f1(self, crowd: list[NDArray], method: int, moved: Floats | None = None) -> float:
        """Mean F1 over a crowd, from expected counts."""
        base, recall, alarm, frames = crowd
        more = np.zeros((2, self.aus)) if moved is None else moved
        tp = (frames * base * expit(recall[method] + more[0])).sum(axis=0)
        fp = (frames * (1 - base) * expit(alarm[method] + more[1])).sum(axis=0)
        return float((2 * tp / (tp + fp + (frames * base).sum(axis=0))).mean())


def _counts(method: str, fold: int) -> Floats:
    (path,) = RUNS.glob(f"bp4d-{method}-r0.05-f{fold}-s0-*/record.json")
    counts = read_record(path).scores["last"].counts
    return np.array([counts[name] for name in sorted(counts)], dtype=float)


def _shrunk(part: Floats, whole: Floats) -> Floats:
    """Logits of shares, drawn towards those of all subjects together by four frames."""
    every = part.sum(axis=1, keepdims=True) / whole.sum(axis=1, keepdims=True)
    return logit((part + 4 * np.clip(every, 0.005, 0.98)) / (whole + 4))
