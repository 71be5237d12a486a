"""Django's backend, used in one event loop after another. Arguments: the server's URL, and how the loops come and go.

Run it with `-W error`: whatever is left open shows on stderr. It never calls `django.setup()`.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading

from asgiref.sync import async_to_sync
from django.conf import settings

url, way = sys.argv[1:3]
settings.configure(
    SECRET_KEY="the-child-has-a-key-of-fifty-characters-0123456789",
    CACHES={"default": {"BACKEND": "unstale.contrib.django.UnstaleCache", "LOCATION": url}},
)

from django.core.cache import cache  # noqa: E402 - it wants settings


async def live(number: int) -> None:
    """Read and write."""
    await cache.aset(f"k{number}", number)
    assert await asyncio.gather(*(cache.aget(f"k{number}") for _ in range(10))) == [number] * 10
    assert await cache.aget_or_set(f"l{number}", lambda: number) == number


def repeatedly() -> None:
    """As the argument says."""
    for number in range(30):
        if way == "async_to_sync":
            async_to_sync(live)(number)
        else:
            asyncio.run(live(number))


def in_threads() -> None:
    """Loops side by side."""
    threads = [threading.Thread(target=asyncio.run, args=(live(number),)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def after_a_fork() -> None:
    """A child that inherits connections of both kinds, and makes its own."""
    repeatedly()
    cache.set("parent", os.getpid())
    child = os.fork()
    if child == 0:
        assert cache.get("parent") == os.getppid()
        asyncio.run(live(99))
        gc.collect()
        sys.stdout.flush()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert cache.get("parent") == os.getpid()
    repeatedly()


{"async_to_sync": repeatedly, "run": repeatedly, "threads": in_threads, "fork": after_a_fork}[way]()
gc.collect()
print("done")  # noqa: T201 - to the test
