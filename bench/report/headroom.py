"""Headroom: how far the ceiling lies above the control, and whether that tells methods apart.

Used by every table (a note), by `table headroom`, and by `run`'s announcement. The ceiling is the
control taught with the hidden labels of the unlabelled frames, so that its distance to the control
bounds what pseudo labels can win in a setting. F1 values are shares of one.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.config.names import NOT_IDENTITY
from bench.results.compare import flatten
from bench.results.records import Recipe, Record

from .grouping import percent
from .method_runs import CONTROL, MethodRuns, method_runs
from .model import ReportError
from .notes import TRAININGS_ELSEWHERE
from .statistics import Estimate, estimate_difference, scored_runs, tied, untested

PART = 0.5
"""A setting tells methods apart if one that wins so much of the headroom differs from the control.
Hardly any method wins all of it."""

_NORMAL = 1.96
"""Standard errors in half a 95 % interval."""


@dataclass(frozen=True)
class Setting:
    """Lines that were trained alike but for their method: one control, one ceiling, methods."""

    name: str
    """What tells it from the other settings of its table; empty if it is the only one."""
    key: str
    lines: tuple[MethodRuns, ...]

    @property
    def methods(self) -> list[MethodRuns]:
        """The lines that are neither control nor ceiling, with records."""
        return [x for x in self.lines if x.records and x.method != CONTROL and not x.is_ceiling]

    def control(self) -> MethodRuns:
        """Return the control's line; raises ReportError if there are several, or none."""
        return self._only(CONTROL, [x for x in self.lines if x.method == CONTROL])

    def ceiling(self) -> MethodRuns:
        """Return the ceiling's line; raises ReportError if there are several, or none."""
        return self._only("ceiling", [x for x in self.lines if x.is_ceiling])

    def _only(self, name: str, lines: Sequence[MethodRuns]) -> MethodRuns:
        found = [line for line in lines if line.records]
        where = f" with {self.name}" if self.name else ""
        if not found:
            raise ReportError(f"there is no run of {name}{where}: add it to --methods of `run`")
        if len(found) > 1:
            names = "; ".join(line.label for line in found)
            raise ReportError(
                f"{name} was run in more than one version{where}: choose one by --only or --latest "
                f"among {names}"
            )
        return found[0]


@dataclass(frozen=True)
class Headroom:
    """What could be won over the control at one ratio, and what runs like these can tell."""

    ratio: float
    gap: Estimate
    """Ceiling minus control, over the runs that both finished."""
    resolution: float | None
    """Half the 95 % interval of such a difference, trainings included; None if it has none."""

    @property
    def there(self) -> bool:
        """Whether the ceiling is told apart from the control, and lies above it."""
        return self.gap.mean > 0 and not untested(self.gap) and not tied(self.gap)

    @property
    def informative(self) -> bool:
        """Whether a method that wins `PART` of the headroom could be told from the control."""
        return self.resolution is not None and PART * self.gap.mean > self.resolution

    def describe(self) -> str:
        """Say the headroom, and why it tells nothing of methods where that is so."""
        points = f"the ceiling is {100 * self.gap.mean:+.1f} points of F1 over the control"
        if self.informative:
            return f"{percent(self.ratio)} labels: {points}"
        why = (
            f"half of that could not be told from nothing (± {100 * self.resolution:.1f})"
            if self.resolution is not None
            else f"how well that is known cannot be told ({self.gap.reason})"
        )
        return f"{percent(self.ratio)} labels: {points}, and {why}"


def headroom(
    control: MethodRuns, ceiling: MethodRuns, ratio: float, select: str
) -> Headroom | None:
    """Compare ceiling and control at a ratio; None where they share no finished run."""
    one, two = (scored_runs(x.at(ratio).values(), select) for x in (ceiling, control))
    if not one.keys() & two.keys():
        return None
    gap = estimate_difference(one, two)
    return Headroom(ratio, gap, _resolution(gap))


def _resolution(gap: Estimate) -> float | None:
    """Return half of the interval; trainings that are not in it count as they did elsewhere."""
    if gap.interval is None:
        return None
    half = (gap.interval[1] - gap.interval[0]) / 2
    if gap.trainings:
        return half
    # a difference of two trainings a run, the runs independent of each other
    deviation = max(TRAININGS_ELSEWHERE) / 100 * math.sqrt(2 / gap.runs)
    return math.hypot(half, _NORMAL * deviation)


