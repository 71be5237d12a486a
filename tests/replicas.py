"""A primary and a replica of it, real processes, and caches of both kinds with one face, for tests of failovers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from servers import Server, free_port

from unstale import AsyncCache, Cache


class Pair:
    """Two servers of one kind, the second of which follows the first.

    Attributes:
        url: a fixed address, behind which the primary changes, as a provider's endpoint.
    """

    def __init__(self, kind: str, directory: Path, *options: str) -> None:
        given = ("--repl-diskless-sync-delay", "0", *options, "--unixsocket")
        self.primary = Server(kind, directory / "primary", *given, str(directory / "p.sock"))
        self.replica = Server(kind, directory / "replica", *given, str(directory / "r.sock"))
        self._address = directory / "a.sock"
        self._address.symlink_to("p.sock")
        self.url = f"unix://{self._address}"

    def __enter__(self) -> Self:
        self.primary.start()
        self.replica.start()
        self.follow()
        return self

    def __exit__(self, *exception: object) -> None:
        self.primary.__exit__()
        self.replica.__exit__()

    def follow(self) -> None:
        """Make the second follow the first, and wait until it has caught up."""
        with self.replica.client as client:
            client.replicaof("127.0.0.1", self.primary.port)
            deadline = time.monotonic() + 20
            while client.info("replication").get("master_link_status") != "up":
                assert time.monotonic() < deadline
                time.sleep(0.02)

    def caught_up(self) -> None:
        """Wait until the replica has everything."""
        with self.primary.client as client:
            client.set("mark", 1)
            assert client.wait(1, 10_000) == 1

    def cut_off(self) -> None:
        """Let the replica hear nothing more of its primary: it lags from now on."""
        with self.replica.client as client:
            client.replicaof("127.0.0.1", free_port())

    def promote(self) -> None:
        """Make the replica a primary."""
        with self.replica.client as client:
            client.replicaof("NO", "ONE")

    def turn_address(self) -> None:
        """Who connects to `url` from now on reaches the second server."""
        self._address.unlink()
        self._address.symlink_to("r.sock")

    def fail_over(self) -> None:
        """The primary dies, and its replica is promoted, as far as it came."""
        self.promote()
        self.turn_address()
        self.primary.kill()


class OnALoop:
    """An AsyncCache with a Cache's face: each call is run to its end on one event loop."""

    def __init__(self, cache: AsyncCache) -> None:
        self.cache = cache
        self.runner = asyncio.Runner()

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self.cache, name)

        def call(*arguments: Any, **named: Any) -> Any:
            async def run() -> Any:
                return await verb(*arguments, **named)

            return self.runner.run(run())

        return call

    def get_or_set(self, key: str, loader: Any, **named: Any) -> Any:
        """With a plain function for a loader."""

        async def load() -> Any:
            return loader()

        async def run() -> Any:
            return await self.cache.get_or_set(key, load, **named)

        return self.runner.run(run())

    def close(self) -> None:
        """Close the cache, then its loop."""
        self.runner.run(self.cache.close())
        self.runner.close()


KINDS = ("sync", "async")


@contextmanager
def opened(kind: str, url: str, **options: Any) -> Iterator[Any]:
    """A cache of either kind, "sync" or "async", for a test's while."""
    given: Any = {"namespace": "test", "timeout": 2.0, **options}
    cache: Any = Cache.from_url(url, **given) if kind == "sync" else OnALoop(AsyncCache.from_url(url, **given))
    try:
        yield cache
    finally:
        cache.close()
