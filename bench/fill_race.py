"""`python -m bench.fill_race`: the race that every fill of a cache can lose, step by step, on each library.

    reader                                  writer
    misses, begins to load: the OLD value
                                            commits the NEW value to the database
                                            invalidates, as the library recommends; that returns
    its load returns, it stores
    the next read, after the invalidation: old or new?

Nothing sleeps and nothing is left to chance: the loader itself waits until the writer's invalidation has returned. The
reader and the writer share one process and one client, which is what favours a library most: what it keeps in the
process's memory is known to both.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from bench.peers_base import TTL, Page, Peer, page
from bench.peers_redis import RedisPy, RedisPyTracking
from bench.peers_unstale import WAYS, Unstale
from bench.report import Part, Table, Target
from bench.servers import KINDS, best_kind, running

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.servers import Server

GROUP, NUMBER = "42", 0
PATIENCE_SECONDS = 10.0
"""A library whose invalidation waits for the load under way would never let the load end: after this it does."""
OLD, NEW = 1, 2
LIBRARIES: Final = ("peers_sync", "peers_async")
COLUMNS: Final = ("library", "the writer calls", "next read", "served for", "loads")
CONTROL: Final = RedisPy
"""GET, SET EX, and deletes: if this race does not show a stale value there, it shows nothing."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a race.

    Attributes:
        peer: the library, and how it was used.
        version: of the value that the first read after the invalidation was given.
        stale_seconds: how long that value would be served: what is left of its ttl; 0 where it is the new one.
        loads: how often the loader ran, the next read's own load included.
    """

    peer: type[Peer]
    version: int
    stale_seconds: float
    loads: int

    @property
    def is_old(self) -> bool:
        """Whether the invalidation was lost."""
        return self.version == OLD


class Database:
    """What the cache stands before: one value, and the loads of it."""

    def __init__(self) -> None:
        """Begin with the old value."""
        self.version = OLD
        self.loads = 0

    def select(self) -> Page:
        """Read it."""
        self.loads += 1
        return page(self.version)

    def commit(self) -> None:
        """Write the new value."""
        self.version = NEW


def race(made: type[Peer], server: Server, database: int = 0) -> Outcome:
    """Run the race on a library, in an emptied database."""
    peer = made(server, database)
    peer.client.flushdb()
    try:
        return asyncio.run(_race_async(peer)) if peer.is_async else _race_sync(peer)
    finally:
        peer.client.close()


def _race_sync(peer: Peer) -> Outcome:
    behind = Database()
    loading, invalidated = threading.Event(), threading.Event()

    def load_slowly() -> Page:
        value = behind.select()
        loading.set()
        invalidated.wait(PATIENCE_SECONDS)
        return value

    peer.open()
    try:
        with ThreadPoolExecutor(1) as reader:
            reading = reader.submit(peer.read, GROUP, NUMBER, load_slowly)
            reading.add_done_callback(lambda _: loading.set())  # if it fails, it says so below
            if not loading.wait(PATIENCE_SECONDS) or reading.done():
                reading.result()
                raise RuntimeError(f"{peer.name}: the loader was not called")
            behind.commit()
            peer.invalidate(GROUP)
            invalidated.set()
            reading.result()
        return _outcome(peer, peer.read(GROUP, NUMBER, behind.select), behind)
    finally:
        invalidated.set()
        peer.close()


async def _race_async(peer: Peer) -> Outcome:
    behind = Database()
    loading, invalidated = asyncio.Event(), asyncio.Event()

    async def load_slowly() -> Page:
        value = behind.select()
        loading.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                await invalidated.wait()
        return value

    async def load() -> Page:
        return behind.select()

    await peer.open()
    try:
        reading = asyncio.create_task(peer.read(GROUP, NUMBER, load_slowly))
        reading.add_done_callback(lambda _: loading.set())  # if it fails, it says so below
        async with asyncio.timeout(PATIENCE_SECONDS):
            await loading.wait()
        if reading.done():
            reading.result()
            raise RuntimeError(f"{peer.name}: the loader was not called")
        behind.commit()
        await peer.invalidate(GROUP)
        invalidated.set()
        await reading
        return _outcome(peer, await peer.read(GROUP, NUMBER, load), behind)
    finally:
        await peer.close()


def _outcome(peer: Peer, served: Page, behind: Database) -> Outcome:
    version = served["version"]
    left = peer.seconds_left(GROUP, NUMBER) if version == OLD else 0.0
    return Outcome(type(peer), version, left, behind.loads)


def racers() -> list[type[Peer]]:
    """All that race, ours first."""
    others = [import_module(f"bench.{name}") for name in LIBRARIES]  # of the bench's environment only
    return [*WAYS, RedisPy, RedisPyTracking, *(peer for one in others for peer in (*one.PEERS, *one.RACERS))]


def ours(outcome: Outcome) -> bool:
    """Whether it is unstale's."""
    return issubclass(outcome.peer, Unstale)


