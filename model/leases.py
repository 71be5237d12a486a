"""Leases and the store by rename: `delete`, `set`, `add`, `replace` and counting against fills, leased and unleased.

Nothing invalidates the tag here but where a scenario says so: what is promised of one *key* rests on the lease.

After `delete` or `set` of a key returned, no hit is older than what had been committed before, if fills hold leases.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from model.faults import delivering, evicting
from model.process import HOLDS, VIOLATED, WAIT, Model, Operation, Process, Run, Step, copies
from model.scenario import Scenario
from model.server import Draft, Entry, World, commit, is_fresh, mget, promise, release, set_nx_get, unlink

OPENED: Final = "1.1"
"""The tag's stamp at the beginning: it is there, so that no fill need create it."""


class Rules(NamedTuple):
    """The protocol as built; each field is a way to simplify or disturb it.

    Attributes:
        leased: whether fills store under a lease; without, as a `get` that missed and a `set`.
        probes: whether the opening looks at the entry's first bytes again.
        staging: staged values are named by each attempt's "own" token, or "shared".
        removes: `delete` removes entry and lease in "one" command, or in two: "entry first", "lease first"; or only
            the "entry".
        verb: what the writer does after COMMIT: "delete", "set", or "set, keep lease".
        again: a trip that is tried again has a "new" token, or the "same".
        cut: whether the first opening may be cut off, and arrive later.
        split: whether others may come between the commands of the opening's pipeline.
        single: whether it counts as broken if a second load begins for a key that nobody has written.
    """

    leased: bool = True
    probes: bool = True
    staging: str = ""
    removes: str = "one"
    verb: str = "delete"
    again: str = "new"
    cut: bool = False
    split: bool = False
    single: bool = False


@dataclass
class Leases(World):
    """Beside the server: tokens of openings that were cut off; loads begun since the last write."""

    late: tuple[str, ...] = ()
    loads: int = 0


def looks() -> Generator[Step, Any, Any]:
    """One MGET: a hit, which must keep the promise, or what was seen of entry and stamp. And the floor then."""

    def act(world: Leases) -> tuple[Any, ...]:
        entry, stamp = mget(world.keys, "entry", "stamp")
        if is_fresh(entry, {"stamp": stamp}):
            promise(entry.value >= world.floor, f"a hit of v{entry.value}, though v{world.floor} had been put in place")
            return ("hit", entry)
        return ("miss", entry, stamp)

    return (yield Step("looks", "core.keyspace.look", act))


def claim(rules: Rules) -> Generator[Step | tuple[Step, ...], Any, Any]:
    """SET lease NX GET, and the entry's beginning again: the token, if the lease is ours, and what is there now."""
    code = "stores.commands.open_"

    def take(world: Leases, token: str) -> tuple[str | None, Entry | None]:
        ours = set_nx_get(world.keys, "lease", token) == token
        return (token if ours else None, world.keys.get("entry") if rules.probes else None)

    def cut(world: Leases) -> str:
        token = world.draw()
        world.late += (token,)
        return token

    if rules.split:
        token, _ = yield Step("SET lease NX GET", code, lambda world: take(world, world.draw()))
        return token, (yield Step("GETRANGE entry", code, lambda world: world.keys.get("entry")))
    once = Step("SET lease NX GET, GETRANGE entry", code, lambda world: take(world, world.draw()))
    reply = yield (once, Step("SET lease NX GET is cut off", code, cut)) if rules.cut else once
    if isinstance(reply, str):
        token = reply
        same = once._replace(act=lambda world: take(world, token))
        reply = yield same if rules.again == "same" else once
    return reply


def waits(before: Entry | None) -> Step:
    """Until the lease is free, or another has filled the key."""

    def act(world: Leases) -> Any:
        return WAIT if "lease" in world.keys and world.keys.get("entry") == before else "looks again"

    return Step("waits", "core.refresh._approach", act)


def loads(rules: Rules) -> Step:
    """The user's function."""

    def act(world: Leases) -> int:
        world.loads += rules.single
        promise(world.loads < 2, "a second load of what was being filled")  # noqa: PLR2004
        return world.row

    return Step("loads", "core.refresh._load_and_store", act)


def filling(rules: Rules) -> Operation:
    """`get_or_set`: look, claim or wait, load, store."""

    def run() -> Run:
        while True:
            seen = yield from looks()
            if seen[0] == "hit":
                return
            token, there = yield from claim(rules)
            if token is not None and (there == seen[1] or not rules.probes):
                break
            if token is not None:
                yield releases(token)
            else:
                yield waits(seen[1])
        value = yield loads(rules)
        yield from stores(rules, value, seen[2], token)

    return run


def releases(token: str) -> Step:
    """The lease is not wanted after all."""
    return Step("gives the lease back", "stores.scripts.RELEASE", lambda world: release(world.keys, "lease", token))


def stores(rules: Rules, value: int, stamp: str, token: str) -> Run:
    """SET of the staged value, then the script. Under a name of its own nobody can come between the two."""
    code = "stores.scripts.COMMIT"
    draft = Draft("fill" if rules.leased else "set", value, (("stamp", stamp),), token)
    if rules.staging != "shared":
        yield Step("stores", code, lambda world: commit(world, world.keys, draft))
        return

    def stage(world: Leases) -> int:
        world.keys["staged"] = value
        return value

    def rename(world: Leases) -> str:
        staged = world.keys.pop("staged", None)
        return "evicted" if staged is None else commit(world, world.keys, draft._replace(value=staged))

    yield Step("SET staged", "stores.commands._staging", stage)
    yield Step("stores what is staged", code, rename)


