"""Real servers for the tests: started on free ports or unix sockets, always ended, never the machine's own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Self

import pytest
import redis

from unstale.stores.embedded import server_binary

SERVERS = ("valkey", "redis")
STORES = ("memory", *SERVERS)


def require(kind: str) -> None:
    """Skip where there is no such server; in CI that is a failure."""
    if kind == "redis" and binary_of(kind) is None:
        if os.environ.get("CI"):
            pytest.fail("redis-server is not installed, which CI needs")
        pytest.skip("redis-server is not installed")


def free_port() -> int:
    """A TCP port that is free now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def binary_of(kind: str) -> str | None:
    """The server's program: "valkey" (the embedded one) or "redis" (an installed redis-server, else None)."""
    return str(server_binary()) if kind == "valkey" else shutil.which("redis-server")


def end_with_its_own(process: subprocess.Popen[bytes], seconds: float = 20) -> None:
    """End a process that has a session of its own; if it does not end in time, it and all its children are killed."""
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class Server:
    """A server process of a test's own, on 127.0.0.1. Use as a context manager."""

    def __init__(self, kind: str, directory: Path, *options: str, port: int | None = None) -> None:
        self.kind = kind
        self.directory = directory
        self.options = options
        self.port = port or free_port()
        self.process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def client(self) -> redis.Redis:
        """A new redis-py client, to look behind unstale's back. Close it, or use as a context manager."""
        return redis.Redis(port=self.port, socket_timeout=5)

    def start(self) -> Server:
        binary = binary_of(self.kind)
        assert binary is not None
        command = [binary, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.directory)]
        command += ["--save", "", "--appendonly", "no", *self.options]
        with (self.directory / "server.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        self.wait_until_it_answers()
        return self

    def wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + 10
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as sock:
                    sock.sendall(b"PING\r\n")
                    if sock.recv(64).startswith((b"+PONG", b"-NOAUTH")):
                        return
            except OSError:
                pass
            assert time.monotonic() < deadline, (self.directory / "server.log").read_text()
            time.sleep(0.01)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def freeze(self) -> None:
        """Let it accept connections (the kernel does) but answer nothing."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self.process is not None:
            self.thaw()
        self.kill()
