"""Local copies in a process: a model of the design (section 6), which is not built yet.

Validated: each read asks the server for the stamps alone. G1, as for the shared entry.

Pushed: CLIENT TRACKING tells of each write to a stamp; a hit asks nobody. Staleness is bounded, not excluded: when all
that was sent has arrived and every broken connection has been noticed, no local copy is older than what was invalidated
for. (A heartbeat makes a connection that is broken noticed; a hard maximum age bounds the rest.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from model.faults import evicting
from model.process import HOLDS, VIOLATED, WAIT, Model, Operation, Process, Run, Step, copies
from model.scenario import Scenario
from model.server import Draft, Entry, World, commit, is_fresh, mget, new_stamp, promise, set_nx_get, set_xx_get


class Rules(NamedTuple):
    """The design, and its simplifications.

    Attributes:
        kind: "validated" or "pushed".
        copies: a local copy has the stamps that the shared entry "recorded", or those that are "read anew" with it.
        guards: an answer that a push has overtaken is not kept.
        flushes: all copies go when the connection that is told of writes is connected "anew"; or when its break is
            "noticed" only, or never ("").
    """

    kind: str = "validated"
    copies: str = "recorded"
    guards: bool = True
    flushes: str = "anew"


@dataclass
class Local(World):
    """Beside the server: one process and the connection that it is told of writes by.

    Attributes:
        copy: the process's copy of the entry.
        tracked: whether the server knows whom to tell.
        sent: pushes under way.
        generation: raised with each push that arrived.
    """

    copy: Entry | None = None
    tracked: bool = True
    sent: int = 0
    generation: int = 0


def push(world: Local) -> None:
    """The server tells of a write to the stamp."""
    world.sent += world.tracked


def look(world: Local) -> Any:
    """The shared tier's answer: a hit, or the stamp that was seen."""
    entry, stamp = mget(world.keys, "entry", "stamp")
    if not is_fresh(entry, {"stamp": stamp}):
        return ("miss", stamp)
    promise(entry.value >= world.floor, f"a hit of v{entry.value}, though v{world.floor} had been invalidated for")
    return ("hit", entry)


def opens(world: Local) -> str:
    """A new stamp is a write like any other: it is told."""
    if "stamp" not in world.keys:
        push(world)
    return set_nx_get(world.keys, "stamp", new_stamp(world))


def keep(world: Local, rules: Rules, entry: Entry, at: int) -> str:
    """A local copy, unless a push has arrived since the question was asked."""
    if rules.kind == "pushed" and rules.guards and world.generation != at:
        return "overtaken"
    if rules.copies == "read anew":
        entry = entry._replace(stamps=(("stamp", mget(world.keys, "stamp")[0]),))
    world.copy = entry
    return "kept"


def shared(rules: Rules) -> Run:
    """`get_or_set` in the shared tier; what comes of it is kept locally."""
    at = yield Step("asks the shared tier", "", lambda world: world.generation)
    verdict, found = yield Step("the server answers", "", look)
    if verdict == "miss":
        stamp = found if found is not None else (yield Step("opens", "", opens))
        value = yield Step("loads", "", lambda world: world.row)
        found = Entry(value, (("stamp", stamp),))
        draft = Draft("set", value, found.stamps)
        if (yield Step("stores", "", lambda world: commit(world, world.keys, draft))) != "stored":
            return
    yield Step("keeps a local copy", "", lambda world: keep(world, rules, found, at))


def reading(rules: Rules) -> Operation:
    """A read: from the local copy, if that may be."""

    def validate(world: Local) -> bool:
        copy, stamp = world.copy, mget(world.keys, "stamp")[0]
        if copy is None or not is_fresh(copy, {"stamp": stamp}):
            return False
        promise(
            copy.value >= world.floor, f"a local hit of v{copy.value}, though v{world.floor} had been invalidated for"
        )
        return True

    def run() -> Run:
        if rules.kind == "validated":
            hit = yield Step("MGET of the stamps alone", "", validate)
        else:
            hit = yield Step("looks at the local copy", "", lambda world: world.copy is not None)
        if not hit:
            yield from shared(rules)

    return run


