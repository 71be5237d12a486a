"""What a hit costs the client and the engine, beside a bare socket and beside other libraries.

Client and engine share one core for the figures that count: across cores most of what one measures is the machine's
wake-up time. On one core, though, the client's work between two calls evicts the server's code and data from the CPU's
caches, and the engine pays for that. So the engine's figure stands beside that of a GET sent by redis-py, too, and
beside a bare MGET of the same four names, which shows what the command itself costs.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import repeat
from time import process_time
from typing import TYPE_CHECKING

from bench.readers import DJANGO_REDIS, RAW_GET, RAW_MGET, REDIS_PY, UNSTALE, readers
from bench.report import Part, Spread, Table, Target
from bench.servers import Server, cores, pinned, running

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 60
CALLS = 1000
"""Calls of each kind in a round. Short rounds: what is compared then meets the same noise."""
COLUMNS = ("read", "client us", "/ raw GET", "/ django-redis", "engine us", "/ raw GET's", "/ redis-py GET's")


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds for one call, one value a round, in the order of the rounds."""

    client: tuple[float, ...]
    engine: tuple[float, ...]


def bench(kind: str, say: Callable[[str], None]) -> Part:
    """Measure with a new server of this kind."""
    tables: list[Table] = []
    targets: tuple[Target, ...] = ()
    remarks: tuple[str, ...] = ()
    with running(kind) as server:
        for label, client_core, server_core in _layouts():
            say(f"hit: {label}")
            with pinned(client_core):
                if server_core is not None:
                    server.pin(server_core)
                costs = measure(server)
            tables.append(table(f"A hit of 1 KiB on {server.version}, {label}", costs))
            if not targets:
                targets, remarks = judged(costs), (explained(costs),)
    return Part("hit", tuple(tables), targets, remarks)


def _layouts() -> list[tuple[str, int | None, int | None]]:
    """What runs where: the first layout is the one that the targets are for."""
    free = cores()
    if not free:
        return [("client and server not pinned (this platform cannot)", None, None)]
    layouts: list[tuple[str, int | None, int | None]] = [("client and server pinned to one core", free[-1], free[-1])]
    if len(free) > 1:
        layouts.append(("client and server on different cores", free[-1], free[-2]))
    return layouts


def measure(server: Server) -> dict[str, Cost]:
    """All readers in turns, in another order each round."""
    reads = readers(server)
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in reads}
    order = list(reads)
    asking = asking_seconds(server)
    for _ in range(ROUNDS):
        random.shuffle(order)
        for name in order:
            samples[name].append(sample(server, reads[name], asking))
    return {
        name: Cost(tuple(client for client, _ in pairs), tuple(engine for _, engine in pairs))
        for name, pairs in samples.items()
    }


def asking_seconds(server: Server, times: int = CALLS) -> float:
    """What one question for its CPU costs the engine: it would stand in every sample."""
    before = server.engine_seconds()
    for _ in range(times):
        last = server.engine_seconds()
    return (last - before) / times


def sample(server: Server, read: Callable[[], object], asking: float, calls: int = CALLS) -> tuple[float, float]:
    """Microseconds of the client's and of the engine's CPU for one call."""
    engine_before, client_before = server.engine_seconds(), process_time()
    for _ in repeat(None, calls):
        read()
    client, engine = process_time() - client_before, server.engine_seconds() - engine_before - asking
    return client / calls * 1e6, engine / calls * 1e6


def ratio(ours: tuple[float, ...], theirs: tuple[float, ...]) -> Spread:
    """How many times as much, round by round."""
    return Spread(tuple(one / other for one, other in zip(ours, theirs, strict=True)))


def table(title: str, costs: dict[str, Cost]) -> Table:
    """The costs of all, with ratios to the yardsticks."""
    rows = tuple(
        (
            name,
            Spread(cost.client),
            ratio(cost.client, costs[RAW_GET].client).middle,
            ratio(cost.client, costs[DJANGO_REDIS].client).middle,
            Spread(cost.engine),
            ratio(cost.engine, costs[RAW_GET].engine).middle,
            ratio(cost.engine, costs[REDIS_PY].engine).middle,
        )
        for name, cost in costs.items()
    )
    return Table(f"{title}: CPU a call, median of {ROUNDS} rounds (and four fifths of them)", COLUMNS, rows)


def judged(costs: dict[str, Cost]) -> tuple[Target, ...]:
    """The figures that have a target."""
    ours, raw = costs[UNSTALE], costs[RAW_GET]
    return (
        Target("client CPU of a hit / raw socket GET", ratio(ours.client, raw.client).middle, 1.7),
        Target("client CPU of a hit / django-redis get", ratio(ours.client, costs[DJANGO_REDIS].client).middle, 0.25),
        Target("engine CPU of a hit / plain GET, by raw socket", ratio(ours.engine, raw.engine).middle, 1.15),
        Target("engine CPU of a hit / plain GET, by redis-py", ratio(ours.engine, costs[REDIS_PY].engine).middle, 1.15),
    )


def explained(costs: dict[str, Cost]) -> str:
    """What part of the engine's extra cost is the command's, and what part is the client's work in between."""
    command = ratio(costs[RAW_MGET].engine, costs[RAW_GET].engine)
    around = ratio(costs[UNSTALE].engine, costs[RAW_MGET].engine)
    elsewhere = ratio(costs[REDIS_PY].engine, costs[RAW_GET].engine)
    return (
        f"Engine: the same MGET from a raw socket costs {command} x a raw GET: that is the command's share. unstale's\n"
        f"costs {around} x that raw MGET: the client's work in between evicts the server's CPU caches, as it does for\n"
        f"redis-py, whose plain GET costs {elsewhere} x the raw one."
    )
