"""`get`, a miss, `set`: what the miss remembers, and for how long. And what may be stored inside a transaction.

Two keys with one tag. A task is a list of words: "get k", "load" (for whatever is set later), "set k", "invalidate"
(its own COMMIT and invalidation), "closed get k" (a strict writer has the tag, or the server is away).

G1. Inside `remembering()` a request's first looks count to its end; outside, a key's last look, until it is set or
refused, or the task itself invalidates the tag.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Final, NamedTuple

from model.process import HOLDS, VIOLATED, Model, Operation, Process, Run, Step, copies
from model.scenario import Scenario
from model.server import (
    CLOSED,
    Draft,
    World,
    commit,
    is_fresh,
    mget,
    new_stamp,
    promise,
    set_nx_get,
    set_xx_get,
    unlink,
)


class Rules(NamedTuple):
    """The protocol as built; each field is a way to simplify it.

    Attributes:
        remembering: whether the task is inside `remembering()`.
        remembers: a miss remembers stamps ("looks"), or "nothing".
        counts: inside, a key's "first" look counts, or its "last".
        of_tags: inside, whether looks at other keys of the same tag count.
        closed: a closed stamp is remembered as "closed", or as "nothing".
    """

    remembering: bool = True
    remembers: str = "looks"
    counts: str = "first"
    of_tags: bool = True
    closed: str = "closed"


class Memory:
    """`core.capture._Memory`, of one tag: what a task has seen under each key, and first of all."""

    def __init__(self, rules: Rules) -> None:
        """Nothing is remembered."""
        self.rules = rules
        self.keys: dict[str, str] = {}
        self.first: str | None = None

    def remember(self, key: str, stamp: str) -> None:
        """`capture.remember`."""
        if self.rules.remembers == "nothing" or (stamp == CLOSED and self.rules.closed == "nothing"):
            return
        if self.rules.remembering and self.rules.counts == "first":
            self.keys.setdefault(key, stamp)
            self.first = self.first or stamp
        else:
            self.keys[key] = self.first = stamp

    def recall(self, key: str) -> str | None:
        """`capture.recall`."""
        of_tag = self.first if self.rules.remembering and self.rules.of_tags else None
        return self.keys.get(key) or of_tag

    def stored(self, key: str) -> None:
        """`capture.stored`: also when it was refused."""
        if not self.rules.remembering:
            self.keys.pop(key, None)

    def forget(self) -> None:
        """`capture.forget`: the task has invalidated the tag itself."""
        if not self.rules.remembering:
            self.keys.clear()


def get(memory: Memory, key: str, *, closed: bool = False) -> Generator[Step, Any, bool]:
    """`verbs.get`: whether it hits. A miss creates the missing stamp, and remembers."""

    def look(world: World) -> Any:
        entry, stamp = mget(world.keys, key, "stamp")
        if not is_fresh(entry, {"stamp": stamp}):
            return stamp
        promise(entry.value >= world.floor, f"a hit of v{entry.value}, though v{world.floor} had been invalidated for")
        return "hit"

    if closed:
        memory.remember(key, CLOSED)
        yield Step(f"gets {key}, which fails", "facade.Facade._without", lambda _: CLOSED)
        return False
    seen = yield Step(f"gets {key}", "core.verbs.get", look)
    if seen == "hit":
        return True
    if seen is None:
        seen = yield Step(
            "opens", "core.verbs.after_miss", lambda world: set_nx_get(world.keys, "stamp", new_stamp(world))
        )
    memory.remember(key, seen)
    return False


def put(memory: Memory, key: str, value: int) -> Step:
    """`verbs.set_many` of one key: under what is remembered, or what stands. A refused one removes what was there."""
    under = memory.recall(key)
    memory.stored(key)

    def act(world: World) -> str:
        if under == CLOSED:
            unlink(world.keys, key, f"{key} lease")
            return CLOSED
        draft = Draft("set", value, (("stamp", under),))
        return commit(world, world.keys, draft, entry=key, lease=f"{key} lease")

    return Step(f"sets {key} under {under or 'what stands'}", "core.verbs._stand", act)


def committed(world: World) -> int:
    """A version more."""
    world.row += 1
    return world.row


def invalidate(world: World, version: int) -> str:
    """SET stamp XX GET; it has returned then."""
    world.floor = max(world.floor, version)
    return set_xx_get(world.keys, "stamp", new_stamp(world))


def writing() -> Run:
    """COMMIT, then `invalidate`."""
    version = yield Step("COMMIT", "", committed)
    yield Step("invalidates", "stores.commands.bump", lambda world: invalidate(world, version))


def task(rules: Rules, *words: str) -> Operation:
    """One request, or one stretch of a thread."""

    def run() -> Run:
        memory, value = Memory(rules), 0
        for word in words:
            verb, _, key = word.rpartition(" ")
            match verb or word:
                case "get":
                    if (yield from get(memory, key)):
                        return
                case "closed get":
                    yield from get(memory, key, closed=True)
                case "load":
                    value = yield Step("loads", "", lambda world: world.row)
                case "set":
                    yield put(memory, key, value)
                case _:
                    memory.forget()
                    yield from writing()

    return run


def reading() -> Run:
    """Somebody else gets the first key, twice."""
    for _ in range(2):
        yield from get(Memory(Rules()), "k1")


def model(rules: Rules, *words: str, tasks: int = 1, writers: int = 1) -> Callable[[bool], Model]:
    """Tasks of these words, a reader, writers. Deeper: one more writer."""

    def make(deep: bool) -> Model:  # noqa: FBT001 - as a scenario calls it
        processes = [
            *copies(tasks, "T", task(rules, *words)),
            *copies(writers + deep, "W", writing),
            Process("R", (reading,)),
        ]
        return Model(World(), processes)

    return make


def scenario(name: str, expected: str, rule: str, make: Callable[[bool], Model]) -> Scenario:
    """One of this group's."""
    return Scenario("requests", name, expected, rule, make)


