"""Loading early (XFetch, `beta`): a simulated day of a popular key and of many keys.

Time is simulated, the library is not: an `AsyncCache` over the reference store runs on an event loop whose clock jumps
to whatever is due next, so that a day takes seconds and each run is the same: the readers' times and their chances come
from a seeded generator. A load takes its time on that clock, and readers come meanwhile.

What is left out: readers who come so long before the end of a ttl that none of them would load early (over a day the
chance that one would is below 1e-3). Of those only one a minute reads.
"""

from __future__ import annotations

import asyncio
import math
import random
import selectors
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from bench.report import Part, Table, Target
from unstale.aio import AsyncCache, _AsyncIO
from unstale.core.policy import early_by
from unstale.options import make_keyspace
from unstale.runners import tasks
from unstale.stores.immediate import Immediate
from unstale.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DAY: Final = 86_400.0
WINDOW_LOADS: Final = 18.0
"""A reader is left out where the ttl has more than so many times beta loads' times to go: exp(-18) is 1.5e-8."""
EDGE_LOADS: Final = 3.0
"""So many loads' times before the end nobody is left out, with beta=0 either."""
SPARSE_SECONDS: Final = 60.0
"""How often one reads in the time that is left out."""
EPOCH: Final = 1_700_000_000.0


@dataclass(frozen=True, slots=True)
class Config:
    """A simulation.

    Attributes:
        name: what it is called.
        beta: the cache's option.
        keys: how many; all are loaded at the beginning, at the same moment.
        reads_per_second: of each key, at random times (a Poisson process).
        ttl: seconds.
        load_seconds: what a load takes.
        seconds: how long it goes on.
        has_runner: whether loads are done by a task of their own (`runners.tasks()`).
        seed: of the generator.
    """

    name: str
    beta: float
    keys: int = 1
    reads_per_second: float = 200.0
    ttl: float = 300.0
    load_seconds: float = 0.2
    seconds: float = DAY
    has_runner: bool = False
    seed: int = 1

    @property
    def ideal(self) -> float:
        """Loads if each value were used to its last moment."""
        return self.keys * self.seconds / self.ttl


POPULAR: Final = "one key, 200 reads/s"
LESS: Final = "one key, 50 reads/s"
MANY: Final = "20 keys, 5 reads/s each"

CONFIGS: Final = (
    Config(POPULAR, 0.0),
    Config(POPULAR, 1.0),
    Config(LESS, 0.0, reads_per_second=50.0),
    Config(LESS, 1.0, reads_per_second=50.0),
    Config(LESS, 1.0, reads_per_second=50.0, has_runner=True),
    Config(LESS, 2.0, reads_per_second=50.0),
    Config(MANY, 0.0, keys=20, reads_per_second=5.0),
    Config(MANY, 1.0, keys=20, reads_per_second=5.0),
)
LOADS_LIMIT: Final = 1.1


@dataclass(slots=True)
class Outcome:
    """What a simulation counted.

    Attributes:
        config: it.
        reads: those that were made.
        loads: how often the loader ran, the first load of each key aside.
        waiting: readers who were kept waiting at all: who loaded, or found the value expired.
        expired: readers who found the value expired.
        at_once: how many of them waited for one load, at the most.
        expiries: loads that began when the value had expired, or during which it did: the moments of an expiry spike.
        busiest: most loads that began in one second, over all keys.
    """

    config: Config
    reads: int = 0
    loads: int = 0
    waiting: int = 0
    expired: int = 0
    at_once: int = 0
    expiries: int = 0
    busiest: int = 0

    @property
    def of_ideal(self) -> float:
        """Loads, as a multiple of the ideal."""
        return self.loads / self.config.ideal


class _Jumping(selectors.SelectSelector):
    """A selector that never waits: the clock jumps instead."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Let the time pass that the loop would wait."""
        if timeout is None:
            raise RuntimeError("nothing will ever happen any more")
        self._clock.seconds += max(timeout, 0.0)
        return super().select(0)


