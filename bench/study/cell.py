"""Cells: the single training runs of a study, each with an identity of its own.

An identity is a hash of all that decides the result: data, split, label mask, knobs and code.
Made by `run` and the conformance checks, carried out by `runner/run_cell.py`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.config.names import NOT_IDENTITY, GridPoint, MethodName
from bench.config.registry import CONTROLS
from bench.config.settings import Settings
from bench.data.dataset import LabelledSplit, OpenedDataset, mask_path
from bench.results.records import Recipe
from bench.results.requests import RequestedCell, write_request
from bench.system.files import cannot_write
from bench.system.hashing import digest, file_digest
from methods._base import Method, Needs, Trunk
from methods._trunks import weights_path

from .code_hash import code_files, code_hash
from .study import PublishedWeights, Study, StudyContext
from .tuned import check_searched_folds


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One training run, picklable, with all that a worker needs to carry it out."""

    context: StudyContext
    method: MethodName
    point: GridPoint
    method_config: Mapping[str, Any]
    """The method's knobs as plain values: a plugin's Config class cannot be pickled by name."""
    settings: Settings
    """The other knobs: the study's, with the method's own recipe put in."""
    mask_file: Path
    hashes: Mapping[str, str] = field(default_factory=dict)
    trial: bool = False
    """Whether it is a trial of a search: scored on its validation subjects' key frames alone, so
    that no test subject is looked at."""
    code: Mapping[str, str] = field(default_factory=dict)
    """The files behind `hashes["code"]`, each with a hash of what it does."""

    @cached_property
    def id(self) -> str:
        """Readable label and hash: `synthetic-fixmatch-r0.01-f0-s0-1a2b3c4d5e`."""
        point = self.point
        rule = "" if point.rule == "sparse" else f"-{point.rule}"
        method = re.sub(r"[^\w.-]+", "-", str(self.method).replace(":", "."))
        method += "-sees-hidden-labels" if self.sees_hidden_labels else ""
        method += "-trial" if self.trial else ""
        label = f"{self.context.dataset.name}-{method}-r{point.ratio_text}{rule}"
        return f"{label}-f{point.fold}-s{point.seed}-{self.hashes['cell'][:10]}"

    @property
    def sees_hidden_labels(self) -> bool:
        """Whether its batches carry labels that the budget did not pay for.

        It goes by the name alone, which no file and no plugin can have (`registry.CONTROLS`).
        """
        return self.method.base in CONTROLS

    @property
    def recipe(self) -> Recipe:
        """Whether the method trains as the others of its study do, or as a search found."""
        if str(self.method) in self.context.tuning.get("methods", ()):
            return "tuned"
        return "common" if self.settings.train == self.context.settings.train else "own"

    @property
    def tuning(self) -> dict[str, Any]:
        """The search that its recipe comes from, as a record keeps it; empty if none."""
        if self.recipe != "tuned":
            return {}
        tuning = self.context.tuning
        told = {key: value for key, value in tuning.items() if key not in {"methods", "place"}}
        other = dict(told["searched_with"])
        if tuning["place"]["data"] != self.hashes["data"]:
            other["data"] = tuning["place"]["data"][:12]
        searched = tuning["methods"][str(self.method)]
        return {**told, "searched_with": other, "searched": searched}

    @property
    def published_weights(self) -> tuple[PublishedWeights, ...]:
        """The weights from a hub or a package that its networks begin with."""
        return self.context.weights.get(str(self.method), ())

    @property
    def first_weights(self) -> dict[str, str]:
        """What its networks begin with, and the SHA-256 of each file; empty from random weights."""
        found = {w.source: w.sha256 for w in self.published_weights}
        own = self.hashes.get("weights")
        if own and own not in found.values():
            found[str(self.settings.trunk.weights)] = own
        return found

    @property
    def method_class(self) -> type[Method]:
        """The method itself, without its variant; raises UsageError if it cannot be imported."""
        return self.context.registry.method(self.method.base)

    @property
    def needs(self) -> Needs:
        """The data that the method wants under its knobs."""
        cls = self.method_class
        return cls.needs_for(cls.Config(**self.method_config))

    @property
    def folder(self) -> Path:
        """Where its record, predictions, history and checkpoint lie."""
        return self.context.results / "runs" / self.id

    @property
    def coordinates(self) -> dict[str, Any]:
        """Place in the grid, as a record keeps it."""
        return {
            "dataset": self.context.dataset.name,
            "method": str(self.method),
            "ratio": self.point.ratio,
            "rule": self.point.rule,
            "fold": self.point.fold,
            "seed": self.point.seed,
            "preset": self.context.preset,
        }

    @property
    def identity(self) -> dict[str, Any]:
        """All that makes it itself: place, knobs, hashes, code."""
        parts = {"config": self.config(), "hashes": dict(self.hashes), "code": dict(self.code)}
        return {**self.coordinates, **parts}

    def config(self) -> dict[str, Any]:
        """Every resolved knob, by section, as JSON keeps it."""
        sections = {
            name.name: asdict(getattr(self.settings, name.name)) for name in fields(Settings)
        }
        options = dict(self.context.dataset.options)
        config = {"method": dict(self.method_config), **sections, "dataset": options}
        plain: dict[str, Any] = json.loads(json.dumps(config))
        return plain

    def as_requested(self) -> RequestedCell:
        """Return what a grid request keeps of it."""
        return RequestedCell(
            id=self.id,
            cell=self.coordinates,
            hashes=dict(self.hashes),
            config=self.config(),
            code=dict(self.code),
            tuned=str(self.tuning.get("search", "")),
        )


