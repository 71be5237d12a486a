"""The site's processes: gunicorn, and Celery where a variant has tasks. Started, seen to answer, and always ended.

All that is known of the site here is what its processes are told. Each is on a leash (see `leash`): it ends with this
process, however that ends.
"""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import psutil

from unstale.tools import leash
from unstale.tools.lab.errors import LabError
from unstale.tools.lab.place import Place
from unstale.tools.lab.plan import Plan, Variant
from unstale.tools.lab.site.environment import variables
from unstale.tools.logs import tail

HOST: Final = "127.0.0.1"
PAGE_SIZE: Final = 20
START_SECONDS: Final = 60.0
"""How long a process may take until it answers, on a machine that is busy."""
END_SECONDS: Final = 2 * leash.TERM_SECONDS
KEEP_ALIVE_SECONDS: Final = 75
BACKLOG: Final = 2048
"""Of the listening socket; gunicorn's own default."""


@dataclass(frozen=True, slots=True)
class Child:
    """A process on a leash."""

    name: str
    """As a person would say it."""
    process: subprocess.Popen[bytes]
    """The leash."""
    log: Path

    def check(self) -> None:
        """Raise LabError if it has ended."""
        status = self.process.poll()
        if status is not None:
            raise LabError(f"{self.name} has ended, with status {status}. Its log ends with:\n{self.tail()}")

    def tail(self) -> str:
        """The end of its log."""
        return tail(self.log) or "(nothing)"


@dataclass(frozen=True, slots=True)
class Site:
    """The site, while it runs."""

    base_url: str
    children: list[Child] = field(default_factory=list)

    @property
    def pids(self) -> list[int]:
        """All its processes as they are now: the leashes, gunicorn's and Celery's, and their workers."""
        found: list[int] = []
        for child in self.children:
            with suppress(psutil.NoSuchProcess):
                whole = psutil.Process(child.process.pid)
                found += [whole.pid, *(one.pid for one in whole.children(recursive=True))]
        return found

    def check(self) -> None:
        """See that all of it runs.

        Raises:
            LabError: a process has ended; the message has the end of its log.
        """
        for child in self.children:
            child.check()


@contextmanager
def serving(variant: Variant, plan: Plan, place: Place) -> Iterator[Site]:
    """The site of one variant: tables and rows made, the configuration stored, answering.

    Args:
        variant: how it caches.
        plan: its users, pages, processes and threads, and the ttl.
        place: its servers, and the folder for its logs and its database.

    Yields:
        The site. All its processes have ended afterwards.

    Raises:
        LabError: it did not start; the message has the end of a log.
    """
    environment = _environment(variant, plan, place)
    with ExitStack() as stack:
        prepare = [sys.executable, "-m", "unstale.tools.lab.site.prepare"]
        with _started(
            "The preparation of the site", prepare, environment, place.directory / "prepare.log"
        ) as preparing:
            _wait_for(preparing)
        listening = stack.enter_context(socket.create_server((HOST, 0), backlog=BACKLOG))
        port = listening.getsockname()[1]
        site = Site(f"http://{HOST}:{port}")
        command, log = _gunicorn(plan, listening.fileno()), place.directory / "gunicorn.log"
        site.children.append(
            stack.enter_context(_started("gunicorn", command, environment, log, pass_fds=(listening.fileno(),)))
        )
        listening.close()  # gunicorn has it; where gunicorn ends, so does the port
        if variant.caching == "async-deletes":
            log = place.directory / "celery.log"
            site.children.append(stack.enter_context(_started("Celery", _celery(plan), environment, log)))
            _until(site, lambda: _celery_answers(place))
        _until(site, lambda: _answers(site))
        yield site


def shop_directory() -> Path:
    """Where the shop is: in the wheel, or in a checkout.

    Raises:
        LabError: in neither.
    """
    inside = Path(__file__).parent
    for found in (inside / "shop", inside.parents[3] / "examples" / "shop"):
        if (found / "manage.py").is_file():
            return found
    raise LabError("The shop, which the lab serves, is not there. Install unstale from its wheel, or use a checkout.")


def _environment(variant: Variant, plan: Plan, place: Place) -> Mapping[str, str]:
    given = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    path = [str(shop_directory()), *(str(Path(one).absolute()) for one in given)]  # they run in another folder
    told = variables(variant, plan, place, PAGE_SIZE)
    return {**os.environ, **told, "PYTHONPATH": os.pathsep.join(path), "GUNICORN_CMD_ARGS": ""}


def _gunicorn(plan: Plan, listening: int) -> list[str]:
    return [
        sys.executable, "-m", "gunicorn", "--bind", f"fd://{listening}", "--preload", "--worker-class", "gthread",
        "--workers", str(plan.workers), "--threads", str(plan.threads), "--keep-alive", str(KEEP_ALIVE_SECONDS),
        "--graceful-timeout", "1", "--log-level", "warning", "--no-control-socket", "unstale.tools.lab.site.wsgi",
    ]  # fmt: skip


def _celery(plan: Plan) -> list[str]:
    return [
        sys.executable, "-m", "celery", "-A", "unstale.tools.lab.site.tasks", "worker", "--loglevel", "WARNING",
        "--concurrency", str(plan.workers), "--without-gossip", "--without-mingle", "--without-heartbeat",
    ]  # fmt: skip


@contextmanager
def _started(
    name: str, command: list[str], environment: Mapping[str, str], log: Path, *, pass_fds: tuple[int, ...] = ()
) -> Iterator[Child]:
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", leash.__file__, *command],
            env=environment,
            cwd=log.parent,
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=out,
            pass_fds=pass_fds,
            start_new_session=True,
        )
    try:
        yield Child(name, process, log)
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let go of the leash, and wait until it has ended what is on it."""
    assert process.stdin is not None  # noqa: S101 - for mypy: it is a pipe
    process.stdin.close()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_for(child: Child) -> None:
    """Wait for a process that is to end by itself."""
    try:
        status = child.process.wait(START_SECONDS)
    except subprocess.TimeoutExpired:
        raise LabError(f"{child.name} takes more than {START_SECONDS:.0f} s. Its log: {child.tail()}") from None
    if status:
        raise LabError(f"{child.name} failed. Its log ends with:\n{child.tail()}")


def _until(site: Site, answers: Callable[[], bool]) -> None:
    """Wait until something answers."""
    deadline = time.monotonic() + START_SECONDS
    while not answers():
        site.check()
        if time.monotonic() > deadline:
            logs = "\n".join(f"{child.name}: {child.tail()}" for child in site.children)
            raise LabError(f"The site does not answer within {START_SECONDS:.0f} s. The logs end with:\n{logs}")
        time.sleep(0.02)


def _answers(site: Site) -> bool:
    connection = http.client.HTTPConnection(urlsplit(site.base_url).netloc, timeout=5)
    try:
        connection.request("GET", "/about/")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _celery_answers(place: Place) -> bool:
    from celery import Celery  # noqa: PLC0415 - 0.2 s to import, for one variant

    with Celery(broker=place.broker_url, set_as_current=False) as app:
        return bool(app.control.ping(timeout=0.5))
