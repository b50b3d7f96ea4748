"""Typed knobs: frozen dataclasses, overridden by `KEY=VALUE` texts; an unknown key is an error.

The names a person may set are the dataclasses' own fields, so there is one list of them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from bench.errors import ConfigT, UsageError, pick, unknown_name


def checked_ratio(text: str) -> str:
    """Return a ratio in its one spelling (`0.10` -> `0.1`); raises UsageError outside (0, 1]."""
    try:
        ratio = float(text)
    except ValueError:
        ratio = 0.0
    if not 0 < ratio <= 1:
        raise UsageError(
            f"label ratio '{text}' is outside (0, 1]: 0.05 means 5 % of the coded frames"
        )
    return f"{ratio:.15g}"


def override_fields(config: ConfigT, changes: Mapping[str, Any], section: str) -> ConfigT:
    """Return a copy of dataclass `config` with `changes` (texts or typed values) put in.

    Raises UsageError for an unknown field or a value that does not fit the field's type.
    """
    every = typing.get_type_hints(type(config))
    hints = {item.name: every[item.name] for item in dataclasses.fields(config)}  # type: ignore[arg-type]
    values = {}
    for key, value in changes.items():
        if key not in hints:
            raise unknown_name("key", key, hints, section)
        values[key] = parse(value, hints[key], f"{section}.{key}")
    return dataclasses.replace(config, **values)  # type: ignore[type-var]


def parse(value: Any, hint: Any, key: str) -> Any:
    """Turn a text, or a typed value, into what the field's annotation asks for."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return _parse_union(value, typing.get_args(hint), key)
    if origin is Literal:
        choices = {str(choice): choice for choice in typing.get_args(hint)}
        return pick(f"value of {key}", str(value), choices)
    if origin is tuple:
        items = value.split("+") if isinstance(value, str) else list(value)
        return tuple(parse(item, typing.get_args(hint)[0], key) for item in items)
    return _parse_scalar(value, hint, key)


def _parse_union(value: Any, hints: tuple[Any, ...], key: str) -> Any:
    if type(None) in hints and (value is None or str(value).lower() == "none"):
        return None
    *first, last = (hint for hint in hints if hint is not type(None))
    for hint in first:
        with contextlib.suppress(UsageError):
            return parse(value, hint, key)
    return parse(value, last, key)


def _parse_scalar(value: Any, hint: type, key: str) -> Any:
    if hint is bool:
        return pick(f"value of {key}", str(value).lower(), {"true": True, "false": False})
    readers: dict[type, Callable[[Any], Any]] = {int: _whole, float: _finite}
    try:
        return readers.get(hint, hint)(value)
    except (TypeError, ValueError):
        wanted = {int: "a whole number", float: "a number"}.get(hint, f"a {hint.__name__}")
        raise UsageError(f"{key}={value}: it takes {wanted}") from None


def _whole(value: Any) -> int:
    # through text, for int() would cut a typed 2.5 down to 2
    return int(str(value))


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def split_settings(texts: Iterable[str]) -> dict[str, dict[str, str]]:
    """Sort `SECTION.KEY=VALUE` texts into {section: {key: value}}; UsageError on other forms."""
    sections: dict[str, dict[str, str]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        section, dot, key = name.strip().rpartition(".")
        if not (equals and dot and section and key):
            raise UsageError(f"--set {text}: write SECTION.KEY=VALUE, e.g. --set train.lr=0.003")
        sections.setdefault(section, {})[key] = value.strip()
    return sections
