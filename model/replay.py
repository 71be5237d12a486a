"""`fence="replay"` and `wait`: entries that are bound to no server, across a failover to a replica that lags.

Two servers, as in `identity`. A process keeps its bumps, and makes them again at a server that has not answered them
before it uses it. Its threads share what it keeps; another process knows nothing of it. Every trip is proved; one that
meets another server than the connection's is made once more, on a new connection.

G1 for what the reader's own process has invalidated; for others' from when they have used the new primary.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, NamedTuple

from model.faults import evicting
from model.identity import DIES, FAILOVER, FORTH_AND_BACK, RESTART, Pair, following
from model.identity import Rules as Identities
from model.process import HOLDS, VIOLATED, WAIT, Model, Operation, Process, Run, Step
from model.scenario import Scenario
from model.server import Draft, commit, is_fresh, mget, new_stamp, promise, set_nx_get, set_xx_get

BROKEN: Final = "broken"
BOTH: Final = Identities()


class Rules(NamedTuple):
    """The protocol as built; each field is a way to simplify it.

    Attributes:
        replay: on a connection "first", before it is used; after its first "read"; or "never".
        noted: a bump is noted "before" it is sent, or "after" it was answered.
        wait: an invalidation returns when a replica has it: "checked"; when WAIT has returned, whatever it says:
            "unchecked"; the same, with nothing to wait for where the stamp was missing: "unmarked"; or "no" WAIT.
        owed: whose invalidations are promised: "all", or of other processes those that have used this server: "own".
    """

    replay: str = "first"
    noted: str = "before"
    wait: str = "no"
    owed: str = "all"


@dataclass
class Noted(Pair):
    """Beside the two servers: for each process, where its bump took effect; "" where that is not known."""

    notes: dict[str, str] = field(default_factory=dict)

    def now(self) -> str:
        """The primary's identity."""
        return self.identity(self.primary, BOTH)

    def owes(self, process: str) -> bool:
        """Whether a process has bumped what the primary may lack."""
        return self.notes.get(process, self.now()) != self.now()


def bring(world: Noted, process: str, identity: str) -> str:
    """The replay."""
    if world.now() != identity:
        return BROKEN
    met = set_xx_get(world.of(world.primary), "stamp", new_stamp(world))
    world.notes[process] = identity
    return met


def connected(rules: Rules, process: str) -> Generator[Step, Any, str]:
    """A connection: the identity that it was proved with."""
    while True:
        identity, owes = yield Step(
            "connects", "stores.wire.Wire._introduce", lambda world: (world.now(), world.owes(process))
        )
        if not owes or rules.replay != "first":
            return str(identity)
        code = "stores.replaying.bringing"
        brought = yield Step("replays", code, partial(bring, process=process, identity=identity))
        if brought != BROKEN:
            return str(identity)


def of_server(identity: str, act: Callable[[Noted], Any]) -> Callable[[Noted], Any]:
    """What happens if the primary is the connection's server yet."""
    return lambda world: act(world) if world.now() == identity else BROKEN


def trip(
    rules: Rules, process: str, identity: str, label: str, code: str, act: Callable[[Noted], Any]
) -> Generator[Step, Any, tuple[Any, str]]:
    """A trip, made again on a new connection if this one's server is another by now: its reply, and who answered."""
    while True:
        reply = yield Step(label, code, of_server(identity, act))
        if reply != BROKEN:
            return reply, identity
        identity = yield from connected(rules, process)


def reading(rules: Rules, process: str) -> Operation:
    """`get_or_set`."""

    def look(world: Noted) -> Any:
        entry, stamp = mget(world.of(world.primary), "entry", "stamp")
        if not is_fresh(entry, {"stamp": stamp}):
            return stamp
        others = [one for one in world.notes if one != process and world.owes(one)]
        kept = entry.value >= world.floor or (rules.owed == "own" and bool(others))
        promise(kept, f"a hit of v{entry.value}, though v{world.floor} had been invalidated for")
        return "hit"

    def store(world: Noted, stamp: str, value: int) -> str:
        return commit(world, world.of(world.primary), Draft("set", value, (("stamp", stamp),)))

    def run() -> Run:
        identity = yield from connected(rules, process)
        seen, identity = yield from trip(rules, process, identity, "looks", "core.keyspace.look", look)
        if rules.replay == "read":
            yield Step("replays late", "", lambda world: world.owes(process) and bring(world, process, world.now()))
        if seen == "hit":
            return
        if seen is None:
            seen, identity = yield from trip(
                *(rules, process, identity, "opens", "stores.commands.open_"),
                lambda world: set_nx_get(world.of(world.primary), "stamp", new_stamp(world)),
            )
        value = yield Step("loads", "core.refresh._load_and_store", lambda world: world.row)
        yield from trip(
            *(rules, process, identity, "stores", "stores.commands.commit"), lambda world: store(world, seen, value)
        )

    return run


