"""What a hit, a fill and an invalidation cost through each library: the server's CPU, the client's, the round trips.

Every library has a database of its own on one server, the same page to cache, and is used as its documentation says
(`peers_sync`, `peers_async`). Server and client share one core, and all take turns in each round. The client's CPU is
that of all threads of the process.
"""

from __future__ import annotations

import random
from contextlib import ExitStack, closing
from dataclasses import dataclass
from importlib import import_module
from itertools import count
from statistics import median
from time import process_time
from typing import TYPE_CHECKING, Any, Final

from bench import fill
from bench.hit import ratio
from bench.peers_base import Driver, Peer, page
from bench.peers_redis import RedisPyTracking
from bench.peers_unstale import AsyncUnstale, Unstale
from bench.report import Part, Spread, Table, Target
from bench.servers import cores, pinned, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bench.servers import Server

LIBRARIES: Final = ("peers_sync", "peers_async")
Calls = list["Callable[[], Any]"]
Measured = dict[str, list["Cost"]]


@dataclass(frozen=True, slots=True)
class Config:
    """How much is measured.

    Attributes:
        rounds: in each of which all libraries have their turn.
        large_rounds: the same for groups of `LARGE` and more.
        hits: calls in a round.
        fills: the same.
        groups: how many groups of each size are invalidated in a round, by size.
        others: keys in each library's database that belong to none of these groups.
    """

    rounds: int = 7
    large_rounds: int = 3
    hits: int = 300
    fills: int = 60
    groups: tuple[tuple[int, int], ...] = ((1, 40), (20, 20), (1_000, 3), (100_000, 1))
    others: int = 20_000

    def up_to(self, size: int) -> Config:
        """Without the groups that are larger."""
        groups = tuple(one for one in self.groups if one[0] <= size)
        return Config(self.rounds, self.large_rounds, self.hits, self.fills, groups, self.others)


LARGE: Final = 10_000
SMALL_LIMIT: Final = 1_000
SETTLE_SECONDS: Final = 0.25
"""A client-side cache is told of what was put in; that is not to be counted as the next call's."""
HIT, FILL = "hit", "fill"
NONE: Final = "-"
REGION: Final = "dogpile.cache region.invalidate"
"""It only invalidates; and what it sends is nothing, so that it is no yardstick."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one call: microseconds of CPU, and how often the server read from a connection."""

    engine: float
    client: float
    trips: float


def libraries() -> list[type[Peer]]:
    """All that are measured, in the tables' order."""
    called, awaited = (import_module(f"bench.{name}").PEERS for name in LIBRARIES)  # of the bench's environment only
    return [Unstale, RedisPyTracking, *called, AsyncUnstale, *awaited]


def bench(kind: str, say: Callable[[str], None], *, small: bool = False, config: Config | None = None) -> Part:
    """Measure with a new server of this kind; `small`: groups of up to 1,000."""
    config = config or (Config().up_to(SMALL_LIMIT) if small else Config())
    core = cores()[-1] if cores() else None
    with pinned(core), running(kind) as server, ExitStack() as stack:
        if core is not None:
            server.pin(core)
        drivers = [stack.enter_context(closing(Driver(made(server, at)))) for at, made in enumerate(libraries())]
        for driver in drivers:
            say(f"peers: {driver.peer.name}")
            prepare(server, driver, config)
        measured = measure(server, drivers, config, say)
        version = server.version
    peers = [driver.peer for driver in drivers]
    tables = [_calls(peers, measured, verb, f"{title}, {version}") for verb, title in _TITLES.items()]
    tables += _invalidations(peers, measured, config, version)
    return Part("peers", tuple(tables), tuple(targets(measured, config)), (remarks(peers, config),))


def prepare(server: Server, driver: Driver, config: Config) -> None:
    """Put the other keys in place; see that the library does what it is measured for."""
    others = ((b"SET", f"other:{number:08d}", b"x" * 64) for number in range(config.others))
    fill.send_all(server, driver.peer.database, others)
    driver.read("hits", 0, page())
    prove(driver)


