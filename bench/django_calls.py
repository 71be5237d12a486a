"""What a call of Django's cache costs, beside the other backends: the client's CPU, the engine's, and round trips.

Client and server share one core, and the backends take turns within each round, as in `hit`, where it says why. What a
call needs (a key to delete) is put in place before its sample.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from itertools import repeat
from time import process_time
from typing import TYPE_CHECKING, Any, Final

from bench.django_site import DJANGO_REDIS, REDIS_CACHE, UNSTALE, VALUE, Config, cache_of, installed
from bench.hit import Cost, asking_seconds, ratio, sample
from bench.report import Spread, Table, Target

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bench.servers import Counted, Server

    Ready = Callable[[Any, int], Callable[[], object]]
    """Given a cache and a number of calls: puts in place what they need, and returns the call."""

KEY: Final = "user:42:orders:7"
MANY: Final = tuple(f"user:42:orders:{number}" for number in range(100, 110))
COUNTED: Final = 50
APART: Final = 8
"""Databases of the awaited caches: django-valkey gives both its backends one pool where the URL is the same."""
COLUMNS: Final = ("backend", "client us", "/ unstale's", "engine us", "/ unstale's ", "trips", "commands a call")


@dataclass(frozen=True, slots=True)
class Measured:
    """One verb: what each backend's call cost, and what the server counted of COUNTED calls."""

    costs: dict[str, Cost]
    counts: dict[str, Counted]

    def client_ratio(self, name: str) -> float:
        """How many times unstale's CPU another backend takes."""
        return ratio(self.costs[name].client, self.costs[UNSTALE].client).middle

    def trips(self, name: str) -> float:
        """Round trips of one call."""
        return self.counts[name].trips / COUNTED


def _getting(cache: Any, _: int) -> Callable[[], object]:
    cache.set(KEY, VALUE)
    if cache.get(KEY) != VALUE:
        raise RuntimeError("not what was stored")
    return lambda: cache.get(KEY)


def _getting_new(cache: Any, calls: int) -> Callable[[], object]:
    """Keys that were read before, each with an entry that was not: unstale must verify its signature."""
    keys = [f"user:42:orders:{number}" for number in range(2000, 2000 + calls)]
    cache.set_many(dict.fromkeys(keys, VALUE))
    for key in keys:
        cache.get(key)
    cache.set_many(dict.fromkeys(keys, VALUE))
    pending = iter(keys)
    return lambda: cache.get(next(pending))


def _getting_many(cache: Any, _: int) -> Callable[[], object]:
    stored = dict.fromkeys(MANY, VALUE)
    cache.set_many(stored)
    if cache.get_many(MANY) != stored:
        raise RuntimeError("not what was stored")
    return lambda: cache.get_many(MANY)


def _setting(cache: Any, _: int) -> Callable[[], object]:
    cache.set(KEY, VALUE)
    return lambda: cache.set(KEY, VALUE)


def _deleting(cache: Any, calls: int) -> Callable[[], object]:
    keys = [f"user:42:orders:{number}" for number in range(1000, 1000 + calls)]
    cache.set_many(dict.fromkeys(keys, VALUE))
    pending = iter(keys)
    return lambda: cache.delete(next(pending))


def _counting(cache: Any, _: int) -> Callable[[], object]:
    cache.set(KEY, 0)
    return lambda: cache.incr(KEY)


VERBS: Final[dict[str, Ready]] = {
    "get": _getting,
    "get of a new entry": _getting_new,
    "get_many of 10": _getting_many,
    "set": _setting,
    "delete": _deleting,
    "incr": _counting,
}
AWAITED: Final = "aget"


def bench_calls(
    server: Server, say: Callable[[str], None], config: Config
) -> tuple[tuple[Table, ...], tuple[Target, ...]]:
    """All verbs on a server; the caller has pinned both."""
    caches = {name: cache_of(name, server.url(at)) for at, name in enumerate(installed())}
    measured = {}
    for verb, ready in VERBS.items():
        say(f"django: {verb}")
        measured[verb] = Measured(_costs(server, caches, ready, config), _counts(server, caches, ready))
    say(f"django: {AWAITED}")
    with asyncio.Runner() as runner:
        measured[AWAITED] = runner.run(_awaited(server, config))
    tables = tuple(_table(verb, one, server.version, config) for verb, one in measured.items())
    return tables, judged(measured)


