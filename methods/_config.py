"""Knobs that cannot be what was asked for, said in one sentence before anything is built."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ._base import MethodError

Variants = Mapping[str, Mapping[str, Any]]
"""Named settings of a method's knobs: variant -> {knob: value}."""


def closest(name: str, known: list[str]) -> str:
    """Return the names in `known` that are closest to `name`, or else its first eight, listed."""
    return ", ".join(difflib.get_close_matches(name, known, n=5, cutoff=0.5) or known[:8])


def check_choices(config: Any) -> None:
    """Raise MethodError if a knob that names one of several readings names none of them."""
    hints = get_type_hints(type(config))
    for field in fields(config):
        hint, value = hints[field.name], getattr(config, field.name)
        choices = [str(choice) for choice in get_args(hint)]
        if get_origin(hint) is Literal and value not in choices:
            raise MethodError(
                f"{field.name}={value!r} is not a choice: it takes {', '.join(choices)}"
            )


def check_range(config: Any, low: float, high: float, *names: str) -> None:
    """Raise MethodError if a knob lies outside [low, high]; None, where allowed, passes."""
    for name in names:
        value = getattr(config, name)
        if value is not None and not low <= value <= high:
            raise MethodError(f"{name}={value} is out of range: it takes {low:g} to {high:g}")
