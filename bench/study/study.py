"""A study is a grid; its cells are single training runs, each with an identity of its own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.config.parsing import checked_ratio, split_settings
from bench.config.presets import PRESETS
from bench.config.registry import Registry
from bench.config.resolve import check_method, method_config, own_settings, resolve_settings
from bench.config.settings import NOT_IDENTITY, Settings
from bench.errors import pick
from bench.results.records import Record

RULES = ("sparse", "contiguous", "random")


@dataclass(frozen=True, kw_only=True)
class Study:
    """The grid that a person asked for, checked: every name in it exists."""

    dataset: str
    methods: tuple[str, ...]
    """Method names, with a variant where wanted: `ks:no_skd`."""
    ratios: tuple[str, ...]
    folds: tuple[int, ...]
    seeds: tuple[int, ...]
    rules: tuple[str, ...]
    preset: str
    settings: Settings
    knobs: Mapping[str, Mapping[str, str]]
    """Method (or dataset) name -> its own knobs as texts."""
    root: Path | None
    results: Path
    cache: Path
    registry: Registry
    deterministic: bool = False

    @property
    def dataset_options(self) -> Mapping[str, str]:
        """The dataset's own knobs."""
        return self.knobs.get(self.dataset, {})


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
    """Check what was asked for and fill in what was not; raises UsageError on the first flaw.

    No method named means every method there is; no ratio, fold or seed means the preset's.
    """
    registry = Registry(tuple(plugins))
    chosen = pick("preset", preset, PRESETS)
    pick("dataset", dataset, registry.datasets())
    sections = split_settings(knobs)
    names = tuple(dict.fromkeys(methods)) or tuple(registry.methods())
    own = own_settings(registry, dataset, sections)
    for name in dict.fromkeys([*names, *own]):
        if name != dataset:
            check_method(registry, name, own, preset)
    return Study(
        dataset=dataset,
        methods=names,
        ratios=tuple(dict.fromkeys(map(checked_ratio, ratios or chosen.ratios))),
        folds=tuple(dict.fromkeys(folds)) or chosen.folds,
        seeds=tuple(dict.fromkeys(seeds)) or chosen.seeds,
        rules=_known_rules(rules),
        preset=preset,
        settings=resolve_settings(chosen, sections),
        knobs=own,
        root=root,
        results=results,
        cache=cache,
        registry=registry,
        deterministic=deterministic,
    )


def _known_rules(names: Sequence[str]) -> tuple[str, ...]:
    for name in names:
        pick("rule", name, dict.fromkeys(RULES))
    return tuple(dict.fromkeys(names))


def members(study: Study, records: Iterable[Record]) -> list[Record]:
    """Return the records of cells that `study` asks for, on whatever dataset.

    A knob that a record does not tell, being older than the knob, counts as the study's.
    """
    configs = {name: _config(study, name) for name in study.methods}
    return [
        r for r in records if _in_grid(study, r) and _agree(configs[r.cell["method"]], r.config)
    ]


def _in_grid(study: Study, record: Record) -> bool:
    ratios = {float(ratio) for ratio in study.ratios}
    asked = {
        "method": study.methods,
        "ratio": ratios,
        "rule": study.rules,
        "fold": study.folds,
        "seed": study.seeds,
        "preset": {study.preset},
    }
    return all(record.cell[name] in values for name, values in asked.items())


def _config(study: Study, method: str) -> dict[str, Any]:
    """Return the knobs of the study's cells of `method`, as a record tells them."""
    cls = study.registry.method(method.partition(":")[0])
    config = {
        "method": asdict(method_config(cls, method, study.knobs, study.preset)),
        **asdict(study.settings),
    }
    for name in NOT_IDENTITY:
        del config["train"][name]
    plain: dict[str, Any] = json.loads(json.dumps(config))
    return plain


def _agree(asked: Mapping[str, Any], told: Mapping[str, Any]) -> bool:
    return all(
        told.get(section, {}).get(knob, value) == value
        for section, knobs in asked.items()
        for knob, value in knobs.items()
    )
