"""Use caches while the process has no file descriptor left: `no_descriptors.py URL QUEUE`. Prints what came of it."""

from __future__ import annotations

import asyncio
import os
import resource
import sys

from unstale import AsyncCache, Cache


def used_up() -> list[int]:
    """Take every descriptor that there is."""
    taken: list[int] = []
    while True:
        try:
            taken.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            return taken


def main(url: str, queue: str) -> None:
    """A read and an invalidation of each kind, on connections that are yet to be made."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    with Cache.from_url(url, namespace="test", queue=queue) as cache:
        taken = used_up()
        loaded = cache.get_or_set("k", lambda: "loaded", tags=["t"])
        try:
            cache.invalidate("t")
        except Exception as error:  # noqa: BLE001 - which one is the question
            sys.stdout.write(f"{loaded} {type(error).__name__}\n")
        for one in taken:
            os.close(one)

    async def load() -> str:
        return "loaded"

    async def body() -> None:
        async with AsyncCache.from_url(url, namespace="test") as there:
            taken = used_up()
            loaded = await there.get_or_set("k", load, tags=["t"])
            try:
                await there.invalidate("t")
            except Exception as error:  # noqa: BLE001 - the same
                sys.stdout.write(f"{loaded} {type(error).__name__}\n")
            for one in taken:
                os.close(one)

    asyncio.run(body())


if __name__ == "__main__":
    main(*sys.argv[1:])
