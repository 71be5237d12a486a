"""The command's parts put together, and what is the same for all of them.

Each part needs an extra of its own. One that is not installed is there all the same, and says which.
"""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any, Final, NamedTuple

import typer

import unstale
from unstale.tools.cli.status import CANNOT


class Part(NamedTuple):
    """A subcommand.

    Attributes:
        name: as it is typed, and the name of its module in this package and of what that module has for it.
        extra: what of `pip install 'unstale[…]'` it needs.
        says: its help, where it is not installed.
    """

    name: str
    extra: str
    says: str


PARTS: Final = (
    Part("doctor", "doctor", "From an alarm to its cause: what a server works for."),
    Part("top", "doctor", "What a server works for, second by second."),
    Part("lab", "lab", "The whole investigation replayed and measured."),
    Part("chaos", "lab", "The promise tried while things break."),
    Part("exporter", "exporter", "A server told of to Prometheus."),
    Part("audit", "audit", "Where Python code caches in ways that hurt or lie."),
    Part("verify", "doctor", "What verifying has found, over all processes."),
)

application = typer.Typer(
    help="Cache invalidation on Redis and Valkey without deleting keys: the tools.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _add(part: Part) -> None:
    """A module has a typer application, or a function that is one command."""
    try:
        made: Any = getattr(import_module(f"unstale.tools.cli.{part.name}"), part.name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("unstale"):
            raise
        _refuse(part, error.name)
        return
    if isinstance(made, typer.Typer):
        application.add_typer(made, name=part.name)
    else:
        application.command(part.name)(made)


def _refuse(part: Part, module: str | None) -> None:
    """Say what is missing, whatever the part is asked for."""

    def refuse() -> None:
        typer.echo(f"unstale {part.name} needs {module}: pip install 'unstale[{part.extra}]'", err=True)
        raise typer.Exit(CANNOT)

    anything = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
    says = f"{part.says} Not installed: it needs unstale's extra {part.extra}."  # in brackets it would be markup
    application.command(part.name, help=says, context_settings=anything)(refuse)


for _part in PARTS:
    _add(_part)


def _version(asked: bool) -> None:  # noqa: FBT001 - typer's
    if asked:
        typer.echo(f"unstale {unstale.__version__}")
        raise typer.Exit


@application.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say it.")] = False,  # noqa: FBT002 - typer's
) -> None:
    """Cache invalidation on Redis and Valkey without deleting keys: the tools."""
