"""Reading the options of a dataset, so that a value that means nothing is an error at once."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ._base import DatasetError


def one_of(options: Mapping[str, object], key: str, default: str, known: tuple[str, ...]) -> str:
    """Return an option that knows some words only; DatasetError for any other."""
    given = str(options.get(key, default)).strip()
    if given not in known:
        raise DatasetError(f"{key} is {given!r}: it may be {', '.join(known[:-1])} or {known[-1]}")
    return given


def chosen_aus(
    options: Mapping[str, object], default: tuple[int, ...], known: tuple[int, ...] | None = None
) -> tuple[int, ...]:
    """Return the AUs that option `aus` asks for, sorted: comma-separated numbers.

    With `known`, what is coded, `all` means all of them, and any other AU is a DatasetError, as is
    one that is named twice.
    """
    given = str(options.get("aus", ",".join(map(str, default)))).strip()
    if known and given == "all":
        return known
    names = [name.strip() for name in given.split(",")]
    whole = all(re.fullmatch("[1-9][0-9]?", name) for name in names)
    if not whole or len(set(names)) < len(names) or (known and not {*map(int, names)} <= {*known}):
        which = f"some of {','.join(map(str, known))}, or all" if known else "AU numbers"
        raise DatasetError(f"aus is {given!r}: give {which}; once each, as in aus=6,12")
    return tuple(sorted(map(int, names)))
