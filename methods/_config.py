"""Knobs that cannot be what was asked for, said in one sentence before anything is built."""

from __future__ import annotations

import difflib
import math
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
        if get_origin(hints[field.name]) is Literal:
            check_choice(field.name, getattr(config, field.name), hints[field.name])


def check_choice(name: str, value: Any, choices: Any) -> None:
    """Raise MethodError unless `value` is one of a Literal's `choices`."""
    known = get_args(choices)
    if value not in known:
        raise MethodError(f"{name}={value!r} is not a choice: it takes {', '.join(known)}")


def check_range(config: Any, low: float, high: float, *names: str) -> None:
    """Raise MethodError if a knob lies outside [low, high]; None, where allowed, passes."""
    takes = f"{low:g} or more" if high == math.inf else f"{low:g} to {high:g}"
    for name in names:
        value = getattr(config, name)
        if value is not None and not low <= value <= high:
            raise MethodError(f"{name}={value} is out of range: it takes {takes}")
