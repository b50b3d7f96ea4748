"""`check`: whether a method keeps its contract."""

from __future__ import annotations

from typing import Annotated

import typer

from . import _options as opt


def command(
    method: Annotated[str, typer.Argument(help="A method's name, with a variant where wanted.")],
    plugins: opt.Plugins = None,
) -> None:
    """Check a method on small cells of the embedded dataset; exit code 1 if any check fails.

    Half a minute on two processor cores. A failure says what is wrong and what to do.
    """
    import time
    from collections import Counter
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from bench.config.names import MethodName
    from bench.config.registry import CONTROLS, Registry
    from bench.conformance.suite import check_method
    from bench.errors import UsageError
    from bench.system.environment import one_thread

    if MethodName.parse(method).base in CONTROLS:
        raise UsageError(
            f"{method} is a control of the runner's own that sees hidden labels: the contract is "
            "for methods, and forbids that"
        )
    one_thread()
    began, counts = time.monotonic(), Counter[str]()
    with TemporaryDirectory(prefix="bench-check-", ignore_cleanup_errors=True) as folder:
        for outcome in check_method(Registry(tuple(plugins or [])), method, Path(folder)):
            counts[outcome.status] += 1
            said = outcome.message or outcome.check.holds
            typer.echo(f"{outcome.status:<10} {outcome.check.name:<16} {said}")
    summary = ", ".join(f"{count} {status}" for status, count in counts.items())
    typer.echo(f"{method}: {summary} in {time.monotonic() - began:.0f} s")
    raise typer.Exit(0 if set(counts) == {"ok"} else 1)
