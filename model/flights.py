"""Single flight: within a process others wait for one load. Joined by key and observed stamps, never taken on trust.

G1 for what a read returns, and for the values computed from it: a reader who waited is given nothing that had been
invalidated before it began, and knows the stamps of what it is given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from model.engine import Model
from model.faults import evicting
from model.process import WAIT, Operation, Process, Run, Step, copies
from model.scenario import HOLDS, VIOLATED, Scenario
from model.server import Draft, World, commit, is_fresh, mget, new_stamp, promise, set_nx_get, set_xx_get


class Rules(NamedTuple):
    """The protocol as built; each field is a way to simplify it.

    Attributes:
        joined: a flight is joined by "key and stamps", or by "key".
        waiters: "look again", or "trust" what has landed.
    """

    joined: str = "key and stamps"
    waiters: str = "look again"


@dataclass
class Flying(World):
    """Beside the server: the flights of one process, by what they are joined by: under way, or the value landed."""

    flights: dict[str, Any] = field(default_factory=dict)


def reading(rules: Rules) -> Operation:
    """`get_or_set`."""

    def look(world: Flying, floor: int | None) -> Any:
        floor = world.floor if floor is None else floor
        entry, stamp = mget(world.keys, "entry", "stamp")
        if not is_fresh(entry, {"stamp": stamp}):
            return ("miss", stamp, floor)
        served(entry.value, floor)
        return ("hit", None, floor)

    def served(value: int, floor: int) -> None:
        promise(value >= floor, f"given v{value}, though v{floor} had been invalidated for before this read began")

    def flight_of(stamp: str | None) -> str:
        return f"key under {stamp}" if rules.joined == "key and stamps" else "key"

    def lead(world: Flying, flight: str) -> bool:
        if world.flights.get(flight) == "under way":
            return False
        world.flights[flight] = "under way"
        return True

    def join(world: Flying, flight: str, floor: int) -> Any:
        landed = world.flights.get(flight)
        if landed == "under way":
            return WAIT
        if rules.waiters == "trust":
            served(landed, floor)
        return "landed"

    def land(world: Flying, flight: str, value: int, stamp: str) -> str:
        done = commit(world, world.keys, Draft("set", value, (("stamp", stamp),)))
        world.flights[flight] = value
        return done

    def run() -> Run:
        verdict, stamp, floor = yield Step("looks", "core.keyspace.look", lambda world: look(world, None))
        while verdict == "miss":
            flight = flight_of(stamp)
            if (yield Step("leads, or joins", "flights.Flights.lead", lambda world: lead(world, flight))):
                yield from fly(flight, stamp)
                return
            yield Step("waits", "core.refresh.refresh", lambda world: join(world, flight, floor))
            if rules.waiters == "trust":
                return
            verdict, stamp, _ = yield Step("looks again", "core.refresh.refresh", lambda world: look(world, floor))

    def fly(flight: str, stamp: str | None) -> Run:
        if stamp is None:
            stamp = yield Step(
                "opens", "stores.commands.open_", lambda world: set_nx_get(world.keys, "stamp", new_stamp(world))
            )
        value = yield Step("loads", "core.refresh._load_and_store", lambda world: world.row)
        yield Step("stores and lands", "core.refresh._fly", lambda world: land(world, flight, value, str(stamp)))

    return run


def writing() -> Run:
    """COMMIT, then `invalidate`."""

    def committed(world: Flying) -> int:
        world.row += 1
        return world.row

    def act(world: Flying, version: int) -> str:
        world.floor = max(world.floor, version)
        return set_xx_get(world.keys, "stamp", new_stamp(world))

    version = yield Step("COMMIT", "", committed)
    yield Step("invalidates", "stores.commands.bump", lambda world: act(world, version))


def model(rules: Rules, *faults: Operation, readers: int = 3, writers: int = 1) -> Callable[[bool], Model]:
    """Readers of one process, writers, faults. Deeper: one more writer."""

    def make(deep: bool) -> Model:  # noqa: FBT001 - as a scenario calls it
        processes = [
            *copies(readers, "R", reading(rules)),
            *copies(writers + deep, "W", writing),
            *[Process("server", (fault,)) for fault in faults],
        ]
        return Model(Flying(), processes)

    return make


def scenario(name: str, expected: str, rule: str, make: Callable[[bool], Model]) -> Scenario:
    """One of this group's."""
    return Scenario("flights", name, expected, rule, make)


BUILT: Final = Rules()
LOST: Final = evicting("stamp")
JOINED, AGAIN = "core.keyspace.Look.flight", "core.refresh.refresh"
SCENARIOS: Final = (
    scenario("joined by key and stamps", HOLDS, JOINED, model(BUILT, writers=2)),
    scenario("joined by key and stamps, the stamp lost", HOLDS, JOINED, model(BUILT, LOST, writers=2)),
    scenario("joined by key, who waited looks again", HOLDS, AGAIN, model(Rules(joined="key"))),
    scenario("joined by key, the landed value trusted", VIOLATED, JOINED, model(Rules("key", "trust"))),
    scenario("joined by both, trusted, the stamp lost", VIOLATED, AGAIN, model(Rules(waiters="trust"), LOST)),
)
