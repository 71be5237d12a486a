"""The command's parts put together, and what is the same for all of them."""

from __future__ import annotations

from typing import Annotated

import typer

import unstale
from unstale.tools.cli.chaos import chaos
from unstale.tools.cli.lab import lab

application = typer.Typer(
    help="Cache invalidation on Redis and Valkey without deleting keys: the tools.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
application.add_typer(lab, name="lab")
application.add_typer(chaos, name="chaos")


def _version(asked: bool) -> None:  # noqa: FBT001 - typer's
    if asked:
        typer.echo(f"unstale {unstale.__version__}")
        raise typer.Exit


@application.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say it.")] = False,  # noqa: FBT002 - typer's
) -> None:
    """Cache invalidation on Redis and Valkey without deleting keys: the tools."""
