"""Metrics that tables can show: what each is made of, and where a record keeps it.

Used by every table of results. F1, balanced accuracy and kappa come from a record's counts, AUC
from its scores; the others from `predictions.npz`. What a record does not hold is told in a
sentence, never guessed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bench.errors import closest
from bench.metrics import with_gaps
from bench.results.predictions import NAME, StoredPredictions, read_predictions
from bench.results.records import Record
from bench.system.files import RecordError

from .fold_counts import Floats, FoldScore
from .frame_metrics import aucs, balanced_accuracy, f1_of_counts, kappa, predicted_to_true
from .grouping import scores_of
from .model import SELECTIONS, NothingToShow, ReportError
from .run_scores import (
    NotStored,
    RankedScore,
    RecordedF1,
    Run,
    RunScore,
    SummedScore,
    average_precision,
    brier_score,
    counted,
    event_f1,
    f1_at_rates,
    f1_validated,
    intensity_agreement,
)


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A figure per AU that a run is judged by; a share of one in memory, times 100 in tables."""

    name: str
    heading: str
    """How a title calls it, with its unit."""
    meaning: str
    """How it is made: a note under the table; empty for F1 at 0.5, which needs none."""
    score: Callable[[Run], RunScore]
    """Makes a run's score; raises NotStored."""
    bounds: tuple[float, float] = (0.0, 1.0)
    lower_is_better: bool = False
    of_outcomes: Callable[[Floats], Floats] | None = None
    """Makes it from counts (4, A) of TP, FP, FN, TN, where it is made of these alone."""
    by_chance: Callable[[Floats], Floats] | None = None
    """What predictions blind to the frame reach on AUs of these test rates (A,)."""

    @property
    def span(self) -> float:
        """The largest difference of two values."""
        return self.bounds[1] - self.bounds[0]

    @property
    def of_frames(self) -> bool:
        """Whether it is an F1 of frames, as the trivial baselines are."""
        return self.name in ("f1", "f1-prior", "f1-val")


_METRICS = (
    Metric(
        name="f1",
        heading="F1 (%)",
        meaning="",
        score=lambda run: RecordedF1(run.scores),
        of_outcomes=f1_of_counts,
    ),
    Metric(
        name="f1-prior",
        heading="F1 at the training rate (%)",
        meaning="an AU is predicted where its probability is at least its positive rate among the "
        "labelled training frames",
        score=f1_at_rates,
        of_outcomes=f1_of_counts,
    ),
    Metric(
        name="f1-val",
        heading="F1 at validated thresholds (%)",
        meaning="each AU's threshold is the one of highest F1 on the labelled frames of the "
        "validation subjects, who are no test subjects",
        score=f1_validated,
        of_outcomes=f1_of_counts,
    ),
    Metric(
        name="f1-event",
        heading="F1 of events (%)",
        meaning="an event is an unbroken run of frames with the AU; a predicted one is right if it "
        "shares more than half of the frames of both with a true one",
        score=event_f1,
        of_outcomes=f1_of_counts,
    ),
    Metric(
        name="auc",
        heading="AUC (%)",
        meaning="AUC: the share of (present, absent) pairs of frames in the right order; it knows "
        "no threshold; 50 is chance",
        score=lambda run: RankedScore(run, aucs, run.scores.auc),
        by_chance=lambda rates: np.full_like(rates, 0.5),
    ),
    Metric(
        name="ap",
        heading="average precision (%)",
        meaning="average precision: mean of the precision at each present frame, in the order of "
        "the probabilities; by chance it is the AU's rate",
        score=average_precision,
        by_chance=lambda rates: rates,
    ),
    Metric(
        name="balanced-accuracy",
        heading="balanced accuracy (%)",
        meaning="balanced accuracy: mean of the shares right among present and among absent "
        "frames; 50 is chance",
        score=lambda run: counted(run.scores, balanced_accuracy),
        of_outcomes=balanced_accuracy,
        by_chance=lambda rates: np.full_like(rates, 0.5),
    ),
    Metric(
        name="kappa",
        heading="kappa (x 100)",
        meaning="Cohen's kappa: agreement beyond chance; 0 is chance, 100 is no error",
        score=lambda run: counted(run.scores, kappa),
        of_outcomes=kappa,
        bounds=(-1.0, 1.0),
        by_chance=np.zeros_like,
    ),
    Metric(
        name="icc",
        heading="ICC(3,1) (x 100)",
        meaning="ICC(3,1): agreement of five times the probability with the intensity (0 to 5), "
        "over the frames and AUs that have one; 0 is chance, 100 is no error",
        score=intensity_agreement,
        bounds=(-1.0, 1.0),
        by_chance=np.zeros_like,
    ),
    Metric(
        name="brier",
        heading="Brier score (x 100, lower is better)",
        meaning="Brier score: mean squared error of the probabilities; telling each AU's own test "
        "rate of every frame gives the row of chance",
        score=brier_score,
        lower_is_better=True,
        by_chance=lambda rates: rates * (1 - rates),
    ),
)

METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _METRICS}


def find_metric(name: str) -> Metric:
    """Return a metric by its name; raises ReportError that names the closest and all others."""
    if name not in METRICS:
        raise ReportError(
            f"no metric {name!r}: {closest(name, METRICS)}known: {', '.join(METRICS)}"
        )
    return METRICS[name]


