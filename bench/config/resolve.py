"""Knobs resolved: preset, variant and `--set`, checked by name and range at planning.

Used when a study is planned, so that a wrong knob is said before anything is decoded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any

from bench.errors import UsageError, pick, unknown_name
from methods._base import Method

from .names import MethodName
from .parsing import override_fields, parse_fields, replace_fields
from .presets import PRESETS, Preset
from .registry import Registry, check_phases, default_config
from .settings import Settings

Knobs = Mapping[str, Mapping[str, Any]]
"""Section (a method's or dataset's name, say) -> knob -> value, as a text or typed."""


def check_method(registry: Registry, name: MethodName, knobs: Knobs, preset: str) -> None:
    """Raise UsageError unless a method is there, and takes its knobs, as a record can keep them."""
    cls = registry.method(name.base)
    default_config(cls, registry.trainable()[name.base].where)
    config = method_config(cls, name, knobs, preset)
    try:
        check_phases(cls.phases(config))
        json.dumps(asdict(config), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"a knob of {name} cannot be kept in a record ({error}): knobs are finite numbers, "
            "texts, truth values, or tuples of them"
        ) from error


def method_config(cls: type[Method], name: MethodName, knobs: Knobs, preset: str = "paper") -> Any:
    """Resolve a method's knobs: defaults, the preset's, its variant's, then those that were set.

    Raises UsageError for an unknown variant or knob, and for a value out of range.
    """
    values = parse_fields(cls.Config, PRESETS[preset].methods.get(name.base, {}), name.base)
    if name.variant is not None:
        variant = pick(f"variant of {name.base}", name.variant, cls.variants)
        values |= parse_fields(cls.Config, variant, str(name))
    values |= parse_fields(cls.Config, knobs.get(name.base, {}), name.base)
    return replace_fields(default_config(cls, cls.__module__), values, name.base)


def resolve_settings(preset: Preset, sections: Knobs) -> Settings:
    """Return the preset's settings with those that were set; raises UsageError."""
    settings = preset.settings
    for section in (item.name for item in fields(Settings)):
        if section in sections:
            part = override_fields(getattr(settings, section), sections[section], section)
            settings = replace(settings, **{section: part})
    return settings


RECIPE = ".train"
"""What ends the section of a method's own recipe: `eac.train`."""


def method_settings(settings: Settings, name: MethodName, knobs: Knobs, preset: str) -> Settings:
    """Put a method's own recipe into the settings that all share: the preset's, then what was set.

    Raises UsageError for an unknown knob of `train`, and for a value out of range.
    """
    section = f"{name.base}{RECIPE}"
    own = {**PRESETS[preset].recipes.get(name.base, {}), **knobs.get(section, {})}
    return replace(settings, train=override_fields(settings.train, own, section))


def own_knobs(registry: Registry, dataset: str, sections: Knobs) -> dict[str, Mapping[str, Any]]:
    """Return the knobs that are a method's, its recipe's, or the dataset's.

    Raises UsageError for sections of nobody.
    """
    general = {item.name for item in fields(Settings)}
    own = {name: knobs for name, knobs in sections.items() if name not in general}
    known = {*registry.trainable(), dataset}
    for name in own:
        if name not in known and name.removesuffix(RECIPE) not in registry.trainable():
            raise unknown_name("--set section", name, known | general)
    return own
