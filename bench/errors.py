"""TODO: bench/errors.py."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

ConfigT = TypeVar("ConfigT")


class UsageError(Exception):
    """What was asked for does not exist or cannot be: one sentence, with the way out."""


def unknown_name(kind: str, name: str, known: Iterable[str], section: str = "") -> UsageError:
    """Build the error for a name that is not known: the closest known one, then all of them.

    With a `section`, the names are keys in it, and are said as they are typed: `train.lr`.
    """
    names = sorted(known)
    prefix = f"{section}." if section else ""
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {prefix}{close[0]}? " if close else ""
    listed = ", ".join(names) if names else "none"
    return UsageError(f"unknown {kind} '{prefix}{name}': {hint}known: {listed}")


def pick(kind: str, name: str, known: Mapping[str, ConfigT]) -> ConfigT:
    """Return `known[name]`, or raise the error that names the closest key."""
    if name not in known:
        raise unknown_name(kind, name, known)
    return known[name]
