"""Search: asks Optuna for settings of each method's knobs, has cells try them, tells it the result.

Optuna keeps its trials in a journal beside the trials' cells, so that a search that is stopped goes
on. A setting depends on the trials told before it and on its number: how many slots there were, or
how often it was stopped, changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from bench.config.names import MethodName
from bench.data.dataset import OpenedDataset
from bench.errors import UsageError
from bench.results.records import Record
from bench.results.searches import Trial
from bench.study.cell import Cell, plan_cells
from bench.study.plan import usable_record
from bench.study.study import Study
from bench.system.files import cannot_write
from bench.system.hashing import digest
from bench.system.seeds import stream_seed

from .space import MethodSpace, space_of

STARTUP = 5
"""Trials drawn evenly, the untuned recipe among them, before the sampler goes by what it knows."""

Execute = Callable[[Sequence[Cell]], None]
"""Carries cells out, by whatever executor; their records are on disk when it returns."""


@dataclass(frozen=True)
class MethodSearch:
    """The search of one method in one fold."""

    method: MethodName
    fold: int
    study: Study
    """The grid of one trial: this method and fold, at the ratios and seeds of the search."""
    space: MethodSpace
    optuna: optuna.Study

    @property
    def asked(self) -> list[FrozenTrial]:
        """Every trial that was begun, whatever became of it."""
        return [t for t in self.optuna.get_trials() if t.state != TrialState.WAITING]

    def ask(self, count: int, budget: int) -> list[FrozenTrial]:
        """Return the trials to carry out next: those that were begun before, then new ones."""
        asked = self.asked
        begun = sum(trial.state == TrialState.RUNNING for trial in asked)
        for number in range(len(asked), min(budget, len(asked) + count - begun)):
            place = self.study.context.dataset.name, self.method, self.fold
            seed = stream_seed("search", *place, number) % 2**32
            self.optuna.sampler = TPESampler(seed=seed, n_startup_trials=STARTUP)
            self.optuna.ask(fixed_distributions=dict(self.space.distributions))
        within = self.asked[:budget]
        return [trial for trial in within if trial.state == TrialState.RUNNING][:count]

    def cells(self, trial: FrozenTrial, data: OpenedDataset) -> list[Cell]:
        """Return the cells that try a setting."""
        return plan_cells(replace(self.study, knobs=self.with_knobs(trial)), data, trial=True)

    def with_knobs(self, trial: FrozenTrial) -> dict[str, Mapping[str, Any]]:
        """Return the study's knobs with a trial's put in."""
        knobs = {section: dict(values) for section, values in self.study.knobs.items()}
        for key, value in trial.params.items():
            section, _, knob = key.rpartition(".")
            knobs.setdefault(section, {})[knob] = value
        return {section: dict(values) for section, values in knobs.items()}

    def tell(self, trial: FrozenTrial, cells: Sequence[Cell]) -> Trial:
        """Tell the sampler what came of a trial; one without a value counts all the same."""
        found = self.outcome(trial, cells)
        if found.value is not None:
            self.optuna.tell(trial.number, found.value, skip_if_finished=True)
        else:
            self.optuna.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
        return found

    def outcome(self, trial: FrozenTrial, cells: Sequence[Cell]) -> Trial:
        """Return a trial as a search record keeps it, by the records of its cells."""
        records = [(cell, usable_record(cell)[0]) for cell in cells]
        done = [r for _, r in records if r is not None and r.status == "done"]
        values = [record.scores["last"].mean_f1 for record in done]
        reasons = [_why(record) for _, record in records if record not in done]
        if not reasons and not all(map(math.isfinite, values)):
            reasons = ["no AU of the validation frames has an F1"]
        return Trial(
            number=trial.number,
            knobs={key: trial.params[key] for key in self.space.distributions},
            value=None if reasons else sum(values) / len(values),
            seconds=round(sum(record.seconds["total"] for record in done), 3),
            cells=[cell.id for cell in cells],
            device=", ".join(sorted({str(r.environment.get("device")) for r in done})),
            reason=next(iter(reasons), ""),
        )

    def told(self, budget: int, data: OpenedDataset) -> list[Trial]:
        """Return the trials within the budget as a search record keeps them."""
        return [self.outcome(trial, self.cells(trial, data)) for trial in self.asked[:budget]]


def _why(record: Record | None) -> str:
    return "it has no record" if record is None else f"{record.status}: {record.reason}"


def open_searches(
    study: Study, data: OpenedDataset, folder: Path, spaces: Mapping[MethodName, MethodSpace]
) -> list[MethodSearch]:
    """Open the search of every method and fold of a study; what was tried before stays.

    The trials' cells and the journal lie in `folder`. Raises RecordError if it cannot be written.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        storage = JournalStorage(JournalFileBackend(str(folder / "journal.log")))
    except OSError as error:
        raise cannot_write(folder, error) from error
    context = replace(study.context, results=folder)
    return [
        _open(replace(study, context=context, methods=(name,), folds=(fold,)), data, space, storage)
        for fold in study.folds
        for name, space in spaces.items()
    ]


