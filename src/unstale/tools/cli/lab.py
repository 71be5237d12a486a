"""`unstale lab`: options to a plan, a live view, the table and the conclusions at the end."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.live import Live
from rich.progress import Progress

from unstale.tools.cli.saying import console, errors, told
from unstale.tools.cli.status import STOPPED
from unstale.tools.lab import scale_results
from unstale.tools.lab.conclusions import conclusions
from unstale.tools.lab.errors import LabError
from unstale.tools.lab.live import View
from unstale.tools.lab.plan import VARIANTS, Plan, Variant, variants_of
from unstale.tools.lab.report import write_report, write_scale_charts
from unstale.tools.lab.results import Outcome, Results, Sample, figures, read
from unstale.tools.lab.run import RESULTS_FILE, InterruptedLabError, Watcher, run
from unstale.tools.lab.scale import run_scale
from unstale.tools.lab.scale_job import Doing
from unstale.tools.lab.scale_plan import ScalePlan
from unstale.tools.lab.scale_table import scale_tables
from unstale.tools.lab.servers import is_users_own
from unstale.tools.lab.table import notes, tables
from unstale.tools.lab.tally import Second

SCALE_FILE: Final = "scale.json"
REFRESH: Final = 2
"""How often a second the view is drawn: seldom, since the machine is being measured."""

lab = typer.Typer(
    help="The article's investigation, replayed on this machine and measured step by step.",
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
DEFAULT: Final = Plan()


@lab.callback()
def replay(  # noqa: PLR0913 - a command's options
    context: typer.Context,
    *,
    variant: Annotated[
        list[str] | None, typer.Option("--variant", "-v", help="Only this step; may be repeated. See --list.")
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="List the steps and what they stand for.")] = False,
    server: Annotated[
        str, typer.Option(help="embedded, or a program such as redis-server, which the lab starts.")
    ] = DEFAULT.server,
    url: Annotated[
        str | None,
        typer.Option(
            envvar="UNSTALE_LAB_URL", help="A server of yours instead, with an empty database of its own. Needs --yes."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do put that load on the server of --url.")] = False,
    database: Annotated[
        str | None,
        typer.Option(help="postgres://user:password@host:port/name: each step gets a new one beside it. Else SQLite."),
    ] = None,
    rate: Annotated[float, typer.Option(min=0.1, max=100_000, help="Requests offered, a second.")] = DEFAULT.rate,
    seconds: Annotated[float, typer.Option(min=1, max=86_400, help="Measured, for each step.")] = DEFAULT.seconds,
    warm: Annotated[float, typer.Option(min=0, max=86_400, help="Seconds of load before that.")] = DEFAULT.warm_seconds,
    actions: Annotated[
        float, typer.Option(min=0, max=1, help="The part of the requests that are user actions.")
    ] = DEFAULT.actions,
    users: Annotated[int, typer.Option(min=1, help="Who act and read.")] = DEFAULT.users,
    keys: Annotated[int, typer.Option(min=0, help="In the cache beforehand.")] = DEFAULT.keys,
    workers: Annotated[int, typer.Option(min=1, help="Processes of gunicorn.")] = DEFAULT.workers,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each.")] = DEFAULT.threads,
    load_seconds: Annotated[
        float, typer.Option(min=0, max=60, help="How much longer a history takes to compute.")
    ] = DEFAULT.load_seconds,
    seed: Annotated[int, typer.Option(help="Of the load and the keyspace.")] = DEFAULT.seed,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the results; by default lab-results/ and the time.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out, with its plan.")] = False,
) -> None:
    """Replay the investigation: every step measured under the same load, with a report at the end."""
    if context.invoked_subcommand is not None:
        return
    if listed:
        _list()
        return
    with told():
        named = _server(server, url, yes=yes)
        if resume and out is None:
            raise LabError("--resume needs the folder of the run: --out lab-results/…")
        folder = out or _folder()
        plan = Plan(
            variants=variants_of(variant or VARIANTS),
            server=named,
            database="SQLite" if database is None else "PostgreSQL",
            rate=rate,
            seconds=seconds,
            warm_seconds=warm,
            actions=actions,
            users=users,
            keys=keys,
            workers=workers,
            threads=threads,
            load_seconds=load_seconds,
            seed=seed,
        )
        if resume:
            plan = _resumed(folder, url)
        _run(plan, folder, database, resume=resume)


SCALE: Final = ScalePlan()


@lab.command()
def scale(  # noqa: PLR0913 - a command's options
    *,
    size: Annotated[list[int] | None, typer.Option(help="Keys in the database; may be repeated.")] = None,
    per_user: Annotated[list[int] | None, typer.Option(help="Keys of each user; may be repeated.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Samples of each combination.")] = SCALE.rounds,
    seconds: Annotated[float, typer.Option(min=1, help="For all of it.")] = SCALE.seconds,
    server: Annotated[str, typer.Option(help="embedded, or a program such as redis-server.")] = SCALE.server,
    url: Annotated[str | None, typer.Option(help="A server of yours, with an empty database. Needs --yes.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do fill the server of --url, and load it.")] = False,
    seed: Annotated[int, typer.Option(help="Of the keyspace.")] = SCALE.seed,
    out: Annotated[Path | None, typer.Option(help="Folder of the results; that of a run, to have both.")] = None,
) -> None:
    """Measure what one invalidation and one read cost, in keyspaces of several sizes."""
    with told():
        named = _server(server, url, yes=yes)
        plan = ScalePlan(
            sizes=tuple(size or SCALE.sizes),
            per_user=tuple(per_user or SCALE.per_user),
            rounds=rounds,
            seconds=seconds,
            server=named,
            seed=seed,
        )
        folder = out or _folder()
        with Progress(console=console, transient=True) as progress:
            task = progress.add_task("", total=1.0)

            def tell(doing: Doing) -> None:
                progress.update(task, completed=doing.part, description=doing.what)

            found = run_scale(plan, tell)
        folder.mkdir(parents=True, exist_ok=True)
        scale_results.write(found, folder / SCALE_FILE)
        for part in (*scale_tables(found), *found.skipped):
            console.print(part, markup=False)
        has_run = (folder / RESULTS_FILE).exists()
        drawn = (
            write_report(read(folder / RESULTS_FILE), found, folder) if has_run else write_scale_charts(found, folder)
        )
        console.print(f"\n{drawn}", soft_wrap=True, markup=False)


@lab.command()
def report(
    folder: Annotated[Path, typer.Argument(help="Of a run: the one that has results.json.")],
) -> None:
    """Draw the report of a run again, from its results.json."""
    with told():
        found = read(folder / RESULTS_FILE)
        _show(found, folder)


def _server(server: str, url: str | None, *, yes: bool) -> str:
    """The server that was named: a URL comes by --url alone, and so with --yes."""
    if "://" in server:
        raise LabError("--server is embedded, or a program that the lab starts. A server of yours is named by --url.")
    if url is None:
        return server
    if server != DEFAULT.server:
        raise LabError("--server is for a server that the lab starts, --url for one of yours: name one of them.")
    if not yes:
        raise LabError(
            "--url fills that server, puts the whole load on it, and needs --yes. Its database must be empty."
        )
    return url


def _resumed(folder: Path, url: str | None) -> Plan:
    """The plan of a run; of the user's own server only --url knows the password."""
    plan = read(folder / RESULTS_FILE).plan
    if not is_users_own(plan):
        return plan
    if url is None:
        raise LabError(f"That run was on {plan.server}. Name it again, with --url and --yes: no password is kept.")
    return msgspec.structs.replace(plan, server=url)


