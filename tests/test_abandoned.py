"""A lease whose holder was cut off does not keep other readers of its key waiting: the next claim gives it back."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain
from typing import Any

import pytest
from clusters import Cluster
from servers import Server

from unstale import AsyncCache, Cache
from unstale.errors import StoreTimeoutError
from unstale.stores.abandoned import AT_ONCE, MOST, Abandoned

CLAIM = b"\r\nNX\r\n$3\r\nGET\r\n$2\r\nPX\r\n"
RELEASE = b"EVALSHA"


class Deaf:
    """Between a client and a server: some of the server's answers never arrive, though what was asked was done.

    Nor does anything that follows on their connections.

    Attributes:
        swallows: so many answers, to requests that have `what` in them.
        swallowed: how many have been.
        has_swallowed: set by each.
    """

    def __init__(self, port: int, what: bytes, *, swallows: int = 1, cuts: bool = False) -> None:
        self.swallows, self.swallowed = swallows, 0
        self.has_swallowed = threading.Event()
        self._target, self._what, self._cuts = port, what, cuts
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        is_silent = False
        with client, socket.create_connection(("127.0.0.1", self._target)) as server:
            try:
                while data := client.recv(65536):
                    server.sendall(data)
                    answer = server.recv(1 << 20)
                    if self._what in data and self.swallowed < self.swallows:
                        self.swallowed += 1
                        self.has_swallowed.set()
                        if self._cuts:
                            return
                        is_silent = True
                    if not is_silent:
                        client.sendall(answer)
            except OSError:
                return

    def close(self) -> None:
        self._listener.close()


@contextmanager
def deaf(server: Server, what: bytes = CLAIM, **options: Any) -> Iterator[Deaf]:
    """One before a server."""
    proxy = Deaf(server.port, what, **options)
    try:
        yield proxy
    finally:
        proxy.close()


def leases(server: Server) -> int:
    """How many stand at the server."""
    return sum(b":l:" in name for name in server.client.keys("*"))


TIMES = {"timeout": 1.0, "read_timeout": 0.5, "lease": 60.0}
"""A lease that nobody waits for in a test: who waits for one fails it."""


@pytest.mark.parametrize("cuts", [False, True], ids=["late", "cut"])
def test_a_lost_answer_to_a_claim(server: Server, cuts: bool) -> None:
    """The reader that lost it loads; the next stores, and other processes' readers are served."""
    with (
        deaf(server, cuts=cuts) as proxy,
        Cache.from_url(f"redis://127.0.0.1:{proxy.port}", namespace="test", **TIMES) as cache,
        Cache.from_url(server.url, namespace="test", **TIMES) as other,
    ):
        assert cache.get_or_set("k", lambda: 1, tags=["t"]) == 1
        assert proxy.swallowed == 1
        assert cache.get_or_set("k", lambda: 2, tags=["t"]) == (1 if cuts else 2)
        assert other.get("k", tags=["t"]) == (1 if cuts else 2)
        assert leases(server) == 0


def test_another_key_of_the_process_gives_it_back(server: Server) -> None:
    """Who waits in another process need not wait for a reader of the same key."""
    with (
        deaf(server) as proxy,
        Cache.from_url(f"redis://127.0.0.1:{proxy.port}", namespace="test", **TIMES) as cache,
        Cache.from_url(server.url, namespace="test", **TIMES) as other,
        ThreadPoolExecutor() as threads,
    ):
        cache.get_or_set("k", lambda: 1, tags=["t"])
        assert leases(server) == 1
        waiting = threads.submit(other.get_or_set, "k", lambda: 2, tags=["t"])
        cache.get_or_set("else", lambda: 1)
        assert waiting.result(30) == 2
        assert leases(server) == 0


def test_a_lost_answer_to_a_commit_or_a_release(server: Server) -> None:
    """Whether it arrived or not, nobody waits."""

    def fails() -> int:
        raise LookupError

    with (
        deaf(server, RELEASE) as proxy,
        Cache.from_url(f"redis://127.0.0.1:{proxy.port}", namespace="test", **TIMES) as cache,
    ):
        assert cache.get_or_set("k", lambda: 1) == 1
        assert proxy.swallowed == 1
        proxy.swallows = 2
        with pytest.raises(LookupError):
            cache.get_or_set("other", fails)
        assert proxy.swallowed == 2
        assert cache.get_or_set("other", lambda: 2) == 2
        assert leases(server) == 0


def test_tasks_that_are_cut_off_or_cancelled(server: Server) -> None:
    """The same on an event loop."""

    async def main(url: str, proxy: Deaf) -> None:
        async with AsyncCache.from_url(url, namespace="test", **TIMES) as cache:

            async def load() -> int:
                return 1

            assert await cache.get_or_set("k", load) == 1
            assert proxy.swallowed == 1
            assert await cache.get_or_set("k", load) == 1
            assert leases(server) == 0
            proxy.has_swallowed.clear()
            proxy.swallows = 2
            task = asyncio.create_task(cache.get_or_set("other", load))
            assert await asyncio.to_thread(proxy.has_swallowed.wait, 30)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert leases(server) == 1
            for number in range(20):  # the first in vain, by the connection that is silent
                await cache.get_or_set(f"else {number}", load)
            assert leases(server) == 0

    with deaf(server) as proxy:
        asyncio.run(main(f"redis://127.0.0.1:{proxy.port}", proxy))


def test_on_a_cluster(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """There by the next claim of the same key: others go to other nodes."""
    with Cache.from_url(cluster.url, namespace="test", **TIMES) as cache:
        trips = cache._store._trips
        run = trips._run.run
        claims: list[Any] = []

        async def lossy(parts: Any, *rest: Any, **named: Any) -> Any:
            """What is asked is done. Of the first claim the answer is lost."""
            done = await run(parts, *rest, **named)
            if any(b"NX" in command for each in done for command in each.trip.commands):
                claims.append(parts)
                if len(claims) == 1:
                    raise StoreTimeoutError
            return done

        monkeypatch.setattr(trips._run, "run", lossy)
        assert cache.get_or_set("k", lambda: 1) == 1
        assert cache.get_or_set("k", lambda: 2) == 2
        assert cache.get("k") == 2
        assert len(claims) > 1


def test_not_all_are_remembered_and_not_all_go_at_once() -> None:
    """A long outage fills no memory, and makes no trip long."""
    abandoned = Abandoned()
    held = [(b"%d" % number, b"token") for number in range(MOST + 1)]
    with pytest.raises(LookupError), abandoned.unless_done(held):
        raise LookupError
    with abandoned.unless_done([(b"done", b"token")]):
        pass
    assert abandoned.of(b"0") == []
    assert abandoned.of(b"1") == [(b"1", b"token")]
    assert abandoned.of(b"1") == []
    taken = [abandoned.take() for _ in range(MOST // AT_ONCE + 1)]
    assert [len(one) for one in taken] == [*[AT_ONCE] * (MOST // AT_ONCE - 1), AT_ONCE - 1, 0]
    assert sorted(chain.from_iterable(taken)) == sorted(held[2:])
