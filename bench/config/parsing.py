"""Values of knobs, typed or as texts, checked against the fields of a dataclass (by pydantic).

The names that a person may set are the dataclass's own fields, and what a field takes is said by
its annotation: `int`, `Literal["sgd", "adamw"]`, `Annotated[float, Interval(ge=0, le=1)]`. So there
is one list of names and one place for a range. Used wherever a study is planned.
"""

from __future__ import annotations

import contextlib
import dataclasses
import types
import typing
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from bench.errors import UsageError, pick, unknown_name

ConfigT = TypeVar("ConfigT")


def override_fields(config: ConfigT, changes: Mapping[str, Any], section: str) -> ConfigT:
    """Return a copy of dataclass `config` with `changes` (texts or typed values) put in.

    Raises UsageError for an unknown field, a value that its annotation does not take, and values
    that the class refuses together (in its `__post_init__`).
    """
    return replace_fields(config, parse_fields(type(config), changes, section), section)


def parse_fields(kind: type, changes: Mapping[str, Any], section: str) -> dict[str, Any]:
    """Turn `changes` into values of a dataclass's fields; raises UsageError, naming the key."""
    hints = field_hints(kind)
    for key in changes:
        if key not in hints:
            raise unknown_name("key", key, hints, section)
    return {
        key: parse_value(value, hints[key], f"{section}.{key}") for key, value in changes.items()
    }


def replace_fields(config: ConfigT, values: Mapping[str, Any], section: str) -> ConfigT:
    """Return a copy with parsed `values`; UsageError if the class refuses them together."""
    try:
        return dataclasses.replace(config, **values)  # type: ignore[type-var]
    except Exception as error:  # a plugin's class may raise anything
        raise UsageError(f"{section}: {error}") from error


def field_hints(kind: type) -> dict[str, Any]:
    """Map the fields of a dataclass to their annotations, constraints included."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def parse_value(value: Any, hint: Any, key: str) -> Any:
    """Turn a value into what an annotation asks for; raises UsageError naming key, value, range.

    A text is read as it is typed: `none` for None, `1+4+12` for a tuple.
    """
    bare = _bare(hint)
    origin = typing.get_origin(bare)
    if origin in (typing.Union, types.UnionType):
        return _parse_union(value, typing.get_args(bare), key)
    if origin is Literal or bare is bool:
        choices = (True, False) if bare is bool else typing.get_args(bare)
        known = {str(choice).lower() if bare is bool else str(choice): choice for choice in choices}
        return pick(f"value of {key}", str(value).lower() if bare is bool else str(value), known)
    if origin is tuple:
        items = value.split("+") if isinstance(value, str) else list(value)
        return tuple(parse_value(item, typing.get_args(bare)[0], key) for item in items)
    return _parse_scalar(value, hint, key)


def _bare(hint: Any) -> Any:
    """Return an annotation without its constraints."""
    return typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint


def _parse_union(value: Any, hints: tuple[Any, ...], key: str) -> Any:
    if type(None) in hints and (value is None or str(value).lower() == "none"):
        return None
    *first, last = (hint for hint in hints if hint is not type(None))
    for hint in first:
        with contextlib.suppress(UsageError):
            return parse_value(value, hint, key)
    return parse_value(value, last, key)


def _parse_scalar(value: Any, hint: Any, key: str) -> Any:
    # through text: as a number, pydantic would take a truth value for 1
    plain = str(value) if isinstance(value, bool) else value
    try:
        return _adapter(hint).validate_python(plain)
    except ValidationError as error:
        raise UsageError(f"{key}={value}: it takes {_wanted(hint, error)}") from None


@lru_cache(maxsize=512)
def _adapter(hint: Any) -> TypeAdapter[Any]:
    return TypeAdapter(hint, config=ConfigDict(allow_inf_nan=False, coerce_numbers_to_str=True))


_NOUNS: Mapping[Any, str] = {int: "a whole number", float: "a number", str: "a text"}
_OUT_OF_RANGE = {"greater_than", "greater_than_equal", "less_than", "less_than_equal"}


def _wanted(hint: Any, error: ValidationError) -> str:
    """Say what an annotation takes: its range, if only that was missed, else its kind."""
    bare = _bare(hint)
    if all(detail["type"] in _OUT_OF_RANGE for detail in error.errors()):
        return _range(hint)
    return _NOUNS.get(bare, f"a {getattr(bare, '__name__', bare)}")


def _range(hint: Any) -> str:
    """Spell the bounds of an annotation: `0 to 1`, `1 or more`, `more than 0 and 5 or less`."""
    bounds = {
        name: f"{limit:g}"
        for constraint in typing.get_args(hint)[1:]
        for name in ("gt", "ge", "lt", "le")
        if (limit := getattr(constraint, name, None)) is not None
    }
    if set(bounds) == {"ge", "le"}:
        return f"{bounds['ge']} to {bounds['le']}"
    words = {"gt": "more than {}", "ge": "{} or more", "lt": "less than {}", "le": "{} or less"}
    return " and ".join(words[name].format(limit) for name, limit in bounds.items())


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
