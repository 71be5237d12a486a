"""Single flight: within a process others wait for one load. Joined by key and observed stamps, never taken on trust.

G1 for what a read returns, and for the values computed from it: a reader who waited is given nothing that had been
invalidated before it began, and knows the stamps of what it is given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, NamedTuple

from model.faults import evicting
from model.process import HOLDS, VIOLATED, WAIT, Model, Operation, Process, Run, Step, copies
from model.scenario import Scenario
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


def look(world: Flying, floor: int | None = None) -> tuple[str, str | None, int]:
    """One MGET, judged; and the floor when the read began."""
    floor = world.floor if floor is None else floor
    entry, stamp = mget(world.keys, "entry", "stamp")
    if not is_fresh(entry, {"stamp": stamp}):
        return "miss", stamp, floor
    served(entry.value, floor)
    return "hit", None, floor


def served(value: int, floor: int) -> None:
    """G1, for a read that began when the floor was this."""
    promise(value >= floor, f"given v{value}, though v{floor} had been invalidated for before this read began")


def lead(flight: str) -> Step:
    """Begin a flight; False where another has begun the same."""

    def act(world: Flying) -> bool:
        if world.flights.get(flight) == "under way":
            return False
        world.flights[flight] = "under way"
        return True

    return Step("leads, or joins", "flights.Flights.lead", act)


def join(rules: Rules, flight: str, floor: int) -> Step:
    """Wait until it has landed."""

    def act(world: Flying) -> Any:
        landed = world.flights.get(flight)
        if landed == "under way":
            return WAIT
        if rules.waiters == "trust" and landed is not None:
            served(landed, floor)
        return "landed"

    return Step("waits", "core.refresh.refresh", act)


def fly(flight: str, stamp: str | None) -> Run:
    """Open, load, store, land."""
    if stamp is None:
        stamp = yield Step(
            "opens", "stores.commands.open_", lambda world: set_nx_get(world.keys, "stamp", new_stamp(world))
        )
    value = yield Step("loads", "core.refresh._load_and_store", lambda world: world.row)
    draft = Draft("set", value, (("stamp", stamp),))

    def land(world: Flying) -> str:
        world.flights[flight] = value
        return commit(world, world.keys, draft)

    yield Step("stores and lands", "core.refresh._fly", land)


def reading(rules: Rules) -> Operation:
    """`get_or_set`."""

    def run() -> Run:
        verdict, stamp, floor = yield Step("looks", "core.keyspace.look", look)
        while verdict == "miss":
            flight = f"key under {stamp}" if rules.joined == "key and stamps" else "key"
            if (yield lead(flight)):
                yield from fly(flight, stamp)
                return
            yield join(rules, flight, floor)
            if rules.waiters == "trust":
                return
            again = partial(look, floor=floor)
            verdict, stamp, _ = yield Step("looks again", "core.refresh.refresh", again)

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
