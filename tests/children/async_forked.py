"""One module-level AsyncCache, used by the parent and, after a fork, by children in loops of their own.

Arguments: the server's URL; asyncio or uvloop; whether to fork "outside" a loop or "inside" a running one. It tells
what the children and the parent read.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

import uvloop

from unstale import AsyncCache, Cache

url, kind, where = sys.argv[1:4]
CHILDREN, KEYS = 3, 40
cache = AsyncCache.from_url(url, namespace="test", timeout=20, read_timeout=20)
sync = Cache.from_url(url, namespace="test", timeout=20, read_timeout=20)
factory = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}[kind]


def run(coroutine: Any) -> Any:
    """Run in a new loop."""
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(coroutine)


async def read() -> list[Any]:
    """Read all keys, several times, all at once."""
    return await asyncio.gather(*(cache.get(f"k{number}") for number in range(KEYS) for _ in range(5)))


def child(sending: int) -> None:
    """In a child: read in a loop of its own, twice, close, and end."""
    try:
        first = run(read())
        second = run(read())
        sync.get("k1")
        run(cache.close())
        told: Any = first == second == [number for number in range(KEYS) for _ in range(5)]
    except BaseException as error:  # noqa: BLE001 - told to the parent
        told = repr(error)
    os.write(sending, json.dumps(told).encode())
    os._exit(0)


def fork() -> list[Any]:
    """Fork, and hear what each child read."""
    told = []
    for _ in range(CHILDREN):
        receiving, sending = os.pipe()
        pid = os.fork()
        if pid == 0:
            child(sending)
        os.close(sending)
        told.append(json.loads(os.read(receiving, 65536)))
        os.close(receiving)
        os.waitpid(pid, 0)
    return told


async def main() -> dict[str, Any]:
    """Use it, fork if that is wanted here, and use it again over the same connection."""
    await cache.set_many({f"k{number}": number for number in range(KEYS)})
    link = cache._store._last
    under_way = [asyncio.create_task(cache.get(f"k{number}")) for number in range(KEYS)]
    if where == "inside":
        await asyncio.sleep(0)
        told = fork()
    else:
        told = []
    mine = await asyncio.gather(*under_way) == list(range(KEYS)) and await read() == await read()
    return {"children": told, "parent": mine, "same connection": cache._store._last is link}


told = run(main())
if where == "outside":
    told["children"] = fork()
    told["parent again"] = run(read()) == [number for number in range(KEYS) for _ in range(5)]
sys.stdout.write(json.dumps(told) + "\n")
