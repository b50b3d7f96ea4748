"""The command line: one module a command, each thin; `main` turns errors into a sentence."""

from __future__ import annotations

import sys
from importlib import import_module

import typer

COMMANDS = ("run", "status", "table", "plot", "list", "check", "explain", "diff", "data", "doctor")


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
    try:
        make_app()(prog_name="python -m bench")
    except Exception as error:
        from bench.config import UsageError

        from ._errors import expected

        if not isinstance(error, expected()):
            raise
        typer.echo(f"error: {error}", err=True)
        sys.exit(2 if isinstance(error, UsageError) else 1)
