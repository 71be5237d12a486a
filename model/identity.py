"""The server's identity and role: failover to a lagging replica, back and forth, a restart, a demoted primary.

Two servers, each with keys of its own. A replica has what its primary had when it last followed. Who is promoted takes
a new replication id, who starts anew a new run_id too. Clients stay connected to whom they were connected to.

G1, where every trip proves role and identity. As built a proof holds for a second, for which nothing is promised of a
demoted primary (`wire.PROOF_SECONDS`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from model.process import HOLDS, VIOLATED, WAIT, Model, Operation, Process, Run, Step, copies
from model.scenario import Scenario
from model.server import Draft, Keys, World, commit, is_fresh, mget, new_stamp, promise, set_nx_get, set_xx_get

HIT: Final = "hit"


class Rules(NamedTuple):
    """The protocol as built; each field is a way to simplify it.

    Attributes:
        identity: made of "run_id and replid", of the "run_id" alone, or of "nothing".
        taken: an entry records the identity of the server that showed its stamps ("look"), or that stores ("store").
        role: proved with "every trip", with a connection's "first", or "never".
    """

    identity: str = "run_id and replid"
    taken: str = "look"
    role: str = "every trip"


@dataclass
class Pair(World):
    """Beside the row: each server's keys (`keys` is the primary's at first), its run_id and its replication id."""

    others: Keys = field(default_factory=dict)
    run_ids: tuple[str, str] = ("A", "B")
    replids: tuple[str, str] = ("a", "a")
    primary: int = 0
    dead: bool = False

    def of(self, server: int) -> Keys:
        """A server's keys."""
        return self.others if server else self.keys

    def identity(self, server: int, rules: Rules) -> str:
        """`proof.identity_of`."""
        parts = {"run_id and replid": self.run_ids[server] + self.replids[server], "run_id": self.run_ids[server]}
        return parts.get(rules.identity, "")


class Wire(NamedTuple):
    """A connection that proves nothing again: its server, and what was proved at the first trip."""

    server: int
    run_id: str
    identity: str


def connect(rules: Rules) -> Generator[tuple[Step, ...], Any, Any]:
    """A connection, where it is not proved with every trip; then each trip goes to whoever is primary."""
    if rules.role == "every trip":
        return None

    def to(server: int) -> Step:
        def act(world: Pair) -> Any:
            if (world.dead or rules.role == "first") and world.primary != server:
                return WAIT
            return Wire(server, world.run_ids[server], world.identity(server, rules))

        return Step(f"connects to {'AB'[server]}", "stores.wire.Wire._introduce", act)

    return (yield to(0), to(1))


def trip(world: Pair, rules: Rules, wire: Wire | None) -> tuple[int, str] | None:
    """Who answers a trip, and its identity as the connection knows it; None where the connection broke."""
    if wire is None:
        return world.primary, world.identity(world.primary, rules)
    is_there = world.run_ids[wire.server] == wire.run_id and not (world.dead and world.primary != wire.server)
    return (wire.server, wire.identity) if is_there else None


def reading(rules: Rules) -> Operation:
    """`get_or_set`: look, open, load, store; each trip may be answered by another server than the one before."""

    def look(world: Pair, wire: Wire | None) -> Any:
        answering = trip(world, rules, wire)
        if answering is None:
            return None
        server, identity = answering
        entry, stamp = mget(world.of(server), "entry", "stamp")
        if not is_fresh(entry, {"stamp": stamp}) or entry.identity != identity:
            return (identity, stamp)
        promise(entry.value >= world.floor, f"a hit of v{entry.value}, though v{world.floor} had been invalidated for")
        return HIT

    def open_(world: Pair, identity: str) -> str | None:
        found = set_nx_get(world.of(world.primary), "stamp", new_stamp(world))
        return found if world.identity(world.primary, rules) == identity else None

    def store(world: Pair, identity: str, stamp: str, value: int) -> str:
        mine = world.identity(world.primary, rules)
        draft = Draft("set", value, (("stamp", stamp),), identity=mine if rules.taken == "store" else identity)
        return commit(world, world.of(world.primary), draft)

    def run() -> Run:
        wire = yield from connect(rules)
        seen = yield Step("looks", "core.keyspace.look", lambda world: look(world, wire))
        if seen in (None, HIT):
            return
        identity, stamp = seen
        if stamp is None:
            stamp = yield Step("opens", "core.refresh.is_same_server", lambda world: open_(world, identity))
            if stamp is None:
                return
        value = yield Step("loads", "core.refresh._load_and_store", lambda world: world.row)
        yield Step("stores", "stores.commands.commit", lambda world: store(world, identity, stamp, value))

    return run


