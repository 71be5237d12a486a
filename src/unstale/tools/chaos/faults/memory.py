"""A server that is full: it refuses what is written, or makes room by evicting."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from random import Random
from typing import Final

from unstale.tools.chaos.layouts import LIMITS, Own
from unstale.tools.chaos.servers import Server
from unstale.tools.chaos.world import OWN, Fault, World

BELOW_ALL_USE: Final = 1


def oom(world: World, draw: Random) -> str:
    """It has less memory than it uses, and may evict nothing."""
    seconds = draw.uniform(0.2, 1.5)
    server = draw.choice(world.servers(Own).leading())
    before = _stat(server, "total_error_replies")
    with _limited(server, {"maxmemory-policy": "noeviction", "maxmemory": str(BELOW_ALL_USE)}):
        time.sleep(seconds)
    refused = _stat(server, "total_error_replies") - before
    return f"the server on port {server.port} was full for {seconds:.1f} s, and answered {refused} times with an error"


def evictions(world: World, draw: Random) -> str:
    """It has less memory than it uses, and evicts at random: stamps, entries and leases alike."""
    part = draw.choice((0.2, 0.5))
    server = draw.choice(world.servers(Own).leading())
    memory, before = server.info("memory"), _stat(server, "evicted_keys")
    limit = memory["used_memory"] - int(part * memory["used_memory_dataset"])
    with _limited(server, {"maxmemory-policy": "allkeys-random", "maxmemory": str(limit)}):
        time.sleep(draw.uniform(0.05, 0.5))
    return f"the server on port {server.port} evicted {_stat(server, 'evicted_keys') - before} names"


@contextmanager
def _limited(server: Server, limits: Mapping[str, str]) -> Iterator[None]:
    with server.client() as client:
        try:
            for name, value in limits.items():
                client.config_set(name, value)
            yield
        finally:
            for name, value in LIMITS:
                client.config_set(name, value)


def _stat(server: Server, name: str) -> int:
    return int(server.info("stats")[name])


FAULTS = (
    Fault("oom", "The server is full, and evicts nothing: it refuses writes.", oom, OWN),
    Fault("evictions", "The server is full, and evicts at random.", evictions, OWN),
)
