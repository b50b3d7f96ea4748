"""The options that the readers of DISFA and DISFA+ share, checked before anything is read."""

from __future__ import annotations

from collections.abc import Mapping

from ._base import DatasetError

CODED_AUS = (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)
"""Every AU that is coded."""
BENCHMARK_AUS = (1, 2, 4, 6, 9, 12, 25, 26)
"""Those that the literature reports on (JAA-Net, ME-GraphAU and after)."""

OPTION_HELP = {
    "threshold": "least intensity that counts as present, 1 to 5 (default 2)",
    "aus": f"action units, comma-separated (default {','.join(map(str, BENCHMARK_AUS))}), or all",
}


def threshold_option(options: Mapping[str, object]) -> int:
    """Return option `threshold`; DatasetError if it is no intensity of what is present."""
    return int(one_of(options, "threshold", "2", ("1", "2", "3", "4", "5")))


def aus_option(options: Mapping[str, object]) -> tuple[int, ...]:
    """Return the AUs that option `aus` asks for, sorted; DatasetError for any that is not coded."""
    given = str(options.get("aus", ",".join(map(str, BENCHMARK_AUS)))).strip()
    if given == "all":
        return CODED_AUS
    names = [name.strip() for name in given.split(",")]
    known = [str(au) for au in CODED_AUS]
    if len(set(names)) < len(names) or not set(names) <= set(known):
        raise DatasetError(f"aus is {given!r}: give some of {','.join(known)}, once each, or all")
    return tuple(sorted(map(int, names)))


def one_of(options: Mapping[str, object], key: str, default: str, known: tuple[str, ...]) -> str:
    """Return an option that knows some words only; DatasetError for any other."""
    given = str(options.get(key, default)).strip()
    if given not in known:
        raise DatasetError(f"{key} is {given!r}: it may be {', '.join(known[:-1])} or {known[-1]}")
    return given
