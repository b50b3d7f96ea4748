"""TODO: bench/study/cell.py."""

from __future__ import annotations

import json
import re
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from bench.config.registry import Registry
from bench.config.resolve import method_config
from bench.config.settings import NOT_IDENTITY, Settings
from bench.data.dataset import LabelledSplit, OpenedDataset, labelled_split, mask_path
from bench.results.requests import SCHEMA
from bench.system.files import atomic_file, cannot_write
from bench.system.hashing import digest, file_digest
from methods._base import Method

from .code_hash import code_files, code_hash
from .study import Study

_REQUEST_FIELDS = ("dataset", "methods", "ratios", "folds", "seeds", "rules", "preset", "knobs")
"""What two grids must agree in (besides the settings) to be the same question."""


def write_request(study: Study, cells: Sequence[Cell], command: str) -> Path:
    """Note down which cells were asked for; raises RecordError if the disk does not take it."""
    asked = {name: getattr(study, name) for name in _REQUEST_FIELDS}
    key = digest([asked, asdict(study.settings)])
    path = study.results / "grids" / f"{study.dataset}-{study.preset}-{key[:10]}.json"
    content = {
        "schema": SCHEMA,
        "command": command,
        "host": socket.gethostname(),
        "asked": time.time(),
        "methods": {c.method: {"config": c.config(), "code": dict(c.code)} for c in cells},
        "cells": [{"id": c.id, "cell": c.coordinates, "hashes": dict(c.hashes)} for c in cells],
    }
    with atomic_file(path) as stream:
        json.dump(content, stream)
    return path


_Place = tuple[str, str, int, int]
"""Rule, ratio, fold and seed: what a label mask is drawn for."""


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


def plan_cells(study: Study, data: OpenedDataset, *, save: bool = True) -> list[Cell]:
    """List the study's cells in the order of the grid; their label masks are drawn and saved.

    Without `save` (a look at what would be done) nothing is written. Raises DatasetError for a fold
    that does not exist, and for a mask file that was edited, and RecordError if a mask cannot be
    saved.
    """
    masks: dict[_Place, tuple[LabelledSplit, Path]] = {}
    for place in product(study.rules, study.ratios, study.folds, study.seeds):
        labelled = _labelled_split(study, data, place)
        path = mask_path(study.results, labelled.mask, place[2])
        if save:
            _save(labelled, path)
        masks[place] = labelled, path
    return list(_cells(study, data, masks))


def _save(labelled: LabelledSplit, path: Path) -> None:
    try:
        labelled.mask.save(path)
    except OSError as error:
        raise cannot_write(path, error) from error


def _labelled_split(study: Study, data: OpenedDataset, place: _Place) -> LabelledSplit:
    rule, ratio, fold, seed = place
    held_out = study.settings.data.val_subjects
    return labelled_split(data, fold=fold, ratio=ratio, rule=rule, seed=seed, val_subjects=held_out)


def _cells(
    study: Study, data: OpenedDataset, masks: Mapping[_Place, tuple[LabelledSplit, Path]]
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


def _hashes(cell: Cell, data: OpenedDataset, labelled: LabelledSplit, code: str) -> dict[str, str]:
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
