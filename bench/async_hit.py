"""What a hit costs on asyncio: the client's CPU beside redis.asyncio's, and the engine's with many readers on one loop.

One reader at a time shows what the client pays for a read. Fifty readers on one loop show what the engine pays: the
reads of one turn of the loop travel together, so that one wake-up of the server answers many of them. Client and
server share one core.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from itertools import repeat
from time import process_time
from typing import TYPE_CHECKING, Any, Final

import hiredis
import uvloop
from redis import asyncio as aioredis

from bench.hit import Cost, ratio
from bench.readers import KEY, RAW_GET, REDIS_PY, TAGS, VALUE, readers
from bench.report import Part, Spread, Table, Target
from bench.servers import cores, pinned, running
from unstale import AsyncCache
from unstale.core.keys import Names

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bench.servers import Server


@dataclass(frozen=True, slots=True)
class Config:
    """How much is measured.

    Attributes:
        rounds: in each of which all readers have their turn.
        calls: of each in a round.
        readers: tasks under way at a time.
    """

    rounds: int = 40
    calls: int = 500
    readers: int = 50


NAMESPACE: Final = "bench"
LOOPS: Final[dict[str, Callable[[], asyncio.AbstractEventLoop]]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}
UNSTALE: Final = "unstale AsyncCache.get, 3 stamps"
MGET: Final = "redis.asyncio MGET of the same 4"
GET: Final = "redis.asyncio GET"
CLIENT_LIMIT, ENGINE_LIMIT = 0.25, 0.3

BARE: Final = "bare asyncio protocol, the same MGET"
"""What the loop itself costs: pack once, write, a future, hiredis."""

Reads = dict[str, "Callable[[], Awaitable[object]]"]


def bench(kind: str, say: Callable[[str], None], config: Config | None = None) -> Part:
    """Measure with a new server of this kind, on asyncio and on uvloop."""
    config = config or Config()
    core = cores()[-1] if cores() else None
    tables: list[Table] = []
    targets: list[Target] = []
    with pinned(core), running(kind) as server:
        if core is not None:
            server.pin(core)
        for loop, factory in LOOPS.items():
            say(f"asyncio: one reader on {loop}")
            with asyncio.Runner(loop_factory=factory) as runner:
                costs = runner.run(one_reader(server, config))
            tables.append(_client_table(f"{loop}: a hit of 1 KiB on {server.version}", costs, config))
            client = ratio(costs[UNSTALE].client, costs[MGET].client).middle
            targets.append(
                Target(f"{loop}: client CPU of a hit, one reader / redis.asyncio's MGET", client, CLIENT_LIMIT)
            )
        for loop, factory in LOOPS.items():
            say(f"asyncio: {config.readers} readers on {loop}")
            with asyncio.Runner(loop_factory=factory) as runner:
                shared, trips = runner.run(many_readers(server, config))
            title = f"{loop}: {config.readers} readers on one loop, {server.version}"
            tables.append(_engine_table(title, shared, trips, config))
            targets += _engine_targets(loop, shared, trips, config)
    return Part("asyncio", tuple(tables), tuple(targets), (REMARK,))


REMARK: Final = """\
The bare protocol is what a loop costs with nothing around the command: no library can be below it. A reader who is
alone pays for a turn of the loop with each read; many share one.

The yardstick for the engine is a plain GET by redis-py, one trip for each read, one after the other: that is what a
program pays that does not join its reads. The same by a bare socket is shown beside it. redis.asyncio with as many
readers has a connection for each, so nothing is joined there either. Trips are the server's own count."""


class _Bare(asyncio.Protocol):
    """One request at a time, nothing checked."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Hand over a reply that is complete."""
        self._reader.feed(data)
        reply = self._reader.gets()
        if reply is not False:
            self._future.set_result(reply)

    def request(self, packed: bytes) -> asyncio.Future[object]:
        """Send."""
        self._future = asyncio.get_running_loop().create_future()
        self._transport.write(packed)
        return self._future

    def close(self) -> None:
        """Close."""
        self._transport.close()


async def _reads(server: Server) -> tuple[Reads, Callable[[], Awaitable[None]]]:
    """The reads that are awaited, each tried once; and what closes them."""
    cache = AsyncCache.from_url(server.url(), namespace=NAMESPACE, timeout=10)

    async def load() -> bytes:
        return VALUE

    await cache.get_or_set(KEY, load, tags=TAGS, ttl=None)
    client = aioredis.Redis(port=server.port)
    await client.set("raw", VALUE)
    names = Names(NAMESPACE)
    wanted = names.read_names(KEY.encode(), names.tagset("", TAGS), "")
    _, bare = await asyncio.get_running_loop().create_connection(_Bare, "127.0.0.1", server.port)
    packed = hiredis.pack_command((b"MGET", *wanted))
    reads: Reads = {
        UNSTALE: lambda: cache.get(KEY, tags=TAGS),
        MGET: lambda: client.mget(wanted),
        GET: lambda: client.get("raw"),
        BARE: lambda: bare.request(packed),
    }
    if await reads[UNSTALE]() != VALUE or await reads[GET]() != VALUE or None in await reads[MGET]():
        raise RuntimeError("not what was stored")

    async def close() -> None:
        bare.close()
        await cache.close()
        await client.aclose()

    return reads, close


