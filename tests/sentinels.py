"""A primary, a replica and three sentinels for the tests, on free ports of 127.0.0.1."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any, Self

import redis
from servers import Server, binary_of, free_port

SERVICE = "shop"
PASSWORD = "of the sentinels"
LONGEST_SECONDS = 30.0


class Sentinel:
    """One sentinel process."""

    def __init__(self, directory: Path, primary_port: int, *settings: str) -> None:
        """Start it."""
        self.port = free_port()
        directory.mkdir(parents=True)
        lines = [f"port {self.port}", "bind 127.0.0.1", f"dir {directory}"]
        lines += [f"sentinel monitor {SERVICE} 127.0.0.1 {primary_port} 2"]
        lines += [f"sentinel down-after-milliseconds {SERVICE} 5000", *settings]
        (directory / "sentinel.conf").write_text("\n".join(lines) + "\n")
        with (directory / "sentinel.log").open("wb") as log:
            command = [str(binary_of("redis")), str(directory / "sentinel.conf"), "--sentinel"]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def ask(self, *command: str, password: str | None = None) -> Any:
        """Its reply to a command."""
        with redis.Redis(port=self.port, decode_responses=True, protocol=2, password=password) as client:
            return client.execute_command(*command)

    def kill(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()


class Deployment:
    """All of them. Use as a context manager."""

    def __init__(self, directory: Path) -> None:
        """Start nothing yet."""
        self.primary = Server("redis", directory / "primary", "--repl-diskless-sync-delay", "0")
        follow = ("--replicaof", "127.0.0.1", str(self.primary.port))
        self.replica = Server("redis", directory / "replica", "--repl-diskless-sync-delay", "0", *follow)
        self._directory = directory
        self.sentinels: list[Sentinel] = []

    @property
    def url(self) -> str:
        return self.url_of(*(sentinel.port for sentinel in self.sentinels))

    def url_of(self, *ports: int, service: str = SERVICE, rest: str = "") -> str:
        return f"redis+sentinel://{','.join(f'127.0.0.1:{port}' for port in ports)}/{service}{rest}"

    def addresses(self) -> set[int]:
        """The ports that the sentinels name."""
        return {int(one.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)[1]) for one in self.sentinels}

    def fail_over(self) -> None:
        """Have the sentinels make the replica the primary, and wait until all of them say so."""
        self.sentinels[0].ask("SENTINEL", "FAILOVER", SERVICE)
        until(lambda: self.addresses() == {self.replica.port})

    def __enter__(self) -> Self:
        self.primary.start()
        self.replica.start()
        with self.replica.client as client:
            until(lambda: client.info("replication")["master_link_status"] == "up")
        self.sentinels = [Sentinel(self._directory / f"s{n}", self.primary.port) for n in range(3)]
        until(lambda: all(self._knows_all(sentinel) for sentinel in self.sentinels))
        return self

    @staticmethod
    def _knows_all(sentinel: Sentinel) -> bool:
        state = sentinel.ask("SENTINEL", "MASTER", SERVICE)
        known = dict(zip(state[::2], state[1::2], strict=True)) if isinstance(state, list) else state
        return (int(known["num-other-sentinels"]), int(known["num-slaves"])) == (2, 1)

    def __exit__(self, *exception: object) -> None:
        for sentinel in self.sentinels:
            sentinel.kill()
        self.replica.__exit__()
        self.primary.__exit__()


def until(condition: Any) -> None:
    """Wait for something that must come about."""
    deadline = time.monotonic() + LONGEST_SECONDS
    while True:
        try:
            if condition():
                return
        except redis.RedisError:
            pass
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)