class Clock:
    """The simulation's time."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.seconds = 0.0

    def monotonic(self) -> float:
        """Seconds since the beginning."""
        return self.seconds

    def now(self) -> float:
        """The same as a wall clock would show it."""
        return EPOCH + self.seconds

    def loop(self) -> asyncio.AbstractEventLoop:
        """An event loop that lives by this clock."""
        loop = asyncio.SelectorEventLoop(_Jumping(self))
        loop.time = self.monotonic  # type: ignore[method-assign]
        return loop


class _IO(_AsyncIO):
    """The library's own, with this clock and this chance."""

    def __init__(self, store: Any, runner: Any, clock: Clock, chances: random.Random) -> None:
        super().__init__(store, runner)
        self._clock = clock
        self._chances = chances

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def now(self) -> float:
        return self._clock.now()

    def chance(self) -> float:
        return 1.0 - self._chances.random()


@dataclass(slots=True)
class _Key:
    """What the simulation knows of a key.

    Attributes:
        expires_at: when the value that is stored now expires.
        waited: readers who found it expired, since its last load ended.
    """

    expires_at: float = 0.0
    waited: int = 0


@dataclass(slots=True)
class _Day:
    """A simulation under way."""

    config: Config
    clock: Clock
    cache: AsyncCache
    outcome: Outcome
    keys: dict[str, _Key] = field(default_factory=dict)
    began: Counter[int] = field(default_factory=Counter)

    async def load(self, name: str) -> str:
        """A load, which takes its time."""
        key = self.keys[name]
        self.outcome.loads += 1
        self.began[int(self.clock.seconds)] += 1
        await asyncio.sleep(self.config.load_seconds)
        key.expires_at = self.clock.seconds + self.config.ttl
        self.outcome.at_once = max(self.outcome.at_once, key.waited)
        self.outcome.expiries += key.waited > 0
        key.waited = 0
        return "value"

    async def read(self, name: str) -> None:
        """One reader."""
        key, began = self.keys[name], self.clock.seconds
        self.outcome.reads += 1
        if began >= key.expires_at:
            self.outcome.expired += 1
            key.waited += 1
        await self.cache.get_or_set(name, lambda: self.load(name))
        self.outcome.waiting += self.clock.seconds > began

    async def readers(self, name: str, times: random.Random) -> None:
        """All readers of a key, each when it is his time."""
        running: set[asyncio.Task[None]] = set()
        await self.cache.get_or_set(name, lambda: self.load(name))
        for at in self._times(name, times):
            await asyncio.sleep(max(at - self.clock.seconds, 0.0))
            reader = asyncio.create_task(self.read(name))
            running.add(reader)
            reader.add_done_callback(running.discard)
            await asyncio.sleep(0)  # whether he loads is known before the next one's time
        await asyncio.gather(*running)

    def _times(self, name: str, times: random.Random) -> Iterator[float]:
        """When readers come: all in the window before the end of the ttl, few in the time before that."""
        window = max(WINDOW_LOADS * self.config.beta, EDGE_LOADS) * self.config.load_seconds
        while self.clock.seconds < self.config.seconds:
            yield self.clock.seconds + times.expovariate(self.config.reads_per_second)
            begins = self.keys[name].expires_at - window
            while self.clock.seconds + SPARSE_SECONDS < begins:
                yield self.clock.seconds + SPARSE_SECONDS
            if self.clock.seconds < begins:
                yield begins


