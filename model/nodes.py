"""A cluster: entries whose stamps stand at two nodes, failovers of either, slots that move with what is in them.

A stamp that is seen through a node is here written `stamp@identity`: as built it is their XOR (`cluster.folded`). Nodes
are asked at the same time, so their answers come in any order. What is stored is a `set` after a miss: a fill but
for its lease, which lies where the entry does.

G1, also while a node fails over to a replica that lags, and while slots move. For `clear()` a root is one more stamp,
in the entry's own slot.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from model.process import HOLDS, VIOLATED, Model, Operation, Process, Run, Step, copies
from model.scenario import Scenario
from model.server import Draft, Entry, Keys, World, commit, is_fresh, mget, new_stamp, promise, set_nx_get, set_xx_get

HIT: Final = "hit"
ASK, OPEN = "stores.cluster_trips.ClusterTrips.read", "stores.cluster_trips.ClusterTrips.open"
STORE, BUMP = "stores.cluster_trips.ClusterTrips.commit", "stores.cluster_trips.ClusterTrips.bump"
BY_NAME: Final = "stores.cluster_trips.ClusterTrips._strings"


class Rules(NamedTuple):
    """The protocol as built; each field is a way to simplify it.

    Attributes:
        identity: bound to a node's life is "each stamp", to its own node's; or "the entry", to that of the node where
            it lies; or "nothing".
        taken: a stamp is bound to the node that showed it at the "look", or that has it when the value is "stored".
        compared: readers compare "all" stamps that an entry recorded, or those of the entry's "own slot".
        root: a root for each "slot", or for each "shard", which stays when its slots go.
    """

    identity: str = "each stamp"
    taken: str = "look"
    compared: str = "all"
    root: str = "slot"


@dataclass
class Nodes(World):
    """Two nodes: `keys` are the first one's, where the entry lies with its stamp "home"; "far" stands at the second.

    Attributes:
        others: the second node's keys.
        lagging: what the replica of the node that fails over has.
        ids: the nodes' identities.
    """

    others: Keys = field(default_factory=dict)
    lagging: Keys = field(default_factory=dict)
    ids: tuple[str, str] = ("one", "two")

    def of(self, node: int) -> Keys:
        """A node's keys."""
        return self.others if node else self.keys


def seen(stamp: str | None, identity: str, rules: Rules) -> str | None:
    """`cluster.folded`: a stamp as it is seen through its node."""
    return f"{stamp}@{identity}" if stamp is not None and rules.identity == "each stamp" else stamp


def sent(stamp: str, identity: str, rules: Rules) -> str:
    """The stamp that a node is sent to compare: unfolded with its own identity, a stranger's matches nothing."""
    if rules.identity != "each stamp":
        return stamp
    plain, _, whose = stamp.partition("@")
    return plain if whose == identity else "a stranger's"


class Looked(NamedTuple):
    """What a look has seen: the oldest version that may be served, the entry, its node's identity, the stamps."""

    floor: int
    entry: Entry | None
    identity: str
    home: str | None
    far: str | None


def near(world: Nodes, rules: Rules) -> Any:
    """The floor, the entry, its node's identity and the stamp there."""
    entry, home = mget(world.keys, "entry", "home")
    return world.floor, entry, world.ids[0], seen(home, world.ids[0], rules)


def far(world: Nodes, rules: Rules) -> Any:
    """The floor, and the other node's stamp."""
    return world.floor, seen(mget(world.others, "far")[0], world.ids[1], rules)


def judged(looked: Looked, rules: Rules) -> Any:
    """`freshness.judge`: a hit, which must be new enough, or what was looked at."""
    entry = looked.entry
    if entry is None or (rules.identity == "the entry" and entry.identity != looked.identity):
        return looked
    compared = entry if rules.compared == "all" else entry._replace(stamps=entry.stamps[:1])
    if not is_fresh(compared, {"home": looked.home, "far": looked.far}):
        return looked
    promise(entry.value >= looked.floor, f"a hit of v{entry.value}, though v{looked.floor} had been invalidated for")
    return HIT


