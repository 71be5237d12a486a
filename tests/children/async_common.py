"""What the asyncio tests share: the kinds of loop, and a few helpers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import redis
import uvloop

from unstale.events import Event, Failed

T = TypeVar("T")

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}
"""Each kind of event loop, and what makes one."""

PATIENT = 10.0
"""The time limit where it must not run out, however busy the machine is."""
HASTY = 0.3
"""The time limit where it must."""
NOT_HUNG = 5.0
"""Far more than three times the hasty time limit, less than the patient one."""

Run = Callable[[Coroutine[Any, Any, Any]], Any]


def runner_of(factory: Callable[[], asyncio.AbstractEventLoop]) -> Run:
    """A function that runs a coroutine in a new loop of a kind, as `asyncio.run` does."""

    def run(coroutine: Coroutine[Any, Any, T]) -> T:
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(coroutine)

    return run


def failures(events: list[Event]) -> list[Exception]:
    """The errors that a cache went on without its server for."""
    return [event.error for event in events if isinstance(event, Failed)]


async def until(holds: Callable[[], Any], seconds: float = 10.0) -> None:
    """Wait until something holds that nobody announces; fails if it does not come to hold."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold"
        await asyncio.sleep(0.005)


def leases(client: redis.Redis) -> list[bytes]:
    """The names of the leases that are held: their tokens have 18 characters, which nothing else has."""
    return [name for name in client.scan_iter() if client.type(name) == b"string" and client.strlen(name) == 18]


class Watch:
    """Fails if the block takes much longer than a call's time limit."""

    def __enter__(self) -> None:
        self.began = time.monotonic()

    def __exit__(self, *exception: object) -> None:
        assert time.monotonic() - self.began < NOT_HUNG