def simulate(config: Config) -> Outcome:
    """Run one simulation. The same config gives the same outcome."""
    clock, draws = Clock(), random.Random(config.seed)
    space = make_keyspace({"namespace": "day", "ttl": config.ttl, "beta": config.beta, "timeout": 10})
    store: Any = Immediate(MemoryStore(clock=clock.monotonic))
    io = _IO(store, tasks() if config.has_runner else None, clock, random.Random(draws.random()))
    day = _Day(config, clock, AsyncCache(store, space, io=io), Outcome(config))
    names = [f"key:{number}" for number in range(config.keys)]

    async def all_day() -> None:
        day.keys.update((name, _Key()) for name in names)
        await asyncio.gather(*(day.readers(name, random.Random(draws.random())) for name in names))

    with asyncio.Runner(loop_factory=clock.loop) as runner:
        runner.run(all_day())
    day.outcome.loads -= config.keys
    day.began[0] = 0
    day.outcome.busiest = max(day.began.values())
    return day.outcome


def expected_spike(config: Config) -> float:
    """The chance that a ttl ends before anybody has loaded early, by the policy's own function.

    A reader who comes x seconds before the end loads early with the chance exp(-x / (beta load)). Whoever does so less
    than a load's time before the end is too late for those who come behind him.
    """
    if not config.beta:
        return 1.0
    scale = early_by(config.load_seconds, config.beta, math.exp(-1))  # beta times load
    return math.exp(-config.reads_per_second * scale * math.exp(-config.load_seconds / scale))


def bench(_kind: str, say: Callable[[str], None], configs: tuple[Config, ...] = CONFIGS) -> Part:
    """Simulate all of them; no server is needed."""
    outcomes = []
    for config in configs:
        began = time.monotonic()
        outcomes.append(simulate(config))
        say(f"early: {_label(config)}: {outcomes[-1].reads:,} reads, {time.monotonic() - began:.1f} s")
    first = configs[0]
    title = (
        f"A simulated day ({first.seconds:g} s), ttl {first.ttl:g} s, a load takes {first.load_seconds:g} s: the real "
        "AsyncCache on a simulated clock"
    )
    columns = (
        "readers",
        "loads",
        "/ ideal",
        "found it expired",
        "most at once",
        "expiries seen",
        "of all",
        "expected up to",
        "kept waiting",
        "most loads in 1 s",
    )
    return Part("early", (Table(title, columns, tuple(map(_row, outcomes))),), targets(outcomes), (REMARK,))


def _label(config: Config) -> str:
    return f"{config.name}, beta={config.beta:g}{', runner' if config.has_runner else ''}"


def _row(outcome: Outcome) -> tuple[Any, ...]:
    config = outcome.config
    seen = outcome.expiries / outcome.loads if outcome.loads else 0.0
    return (
        _label(config),
        outcome.loads,
        outcome.of_ideal,
        outcome.expired,
        outcome.at_once,
        outcome.expiries,
        f"{seen:.1%}",
        f"{expected_spike(config):.1%}",
        outcome.waiting,
        outcome.busiest,
    )


REMARK: Final = """\
'Expiries seen': ends of a ttl at which at least one reader found the value expired and had to wait; 'expected': how
often the formula of XFetch may lead to that (nobody drew early enough for the load to end in time). It is
exp(-reads/s x beta x load x exp(-1 / beta)): beta=1 suffices for a key with about 25 reads in a load's time; for one
with 10, beta=2 does. With few readers there is nobody to draw, and no herd either. Without a runner the one who loads
early waits for his own load; with one, nobody does."""


def targets(outcomes: list[Outcome]) -> tuple[Target, ...]:
    """With beta: no spike at a key that is read much, and few more loads than the ideal anywhere."""
    made = []
    for one in outcomes:
        config, label = one.config, _label(one.config)
        if config.beta:
            made.append(Target(f"{label}: loads / ideal", one.of_ideal, LOADS_LIMIT))
        if config.beta and config.name != MANY and not config.has_runner:
            made.append(Target(f"{label}: readers who found it expired", one.expired, 0))
        if not config.beta and config.name == POPULAR:
            what = f"{label}: expiries seen, of all (the simulation must show the spike)"
            made.append(Target(what, one.expiries / max(one.loads, 1), 0.99, at_least=True))
    return tuple(made)