def plan_cells(
    study: Study, data: OpenedDataset, *, save: bool = True, trial: bool = False
) -> list[Cell]:
    """List the study's cells in the order of the grid; their label masks are drawn and saved.

    Without `save` (a look at what would be done) nothing is written; `trial` makes trials of a
    search of them. Raises DatasetError for a fold that does not exist, and for a mask file that was
    edited, UsageError for recipes that a search chose under other folds, and RecordError if a mask
    cannot be saved.
    """
    check_searched_folds(study, data)
    masks: dict[GridPoint, tuple[LabelledSplit, Path]] = {}
    for point in study.points():
        labelled = data.labelled_split(point, study.context.settings.data.val_subjects)
        path = mask_path(study.context.results, labelled.mask, point.fold)
        if save:
            _save(labelled, path)
        masks[point] = labelled, path
    return list(_cells(study, data, masks, trial=trial))


def _save(labelled: LabelledSplit, path: Path) -> None:
    try:
        labelled.mask.save(path)
    except OSError as error:
        raise cannot_write(path, error) from error


def _cells(
    study: Study,
    data: OpenedDataset,
    masks: Mapping[GridPoint, tuple[LabelledSplit, Path]],
    *,
    trial: bool,
) -> Iterator[Cell]:
    for name in study.methods:
        file = _source_file(study.context.registry.method(name.base))
        code, files = code_hash(file), code_files(file)
        config, settings = asdict(study.config_of(name)), study.settings_of(name)
        for point, (labelled, path) in masks.items():
            cell = Cell(
                context=study.context,
                method=name,
                point=point,
                method_config=config,
                settings=settings,
                mask_file=path,
                trial=trial,
                code=files,
            )
            yield replace(cell, hashes=_hashes(cell, data, labelled, code))


def _source_file(cls: type) -> Path:
    file = sys.modules[cls.__module__].__file__
    assert file is not None
    return Path(file)


def _hashes(cell: Cell, data: OpenedDataset, labelled: LabelledSplit, code: str) -> dict[str, str]:
    config, files = _contents_for_paths(cell.config())
    hashes = {
        "data": data.store.content_hash,
        "folds": data.folds.sha256,
        "split": labelled.split.sha256,
        "mask": labelled.mask.sha256,
        "code": code,
        "config": digest(_identity_config(config)),
        **files,
        **{
            "weights" if w.name == cell.settings.trunk.name else f"weights.{w.name}": w.sha256
            for w in cell.published_weights
        },
    }
    if cell.needs.landmarks:
        hashes["landmarks"] = data.store.landmarks_hash
    more = [*(["sees hidden labels"] if cell.sees_hidden_labels else [])]
    more += ["scored on validation subjects"] if cell.trial else []
    more += ["tuned", cell.context.tuning["search"]] if cell.recipe == "tuned" else []
    return {**hashes, "cell": digest([hashes, cell.coordinates, *more])}


def _identity_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the knobs that decide a result; what a dataset's options do is in its content."""
    train = {key: value for key, value in config["train"].items() if key not in NOT_IDENTITY}
    return {name: value for name, value in config.items() if name != "dataset"} | {"train": train}


KEYWORDS = frozenset({"none", "imagenet", "auto", "faces", "package"})
"""Words that no knob takes for the name of a file, though one may lie there."""


def _contents_for_paths(config: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Take out of the knobs those that name a file: a path says where a thing lies, not what it is.

    Returns the other knobs, and a hash of each file's content by what names it (`weights` for the
    trunk's first weights, else `eac.weights`). Weights that come with the suite count by their
    content too: they may be made anew. Raises MethodError where there are none for the trunk.
    """
    kept: dict[str, Any] = {}
    files: dict[str, str] = {}
    for section, knobs in config.items():
        kept[section] = {}
        for knob, value in knobs.items():
            if section != "dataset" and _names_a_file(value):
                name = "weights" if section == "trunk" else f"{section}.{knob}"
                files[name] = file_digest(Path(value))
            else:
                kept[section][knob] = value
    shipped = weights_path(Trunk(**config["trunk"]))
    if shipped is not None and "weights" not in files and shipped.is_file():
        files["weights"] = file_digest(shipped)
    return kept, files


def _names_a_file(value: Any) -> bool:
    """Tell whether a knob's value is the path of a file: a bare word is one only with an ending."""
    if not isinstance(value, str) or value in KEYWORDS:
        return False
    path = Path(value)
    return (len(path.parts) > 1 or path.suffix != "") and path.is_file()


_REQUESTED = ("methods", "ratios", "folds", "seeds", "rules", "knobs")


def request_grid(study: Study, cells: Sequence[Cell], command: str) -> Path:
    """Note down which cells were asked for; raises RecordError if the disk does not take it.

    The file's name is a hash of the question: the grid, the dataset and every setting.
    """
    context = study.context
    asked = {name: getattr(study, name) for name in _REQUESTED}
    key = digest([asked, dict(context.dataset.options), asdict(context.settings)])
    name = f"{context.dataset.name}-{context.preset}-{key[:10]}.json"
    path = context.results / "grids" / name
    write_request(path, [cell.as_requested() for cell in cells], command)
    return path
