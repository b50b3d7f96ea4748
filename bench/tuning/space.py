"""Search spaces: which knobs of a method `tune` searches, checked before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from bench.config.names import MethodName
from bench.config.resolve import RECIPE
from bench.config.search_space import Wanted, check_default, checked_space
from bench.config.settings import OPTIMISER_SPACE, TrainConfig
from bench.study.study import Study
from methods._base import Range


@dataclass(frozen=True)
class MethodSpace:
    """The knobs of one method that are searched, as `--set` spells them, and where they begin."""

    distributions: Mapping[str, BaseDistribution]
    defaults: Mapping[str, Any]
    """The recipe that the method has without a search: the first trial."""


def space_of(study: Study, name: MethodName) -> MethodSpace:
    """Return what is searched of a method under a study: its own knobs, and the optimiser's.

    What a variant or a person fixed (`--set METHOD.KEY`) is not searched. Raises UsageError for a
    range of an unknown knob, one that the knob cannot take, or one without the knob's default.
    """
    cls = study.context.registry.method(name.base)
    train = study.settings_of(name).train
    fixed = {*(cls.variants[name.variant] if name.variant else ()), *study.knobs.get(name.base, {})}
    recipe = f"{name.base}{RECIPE}"
    parts = [
        (name.base, cls.Config, cls.search_space, asdict(study.config_of(name)), fixed),
        (
            recipe,
            TrainConfig,
            OPTIMISER_SPACE[train.optimiser],
            asdict(train),
            set(study.knobs.get(recipe, ())),
        ),
    ]
    found: dict[str, BaseDistribution] = {}
    defaults: dict[str, Any] = {}
    for section, kind, space, values, left_out in parts:
        for knob, wanted in checked_space(section, kind, space):
            if knob not in left_out:
                key = f"{section}.{knob}"
                found[key] = _distribution(key, wanted, values[knob])
                defaults[key] = values[knob]
    return MethodSpace(found, defaults)


def _distribution(key: str, wanted: Wanted, default: Any) -> BaseDistribution:
    check_default(key, wanted, default)
    if not isinstance(wanted, Range):
        return CategoricalDistribution(wanted)
    if isinstance(wanted.low, int) and isinstance(wanted.high, int):
        return IntDistribution(wanted.low, wanted.high, log=wanted.log)
    return FloatDistribution(wanted.low, wanted.high, log=wanted.log)
