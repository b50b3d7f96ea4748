"""Search spaces as methods write them, checked; used by `tune` and by the conformance checks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bench.errors import UsageError, unknown_name
from methods._base import Range, SearchSpace

from .parsing import field_hints, parse_value

Wanted = Range | tuple[Any, ...]
"""What is searched of a knob: a range of numbers, or choices."""


def checked_space(section: str, kind: type, space: SearchSpace) -> Iterator[tuple[str, Wanted]]:
    """Yield the knobs of a space with what is searched of them.

    `kind` is the dataclass that holds the knobs. Raises UsageError for an unknown knob, what is
    neither a `Range` nor a tuple, and what the knob cannot take.
    """
    hints = field_hints(kind)
    for knob, wanted in space.items():
        if knob not in hints:
            raise unknown_name("knob to search", knob, hints, section)
        if not (isinstance(wanted, Range) or (isinstance(wanted, tuple) and wanted)):
            raise UsageError(
                f"the range to search of {section}.{knob} is {wanted!r}: write Range(low, high), "
                "or a tuple of choices"
            )
        for value in (wanted.low, wanted.high) if isinstance(wanted, Range) else wanted:
            try:
                taken = parse_value(value, hints[knob], f"{section}.{knob}")
            except UsageError as error:
                raise UsageError(
                    f"the range to search holds what the knob cannot: {error}"
                ) from None
            if taken != value:
                raise UsageError(
                    f"the range to search of {section}.{knob} holds {value!r}, which the knob "
                    f"takes for {taken!r}"
                )
        yield knob, wanted


def check_default(key: str, wanted: Wanted, default: Any) -> None:
    """Raise UsageError unless a knob's default is within what is searched of it."""
    if isinstance(wanted, Range):
        whole = isinstance(wanted.low, int) and isinstance(wanted.high, int)
        number = isinstance(default, int if whole else int | float)
        inside = number and wanted.low <= default <= wanted.high
        spelled = f"{wanted.low:g} to {wanted.high:g}"
    else:
        inside, spelled = default in wanted, ", ".join(map(str, wanted))
    if not inside:
        raise UsageError(
            f"{key}={default} lies outside of the range to search, {spelled}: a search begins with "
            f"the recipe as it is; fix the knob by --set {key}={default}"
        )
