"""What tests of faults share: worlds of each kind, faults that take no longer than they must, and what to look at."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
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


def strike(world: World, name: str, act: Callable[[], object] | None = None) -> str:
    """Strike a fault, and say what it says.

    Args:
        world: where.
        name: which.
        act: done while the fault lasts, in the place of waiting. It is done once.
    """
    fault = FAULTS[name]
    if act is None:
        return fault.strike(world, Shortest())
    waits: list[object] = []
    with pytest.MonkeyPatch.context() as patch:
        waiting = SimpleNamespace(sleep=lambda _: waits.append(act()))
        patch.setattr(sys.modules[fault.strike.__module__], "time", waiting)
        said = fault.strike(world, Shortest())
    assert len(waits) == 1
    return said


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
