"""Registry: finds methods and datasets, as files, entry points or by `--plugin FILE.py`.

A module is imported only when it is asked for, so a broken one never stops the others. Whether a
plugin file holds a method or a dataset is read from its text, for the same reason.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import datasets
import methods
from bench.errors import UsageError, pick
from datasets._base import Dataset
from methods._base import WHOLE, Method, Needs, Phase

from .names import CEILING
from .plugins import import_file

ENTRY_POINTS = "au_ssl_bench"

HOOKS = ("losses", "encode", "head")
"""What every method defines."""


@dataclass(frozen=True)
class PluginRef:
    """A method or dataset that was found and is not yet imported."""

    name: str
    module: str
    file: Path | None = None
    attribute: str = ""
    """The class that an entry point names; none: the one class that the module defines."""

    @property
    def where(self) -> str:
        """Say where it is, as a person would look for it."""
        return str(self.file) if self.file else self.module

    def load(self, base: type) -> type:
        """Import it and return the one class deriving from `base` that it defines."""
        module = self._import()
        classes = [
            value
            for name, value in vars(module).items()
            if isinstance(value, type)
            and issubclass(value, base)
            and (name == self.attribute if self.attribute else value.__module__ == module.__name__)
        ]
        if len(classes) != 1:
            raise UsageError(
                f"{self.where} defines {len(classes)} classes deriving from {base.__name__}: "
                "it must define exactly one"
            )
        return classes[0]

    def _import(self) -> ModuleType:
        try:
            return (
                import_file(self.module, self.file)
                if self.file
                else importlib.import_module(self.module)
            )
        except (Exception, SystemExit) as error:
            raise UsageError(
                f"{self.where} cannot be imported: {type(error).__name__}: {error}"
            ) from error


CONTROLS = {CEILING: PluginRef(CEILING, "bench.runner.ceiling")}
"""What the runner trains beside methods. Their names open the door to hidden labels, so that no
file, entry point or plugin may have one."""


@dataclass(frozen=True)
class Registry:
    """Every method and dataset there is, plus the files given by `--plugin`; it looks but once."""

    plugins: tuple[Path, ...] = field(default=())

    def methods(self) -> Mapping[str, PluginRef]:
        """Map each known method's name to where it was found; a duplicate name is an error."""
        return self._methods

    def trainable(self) -> Mapping[str, PluginRef]:
        """Map what a cell may train to where it was found: the methods and the runner's controls.

        A control trains when it is asked for by name, and is never one of "all methods".
        """
        return {**self._methods, **CONTROLS}

    def datasets(self) -> Mapping[str, PluginRef]:
        """Map each known dataset's name to where it was found; a duplicate name is an error."""
        return self._datasets

    # looking through every installed distribution for entry points takes tens of milliseconds
    @cached_property
    def _methods(self) -> dict[str, PluginRef]:
        return _collect("method", methods, "methods", _plugins(self.plugins, "Method"))

    @cached_property
    def _datasets(self) -> dict[str, PluginRef]:
        return _collect("dataset", datasets, "datasets", _plugins(self.plugins, "Dataset"))

    def method(self, name: str) -> type[Method]:
        """Import method `name` (without its variant); raises UsageError naming the closest one."""
        try:
            found = pick("method", name, self.trainable())
        except UsageError as error:
            raise UsageError(f"{error} (one from elsewhere: --plugin FILE.py)") from None
        return found.load(Method)

    def require_method(self, name: str) -> None:
        """Raise UsageError, naming its file, unless method `name` can be imported and is whole."""
        cls, where = self.method(name), self.trainable()[name].where
        for flaw in contract_flaws(cls):
            raise UsageError(f"{where}: {flaw}")
        default_config(cls, where)

    def usable_methods(self) -> tuple[list[str], list[str]]:
        """Return the names of all methods that are whole, and a sentence about each other one."""
        problems = self.unusable(self.methods())
        return [name for name in self.methods() if name not in problems], [*problems.values()]

    def unusable(self, names: Iterable[str]) -> dict[str, str]:
        """Return those of the methods that are broken or not whole, each with a sentence."""
        problems = {}
        for name in names:
            try:
                self.require_method(name)
            except UsageError as error:
                problems[name] = str(error)
        return problems

    def dataset(self, name: str) -> type[Dataset]:
        """Import dataset `name`; raises UsageError naming the closest one."""
        return pick("dataset", name, self.datasets()).load(Dataset)


