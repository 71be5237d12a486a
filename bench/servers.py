"""Servers of the bench's own, on a free port of the loopback, always ended; and what they say about their work."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import redis

from unstale.stores.embedded import server_binary

if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS = ("redis-server", "embedded")
START_SECONDS = 10.0


class Server:
    """A running server.

    Attributes:
        port: where it listens on 127.0.0.1.
        version: what it calls itself.
    """

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        """Look at a server that answers."""
        self._process = process
        self.port = port
        self.client = redis.Redis(port=port, socket_timeout=600)
        """For the bench itself: filling, emptying, asking for figures."""
        info = self.client.info("server")
        valkey = info.get("valkey_version")
        self.version = f"Valkey {valkey}" if valkey else f"Redis {info['redis_version']}"

    def url(self, database: int = 0) -> str:
        """Its URL."""
        return f"redis://127.0.0.1:{self.port}/{database}"

    def pin(self, core: int) -> None:
        """Keep its main thread, which runs all commands, on one core."""
        os.sched_setaffinity(self._process.pid, {core})

    def engine_seconds(self) -> float:
        """CPU that the main thread has used so far: where the server cannot tell it apart, the whole process."""
        cpu = self.client.info("cpu")
        part = "_main_thread" if "used_cpu_user_main_thread" in cpu else ""
        return float(cpu[f"used_cpu_user{part}"]) + float(cpu[f"used_cpu_sys{part}"])

    def counted(self) -> Counted:
        """What it has done so far, this question not included."""
        info = self.client.info("everything")
        commands = {
            name.removeprefix("cmdstat_"): stats["calls"]
            for name, stats in info.items()
            if name.startswith("cmdstat_") and name != "cmdstat_info"
        }
        return Counted(info["total_reads_processed"], commands)


@dataclass(frozen=True, slots=True)
class Counted:
    """A server's counts.

    Attributes:
        trips: how often it read something from a connection: once for each round trip of less than 16 KiB.
        commands: how often it ran each command, INFO left out.
    """

    trips: int
    commands: dict[str, int]

    def since(self, before: Counted) -> Counted:
        """What was done between two counts; the second count's own trip is taken out."""
        commands = {name: calls - before.commands.get(name, 0) for name, calls in self.commands.items()}
        return Counted(self.trips - before.trips - 1, {name: calls for name, calls in commands.items() if calls})


def best_kind() -> str:
    """redis-server where one is installed, else the embedded Valkey."""
    return "redis-server" if shutil.which("redis-server") else "embedded"


@contextmanager
def running(kind: str) -> Iterator[Server]:
    """A server of a kind, while the block runs. It keeps nothing on disk."""
    binary = "redis-server" if kind == "redis-server" else str(server_binary())
    with tempfile.TemporaryDirectory(prefix="unstale-bench-") as directory:
        port = free_port()
        command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--dir", directory]
        command += ["--save", "", "--appendonly", "no"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, preexec_fn=end_with_parent)  # noqa: PLW1509
        try:
            _wait_for(port, process)
            server = Server(process, port)
            yield server
            server.client.close()
        finally:
            process.kill()  # it has nothing to save
            process.wait()


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def end_with_parent() -> None:
    """Have the kernel end the server even if the bench is killed (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as sock:
                sock.sendall(b"PING\r\n")
                if sock.recv(64).startswith(b"+PONG"):
                    return
        except OSError:
            time.sleep(0.01)
    raise RuntimeError(f"The server did not start on port {port}: run it by hand to see why.")


def cores() -> list[int]:
    """The cores that this process may use, where the platform can pin; else none."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


@contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """Keep this thread on a core while the block runs; None leaves it free."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
