"""What tests of faults share: worlds of each kind, faults that take no longer than they must, and what to look at."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis
from servers import require

from unstale.tools.chaos.faults import FAULTS
from unstale.tools.chaos.plan import Plan, Topology
from unstale.tools.chaos.servers import client_of
from unstale.tools.chaos.world import World
from unstale.tools.chaos.worlds import standing

PROGRAMS = {"valkey": "embedded", "redis": "redis-server"}


class Shortest(random.Random):
    """Draws the shortest time, and all of what can be chosen in part."""

    def uniform(self, a: float, b: float) -> float:
        return a

    def choice(self, seq: Any) -> Any:
        return seq[-1]


@contextmanager
def world_of(kind: str, topology: Topology, directory: Path, *faults: str) -> Iterator[World]:
    """A world whose servers are of a kind."""
    require(kind)
    with standing(topology, Plan(phases=(), server=PROGRAMS[kind]), directory, faults) as world:
        yield world


def strike(world: World, name: str) -> str:
    """Strike a fault, and say what it says."""
    return FAULTS[name].strike(world, Shortest())


@contextmanager
def meanwhile(world: World, name: str) -> Iterator[threading.Thread]:
    """Strike a fault in a thread; it has ended afterwards, without an error."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            strike(world, name)
        except BaseException as error:  # noqa: BLE001 - told below
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield thread
    finally:
        thread.join()
    assert failed == []


def tell(url: str, section: str, name: str) -> Any:
    """A figure of a server's INFO."""
    with client_of(url) as client:
        return client.info(section)[name]


def outcome(call: Callable[[], Any]) -> Any:
    """What a call returns, or the class of what it raises."""
    try:
        return call()
    except redis.RedisError as error:
        return type(error)
