"""Several nodes: a model of the design (sections 4 and 6), which is not built yet. The library speaks to one server.

Each node has an identity of its own. An entry records, for each node that its stamps were read from, the identity of
the connection that answered. `clear()` writes the roots of all buckets, each on the node that has its slot now.

G1, when one node fails over to a replica that lags, and when slots move.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from model.process import HOLDS, VIOLATED, Model, Operation, Process, Run, Step, copies
from model.scenario import Scenario
from model.server import Draft, Keys, World, commit, is_fresh, mget, new_stamp, promise, set_nx_get, set_xx_get


class Rules(NamedTuple):
    """The design, and its simplifications.

    Attributes:
        identities: of whose connection an entry records them: "all" nodes read, the "entry's" node, the "stamp's".
        root: a key's root is fixed by its slot ("bucket"), or is that of the "shard" that has the slot.
    """

    identities: str = "all"
    root: str = "bucket"


@dataclass
class Nodes(World):
    """Two nodes: `keys` are the entry's node's, `others` the stamp's, with what that one's replica has.

    Attributes:
        others: the second node's keys.
        replica: of the second node's replica.
        ids: the nodes' identities.
        slot: which node has the key's slot, with what is in it.
    """

    others: Keys = field(default_factory=dict)
    replica: Keys = field(default_factory=dict)
    ids: tuple[str, str] = ("one", "two")
    slot: int = 0


def reading(rules: Rules) -> Operation:
    """`get_or_set` of an entry on one node with a stamp on another: two trips in parallel, in any order."""

    def stamp(world: Nodes) -> Any:
        return world.floor, mget(world.others, "stamp")[0], world.ids[1]

    def entry(world: Nodes, floor: int, seen: str | None, second: str) -> str:
        found = mget(world.keys, "entry")[0]
        read = {"all": (world.ids[0], second), "entry's": (world.ids[0],), "stamp's": (second,)}
        now = " ".join(read[rules.identities])
        if is_fresh(found, {"stamp": seen}) and found.identity == now:
            promise(found.value >= floor, f"a hit of v{found.value}, though v{floor} had been invalidated for")
            return "hit"
        return now

    def run() -> Run:
        floor, seen, second = yield Step("reads the stamp's node", "", stamp)
        identity = yield Step("reads the entry's node", "", lambda world: entry(world, floor, seen, second))
        if identity == "hit":
            return
        if seen is None:
            seen, opened = yield Step(
                "opens",
                "",
                lambda world: (set_nx_get(world.others, "stamp", new_stamp(world)), world.ids[1]),
            )
            if opened != second:
                return
        value = yield Step("loads", "", lambda world: world.row)
        yield Step("stores", "", lambda world: store(world, value, seen, identity))

    def store(world: Nodes, value: int, seen: str, identity: str) -> str:
        # On the entry's node nobody can compare the stamp; the reader does.
        found = {"stamp": seen, "entry": world.keys.get("entry")}
        commit(world, found, Draft("set", value, (("stamp", seen),), identity=identity))
        world.keys["entry"] = found["entry"]
        return "stored"

    return run


def committed(world: Nodes) -> int:
    """A version more."""
    world.row += 1
    return world.row


def writing() -> Run:
    """COMMIT, and an invalidation at the stamp's node."""

    def act(world: Nodes, version: int) -> str:
        world.floor = max(world.floor, version)
        return set_xx_get(world.others, "stamp", new_stamp(world))

    version = yield Step("COMMIT", "", committed)
    yield Step("invalidates", "", lambda world: act(world, version))


def failing_over() -> Run:
    """The stamp's node: its replica catches up, and later is promoted."""

    def follow(world: Nodes) -> str:
        world.replica = dict(world.others)
        return "follows"

    def promoted(world: Nodes) -> str:
        world.others, world.ids = dict(world.replica), (world.ids[0], f"two again {world.draw()}")
        return "promoted"

    yield Step("the stamp's replica catches up", "", follow)
    yield Step("the stamp's replica is promoted", "", promoted)


