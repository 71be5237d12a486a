"""A value computed from another: the outer entry inherits the stamps that the inner one recorded.

Two keys, each with a tag of its own. The inner value is a row's; the outer one's loader gets the inner value from the
cache. The outer entry's tag is never invalidated, the inner one's is.

G1 for the outer value: it is not older than what the inner tag was invalidated for. As fresh, softly too.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from model.faults import evicting
from model.process import HOLDS, VIOLATED, Model, Operation, Process, Run, Step, copies
from model.scenario import Scenario
from model.server import Draft, Entry, World, commit, hard, mget, new_stamp, promise, set_nx_get, set_xx_get, soften

Stamps = tuple[tuple[str, str], ...]


class Rules(NamedTuple):
    """The protocol as built; each field is a way to simplify or disturb it.

    Attributes:
        inherits: an outer value records the stamps that the inner entry "recorded", "none" of them, or the inner
            tag's stamp as it is read "anew" at the outer store.
        declares: whether the outer key declares the inner tag as well.
        merges: stamps that differ, observed and inherited, are "refused", or the observed one is "preferred".
        soft: whether the inner value may be served soft-stale, as its caller within the loader consents to.
    """

    inherits: str = "recorded"
    declares: bool = False
    merges: str = "refused"
    soft: bool = False


@dataclass
class Two(World):
    """Nothing but the server and the row."""


def outer_names(rules: Rules) -> tuple[str, ...]:
    """What the outer key declares."""
    return ("outer stamp", "inner stamp") if rules.declares else ("outer stamp",)


def judge(world: Two, entry: Entry, current: dict[str, Any]) -> bool:
    """A hit of the outer entry, which must keep the promise."""
    if any(stamp is None or current.get(name) != stamp for name, stamp in entry.stamps):
        return False
    promise(entry.value >= world.floor, f"an outer hit of v{entry.value}, though v{world.floor} is due")
    return True


def look_outer(rules: Rules) -> Generator[Step, Any, dict[str, Any] | None]:
    """One MGET, and one more for the stamps of recorded tags that nobody declared: None for a hit."""

    def first(world: Two) -> Any:
        names = outer_names(rules)
        entry, *stamps = mget(world.keys, "outer", *names)
        current = tuple(zip(names, stamps, strict=True))
        if entry is None or any(name in names and dict(current)[name] != stamp for name, stamp in entry.stamps):
            return ("miss", None, current)
        if {name for name, _ in entry.stamps} <= set(names):
            return ("hit" if judge(world, entry, dict(current)) else "miss", None, current)
        return ("unknown", (entry, world.floor), current)

    verdict, found, current = yield Step("looks", "core.keyspace.look", first)
    if verdict == "unknown":
        entry, floor = found

        def second(world: Two) -> str:
            more = {"inner stamp": mget(world.keys, "inner stamp")[0], **dict(current)}
            if any(more[name] != stamp for name, stamp in entry.stamps):
                return "miss"
            promise(entry.value >= floor, f"an outer hit of v{entry.value}, though v{floor} was due")
            return "hit"

        verdict = yield Step("looks at the inherited tag's stamp", "core.keyspace.assess_all", second)
    return None if verdict == "hit" else dict(current)


def opened(name: str) -> Step:
    """SET NX GET of a missing stamp."""
    return Step(
        f"opens the {name}", "stores.commands.open_", lambda world: set_nx_get(world.keys, name, new_stamp(world))
    )


def inner(rules: Rules) -> Generator[Step, Any, tuple[int, Stamps]]:
    """The inner value, as the outer loader gets it, and the stamps that it bequeaths."""

    def look(world: Two) -> Any:
        entry, stamp = mget(world.keys, "inner", "inner stamp")
        recorded = entry.stamps[0][1] if entry is not None else None
        if stamp is not None and (recorded == stamp or (rules.soft and recorded and hard(recorded) == hard(stamp))):
            return (entry.value, entry.stamps)
        return stamp

    found = yield Step("gets the inner value", "core.keyspace.Look.inherit", look)
    if isinstance(found, tuple):
        return found
    stamp: str = (yield opened("inner stamp")) if found is None else found
    value = yield Step("loads the inner value", "core.refresh._load_and_store", lambda world: world.row)
    stamps = (("inner stamp", stamp),)
    yield Step("stores the inner value", "core.refresh.bequeath", lambda world: put(world, "inner", value, stamps))
    return value, stamps


def put(world: Two, entry: str, value: int, stamps: Stamps) -> str:
    """COMMIT."""
    return commit(world, world.keys, Draft("set", value, stamps), entry=entry)


def reading(rules: Rules) -> Operation:
    """`get_or_set` of the outer key, whose loader does the same with the inner one."""

    def run() -> Run:
        current = yield from look_outer(rules)
        if current is None:
            return
        for name in outer_names(rules):
            if current[name] is None:
                current[name] = yield opened(name)
        value, inherited = yield from inner(rules)
        if rules.inherits == "anew":
            stamp = yield Step("reads the inner stamp anew", "", lambda world: mget(world.keys, "inner stamp")[0])
            inherited = (("inner stamp", stamp),)
        observed = {name: current[name] for name in outer_names(rules)}
        merged = {**(dict(inherited) if rules.inherits != "none" else {}), **observed}
        differ = any(observed.get(name, stamp) != stamp for name, stamp in inherited)
        if differ and rules.merges == "refused":
            return
        stamps = tuple(sorted(merged.items()))
        yield Step("stores the outer value", "core.refresh.merge", lambda world: put(world, "outer", value, stamps))

    return run


def getting_inner(rules: Rules) -> Operation:
    """Somebody reads the inner key alone."""

    def run() -> Run:
        yield from inner(rules._replace(soft=False))

    return run


def writing(*, softly: bool = False) -> Operation:
    """COMMIT, and an invalidation of the inner tag."""

    def committed(world: Two) -> int:
        world.row += 1
        return world.row

    def act(world: Two, version: int) -> str:
        world.floor = max(world.floor, version)
        if softly:
            return soften(world, world.keys, "inner stamp")
        return set_xx_get(world.keys, "inner stamp", new_stamp(world))

    def run() -> Run:
        version = yield Step("COMMIT", "", committed)
        code = "stores.scripts.SOFTEN" if softly else "stores.commands.bump"
        yield Step("invalidates the inner tag", code, lambda world: act(world, version))

    return run


def model(rules: Rules, *faults: Operation, writers: int = 1, reads: int = 1) -> Callable[[bool], Model]:
    """Two readers of the outer key, one of the inner, writers, faults. Deeper: one more read each."""

    def make(deep: bool) -> Model:  # noqa: FBT001 - as a scenario calls it
        processes = [
            *copies(2, "R", *[reading(rules)] * (reads + deep)),
            *copies(1, "inner R", getting_inner(rules)),
            *copies(writers, "W", writing(softly=rules.soft)),
            *[Process("server", (fault,)) for fault in faults],
        ]
        return Model(Two(), processes)

    return make


def scenario(name: str, expected: str, rule: str, make: Callable[[bool], Model]) -> Scenario:
    """One of this group's."""
    return Scenario("nested", name, expected, rule, make)


BUILT: Final = Rules()
INHERIT, MERGE = "core.capture.Inheritance.add", "core.refresh.merge"
SCENARIOS: Final = (
    scenario("the inner entry's stamps are inherited", HOLDS, INHERIT, model(BUILT)),
    scenario("inherited, the inner stamp lost", HOLDS, INHERIT, model(BUILT, evicting("inner stamp"))),
    scenario("inherited, and declared as well", HOLDS, MERGE, model(Rules(declares=True))),
    scenario("inherited, the inner value soft-stale", HOLDS, MERGE, model(Rules(soft=True))),
    scenario("declared as well, the inner value soft-stale", HOLDS, MERGE, model(Rules(soft=True, declares=True))),
    scenario("nothing is inherited", VIOLATED, INHERIT, model(Rules(inherits="none"))),
    scenario("the inner stamp is read anew", VIOLATED, INHERIT, model(Rules(inherits="anew"))),
    scenario("nothing inherited, but declared", HOLDS, MERGE, model(Rules(inherits="none", declares=True))),
    scenario(
        "declared, soft-stale, the observed stamp preferred",
        VIOLATED,
        MERGE,
        model(Rules(soft=True, declares=True, merges="preferred")),
    ),
)