def opened(world: Nodes, node: int, name: str, rules: Rules) -> str | None:
    """A missing stamp, created."""
    return seen(set_nx_get(world.of(node), name, new_stamp(world)), world.ids[node], rules)


def store(world: Nodes, looked: Looked, value: int, rules: Rules) -> str:
    """COMMIT: only the stamp of the entry's own slot is compared there."""
    stamps: tuple[str, ...] = (looked.home or "", looked.far or "")
    if rules.taken == "stored":
        pairs = zip(stamps, world.ids, strict=True)
        stamps = tuple([str(seen(stamp.partition("@")[0], identity, rules)) for stamp, identity in pairs])
    own = ("home", sent(stamps[0], world.ids[0], rules))
    outcome = commit(world, world.keys, Draft("set", value, (own,)))
    if outcome == "stored":
        world.keys["entry"] = Entry(value, tuple(zip(("home", "far"), stamps, strict=True)), looked.identity)
    return outcome


def reading(rules: Rules, *, far_first: bool) -> Operation:
    """`get`, and where that misses a load and a `set`, of an entry with a stamp at each node."""

    def after_near(world: Nodes, floor: int, stamp: str | None) -> Any:
        _, entry, identity, home = near(world, rules)
        return judged(Looked(floor, entry, identity, home, stamp), rules)

    def look() -> Generator[Step, Any, Any]:
        first, second = "is answered by the entry's node", "is answered by the other node"
        if far_first:
            one = yield Step(second, ASK, lambda world: far(world, rules))
            return (yield Step(first, ASK, lambda world: after_near(world, *one)))
        floor, entry, identity, home = yield Step(first, ASK, lambda world: near(world, rules))

        def after_far(world: Nodes) -> Any:
            return judged(Looked(floor, entry, identity, home, far(world, rules)[1]), rules)

        return (yield Step(second, ASK, after_far))

    def run() -> Run:
        looked = yield from look()
        if looked == HIT:
            return
        if looked.home is None:
            stamp = yield Step("opens home", OPEN, lambda world: opened(world, 0, "home", rules))
            looked = looked._replace(home=stamp)
        if looked.far is None:
            stamp = yield Step("opens far", OPEN, lambda world: opened(world, 1, "far", rules))
            looked = looked._replace(far=stamp)
        value = yield Step("loads", "", lambda world: world.row)
        yield Step("stores", STORE, lambda world: store(world, looked, value, rules))

    return run


def committed(world: Nodes) -> int:
    """A version more."""
    world.row += 1
    return world.row


def writing(node: int) -> Operation:
    """COMMIT, and an invalidation of the stamp at one node."""

    def act(world: Nodes, version: int) -> str:
        world.floor = max(world.floor, version)
        return set_xx_get(world.of(node), "far" if node else "home", new_stamp(world))

    def run() -> Run:
        version = yield Step("COMMIT", "", committed)
        yield Step("invalidates", BUMP, lambda world: act(world, version))

    return run


def failing_over(node: int) -> Operation:
    """A node's replica catches up, and later is promoted."""

    def follow(world: Nodes) -> str:
        world.lagging = dict(world.of(node))
        return "follows"

    def promote(world: Nodes) -> str:
        world.of(node).clear()
        world.of(node).update(world.lagging)
        again = f"{world.ids[node]} again {world.draw()}"
        world.ids = (world.ids[0], again) if node else (again, world.ids[1])
        return "promoted"

    def run() -> Run:
        yield Step("the replica catches up", "", follow)
        yield Step("the replica is promoted", "", promote)

    return run