def _open(
    study: Study, data: OpenedDataset, space: MethodSpace, storage: JournalStorage
) -> MethodSearch:
    (name,), (fold,) = study.methods, study.folds
    untuned = plan_cells(study, data, trial=True)
    parts = [sorted(cell.id for cell in untuned), sorted(map(str, space.distributions.items()))]
    key = digest(parts)[:10]  # other code, data or ranges: another search
    found = optuna.create_study(
        storage=storage,
        study_name=f"{study.context.dataset.name}-{name}-f{fold}-{key}",
        direction="maximize",
        load_if_exists=True,
    )
    if not found.trials:
        found.enqueue_trial(dict(space.defaults), skip_if_exists=True)
    return MethodSearch(name, fold, study, space, found)


def search(
    searches: Sequence[MethodSearch],
    data: OpenedDataset,
    execute: Execute,
    *,
    trials: int,
    at_once: int = 1,
    tell: Callable[[MethodSearch, Trial], None] = lambda *_: None,
) -> None:
    """Try settings until every method has had `trials` of them in every fold.

    `at_once` settings of each are tried side by side, those of all methods together; `tell` hears
    of each that is over. Whatever `execute` raises leaves what was begun to the next call.
    """
    while True:
        asked = [(one, trial) for one in searches for trial in one.ask(at_once, trials)]
        if not asked:
            return
        cells = [(one, trial, one.cells(trial, data)) for one, trial in asked]
        execute(_todo(cell for *_, own in cells for cell in own))
        for one, trial, own in cells:
            tell(one, one.tell(trial, own))


def _todo(cells: Iterable[Cell]) -> list[Cell]:
    """Return each cell once that has no record; settings that were tried before cost nothing."""
    distinct = {cell.id: cell for cell in cells}
    return [cell for cell in distinct.values() if usable_record(cell)[0] is None]


def check_validation(study: Study, data: OpenedDataset) -> None:
    """Raise UsageError unless the validation subjects' labels can tell a good choice from a bad.

    They can if some AU is present on one of their key frames and absent on another, in every fold.
    """
    count = study.context.settings.data.val_subjects
    for point in study.points():
        labelled = data.labelled_split(point, count)
        sequences = data.sequences_of(labelled.split.validation)
        keys = [s.labels[labelled.mask.positions(s)] for s in sequences]
        labels = np.concatenate([np.empty((0, len(data.store.aus)), np.int8), *keys])
        if not ((labels == 1).any(axis=0) & (labels == 0).any(axis=0)).any():
            raise UsageError(
                f"no choice can be tested in fold {point.fold}: on the {len(labels)} key frames of "
                f"{count} validation subjects at ratio {point.ratio_text} no AU is both present "
                "and absent; take more --val-subjects or a higher --ratio"
            )


def spaces_of(study: Study) -> dict[MethodName, MethodSpace]:
    """Return the space of every method; raises UsageError before anything is trained.

    Two variants of a method would need two recipes under one name in a study file.
    """
    bases = [name.base for name in study.methods]
    twice = next((base for base in bases if bases.count(base) > 1), None)
    if twice:
        raise UsageError(
            f"tune one of {twice} and its variants at a time: in a study file a recipe belongs to "
            "the method, with all its variants"
        )
    return {name: space_of(study, name) for name in study.methods}
