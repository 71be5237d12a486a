"""The outbox: a row in the same transaction; bump, then remove the row; no cursor. Any process may die at any point.

G2: when nothing more happens, every committed invalidation has taken effect: after its COMMIT the tag was bumped.
(d), as in `closed`, where the write is strict: the relay completes it for a writer who died, not before its COMMIT.

Relays end and begin again for ever; a relay that dies has begun anew. The grace that a row is left to its own process
for, and locks, save work; nothing rests on them here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from model import closed
from model.process import HOLDS, VIOLATED, WAIT, Model, Operation, Run, Step, copies
from model.scenario import Scenario
from model.server import Closed, close, complete, promise


class Rules(NamedTuple):
    """The protocol as built; each field is a way to simplify it.

    Attributes:
        row: is written in the "same" transaction, "after" its COMMIT, or in one of its own "before".
        order: "bump, remove" or "remove, bump".
        cursor: the relay removes what it has done ("none"), or keeps the highest id that it has done ("id").
        strict: whether writes are strict: a row then completes them.
    """

    row: str = "same"
    order: str = "bump, remove"
    cursor: str = "none"
    strict: bool = False


@dataclass
class Outbox(closed.Turns):
    """Beside the server and the row: the outbox's table.

    Attributes:
        table: the rows that are visible, by id: what each is for.
        ids: the last id given.
        owed: versions that were committed, and not invalidated for since.
        cursor: the relay's.
    """

    table: dict[int, Any] = field(default_factory=dict)
    ids: int = 0
    owed: frozenset[int] = frozenset()
    cursor: int = 0


def carry_out(world: Outbox, owner: str, version: int) -> str:
    """`Owed.carry_out`: the bump (of a tag that nobody reads here), or the completion, which is one as well."""
    met = complete(world.keys, "stamp", owner, lag=0, keep=False) if owner else "bumped"
    world.owed = frozenset()
    world.floor = max(world.floor, version)
    return met


def begin(world: Outbox, rules: Rules) -> tuple[int, str]:
    """A transaction begins, and invalidates: its row's id is drawn, and its tag closed if it is strict."""
    world.ids += 1
    owner = f"w{world.draw()}" if rules.strict else ""
    if owner:
        world.begun += ((owner, 0),)
        close(world.keys, "stamp", owner, closed.LIMIT, always=True, keep=False)
    if rules.row == "before":
        world.table[world.ids] = owner
    return world.ids, owner


def commit(world: Outbox, rules: Rules, row: int, owner: str) -> int:
    """COMMIT: the row is there if and only if this took place."""
    world.row += 1
    world.owed |= {world.row}
    world.begun = tuple(one for one in world.begun if one[0] != owner)
    if rules.row == "same":
        world.table[row] = owner
    return world.row


def or_dies(label: str, code: str, act: Callable[[Outbox], Any]) -> tuple[Step, Step]:
    """A step, or the process dies before it."""
    return Step(label, code, act), Step("dies", "", lambda _: None)


def writing(rules: Rules) -> Operation:
    """A transaction that writes and invalidates; dies where it likes."""
    flush, forget = "contrib.django.transactions.waiting.Front.flush", "contrib.django.outbox.rows.forget"

    def run() -> Run:
        begins = Step("BEGIN, writes, invalidates", "contrib.django.transactions._defer", lambda w: begin(w, rules))
        row, owner = yield begins
        version = yield or_dies("COMMIT", "", lambda world: commit(world, rules, row, owner))
        if version is None:
            return
        if rules.row == "after":
            kept = yield or_dies("writes the row", "", lambda world: world.table.setdefault(row, owner))
            if kept is None:
                return
        done = yield or_dies("invalidates", flush, lambda world: carry_out(world, owner, version))
        if done is not None:
            yield or_dies("removes its row", forget, lambda world: world.table.pop(row, None) or "removed")

    return run


def relaying(rules: Rules) -> Operation:
    """One round: a row, its bump, its removal. It may die in between, and begins anew."""

    def take(world: Outbox) -> Any:
        rows = [row for row in sorted(world.table) if rules.cursor == "none" or row > world.cursor]
        return (rows[0], world.table[rows[0]]) if rows else WAIT

    def bump(world: Outbox, owner: str) -> str:
        return carry_out(world, owner, world.floor)

    def remove(world: Outbox, row: int) -> str:
        if rules.cursor == "none":
            world.table.pop(row, None)
        world.cursor = row if rules.cursor == "id" else 0
        return "removed"

    def run() -> Run:
        row, owner = yield Step("takes a row", "contrib.django.outbox.relay._take", take)
        bumps = Step("bumps", "contrib.django.outbox.relay._carry_out", lambda world: bump(world, owner))
        removes = Step("removes the row", "contrib.django.outbox.relay._note", lambda world: remove(world, row))
        for step in (bumps, removes) if rules.order == "bump, remove" else (removes, bumps):
            if (yield step, Step("dies, and another begins", "", lambda _: "dead")) == "dead":
                return

    return run


def drained(world: Outbox) -> None:
    """G2."""
    promise(not world.owed, f"v{max(world.owed, default=0)} was committed, and nothing was invalidated for it")
    stamp = world.keys.get("stamp")
    never = {owner for owner, _ in world.begun}  # who died before the COMMIT left no row: the deadline opens
    left = {owner for owner, _ in stamp.owners} - never if isinstance(stamp, Closed) else set()
    promise(not left, "a committed write's tag stays closed until its deadline")


MOST_WRITERS: Final = 3


def model(rules: Rules, *, writers: int = 2, relays: int = 2, readers: int = 0) -> Callable[[bool], Model]:
    """Writers, relays, readers. Deeper: a third writer."""

    def make(deep: bool) -> Model:  # noqa: FBT001 - as a scenario calls it
        read = closed.reading(closed.Rules("d"))
        processes = [
            *copies(writers + (deep and writers < MOST_WRITERS), "W", writing(rules)),
            *[one._replace(for_ever=True) for one in copies(relays, "relay", relaying(rules))],
            *copies(readers, "R", read, read),
        ]
        return Model(Outbox(), processes, drained)

    return make


def scenario(name: str, expected: str, rule: str, make: Callable[[bool], Model]) -> Scenario:
    """One of this group's."""
    return Scenario("outbox", name, expected, rule, make)


BUILT: Final = Rules()
ROW, RELAY = "contrib.django.outbox.rows.write_with", "contrib.django.outbox.relay.relay"
SCENARIOS: Final = (
    scenario("three writers, two relays, all may die", HOLDS, ROW, model(BUILT, writers=3)),
    scenario("no relay", VIOLATED, RELAY, model(BUILT, relays=0)),
    scenario("the row written after the COMMIT", VIOLATED, ROW, model(Rules(row="after"))),
    scenario("the row written before, by itself", VIOLATED, ROW, model(Rules(row="before"))),
    scenario("the row removed, then bumped", VIOLATED, RELAY, model(Rules(order="remove, bump"))),
    scenario("a cursor in place of removal", VIOLATED, RELAY, model(Rules(cursor="id"), relays=1)),
    scenario("strict, the relay completes", HOLDS, RELAY, model(Rules(strict=True), relays=1, readers=1)),
    scenario(
        "strict, the row written before, by itself",
        VIOLATED,
        ROW,
        model(Rules(strict=True, row="before"), relays=1, readers=1),
    ),
)