def waited(rules: Rules, world: Noted, met: str) -> str:
    """WAIT: it returns when the replica has everything."""
    lags = world.of(world.primary) != world.of(1 - world.primary)
    if rules.wait == "no" or not lags or (rules.wait == "unmarked" and met == "missing"):
        return "acknowledged"
    return WAIT if rules.wait in ("checked", "unmarked") else "not acknowledged"


def writing(rules: Rules, process: str) -> Operation:
    """COMMIT, then `invalidate`. It has not returned while its connection may have broken under it."""

    def committed(world: Noted) -> int:
        world.row += 1
        return world.row

    def noted(world: Noted, server: str) -> str:
        world.notes[process] = server
        return server

    def returned(world: Noted, version: int, identity: str) -> str:
        if rules.noted == "before":
            world.notes[process] = identity
        world.floor = max(world.floor, version)
        return "returned"

    def run() -> Run:
        version = yield Step("COMMIT", "", committed)
        identity = yield from connected(rules, process)
        if rules.noted == "before":
            yield Step("notes the bump", "core.replay.Recent.note", lambda world: noted(world, ""))
        met, identity = yield from trip(
            *(rules, process, identity, "bumps", "stores.commands.bump"),
            lambda world: set_xx_get(world.of(world.primary), "stamp", new_stamp(world)),
        )
        if rules.wait != "no":
            code = "stores.commands.acknowledged"
            known = yield Step("WAIT", code, of_server(identity, lambda world: waited(rules, world, met)))
            if known == BROKEN:
                return
        yield Step("returns", "core.replay.Recent.settle", lambda world: returned(world, version, identity))
        if rules.noted == "after":
            yield Step("notes the bump", "", lambda world: noted(world, identity))

    return run


def pinging(rules: Rules, process: str) -> Operation:
    """Any later use of the cache by the process that wrote."""

    def run() -> Run:
        yield from connected(rules, process)

    return run


def model(rules: Rules, *events: Operation, reader: str = "P") -> Callable[[bool], Model]:
    """Readers, of the writer's process "P" or of another, the writer, and events in this order.

    Deeper: a second reader of the writer's process, too, where there are two events.
    """

    def make(deep: bool) -> Model:  # noqa: FBT001 - as a scenario calls it
        reads = (reading(rules, reader),) * 2
        later = () if reader == "P" else (pinging(rules, "P"),)
        processes = [Process("R1", reads), Process("servers", events), Process("W1", (writing(rules, "P"), *later))]
        if reader != "P" or (deep and len(events) <= len(FAILOVER)):
            processes.append(Process("R2", reads[:1]))
        return Model(Noted(), processes)

    return make


def scenario(name: str, expected: str, rule: str, make: Callable[[bool], Model]) -> Scenario:
    """One of this group's."""
    return Scenario("replay", name, expected, rule, make)


BUILT: Final = Rules()
OWN: Final = Rules(owed="own")
WAITING: Final = Rules(replay="never", wait="checked")
EVICTED: Final = (following, evicting("stamp"), DIES)
REPLAY, NOTE, ACKNOWLEDGED = "stores.replaying.bringing", "core.replay.Recent.note", "stores.commands.acknowledged"
SCENARIOS: Final = (
    scenario("failover to a lagging replica, one process", HOLDS, REPLAY, model(BUILT, *FAILOVER)),
    scenario("forth and back, all lagging, one process", HOLDS, REPLAY, model(BUILT, *FORTH_AND_BACK)),
    scenario("a restart from an old snapshot, one process", HOLDS, REPLAY, model(BUILT, *RESTART)),
    scenario("a stamp evicted before the failover", HOLDS, NOTE, model(BUILT, *EVICTED)),
    scenario("nothing replayed", VIOLATED, REPLAY, model(Rules(replay="never"), *FAILOVER)),
    scenario("replayed after the first read", VIOLATED, REPLAY, model(Rules(replay="read"), *FAILOVER)),
    scenario("noted after the answer", VIOLATED, NOTE, model(Rules(noted="after"), *FAILOVER)),
    scenario("another's bumps, once it has used the new primary", HOLDS, REPLAY, model(OWN, *FAILOVER, reader="Q")),
    scenario(
        "another's bumps, before that, or if it died",
        VIOLATED,
        "not promised: nobody else knows them",
        model(BUILT, *FAILOVER, reader="Q"),
    ),
    scenario("WAIT, two processes, no replay", HOLDS, ACKNOWLEDGED, model(WAITING, *FAILOVER, reader="Q")),
    scenario("WAIT, a stamp evicted", HOLDS, ACKNOWLEDGED, model(WAITING, *EVICTED, reader="Q")),
    scenario(
        "WAIT, its count unchecked",
        VIOLATED,
        ACKNOWLEDGED,
        model(Rules(replay="never", wait="unchecked"), *FAILOVER, reader="Q"),
    ),
    scenario(
        "WAIT without a mark, a stamp evicted",
        VIOLATED,
        ACKNOWLEDGED,
        model(Rules(replay="never", wait="unmarked"), *EVICTED, reader="Q"),
    ),
)
