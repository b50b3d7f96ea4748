"""The command line: one module a command, each thin; `main` turns errors into a sentence."""

from __future__ import annotations

import errno
import os
import sys
from importlib import import_module
from io import TextIOWrapper
from traceback import walk_tb

import typer

COMMANDS = (
    "run",
    "tune",
    "status",
    "table",
    "plot",
    "report",
    "speed",
    "list",
    "check",
    "explain",
    "diff",
    "predict",
    "export",
    "prune",
    "data",
    "doctor",
)


def make_app() -> typer.Typer:
    """Build the command line from its modules; none of them imports torch before it is used."""
    app = typer.Typer(
        name="python -m bench",
        help="Benchmark of semi-supervised facial action unit detection from face video.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for name in COMMANDS:
        module = import_module(f"bench.cli.{name}")
        if hasattr(module, "app"):
            app.add_typer(module.app, name=name)
        else:
            app.command(name)(module.command)
    return app


def main() -> None:
    """Run the command line; exit code 0 = done, 1 = something failed, 2 = wrongly asked."""
    # A folder's name may hold bytes that are no UTF-8: they are printed as such, as errors are.
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        try:
            make_app()(prog_name="python -m bench")
        finally:
            sys.stdout.flush()
    except Exception as error:
        if _is_of_the_output(error):
            _fall_silent()
            typer.echo(f"error: the output cannot be written: {error}", err=True)
            sys.exit(1)
        from bench.errors import UsageError

        if isinstance(error, PermissionError) and error.filename is not None:
            typer.echo(f"error: {error.filename}: this user may not read or write it", err=True)
            sys.exit(1)
        if not isinstance(error, expected_errors()):
            if not (where := _place_in_a_plugin(error)):
                raise
            typer.echo(f"error: {where} raises {type(error).__name__}: {error}", err=True)
            sys.exit(1)
        typer.echo(f"error: {error}", err=True)
        sys.exit(2 if isinstance(error, UsageError) else 1)


def _place_in_a_plugin(error: Exception) -> str:
    """Name the innermost line of a plugin's file that an error went through; "" if it met none."""
    places = [
        f"{frame.f_code.co_filename}, line {line}"
        for frame, line in walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__")).startswith("au_ssl_bench_plugin_")
    ]
    return places[-1] if places else ""


def _is_of_the_output(error: Exception) -> bool:
    """Tell whether standard output failed; an error of a file would name the file."""
    return isinstance(error, OSError) and error.filename is None and error.errno in _OUTPUT_ERRORS


_OUTPUT_ERRORS = {errno.ENOSPC, errno.EIO, errno.EPIPE, errno.EDQUOT, errno.EFBIG}


def _fall_silent() -> None:
    """Let Python close standard output at its end without a complaint of its own."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


EXPECTED_ERRORS = {
    "bench.frame_store.files": "FrameStoreError",
    "bench.errors": "UsageError",
    "bench.executors.base": "ExecutorError",
    "bench.system.files": "RecordError",
    "bench.report.model": "ReportError",
    "datasets._base": "DatasetError",
    "methods._base": "MethodError",
}


def expected_errors() -> tuple[type[Exception], ...]:
    """Return the classes of errors that a person can do something about.

    One whose module was not imported was not raised, and importing it here could take longer (it
    may want torch) than what went wrong.
    """
    return tuple(
        getattr(sys.modules[module], name)
        for module, name in EXPECTED_ERRORS.items()
        if module in sys.modules
    )