def writing() -> Run:
    """COMMIT, and an invalidation."""

    def committed(world: Local) -> int:
        world.row += 1
        return world.row

    def act(world: Local, version: int) -> str:
        world.floor = max(world.floor, version)
        met = set_xx_get(world.keys, "stamp", new_stamp(world))
        if met == "changed":
            push(world)
        return met

    version = yield Step("COMMIT", "", committed)
    yield Step("invalidates", "", lambda world: act(world, version))


def listening() -> Run:
    """A push arrives: the copy goes."""

    def act(world: Local) -> str:
        if not world.sent:
            return WAIT
        world.sent -= 1
        world.generation += 1
        world.copy = None
        return "the copy goes"

    yield Step("a push arrives", "", act)


def breaking(rules: Rules) -> Operation:
    """The connection that is told breaks; later that is noticed, and later another is made."""

    def broken(world: Local) -> str:
        world.tracked, world.sent = False, 0
        return "untold"

    def flush(world: Local, *, now: bool) -> str:
        if now:
            world.copy, world.generation = None, world.generation + 1
        return "all copies go" if now else "nothing goes"

    def anew(world: Local) -> str:
        world.tracked = True
        return flush(world, now=rules.flushes == "anew")

    def run() -> Run:
        yield Step("the connection that is told breaks", "", broken)
        yield Step("that is noticed", "", lambda world: flush(world, now=rules.flushes != ""))
        yield Step("CLIENT TRACKING on another", "", anew)

    return run


def at_last(world: Local) -> None:
    """No copy that is older than what was invalidated for, once all has arrived."""
    copy = world.copy
    promise(
        copy is None or copy.value >= world.floor, f"v{copy.value if copy else 0} stays, though v{world.floor} is due"
    )


def model(rules: Rules, *faults: Operation) -> Callable[[bool], Model]:
    """Readers of one process, a writer, the listener. Deeper: one more writer."""

    def make(deep: bool) -> Model:  # noqa: FBT001 - as a scenario calls it
        processes = [
            *copies(2, "R", reading(rules), reading(rules)),
            *copies(1 + deep, "W", writing),
            *[Process("server", (fault,)) for fault in faults],
        ]
        if rules.kind == "validated":
            return Model(Local(tracked=False), processes)
        return Model(Local(), [*processes, Process("listener", (listening,), for_ever=True)], at_last)

    return make


def scenario(name: str, expected: str, rule: str, make: Callable[[bool], Model]) -> Scenario:
    """One of this group's."""
    return Scenario("local (design)", name, expected, rule, make)


VALIDATED: Final = Rules()
PUSHED: Final = Rules("pushed")
SCENARIOS: Final = (
    scenario("validated", HOLDS, "design, 6", model(VALIDATED)),
    scenario("validated, the stamp lost", HOLDS, "design, 6", model(VALIDATED, evicting("stamp"))),
    scenario("validated, stamps read anew for the copy", VIOLATED, "design, 6", model(Rules(copies="read anew"))),
    scenario("pushed", HOLDS, "design, 6", model(PUSHED)),
    scenario("pushed, the connection breaks", HOLDS, "design, 6", model(PUSHED, breaking(PUSHED))),
    scenario(
        "pushed, an answer overtaken by its push is kept", VIOLATED, "design, 6", model(PUSHED._replace(guards=False))
    ),
    scenario(
        "pushed, nothing goes at a break", VIOLATED, "design, 6", model(PUSHED, breaking(PUSHED._replace(flushes="")))
    ),
    scenario(
        "pushed, copies go when a break is noticed only",
        VIOLATED,
        "design, 6",
        model(PUSHED, breaking(PUSHED._replace(flushes="noticed"))),
    ),
)
