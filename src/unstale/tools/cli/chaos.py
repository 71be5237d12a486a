"""`unstale chaos`: options to a plan, a live view, the table at the end."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.live import Live
from rich.table import Table
from rich.text import Text

from unstale.tools.chaos.course import Tick, Watcher
from unstale.tools.chaos.errors import ChaosError
from unstale.tools.chaos.live import View
from unstale.tools.chaos.phases import PHASES, phases_of
from unstale.tools.chaos.plan import Plan
from unstale.tools.chaos.preconditions import check_server
from unstale.tools.chaos.results import ZERO, Outcome, Results, read
from unstale.tools.chaos.rows import check_database
from unstale.tools.chaos.run import RESULTS_FILE, Grounds, InterruptedChaosError, run, turns
from unstale.tools.chaos.subject import PEERS
from unstale.tools.chaos.table import markdown, notes, table
from unstale.tools.cli import STOPPED
from unstale.tools.cli.saying import console, errors, fail, told

OVERHEAD_SECONDS: Final = 5.0
"""What a phase takes beside its load, about: servers and processes that start and end, and the judging."""
REFRESH: Final = 2
"""How often a second the view is drawn: seldom, since the machine has enough to do."""

chaos = typer.Typer(
    help="Readers and writers on a real server and database, while things break; judged afterwards.",
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
DEFAULT: Final = Plan(phases=())


@chaos.callback()
def try_it(  # noqa: PLR0913 - a command's options
    context: typer.Context,
    *,
    phase: Annotated[
        list[str] | None, typer.Option("--phase", "-p", help="Only this one; may be repeated. See --list.")
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="List the phases and what they show.")] = False,
    seconds: Annotated[
        float, typer.Option(min=1, max=86_400, help="Under load, with faults, for each phase.")
    ] = DEFAULT.seconds,
    calm: Annotated[
        float, typer.Option(min=0, max=3600, help="Seconds of load after that, with all healed.")
    ] = DEFAULT.calm_seconds,
    seed: Annotated[list[int] | None, typer.Option(help="Each phase once with each; by default 1, 2 and 3.")] = None,
    server: Annotated[
        list[str] | None,
        typer.Option(help="embedded, or a program such as redis-server; of several each phase has another in turn."),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            envvar="UNSTALE_CHAOS_URL",
            help="A server of yours instead. Only the run's own names are touched; needs --yes.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do put that load on the server of --url.")] = False,
    database: Annotated[
        list[str] | None,
        typer.Option(help="sqlite, or postgres://user:password@host:port/name, beside which each phase has its own."),
    ] = None,
    peers: Annotated[bool, typer.Option("--peers", help="Put what teams use without unstale through it, too.")] = False,
    rows: Annotated[int, typer.Option(min=1, max=100_000, help="In the database, all hot.")] = DEFAULT.rows,
    readers: Annotated[int, typer.Option(min=1, help="Processes that read.")] = DEFAULT.readers,
    threads: Annotated[int, typer.Option(min=1, help="Threads, or tasks, of each.")] = DEFAULT.threads,
    writers: Annotated[int, typer.Option(min=1, help="Processes that write.")] = DEFAULT.writers,
    reads: Annotated[
        float, typer.Option(min=0, help="A second, all together, at the most; 0: as fast as they go.")
    ] = DEFAULT.reads_per_second,
    writes: Annotated[float, typer.Option(min=0.1, help="A second, all together.")] = DEFAULT.writes_per_second,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the results; by default chaos-results/ and the time.")
    ] = None,
) -> None:
    """Try the cache: readers and writers while things break, and what of that breaks the promise."""
    if context.invoked_subcommand is not None:
        return
    if listed:
        _list()
        return
    with told():
        grounds = _grounds(server, url, database, yes=yes)
        plan = Plan(
            phases=phases_of(phase or _default_phases(url)),
            seconds=seconds,
            calm_seconds=calm,
            seeds=tuple(seed or DEFAULT.seeds),
            server=grounds.servers[0],
            database=grounds.databases[0],
            rows=rows,
            readers=readers,
            threads=threads,
            writers=writers,
            reads_per_second=reads,
            writes_per_second=writes,
        )
        _run(plan, grounds, PEERS if peers else (), out or _folder())


@chaos.command()
def report(
    *,
    folder: Annotated[Path, typer.Argument(help="Of a run: the one that has results.json; or that file.")],
    as_markdown: Annotated[bool, typer.Option("--markdown", help="For a document.")] = False,
) -> None:
    """Show the table of a run again, from its results.json."""
    with told():
        found = read(folder if folder.is_file() else folder / RESULTS_FILE)
        if as_markdown:
            console.print(markdown(found), soft_wrap=True, markup=False)
        else:
            _show(found)


def _grounds(server: list[str] | None, url: str | None, database: list[str] | None, *, yes: bool) -> Grounds:
    """Servers and databases that were named, seen to be there."""
    servers = server or [DEFAULT.server]
    if any("://" in one for one in servers):
        raise ChaosError("--server is embedded, or a program that is started. A server of yours is named by --url.")
    if url is not None:
        if server:
            raise ChaosError("--server is for a server that is started, --url for one of yours: name one of them.")
        scheme, found, _ = url.partition("://")
        if not found:
            raise ChaosError("--url is that of one server, as in redis://localhost:6379/5.")
        if "+" in scheme:
            raise ChaosError("--url is for one server. The phases cluster and sentinels start their own: leave it out.")
        if not yes:
            raise ChaosError("--url puts the whole load on that server, and needs --yes.")
        servers = [url]
    grounds = Grounds(servers, database or [DEFAULT.database])
    for one in grounds.servers:
        check_server(one)
    for one in grounds.databases:
        check_database(one)
    return grounds


def _default_phases(url: str | None) -> Sequence[str]:
    """All that need not be named; on a user's server those that may be done there."""
    return [name for name, one in PHASES.items() if not one.by_name and (url is None or one.is_safe)]


