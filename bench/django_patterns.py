"""`delete_pattern("user:7:*")` among many keys: what it costs the engine where the pattern is declared, and elsewhere.

Each backend has a database of its own with as many keys (SCAN walks only one database). A call removes one user's
pages; they are put back in between. django-redis and django-valkey look at 10 keys a SCAN unless told otherwise, which
their users do: so they are measured with more, too.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count, islice
from typing import TYPE_CHECKING, Any, Final

from bench.django_site import DJANGO_REDIS, DJANGO_VALKEY, TTL, UNSTALE, VALUE, Config, cache_of, installed
from bench.hit import ratio
from bench.report import Spread, Table, Target
from bench.servers import running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bench.servers import Server

PAGES: Final = 20
"""Keys of each user."""
BATCH: Final = 50
"""Users whose pages are put in at a time."""
OURS: Final = f"{UNSTALE}, declared pattern"
LEAST: Final = 1000
FROM: Final = 100_000
"""The fewest keys that the target is for: a scan costs as much as there are keys, a stamp does not."""
DEFAULT: Final = "as it comes (itersize 10)"
ITERSIZES: Final = (1_000, 100_000)


@dataclass(frozen=True, slots=True)
class Way:
    """A way to delete a pattern.

    Attributes:
        name: what it is called.
        cache: the backend, with a database of its own.
        arguments: of `delete_pattern`, besides the pattern.
        calls: in a round.
    """

    name: str
    cache: Any
    arguments: dict[str, int]
    calls: int

    def delete(self, user: int) -> int:
        """Remove a user's pages."""
        removed: int = self.cache.delete_pattern(f"user:{user}:*", **self.arguments)
        return removed

    def fill(self, users: Iterable[int]) -> None:
        """Put users' pages in place."""
        pending = iter(users)
        while batch := list(islice(pending, BATCH)):
            self.cache.set_many({page: VALUE for user in batch for page in _pages(user)}, TTL)

    def prove(self) -> None:
        """See that it does what it is measured for, and only that."""
        before = len(self.cache.get_many(_pages(0)))
        self.delete(0)
        after, others = (len(self.cache.get_many(_pages(user))) for user in (0, 1))
        if (before, after, others) != (PAGES, 0, PAGES):
            raise RuntimeError(f"{self.name}: {before} pages before, {after} after, {others} of another user")
        self.fill([0])


def _pages(user: int) -> list[str]:
    return [f"user:{user}:page:{page:02d}" for page in range(PAGES)]


def bench_patterns(
    kind: str, say: Callable[[str], None], core: int | None, config: Config
) -> tuple[tuple[Table, ...], tuple[Target, ...]]:
    """Every size on a new server, the largest one last; the targets are for FROM keys and more."""
    tables: list[Table] = []
    targets: tuple[Target, ...] = ()
    for size in config.sizes:
        with ExitStack() as stack:
            server = stack.enter_context(running(kind))
            if core is not None:
                server.pin(core)
            table, targets = _at_size(server, say, size, config)
            tables.append(table)
    return tuple(tables), targets


def _at_size(server: Server, say: Callable[[str], None], size: int, config: Config) -> tuple[Table, tuple[Target, ...]]:
    ways, users = _ways(server), size // PAGES
    filled: dict[int, Way] = {}
    for way in ways:
        if filled.setdefault(id(way.cache), way) is way:
            say(f"django: {size:,} keys for {way.name}")
            way.fill(range(users))
        way.prove()
    engine: dict[str, list[float]] = {way.name: [] for way in ways}
    trips: dict[str, float] = {}
    turn = count()
    for one in range(config.pattern_rounds):
        say(f"django: delete_pattern among {size:,} keys, round {one + 1} of {config.pattern_rounds}")
        for way in ways:
            chosen = [user % users for user in islice(turn, min(way.calls, users))]
            engine_us, trips[way.name] = _sample(server, way, chosen)
            engine[way.name].append(engine_us)
    return _table(engine, trips, size, server.version), judged(engine, size)


def _ways(server: Server) -> list[Way]:
    caches = {name: cache_of(name, server.url(at)) for at, name in enumerate(installed())}
    ways = [Way(OURS, caches[UNSTALE], {}, 500)]
    for name in (DJANGO_REDIS, DJANGO_VALKEY):
        if name in caches:
            ways.append(Way(f"{name}, {DEFAULT}", caches[name], {}, 1))
            ways += [Way(f"{name}, itersize={size:,}", caches[name], {"itersize": size}, 2) for size in ITERSIZES]
    return ways


def _sample(server: Server, way: Way, users: list[int]) -> tuple[float, float]:
    """Engine microseconds and round trips of one call; what was removed is put back."""
    counted, before = server.counted(), server.engine_seconds()
    for user in users:
        way.delete(user)
    engine_us = (server.engine_seconds() - before) / len(users) * 1e6
    trips = server.counted().since(counted).trips - 2  # engine_seconds asked twice
    way.fill(users)
    return engine_us, trips / len(users)


def _table(engine: dict[str, list[float]], trips: dict[str, float], size: int, version: str) -> Table:
    rows = tuple((name, Spread(tuple(values), 1), _times(engine, name), trips[name]) for name, values in engine.items())
    title = f"delete_pattern of one user's {PAGES} keys among {size:,} on {version}: a call"
    return Table(title, ("backend", "engine us", "/ unstale's", "round trips"), rows)


def _times(engine: dict[str, list[float]], name: str) -> float:
    return ratio(tuple(engine[name]), tuple(engine[OURS])).middle


def judged(engine: dict[str, list[float]], size: int) -> tuple[Target, ...]:
    """What the engine's figures must be; nothing among fewer than FROM keys."""
    if size < FROM:
        return ()
    what = f"engine CPU of delete_pattern, {size:,} keys"
    others = [name for name in engine if name != OURS]
    return tuple(Target(f"{what}: {name} / unstale", _times(engine, name), LEAST, at_least=True) for name in others)
