"""`unstale doctor`: what it will run, the report on the terminal, as JSON or as a page, an exit status by its worst.

Exit status: 0 nothing to change (findings of level info at the most), 1 a warning, 3 something serious, 2 it cannot be
looked at, 130 it was stopped, 141 nobody reads its output any more.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console

from unstale.tools.cli.options import SentinelPassword
from unstale.tools.cli.saying import console, errors, fail, told
from unstale.tools.cli.status import STOPPED
from unstale.tools.doctor.course import MONITOR_STEP, STEPS, Plan, examine
from unstale.tools.doctor.gate import Gate
from unstale.tools.doctor.page import write_page
from unstale.tools.doctor.results import Level
from unstale.tools.doctor.table import renderables
from unstale.tools.places import Origin, target_of

STATUS: Final[dict[Level | None, int]] = {None: 0, "info": 0, "warning": 1, "serious": 3}
"""The exit status, by the worst finding's level."""
DEFAULT: Final = Plan()


def doctor(  # noqa: PLR0913 - a command's options
    url: Annotated[
        str,
        typer.Argument(
            envvar="UNSTALE_DOCTOR_URL",
            show_default=False,
            help="redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://, with user and password. "
            "In the variable no list of processes shows it.",
        ),
    ],
    *,
    seconds: Annotated[
        float, typer.Option(min=2, max=3600, help="For each server; half of it nothing is asked.")
    ] = DEFAULT.seconds,
    monitor: Annotated[
        float,
        typer.Option(min=0, max=10, help="Seconds of MONITOR beside: it tells patterns, and costs a busy server much."),
    ] = DEFAULT.monitor_seconds,
    commands: Annotated[
        int, typer.Option(min=100, max=1_000_000, help="Sent to each server, at the most.")
    ] = DEFAULT.most_commands,
    sentinel_password: SentinelPassword = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be run; connect to nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write the report as one HTML file, too.")] = None,
) -> None:
    """Find out what a server works for, and what to change. It only reads."""
    plan = Plan(seconds=seconds, monitor_seconds=monitor, most_commands=commands)
    stop = threading.Event()
    with told("The report"):
        Origin(url, Gate(plan.most_commands).manner(), sentinel_password)  # raises if the URL makes no sense
        if html is not None and not html.parent.is_dir():
            fail(f"{html} cannot be written: there is no folder {html.parent}.")
        _announce(url, plan, console if dry_run else errors)
        if dry_run:
            return
        report = examine(url, plan, stop=stop, sentinel_password=sentinel_password)
        if as_json:
            typer.echo(msgspec.json.encode(report))
        else:
            for one in renderables(report):
                console.print(one)
        if html is not None:
            write_page(report, html)
            errors.print(f"Report: {html}", markup=False, soft_wrap=True)
    if stop.is_set():
        errors.print("Stopped: this is what there was.")
        raise typer.Exit(STOPPED)
    raise typer.Exit(STATUS[report.worst])


def _announce(url: str, plan: Plan, to: Console) -> None:
    """Say beforehand what is run. Before a report on the other stream, so that JSON stays JSON."""
    to.print(f"{target_of(url)}: only these commands are sent, to each server behind it:", markup=False, soft_wrap=True)
    steps = (*STEPS, MONITOR_STEP) if plan.monitor_seconds else STEPS
    for says, commands in steps:
        to.print(f"  {says}: {', '.join(commands)}", markup=False, soft_wrap=True)
    to.print(
        f"At most {plan.most_commands:,} of them, for about {plan.seconds + plan.monitor_seconds:g} s, at most "
        f"{100 * plan.share:g} % of the engine's time for the keys that are looked at.",
        markup=False,
        soft_wrap=True,
    )
