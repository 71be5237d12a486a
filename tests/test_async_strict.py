"""Strict mode of `AsyncCache`: as `Cache`'s, and whoever is cancelled leaves nothing closed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from servers import Server
from test_round_trips import Counter

from unstale import AsyncCache
from unstale.errors import StoreError

OLD, NEW = "old", "new"


@pytest.fixture(params=["memory", "valkey"])
def async_url(request: pytest.FixtureRequest, session_servers: Callable[[str], Server]) -> str:
    """A URL of an empty store."""
    if request.param == "memory":
        return "memory://"
    chosen = session_servers(request.param)
    with chosen.client as client:
        client.flushall()
    return chosen.url


async def until_open(cache: AsyncCache) -> None:
    """Wait until values of the tag are stored again."""
    while not await cache.set("k", NEW, tags=["a"]):  # noqa: ASYNC110 - what opens it is not in this process
        await asyncio.sleep(0.002)


def test_strict_block(async_url: str) -> None:
    """AsyncCache does the same: closed inside, open after, also where the block raises."""

    async def main() -> list[bool]:
        async with AsyncCache.from_url(async_url, namespace="test") as cache:
            async with cache.strict("a"):
                inside = await cache.set("k", OLD, tags=["a"])
            after = await cache.set("k", NEW, tags=["a"])
            with pytest.raises(KeyError):
                async with cache.strict("a"):
                    raise KeyError
            return [inside, after, await cache.has_key("k"), await cache.set("k", NEW, tags=["a"])]

    assert asyncio.run(main()) == [False, True, False, True]


def test_readers_load_together(async_url: str) -> None:
    """Tasks under a closed tag load at the same time."""

    async def main() -> list[int]:
        async with AsyncCache.from_url(async_url, namespace="test", timeout=5.0) as cache:
            closing = await cache.begin_strict("a")
            together = asyncio.Barrier(3)
            async with asyncio.timeout(30):
                loaded = await asyncio.gather(*(cache.get_or_set("k", together.wait, tags=["a"]) for _ in range(3)))
            await cache.complete(closing)
            return sorted(loaded)

    assert asyncio.run(main()) == [0, 1, 2]


def test_cancelled_block(async_url: str) -> None:
    """A task that is cancelled inside the block leaves nothing closed, also if it is cancelled again meanwhile."""

    async def main() -> None:
        async with AsyncCache.from_url(async_url, namespace="test", timeout=5.0) as cache:
            entered = asyncio.Event()

            async def write() -> None:
                async with cache.strict("a"):
                    entered.set()
                    await asyncio.sleep(60)

            task = asyncio.create_task(write())
            await entered.wait()
            task.cancel()
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until_open(cache)

    asyncio.run(asyncio.wait_for(main(), 30))


def test_cancelled_begin(server: Server) -> None:
    """A begin that is cancelled under way is completed by itself, not at its limit."""

    async def main() -> None:
        async with AsyncCache.from_url(server.url, namespace="test", timeout=5.0) as cache:
            await cache.ping()
            task = asyncio.create_task(cache.begin_strict("a", limit=600))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until_open(cache)

    asyncio.run(asyncio.wait_for(main(), 30))


def test_begin_raises(own_server: Server) -> None:
    """Without a server the block of an AsyncCache does not run."""

    async def main() -> list[str]:
        ran: list[str] = []
        async with AsyncCache.from_url(own_server.url, timeout=0.5) as cache:
            own_server.kill()
            with pytest.raises(StoreError):
                async with cache.strict("a"):
                    ran.append("block")
        return ran

    assert asyncio.run(main()) == []


def test_readers_in_one_process_look_twice_at_the_most(server: Server) -> None:
    """Readers under a closed tag who have waited for the first one's look do not go on waiting for each other."""

    async def load() -> str:
        return OLD

    async def main() -> int:
        async with AsyncCache.from_url(server.url, namespace="test", timeout=5.0) as cache:
            await cache.begin_strict("a")
            counter = Counter(server)
            before = counter.stats().get("mget", 0)
            await asyncio.gather(*(cache.get_or_set("k", load, tags=["a"]) for _ in range(20)))
            reads = counter.stats()["mget"] - before
            counter.close()
            return reads

    assert asyncio.run(main()) <= 40
