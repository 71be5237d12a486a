"""Fills and invalidations of one tag: stamps before the load, missing equals nothing, random values, retries.

Readers fill without a lease here: freshness never rests on one (`leases` has them), and without it more can happen.

G1: a hit of a read that began after `invalidate` returned is not older than what had been committed before that.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from model.faults import delivering, evicting, flush
from model.process import HOLDS, VIOLATED, Model, Operation, Process, Run, Step, copies
from model.scenario import Scenario
from model.server import (
    Draft,
    Entry,
    World,
    commit,
    is_fresh,
    mget,
    new_stamp,
    promise,
    set_nx_get,
    set_xx_get,
    unlink_open,
)

HIT: Final = "hit"


class Rules(NamedTuple):
    """The protocol as built; each field is a way to simplify it, or to disturb it.

    Attributes:
        observes: when a fill looks at the stamp: "before" its load, or "after" it.
        creates: when a fill creates a missing stamp: "before" its load, or "after" it.
        missing: a missing stamp equals "nothing", or a "missing" one that an entry has recorded as such.
        stamps: "random", or "counted" from 1 again where one is missing.
        again: a trip that is tried again has "new" values, or the "same".
        cut: whose first packet may be cut off from its sender, to arrive at any time: "bump", "open", nobody's.
        bumps: an invalidation comes "after" the COMMIT, or "before" it.
        apart: a hit reads all in one trip, or from two nodes: "stamp first", or "entry first".
        full: the server is full when it is to invalidate.
        dies: the writer may die between COMMIT and invalidation, which then counts as having returned.
    """

    observes: str = "before"
    creates: str = "before"
    missing: str = "nothing"
    stamps: str = "random"
    again: str = "new"
    cut: str = ""
    bumps: str = "after"
    apart: str = ""
    full: bool = False
    dies: bool = False


@dataclass
class Fills(World):
    """Beside the server: the packets that are cut off, each a command and its stamp."""

    late: tuple[tuple[str, str], ...] = ()


def judged(rules: Rules, entry: Entry | None, stamp: str | None, floor: int) -> str | None:
    """What `freshness.judge` says: a hit, which must keep the promise; else the stamp that was seen."""
    fresh = is_fresh(entry, {"stamp": stamp})
    if rules.missing == "missing" and entry is not None:
        fresh = entry.stamps == (("stamp", stamp),)
    if fresh and entry is not None:
        promise(entry.value >= floor, f"a hit of v{entry.value}, though v{floor} had been invalidated for")
        return HIT
    return stamp


def look(rules: Rules) -> Generator[Step, Any, Any]:
    """The hit path's read."""

    def at_once(world: Fills) -> str | None:
        entry, stamp = mget(world.keys, "entry", "stamp")
        return judged(rules, entry, stamp, world.floor)

    if not rules.apart:
        return (yield Step("looks", "core.keyspace.look", at_once))
    first, second = ("stamp", "entry") if rules.apart == "stamp first" else ("entry", "stamp")
    floor, seen = yield Step(
        f"reads the {first} from its node", "", lambda world: (world.floor, mget(world.keys, first)[0])
    )

    def then(world: Fills) -> str | None:
        found = {first: seen, second: mget(world.keys, second)[0]}
        return judged(rules, found["entry"], found["stamp"], floor)

    return (yield Step(f"reads the {second} from its node", "", then))


def stamp_for_missing(world: Fills, rules: Rules) -> str:
    """What a fill creates."""
    return "1.1" if rules.stamps == "counted" else new_stamp(world)


def create(rules: Rules) -> Generator[Step | tuple[Step, ...], Any, str]:
    """Create the missing stamp, or find what another has created."""
    code = "stores.commands.open_"

    def act(world: Fills) -> str:
        return set_nx_get(world.keys, "stamp", stamp_for_missing(world, rules))

    def cut(world: Fills) -> str:
        stamp = stamp_for_missing(world, rules)
        world.late += (("nx", stamp),)
        return f"cut {stamp}"

    once = Step("SET stamp NX GET", code, act)
    reply: str = yield (once, Step("SET stamp NX GET is cut off", code, cut)) if rules.cut == "open" else once
    if reply.startswith("cut "):
        stamp = reply.removeprefix("cut ")
        same = once._replace(act=lambda world: set_nx_get(world.keys, "stamp", stamp))
        reply = yield same if rules.again == "same" else once
    return reply


def reading(rules: Rules) -> Operation:
    """`get_or_set`, in which each may load."""

    def run() -> Run:
        seen = yield from look(rules)
        if seen == HIT:
            return
        if seen is None and rules.creates == "before" and rules.missing == "nothing":
            seen = yield from create(rules)
        value = yield Step("loads", "core.refresh._load_and_store", lambda world: world.row)
        if rules.observes == "after":
            seen = yield Step("looks at the stamp only now", "", lambda world: mget(world.keys, "stamp")[0])
        if seen is None and rules.creates == "after":
            seen = yield from create(rules)
        yield Step("stores", "stores.scripts.COMMIT", lambda world: store(world, rules, value, seen))

    return run


def store(world: Fills, rules: Rules, value: int, seen: str | None) -> str:
    """The script; for what compares missing with missing, without its comparison."""
    if rules.missing == "missing":
        world.keys["entry"] = Entry(value, (("stamp", seen),))
        return "stored"
    return commit(world, world.keys, Draft("set", value, (("stamp", seen),)))


def bump(world: Fills, rules: Rules, stamp: str | None = None) -> str:
    """SET stamp XX GET."""
    if rules.stamps == "counted":
        stamp = f"{int(world.keys.get('stamp', '0.0').partition('.')[0]) + 1}.1"
    return set_xx_get(world.keys, "stamp", stamp or new_stamp(world))


