"""Contract checks: what a method's file says (imports, hooks, knobs) and how it is built."""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from bench.config.names import MethodName
from bench.config.parsing import override_fields
from bench.config.registry import contract_flaws, default_needs
from bench.config.resolve import method_config
from bench.config.search_space import check_default, checked_space
from bench.errors import UsageError

from .harness import (
    Harness,
    differing_entries,
    generator_states,
    generators_moved,
    name_some,
    perturb_rng,
)
from .probe import ContractViolation


def source_of(harness: Harness) -> tuple[ast.Module, Path]:
    """Return the syntax tree of the method's file, and the file."""
    file = sys.modules[harness.cls.__module__].__file__
    assert file is not None
    path = Path(file)
    return ast.parse(path.read_text(encoding="utf-8")), path


def imports(harness: Harness) -> None:
    """Check that the file imports nothing of bench or datasets, and no other method."""
    tree, file = source_of(harness)
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        for name in _imported(node, harness.cls.__module__):
            parts = name.split(".")
            if parts[0] in {"bench", "datasets"}:
                raise ContractViolation(
                    f"line {line} of {file.name} imports {name}: a method sees what `Batch` "
                    "and `Task` hold, and nothing else; import torch and `methods._*`"
                )
            if parts[0] == "methods" and not parts[1].startswith("_") and parts[1] != file.stem:
                raise ContractViolation(
                    f"line {line} of {file.name} imports method {parts[1]}: a change of it "
                    "would change this one; share functions through a `methods/_*.py`, or copy"
                )


def _imported(node: Any, module: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name != "methods")
    elif isinstance(node, ast.ImportFrom):
        home = ".".join(module.split(".")[: -node.level]) if node.level else ""
        base = ".".join(part for part in (home, node.module) if part)
        yield from (f"{base}.{alias.name}" for alias in node.names)


def hooks(harness: Harness) -> None:
    """Check that the class defines its hooks, and that its needs can be met."""
    for flaw in contract_flaws(harness.cls):
        raise ContractViolation(flaw)
    needs = default_needs(harness.cls)
    if needs.unlabelled_ratio and needs.clip_len == 1:
        raise ContractViolation(
            f"needs.unlabelled_ratio={needs.unlabelled_ratio} with clip_len=1 gives no unlabelled "
            "frame: they come from the key frame's clip; write clip_len=5"
        )
    if (needs.clips or needs.unlabelled_ratio) and not needs.views:
        raise ContractViolation(
            "needs.views is empty: name the draws to see frames in, e.g. ('weak',)"
        )


def knobs(harness: Harness) -> None:
    """Check that each knob has a default and survives a record, and no other knob is taken."""
    kind = harness.cls.Config
    made = vars(kind).get("__dataclass_params__")
    if made is None or not made.frozen:
        raise ContractViolation(
            "Config is not a frozen dataclass: write @dataclass(frozen=True, kw_only=True)"
        )
    nothing = (dataclasses.MISSING, dataclasses.MISSING)
    bare = [f.name for f in dataclasses.fields(kind) if (f.default, f.default_factory) == nothing]
    if bare:
        raise ContractViolation(
            f"Config has no default for {name_some(bare)}: every knob needs one"
        )
    config = kind()
    values = dataclasses.asdict(config)
    for name, value in values.items():
        _round_trip(config, name, value, harness.name.base)
    if kind(**values) != config:
        raise ContractViolation(
            "Config(**asdict(config)) is another config: compare fields, and change none"
        )
    if _takes(kind, {**values, "no_such_knob": 1}):
        raise ContractViolation(
            "Config takes a knob that it does not have: a misspelt --set would be ignored"
        )
    for name in _without_annotation(kind):
        raise ContractViolation(
            f"Config.{name} has no annotation, so that it is no knob: write {name}: "
            f"{type(vars(kind)[name]).__name__} = {vars(kind)[name]!r}"
        )
    for variant in harness.cls.variants:
        _variant(harness, variant)
    _search_space(harness, values)


def _without_annotation(kind: type) -> Iterator[str]:
    """Yield what looks like a knob and is a plain attribute of the class."""
    described = (property, classmethod, staticmethod, functools.cached_property)
    for name, value in vars(kind).items():
        told = name.startswith("_") or name in inspect.get_annotations(kind)
        if not (told or callable(value) or isinstance(value, described)):
            yield name


def _search_space(harness: Harness, values: dict[str, Any]) -> None:
    name, cls = harness.name.base, harness.cls
    try:
        for knob, wanted in checked_space(name, cls.Config, cls.search_space):
            check_default(f"{name}.{knob}", wanted, values[knob])
    except UsageError as error:
        raise ContractViolation(f"search_space: {error}") from error


def _round_trip(config: Any, name: str, value: Any, section: str) -> None:
    """Give a knob its own value back, as a typed one and, if it is a scalar, as a text."""
    ways = [value, str(value)] if isinstance(value, str | int | float | None) else [value]
    for way in ways:
        try:
            again = override_fields(config, {name: way}, section)
        except UsageError as error:
            raise ContractViolation(
                f"--set cannot give knob {name} its own default {way!r}: {error}"
            ) from error
        if again != config:
            raise ContractViolation(
                f"knob {name} is {value!r}, and --set {section}.{name}={way} makes "
                f"{getattr(again, name)!r} of it: the annotation does not fit the default"
            )


def _takes(kind: type, values: dict[str, Any]) -> bool:
    try:
        kind(**values)
    except TypeError:
        return False
    return True


def _variant(harness: Harness, variant: str) -> None:
    try:
        method_config(harness.cls, MethodName(harness.name.base, variant), {})
    except UsageError as error:
        raise ContractViolation(
            f"variant {variant} sets what Config does not take: {error}"
        ) from error


def construction(harness: Harness) -> None:
    """Check that it is built by its seed alone, with numbers from torch's generator."""
    given = harness.experiment().method
    before, states, following = generator_states(), [], []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(harness.cls(given.config, given.task).state_dict())
        following.append(float(torch.rand(())))
        moved = generators_moved(before)
        if moved:
            raise ContractViolation(
                f"the constructor draws from {moved}: draw from torch's, which is seeded"
            )
        perturb_rng(len(states))
        before = generator_states()
    unlike = differing_entries(states[0], states[1])
    if unlike:
        raise ContractViolation(
            f"two constructions under one seed differ in {name_some(unlike)}: draw every random "
            "number from torch's global generator, and none from a generator of your own"
        )
    if following[0] == following[2]:
        raise ContractViolation(
            "the constructor seeds torch's generator: every seed of a study would then give the "
            "same weights; leave the seed to the runner"
        )