def setting(rules: Rules) -> Operation:
    """A `get` that misses, and the `set` that follows: no lease."""

    def run() -> Run:
        seen = yield from looks()
        if seen[0] == "miss":
            value = yield loads(rules)
            yield from stores(rules._replace(leased=False), value, seen[2], "")

    return run


def unlinks(*names: str) -> Step:
    """One command."""
    return Step(f"UNLINK {' '.join(names)}", "core.verbs.delete", lambda world: unlink(world.keys, *names))


def writing(rules: Rules) -> Operation:
    """COMMIT, then `delete` or `set` of the key."""

    def committed(world: Leases) -> int:
        world.row, world.loads = world.row + 1, 0
        return world.row

    def returned(world: Leases, version: int) -> str:
        world.floor = max(world.floor, version)
        return "returned"

    def run() -> Run:
        version = yield Step("COMMIT", "", committed)
        if rules.verb == "delete":
            yield from delete(version)
        else:
            yield Step("sets the key", "core.verbs.set_many", lambda world: put(world, version))

    def put(world: Leases, version: int) -> str:
        lease = world.keys.get("lease")
        done = commit(world, world.keys, Draft("set", version, (("stamp", None),)))
        if rules.verb == "set, keep lease" and lease is not None:
            world.keys["lease"] = lease
        returned(world, version)
        return done

    def delete(version: int) -> Run:
        parts: dict[str, list[tuple[str, ...]]] = {
            "one": [("entry", "lease")],
            "entry": [("entry",)],
            "entry first": [("entry",), ("lease",)],
            "lease first": [("lease",), ("entry",)],
        }
        for names in parts[rules.removes]:
            yield unlinks(*names)
        yield Step("returns", "", lambda world: returned(world, version))

    return run


def arrive(world: Leases, token: str) -> str:
    """A packet that was cut off arrives: SET lease NX."""
    return set_nx_get(world.keys, "lease", token)


BUILT: Final = Rules()
LOST: Final = evicting("lease")
"""A lease runs out before its load is done."""


def model(
    rules: Rules = BUILT,
    *faults: Operation,
    readers: int = 2,
    reads: int = 2,
    writers: int = 1,
    others: tuple[Operation, ...] = (),
) -> Callable[[bool], Model]:
    """Readers, writers, faults and other processes, each once. Deeper: one more reader, where nothing is cut off."""

    def make(deep: bool) -> Model:  # noqa: FBT001 - as a scenario calls it
        processes = copies(readers + (deep and not rules.cut), "R", *[filling(rules)] * reads)
        processes += copies(writers, "W", writing(rules))
        processes += copies(1, "network", delivering(arrive)) * rules.cut
        processes += [Process("server", (fault,)) for fault in faults]
        processes += [Process("other", (other,)) for other in others]
        return Model(Leases(keys={"stamp": OPENED}), processes)

    return make


def scenario(name: str, expected: str, rule: str, make: Callable[[bool], Model]) -> Scenario:
    """One of this group's."""
    return Scenario("leases", name, expected, rule, make)


COMMIT, OPEN, DELETE = "stores.scripts.COMMIT", "stores.commands.open_", "core.verbs.delete"
UNLEASED: Final = (setting(BUILT),)
SCENARIOS: Final = (
    scenario("delete against fills, the lease lost twice", HOLDS, COMMIT, model(BUILT, LOST, LOST)),
    scenario("delete against three fills, the lease lost", HOLDS, COMMIT, model(BUILT, LOST, readers=3, reads=1)),
    scenario("fills that need no lease", VIOLATED, COMMIT, model(Rules(leased=False))),
    scenario("delete of the entry alone", VIOLATED, DELETE, model(Rules(removes="entry"))),
    scenario("delete in two commands, entry first", VIOLATED, DELETE, model(Rules(removes="entry first"))),
    scenario(
        "delete in two commands, lease first", HOLDS, "one command is cheaper", model(Rules(removes="lease first"))
    ),
    scenario("delete against `get`, `set`", VIOLATED, "not promised: no lease", model(others=UNLEASED, readers=1)),
    scenario("set against fills", HOLDS, COMMIT, model(Rules(verb="set"), LOST)),
    scenario("set that leaves another's lease", VIOLATED, COMMIT, model(Rules(verb="set, keep lease"))),
    scenario("an opening is tried again, its first comes late", HOLDS, OPEN, model(Rules(cut=True))),
    scenario(
        "the same token when it is tried again",
        VIOLATED,
        "stores.commands.new_token",
        model(Rules(cut=True, again="same")),
    ),
    scenario(
        "staged and renamed under a shared name",
        VIOLATED,
        "stores.commands._staging",
        model(Rules(staging="shared"), LOST, readers=3, reads=1),
    ),
    scenario("one load", HOLDS, "core.refresh._attempt", model(Rules(single=True), readers=3, reads=1, writers=0)),
    scenario(
        "one load, others between the opening's commands",
        HOLDS,
        "core.refresh._attempt",
        model(Rules(single=True, split=True), readers=3, reads=1, writers=0),
    ),
    scenario("delete, others between the opening's commands", HOLDS, COMMIT, model(Rules(split=True), LOST)),
    scenario(
        "one load, the entry not looked at again",
        VIOLATED,
        "core.refresh._attempt",
        model(Rules(single=True, probes=False), readers=2, reads=1, writers=0),
    ),
)
