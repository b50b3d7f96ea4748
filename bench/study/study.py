"""A study: the grid that a person asked for, with every name and knob in it checked.

Made by the command line (`run`, `table --config`, the commands about a dataset) and by the
conformance checks; `study/cell.py` turns it into cells.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from bench.config.names import NOT_IDENTITY, GridPoint, MethodName, parse_ratio
from bench.config.parsing import split_settings
from bench.config.presets import PRESETS
from bench.config.registry import Registry
from bench.config.resolve import (
    RECIPE,
    Knobs,
    check_method,
    method_config,
    method_settings,
    own_knobs,
    resolve_settings,
)
from bench.config.settings import Settings
from bench.data.dataset import DatasetSpec
from bench.errors import UsageError, ValueT, pick
from bench.results.records import Record
from datasets._splits.masks import RULES


@dataclass(frozen=True)
class PublishedWeights:
    """Weights from a hub or an installed package, found when a study was planned."""

    name: str
    """timm's."""
    source: str
    """Where they are published, e.g. `timm/resnet18.tv_in1k`, or a package, `name==version`."""
    file: Path
    sha256: str


@dataclass(frozen=True, kw_only=True)
class StudyContext:
    """What all cells of a study have in common; picklable."""

    dataset: DatasetSpec
    preset: str
    settings: Settings
    results: Path
    cache: Path
    deterministic: bool = False
    """Whether a GPU is held to repeatable arithmetic: how a cell is done, no part of what it is."""

    tuning: Mapping[str, Any] = field(default_factory=dict)
    """The search that gave recipes, if one did: what `SearchRecord.summary` tells; `methods`, whose
    recipes it gave: method -> the knobs that were searched; `place`, the data and folds it was on;
    `searched_with`, the shared knobs that it had otherwise."""

    weights: Mapping[str, tuple[PublishedWeights, ...]] = field(default_factory=dict)
    """Method -> the published weights that its networks begin with, as `run` found them."""

    @property
    def registry(self) -> Registry:
        """Where methods and datasets are found."""
        return self.dataset.registry


@dataclass(frozen=True, kw_only=True)
class Study:
    """A grid of cells: methods x points, in one context."""

    context: StudyContext
    methods: tuple[MethodName, ...]
    ratios: tuple[float, ...]
    folds: tuple[int, ...]
    seeds: tuple[int, ...]
    rules: tuple[str, ...]
    knobs: Knobs
    """The methods' own knobs that were set, as texts; those of a recipe under `METHOD.train`."""

    def points(self) -> Iterator[GridPoint]:
        """Yield every point of the grid, in its order."""
        for rule, ratio, fold, seed in product(self.rules, self.ratios, self.folds, self.seeds):
            yield GridPoint(ratio=ratio, fold=fold, seed=seed, rule=rule)

    def config_of(self, method: MethodName) -> Any:
        """Resolve a method's knobs under this study."""
        cls = self.context.registry.method(method.base)
        return method_config(cls, method, self.knobs, self.context.preset)

    def settings_of(self, method: MethodName) -> Settings:
        """Return the settings that all methods share, with a method's own recipe put in."""
        shared = self.context.settings
        return method_settings(shared, method, self.knobs, self.context.preset)

    def select(self, records: Iterable[Record]) -> list[Record]:
        """Return the records of cells that the study asks for, on whatever dataset.

        A knob that a record does not tell, being older than the knob, counts as the study's.
        """
        points = set(self.points())
        configs = {str(name): self._recorded_config(name) for name in self.methods}
        return [
            record
            for record in records
            if GridPoint.of(record.cell) in points
            and record.cell["preset"] == self.context.preset
            and record.cell["method"] in configs
            and _agree(configs[record.cell["method"]], record.config)
        ]

    def differences(self, records: Iterable[Record]) -> str:
        """Name the knobs in which the most similar record differs from the study; "" if in none."""
        configs = {str(name): self._recorded_config(name) for name in self.methods}
        found = [
            _differing(configs[record.cell["method"]], record.config)
            for record in records
            if record.cell["preset"] == self.context.preset and record.cell["method"] in configs
        ]
        return ", ".join(min(found, key=len)[:4]) if found else ""

    def _recorded_config(self, method: MethodName) -> dict[str, Any]:
        """Return the knobs of the study's cells of `method`, as a record tells them."""
        config = {"method": asdict(self.config_of(method)), **asdict(self.settings_of(method))}
        for name in NOT_IDENTITY:
            del config["train"][name]
        plain: dict[str, Any] = json.loads(json.dumps(config))
        return plain


