"""`clear()`: the root is K stamps, each key's by its hash; a plain clear writes all, a ramped one spread over a time.

Here K is 2, with one key in each bucket. G1 for a clear that has returned, plain or ramped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from model.faults import evicting
from model.process import HOLDS, VIOLATED, Model, Operation, Process, Run, Step, copies
from model.scenario import Scenario
from model.server import Draft, World, commit, is_fresh, mget, new_stamp, promise, set_nx_get, set_xx_get, unlink

KEYS: Final = ("k0", "k1")


class Rules(NamedTuple):
    """The protocol as built; each field is a way to simplify it.

    Attributes:
        roots: "one for each bucket"; or "one and the one before", which counts until it is removed or expires.
        plain: a plain clear writes "all" roots, or those that the ramp under way has "left".
    """

    roots: str = "one for each bucket"
    plain: str = "all"


@dataclass
class Roots(World):
    """Beside the server: how far the ramp is, for the clear that trusts it."""

    ramped: int = 0


def opening(root: str) -> Step:
    """SET NX GET of a missing root."""
    return Step(f"opens {root}", "stores.commands.open_", lambda world: set_nx_get(world.keys, root, new_stamp(world)))


def reading(rules: Rules, key: str) -> Operation:
    """`get_or_set` of a key without tags."""
    root = "root 0" if rules.roots != "one for each bucket" else f"root {KEYS.index(key)}"

    def look(world: Roots) -> str | None:
        entry, stamp, before = mget(world.keys, key, root, "root before")
        fresh = is_fresh(entry, {root: stamp})
        if entry is not None and before is not None and rules.roots != "one for each bucket":
            fresh = fresh or entry.stamps == ((root, before),)
        if not fresh:
            return None if stamp is None else str(stamp)
        promise(entry.value >= world.floor, f"a hit of v{entry.value}, though v{world.floor} was cleared for")
        return "hit"

    def run() -> Run:
        seen = yield Step(f"looks for {key}", "core.keyspace.look", look)
        if seen == "hit":
            return
        if seen is None:
            seen = yield opening(root)
        value = yield Step("loads", "core.refresh._load_and_store", lambda world: world.row)
        draft = Draft("set", value, ((root, seen),))
        yield Step(
            "stores",
            "stores.scripts.COMMIT",
            lambda world: commit(world, world.keys, draft, entry=key, lease=f"{key} lease"),
        )

    return run


def committed(world: Roots) -> int:
    """A version more."""
    world.row += 1
    return world.row


def returned(world: Roots, version: int) -> str:
    """A clear has returned."""
    world.floor = max(world.floor, version)
    return "returned"


def ramping(rules: Rules) -> Operation:
    """COMMIT, then `clear(over=…)`."""

    def turn(world: Roots, root: int) -> str:
        world.ramped = root + 1
        return set_xx_get(world.keys, f"root {root}", new_stamp(world))

    def exchange(world: Roots) -> Any:
        before = world.keys.get("root 0")
        set_xx_get(world.keys, "root 0", new_stamp(world))
        return before

    def keep(world: Roots, before: str) -> str:
        world.keys["root before"] = before
        return before

    def run() -> Run:
        version = yield Step("COMMIT", "", committed)
        if rules.roots != "one for each bucket":
            before = yield Step("SET root new GET", "", exchange)
            if before is not None:
                yield Step("SET the root before", "", lambda world: keep(world, before))
            return
        yield turning(0)
        yield turning(1)
        yield Step("returns", "", lambda world: returned(world, version))

    def turning(root: int) -> Step:
        return Step(f"root {root}'s turn", "core.verbs.clear", lambda world: turn(world, root))

    return run


def clearing(rules: Rules) -> Operation:
    """COMMIT, then `clear()`: all roots, one SET each."""

    def write(world: Roots, root: int) -> str:
        if rules.plain == "left" and root < world.ramped:
            return "left to the ramp"
        return set_xx_get(world.keys, f"root {root}", new_stamp(world))

    def writing(root: int) -> Step:
        return Step(f"SET root {root}", "core.verbs.clear", lambda world: write(world, root))

    def run() -> Run:
        version = yield Step("COMMIT", "", committed)
        if rules.roots != "one for each bucket":
            yield Step("UNLINK the root before", "", lambda world: str(unlink(world.keys, "root before")))
            yield writing(0)
        else:
            yield writing(0)
            yield writing(1)
        yield Step("returns", "", lambda world: returned(world, version))

    return run


def requesting(*roots: int) -> Operation:
    """A request that looks at these roots, loads, and sets the last key, which it has never asked for."""

    def look(world: Roots) -> tuple[str | None, ...]:
        return mget(world.keys, *[f"root {root}" for root in roots])

    def run() -> Run:
        seen = yield Step(f"looks at {len(roots)} roots", "core.verbs.observe", look)
        remembered = dict(zip(roots, seen, strict=True))
        for root in roots:
            if remembered[root] is None:
                remembered[root] = yield opening(f"root {root}")
        value = yield Step("loads", "", lambda world: world.row)
        draft = Draft("set", value, (("root 1", remembered.get(1)),))
        yield Step(
            "sets k1 under what it remembers, or what stands",
            "core.verbs._memory",
            lambda world: commit(world, world.keys, draft, entry="k1", lease="k1 lease"),
        )

    return run


def model(
    rules: Rules, *faults: Operation, ramps: int = 1, reads: int = 2, others: tuple[Operation, ...] = ()
) -> Callable[[bool], Model]:
    """A reader of each key, a ramped clear, a plain one. Deeper: another reader of the last key."""

    def make(deep: bool) -> Model:  # noqa: FBT001 - as a scenario calls it
        processes = [
            Process("R0", (reading(rules, "k0"),) * reads),
            *copies(1 + deep, "R1.", *[reading(rules, "k1")] * reads),
            *copies(ramps, "ramp", ramping(rules)),
            Process("clear", (clearing(rules),)),
            *[Process("server", (fault,)) for fault in faults],
            *[Process("request", (other,)) for other in others],
        ]
        return Model(Roots(), processes)

    return make


def scenario(name: str, expected: str, rule: str, make: Callable[[bool], Model]) -> Scenario:
    """One of this group's."""
    return Scenario("clears", name, expected, rule, make)


BUILT: Final = Rules()
CLEAR, ROOTS = "core.verbs.clear", "core.keys.bucket"
SCENARIOS: Final = (
    scenario("a ramped clear and a plain one", HOLDS, CLEAR, model(BUILT, reads=1)),
    scenario("a ramped clear and a plain one, a root lost", HOLDS, CLEAR, model(BUILT, evicting("root 1"), reads=1)),
    scenario("the plain one leaves to the ramp what it has done", VIOLATED, CLEAR, model(Rules(plain="left"))),
    scenario(
        "one root, and the root before until it expires", VIOLATED, ROOTS, model(Rules(roots="one and the one before"))
    ),
    scenario(
        "a request looks at all roots, and sets a key it never read",
        HOLDS,
        "core.verbs.observe",
        model(BUILT, ramps=0, reads=1, others=(requesting(0, 1),)),
    ),
    scenario(
        "a request looked at another key's root only",
        VIOLATED,
        "not promised: no get before",
        model(BUILT, ramps=0, reads=1, others=(requesting(0),)),
    ),
)
