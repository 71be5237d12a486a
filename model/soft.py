"""Soft invalidation: only the soft half changes, and who would load a value anew may serve it meanwhile.

G1 for what is served as fresh, after hard and soft invalidations alike. What is served stale, with the entry's and the
caller's consent, is not older than the hard ones; after a load that failed, not even than those that came during it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from model.faults import evicting
from model.process import HOLDS, VIOLATED, Model, Operation, Process, Run, Step, copies
from model.scenario import Scenario
from model.server import (
    Draft,
    Entry,
    World,
    commit,
    hard,
    mget,
    new_stamp,
    promise,
    set_nx_get,
    set_xx_get,
    soften,
)


class Rules(NamedTuple):
    """The protocol as built; each field is a way to simplify it.

    Attributes:
        softens: a soft invalidation is a "script", or "GET, SET".
        serves: a stale value may be served if its "hard half" stands, or "whatever" stands there.
        records: a fill stores the stamp that it "observed", or, where only the soft half differs, what "stands".
        consents: whether the caller's consent is asked for.
        fails: after a load that failed it "looks again", or serves what it "saw".
    """

    softens: str = "script"
    serves: str = "hard half"
    records: str = "observed"
    consents: bool = True
    fails: str = "looks again"


@dataclass
class Soft(World):
    """Beside the row: `floor` is for hard invalidations, `soft_floor` for both."""

    soft_floor: int = 0


def judge(rules: Rules, entry: Entry | None, stamp: str | None) -> str:
    """`freshness.judge` of an entry with a stale ttl: fresh, soft-stale, or to be loaded."""
    if entry is None:
        return "absent"
    recorded = entry.stamps[0][1]
    if stamp is not None and recorded == stamp:
        return "fresh"
    if rules.serves == "whatever" or (stamp is not None and hard(str(recorded)) == hard(stamp)):
        return "soft-stale"
    return "stale"


def look(world: Soft, rules: Rules) -> tuple[str, Any]:
    """One MGET, judged. What is served as fresh must keep the promise: the stamp is told otherwise."""
    entry, stamp = mget(world.keys, "entry", "stamp")
    verdict = judge(rules, entry, stamp)
    if verdict == "fresh":
        promise(entry.value >= world.soft_floor, f"v{entry.value} as fresh, though v{world.soft_floor} is due")
    return verdict, (stamp, entry.value if entry is not None else None)


def serve(world: Soft, value: int) -> str:
    """A stale value is served."""
    promise(value >= world.floor, f"v{value} as stale, though v{world.floor} had been invalidated for hard")
    return "served stale"


def look_and_serve(world: Soft, rules: Rules, *, stale: bool) -> tuple[str, Any]:
    """A look, and what is served of it; with `stale` the caller consents to stale values."""
    verdict, seen = look(world, rules)
    if verdict == "soft-stale" and stale:
        serve(world, seen[1])
    elif verdict == "soft-stale" and not rules.consents:
        promise(seen[1] >= world.soft_floor, f"v{seen[1]} to who did not consent")
    return verdict, seen


def reading(rules: Rules, *, stale: bool, fails: bool = False) -> Operation:
    """`get_or_set`: with `stale` its caller consents to stale values; its load may fail."""
    looks = Step("looks", "core.refresh.get_or_set", lambda world: look_and_serve(world, rules, stale=stale))
    opens = Step("opens", "stores.commands.open_", lambda world: set_nx_get(world.keys, "stamp", new_stamp(world)))
    loads = Step("loads", "core.refresh._load_and_store", lambda world: world.row)
    failing = (loads, loads._replace(label="loads, which fails", act=lambda _: "failed"))

    def run() -> Run:
        verdict, (stamp, value) = yield looks
        if verdict == "fresh":
            return
        if stamp is None:
            stamp = yield opens
        loaded = yield failing if fails else loads
        if loaded != "failed":
            yield Step("stores", "stores.scripts.COMMIT", lambda world: store(world, rules, loaded, stamp))
        elif stale and verdict == "soft-stale":
            yield spare(value)

    def spare(value: int) -> Step:
        if rules.fails == "looks again":
            return looks._replace(label="looks again", code="core.refresh._still_spare")
        return Step("serves what it saw", "", lambda world: serve(world, value))

    return run


def store(world: Soft, rules: Rules, value: int, stamp: str) -> str:
    """The script refuses where the hard half has changed. The recorded stamp is the one observed."""
    stands = world.keys.get("stamp")
    done = commit(world, world.keys, Draft("set", value, (("stamp", stamp),)))
    if done == "stored" and rules.records == "stands":
        world.keys["entry"] = Entry(value, (("stamp", stands),))
    return done


def writing(*, softly: bool, rules: Rules) -> Operation:
    """COMMIT, and an invalidation."""

    def committed(world: Soft) -> int:
        world.row += 1
        return world.row

    def returned(world: Soft, version: int) -> None:
        world.soft_floor = max(world.soft_floor, version)
        if not softly:
            world.floor = max(world.floor, version)

    def act(world: Soft, version: int) -> str:
        returned(world, version)
        return soften(world, world.keys, "stamp") if softly else set_xx_get(world.keys, "stamp", new_stamp(world))

    def put(world: Soft, version: int, seen: str) -> str:
        returned(world, version)
        return set_xx_get(world.keys, "stamp", f"{hard(seen)}.{world.draw()}")

    def run() -> Run:
        version = yield Step("COMMIT", "", committed)
        if softly and rules.softens == "GET, SET":
            seen = yield Step("GET stamp", "", lambda world: mget(world.keys, "stamp")[0])
            if seen is not None:
                yield Step("SET stamp", "", lambda world: put(world, version, seen))
            return
        code = "stores.scripts.SOFTEN" if softly else "stores.commands.bump"
        yield Step("invalidates softly" if softly else "invalidates", code, lambda world: act(world, version))

    return run


def model(
    rules: Rules,
    *faults: Operation,
    fresh: int = 1,
    stale: int = 1,
    hard_writers: int = 1,
    soft_writers: int = 1,
    fails: bool = False,
) -> Callable[[bool], Model]:
    """Readers who do not consent to stale values, readers who do, writers of both kinds. Deeper: a writer more."""

    def make(deep: bool) -> Model:  # noqa: FBT001 - as a scenario calls it
        processes = [
            *copies(fresh, "R", *[reading(rules, stale=False)] * 2),
            *copies(stale, "stale R", *[reading(rules, stale=True, fails=fails)] * 2),
            *copies(hard_writers + deep, "W", writing(softly=False, rules=rules)),
            *copies(soft_writers, "soft W", writing(softly=True, rules=rules)),
            *[Process("server", (fault,)) for fault in faults],
        ]
        return Model(Soft(), processes)

    return make


def scenario(name: str, expected: str, rule: str, make: Callable[[bool], Model]) -> Scenario:
    """One of this group's."""
    return Scenario("soft", name, expected, rule, make)


BUILT: Final = Rules()
LOST: Final = evicting("stamp")
SOFTEN, JUDGE, COMMIT = "stores.scripts.SOFTEN", "core.freshness._compare", "stores.scripts.COMMIT"
SCENARIOS: Final = (
    scenario("soft against hard, the stamp lost", HOLDS, SOFTEN, model(BUILT, LOST)),
    scenario("two soft, one hard", HOLDS, JUDGE, model(BUILT, soft_writers=2)),
    scenario("loads that fail", HOLDS, "core.refresh._still_spare", model(BUILT, fails=True)),
    scenario("soft by GET and SET", VIOLATED, SOFTEN, model(Rules(softens="GET, SET"))),
    scenario("whatever is stale is served", VIOLATED, JUDGE, model(Rules(serves="whatever"))),
    scenario("a fill records what stands", VIOLATED, COMMIT, model(Rules(records="stands"))),
    scenario("served to who did not consent", VIOLATED, "core.refresh.get_or_set", model(Rules(consents=False))),
    scenario(
        "a load fails, and what it saw is served",
        VIOLATED,
        "core.refresh._still_spare",
        model(Rules(fails="saw"), fails=True),
    ),
)