def _agree(asked: Mapping[str, Any], recorded: Mapping[str, Any]) -> bool:
    return not _differing(asked, recorded)


def _differing(asked: Mapping[str, Any], recorded: Mapping[str, Any]) -> list[str]:
    """Return the knobs that a record has otherwise, each with its value there and as asked."""
    return [
        f"{section}.{knob} ({recorded[section][knob]}, not {value})"
        for section, knobs in asked.items()
        for knob, value in knobs.items()
        if recorded.get(section, {}).get(knob, value) != value
    ]


def make_study(
    *,
    dataset: str = "synthetic",
    methods: Sequence[str] = (),
    ratios: Sequence[str] = (),
    folds: Sequence[int] = (),
    seeds: Sequence[int] = (),
    rules: Sequence[str] = ("sparse",),
    preset: str = "quick",
    knobs: Sequence[str] = (),
    root: Path | None = None,
    results: Path = Path("results"),
    cache: Path = Path(".cache/frames"),
    plugins: Sequence[Path] = (),
    deterministic: bool = False,
) -> Study:
    """Check what was asked for; what was not is the preset's, methods all. Raises UsageError."""
    registry = Registry(tuple(plugins))
    chosen = pick("preset", preset, PRESETS)
    pick("dataset", dataset, registry.datasets())
    _check_root(registry, dataset, root)
    sections = split_settings(knobs)
    own = own_knobs(registry, dataset, sections)
    options = own.pop(dataset, {})
    names = _once(map(MethodName.parse, methods or registry.methods()))
    settings = resolve_settings(chosen, sections)
    _check_methods(registry, [*names, *_named_by(own)], own, settings, preset)
    context = StudyContext(
        dataset=DatasetSpec(dataset, root, tuple(sorted(options.items())), registry),
        preset=preset,
        settings=settings,
        results=results,
        cache=cache,
        deterministic=deterministic,
    )
    return Study(
        context=context,
        methods=names,
        ratios=_once(map(parse_ratio, ratios)) or chosen.ratios,
        folds=_once(folds) or chosen.folds,
        seeds=_once(seeds) or chosen.seeds,
        rules=_once(_known_rule(rule) for rule in rules),
        knobs=own,
    )


def _check_methods(
    registry: Registry,
    names: Iterable[MethodName],
    knobs: Knobs,
    settings: Settings,
    preset: str,
) -> None:
    """Check each method's knobs and recipe; of one that does not run, a slip is as likely."""
    for name in _once(names):
        check_method(registry, name, knobs, preset)
        method_settings(settings, name, knobs, preset)


def _named_by(knobs: Knobs) -> Iterator[MethodName]:
    """Yield the methods that knobs were set of."""
    return (MethodName.parse(section.removesuffix(RECIPE)) for section in knobs)


def _known_rule(name: str) -> str:
    pick("rule", name, RULES)
    return name


def _check_root(registry: Registry, dataset: str, root: Path | None) -> None:
    if root is not None and not registry.dataset(dataset).needs_root:
        raise UsageError(
            f"--root {root}: dataset {dataset} reads no folder: name by --dataset what lies there "
            f"(python -m bench doctor --root {root} finds out)"
        )


def _once(values: Iterable[ValueT]) -> tuple[ValueT, ...]:
    """Drop repetitions, keeping the order."""
    return tuple(dict.fromkeys(values))
