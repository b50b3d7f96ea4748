"""Study files of a search: a fold's recipes, as `run --config` takes them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.config.names import spell_ratio
from bench.config.parsing import split_settings
from bench.results.searches import SearchRecord
from bench.study.study import Study
from bench.system.files import atomic_file

_HEAD = """\
# Recipes that `tune` chose for fold {fold}, by the F1 on {val_subjects} validation subjects:
# the best of {trials} trials for each method.
#
#   python -m bench run --config {file}
#
# The search: {search}

"""


def write_study_file(
    path: Path, study: Study, record: SearchRecord, fold: int, search: Path, typed: Sequence[str]
) -> None:
    """Write a fold's study file; `typed` are the knobs that were set for the search.

    Methods of which no trial finished are left out, and named. Validation subjects are trained on
    again: their labels are part of the budget. Raises RecordError if the disk does not take it.
    """
    sections: dict[str, dict[str, Any]] = {
        name: dict(knobs) for name, knobs in split_settings(typed).items()
    }
    sections.get("data", {}).pop("val_subjects", None)
    failures = record.failures(fold)
    methods = [str(name) for name in study.methods if str(name) not in failures]
    for method in methods:
        for key, value in record.best(method, fold).knobs.items():
            section, _, knob = key.rpartition(".")
            sections.setdefault(section, {})[knob] = value
    question = record.question
    told = {key: question[key] for key in ("trials", "val_subjects")}
    with atomic_file(path) as stream:
        stream.write(_HEAD.format(fold=fold, file=path, search=search, **told))
        stream.writelines(f"# left out: {why.splitlines()[0]}\n" for why in failures.values())
        lines = _lines(study, methods, fold, search, sections)
        stream.writelines(f"{line}\n" for line in lines)


def _lines(
    study: Study,
    methods: Sequence[str],
    fold: int,
    search: Path,
    sections: Mapping[str, Mapping[str, Any]],
) -> Iterator[str]:
    context = study.context
    values: dict[str, Any] = {
        "dataset": context.dataset.name,
        **({"root": str(context.dataset.root)} if context.dataset.root else {}),
        "preset": context.preset,
        "methods": list(methods),
        "ratios": [_Bare(spell_ratio(ratio)) for ratio in study.ratios],
        "folds": [fold],
        "seeds": list(study.seeds),
        "rule": study.rules[0],
        "results": str(context.results),
        "tuned": str(search),
    }
    plugins = [str(file) for file in context.registry.plugins]
    yield from _table({**values, **({"plugin": plugins} if plugins else {})})
    for section, knobs in sections.items():
        if knobs:
            yield f"\n[set.{section}]"
            yield from _table(knobs)


class _Bare(str):
    """A number that is spelt already."""

    __slots__ = ()


_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?(e[+-]?[0-9]+)?")


def _table(values: Mapping[str, Any]) -> Iterable[str]:
    return (f"{key} = {_spelled(value)}" for key, value in values.items())


def _spelled(value: Any) -> str:
    """Spell a value as TOML; what TOML has no word for, as `--set` takes it."""
    if isinstance(value, list):
        return f"[{', '.join(map(_spelled, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float | _Bare) or _NUMBER.fullmatch(str(value)):
        return str(value)
    text = "none" if value is None else str(value)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
