"""A list of 20 orders from the shop, requests a second over real HTTP: without a cache, `cache_page`, unstale's mixin.

Each view has a gunicorn of its own with one worker of the default kind, which never handles two requests at once; all
of them share one core, one database and one server for the cache, and are asked in turns by a process on another core.
Before that, each is seen to give the same answer. The worker's CPU for a request is what a busy machine blurs least.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import unstale
from bench.django_load import HOST, ask, request_for
from bench.django_site import SQLITE, Config
from bench.hit import ratio
from bench.report import Spread, Table
from bench.servers import cores, end_with_parent, free_port, pinned, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.servers import Server

ROOT: Final = Path(__file__).parent.parent
SHOP: Final = ROOT / "examples" / "shop"
NEEDS: Final = {"rest_framework": "djangorestframework", "gunicorn": "gunicorn"}
ORDERS, AT_ONCE = 20, 2
START_SECONDS: Final = 60.0
POSTGRES: Final = "postgres://postgres@127.0.0.1:5432"

UNCACHED: Final = "no cache"
PAGED_LIST: Final = "cache_page on list, django-redis"
PAGED: Final = "cache_page around all, django-redis (no authentication)"
KEPT: Final = "unstale's mixin"
VIEWS: Final = {UNCACHED: "uncached", PAGED_LIST: "paged_list", PAGED: "paged", KEPT: "kept"}
"""The views, by name, with their settings in bench/django_project."""


@dataclass(slots=True)
class View:
    """One view of the orders, served by a gunicorn.

    Attributes:
        port: where.
        worker: the process that answers.
        rates: requests a second, one of each round.
        middles: seconds that half of the answers took at most.
        slowest: seconds that 99 in 100 took at most.
        cpu: microseconds of the worker's CPU for a request.
    """

    port: int
    worker: int
    rates: list[float] = field(default_factory=list)
    middles: list[float] = field(default_factory=list)
    slowest: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


def bench_shop(kind: str, say: Callable[[str], None], config: Config) -> tuple[tuple[Table, ...], tuple[str, ...]]:
    """On SQLite and on PostgreSQL: the tables, and what could not be measured."""
    absent = [package for module, package in NEEDS.items() if find_spec(module) is None]
    if absent:
        return (), (f"The shop is not measured: {', '.join(absent)} is not installed.",)
    tables, remarks = [], [REMARK]
    for name in config.databases:
        with ExitStack() as stack:
            home = stack.enter_context(tempfile.TemporaryDirectory(prefix="unstale-bench-shop-"))
            url, why = (f"sqlite://{home}/shop.db", "") if name == SQLITE else stack.enter_context(own_database())
            if why:
                remarks.append(f"The shop is not measured on PostgreSQL: {why}")
                continue
            say(f"django: the shop on {name}")
            server = stack.enter_context(running(kind))
            tables.append(_on_database(name, _environment(home, url, server), server, say, config))
    return tuple(tables), tuple(remarks)


REMARK: Final = """\
The shop: each user's list is in the cache before it is measured; nobody orders meanwhile. No cache,
unstale's mixin and cache_page on list authenticate each request by its token, which is a database query; cache_page
around all does not. After an order unstale's next list has it; cache_page's is old until it expires."""


@contextmanager
def own_database() -> Iterator[tuple[str, str]]:
    """A database of PostgreSQL's for this run, dropped afterwards: its URL; or why there is none."""
    try:
        import psycopg  # noqa: PLC0415 - not everywhere
    except ImportError:
        yield "", "psycopg is not installed."
        return
    try:
        admin = psycopg.connect(f"{POSTGRES}/postgres", autocommit=True, connect_timeout=3)
    except psycopg.OperationalError as error:
        yield "", f"it does not answer ({' '.join(str(error).split())})."
        return
    name = f"unstale_bench_{os.getpid()}_{secrets.token_hex(4)}"
    with admin:
        admin.execute(f'CREATE DATABASE "{name}"')
        try:
            yield f"{POSTGRES}/{name}", ""
        finally:
            admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def _environment(home: str, database: str, server: Server) -> dict[str, str]:
    """What the shop's settings read."""
    path = (ROOT, SHOP, Path(unstale.__file__).parent.parent)
    mine = {"SHOP_HOME": home, "SHOP_DATABASE": database, "SHOP_CACHE": server.url()}
    return {**os.environ, **mine, "PYTHONPATH": os.pathsep.join(map(str, path))}