def contract_flaws(cls: type[Method]) -> Iterator[str]:
    """Say in sentences in what a method's class breaks its contract, as far as the class tells."""
    phases = _default(cls, "phases", WHOLE)
    hooks = ["fit"] if any(phase.fit for phase in phases) else []
    hooks += HOOKS if takes_steps(phases) else HOOKS[1:]
    missing = [hook for hook in hooks if getattr(cls, hook) is getattr(Method, hook)]
    if missing:
        yield (
            f"{cls.__name__} does not define {', '.join(missing)}: the loop calls losses(), and "
            "fit() where a phase says so; evaluation calls encode() for each frame and head() for "
            "each clip"
        )
    needs = default_needs(cls)
    if not isinstance(needs, Needs):
        yield f"{cls.__name__}.needs is a {type(needs).__name__}: write needs = Needs(...)"
        return
    if needs.clips and needs.unlabelled_ratio:
        yield (
            f"{cls.__name__}.needs asks for clips and for unlabelled frames: the loader gives one "
            "of them"
        )


def default_needs(cls: type[Method]) -> Any:
    """Return the data that a method wants with its knobs at their defaults."""
    return _default(cls, "needs_for", cls.needs)


def _default(cls: type[Method], hook: str, otherwise: Any) -> Any:
    try:
        return getattr(cls, hook)(cls.Config())
    except Exception:  # noqa: BLE001  what is wrong with the knobs, `default_config` says
        return otherwise


def check_phases(phases: Sequence[Phase]) -> None:
    """Raise UsageError unless there is a phase, and the shares sum to 1 or less."""
    if not phases:
        raise UsageError("phases() returned none: write (Phase(name='train', share=1.0),)")
    if sum(phase.share for phase in phases) > 1 + 1e-9:
        named = " + ".join(f"{phase.name} {phase.share:g}" for phase in phases)
        raise UsageError(f"the shares of the phases sum to more than 1: {named}")


def takes_steps(phases: Sequence[Phase]) -> bool:
    """Tell whether a method's phases have gradient steps at all."""
    return len(phases) > 1 or phases[0].share > 0


def default_config(cls: type[Method], where: str) -> Any:
    """Build a method's knobs as they are by default; raises UsageError, naming `where`."""
    try:
        return cls.Config()
    except Exception as error:
        raise UsageError(
            f"{where}: Config() raises {type(error).__name__}: {error}; every knob needs a default"
        ) from error


def _collect(
    kind: str, package: ModuleType, group: str, plugins: Iterator[Path]
) -> dict[str, PluginRef]:
    found: dict[str, PluginRef] = {}
    for item in _candidates(package, group, plugins):
        if item.name in CONTROLS:
            raise UsageError(
                f"{item.where} takes the name of a control of the runner's own, '{item.name}', "
                "which sees hidden labels: rename it"
            )
        if item.name in found:
            raise UsageError(
                f"two {kind}s are called '{item.name}': {found[item.name].where} and {item.where}; "
                "rename one of the files"
            )
        found[item.name] = item
    return found


def _candidates(package: ModuleType, group: str, plugins: Iterator[Path]) -> Iterator[PluginRef]:
    for file in sorted(Path(package.__path__[0]).glob("*.py")):
        if not file.stem.startswith("_"):
            yield PluginRef(file.stem, f"{package.__name__}.{file.stem}")
    for point in entry_points(group=f"{ENTRY_POINTS}.{group}"):
        module, _, attribute = point.value.partition(":")
        yield PluginRef(point.name, module, attribute=attribute)
    for file in plugins:
        yield PluginRef(file.stem, f"au_ssl_bench_plugin_{file.stem}", file)


def _plugins(files: tuple[Path, ...], base: str) -> Iterator[Path]:
    """Yield the plugin files that hold a `base`; what says neither counts as a method."""
    for file in dict.fromkeys(file.resolve() for file in files):
        found = _bases(file)
        if base in found or (base == "Method" and "Dataset" not in found):
            if not file.is_file() or file.suffix != ".py":
                raise UsageError(f"--plugin {file}: there is no such Python file")
            yield file


def _bases(file: Path) -> set[str]:
    """Return the names of the classes that `file` derives classes from; none if it is broken."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return set()
    classes = (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    return {ast.unparse(base).rpartition(".")[2] for node in classes for base in node.bases}