def _run(plan: Plan, grounds: Grounds, peers: Sequence[str], folder: Path) -> None:
    """Run, show, and say where everything is."""
    console.print(f"Results: {folder}", soft_wrap=True, markup=False)
    chosen = turns(plan, PHASES, grounds, peers)
    minutes = len(chosen) * (plan.seconds + plan.calm_seconds + OVERHEAD_SECONDS) / 60
    console.print(f"Phases to run, with all seeds and peers: {len(chosen)}. That takes some {math.ceil(minutes)} min.")
    if peers and not any(one.peer for one in chosen):
        console.print("No peer is among them: these phases are for unstale alone.")
    stopped = False
    try:
        with _watching(plan, len(chosen)) as watch:
            results = run(plan, chosen, folder, watch)
    except InterruptedChaosError:
        stopped = True
        results = read(folder / RESULTS_FILE)
    _show(results)
    if stopped:
        errors.print("Stopped.")
    if any(one.is_bad for one in results.outcomes):
        raise typer.Exit(1)
    if results.outcomes and all(one.status == "skipped" for one in results.outcomes):
        fail("Nothing was tried: every phase was skipped.")
    if stopped:
        raise typer.Exit(STOPPED)


def _show(results: Results) -> None:
    console.print(table(results))
    for note in notes(results):
        console.print(note, markup=False, soft_wrap=True)


def _folder() -> Path:
    return Path("chaos-results", datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S"))


def _list() -> None:
    listed = Table.grid(padding=(0, 2))
    for one in PHASES.values():
        safe = "" if one.is_safe else " Not on your own server."
        safe += " Only by its name." if one.by_name else ""
        listed.add_row(Text(one.name, style="bold"), f"{one.says}{safe}")
    console.print(listed)


@contextmanager
def _watching(plan: Plan, count: int) -> Iterator[Watcher]:
    """On a terminal a live view, elsewhere a line for each phase."""
    if not console.is_terminal:
        yield _Lines()
        return
    view = View(plan, count)
    with Live(view, console=console, refresh_per_second=REFRESH, transient=True):
        yield view


class _Lines:
    """A line when a phase has ended."""

    def begins(self, outcome: Outcome) -> None:
        pass

    def goes_on(self, what: str, tick: Tick | None = None) -> None:
        pass

    def ended(self, outcome: Outcome) -> None:
        head = f"{outcome.phase}, {outcome.subject}, seed {outcome.seed}"
        if outcome.status in {"failed", "skipped"}:
            console.print(f"{head}: {outcome.status}: {outcome.reason}", markup=False, soft_wrap=True)
            return
        counts = outcome.counts
        found = ", ".join(f"{getattr(counts, name)} {name}" for name in ZERO)
        struck = sum(counts.strikes.values())
        console.print(
            f"{head}: {counts.reads:,} reads, {counts.writes:,} writes, {struck} faults: {found}",
            markup=False,
            soft_wrap=True,
        )