def _on_database(
    name: str, environment: dict[str, str], server: Server, say: Callable[[str], None], config: Config
) -> Table:
    free = cores()
    web, elsewhere = (free[-1], free[0]) if free else (None, None)
    if elsewhere is not None:
        server.pin(elsewhere)
    for command in (["migrate", "--verbosity", "0"], ["seed", "--users", str(config.users), "--orders", str(ORDERS)]):
        done = subprocess.run(
            [sys.executable, SHOP / "manage.py", *command], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]}: {done.stderr}")
    with ExitStack() as stack:
        with pinned(web):  # what is started here stays there
            views = {view: stack.enter_context(_served(environment, settings)) for view, settings in VIEWS.items()}
        _prove(views, config.users)
        with pinned(elsewhere):
            for one in range(config.load_rounds):
                say(f"django: the shop on {name}, round {one + 1} of {config.load_rounds}")
                for view in views.values():
                    _load(view, config)
    return _table(name, views, server.version, config)


@contextmanager
def _served(environment: dict[str, str], settings: str) -> Iterator[View]:
    """A gunicorn with these settings, while the block runs."""
    port, log = free_port(), Path(environment["SHOP_HOME"], f"{settings}.log")
    command = [sys.executable, "-m", "gunicorn", "--bind", f"{HOST}:{port}", "--workers", "1", "--log-level", "warning"]
    command += ["--no-control-socket", "shop.wsgi"]
    environment = {**environment, "DJANGO_SETTINGS_MODULE": f"bench.django_project.{settings}"}
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            env=environment,
            cwd=environment["SHOP_HOME"],
            stdout=out,
            stderr=out,
            preexec_fn=end_with_parent,  # noqa: PLW1509 - no thread of the bench's runs Python meanwhile
        )
    try:
        yield View(port, _worker(port, process, log))
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _worker(port: int, process: subprocess.Popen[bytes], log: Path) -> int:
    """The number of the process that answers, once it does."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            return int(ask(port, request_for(0))[0][b"x-process"])
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"gunicorn did not start: {log.read_text()}")


def _prove(views: dict[str, View], users: int) -> None:
    """See that all views give each user the same 20 orders; afterwards all lists are in the caches."""
    for user in range(users):
        answers = {name: json.loads(ask(view.port, request_for(user))[1]) for name, view in views.items()}
        expected = answers[UNCACHED]
        if len(expected["results"]) != ORDERS:
            raise RuntimeError(f"{len(expected['results'])} orders, expected {ORDERS}")
        wrong = [name for name, answer in answers.items() if _orders(answer) != _orders(expected)]
        if wrong:
            raise RuntimeError(f"{', '.join(wrong)}: not what is in the database")
    if ask(views[KEPT].port, request_for(0))[0].get(b"x-cache") != b"hit":
        raise RuntimeError(f"{KEPT}: no hit")


def _orders(answer: dict[str, Any]) -> object:
    """Without the links to other pages, which name the port."""
    return answer["count"], answer["results"]


def _load(view: View, config: Config) -> None:
    """One round of one view."""
    before = _cpu_seconds(view.worker)
    command = [sys.executable, "-m", "bench.django_load", "--port", str(view.port), "--users", str(config.users)]
    command += ["--seconds", str(config.load_seconds), "--at-once", str(AT_ONCE)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    if told["errors"]:
        raise RuntimeError("; ".join(told["errors"]))
    took, used = sorted(told["took"]), _cpu_seconds(view.worker) - before
    view.rates.append(len(took) / told["elapsed"])
    view.middles.append(took[len(took) // 2] * 1e3)
    view.slowest.append(took[len(took) * 99 // 100] * 1e3)
    view.cpu.append(used / len(took) * 1e6)


def _cpu_seconds(process: int) -> float:
    """CPU that a process has used, to a hundredth of a second; not a number where the platform does not say it so."""
    stat = Path(f"/proc/{process}/stat")
    if not stat.exists():
        return float("nan")
    used = stat.read_text().rpartition(")")[2].split()[11:13]  # utime, stime: proc_pid_stat(5)
    return sum(map(int, used)) / os.sysconf("SC_CLK_TCK")


def _table(database: str, views: dict[str, View], version: str, config: Config) -> Table:
    rows = tuple(
        (
            name,
            Spread(tuple(view.rates), 0),
            _times(view, views[UNCACHED]),
            _times(view, views[PAGED_LIST]),
            Spread(tuple(view.middles)),
            Spread(tuple(view.slowest)),
            Spread(tuple(view.cpu), 0),
        )
        for name, view in views.items()
    )
    title = (
        f"A list of {ORDERS} orders on {database}, {version}, one worker, {AT_ONCE} requests under way, "
        f"median of {config.load_rounds} rounds of {config.load_seconds:g} s (four fifths of them)"
    )
    columns = ("view", "requests a second", "/ no cache", "/ cache_page on list", "p50 ms", "p99 ms", "worker CPU us")
    return Table(title, columns, rows)


def _times(view: View, other: View) -> float:
    return ratio(tuple(view.rates), tuple(other.rates)).middle