def reading_slot(rules: Rules) -> Operation:
    """`get_or_set` of a key without tags: entry and root in the key's own slot, on whichever node has it."""

    def name(world: Nodes) -> str:
        return "root" if rules.root == "bucket" else f"root of shard {world.slot}"

    def look(world: Nodes) -> Any:
        keys = world.others if world.slot else world.keys
        root = keys.get(name(world))
        entry = keys.get("entry")
        if entry is None or root is None or entry.stamps != ((name(world), root),):
            return (name(world), root)
        promise(entry.value >= world.floor, f"a hit of v{entry.value}, though v{world.floor} was cleared for")
        return "hit"

    def store(world: Nodes, root: str, seen: str, value: int) -> str:
        keys = world.others if world.slot else world.keys
        return commit(world, keys, Draft("set", value, ((root, seen),)))

    def run() -> Run:
        seen = yield Step("looks", "", look)
        if seen == "hit":
            return
        root, stamp = seen
        if stamp is None:
            return
        value = yield Step("loads", "", lambda world: world.row)
        yield Step("stores", "", lambda world: store(world, root, stamp, value))

    return run


def moving() -> Run:
    """The key's slot moves to another node, forth and back, with all that is in it; a shard's own root stays."""

    def move(world: Nodes) -> str:
        source, target = (world.others, world.keys) if world.slot else (world.keys, world.others)
        for name in ("entry", "root"):
            if name in source:
                target[name] = source.pop(name)
        world.slot = 1 - world.slot
        return f"node {world.slot + 1}"

    for _ in range(2):
        yield Step("the slot moves", "", move)


def clearing(rules: Rules) -> Operation:
    """COMMIT, and `clear()` by the topology that it knows."""

    def write(world: Nodes, shards: int, version: int) -> str:
        world.floor = max(world.floor, version)
        if rules.root == "bucket":  # wherever its slot is: MOVED tells
            return set_xx_get(world.others if world.slot else world.keys, "root", new_stamp(world))
        for shard in range(shards):
            set_xx_get((world.keys, world.others)[shard], f"root of shard {shard}", new_stamp(world))
        return f"{shards} shards"

    def run() -> Run:
        shards = yield Step("asks for the topology", "", lambda world: world.slot + 1)
        version = yield Step("COMMIT", "", committed)
        yield Step("writes the roots", "", lambda world: write(world, shards, version))

    return run


def two_nodes(rules: Rules) -> Callable[[bool], Model]:
    """Readers, a writer, a failover of the stamp's node. Deeper: one more writer."""

    def make(deep: bool) -> Model:  # noqa: FBT001 - as a scenario calls it
        readers = copies(2, "R", *[reading(rules)] * 2)
        return Model(Nodes(), [*readers, *copies(1 + deep, "W", writing), Process("replica", (failing_over,))])

    return make


def moved(rules: Rules) -> Callable[[bool], Model]:
    """Readers, a clear, a slot that moves to a new shard. Deeper: one more reader."""

    def make(deep: bool) -> Model:  # noqa: FBT001 - as a scenario calls it
        roots = {"root": "0.0", "root of shard 0": "0.0"}
        world = Nodes(keys=roots, others={"root of shard 1": "9.9"})
        readers = copies(2 + deep, "R", *[reading_slot(rules)] * 2)
        return Model(world, [*readers, *copies(1, "clear", clearing(rules)), Process("cluster", (moving,))])

    return make


def scenario(name: str, expected: str, rule: str, make: Callable[[bool], Model]) -> Scenario:
    """One of this group's."""
    return Scenario("nodes (design)", name, expected, rule, make)


SCENARIOS: Final = (
    scenario("identities of all nodes read", HOLDS, "design, 4", two_nodes(Rules())),
    scenario("the identity of the stamp's node", HOLDS, "design, 4", two_nodes(Rules(identities="stamp's"))),
    scenario("the identity of the entry's node alone", VIOLATED, "design, 4", two_nodes(Rules(identities="entry's"))),
    scenario("roots fixed by the slot, the slot moves", HOLDS, "design, 6", moved(Rules())),
    scenario("a root for each shard, the slot moves", VIOLATED, "design, 6", moved(Rules(root="shard"))),
)