def _asking_seconds(server: Server, times: int = 300) -> float:
    before = server.engine_seconds()
    for _ in range(times):
        last = server.engine_seconds()
    return (last - before) / times


async def one_reader(server: Server, config: Config) -> dict[str, Cost]:
    """All reads in turns, in another order each round, one at a time."""
    reads, close = await _reads(server)
    asking = _asking_seconds(server)
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in reads}
    order = list(reads)
    for _ in range(config.rounds):
        random.shuffle(order)
        for name in order:
            samples[name].append(await _sample(server, _in_a_row(reads[name], config.calls), config.calls, asking))
    await close()
    return _costs(samples)


async def _in_a_row(read: Callable[[], Awaitable[object]], calls: int) -> None:
    for _ in repeat(None, calls):
        await read()


async def _at_once(read: Callable[[], Awaitable[object]], calls: int, tasks: int) -> None:
    await asyncio.gather(*(_in_a_row(read, calls // tasks) for _ in range(tasks)))


async def _sample(server: Server, work: Awaitable[None], calls: int, asking: float) -> tuple[float, float]:
    """Microseconds of the client's and of the engine's CPU for one call."""
    engine_before, client_before = server.engine_seconds(), process_time()
    await work
    client, engine = process_time() - client_before, server.engine_seconds() - engine_before - asking
    return client / calls * 1e6, engine / calls * 1e6


def _costs(samples: dict[str, list[tuple[float, float]]]) -> dict[str, Cost]:
    return {
        name: Cost(tuple(client for client, _ in pairs), tuple(engine for _, engine in pairs))
        for name, pairs in samples.items()
    }


async def many_readers(server: Server, config: Config) -> tuple[dict[str, Cost], dict[str, float]]:
    """Many tasks that read, beside plain GETs one by one; what each costs, and trips a read."""
    reads, close = await _reads(server)
    plain = {name: read for name, read in readers(server).items() if name in (RAW_GET, REDIS_PY)}
    calls = config.calls * 4 // config.readers * config.readers
    works: dict[str, Callable[[], Awaitable[None]]] = {
        name: lambda name=name: _at_once(reads[name], calls, config.readers) for name in (UNSTALE, MGET, GET)
    }
    works |= {name: lambda name=name: _called(plain[name], calls) for name in plain}
    for work in works.values():
        await work()  # the connections are made
    asking = _asking_seconds(server)
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    order = list(works)
    for _ in range(max(1, config.rounds // 2)):
        random.shuffle(order)
        for name in order:
            samples[name].append(await _sample(server, works[name](), calls, asking))
    trips = {name: await _trips(server, work, calls) for name, work in works.items()}
    await close()
    return _costs(samples), trips


async def _called(read: Callable[[], Any], calls: int) -> None:
    for _ in repeat(None, calls):
        read()


async def _trips(server: Server, work: Callable[[], Awaitable[None]], calls: int) -> float:
    """How often the server read from a connection, for each call."""
    before = server.counted()
    await work()
    return server.counted().since(before).trips / calls


def _client_table(title: str, costs: dict[str, Cost], config: Config) -> Table:
    rows = tuple(
        (
            name,
            Spread(cost.client),
            ratio(cost.client, costs[MGET].client).middle,
            Spread(cost.engine),
            ratio(cost.engine, costs[MGET].engine).middle,
        )
        for name, cost in costs.items()
    )
    columns = ("read", "client us", "/ redis.asyncio MGET", "engine us", "/ redis.asyncio MGET's")
    return Table(f"{title}, one reader, median of {config.rounds} rounds (and four fifths of them)", columns, rows)


def _engine_table(title: str, costs: dict[str, Cost], trips: dict[str, float], config: Config) -> Table:
    rows = tuple(
        (
            name if name in (RAW_GET, REDIS_PY) else f"{config.readers} x {name}",
            Spread(cost.engine),
            ratio(cost.engine, costs[REDIS_PY].engine).middle,
            ratio(cost.engine, costs[RAW_GET].engine).middle,
            f"{trips[name]:.3f}",
            Spread(cost.client),
            ratio(cost.client, costs[MGET].client).middle,
        )
        for name, cost in costs.items()
    )
    columns = (
        "reads",
        "engine us",
        "/ redis-py GET's",
        "/ raw GET's",
        "trips a read",
        "client us",
        "/ redis.asyncio MGET",
    )
    return Table(f"{title}: a read, median of the rounds (and four fifths of them)", columns, rows)


def _engine_targets(loop: str, costs: dict[str, Cost], trips: dict[str, float], config: Config) -> list[Target]:
    client = ratio(costs[UNSTALE].client, costs[MGET].client).middle
    engine = [ratio(costs[UNSTALE].engine, costs[yardstick].engine).middle for yardstick in (REDIS_PY, RAW_GET)]
    what = f"{loop}: engine CPU of a read, {config.readers} readers / plain GET"
    return [
        Target(f"{what}, by redis-py", engine[0], ENGINE_LIMIT),
        Target(f"{what}, by raw socket", engine[1], ENGINE_LIMIT),
        Target(f"{loop}: trips a read, {config.readers} readers", trips[UNSTALE], 0.1),
        Target(f"{loop}: client CPU of a hit, {config.readers} readers / redis.asyncio's MGET", client, CLIENT_LIMIT),
    ]
