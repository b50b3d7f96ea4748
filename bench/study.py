"""A study is a grid; its cells are single training runs, each with an identity of its own."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from methods._base import Method

from .config import checked_ratio, pick, split_settings
from .data import Data, Labelled, mask_path, split_and_mask
from .files import cannot_write
from .identity import code_files, code_hash, digest, file_digest
from .knobs import check_method, method_config, own_knobs, resolve_settings
from .registry import Registry
from .settings import PRESETS, Settings

_Place = tuple[str, str, int, int]
"""Rule, ratio, fold and seed: what a label mask is drawn for."""

RULES = ("sparse", "contiguous", "random")

NOT_IDENTITY = {"checkpoint_minutes", "checkpoint_steps"}
"""Knobs that change how a run is carried out and not what comes out of it."""


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


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One training run, picklable, with all that a worker needs to carry it out."""

    dataset: str
    method: str
    ratio: str
    rule: str
    fold: int
    seed: int
    preset: str
    settings: Settings
    method_config: Mapping[str, Any]
    """The method's knobs as plain values: a plugin's Config class cannot be pickled by name."""
    root: Path | None
    dataset_options: Mapping[str, str]
    results: Path
    cache: Path
    registry: Registry
    mask_file: Path
    deterministic: bool = False
    """Whether a GPU is held to repeatable arithmetic: how a cell is done, no part of what it is."""
    hashes: Mapping[str, str] = field(default_factory=dict)
    code: Mapping[str, str] = field(default_factory=dict)
    """The files behind `hashes["code"]`, each with a hash of what it does."""

    @cached_property
    def id(self) -> str:
        """Readable label and hash: `synthetic-fixmatch-r0.01-f0-s0-1a2b3c4d5e`."""
        rule = "" if self.rule == "sparse" else f"-{self.rule}"
        method = re.sub(r"[^\w.-]+", "-", self.method.replace(":", "."))
        place = f"{self.dataset}-{method}-r{self.ratio}{rule}-f{self.fold}-s{self.seed}"
        return f"{place}-{self.hashes['cell'][:10]}"

    @property
    def method_class(self) -> type[Method]:
        """The method itself, without its variant; raises UsageError if it cannot be imported."""
        return self.registry.method(self.method.partition(":")[0])

    @property
    def folder(self) -> Path:
        """Where its record, predictions, history and checkpoint lie."""
        return self.results / "runs" / self.id

    @property
    def coordinates(self) -> dict[str, Any]:
        """Place in the grid, as a record keeps it."""
        names = ("dataset", "method", "ratio", "rule", "fold", "seed", "preset")
        place = {name: getattr(self, name) for name in names}
        return {**place, "ratio": float(self.ratio)}

    @property
    def identity(self) -> dict[str, Any]:
        """All that makes it itself: place, knobs, hashes, code."""
        parts = {"config": self.config(), "hashes": dict(self.hashes), "code": dict(self.code)}
        return {**self.coordinates, **parts}

    def config(self) -> dict[str, Any]:
        """Every resolved knob, by section."""
        sections = {
            name.name: asdict(getattr(self.settings, name.name)) for name in fields(Settings)
        }
        dataset = dict(self.dataset_options)
        return {"method": dict(self.method_config), **sections, "dataset": dataset}


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
    own = own_knobs(registry, dataset, sections)
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


def cells(study: Study, data: Data, *, save: bool = True) -> list[Cell]:
    """List the study's cells in the order of the grid; their label masks are drawn and saved.

    Without `save` (a look at what would be done) nothing is written. Raises DatasetError for a fold
    that does not exist, and for a mask file that was edited, and RecordError if a mask cannot be
    saved.
    """
    masks: dict[_Place, tuple[Labelled, Path]] = {}
    for place in product(study.rules, study.ratios, study.folds, study.seeds):
        labelled = _labelled(study, data, place)
        path = mask_path(study.results, labelled.mask, place[2])
        if save:
            _save(labelled, path)
        masks[place] = labelled, path
    return list(_cells(study, data, masks))


def _save(labelled: Labelled, path: Path) -> None:
    try:
        labelled.mask.save(path)
    except OSError as error:
        raise cannot_write(path, error) from error


def _labelled(study: Study, data: Data, place: _Place) -> Labelled:
    rule, ratio, fold, seed = place
    held_out = study.settings.data.val_subjects
    return split_and_mask(data, fold=fold, ratio=ratio, rule=rule, seed=seed, val_subjects=held_out)


def _cells(
    study: Study, data: Data, masks: Mapping[_Place, tuple[Labelled, Path]]
) -> Iterator[Cell]:
    for name in study.methods:
        cls = study.registry.method(name.partition(":")[0])
        source = _source(cls)
        code, files = code_hash(source), code_files(source)
        config = asdict(method_config(cls, name, study.knobs, study.preset))
        for (rule, ratio, fold, seed), (labelled, path) in masks.items():
            cell = Cell(
                dataset=study.dataset,
                method=name,
                ratio=ratio,
                rule=rule,
                fold=fold,
                seed=seed,
                preset=study.preset,
                settings=study.settings,
                method_config=config,
                root=study.root,
                dataset_options=study.dataset_options,
                results=study.results,
                cache=study.cache,
                registry=study.registry,
                mask_file=path,
                deterministic=study.deterministic,
            )
            yield replace(cell, hashes=_hashes(cell, data, labelled, code), code=files)


def _source(cls: type) -> Path:
    file = sys.modules[cls.__module__].__file__
    assert file is not None
    return Path(file)


def _hashes(cell: Cell, data: Data, labelled: Labelled, code: str) -> dict[str, str]:
    hashes = {
        "data": data.store.content_hash,
        "folds": data.folds.sha256,
        "split": labelled.split.sha256,
        "mask": labelled.mask.sha256,
        "code": code,
        "config": digest(_identity_config(cell)),
    }
    if cell.method_class.needs.landmarks:
        hashes["landmarks"] = data.store.landmarks_hash
    weights = Path(cell.settings.trunk.weights)
    if weights.is_file():
        hashes["weights"] = file_digest(weights)
    return {**hashes, "cell": digest([hashes, cell.coordinates])}


def _identity_config(cell: Cell) -> dict[str, Any]:
    config = cell.config()
    # a path says where a thing lies; what lies there has a hash of its own
    del config["dataset"]
    if Path(cell.settings.trunk.weights).is_file():
        del config["trunk"]["weights"]
    train = {k: v for k, v in config["train"].items() if k not in NOT_IDENTITY}
    return {**config, "train": train}
