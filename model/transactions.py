"""Database transactions: what an open one has invalidated neither hits nor fills; a snapshot is not stored.

Versions are numbers; what a transaction has written is its own until COMMIT, and for nobody after a rollback.

G1, and no phantom: nobody is given from the cache what is not committed.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Final, NamedTuple

from model.process import HOLDS, VIOLATED, Model, Operation, Process, Run, Step, copies
from model.scenario import Scenario
from model.server import Draft, World, commit, is_fresh, mget, new_stamp, promise, set_nx_get, set_xx_get


class Rules(NamedTuple):
    """The protocol as built; each field is a way to simplify it, or to use it as is not promised.

    Attributes:
        dirty: what the open transaction has invalidated is read "past the cache", or "as ever".
        bumps: an invalidation takes effect at "COMMIT", or "at once".
        order: of what a transaction does: "write, invalidate, read", or "write, read, invalidate".
        snapshot: a fill under snapshot isolation is "not stored", or "stored".
    """

    dirty: str = "past the cache"
    bumps: str = "COMMIT"
    order: str = "write, invalidate, read"
    snapshot: str = "not stored"


def reading(view: int | None = None, *, stores: bool = True) -> Generator[Step, Any, None]:
    """`get_or_set`, whose loader sees what is committed, or a transaction's `view`."""

    def look(world: World) -> Any:
        entry, stamp = mget(world.keys, "entry", "stamp")
        if not is_fresh(entry, {"stamp": stamp}):
            return stamp
        if view is None:
            promise(entry.value <= world.row, f"a hit of v{entry.value}, which was never committed")
            promise(entry.value >= world.floor, f"a hit of v{entry.value}, though v{world.floor} is due")
        return "hit"

    seen = yield Step("looks", "core.keyspace.look", look)
    if seen == "hit" or not stores:
        return
    if seen is None:
        seen = yield Step(
            "opens", "stores.commands.open_", lambda world: set_nx_get(world.keys, "stamp", new_stamp(world))
        )
    value = yield Step("loads", "", lambda world: world.row if view is None else view)
    draft = Draft("set", value, (("stamp", seen),))
    yield Step("stores", "stores.scripts.COMMIT", lambda world: commit(world, world.keys, draft))


def plainly() -> Run:
    """Outside any transaction."""
    yield from reading()


def in_snapshot(rules: Rules) -> Operation:
    """A transaction under snapshot isolation that only reads."""

    def run() -> Run:
        view = yield Step("begins: its snapshot", "", lambda world: world.row)
        stores = rules.snapshot == "stored"
        yield from reading(view, stores=stores)

    return run


def writing(rules: Rules, *, commits: bool = True) -> Operation:
    """A transaction that writes, invalidates, reads what it has written, and commits, or is rolled back."""

    def bump(world: World) -> str:
        return set_xx_get(world.keys, "stamp", new_stamp(world))

    def committed(world: World, version: int) -> int:
        world.row = max(world.row, version)
        return world.row

    def flush(world: World, version: int) -> str:
        world.floor = max(world.floor, version)
        return bump(world)

    def run() -> Run:
        version = yield Step("writes, uncommitted", "", lambda world: world.row + 1)
        early = rules.order == "write, read, invalidate"
        if early:
            yield from reading(version)
        if rules.bumps == "at once":
            yield Step("invalidates at once", "", bump)
        if not early and rules.dirty == "as ever":
            yield from reading(version)
        if not commits:
            yield Step("ROLLBACK", "contrib.django.transactions.waiting.Waiting.standing", lambda _: "dropped")
            return
        yield Step("COMMIT", "", lambda world: committed(world, version))
        if rules.bumps == "COMMIT":
            code = "contrib.django.transactions.waiting.Front.flush"
            yield Step("invalidates", code, lambda world: flush(world, version))
        else:
            yield Step("has returned", "", lambda world: setattr(world, "floor", max(world.floor, version)))

    return run


def model(*writers: Operation, others: tuple[Operation, ...] = ()) -> Callable[[bool], Model]:
    """Two readers who read twice, transactions. Deeper: a third reader."""

    def make(deep: bool) -> Model:  # noqa: FBT001 - as a scenario calls it
        processes = [
            *copies(2 + deep, "R", plainly, plainly),
            *[Process(f"T{at + 1}", (writer,)) for at, writer in enumerate((*writers, *others))],
        ]
        return Model(World(), processes)

    return make


def scenario(name: str, expected: str, rule: str, make: Callable[[bool], Model]) -> Scenario:
    """One of this group's."""
    return Scenario("transactions", name, expected, rule, make)


BUILT: Final = Rules()
COMMITS, ROLLS_BACK = writing(BUILT), writing(BUILT, commits=False)
DIRTY, FLUSH = "contrib.django.transactions.is_dirty", "contrib.django.transactions.waiting.Front.flush"
SNAPSHOT: Final = "contrib.django.transactions.snapshots.forbids_fill"
EARLY: Final = Rules(order="write, read, invalidate")
SCENARIOS: Final = (
    scenario("a commit and a rollback", HOLDS, DIRTY, model(COMMITS, ROLLS_BACK)),
    scenario(
        "what is dirty read as ever, a rollback", VIOLATED, DIRTY, model(writing(Rules(dirty="as ever"), commits=False))
    ),
    scenario("invalidated at once, not at COMMIT", VIOLATED, FLUSH, model(writing(Rules(bumps="at once")))),
    scenario(
        "read before it is invalidated, a rollback",
        VIOLATED,
        "not promised: invalidate first",
        model(writing(EARLY, commits=False)),
    ),
    scenario("a snapshot is not stored", HOLDS, SNAPSHOT, model(COMMITS, others=(in_snapshot(BUILT),))),
    scenario(
        "a snapshot is stored", VIOLATED, SNAPSHOT, model(COMMITS, others=(in_snapshot(Rules(snapshot="stored")),))
    ),
)
