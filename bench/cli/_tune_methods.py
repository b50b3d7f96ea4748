"""What `tune` does with a study: check, open the data, search, write what was found.

Apart from `tune.py`, whose options must be there before torch is imported.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from rich.console import Console

from bench.config.names import MethodName
from bench.data.dataset import OpenedDataset
from bench.errors import UsageError
from bench.executors.base import RunStopped
from bench.executors.launch import ExecutorConfig, execute
from bench.executors.worker import launch_spec
from bench.report.method_runs import CONTROL
from bench.report.plots.search import search_figure
from bench.report.plots.style import save
from bench.results.searches import SearchRecord, Trial, write_search
from bench.runner.planning import with_networks_checked
from bench.study.cell import Cell
from bench.study.study import Study
from bench.system.environment import commit, versions
from bench.system.files import check_writable
from bench.system.hashing import digest
from bench.tuning.search import (
    MethodSearch,
    check_validation,
    open_searches,
    search,
    spaces_of,
)
from bench.tuning.study_files import write_study_file

from ._console import RunDisplay, counted, open_study_data, stderr_console


@dataclass(frozen=True)
class TuneOptions:
    """How the methods of a study are to be searched."""

    executor: ExecutorConfig
    trials: int
    at_once: int
    ratios: tuple[float, ...]
    """Of a trial: one cell each."""
    settings: tuple[str, ...]
    """Knobs that were set, as texts, for the study files."""


def tune(study: Study, options: TuneOptions) -> None:
    """Search every method of a study alike; prints what was chosen, and writes it.

    Raises UsageError before anything is trained where a search could not be fair or could not
    choose.
    """
    console = stderr_console()
    study = with_networks_checked(_with_control(study, console))
    one = replace(study, ratios=options.ratios, seeds=study.seeds[:1])
    _check(study)
    spaces = spaces_of(one)
    check_writable(study.context.results)
    data = open_study_data(one, console, options.executor.processes)
    check_validation(one, data)
    folder = study.context.results / "searches" / "trials"
    searches = open_searches(one, data, folder, spaces)
    _announce(console, one, searches, options)
    told = _Told(console, options.trials)
    try:
        search(
            searches,
            data,
            lambda cells: _execute(cells, console, options.executor),
            trials=options.trials,
            at_once=options.at_once,
            tell=told,
        )
    except RunStopped:
        console.print("stopped: nothing is lost, and the same command goes on from here")
        raise SystemExit(130) from None
    record = _record(one, data, searches, options)
    failures = _write(study, record, options)
    for failure in failures:
        console.print(
            f"error: {failure}; that fold's study file is without it, and more --trials would try "
            "other settings",
            markup=False,
        )
    if failures:
        raise SystemExit(1)


def _with_control(study: Study, console: Console) -> Study:
    names = [str(name) for name in study.methods]
    for name in study.methods:
        study.context.registry.require_method(name.base)
    if CONTROL in names:
        return study
    console.print(f"note: {CONTROL} is searched too: a comparison needs a control tuned alike")
    return replace(study, methods=(MethodName.parse(CONTROL), *study.methods))


def _check(study: Study) -> None:
    if not study.context.settings.data.val_subjects:
        raise UsageError(
            "tune chooses on validation subjects: give --val-subjects 1 or more; their labels are "
            "part of the budget"
        )
    if len(study.rules) > 1:
        raise UsageError("tune under one --rule at a time")


def _announce(
    console: Console, study: Study, searches: Sequence[MethodSearch], options: TuneOptions
) -> None:
    trials, cells = options.trials, len(list(study.points())) // len(study.folds)
    done = sum(min(trials, len(one.asked)) for one in searches)
    console.print(
        f"{study.context.dataset.name}, preset {study.context.preset}: "
        f"{counted(len(study.methods), 'method')} x {counted(len(study.folds), 'fold')} x "
        f"{counted(trials, 'trial')} of {counted(cells, 'cell')}; {done} of "
        f"{trials * len(searches)} begun",
        markup=False,
    )
    for one in searches:
        knobs = ", ".join(one.space.distributions)
        console.print(f"  {one.method}, fold {one.fold}: {knobs}", markup=False)


def _execute(cells: Sequence[Cell], console: Console, executor: ExecutorConfig) -> None:
    if not cells:
        return
    command = shlex.join(["python", "-m", "bench", *sys.argv[1:]])
    display = RunDisplay(console, len(cells))
    with display.showing():
        execute(cells, display, launch_spec(cells, executor.device, command), executor)


class _Told:
    """Says how each trial did, beside the best so far."""

    def __init__(self, console: Console, trials: int):
        self.console, self.trials = console, trials
        self.best: dict[tuple[MethodName, int], float] = {}

    def __call__(self, one: MethodSearch, trial: Trial) -> None:
        key = one.method, one.fold
        if trial.value is not None:
            self.best[key] = max(self.best.get(key, 0.0), trial.value)
        how = "failed: " + trial.reason if trial.value is None else f"{100 * trial.value:.1f}"
        best = f", best {100 * self.best[key]:.1f}" if key in self.best else ""
        self.console.print(
            f"trial {trial.number + 1} of {self.trials}, {one.method}, fold {one.fold}: validation "
            f"F1 {how}{best}",
            markup=False,
        )


def _record(
    study: Study, data: OpenedDataset, searches: Sequence[MethodSearch], options: TuneOptions
) -> SearchRecord:
    trials: dict[str, dict[str, list[Trial]]] = {}
    for one in searches:
        tried = one.told(options.trials, data)
        trials.setdefault(str(one.method), {})[str(one.fold)] = tried
    question = _question(study, data, options)
    searched = {str(one.method): list(one.space.distributions) for one in searches}
    cells = {m: {f: [t.cells for t in ts] for f, ts in fs.items()} for m, fs in trials.items()}
    context = study.context
    return SearchRecord(
        name=f"{context.dataset.name}-{context.preset}-{digest([question, searched, cells])[:10]}",
        command=shlex.join(["python", "-m", "bench", *sys.argv[1:]]),
        question=question,
        searched=searched,
        trials=trials,
        environment={"commit": commit(), "versions": versions()},
    )


def _question(study: Study, data: OpenedDataset, options: TuneOptions) -> dict[str, Any]:
    context = study.context
    return {
        "dataset": context.dataset.name,
        "options": dict(context.dataset.options),
        "data": data.store.content_hash,
        "folds": data.folds.sha256,
        "preset": context.preset,
        "rule": study.rules[0],
        "ratios": list(options.ratios),
        "seeds": list(study.seeds),
        "val_subjects": context.settings.data.val_subjects,
        "trials": options.trials,
        "at_once": options.at_once,
        "settings": asdict(context.settings),
    }


def _write(study: Study, record: SearchRecord, options: TuneOptions) -> list[str]:
    """Write what was found, and print it; returns which methods found nothing in which fold."""
    folder = study.context.results / "searches" / record.name
    file = folder / "search.json"
    write_search(file, record)
    failures: list[str] = []
    for fold in study.folds:
        failed = record.failures(fold)
        failures += failed.values()
        found = [method for method in record.trials if method not in failed]
        if not found:
            continue
        path = folder / f"tuned-f{fold}.toml"
        write_study_file(path, study, record, fold, file, options.settings)
        for method in found:
            print(_line(record, method, fold))  # noqa: T201  a result
        print(f"python -m bench run --config {shlex.quote(str(path))}")  # noqa: T201
    if len(failures) < len(record.trials) * len(study.folds):
        save(search_figure(record), folder / "curves.png")
    return failures


def _line(record: SearchRecord, method: str, fold: int) -> str:
    best, tried = record.best(method, fold), record.trials[method][str(fold)]
    first = tried[0].value
    untuned = "" if first is None else f", untuned {100 * first:.1f}"
    knobs = " ".join(f"{key}={_short(value)}" for key, value in best.knobs.items())
    seconds = sum(trial.seconds for trial in tried)
    return (
        f"{method}, fold {fold}: validation F1 {100 * (best.value or 0):.1f}{untuned} (trial "
        f"{best.number + 1} of {len(tried)}, {seconds:.0f} s): {knobs}"
    )


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
