"""The options that the readers of DISFA and DISFA+ share."""

from __future__ import annotations

from collections.abc import Mapping

from ._options import chosen_aus, one_of

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
    return chosen_aus(options, BENCHMARK_AUS, CODED_AUS)