def writing(rules: Rules) -> Operation:
    """COMMIT, then `invalidate`; what has returned raises the floor."""
    code = "stores.commands.bump"

    def committed(world: Fills) -> int:
        world.row += 1
        return world.row

    def returned(world: Fills, version: int, met: str) -> str:
        world.floor = max(world.floor, version)
        return met

    def invalidate(version: int) -> Run:
        once = Step(
            "invalidates: SET stamp XX GET",
            code,
            lambda world: returned(world, version, bump(world, rules)),
        )
        if rules.full:
            yield Step("SET is refused: OOM", code, lambda _: "OOM")
            removes = Step(
                "removes the stamp", "stores.scripts.UNLINK_OPEN", lambda world: unlink_open(world.keys, "stamp")
            )
            yield removes._replace(act=lambda world: returned(world, version, unlink_open(world.keys, "stamp")))
            return

        def cut(world: Fills) -> str:
            stamp = new_stamp(world)
            world.late += (("xx", stamp),)
            return stamp

        reply = yield (once, Step("SET stamp XX GET is cut off", code, cut)) if rules.cut == "bump" else once
        if "." in reply:
            stamp = reply if rules.again == "same" else None
            act = once._replace(act=lambda world: returned(world, version, bump(world, rules, stamp)))
            yield act._replace(label="tries again")

    def run() -> Run:
        commits = Step("COMMIT", "", committed)
        if rules.bumps == "before":
            yield Step("invalidates too early", code, lambda world: bump(world, rules))
            version = yield commits
            yield Step("returns", "", lambda world: returned(world, version, "returned"))
            return
        version = yield commits
        if rules.dies:
            yield Step("dies", "", lambda world: returned(world, version, "never invalidated"))
            return
        yield from invalidate(version)

    return run


def arrive(world: Fills, packet: tuple[str, str]) -> str:
    """A packet that was cut off arrives."""
    command, stamp = packet
    return (set_nx_get if command == "nx" else set_xx_get)(world.keys, "stamp", stamp)


BUILT: Final = Rules()
STAMP: Final = (evicting("stamp"),)
ANY: Final = (evicting("stamp", "entry"),)


def model(
    rules: Rules = BUILT, *faults: Operation, readers: int = 2, reads: int = 2, writers: int = 1
) -> Callable[[bool], Model]:
    """Readers, writers, a network that delivers late, and faults, each once. Deeper: one more writer."""

    def make(deep: bool) -> Model:  # noqa: FBT001 - as a scenario calls it
        processes = copies(readers, "R", *[reading(rules)] * reads)
        processes += copies(writers + deep, "W", writing(rules))
        processes += copies(1, "network", delivering(arrive)) * bool(rules.cut)
        processes += [Process("server", (fault,)) for fault in faults]
        return Model(Fills(), processes)

    return make


def scenario(name: str, expected: str, rule: str, make: Callable[[bool], Model]) -> Scenario:
    """One of this group's."""
    return Scenario("fills", name, expected, rule, make)


LOOK, OPEN, BUMP, JUDGE = "core.keyspace.look", "stores.commands.open_", "stores.commands.bump", "core.freshness.judge"
SCENARIOS: Final = (
    scenario("as built", HOLDS, LOOK, model(writers=2)),
    scenario("as built, stamp and entry lost, FLUSHALL", HOLDS, JUDGE, model(BUILT, *ANY, flush)),
    scenario("as built, 3 readers, the stamp lost", HOLDS, JUDGE, model(BUILT, *STAMP, readers=3, reads=1, writers=2)),
    scenario("stamps observed after the load", VIOLATED, LOOK, model(Rules(observes="after"))),
    scenario("stamps created after the load", VIOLATED, OPEN, model(Rules(creates="after"))),
    scenario("missing equals missing", VIOLATED, "core.stamps.equal", model(Rules(missing="missing"), *STAMP)),
    scenario("counters for stamps", HOLDS, "as long as none is lost", model(Rules(stamps="counted"))),
    scenario("counters, the stamp lost", VIOLATED, "stores.commands.new_stamp", model(Rules(stamps="counted"), *STAMP)),
    scenario(
        "invalidated before the COMMIT",
        VIOLATED,
        "contrib.django.transactions.waiting.carry_out",
        model(Rules(bumps="before")),
    ),
    scenario(
        "a bump is tried again, its first comes late",
        HOLDS,
        BUMP,
        model(Rules(cut="bump"), *STAMP, writers=2, readers=1),
    ),
    scenario(
        "the same stamp when it is tried again", VIOLATED, BUMP, model(Rules(cut="bump", again="same"), writers=2)
    ),
    scenario("an opening is tried again, its first comes late", HOLDS, OPEN, model(Rules(cut="open"), *STAMP, reads=1)),
    scenario(
        "the same new stamp when it is tried again", VIOLATED, OPEN, model(Rules(cut="open", again="same"), *STAMP)
    ),
    scenario("a full server", HOLDS, "stores.commands.unlink_open", model(Rules(full=True), writers=2)),
    scenario("stamp and entry on two nodes, stamp first", HOLDS, JUDGE, model(Rules(apart="stamp first"), *STAMP)),
    scenario("stamp and entry on two nodes, entry first", HOLDS, JUDGE, model(Rules(apart="entry first"), *STAMP)),
    scenario("the writer dies before it invalidates", VIOLATED, "what the outbox is for", model(Rules(dies=True))),
)
