"""Recipes: the notes that say how the methods of a table were trained, common or own.

Used by every table that compares methods.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bench.config.names import NOT_IDENTITY

from .grouping import percent
from .method_runs import MethodRuns


def recipe_notes(lines: Iterable[MethodRuns]) -> Iterator[str]:
    """Say the recipe that all rows share, and those of single rows in what is their own.

    Where rows differ in what was set for all, `config_differences` says in what.
    """
    known = [line for line in lines if line.records and line.records[0].config.get("train")]
    common = [line for line in known if line.records[0].recipe == "common"]
    shared = [_train(line) for line in common]
    if shared and all(train == shared[0] for train in shared):
        whose = "every row's recipe" if len(common) == len(known) else "the common recipe"
        yield f"{whose}: {spell_recipe(shared[0])}"
    by_recipe: dict[str, list[str]] = defaultdict(list)
    for line in known:
        if line.records[0].recipe == "own":
            by_recipe[spell_recipe(_train(line))].append(line.label)
    for recipe, labels in by_recipe.items():
        yield f"own recipe of {', '.join(labels)}: {recipe}"
    yield from _tuned_notes(known)


def _tuned_notes(lines: Iterable[MethodRuns]) -> Iterator[str]:
    """Say which rows a search tuned, with what budget, and which rows none did."""
    lines = list(lines)
    by_search: dict[str, list[MethodRuns]] = defaultdict(list)
    for line in lines:
        if line.records[0].tuning:
            by_search[str(line.records[0].tuning["search"])].append(line)
    for search, tuned in by_search.items():
        told = tuned[0].records[0].tuning
        ratios = ", ".join(percent(ratio) for ratio in told["ratios"])
        other = [f"{key}={value}" for key, value in told.get("searched_with", {}).items()]
        yield (
            f"tuned: the best of {told['trials']} trials each at {ratios} labels, by F1 on "
            f"{told['val_subjects']} validation subjects of each fold (search {search}"
            f"{', which had ' if other else ''}{', '.join(other)}): "
            f"{', '.join(line.label for line in tuned)}"
        )
    others = [line.label for line in lines if not line.records[0].tuning]
    if by_search and others:
        yield f"not tuned: {', '.join(others)}"


def _train(line: MethodRuns) -> dict[str, Any]:
    train = line.records[0].config["train"]
    return {key: value for key, value in train.items() if key not in NOT_IDENTITY}


_WORDS: Mapping[str, str] = {
    "optimiser": "{}",
    "lr": "lr {:g}",
    "schedule": "{}",
    "warmup": "warm-up {:.0%} of the steps",
    "momentum": "momentum {:g}",
    "weight_decay": "weight decay {:g}",
    "batch_size": "batch {}",
    "steps": "{} steps",
    "epochs": "{:g} epochs",
    "clip_norm": "gradients clipped at {:g}",
    "group_lr": "rates of groups {}",
}


def spell_recipe(train: Mapping[str, Any]) -> str:
    """Spell the knobs of `train` as a paper would: optimiser, rate, schedule, decay, length."""
    idle = {"epochs"} if train.get("steps") else set()
    if train.get("optimiser") == "adamw":
        idle.add("momentum")
    parts = (
        words.format(", ".join(value) if isinstance(value, list) else value)
        for key, words in _WORDS.items()
        if (value := train.get(key)) and key not in idle
    )
    return ", ".join(parts)