def _run(plan: Plan, folder: Path, database: str | None, *, resume: bool) -> None:
    """Run, show, and say where everything is."""
    console.print(f"Results: {folder}", soft_wrap=True, markup=False)
    stopped = False
    try:
        with _watching(plan) as watch:
            results = run(plan, folder, watch, database_url=database, resume=resume)
    except InterruptedLabError:
        stopped = True
        results = read(folder / RESULTS_FILE)
    _show(results, folder)
    if stopped:
        errors.print(f"Stopped. Go on with: {_go_on(plan, folder)}", soft_wrap=True, markup=False)
        raise typer.Exit(STOPPED)
    if any(one.status == "failed" for one in results.outcomes):
        raise typer.Exit(1)


def _go_on(plan: Plan, folder: Path) -> str:
    """The command that resumes a run. What may hold a password is left to be filled in."""
    command = "python -m unstale" if Path(sys.argv[0]).name == "__main__.py" else "unstale"
    server = " --url … --yes" if is_users_own(plan) else ""
    database = "" if plan.database == "SQLite" else " --database …"
    return f"{command} lab --resume --out {shlex.quote(str(folder))}{server}{database}"


def _show(results: Results, folder: Path) -> None:
    """The table, what follows from it, and the report."""
    scale = scale_results.read(folder / SCALE_FILE) if (folder / SCALE_FILE).exists() else None
    for part in (*tables(results), *notes(results)):
        console.print(part, markup=False)
    for sentence in conclusions(results):
        console.print(f"\n{sentence}", markup=False)
    page = write_report(results, scale, folder)
    console.print(f"\n{page}", soft_wrap=True, markup=False)


def _folder() -> Path:
    return Path("lab-results", datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S"))


def _list() -> None:
    for one in VARIANTS.values():
        console.print(f"[bold]{one.name:18}[/bold] {one.stands_for}")


@contextmanager
def _watching(plan: Plan) -> Iterator[Watcher]:
    """On a terminal a live view, elsewhere a line for each step."""
    if not console.is_terminal:
        yield _Lines()
        return
    view = View(plan)
    with Live(view, console=console, refresh_per_second=REFRESH, transient=True):
        yield view


class _Lines:
    """A line when a variant begins, and one when it has ended."""

    def __init__(self) -> None:
        self._variant: Variant | None = None

    def phase(self, variant: Variant, what: str, part: float | None = None) -> None:  # noqa: ARG002 - Watcher's
        if variant is not self._variant:
            self._variant = variant
            console.print(f"{variant.name}: {variant.stands_for}")

    def second(self, variant: Variant, second: Second) -> None:
        pass

    def sample(self, variant: Variant, sample: Sample) -> None:
        pass

    def ended(self, outcome: Outcome, plan: Plan) -> None:
        if outcome.status != "complete":
            console.print(f"{outcome.variant}: {outcome.status}: {outcome.reason}", markup=False)
            return
        found = figures(outcome, plan)
        console.print(
            f"  {found.rate:.1f} of {found.offered_rate:.1f} requests/s, engine {found.engine_percent:.1f} %, "
            f"{found.stale} stale answers"
        )
