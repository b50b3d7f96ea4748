"""Model selection: which step's weights are scored; by rule the last, others when asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np

from bench.config.settings import TrainConfig
from bench.results.records import Scores
from bench.training.evaluate import Predictions

from .setup import Experiment


class ModelSelection:
    """Scores by selection rule: `last`, and `val` and `test-peek` if the settings ask for them."""

    def __init__(self, config: TrainConfig, experiment: Experiment):
        self.config, self.experiment = config, experiment
        self.scores: dict[str, Scores] = {}
        self._best: dict[str, float] = {}

    def evaluation_steps(self) -> Iterator[int]:
        """Yield the steps to evaluate at, in order; the last step is always the last."""
        total = self.experiment.trainer.total
        if self.config.evaluate_every and self._wanted:
            share = self.config.evaluate_every / self.experiment.trainer.progress().total_epochs
            every = max(1, round(total * share))
            yield from range(every, total, every)
        yield total

    @property
    def _wanted(self) -> bool:
        return bool(self.experiment.validation) or self.config.test_peek

    def consider(self) -> None:
        """Score the weights as they are, and keep the scores if they are the best by their rule."""
        if self.experiment.validation:
            self._keep("val", self._validation_f1())
        if self.config.test_peek:
            self._keep("test-peek", self._test_scores().mean_f1)

    def score_last(self, predictions: Predictions) -> None:
        """Score the last step: the primary result."""
        self.scores["last"] = predictions.score(self.experiment.table, self.experiment.trainer.step)

    def _keep(self, rule: str, value: float) -> None:
        if value > self._best.get(rule, -1.0):
            self._best[rule] = value
            self.scores[rule] = self._test_scores()

    def _test_scores(self) -> Scores:
        predictions = self.experiment.predict_test()
        return predictions.score(self.experiment.table, self.experiment.trainer.step)

    def _validation_f1(self) -> float:
        """Score the validation subjects' key frames: their other labels are not in the budget."""
        predictions = self.experiment.predict(self.experiment.validation)
        labelled = np.isin(predictions.rows, self.experiment.validation_keys)
        chosen = predictions.only(labelled)
        return chosen.score(self.experiment.table, self.experiment.trainer.step).mean_f1

    def state_dict(self) -> dict[str, Any]:
        """Return what was kept so far, as plain values."""
        return {"best": dict(self._best), "scores": {k: asdict(v) for k, v in self.scores.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        self._best = dict(state["best"])
        self.scores = {rule: Scores(**scores) for rule, scores in state["scores"].items()}