def prove(driver: Driver, size: int = 20) -> None:
    """See that a group's pages are served, and after an invalidation are not.

    Raises:
        RuntimeError: it is not so.
    """
    name = driver.peer.name
    driver.put("proof", size)
    driver.settle(SETTLE_SECONDS)
    loads: list[int] = []
    for number in (0, size // 2, size - 1):
        driver.read("proof", number, page(2), loads)
    if loads:
        raise RuntimeError(f"{name}: {len(loads)} of 3 pages were not there")
    driver.invalidate("proof")
    for number in (0, size // 2, size - 1):
        if driver.read("proof", number, page(2), loads)["version"] != 2:
            raise RuntimeError(f"{name}: page {number} was served after the invalidation")
    if len(loads) != 3:
        raise RuntimeError(f"{name}: {len(loads)} loads for 3 pages that were invalidated")


def measure(server: Server, drivers: Sequence[Driver], config: Config, say: Callable[[str], None]) -> Measured:
    """The costs of each round by library and verb; a size stands for the invalidation of a group so large."""
    asking = _asking_seconds(server)
    measured: Measured = {}
    numbers = count(1)

    def note(driver: Driver, verb: object, calls: Calls) -> None:
        cost = sample(server, driver, calls, asking)
        measured.setdefault(_name(driver.peer, verb), []).append(cost)

    for one in range(config.rounds):
        say(f"peers: round {one + 1} of {config.rounds}")
        for driver in random.sample(drivers, len(drivers)):
            if driver.peer.name != REGION:
                note(driver, HIT, [driver.reading("hits", 0, page())] * config.hits)
                fills = [driver.reading("hits", next(numbers), page()) for _ in range(config.fills)]
                note(driver, FILL, fills)
            for size, groups in config.groups:
                if size < LARGE:
                    note(driver, size, list(invalidations(driver, size, groups)))
    for size, groups in config.groups:
        for one in range(config.large_rounds if size >= LARGE else 0):
            for driver in random.sample(drivers, len(drivers)):
                say(f"peers: {size:,} dependents, round {one + 1} of {config.large_rounds}, {driver.peer.name}")
                note(driver, size, list(invalidations(driver, size, groups)))
                check(driver, size)
    return measured


def invalidations(driver: Driver, size: int, groups: int) -> Iterator[Callable[[], Any]]:
    """Put pages under groups; their invalidations, yet to be made."""
    names = [f"g{size}x{number:02d}" for number in range(groups)]
    for name in names:
        driver.put(name, size)
    driver.settle(SETTLE_SECONDS if driver.peer.is_local else 0.0)
    for name in names:
        yield lambda name=name: driver.peer.invalidate(name)


def check(driver: Driver, size: int) -> None:
    """See that a large group is gone."""
    for number in (0, size - 1):
        if driver.read(f"g{size}x00", number, page(2))["version"] != 2:
            raise RuntimeError(f"{driver.peer.name}: page {number} of {size} was served after the invalidation")


def sample(server: Server, driver: Driver, calls: Calls, asking: float) -> Cost:
    """What these calls cost, each."""
    counted_before = server.counted()
    server.engine_seconds()  # the first question after a while costs more
    engine_before, client_before = server.engine_seconds(), process_time()
    driver.all(calls)
    client, engine = process_time() - client_before, server.engine_seconds() - engine_before - asking
    trips = server.counted().since(counted_before).trips - 3  # the engine was asked
    if not trips:
        engine = 0.0  # what is left is the asking's noise
    return Cost(max(engine, 0.0) / len(calls) * 1e6, client / len(calls) * 1e6, trips / len(calls))


def _asking_seconds(server: Server, times: int = 300) -> float:
    """What one question for its CPU costs the engine."""
    before = server.engine_seconds()
    for _ in range(times):
        last = server.engine_seconds()
    return (last - before) / times


_TITLES: Final = {
    HIT: "A hit of a page of 1 KiB",
    FILL: "A fill: miss, load, store",
}
_COLUMNS: Final = ("library", "engine us", "client us", "/ unstale's", "reads at the server")


def _name(peer: Peer, verb: object) -> str:
    return f"{peer.name}: {verb}"


def _yardstick(peer: Peer, verb: object) -> str:
    """The figure of unstale's own, of the same kind: called or awaited."""
    return f"unstale {'AsyncCache' if peer.is_async else 'Cache'}: {verb}"


def _clients(costs: list[Cost]) -> tuple[float, ...]:
    return tuple(one.client for one in costs)


def _calls(peers: list[Peer], measured: Measured, verb: str, title: str) -> Table:
    rows = []
    for peer in peers:
        costs = measured.get(_name(peer, verb))
        if costs is None:
            rows.append((peer.name, NONE, NONE, NONE, NONE))
            continue
        against = ratio(_clients(costs), _clients(measured[_yardstick(peer, verb)]))
        engine = Spread(tuple(one.engine for one in costs), 1)
        rows.append((peer.name, engine, Spread(_clients(costs), 1), against.middle, median(one.trips for one in costs)))
    return Table(f"{title}: a call, median of the rounds (and four fifths of them)", _COLUMNS, tuple(rows))


def _invalidations(peers: list[Peer], measured: Measured, config: Config, version: str) -> Iterator[Table]:
    sizes = [size for size, _ in config.groups]
    columns = ("library", *(f"of {size:,}" for size in sizes))
    figures: dict[str, Callable[[Cost], float]] = {
        "engine us": lambda cost: cost.engine,
        "client us": lambda cost: cost.client,
        "reads at the server": lambda cost: cost.trips,
    }
    for figure, of in figures.items():
        title = f"One invalidation of a group among {config.others:,} other keys, {version}: {figure}, median"
        rows = tuple((peer.name, *(median(map(of, measured[_name(peer, size)])) for size in sizes)) for peer in peers)
        yield Table(title, columns, rows)


def targets(measured: Measured, config: Config) -> list[Target]:
    """What this part can hold unstale to."""
    largest = config.groups[-1][0]
    made = []
    for peer in ("unstale Cache", "unstale AsyncCache"):
        trips = {verb: median(one.trips for one in measured[f"{peer}: {verb}"]) for verb in (HIT, largest)}
        made += [
            Target(f"{peer}: reads at the server of a hit", trips[HIT], 1),
            Target(f"{peer}: reads at the server of an invalidation of {largest:,}", trips[largest], 1),
        ]
    theirs = min(
        median(one.client for one in costs)
        for name, costs in measured.items()
        if name.endswith(f": {largest}") and not name.startswith(("unstale", REGION))
    )
    ours = median(one.client for one in measured[f"unstale Cache: {largest}"])
    what = f"client CPU of invalidating {largest:,}: the cheapest other / unstale Cache"
    return [*made, Target(what, theirs / ours, 1, at_least=True)]


def remarks(peers: list[Peer], config: Config) -> str:
    """How each invalidates, where that is recommended, and what its figures do not say."""
    lines = ["How a group is invalidated, and where that is said:"]
    for peer in peers:
        lines.append(f"  {peer.name}: {peer.how} [{peer.source}]")
        lines += [f"    {peer.remark}"] if peer.remark else []
    lines += [
        f"All keys live for the same time; each library has a database with {config.others:,} other keys, through",
        "which those that search by pattern walk. A request of more than 16 KiB is read by the server more than once,",
        "so that 'reads at the server' are round trips only for smaller ones. '/ unstale's': the client's CPU against",
        "unstale's Cache, or its AsyncCache for what is awaited. What UNLINK frees is freed in another thread of the",
        "server, which is not counted here. A fill by unstale or dogpile.cache includes the right to load alone, over",
        "all processes; by the others, as set up here, it does not. Values are encoded as each does by default, with",
        "pickle, JSON or MessagePack.",
    ]
    return "\n".join(lines)