def setting_key(config: Mapping[str, Any], recipe: Recipe) -> str:
    """Spell what a setting is: all knobs but the method's own and the dataset's.

    What a dataset's options do is in its data. A file counts by its name: where it lies differs
    from machine to machine. A recipe of a method's own counts with its length alone, so that it
    stands beside the control; so do tuned ones, which stand beside a tuned control.
    """
    apart = ("method", "train", "dataset")
    shared = {name: values for name, values in config.items() if name not in apart}
    trunk = shared.get("trunk", {})
    if "weights" in trunk:
        shared["trunk"] = {**trunk, "weights": Path(str(trunk["weights"])).name}
    train = {k: v for k, v in config.get("train", {}).items() if k not in NOT_IDENTITY}
    length = ("steps",) if train.get("steps") else ("steps", "epochs")
    if recipe == "tuned":
        shared["recipe"] = "tuned"
    shared["train"] = {k: v for k, v in train.items() if recipe == "common" or k in length}
    return json.dumps(shared, sort_keys=True)


def settings_of(lines: Iterable[MethodRuns]) -> list[Setting]:
    """Part lines by setting: of the common recipe, or tuned; others stand beside all they may."""
    common: dict[str, list[MethodRuns]] = defaultdict(list)
    others: list[tuple[str, MethodRuns]] = []
    for line in (line for line in lines if line.records):
        first = line.records[0]
        key = setting_key(first.config, first.recipe)
        if first.recipe == "own":
            others.append((key, line))
        else:
            common[key].append(line)
    for key, members in common.items():
        beside = setting_key(json.loads(key), "own")
        members += [line for own, line in others if own == beside]
    names = _names(list(common))
    return [
        Setting(name, key, tuple(members))
        for name, (key, members) in zip(names, common.items(), strict=True)
    ]


def _names(keys: Sequence[str]) -> list[str]:
    knobs = [dict(flatten({"recipe": "not tuned", **json.loads(key)})) for key in keys]
    every = sorted({knob for flat in knobs for knob in flat})
    differ = [k for k in every if len({str(flat[k]) for flat in knobs if k in flat}) > 1]
    return [", ".join(f"{k}={flat[k]}" for k in differ if k in flat) for flat in knobs]


def uninformative_notes(
    lines: Sequence[MethodRuns], ratios: Iterable[float], select: str
) -> Iterator[str]:
    """Name the settings and ratios in which half the headroom is not told from nothing.

    Where control or ceiling were not run, or in several versions, nothing is said. With all labels
    nothing is unlabelled, and no headroom is looked for.
    """
    for setting in settings_of(lines):
        found = [one for one in headrooms(setting, ratios, select) if not one.informative]
        where = f" with {setting.name}" if setting.name else ""
        for one in found:
            yield _uninformative(one, where)


def headrooms(setting: Setting, ratios: Iterable[float], select: str) -> list[Headroom]:
    """Return a setting's headroom at each ratio below 1 where control and ceiling tell it."""
    try:
        control, ceiling = setting.control(), setting.ceiling()
        found = [headroom(control, ceiling, ratio, select) for ratio in ratios if ratio < 1]
    except ReportError:
        return []
    return [one for one in found if one]


def headroom_sentences(
    keys: Iterable[str], ratios: Sequence[float], records: Iterable[Record], *, unknown: bool
) -> Iterator[str]:
    """Say of settings, by their `setting_key`, what comparable records know: for `run`.

    With `unknown`, also at which ratios nobody knows yet.
    """
    known = {setting.key: setting for setting in settings_of(method_runs(records))}
    told: set[float] = set()
    for key in (key for key in keys if key in known):
        found = headrooms(known[key], ratios, "last")
        told |= {one.ratio for one in found}
        yield from (_uninformative(one, "") for one in found if not one.informative)
    left = [percent(ratio) for ratio in ratios if ratio < 1 and ratio not in told]
    if unknown and left:
        yield (
            f"headroom unknown at {', '.join(left)} labels: --methods supervised,ceiling tells how "
            "much pseudo labels could win there"
        )


def _uninformative(one: Headroom, where: str) -> str:
    return f"uninformative about methods{where} at {one.describe()}"
