"""A key's tags change with a deploy: a hit needs all tags that its reader declares among those that were recorded.

The old release declares one tag for a key; the new one declares another as well, and invalidates that one only.

G1 for readers of the new release.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from model.process import HOLDS, VIOLATED, Model, Operation, Process, Run, Step, copies
from model.scenario import Scenario
from model.server import Draft, World, commit, mget, new_stamp, promise, set_nx_get, set_xx_get

OLD: Final = ("stamp",)
NEW: Final = ("stamp", "further stamp")


class Rules(NamedTuple):
    """The protocol as built, and its simplification: whether declared tags are compared with recorded ones."""

    compares: bool = True


def reading(rules: Rules, declared: tuple[str, ...]) -> Operation:
    """`get_or_set` in a release."""

    def look(world: World) -> Any:
        entry, *stamps = mget(world.keys, "entry", *NEW)
        current = dict(zip(NEW, stamps, strict=True))
        recorded = dict(entry.stamps) if entry is not None else {}
        wanted = set(declared) <= set(recorded) or not rules.compares
        if entry is None or not wanted or any(stamp is None or current[name] != stamp for name, stamp in entry.stamps):
            return tuple(current.items())
        promise(declared == OLD or entry.value >= world.floor, f"a hit of v{entry.value}, though v{world.floor} is due")
        return "hit"

    def opening(name: str) -> Step:
        return Step(
            f"opens the {name}", "stores.commands.open_", lambda world: set_nx_get(world.keys, name, new_stamp(world))
        )

    def run() -> Run:
        seen = yield Step("looks", "core.freshness.judge", look)
        if seen == "hit":
            return
        observed = {name: stamp for name, stamp in seen if name in declared}
        for name in declared:
            if observed[name] is None:
                observed[name] = yield opening(name)
        value = yield Step("loads", "core.refresh._load_and_store", lambda world: world.row)
        draft = Draft("set", value, tuple(observed.items()))
        yield Step("stores", "stores.scripts.COMMIT", lambda world: commit(world, world.keys, draft))

    return run


def writing() -> Run:
    """COMMIT, and an invalidation of the further tag."""

    def committed(world: World) -> int:
        world.row += 1
        return world.row

    def act(world: World, version: int) -> str:
        world.floor = max(world.floor, version)
        return set_xx_get(world.keys, "further stamp", new_stamp(world))

    version = yield Step("COMMIT", "", committed)
    yield Step("invalidates the further tag", "stores.commands.bump", lambda world: act(world, version))


def model(rules: Rules, deep: bool) -> Model:  # noqa: FBT001 - as a scenario calls it
    """A reader of the old release, two of the new one, a writer. Deeper: one more writer."""
    processes = [
        Process("old R", (reading(rules, OLD),)),
        *copies(2, "new R", *[reading(rules, NEW)] * 2),
        *copies(1 + deep, "W", writing),
    ]
    return Model(World(), processes)


JUDGE: Final = "core.freshness.judge"
SCENARIOS: Final = (
    Scenario("tags", "declared ones among the recorded", HOLDS, JUDGE, lambda deep: model(Rules(), deep)),
    Scenario("tags", "not compared", VIOLATED, JUDGE, lambda deep: model(Rules(compares=False), deep)),
)