def _costs(server: Server, caches: dict[str, Any], ready: Ready, config: Config) -> dict[str, Cost]:
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in caches}
    order, asking = list(caches), asking_seconds(server, 300)
    for _ in range(config.rounds):
        random.shuffle(order)
        for name in order:
            call = ready(caches[name], config.calls)
            samples[name].append(sample(server, call, asking, config.calls))
    return {name: _cost(pairs) for name, pairs in samples.items()}


def _cost(pairs: list[tuple[float, float]]) -> Cost:
    return Cost(tuple(client for client, _ in pairs), tuple(engine for _, engine in pairs))


def _counts(server: Server, caches: dict[str, Any], ready: Ready) -> dict[str, Counted]:
    counts = {}
    for name, cache in caches.items():
        call = ready(cache, COUNTED)
        before = server.counted()
        for _ in range(COUNTED):
            call()
        counts[name] = server.counted().since(before)
    return counts


async def _awaited(server: Server, config: Config) -> Measured:
    """`aget` of one task, in turns on one loop."""
    caches = {name: cache_of(name, server.url(APART + at), is_async=True) for at, name in enumerate(installed())}
    for cache in caches.values():
        await cache.aset(KEY, VALUE)
        if await cache.aget(KEY) != VALUE:
            raise RuntimeError("not what was stored")
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in caches}
    order, asking = list(caches), asking_seconds(server, 300)
    for _ in range(config.rounds):
        random.shuffle(order)
        for name in order:
            samples[name].append(await _sample(server, caches[name], asking, config.calls))
    counts = {}
    for name, cache in caches.items():
        before = server.counted()
        await _get(cache, COUNTED)
        counts[name] = server.counted().since(before)
    return Measured({name: _cost(pairs) for name, pairs in samples.items()}, counts)


async def _get(cache: Any, calls: int) -> None:
    get: Callable[[str], Awaitable[object]] = cache.aget
    for _ in repeat(None, calls):
        await get(KEY)


async def _sample(server: Server, cache: Any, asking: float, calls: int) -> tuple[float, float]:
    """Microseconds of the client's CPU (all its threads) and of the engine's for one call."""
    engine_before, client_before = server.engine_seconds(), process_time()
    await _get(cache, calls)
    client, engine = process_time() - client_before, server.engine_seconds() - engine_before - asking
    return client / calls * 1e6, engine / calls * 1e6


def _table(verb: str, measured: Measured, version: str, config: Config) -> Table:
    costs = measured.costs
    rows = tuple(
        (
            name,
            Spread(cost.client, 1),
            measured.client_ratio(name),
            Spread(cost.engine, 1),
            ratio(cost.engine, costs[UNSTALE].engine).middle,
            measured.trips(name),
            _commands(measured.counts[name]),
        )
        for name, cost in costs.items()
    )
    title = (
        f"cache.{verb}, 1 KiB, 2 tags, {version}: CPU a call, median of {config.rounds} rounds (four fifths of them)"
    )
    return Table(title, COLUMNS, rows)


def _commands(counted: Counted) -> str:
    return ", ".join(f"{calls / COUNTED:g} {name}" for name, calls in sorted(counted.commands.items()))


def judged(measured: dict[str, Measured]) -> tuple[Target, ...]:
    """The figures that have a target."""
    get, many = measured["get"], measured["get_many of 10"]
    commands = sum(many.counts[UNSTALE].commands.values()) / COUNTED
    return (
        Target("client CPU of cache.get: django-redis / unstale", get.client_ratio(DJANGO_REDIS), 3, at_least=True),
        Target("client CPU of cache.get: Django RedisCache / unstale", get.client_ratio(REDIS_CACHE), 8, at_least=True),
        Target("round trips of unstale's get_many of 10", many.trips(UNSTALE), 1),
        Target("commands of unstale's get_many of 10", commands, 1),
    )