INSIDE: Final = Rules()
OUTSIDE: Final = Rules(remembering=False)
GET_SET: Final = ("get k1", "load", "set k1")
TWICE: Final = ("get k1", "load", "get k1", "set k1")
OTHER_KEY: Final = ("get k2", "load", "set k1")
REPEATED: Final = ("get k1", "load", "set k1", "set k1")
OWN: Final = ("get k1", "load", "invalidate", "set k1")
AWAY: Final = ("closed get k1", "load", "set k1")
REMEMBER, RECALL, WITHOUT = "core.capture.remember", "core.capture.recall", "facade.Facade._without"
SCENARIOS: Final = (
    scenario("get, load, set in a request", HOLDS, REMEMBER, model(INSIDE, *GET_SET, tasks=2)),
    scenario("get, load, set outside", HOLDS, REMEMBER, model(OUTSIDE, *GET_SET, tasks=2)),
    scenario("nothing is remembered", VIOLATED, REMEMBER, model(Rules(remembers="nothing"), *GET_SET)),
    scenario("a second look before the set, in a request", HOLDS, REMEMBER, model(INSIDE, *TWICE, tasks=2)),
    scenario("a second look, the last counts", VIOLATED, REMEMBER, model(Rules(counts="last"), *TWICE)),
    scenario("a second look outside", VIOLATED, "not promised: loaded before the last look", model(OUTSIDE, *TWICE)),
    scenario("a key that was never read, in a request", HOLDS, RECALL, model(INSIDE, *OTHER_KEY, tasks=2)),
    scenario(
        "a key never read, looks at others not counted", VIOLATED, RECALL, model(Rules(of_tags=False), *OTHER_KEY)
    ),
    scenario("a key that was never read, outside", VIOLATED, "not promised: no get before", model(OUTSIDE, *OTHER_KEY)),
    scenario(
        "loaded before the first look at its own key, after one at another",
        VIOLATED,
        "not promised: core.capture.recall holds a key to its own first look",
        model(INSIDE, "get k2", "load", "get k1", "set k1"),
    ),
    scenario("a refused set is repeated, in a request", HOLDS, "core.capture.stored", model(INSIDE, *REPEATED)),
    scenario("a refused set is repeated, outside", VIOLATED, "not promised: refused once", model(OUTSIDE, *REPEATED)),
    scenario("one's own invalidation, in a request", HOLDS, "core.capture.forget", model(INSIDE, *OWN)),
    scenario("one's own invalidation, outside", VIOLATED, "core.capture.forget, by design", model(OUTSIDE, *OWN)),
    scenario("the server is away at the get", HOLDS, WITHOUT, model(INSIDE, *AWAY)),
    scenario("the server is away at the get, outside", HOLDS, WITHOUT, model(OUTSIDE, *AWAY)),
    scenario("away, and nothing remembered of it", VIOLATED, WITHOUT, model(Rules(closed="nothing"), *AWAY)),
    scenario("set alone", VIOLATED, "not promised: no get before", model(INSIDE, "load", "set k1")),
)
