"""One module-level AsyncCache, never closed, in one event loop after another.

Arguments: the server's URL; asyncio or uvloop; what to do in each loop. It tells what each loop read, and how many
connections the server had after each. Run it with `-X dev -W error`: whatever is left open shows on stderr.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import warnings
from typing import Any

import redis
import uvloop

from unstale import AsyncCache

warnings.simplefilter("error")

url, kind, way = sys.argv[1:4]
cache = AsyncCache.from_url(url, namespace="test", timeout=20, read_timeout=20)
factory = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}[kind]


async def load() -> str:
    """A loader."""
    return "loaded"


async def plainly(number: int) -> Any:
    """Read and write."""
    await cache.set(f"k{number}", number)
    found = [await cache.get(f"k{number}"), await cache.get_or_set("k", load, tags=["t"])]
    found += await asyncio.gather(*(cache.get(f"k{number}") for _ in range(10)))
    await cache.invalidate("t")
    return found[:2]


async def with_reads_under_way(number: int) -> Any:
    """End while tasks read, which the end of the loop cancels."""
    found = await plainly(number)
    kept.extend(asyncio.create_task(cache.get_or_set(f"l{n}", asyncio.Event().wait)) for n in range(20))
    await asyncio.sleep(0.01 * (number % 3))
    return found


async def while_connecting(number: int) -> Any:
    """End while the connection is being made."""
    task = asyncio.create_task(cache.get("k"))
    for _ in range(number):
        await asyncio.sleep(0)
    task.cancel()
    return None


async def in_a_generator(number: int) -> Any:
    """Use the cache in an asynchronous generator's `finally`, which the end of the loop runs."""

    async def numbers() -> Any:
        try:
            yield 1
        finally:
            await cache.get("k")

    generator = numbers()
    await anext(generator)
    kept.append(generator)
    return await plainly(number)


async def closing(number: int) -> Any:
    """Close it, too, while the connection is being made; a new one each time."""
    other = AsyncCache.from_url(url, namespace="test", timeout=20, read_timeout=20)
    task = asyncio.create_task(other.get("k"))
    for _ in range(number):
        await asyncio.sleep(0)
    await other.close()
    task.cancel()
    return None


async def dropping(number: int) -> Any:
    """Forget a cache that was used and not closed."""
    other = AsyncCache.from_url(url, namespace="test", timeout=20, read_timeout=20)
    found = [await other.set("k", number), await other.get("k")]
    del other
    return found


kept: list[Any] = []
WAYS = {
    one.__name__: one for one in (plainly, with_reads_under_way, while_connecting, in_a_generator, closing, dropping)
}


def main() -> None:
    """Run many loops."""
    found, connections = [], []
    with redis.Redis.from_url(url) as client:
        for number in range(12):
            with asyncio.Runner(loop_factory=factory) as runner:
                found.append(runner.run(WAYS[way](number)))
            kept.clear()
            gc.collect()
            connections.append(client.info("clients")["connected_clients"] - 1)
    sys.stdout.write(json.dumps({"found": found, "connections": connections, "loops": len(cache._store._seats)}) + "\n")


main()