@dataclass(frozen=True)
class Scoring:
    """How runs are scored: a metric, the rule that chose the step, and where predictions lie."""

    select: str = "last"
    metric: Metric = METRICS["f1"]
    results: Path | None = None
    """Folder whose `runs/<id>/predictions.npz` belong to the records."""
    _known: dict[str, RunScore | NotStored] = field(default_factory=dict, repr=False)
    _folds: dict[str, FoldScore] = field(default_factory=dict, repr=False)
    _outcomes: dict[str, Floats | None] = field(default_factory=dict, repr=False)
    _told: dict[str, list[float | None] | None] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, select: str | Scoring) -> Scoring:
        """Take a scoring, or F1 under a selection rule; raises ReportError for an unknown rule."""
        found = select if isinstance(select, Scoring) else cls(select)
        if found.select not in SELECTIONS:
            known = ", ".join(SELECTIONS)
            raise ReportError(f"no selection rule {found.select!r}: choose one of {known}")
        return found

    def by(self, metric: str) -> Scoring:
        """Return the scoring of the same runs by another metric."""
        return Scoring(self.select, METRICS[metric], self.results)

    def score(self, record: Record) -> RunScore | None:
        """Score a run; None where it has no scores by the rule, or not what the metric needs."""
        found = self._find(record)
        return None if isinstance(found, NotStored) else found

    def per_au(self, record: Record) -> tuple[float | None, ...] | None:
        """Return a run's value on each AU, a share of one."""
        score = self.score(record)
        return tuple(score.per_au) if score else None

    def mean(self, record: Record) -> float | None:
        """Return a run's mean over the AUs that have a value, a share of one."""
        known = [value for value in self.per_au(record) or () if value is not None]
        return sum(known) / len(known) if known else None

    def outcomes(self, record: Record) -> Floats | None:
        """Return the counts (4, A) of TP, FP, FN, TN behind a metric that has a threshold."""
        if record.id not in self._outcomes:
            score = self.score(record)
            if isinstance(score, RecordedF1):
                score = counted(score.scores, f1_of_counts)
            known = (
                score.parts if isinstance(score, SummedScore) and len(score.parts) == 4 else None
            )
            self._outcomes[record.id] = None if known is None else known.sum(axis=-1)
        return self._outcomes[record.id]

    def predicted_to_true(self, record: Record) -> list[float | None] | None:
        """Return how often each AU was told, as a multiple of its truth, then all: A + 1 values."""
        if record.id not in self._told:
            counts, told = self.outcomes(record), None
            if counts is not None:
                whole = np.column_stack([counts, counts.sum(axis=1)])
                told = with_gaps(predicted_to_true(whole))
            self._told[record.id] = told
        return self._told[record.id]

    def fold(self, record: Record) -> FoldScore | None:
        """Return a run's mean, and what it is without some subjects; ReportError without counts."""
        score = self.score(record)
        if score and record.id not in self._folds:
            with _naming(record):
                self._folds[record.id] = score.fold()
        return self._folds.get(record.id)

    def check(self, records: Iterable[Record]) -> None:
        """Raise NothingToShow if there are finished records, and none of them has a score."""
        done = [record for record in records if record.status == "done"]
        if not done or any(self.score(record) for record in done):
            return
        if reasons := list(self.not_stored(done)):
            others = ", ".join(METRICS)
            raise NothingToShow(
                f"{'; '.join(reasons)}: run them again, or choose another of {others}"
            )
        raise NothingToShow(
            f"no record holds scores selected by {self.select!r}: choose another --select, "
            "or run again with what that rule needs"
        )

    def not_stored(self, records: Iterable[Record]) -> Iterator[str]:
        """Say which finished runs lack what the metric is made of: a sentence for each reason."""
        reasons: dict[str, list[str]] = defaultdict(list)
        for record in records:
            found = self._find(record)
            if isinstance(found, NotStored):
                reasons[str(found)].append(record.id)
        for reason, ids in reasons.items():
            more = f" and {len(ids) - 1} more" if len(ids) > 1 else ""
            yield f"{self.metric.name} is not known of {ids[0]}{more}: {reason}"

    def _find(self, record: Record) -> RunScore | NotStored | None:
        scores = scores_of(record, self.select)
        if scores is None:
            return None
        if record.id not in self._known:
            try:
                run = Run(scores, lambda: self._predictions(record))
                with _naming(record):
                    self._known[record.id] = self.metric.score(run)
            except NotStored as error:
                self._known[record.id] = error
        return self._known[record.id]

    def _predictions(self, record: Record) -> StoredPredictions:
        if self.select != "last":
            raise NotStored(
                f"predictions are stored of the last step, not by --select {self.select}"
            )
        path = None if self.results is None else self.results / "runs" / record.id / NAME
        try:
            found = read_predictions(path) if path else None
        except RecordError as error:
            raise NotStored(str(error)) from error
        if found is None:
            raise NotStored(f"there is no {NAME} beside its record")
        if found.aus.tolist() != record.aus:
            raise NotStored(f"{NAME} holds other AUs than the record")
        return found


@contextmanager
def _naming(record: Record) -> Iterator[None]:
    """Put the record's name before what is wrong with it."""
    try:
        yield
    except ReportError as error:
        raise ReportError(f"{record.id} {error}") from error
