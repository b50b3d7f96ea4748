"""`list`: the names that other commands take."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from . import _options as opt

if TYPE_CHECKING:
    from bench.config.registry import Registry


def command(
    kind: Annotated[str, typer.Argument(help="methods, datasets or presets; none = all.")] = "",
    plugins: opt.Plugins = None,
) -> None:
    """List methods (with their variants), datasets or presets, a line each.

    A plugin that cannot be imported is listed with the reason, and stops nothing.
    """
    from bench.config.registry import Registry
    from bench.errors import pick

    kinds = {"methods": _methods, "datasets": _datasets, "presets": _presets}
    registry = Registry(tuple(plugins or []))
    for heading, lines in ({kind: pick("kind", kind, kinds)} if kind else kinds).items():
        if not kind:
            typer.echo(f"{heading}:")
        for name, text in lines(registry):
            typer.echo(f"{name:<14} {text}")


def _methods(registry: Registry) -> Iterator[tuple[str, str]]:
    from bench.config.registry import CONTROLS
    from bench.errors import UsageError

    for name, found in registry.methods().items():
        try:
            cls = registry.method(name)
        except UsageError as error:
            yield name, f"cannot be used: {error}"
            continue
        yield name, f"{_first_line(cls)}  [{found.where}]"
        for variant in cls.variants:
            yield f"{name}:{variant}", "variant"
    for name in CONTROLS:
        yield name, f"{_first_line(registry.method(name))}  [a control of the runner's, no method]"


def _datasets(registry: Registry) -> Iterator[tuple[str, str]]:
    from bench.errors import UsageError

    for name, found in registry.datasets().items():
        try:
            cls = registry.dataset(name)
        except UsageError as error:
            yield name, f"cannot be used: {error}"
            continue
        root = "needs --root" if cls.needs_root else "needs nothing"
        yield name, f"{_first_line(cls)} ({root})  [{found.where}]"


def _presets(_: Registry) -> Iterator[tuple[str, str]]:
    from bench.config.names import spell_ratio
    from bench.config.presets import PRESETS

    for name, preset in PRESETS.items():
        ratios = ",".join(map(spell_ratio, preset.ratios))
        grid = f"ratios {ratios}; folds {','.join(map(str, preset.folds))}"
        yield name, f"{preset.summary} ({grid})"


def _first_line(cls: type) -> str:
    text = cls.__doc__ or sys.modules[cls.__module__].__doc__ or ""
    return text.strip().partition("\n")[0]
