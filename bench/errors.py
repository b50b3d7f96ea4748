"""Errors that a person can act upon, and did-you-mean: used by every wing, imports none of them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

ValueT = TypeVar("ValueT")


class UsageError(Exception):
    """What was asked for does not exist or cannot be: one sentence, with the way out."""


def similar(name: str, known: Iterable[str], count: int = 1, cutoff: float = 0.5) -> list[str]:
    """Return the known names that are closest to `name`, the closest first, if any is near."""
    return difflib.get_close_matches(name, list(known), n=count, cutoff=cutoff)


def closest(name: str, known: Iterable[str], prefix: str = "") -> str:
    """Return `did you mean NAME? `, of the known name closest to `name`; nothing if none is near.

    `prefix` is put before the name, as it would be typed.
    """
    close = similar(name, known)
    return f"did you mean {prefix}{close[0]}? " if close else ""


def unknown_name(kind: str, name: str, known: Iterable[str], section: str = "") -> UsageError:
    """Build the error for a name that is not known: the closest known one, then all of them.

    With a `section`, the names are keys in it, and are said as they are typed: `train.lr`.
    """
    names = sorted(known)
    prefix = f"{section}." if section else ""
    listed = ", ".join(names) if names else "none"
    return UsageError(
        f"unknown {kind} '{prefix}{name}': {closest(name, names, prefix)}known: {listed}"
    )


def pick(kind: str, name: str, known: Mapping[str, ValueT]) -> ValueT:
    """Return `known[name]`, or raise the UsageError that names the closest key."""
    if name not in known:
        raise unknown_name(kind, name, known)
    return known[name]