@dataclass
class Slot(World):
    """One slot, with an entry and one stamp in it, which moves from `keys`, the first node's, to `others`.

    Attributes:
        others: the second node's keys.
        ids: the nodes' identities.
        owner: which node has the slot.
        is_open: whether it is on its way to the other: what the owner has not is asked for there.
    """

    others: Keys = field(default_factory=dict)
    ids: tuple[str, str] = ("one", "two")
    owner: int = 0
    is_open: bool = False

    def of(self, node: int) -> Keys:
        """A node's keys."""
        return self.others if node else self.keys

    def node_of(self, name: str) -> int:
        """The node that serves a name: MOVED and ASK tell."""
        return 1 - self.owner if self.is_open and name not in self.of(self.owner) else self.owner

    def get(self, name: str) -> Any:
        """What stands under a name of the slot."""
        return mget(self.of(self.node_of(name)), name)[0]


def name_of_stamp(world: Slot, rules: Rules) -> str:
    """What the stamp of the slot is called: a tag's, or a root's; a shard's root is that of who has the slot."""
    return "stamp" if rules.root == "slot" else f"root of shard {world.owner}"


def reading_slot(rules: Rules) -> Operation:
    """`get`, and where that misses a load and a `set`, of a key whose one stamp shares its slot, where that is now."""

    def stamp(world: Slot) -> Any:
        name = name_of_stamp(world, rules)
        if rules.root == "shard":  # on its own shard's node, whatever moves
            return world.floor, name, seen(mget(world.of(world.owner), name)[0], world.ids[world.owner], rules)
        return world.floor, name, seen(world.get(name), world.ids[world.node_of(name)], rules)

    def entry(world: Slot, looked: Any) -> Any:
        floor, name, current = looked
        found = world.get("entry")
        if found is None or current is None or found.stamps != ((name, current),):
            return looked
        promise(found.value >= floor, f"a hit of v{found.value}, though v{floor} had been invalidated for")
        return HIT

    def put(world: Slot, looked: Any, value: int) -> str:
        _, name, observed = looked
        if world.is_open:  # TRYAGAIN
            return "refused: the slot moves"
        own = sent(observed, world.ids[world.owner], rules)
        outcome = commit(world, world.of(world.owner), Draft("set", value, ((name, own),)))
        if outcome == "stored":
            world.of(world.owner)["entry"] = Entry(value, ((name, observed),))
        return outcome

    def run() -> Run:
        looked = yield Step("asks for the stamp", BY_NAME, stamp)
        hit = yield Step("asks for the entry", BY_NAME, lambda world: entry(world, looked))
        if hit == HIT or looked[2] is None:
            return
        value = yield Step("loads", "", lambda world: world.row)
        yield Step("stores", STORE, lambda world: put(world, looked, value))

    return run


def moving(*, copies_stay: bool = False) -> Run:
    """The slot moves, name by name, in this order or the other.

    Or what is copied stays at the source, as MIGRATE may leave it when its time is over, and the slot is given away all
    the same.
    """

    def begin(world: Slot) -> str:
        world.is_open = True
        return "importing"

    def copy(world: Slot) -> str:
        world.others.update({name: value for name, value in world.keys.items() if name in ("entry", "stamp")})
        return "copied"

    def migrate(world: Slot, name: str) -> str:
        if name in world.keys:
            world.others[name] = world.keys.pop(name)
        return f"{name} moved"

    def end(world: Slot) -> str:
        world.owner, world.is_open = 1, False
        for name in ("entry", "stamp"):
            world.keys.pop(name, None)
        return "moved"

    yield Step("the slot begins to move", "", begin)
    if copies_stay:
        yield Step("what is in it is copied", "", copy)
    else:
        first = yield (
            Step("the entry moves", "", lambda world: migrate(world, "entry")),
            Step("the stamp moves", "", lambda world: migrate(world, "stamp")),
        )
        rest = "stamp" if first == "entry moved" else "entry"
        yield Step(f"the {rest} moves", "", lambda world: migrate(world, rest))
    yield Step("the slot has moved", "", end)


def moving_with_copies() -> Run:
    """See `moving`."""
    return moving(copies_stay=True)