def bench(kind: str, say: Callable[[str], None], made: list[type[Peer]] | None = None) -> Part:
    """Race them all, one after the other, on one server."""
    outcomes = []
    with running(kind) as server:
        for one in made or racers():
            say(f"fill-race: {one.name}")
            outcomes.append(race(one, server))
        version = server.version
    rows = tuple(map(_row, outcomes))
    title = f"A value loaded before an invalidation, stored after it ({version}): what the next read is given"
    return Part("fill-race", (Table(title, COLUMNS, rows),), tuple(targets(outcomes)), (summary(outcomes),))


def _row(outcome: Outcome) -> tuple[Any, ...]:
    return (
        outcome.peer.name,
        outcome.peer.how,
        "OLD" if outcome.is_old else "new",
        f"{outcome.stale_seconds:.0f} s" if outcome.is_old else "-",
        outcome.loads,
    )


def targets(outcomes: list[Outcome]) -> list[Target]:
    """What must be: never an old value from unstale, and a race that shows one where keys are deleted."""
    made = []
    for one in outcomes:
        what, old = f"{one.peer.name}: old values served", int(one.is_old)
        if ours(one):
            made.append(Target(what, old, 0, fatal=True))
        elif one.peer is CONTROL:
            made.append(Target(f"{what}, which the race must show", old, 1, at_least=True, fatal=True))
    return made


def summary(outcomes: list[Outcome]) -> str:
    """Who passes and who does not, in words."""
    old = [one.peer.name for one in outcomes if one.is_old]
    new = [one.peer.name for one in outcomes if not one.is_old and not ours(one)]
    lines = [
        f"Old value served after the invalidation had returned: {', '.join(old) or 'none'}.",
        f"Others than unstale that served the new one: {', '.join(new) or 'none'}.",
        f"Each keeps its values for {TTL} s here: an old value is served until then, or until the next invalidation.",
    ]
    return "\n".join(lines)


def markdown(part: Part) -> str:
    """The tables for the docs."""
    blocks = []
    for table in part.tables:
        lines = [table.columns, tuple("---" for _ in table.columns), *table.rows]
        blocks.append("\n".join(f"| {' | '.join(map(str, line))} |" for line in lines))
    return "\n\n".join([*blocks, *part.remarks])


def main() -> int:
    """Race and print; 1 if unstale served an old value, or the race showed nothing."""
    parser = argparse.ArgumentParser(prog="python -m bench.fill_race", description=__doc__.partition("\n")[0])
    parser.add_argument("--server", choices=KINDS, help="by default redis-server where installed, else embedded")
    parser.add_argument("--markdown", action="store_true", help="as a table for the docs")
    options = parser.parse_args()
    part = bench(options.server or best_kind(), lambda text: print(f"... {text}", file=sys.stderr, flush=True))
    print(markdown(part) if options.markdown else part.text())
    return 1 if any(target.fatal and not target.met for target in part.targets) else 0


if __name__ == "__main__":
    sys.exit(main())
