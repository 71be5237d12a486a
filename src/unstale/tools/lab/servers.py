"""The servers of a run: the one under test, started or the user's own, and the extra ones beside it.

Whether a plan can run at all is `preconditions`; what is in the server is `keyspace`; what it does is `sampling`.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

import redis

from unstale.tools.lab.errors import LabError
from unstale.tools.lab.node import Node, asking, connect
from unstale.tools.lab.plan import Plan, Variant
from unstale.tools.programs import name_of, program_of

HOST: Final = "127.0.0.1"
START_SECONDS: Final = 30.0
"""How long a server may take to answer, on a machine that is busy."""
END_SECONDS: Final = 10.0


@contextmanager
def serving_cache(plan: Plan, variant: Variant, directory: Path) -> Iterator[Node]:
    """The server under test, as the variant wants it: one of its own, or the user's, which is used as it is.

    It listens on TCP, as servers in production do. What the lab starts is empty, keeps nothing on disk, and ends with
    this context, also if this process is killed. Of the user's own, see `keyspace.leave_as_found`.

    Args:
        plan: names the server.
        variant: says how many I/O threads and cores it gets.
        directory: for its log.

    Raises:
        LabError: it does not start, or cannot be reached.
        ConfigurationError: its program is not installed.
    """
    if is_users_own(plan):
        node = Node(plan.server, "")
        with asking(node), connect(plan.server) as client:
            named = Node(plan.server, name_of(client.info("server")))
        yield named
        return
    core = None if variant.all_cores else last_core()
    io_threads = min(variant.io_threads, cores())  # more than cores wait for each other by turning in circles
    options = ["--io-threads", str(io_threads)]
    if io_threads > 1:
        options += ["--io-threads-do-reads", "yes"]  # Redis before 8 only writes with them otherwise
    with _started(program_of(plan.server), directory, "cache", options, core, variant.core_fraction) as started:
        yield started


@contextmanager
def extra_node(plan: Plan, directory: Path, role: str) -> Iterator[Node]:
    """A server beside the one under test, always the lab's own: on no core in particular, with nothing in it.

    Args:
        plan: names the program; where the server under test is the user's own, it is the embedded Valkey.
        directory: for its log.
        role: what it is for, such as "config" or "broker": the log's name.

    Raises:
        LabError: it does not start.
        ConfigurationError: its program is not installed.
    """
    with _started(extra_program(plan), directory, role, [], None, None) as started:
        yield started


def is_users_own(plan: Plan) -> bool:
    """Whether the server under test is one that the user owns."""
    return "://" in plan.server


def extra_program(plan: Plan) -> str:
    """The program of the servers beside the one under test. Raises as `program_of` does."""
    return program_of("embedded" if is_users_own(plan) else plan.server)


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def last_core() -> int | None:
    """The core that a server under test is pinned to; None: this system pins no processes (macOS)."""
    return max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


@contextmanager
def _started(
    program: str, directory: Path, role: str, options: list[str], core: int | None, fraction: float | None
) -> Iterator[Node]:
    """A server with a warden, which ends it when its standard input is closed: here, or by the kernel."""
    port = _free_port()
    log = directory / f"{role}.log"
    command = [program, "--port", str(port), "--bind", HOST, "--dir", str(directory), "--daemonize", "no"]
    command += ["--save", "", "--appendonly", "no", *options]
    words = ["-" if word is None else str(word) for word in (core, fraction)]
    with log.open("ab") as out:
        warden = subprocess.Popen(
            [sys.executable, "-P", "-m", "unstale.tools.lab.warden", *words, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=out,
            start_new_session=True,  # Ctrl-C is for the lab, which then ends the server
        )
    try:
        node = Node(f"redis://{HOST}:{port}/0", program, core=core, core_fraction=fraction, log=log)
        yield _answering(node, warden)
    finally:
        _end(warden)


def _answering(node: Node, warden: subprocess.Popen[bytes]) -> Node:
    """The node, once the server answers, and is the one that was started."""
    pid = int(_stdout(warden).readline() or 0)
    deadline = time.monotonic() + START_SECONDS
    with connect(node.url, 1.0) as client:
        while warden.poll() is None and time.monotonic() < deadline:
            with suppress(redis.ConnectionError, redis.TimeoutError):
                about = client.info("server")
                if about["process_id"] == pid:  # else another server has taken the port, and ours is about to end
                    return Node(node.url, name_of(about), pid, node.core, node.core_fraction, node.log)
            time.sleep(0.01)
    raise LabError(f"{node.name} did not start.{node.tail()}")


def _end(warden: subprocess.Popen[bytes]) -> None:
    if warden.stdin is not None:
        warden.stdin.close()
    _stdout(warden).close()
    try:
        warden.wait(END_SECONDS)
    except subprocess.TimeoutExpired as error:
        warden.kill()
        warden.wait()
        raise LabError(
            f"The warden of a server did not end within {END_SECONDS:.0f} seconds; it was killed."
        ) from error


def _stdout(warden: subprocess.Popen[bytes]) -> IO[bytes]:
    if warden.stdout is None:  # only for the type checker: it was started with a pipe
        raise LabError("The warden has no output.")
    return warden.stdout


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        return int(sock.getsockname()[1])
