"""The site's processes: they end with the lab, however it ends, and what goes wrong with them is said."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil
import pytest
from children.launch import Child
from servers import Server
from site_client import PLAN, ask, eventually, place

from unstale.tools import leash
from unstale.tools.lab.errors import LabError
from unstale.tools.lab.plan import VARIANTS
from unstale.tools.lab.workers import serving, shop_directory

STUBBORN = r"""
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.fork()
os.write(1, b"%d\n" % os.getpid())  # in one piece
time.sleep(600)
"""
"""Two processes that do not care for SIGTERM."""
IMPATIENT = f"""
import sys
from unstale.tools import leash
leash.TERM_SECONDS = 0.1
leash.main([sys.executable, "-c", {STUBBORN!r}])
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for the sites of this module, and for their tasks."""
    with Server("valkey", tmp_path_factory.mktemp("cache")) as server:
        yield server


def living(pids: Iterable[int]) -> list[int]:
    """Those of some processes that run."""
    found = []
    for pid in pids:
        try:
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
        except psutil.NoSuchProcess:
            continue
    return found


@pytest.fixture
def to_end() -> Iterator[list[int]]:
    """Processes that a test has made, and that are not to outlive it where it fails."""
    pids: list[int] = []
    yield pids
    for pid in living(pids):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_all_ends_with_the_lab(number: signal.Signals, cache: Server, tmp_path: Path, to_end: list[int]) -> None:
    """Killed, or interrupted by Ctrl-C: neither gunicorn nor Celery nor a worker of theirs stays."""
    with Child("lab_site.py", "async-deletes", str(tmp_path), cache.url, cache.url) as child:
        to_end += child.hear()
        at_first = living(to_end)
        os.kill(child.process.pid, number)
        assert eventually(lambda: not living(to_end))
    assert len(at_first) >= 2 + 2 * (1 + PLAN.workers)  # two leashes, gunicorn and Celery with their workers


def test_what_is_over_has_ended(cache: Server, tmp_path: Path) -> None:
    """After the block no process is left, and nobody listens."""
    with serving(VARIANTS["unstale"], PLAN, place(tmp_path, cache.url)) as site:
        pids = site.pids
        assert living(pids) == pids
    assert living(pids) == []
    with pytest.raises(ConnectionRefusedError):
        ask(site.base_url, "/about/")


def test_a_site_that_died_is_told_of(cache: Server, tmp_path: Path) -> None:
    """With the name of what has ended, and the end of its log."""
    with serving(VARIANTS["baseline"], PLAN, place(tmp_path, cache.url)) as site:
        site.check()
        [child] = site.children
        with child.log.open("a") as log:
            log.write("these were its last words\n")
        [gunicorn] = psutil.Process(child.process.pid).children()
        gunicorn.kill()
        child.process.wait(20)
        with pytest.raises(LabError, match=r"(?s)gunicorn has ended.*these were its last words"):
            site.check()


def test_a_site_that_cannot_be_prepared_says_why(cache: Server, tmp_path: Path) -> None:
    """A database that cannot be opened: the end of the log is in the message."""
    nowhere = place(tmp_path, cache.url, database_url=f"sqlite://{tmp_path}/no/such/folder/shop.db")
    with (
        pytest.raises(LabError, match="unable to open database file"),
        serving(VARIANTS["unstale"], PLAN, nowhere),
    ):
        pytest.fail("it was served")


def test_the_shop_is_there() -> None:
    """What is served has the shop's models."""
    assert (shop_directory() / "shop" / "models.py").is_file()


def test_a_leash_has_the_status_of_its_command() -> None:
    """A command that ends by itself. The leash is run as the lab runs it: isolated, without what is installed."""
    command = [sys.executable, "-I", "-S", leash.__file__, sys.executable, "-c", "raise SystemExit(7)"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.wait(20) == 7


def test_a_leash_kills_what_will_not_end(to_end: list[int]) -> None:
    """Command and child ignore SIGTERM; when the leash is let go, both are killed."""
    with subprocess.Popen([sys.executable, "-c", IMPATIENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        to_end += [int(process.stdout.readline()) for _ in range(2)]
        assert living(to_end) == to_end
        assert process.stdin is not None
        process.stdin.close()
        process.wait(20)
        assert eventually(lambda: not living(to_end))
