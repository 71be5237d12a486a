"""One sample of one method and verb for `unstale lab scale`: what it costs, and the proof that it did what it is for.

How often samples are taken, and in which order, is not known here.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice, pairwise
from typing import Final, NamedTuple

from unstale.tools.engine import between, look
from unstale.tools.lab.errors import LabError
from unstale.tools.lab.node import connect
from unstale.tools.lab.sampling import OWN_TRIPS
from unstale.tools.lab.scale_job import Sampled
from unstale.tools.lab.scale_plan import KEYSETS, Station, at_once, calls
from unstale.tools.lab.scale_results import Verb
from unstale.tools.lab.scale_ways import Way

ENOUGH_SECONDS: Final = 0.005
"""Engine CPU of a sample, at least: a look at the counters costs 0.2 ms, and varies."""
MOST_SHOTS: Final = 10
PROOF: Final = 50
"""Pages that are read to see that an invalidation did what it is measured for."""
LOOKS: Final = 8
IDLE_SECONDS: Final = 0.3


class Cost(NamedTuple):
    """What some calls took, together."""

    engine_seconds: float
    client_seconds: float
    """CPU of this process."""
    trips: int
    calls: int


class Meter:
    """Takes the engine's counters before and after, less what looking at them costs, and what it uses when idle."""

    def __init__(self, url: str) -> None:
        self.client = connect(url)
        self._look_seconds = 0.0
        """Of the engine, for one look."""
        self._idle = 0.0
        """Seconds of the engine in each second in which nothing is asked of it."""

    def calibrate(self) -> None:
        """Learn what a look costs, and an idle second, with this keyspace."""
        looks = [look(self.client) for _ in range(LOOKS)]
        seen = [between(before, after) for before, after in pairwise(looks)]
        self._look_seconds = statistics.median(one.engine_seconds for one in seen)
        time.sleep(IDLE_SECONDS)
        idle = between(looks[-1], look(self.client))
        self._idle = max(0.0, idle.engine_seconds - self._look_seconds) / idle.seconds

    def measure(self, call: Callable[[int], object], count: int) -> Cost:
        """Do something `count` times; it is told how often it was done before."""
        before = look(self.client)
        began = time.process_time()
        for number in range(count):
            call(number)
        client_seconds = time.process_time() - began
        work = between(before, look(self.client))
        engine = work.engine_seconds - self._look_seconds - self._idle * work.seconds
        return Cost(max(0.0, engine), client_seconds, work.trips - OWN_TRIPS, count)


class Task:
    """One method and one verb in one station."""

    def __init__(self, verb: Verb, method: str, station: Station, way: Way, seed: int) -> None:
        self.method, self.verb, self.station = method, verb, station
        self.rounds = 0
        """Samples so far."""
        self.spent = 0.0
        """Seconds that they took, putting back and all."""
        self.last = 0.0
        """Seconds of the last one."""
        self._way = way
        self._count = calls(method, verb, station)
        self._turn = cycle(users_of(method, station))
        self._draw = random.Random(f"{seed}/{method}/{verb}/{station.keys}/{station.per_user}")

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.station.name}: {self.method}, {self.verb}"

    def sample(self, meter: Meter) -> Sampled:
        """Measure it once.

        Raises:
            LabError: a page was not served that is fresh, or was served after its user's invalidation.
            redis.RedisError, unstale.StoreError: the server is gone, or refuses.
        """
        began = time.monotonic()
        costs = [self._read(meter)] if self.verb == "read" else list(self._invalidate(meter))
        self.last = time.monotonic() - began
        self.spent += self.last
        self.rounds += 1
        count = sum(cost.calls for cost in costs)
        return Sampled(
            method=self.method,
            verb=self.verb,
            keys=self.station.keys,
            per_user=self.station.per_user,
            engine_us=1e6 * sum(cost.engine_seconds for cost in costs) / count,
            client_us=1e6 * sum(cost.client_seconds for cost in costs) / count,
            trips=sum(cost.trips for cost in costs) / count,
        )

    def _read(self, meter: Meter) -> Cost:
        users = list(islice(self._turn, self._count))
        pages = [self._draw.randrange(self.station.per_user) for _ in users]
        found: list[str | None] = []
        cost = meter.measure(lambda number: found.append(self._way.read(users[number], pages[number])), self._count)
        if None in found:
            raise LabError(f"{self.name}: {found.count(None)} of {len(found)} reads found nothing fresh.")
        return cost

    def _invalidate(self, meter: Meter) -> Iterator[Cost]:
        """Until the engine has worked enough for its clock; after each time the users' pages are put back."""
        spent = 0.0
        for _ in range(MOST_SHOTS):
            users = list(islice(self._turn, at_once(self.method, self.station)))
            cost = self._shot(meter, users)
            self._put_back(users)
            yield cost
            spent += cost.engine_seconds
            if spent >= ENOUGH_SECONDS:
                return

    def _shot(self, meter: Meter, users: list[int]) -> Cost:
        return meter.measure(lambda number: self._way.invalidate(users[number % len(users)]), self._count)

    def _put_back(self, users: list[int]) -> None:
        """See that nothing of these users is served any more; store it again."""
        served = [where for where in self._some(users) if self._way.read(*where) is not None]
        if served:
            raise LabError(f"{self.name}: pages are served after their invalidation, such as (user, page) {served[0]}.")
        for user in users:
            self._way.store(user)

    def _some(self, users: list[int]) -> Iterator[tuple[int, int]]:
        for _ in range(PROOF):
            yield self._draw.choice(users), self._draw.randrange(self.station.per_user)


def users_of(method: str, station: Station) -> range:
    """Whose keys a method is measured on."""
    first = KEYSETS[method] * 1000
    return range(first, first + station.users)
