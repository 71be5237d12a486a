"""What an invalidation costs the engine: whatever stands under the tag, and beside the ways that delete keys."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count, islice
from statistics import median
from typing import TYPE_CHECKING

from bench import fill
from bench.django_site import cache_at
from bench.report import Part, Spread, Table, Target
from bench.servers import Counted, Server, cores, pinned, running
from unstale import Cache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROUNDS = 9
CALLS = 3000
"""Invalidations of one tag in a round."""
FEW, MANY, FEWER = 10, 1_000_000, 100_000
USERS, PAGES = 5_000, 20
"""The keyspace in which one user's pages are invalidated: 100,000 keys."""
VALUE = os.urandom(64)


def bench(kind: str, say: Callable[[str], None], *, small: bool = False) -> Part:
    """Measure with new servers of this kind; `small`: FEWER entries in place of MANY."""
    core = cores()[-1] if cores() else None
    with pinned(core):
        by_size, size_targets = whatever_is_cached(kind, say, core, FEWER if small else MANY)
        by_way, way_targets = beside_deletes(kind, say, core)
        trips, trip_targets = round_trips(kind, say)
    return Part("invalidate", (by_size, by_way, trips), (*size_targets, *way_targets, *trip_targets))


def _server(stack: ExitStack, kind: str, core: int | None) -> Server:
    server = stack.enter_context(running(kind))
    if core is not None:
        server.pin(core)
    return server


def _cache(server: Server, database: int = 0) -> Cache:
    return Cache.from_url(server.url(database), namespace=fill.NAMESPACE, timeout=10)


def whatever_is_cached(
    kind: str, say: Callable[[str], None], core: int | None, many: int
) -> tuple[Table, tuple[Target, ...]]:
    """One tag with few entries on one server, one with very many on another, in turns."""
    tag = "user:42"
    with ExitStack() as stack:
        servers = {size: _server(stack, kind, core) for size in (FEW, many)}
        caches = {size: _cache(server) for size, server in servers.items()}
        for size, server in servers.items():
            say(f"invalidate: {size:,} entries under one tag")
            _fill_and_check(server, caches[size], tag, size)
        say("invalidate: measuring")
        samples: dict[int, list[float]] = {size: [] for size in servers}
        for _ in range(ROUNDS):
            for size, server in servers.items():
                samples[size].append(_engine_us(server, CALLS, lambda size=size: caches[size].invalidate(tag)))
        version = servers[FEW].version
    rows = tuple((f"{size:,} entries", Spread(tuple(values))) for size, values in samples.items())
    change = median(many_us / few_us for few_us, many_us in zip(samples[FEW], samples[many], strict=True))
    return (
        Table(f"One invalidate(tag) on {version}: engine CPU", ("under the tag", "engine us"), rows),
        (
            Target(f"engine CPU with {many:,} entries under the tag / with {FEW}", change, 1.2),
            Target(
                f"the same, not less than 0.8 (it would say that {FEW} were measured wrong)", change, 0.8, at_least=True
            ),
        ),
    )


def _fill_and_check(server: Server, cache: Cache, tag: str, size: int) -> None:
    """Fill; see that all are fresh, that one invalidation makes all stale; fill again."""
    keys = [f"page:{number:08d}" for number in range(size)]
    fill.entries(server, 0, cache, [(tag, keys)], VALUE)
    fill.check(cache, tag, keys, fresh=True)
    cache.invalidate(tag)
    fill.check(cache, tag, keys, fresh=False)
    fill.entries(server, 0, cache, [(tag, keys)], VALUE)


def _engine_us(server: Server, calls: int, call: Callable[[], object]) -> float:
    before = server.engine_seconds()
    for _ in range(calls):
        call()
    return (server.engine_seconds() - before) / calls * 1e6


@dataclass(frozen=True, slots=True)
class Way:
    """A way to invalidate all pages of one user.

    Attributes:
        name: what it is called.
        users: how many to invalidate in a round.
        invalidate: does it for a user's number.
        refill: puts the pages of these users back.
        served: how many of a user's pages a reader would still get.
    """

    name: str
    users: int
    invalidate: Callable[[int], object]
    refill: Callable[[list[int]], None]
    served: Callable[[int], int]


OURS = "unstale invalidate(tag)"
PATTERN = "django-redis delete_pattern"
BEST_PATTERN = "the same, itersize=100,000 as its README recommends"


def beside_deletes(kind: str, say: Callable[[str], None], core: int | None) -> tuple[Table, tuple[Target, ...]]:
    """Every way in turns, on a keyspace of its own of the same size; what was invalidated is put back in between."""
    with ExitStack() as stack:
        server = _server(stack, kind, core)
        say(f"invalidate: {USERS * PAGES:,} keys for each way")
        ways = _ways(server)
        for way in ways:
            way.refill(list(range(USERS)))
            _prove(way)
        samples: dict[str, list[float]] = {way.name: [] for way in ways}
        trips: dict[str, float] = {}
        turn = count()
        for one in range(ROUNDS):
            say(f"invalidate: beside deletes, round {one + 1} of {ROUNDS}")
            for way in ways:
                users = [user % USERS for user in islice(turn, way.users)]
                engine_us, counted = _sample(server, way, users)
                samples[way.name].append(engine_us)
                trips[way.name] = counted.trips / len(users)
        version = server.version
    ours = samples[OURS]
    rows = tuple(
        (name, Spread(tuple(values), 1), median(a / b for a, b in zip(values, ours, strict=True)), trips[name])
        for name, values in samples.items()
    )
    title = f"Invalidating one user's {PAGES} pages among {USERS * PAGES:,} keys on {version}"
    times = {name: median(a / b for a, b in zip(samples[name], ours, strict=True)) for name in (PATTERN, BEST_PATTERN)}
    return (
        Table(title, ("way", "engine us", "/ unstale's", "round trips"), rows),
        (
            Target(f"engine CPU of {PATTERN} / of {OURS}", times[PATTERN], 1000, at_least=True),
            Target(f"engine CPU of {BEST_PATTERN} / of {OURS}", times[BEST_PATTERN], 1000, at_least=True),
        ),
    )


