"""`add`, `replace` and counting in place: what changes an entry without a fill. Nobody loads.

Promised: of two that `add` one stores; `replace` brings nothing back that was invalidated or deleted; what is changed
in place is the very entry that was judged fresh.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from model.process import HOLDS, VIOLATED, Model, Operation, Run, Step, copies
from model.scenario import Scenario
from model.server import Draft, Entry, World, commit, is_fresh, mget, modify, new_stamp, promise, set_xx_get, unlink


class Rules(NamedTuple):
    """The protocol as built; each field is a way to simplify it.

    Attributes:
        add: stores only in the place of what was "judged", or "blindly" after its look.
        compares: what a replacement compares in the script: its predecessor's "bytes and stamps", "bytes" or "stamps".
        counts: by a "script" that judges, or by a "look and write".
        ends: what the writer does: "invalidate", or "delete".
    """

    add: str = "judged"
    compares: str = "bytes and stamps"
    counts: str = "script"
    ends: str = "invalidate"


@dataclass
class Verbs(World):
    """Beside the server: how many have added; whether what was there at the beginning is over."""

    added: int = 0
    over: bool = False


def fresh(world: Verbs) -> Entry | None:
    """The entry, if it is fresh at this moment."""
    entry, stamp = mget(world.keys, "entry", "stamp")
    return entry if is_fresh(entry, {"stamp": stamp}) else None


def adding(rules: Rules) -> Operation:
    """Look at the head; store if nothing fresh was there, and what was there still is."""

    def run() -> Run:
        seen = yield Step("looks", "core.keyspace.look_at_head", lambda world: (fresh(world), world.keys.get("entry")))
        if seen[0] is None:
            draft = Draft("add" if rules.add == "judged" else "set", 1, (("stamp", None),), seen=seen[1])
            yield Step("adds", "core.verbs.add", lambda world: add(world, draft))

    def add(world: Verbs, draft: Draft) -> str:
        done = commit(world, world.keys, draft)
        world.added += done == "stored"
        promise(world.added < 2, "two have added the same key")  # noqa: PLR2004
        return done

    return run


def replacing(rules: Rules) -> Operation:
    """Look at the head; store in the place of the fresh entry that was seen."""

    def run() -> Run:
        seen = yield Step("looks", "core.keyspace.look_at_head", fresh)
        if seen is not None:
            stamps = seen.stamps if "stamps" in rules.compares else (("stamp", None),)
            mode = "replace" if "bytes" in rules.compares else "set"
            draft = Draft(mode, seen.value, stamps, seen=seen)  # made from what it replaces
            yield Step("replaces", "core.verbs.replace", lambda world: commit(world, world.keys, draft))

    return run


def counting(rules: Rules) -> Operation:
    """Count in place. The value stands for what the entry was begun with, its mark for the count."""

    def current(world: Verbs) -> Callable[[Entry], bool]:
        return lambda entry: is_fresh(entry, {"stamp": mget(world.keys, "stamp")[0]})

    def run() -> Run:
        if rules.counts == "script":
            yield Step(
                "counts",
                "stores.scripts.MODIFY",
                lambda world: modify(world.keys, current(world), lambda entry: entry._replace(mark=entry.mark + 1)),
            )
            return
        seen = yield Step("looks", "core.keyspace.look_at_head", fresh)
        if seen is not None:
            yield Step("writes the count", "", lambda world: write(world, seen))

    def write(world: Verbs, seen: Entry) -> str:
        entry = world.keys.get("entry")
        if entry is not None:  # SETRANGE of the payload: the head stays
            world.keys["entry"] = seen._replace(stamps=entry.stamps, mark=seen.mark + 1)
        return "written"

    return run


def ending(rules: Rules) -> Operation:
    """Make an end of what is there; another then sets the key anew."""

    def end(world: Verbs) -> str:
        world.over = True
        if rules.ends == "delete":
            unlink(world.keys, "entry", "lease")
        else:
            set_xx_get(world.keys, "stamp", new_stamp(world))
        return "over"

    def run() -> Run:
        yield Step(f"{rules.ends}s", f"core.verbs.{rules.ends}", end)

    return run


def setting() -> Run:
    """Another sets the key, once what was there is over."""
    draft = Draft("set", 2, (("stamp", None),))
    yield Step("sets", "core.verbs.set_many", lambda world: commit(world, world.keys, draft) if world.over else "later")


def reading() -> Run:
    """`get`: nothing of before the end is served after it."""

    def act(world: Verbs) -> Entry | None:
        entry = fresh(world)
        promise(entry is None or not world.over or entry.value == 2, "what was over is fresh again")  # noqa: PLR2004
        return entry

    yield Step("gets", "core.verbs.get", act)


def model(*groups: tuple[int, Operation], there: bool = True) -> Callable[[bool], Model]:
    """These operations, each so many times; with an entry there at the beginning, or without. Deeper: one more each."""

    def make(deep: bool) -> Model:  # noqa: FBT001 - as a scenario calls it
        processes = [one for count, operation in groups for one in copies(count + deep, "P", operation)]
        keys = {"stamp": "0.0", "entry": Entry(1, (("stamp", "0.0" if there else "9.9"),))}
        return Model(Verbs(keys=keys), [one._replace(name=f"P{at + 1}") for at, one in enumerate(processes)])

    return make


def scenario(name: str, expected: str, rule: str, *groups: tuple[int, Operation], there: bool = True) -> Scenario:
    """One of this group's."""
    return Scenario("verbs", name, expected, rule, model(*groups, there=there))


BUILT: Final = Rules()
DELETES: Final = Rules(ends="delete")
AROUND: Final = (2, reading), (1, setting)
REPLACE, MODIFY, ADD = "core.verbs._in_place_of", "stores.scripts.MODIFY", "core.verbs.add"
SCENARIOS: Final = (
    scenario("add by three, a stale entry there", HOLDS, ADD, (3, adding(BUILT)), there=False),
    scenario("add that trusts its look", VIOLATED, ADD, (2, adding(Rules(add="blindly"))), there=False),
    scenario("replace against invalidate", HOLDS, REPLACE, (2, replacing(BUILT)), (1, ending(BUILT)), *AROUND),
    scenario("replace against delete", HOLDS, REPLACE, (2, replacing(BUILT)), (1, ending(DELETES)), *AROUND),
    scenario(
        "replace that compares its predecessor's bytes alone",
        VIOLATED,
        REPLACE,
        (1, replacing(Rules(compares="bytes"))),
        (1, ending(BUILT)),
        *AROUND,
    ),
    scenario(
        "replace that compares stamps alone",
        VIOLATED,
        REPLACE,
        (1, replacing(Rules(compares="stamps"))),
        (1, ending(DELETES)),
        *AROUND,
    ),
    scenario("counting against invalidate", HOLDS, MODIFY, (2, counting(BUILT)), (1, ending(BUILT)), *AROUND),
    scenario(
        "counting by a look and a write",
        VIOLATED,
        MODIFY,
        (1, counting(Rules(counts="look and write"))),
        (1, ending(BUILT)),
        *AROUND,
    ),
)
