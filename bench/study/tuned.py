"""Tuned studies: recipes that a search chose, checked to be those, and for the fold they are of.

Used where a study is read (`run --tuned`, as the search's own study files say).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from bench.config.names import MethodName
from bench.config.resolve import RECIPE
from bench.errors import UsageError
from bench.results.searches import SearchRecord, read_search

from .study import Study


def with_search(study: Study, path: Path) -> Study:
    """Return a study whose recipes are a search's; raises UsageError unless they are.

    A recipe belongs to its fold: in another one it may have been chosen on test subjects. Methods
    that were not searched keep their recipes, and are not tuned.
    """
    record = read_search(path)
    _check_place(record, study, path)
    names = [name for name in study.methods if str(name) in record.trials]
    if not names:
        raise UsageError(f"--tuned {path}: it is of {', '.join(record.trials)}, and none is here")
    for fold, name in product(study.folds, names):
        _check_recipe(study, name, record.best(str(name), fold).knobs, fold)
    methods = {str(name): record.searched[str(name)] for name in names}
    tuning = {**record.summary(), "methods": methods}
    return replace(study, context=replace(study.context, tuning=tuning))


def _check_place(record: SearchRecord, study: Study, path: Path) -> None:
    context = study.context
    here = {"dataset": context.dataset.name, "preset": context.preset, "rule": study.rules[0]}
    for key, value in here.items():
        if record.question[key] != value:
            there = record.question[key]
            raise UsageError(f"--tuned {path}: it was searched on {key} {there}, not on {value}")
    others = [fold for fold in study.folds if fold not in record.folds]
    if others:
        raise UsageError(
            f"--tuned {path}: it chose for fold {', '.join(map(str, record.folds))}, and test "
            f"subjects of fold {others[0]} may be among those that it chose on"
        )


def _check_recipe(study: Study, name: MethodName, chosen: Mapping[str, Any], fold: int) -> None:
    config, train = study.config_of(name), study.settings_of(name).train
    for key, value in chosen.items():
        section, _, knob = key.rpartition(".")
        here = getattr(train if section.endswith(RECIPE) else config, knob)
        if here != value:
            raise UsageError(
                f"--tuned: the search chose {key}={value} for fold {fold}, and here it is {here}: "
                "take that fold's study file as the search wrote it"
            )
