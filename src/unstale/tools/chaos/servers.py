"""One server process of the run's own: started on a port that stays its own, killed, frozen and started again.

What several servers are to each other is in `layouts`. Each server is on a leash (`tools.leash`): it ends with the
run, however that ends.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import psutil
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from unstale.tools import leash
from unstale.tools.chaos.errors import ChaosError
from unstale.tools.logs import tail

HOST: Final = "127.0.0.1"
LONGEST_SECONDS: Final = 60.0
"""How long something that must come about may take, on a machine that is busy on purpose."""
ANSWER_SECONDS: Final = 10.0
PORTS: Final = range(10_000, 30_000)
"""Below those that outgoing connections take: a server that was killed must find its port free, and a client that
connects to it meanwhile must not meet itself (a connection may be made from a port to that same port)."""
DUMP: Final = "dump.rdb"


class Server:
    """A server on 127.0.0.1. Nothing is kept on disk but by BGSAVE.

    Attributes:
        port: for its whole life.
        address: host and port.
        url: with database 0.
        directory: its own.
    """

    def __init__(self, program: str, directory: Path, *options: str, port: int | None = None) -> None:
        """Start nothing yet.

        Args:
            program: of the server.
            directory: for its log and its snapshots.
            options: as on its command line.
            port: None: a free one.
        """
        self.port = port or free_port()
        self.address = (HOST, self.port)
        self.url = f"redis://{HOST}:{self.port}/0"
        self.directory = directory
        self._command = [program, "--port", str(self.port), "--bind", HOST, "--dir", str(directory), "--save", ""]
        self._command += ["--appendonly", "no", "--dbfilename", DUMP, "--repl-diskless-sync-delay", "0", *options]
        self._leash: subprocess.Popen[bytes] | None = None
        self._pid = 0
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def is_running(self) -> bool:
        """Whether it has been started, and not ended since; it may be frozen."""
        return self._leash is not None and self._leash.poll() is None

    @property
    def pid(self) -> int:
        """Its process.

        Raises:
            ChaosError: it does not run.
        """
        if not self.is_running:
            raise ChaosError(f"The server on port {self.port} does not run.{self._tail()}")
        return self._pid

    def client(self) -> redis.Redis:
        """A new client, which tries everything once. Close it, or use it as a context manager."""
        return client_of(self.url)

    def ask(self, *command: object) -> Any:
        """Its answer to one command."""
        with self.client() as client:
            return client.execute_command(*command)

    def info(self, section: str) -> dict[str, Any]:
        """What INFO tells."""
        with self.client() as client:
            told: dict[str, Any] = client.info(section)
            return told

    def start(self, *more: str, keeping: bool = False) -> None:
        """Start it, and wait until it answers. Nothing happens if it runs.

        Args:
            more: options, this time.
            keeping: with what its last snapshot holds; else with nothing.

        Raises:
            ChaosError: it has ended, or does not answer; the message has the end of its log.
        """
        if self.is_running:
            return
        if not keeping:
            (self.directory / DUMP).unlink(missing_ok=True)
        with (self.directory / "server.log").open("ab") as log:
            self._leash = subprocess.Popen(
                [sys.executable, "-I", "-S", leash.__file__, *self._command, *more],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the run, which then ends the server
            )
        until(self._answers, f"a server on port {self.port} that answers")

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._leash is None:
            return
        if self.is_running and self._pid:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
        self._leash.communicate(timeout=LONGEST_SECONDS)  # its standard input ends, and with that the leash
        self._leash, self._pid = None, 0

    def freeze(self) -> None:
        """Let it accept connections (the kernel does), but answer nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on. Nothing happens if it is not frozen, or does not run."""
        if self.is_running:
            os.kill(self.pid, signal.SIGCONT)

    def save(self) -> None:
        """Have it write a snapshot, and wait until that is on disk."""
        before = self.info("persistence")["rdb_saves"]
        self.ask("BGSAVE", "SCHEDULE")
        until(lambda: self._has_saved_since(before), "a snapshot")

    def _has_saved_since(self, before: int) -> bool:
        told = self.info("persistence")  # a snapshot is counted when it begins
        is_whole = not told["rdb_bgsave_in_progress"] and told["rdb_last_bgsave_status"] == "ok"
        return bool(told["rdb_saves"] > before and is_whole)

    def _answers(self) -> bool:
        if not self.is_running:
            raise ChaosError(f"The server on port {self.port} did not start.{self._tail()}")
        with self.client() as client:
            about = client.info()
        if about.get("loading") or psutil.Process(about["process_id"]).ppid() != self._own_leash:
            return False  # another server has the port, and ours is about to end
        self._pid = about["process_id"]
        return True

    @property
    def _own_leash(self) -> int | None:
        return None if self._leash is None else self._leash.pid

    def _tail(self) -> str:
        end = tail(self.directory / "server.log")
        return f" Its log ends with:\n{end}" if end else ""


def client_of(url: str) -> redis.Redis:
    """A new client of a server, which tries everything once, and answers with bytes."""
    limits = {"socket_timeout": ANSWER_SECONDS, "socket_connect_timeout": ANSWER_SECONDS}
    return redis.Redis.from_url(url, protocol=2, retry=Retry(NoBackoff(), 0), **limits)


def free_port() -> int:
    """A port that is free now."""
    while True:
        port = random.choice(PORTS)
        if _is_free(port):
            return port


def until(condition: Callable[[], Any], what: str) -> None:
    """Wait for something that must come about. A server that cannot be asked has not got there yet.

    Raises:
        ChaosError: it did not.
    """
    deadline = time.monotonic() + LONGEST_SECONDS
    while True:
        with suppress(redis.RedisError, psutil.NoSuchProcess):
            if condition():
                return
        if time.monotonic() > deadline:
            raise ChaosError(f"There is not, within {LONGEST_SECONDS:.0f} seconds: {what}.")
        time.sleep(0.01)


def _is_free(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((HOST, port))
        except OSError:
            return False
        return True