def _prove(way: Way) -> None:
    """See that a way does what it is measured for."""
    before, _, after = way.served(0), way.invalidate(0), way.served(0)
    if (before, after) != (PAGES, 0):
        raise RuntimeError(f"{way.name}: {before} pages were served before, {after} after")
    way.refill([0])


def _sample(server: Server, way: Way, users: list[int]) -> tuple[float, Counted]:
    """Engine microseconds a user, and the trips of all; the pages are put back afterwards."""
    before = server.counted()
    pending = iter(users)
    engine_us = _engine_us(server, len(users), lambda: way.invalidate(next(pending)))
    counted = server.counted().since(before)
    way.refill(users)
    return engine_us, Counted(counted.trips - 2, counted.commands)  # _engine_us asked twice


def _pages(user: int) -> list[str]:
    return [f":1:user:{user}:page:{page:02d}" for page in range(PAGES)]


def _ways(server: Server) -> list[Way]:
    """The ways; their keyspaces are databases of one server (KEYS and SCAN walk only one of them)."""
    django = cache_at("django_redis.cache.RedisCache", server.url(0))
    client = server.client
    tagged = client.from_url(server.url(1))
    cache = _cache(server, 2)

    def refill(users: list[int]) -> None:
        fill.send_all(server, 0, ((b"SET", page, VALUE, b"EX", fill.TTL) for user in users for page in _pages(user)))

    def refill_tagged(users: list[int]) -> None:
        fill.send_all(server, 1, (command for user in users for command in _tagged(user)))

    def refill_ours(users: list[int]) -> None:
        fill.entries(server, 2, cache, [(f"user:{user}", _pages(user)) for user in users], VALUE)

    def keys_del(user: int) -> object:
        return client.delete(*client.keys(f":1:user:{user}:*"))

    def members_unlink(user: int) -> object:
        return tagged.unlink(f"tag:{user}", *tagged.smembers(f"tag:{user}"))

    def present(user: int) -> int:
        return int(client.exists(*_pages(user)))

    def present_tagged(user: int) -> int:
        return int(tagged.exists(*_pages(user)))

    def fresh(user: int) -> int:
        return len(cache.get_many(_pages(user), tags=[f"user:{user}"]))

    known = f"UNLINK of {PAGES} known keys in one call"
    return [
        Way(PATTERN, 2, lambda user: django.delete_pattern(f"user:{user}:*"), refill, present),
        Way(
            BEST_PATTERN,
            2,
            lambda user: django.delete_pattern(f"user:{user}:*", itersize=100_000),
            refill,
            present,
        ),
        Way("KEYS + DEL", 20, keys_del, refill, present),
        Way("tag set: SMEMBERS + UNLINK", 500, members_unlink, refill_tagged, present_tagged),
        Way(known, 500, lambda user: client.unlink(*_pages(user)), refill, present),
        Way(OURS, 500, lambda user: cache.invalidate(f"user:{user}"), refill_ours, fresh),
    ]


def _tagged(user: int) -> Iterator[tuple[object, ...]]:
    for page in _pages(user):
        yield (b"SET", page, VALUE, b"EX", fill.TTL)
        yield (b"SADD", f"tag:{user}", page)


def round_trips(kind: str, say: Callable[[str], None]) -> tuple[Table, tuple[Target, ...]]:
    """What the server counts for each verb; several of each, since a proof of identity rides along once a second."""
    say("invalidate: round trips")
    tags = [f"user:{number}" for number in range(32)]
    with running(kind) as server, _cache(server) as cache:
        for few in (1, 2, 8, 32):
            cache.get_or_set(f"page:{few}", lambda: VALUE, tags=tags[:few])
        hits = {f"a hit with {few} tags": _hit(cache, few, tags) for few in (2, 32)}
        bumps = {f"invalidate of {few} tags": _bump(cache, tags[:few]) for few in (2, 8)}
        fills = {"a miss that loads and stores, 2 tags": _fill(cache)}
        rows, trips = [], {}
        for what, call in {**hits, **bumps, **fills}.items():
            counted = _counted(server, call)
            trips[what] = counted.trips / COUNTED
            commands = ", ".join(f"{calls / COUNTED:g} {name}" for name, calls in sorted(counted.commands.items()))
            rows.append((what, trips[what], commands))
    title = f"Counted at the server ({server.version}), a call"
    targets = tuple(Target(f"round trips of {what}", trips[what], 1) for what in (*hits, *bumps))
    return Table(title, ("verb", "round trips", "commands (what a script calls is counted too)"), tuple(rows)), targets


COUNTED = 50


def _counted(server: Server, call: Callable[[], object]) -> Counted:
    before = server.counted()
    for _ in range(COUNTED):
        call()
    return server.counted().since(before)


def _hit(cache: Cache, few: int, tags: list[str]) -> Callable[[], object]:
    return lambda: cache.get(f"page:{few}", tags=tags[:few])


def _bump(cache: Cache, tags: list[str]) -> Callable[[], object]:
    return lambda: cache.invalidate(*tags)


def _fill(cache: Cache) -> Callable[[], object]:
    numbers = count()
    return lambda: cache.get_or_set(f"new:{next(numbers)}", lambda: VALUE, tags=["product:1", "product:2"])