def writing() -> Run:
    """COMMIT, then `invalidate` at the primary."""

    def committed(world: Pair) -> int:
        world.row += 1
        return world.row

    def invalidate(world: Pair, version: int) -> str:
        world.floor = max(world.floor, version)
        return set_xx_get(world.of(world.primary), "stamp", new_stamp(world))

    version = yield Step("COMMIT", "", committed)
    yield Step("invalidates", "stores.commands.bump", lambda world: invalidate(world, version))


def copied(world: Pair) -> None:
    """The one that is no primary has what the primary has."""
    source, target = world.of(world.primary), world.of(1 - world.primary)
    target.clear()
    target.update(source)


def following() -> Run:
    """The replica gets what the primary has: at any time, so it may lag as far as it likes."""

    def act(world: Pair) -> str:
        if world.dead:
            return WAIT
        copied(world)
        return "follows"

    yield Step("the replica catches up", "", act)


def failing_over(*, dies: bool) -> Operation:
    """The replica is promoted; the old primary dies, or goes on as its replica, with its clients and its old keys."""

    def act(world: Pair) -> str:
        world.primary, world.dead = 1 - world.primary, dies
        renewed = list(world.replids)
        renewed[world.primary] = world.draw()
        world.replids = (renewed[0], renewed[1])
        return "AB"[world.primary]

    def run() -> Run:
        yield Step("the replica is promoted", "", act)

    return run


def restarting() -> Run:
    """The primary starts anew from the snapshot that it saved when `following` last ran."""

    def act(world: Pair) -> str:
        world.keys.clear()
        world.keys.update(world.others)
        world.run_ids, world.replids = (world.draw(), "B"), (world.draw(), "a")
        return "from the snapshot"

    yield Step("the primary restarts", "", act)


def model(
    rules: Rules, *events: Operation, readers: int = 2, reads: int = 2, writers: int = 1, writes: int = 1
) -> Callable[[bool], Model]:
    """Readers, writers, and events in this order. Deeper: one more writer."""

    def make(deep: bool) -> Model:  # noqa: FBT001 - as a scenario calls it
        processes = [
            *copies(readers, "R", *[reading(rules)] * reads),
            *copies(writers + deep, "W", *[writing] * writes),
            Process("servers", events),
        ]
        return Model(Pair(), processes)

    return make


def scenario(name: str, expected: str, rule: str, make: Callable[[bool], Model]) -> Scenario:
    """One of this group's."""
    return Scenario("identity", name, expected, rule, make)


BUILT: Final = Rules()
DIES, LIVES = failing_over(dies=True), failing_over(dies=False)
FAILOVER: Final = (following, DIES)
FORTH_AND_BACK: Final = (following, LIVES, following, LIVES)
RESTART: Final = (following, restarting)
IDENTITY, ROLE, LOOKED = "stores.proof.identity_of", "stores.wire.Wire.exchange", "core.refresh.commit_of"
SCENARIOS: Final = (
    scenario("failover to a lagging replica", HOLDS, IDENTITY, model(BUILT, *FAILOVER)),
    scenario("forth and back, all lagging", HOLDS, IDENTITY, model(BUILT, *FORTH_AND_BACK)),
    scenario("a restart from an old snapshot", HOLDS, IDENTITY, model(BUILT, *RESTART)),
    scenario("no identity, failover", VIOLATED, IDENTITY, model(Rules(identity="nothing"), *FAILOVER)),
    scenario("no identity, restart", VIOLATED, IDENTITY, model(Rules(identity="nothing"), *RESTART)),
    scenario("run_id alone, failover", HOLDS, IDENTITY, model(Rules(identity="run_id"), *FAILOVER)),
    scenario("run_id alone, forth and back", VIOLATED, IDENTITY, model(Rules(identity="run_id"), *FORTH_AND_BACK)),
    scenario("the identity of who stores", VIOLATED, LOOKED, model(Rules(taken="store"), *FAILOVER)),
    scenario("the role never proved, a replica read", VIOLATED, ROLE, model(Rules(role="never"), *FAILOVER)),
    scenario(
        "the role proved once, a demoted primary keeps its clients",
        VIOLATED,
        "not promised for wire.PROOF_SECONDS",
        model(Rules(role="first"), following, LIVES),
    ),
    scenario("the role proved once, the old primary dies", HOLDS, ROLE, model(Rules(role="first"), *FAILOVER)),
)