def invalidating(rules: Rules) -> Operation:
    """COMMIT, and an invalidation: of the slot's stamp, wherever it is; of shards' roots, by the table that it has."""

    def write(world: Slot, shards: int, version: int) -> str:
        world.floor = max(world.floor, version)
        if rules.root == "slot":
            return set_xx_get(world.of(world.node_of("stamp")), "stamp", new_stamp(world))
        for shard in range(shards):
            set_xx_get(world.of(shard), f"root of shard {shard}", new_stamp(world))
        return f"{shards} shards"

    def run() -> Run:
        shards = yield Step("has a table", "", lambda world: world.owner + 1)
        version = yield Step("COMMIT", "", committed)
        yield Step("invalidates", BUMP, lambda world: write(world, shards, version))

    return run


def two_nodes(rules: Rules, *, fails: int = 1, bumped: int = 1) -> Callable[[bool], Model]:
    """Readers whose nodes answer in both orders, a writer, a failover of one of the nodes. Deeper: one more writer."""

    def make(deep: bool) -> Model:  # noqa: FBT001 - as a scenario calls it
        readers = [
            Process(f"R{1 + far_first}", (reading(rules, far_first=far_first),) * 2) for far_first in (False, True)
        ]
        replica = Process("replica", (failing_over(fails),))
        return Model(Nodes(), [*readers, *copies(1 + deep, "W", writing(bumped)), replica])

    return make


def moved(rules: Rules, move: Operation = moving) -> Callable[[bool], Model]:
    """Readers, a writer, a slot that moves. Deeper: one more reader."""

    def make(deep: bool) -> Model:  # noqa: FBT001 - as a scenario calls it
        world = Slot(keys={"stamp": "0.0", "root of shard 0": "0.0"}, others={"root of shard 1": "9.9"})
        readers = copies(2 + deep, "R", *[reading_slot(rules)] * 2)
        return Model(world, [*readers, *copies(1, "W", invalidating(rules)), Process("cluster", (move,))])

    return make


def scenario(name: str, expected: str, rule: str, make: Callable[[bool], Model]) -> Scenario:
    """One of this group's."""
    return Scenario("nodes", name, expected, rule, make)


BUILT: Final = Rules()
FOLD, LOOKED, READ = "stores.cluster.folded", "core.refresh.commit_of", "core.freshness.judge"
ROOT, MOVE = "core.keys.Names.root_tag", "stores.cluster.Nodes.move"
SCENARIOS: Final = (
    scenario("the other node fails over", HOLDS, FOLD, two_nodes(BUILT)),
    scenario("the entry's node fails over", HOLDS, FOLD, two_nodes(BUILT, fails=0, bumped=0)),
    scenario("the entry's node fails over, the other's stamp is bumped", HOLDS, FOLD, two_nodes(BUILT, fails=0)),
    scenario("no identity", VIOLATED, FOLD, two_nodes(Rules(identity="nothing"))),
    scenario("the identity of the entry's node alone", VIOLATED, FOLD, two_nodes(Rules(identity="the entry"))),
    scenario("the identity of the node at the store", VIOLATED, LOOKED, two_nodes(Rules(taken="stored"))),
    scenario("readers compare the entry's own slot", VIOLATED, READ, two_nodes(Rules(compared="own slot"))),
    scenario("a slot moves, name by name", HOLDS, MOVE, moved(BUILT)),
    scenario("a slot moves, its stamp unbound as a root's", HOLDS, ROOT, moved(Rules(identity="nothing"))),
    scenario("a root for each shard, a slot moves", VIOLATED, ROOT, moved(Rules(identity="nothing", root="shard"))),
    scenario("a slot is given away with old copies", HOLDS, FOLD, moved(BUILT, moving_with_copies)),
    scenario(
        "a slot is given away with old copies, its stamp unbound",
        VIOLATED,
        "not promised of entries without tags, but for fence='all'",
        moved(Rules(identity="nothing"), moving_with_copies),
    ),
)
