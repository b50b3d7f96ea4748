"""What the knobs of a study come to: preset, variant and `--set`, each checked by its name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any

from bench.errors import UsageError, pick, unknown_name
from methods._base import Method

from .parsing import override_fields
from .presets import PRESETS, Preset
from .registry import Registry, default_config
from .settings import Settings, check_ranges


def check_method(
    registry: Registry, name: str, knobs: Mapping[str, Mapping[str, str]], preset: str
) -> None:
    """Raise UsageError unless a method is there, and takes its knobs, as a record can keep them."""
    base, colon, variant = name.partition(":")
    cls = registry.method(base)
    default_config(cls, registry.methods()[base].where)
    if colon:
        pick(f"variant of {base}", variant, cls.variants)
    config = asdict(method_config(cls, name, knobs, preset))
    try:
        json.dumps(config, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"a knob of {name} cannot be kept in a record ({error}): knobs are finite numbers, "
            "texts, truth values, or tuples of them"
        ) from error


def resolve_settings(preset: Preset, sections: Mapping[str, Mapping[str, str]]) -> Settings:
    """Return the preset's settings with those that were set; raises UsageError."""
    settings = preset.settings
    for section in (item.name for item in fields(Settings)):
        if section in sections:
            part = override_fields(getattr(settings, section), sections[section], section)
            settings = replace(settings, **{section: part})
    check_ranges(settings)
    return settings


def own_settings(
    registry: Registry, dataset: str, sections: Mapping[str, Mapping[str, str]]
) -> dict[str, Mapping[str, str]]:
    """Return the knobs that are a method's or the dataset's; UsageError for sections of nobody."""
    general = {item.name for item in fields(Settings)}
    own = {name: knobs for name, knobs in sections.items() if name not in general}
    known = {*registry.methods(), dataset}
    for name in own:
        if name not in known:
            raise unknown_name("--set section", name, known | general)
    return own


def method_config(
    cls: type[Method], name: str, knobs: Mapping[str, Mapping[str, str]], preset: str = "paper"
) -> Any:
    """Resolve a method's knobs: defaults, the preset's, its variant's, then those that were set."""
    base, _, variant = name.partition(":")
    config = default_config(cls, cls.__module__)
    config = override_fields(config, PRESETS[preset].methods.get(base, {}), base)
    if variant:
        config = override_fields(config, cls.variants[variant], name)
    return override_fields(config, knobs.get(base, {}), base)
