"""Search spaces: which knobs of a method `tune` searches, checked before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from bench.config.names import MethodName
from bench.config.parsing import field_hints, parse_value
from bench.config.resolve import RECIPE
from bench.config.settings import OPTIMISER_SPACE, TrainConfig
from bench.errors import UsageError, unknown_name
from bench.study.study import Study
from methods._base import Range, SearchSpace


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
        for knob, wanted in _checked(section, kind, space):
            if knob not in left_out:
                key = f"{section}.{knob}"
                found[key] = _distribution(key, wanted, values[knob])
                defaults[key] = values[knob]
    return MethodSpace(found, defaults)


def _checked(
    section: str, kind: type, space: SearchSpace
) -> Iterator[tuple[str, Range | tuple[Any, ...]]]:
    """Yield a section's ranges; UsageError for an unknown knob, or one that cannot take it."""
    hints = field_hints(kind)
    for knob, wanted in space.items():
        if knob not in hints:
            raise unknown_name("knob to search", knob, hints, section)
        ends = (wanted.low, wanted.high) if isinstance(wanted, Range) else wanted
        for value in ends:
            try:
                taken = parse_value(value, hints[knob], f"{section}.{knob}")
            except UsageError as error:
                raise UsageError(
                    f"the range to search holds what the knob cannot: {error}"
                ) from None
            if taken != value:
                raise UsageError(
                    f"the range to search of {section}.{knob} holds {value!r}, which the knob "
                    f"takes for {taken!r}"
                )
        yield knob, wanted


def _distribution(key: str, wanted: Range | tuple[Any, ...], default: Any) -> BaseDistribution:
    if not isinstance(wanted, Range):
        distribution: BaseDistribution = CategoricalDistribution(wanted)
        inside = default in wanted
    elif isinstance(wanted.low, int) and isinstance(wanted.high, int):
        distribution = IntDistribution(wanted.low, wanted.high, log=wanted.log)
        inside = isinstance(default, int) and wanted.low <= default <= wanted.high
    else:
        distribution = FloatDistribution(wanted.low, wanted.high, log=wanted.log)
        inside = default is not None and wanted.low <= default <= wanted.high
    if not inside:
        raise UsageError(
            f"{key}={default} lies outside of the range to search, {_spelled(wanted)}: a search "
            f"begins with the recipe as it is; fix the knob by --set {key}={default}"
        )
    return distribution


def _spelled(wanted: Range | tuple[Any, ...]) -> str:
    if isinstance(wanted, Range):
        return f"{wanted.low:g} to {wanted.high:g}"
    return ", ".join(map(str, wanted))
