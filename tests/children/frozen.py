"""A process that is stopped and goes on: `threads URL NUMBER` or `asyncio URL NUMBER`.

It does what it is told, a word a line, in as many threads or tasks at a time, and says what came of it. It has no
thread of its own beside those, and none while it waits for a word.

    read    reads the key "k"; what each got, what failed, and how many threads there are
    load    fills the key "slow": says "loading" in the loader, waits for a word there, and returns "old"
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from unstale import AsyncCache, Cache
from unstale.events import Event, Failed, Refused

mode, url, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
events: list[Event] = []
options: Any = {"namespace": "test", "timeout": 5.0, "read_timeout": 1.5, "lease": 1.0, "on_event": events.append}


def tell(value: Any) -> None:
    """Write a line."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def told(values: list[Any]) -> dict[str, Any]:
    """What came of it."""
    said = {
        "values": values,
        "failed": [f"{type(event.error).__name__}: {event.error}" for event in events if isinstance(event, Failed)],
        "refused": [event.why.name for event in events if isinstance(event, Refused)],
        "threads": threading.active_count(),
    }
    events.clear()
    return said


def load() -> str:
    """A loader that is stopped in its middle."""
    tell("loading")
    sys.stdin.readline()
    return "old"


async def load_later() -> str:
    """The same."""
    return load()


def in_threads(work: Callable[[], Any], times: int) -> list[Any]:
    """Do the work in threads; in this one, if it is to be done once."""
    if times == 1:
        return [work()]
    gate = threading.Barrier(times)

    def together() -> Any:
        gate.wait(30)
        return work()

    with ThreadPoolExecutor(times) as pool:
        return [future.result() for future in [pool.submit(together) for _ in range(times)]]


def threads() -> None:
    """Obey, in threads."""
    with Cache.from_url(url, **options) as cache:
        for word in sys.stdin:
            match word.strip():
                case "read":
                    tell(told(in_threads(lambda: cache.get("k", tags=["t"]), number)))
                case "load":
                    tell(told([cache.get_or_set("slow", load, tags=["t"])]))


async def tasks() -> None:
    """Obey, in tasks of one loop."""
    async with AsyncCache.from_url(url, **options) as cache:
        for word in sys.stdin:
            match word.strip():
                case "read":
                    tell(told(await asyncio.gather(*(cache.get("k", tags=["t"]) for _ in range(number)))))
                case "load":
                    tell(told([await cache.get_or_set("slow", load_later, tags=["t"])]))


if __name__ == "__main__":
    if mode == "threads":
        threads()
    else:
        asyncio.run(tasks())
