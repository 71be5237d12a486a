"""Closed stamps: strict writes, and `replica_lag`. One tag, one key; the server's clock turns.

(a) G1, as in `fills`. (d) Strict: nor is a hit older than what is visible in the database when its read begins. Then
only strict writers commit; others invalidate without.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple

from model.faults import delivering, evicting
from model.process import HOLDS, VIOLATED, WAIT, Model, Operation, Process, Run, Step, copies
from model.scenario import Scenario
from model.server import (
    CLOSED,
    LAG,
    Closed,
    Draft,
    World,
    close,
    commit,
    complete,
    is_fresh,
    mget,
    new_stamp,
    open_,
    promise,
    set_nx_get,
    set_xx_get,
    soften,
    turn,
    unlink,
    unlink_open,
)

LIMIT: Final = 2
"""Turns until a strict writer's deadline; its transaction is over in fewer."""
BEHIND: Final = 2
"""Turns by which the database's replica is behind at the most."""
HIT: Final = "hit"
REFUSED: Final = "refused"
EACH: Final = "stores.cluster_trips.ClusterTrips._each"


class Rules(NamedTuple):
    """The protocol as built; each field is a way to simplify or disturb it.

    Attributes:
        promise: "a" or "d".
        lagging: whether loaders read a replica that is behind.
        lag: the cache's `replica_lag`, in turns.
        begin: closes "all", or only stamps that are "there".
        complete: the "last" out removes the stamp, and one that is open by now goes; or "whoever" completes removes
            it; or an open one is left ("closed only"); or the old stamp is put back ("restore").
        deadlines: each owner has its "own"; or the last one's "replaces" the others'.
        bump: a plain invalidation "leaves" a closed stamp, or sets it "open"; on a full server it removes a stamp that
            is open ("full"), or whatever there is ("full, blindly"); under a lag, "at once" and "soften" do not close.
        missing: under a lag a fill has a missing stamp "closed", or "opened" at once.
        completes_lag: under a lag a completion leaves the lag's owner.
        moving: while a slot of a cluster moves, a script that closes an open stamp may be refused when it has removed
            it. Then it is closed whatever stands there by then ("whatever"), or only what is there ("there").
        late: which of a strict writer's packets may arrive once more, at any time.
        dies: whether a strict writer may die before it completes.
        slow: whether a transaction may outlast its limit.
    """

    promise: str = "a"
    lagging: bool = False
    lag: int = 0
    begin: str = "all"
    complete: str = "last"
    deadlines: str = "own"
    bump: str = "leaves"
    missing: str = "closed"
    completes_lag: bool = True
    moving: str = ""
    late: str = ""
    dies: bool = False
    slow: bool = False


@dataclass
class Turns(World):
    """Beside the server: time.

    Attributes:
        behind: of each version that is not on the database's replica yet, the turns since its COMMIT.
        begun: of each strict transaction that is open, the turns since it began, by owner.
        late: packets that may arrive once more.
    """

    behind: tuple[int, ...] = ()
    begun: tuple[tuple[str, int], ...] = ()
    late: tuple[tuple[str, str], ...] = ()


def reading(rules: Rules) -> Operation:
    """`get_or_set`. Under a closed tag everybody loads for himself, and nothing is stored."""

    def look(world: Turns) -> str | None:
        entry, stamp = mget(world.keys, "entry", "stamp")
        if not is_fresh(entry, {"stamp": stamp}):
            return None if stamp is None else str(stamp)
        floor = world.row if rules.promise == "d" else world.floor
        promise(entry.value >= floor, f"a hit of v{entry.value}, must be v{floor}")
        return HIT

    def opens(world: Turns) -> str:
        if rules.lag and rules.missing == "closed":
            return open_(world, world.keys, "stamp", lag=rules.lag)
        return set_nx_get(world.keys, "stamp", new_stamp(world))

    def run() -> Run:
        seen = yield Step("looks", "core.keyspace.look", look)
        if seen == HIT:
            return
        if seen is None:
            seen = yield Step("opens", "stores.scripts.OPEN" if rules.lag else "stores.commands.open_", opens)
        if seen == CLOSED:
            return
        value = yield Step("loads", "core.refresh._load_and_store", lambda world: world.row - len(world.behind))
        draft = Draft("set", value, (("stamp", seen),))
        yield Step("stores", "stores.scripts.COMMIT", lambda world: commit(world, world.keys, draft))

    return run


def committed(world: Turns, rules: Rules) -> int:
    """A version more; the replica has it later."""
    world.row += 1
    if rules.lagging:
        world.behind += (0,)
    return world.row


def returned(world: Turns, version: int) -> None:
    """An invalidation has returned."""
    world.floor = max(world.floor, version)


def begin(world: Turns, rules: Rules, owner: str) -> str:
    """`closing.begin`."""
    if rules.deadlines == "replaces" and isinstance(world.keys.get("stamp"), Closed):
        unlink(world.keys, "stamp")
    limit = LIMIT + rules.lag
    return close(world.keys, "stamp", owner, limit, always=rules.begin == "all", keep=bool(rules.lag))


def half_done(world: Turns, rules: Rules) -> bool:
    """Where a slot moves: the script that was to close an open stamp has removed it, and is refused."""
    return bool(rules.moving) and isinstance(world.keys.get("stamp"), str) and bool(unlink(world.keys, "stamp"))


def end(world: Turns, rules: Rules, owner: str, before: str = "") -> str:
    """`closing.complete`."""
    stamp = world.keys.get("stamp")
    if rules.complete == "restore":
        world.keys["stamp"] = before
        return "restored"
    if rules.complete == "whoever":
        return str(unlink(world.keys, "stamp"))
    if rules.complete == "closed only" and not isinstance(stamp, Closed):
        return "left"
    lag = rules.lag if rules.completes_lag else 0
    return complete(world.keys, "stamp", owner, lag=lag, keep=bool(rules.lag))


def begins(world: Turns, rules: Rules) -> tuple[str, str]:
    """A strict write begins: its owner, and the stamp that was there (nothing as built puts it back)."""
    owner, stamp = f"w{world.draw()}", world.keys.get("stamp")
    world.begun = tuple(sorted((*world.begun, (owner, 0))))
    if rules.late == "begin" and not world.late:
        world.late = (("begin", owner),)
    if half_done(world, rules):
        return owner, REFUSED
    begin(world, rules, owner)
    return owner, stamp if isinstance(stamp, str) else ""


def over(world: Turns, owner: str) -> str:
    """Its transaction has ended."""
    world.begun = tuple(one for one in world.begun if one[0] != owner)
    return "dead"


def completes(world: Turns, rules: Rules, begun: tuple[str, str], version: int) -> str:
    """It completes, after the COMMIT of a version or a rollback."""
    owner, before = begun
    over(world, owner)
    if rules.late == "complete" and not world.late:
        world.late = (("complete", owner),)
    returned(world, version)
    return end(world, rules, owner, before)


def strict(rules: Rules, *, commits: bool = True) -> Operation:
    """A strict write: begin, COMMIT (or a rollback), complete."""
    mortal = rules.dies and commits

    def commit_(world: Turns, owner: str) -> int:
        over(world, owner)
        return committed(world, rules)

    def or_dies(step: Step, owner: str) -> Step | tuple[Step, Step]:
        return (step, Step("dies", "", lambda world: over(world, owner))) if mortal else step

    def run() -> Run:
        begun = yield Step("begins", "core.closing.begin", lambda world: begins(world, rules))
        if begun[1] == REFUSED:
            follows = rules._replace(begin="all" if rules.moving == "whatever" else "there")
            yield Step("begins again", EACH, lambda world: begin(world, follows, begun[0]))
        version: Any = 0
        if commits:
            version = yield or_dies(Step("COMMIT", "", lambda world: commit_(world, begun[0])), begun[0])
        if version != "dead":
            act = partial(completes, rules=rules, begun=begun, version=version)
            yield or_dies(Step("completes", "core.closing.complete", act), begun[0])

    return run


def closes(rules: Rules) -> bool:
    """Whether an invalidation closes its stamp."""
    return bool(rules.lag) and rules.bump == "leaves"


def bump(world: Turns, rules: Rules) -> str:
    """`invalidate`, as the rules have it."""
    if closes(rules):
        return close(world.keys, "stamp", LAG, rules.lag, always=False, keep=True)
    match rules.bump:
        case "open" if "stamp" in world.keys:
            world.keys["stamp"] = new_stamp(world)
            return "set"
        case "soften":
            return soften(world, world.keys, "stamp")
        case "full":
            return unlink_open(world.keys, "stamp")
        case "full, blindly":
            return str(unlink(world.keys, "stamp"))
        case _:
            return set_xx_get(world.keys, "stamp", new_stamp(world))


def plain(rules: Rules, *, commits: bool = True) -> Operation:
    """COMMIT, and `invalidate`; without, somebody else's invalidation."""

    def invalidate(world: Turns, version: int) -> str:
        if closes(rules) and half_done(world, rules):
            return REFUSED
        returned(world, version)
        return bump(world, rules)

    def follow(world: Turns, version: int) -> str:
        returned(world, version)
        return close(world.keys, "stamp", LAG, rules.lag, always=rules.moving == "whatever", keep=True)

    def run() -> Run:
        version = (yield Step("COMMIT", "", lambda world: committed(world, rules))) if commits else 0
        code = "stores.commands.close_those_there" if closes(rules) else "stores.commands.bump"
        said = yield Step("invalidates", code, lambda world: invalidate(world, version))
        if said == REFUSED:
            yield Step("invalidates again", "stores.commands.close_for_lag", lambda world: follow(world, version))

    return run


def clock(rules: Rules) -> Operation:
    """The clock turns, unless the replica or a transaction would break its word."""

    def act(world: Turns) -> str:
        late = any(age + 1 >= BEHIND for age in world.behind)
        over = not rules.slow and any(age + 1 >= LIMIT for _, age in world.begun)
        if late or over:
            return WAIT
        turn(world.keys)
        world.behind = tuple(age + 1 for age in world.behind)
        world.begun = tuple((owner, min(age + 1, LIMIT)) for owner, age in world.begun)
        return "turned"

    def run() -> Run:
        yield Step("the clock turns", "", act)

    return run


def catching_up() -> Run:
    """The database's replica gets the next version."""

    def act(world: Turns) -> str:
        if not world.behind:
            return WAIT
        world.behind = world.behind[1:]
        return f"v{world.row - len(world.behind)}"

    yield Step("the database's replica catches up", "", act)


def arrive(rules: Rules, world: Turns, packet: tuple[str, str]) -> str:
    """A packet comes once more."""
    verb, owner = packet
    return begin(world, rules, owner) if verb == "begin" else end(world, rules, owner)


WRITERS: Final[dict[str, Callable[[Rules], Operation]]] = {
    "strict": strict,
    "rollback": partial(strict, commits=False),
    "plain": plain,
    "other": partial(plain, commits=False),
}


def model(
    rules: Rules, *writers: str, reads: tuple[int, ...] = (2, 1), evicted: int = 0, timed: bool = False
) -> Callable[[bool], Model]:
    """Readers, each so many reads; writers by kind; evictions of the stamp; a clock. Deeper: a read more each."""

    def make(deep: bool) -> Model:  # noqa: FBT001 - as a scenario calls it
        read = reading(rules)
        ops = {kind: (WRITERS[kind](rules),) for kind in writers}
        processes = [Process(f"R{at + 1}", (read,) * (count + deep)) for at, count in enumerate(reads)]
        processes += [Process(f"W{at + 1} ({kind})", ops[kind]) for at, kind in enumerate(writers)]
        processes += [Process("server", (evicting("stamp"),) * evicted)] * bool(evicted)
        processes += [Process("server's clock", (clock(rules),), for_ever=True)] * (timed or bool(rules.lag))
        processes += [Process("database", (catching_up,), for_ever=True)] * rules.lagging
        processes += copies(1, "network", delivering(partial(arrive, rules))) * bool(rules.late)
        return Model(Turns(), processes)

    return make


def scenario(name: str, expected: str, rule: str, make: Callable[[bool], Model]) -> Scenario:
    """One of this group's."""
    return Scenario("closed", name, expected, rule, make)


CLOSE, COMPLETE, OPEN, BUMP = (
    "stores.scripts.CLOSE",
    "stores.scripts.COMPLETE",
    "stores.scripts.OPEN",
    "stores.commands.bump",
)
LOST = "not promised: a closed stamp is lost"
D: Final = Rules("d")
BUILT: Final = Rules()
LAGS: Final = Rules(lagging=True, lag=BEHIND)
STRICT: Final = (
    scenario("d, one strict writer", HOLDS, CLOSE, model(D, "strict")),
    scenario("d, a rollback", HOLDS, COMPLETE, model(D, "strict", "rollback")),
    scenario("d, two strict writers", HOLDS, COMPLETE, model(D, "strict", "strict")),
    scenario(
        "d, two strict writers, who may die",
        HOLDS,
        CLOSE,
        model(D._replace(dies=True), "strict", "strict", reads=(2,), timed=True),
    ),
    scenario(
        "d, a late completion", HOLDS, COMPLETE, model(D._replace(late="complete"), "strict", "strict", reads=(1, 1))
    ),
    scenario(
        "d, a late begin", HOLDS, CLOSE, model(D._replace(late="begin"), "strict", "strict", reads=(2,), timed=True)
    ),
    scenario("d, another's invalidation", HOLDS, BUMP, model(D, "strict", "other")),
    scenario(
        "d, another's invalidation on a full server",
        HOLDS,
        "stores.scripts.UNLINK_OPEN",
        model(D._replace(bump="full"), "strict", "other"),
    ),
    scenario("d, plain writers alone", VIOLATED, "the gap between COMMIT and invalidate", model(Rules("d"), "plain")),
    scenario("d, begin closes only what is there", VIOLATED, CLOSE, model(D._replace(begin="there"), "strict")),
    scenario(
        "d, whoever completes opens", VIOLATED, COMPLETE, model(D._replace(complete="whoever"), "strict", "strict")
    ),
    scenario(
        "d, the last begin's deadline counts",
        VIOLATED,
        CLOSE,
        model(D._replace(deadlines="replaces"), "strict", "strict"),
    ),
    scenario("d, another's invalidation opens", VIOLATED, BUMP, model(D._replace(bump="open"), "strict", "other")),
    scenario(
        "d, another's on a full server, blindly",
        VIOLATED,
        "stores.scripts.UNLINK_OPEN",
        model(D._replace(bump="full, blindly"), "strict", "other"),
    ),
    scenario("d, closed and evicted", VIOLATED, LOST, model(D, "strict", evicted=1)),
    scenario(
        "d, the limit shorter than the transaction",
        VIOLATED,
        "not promised: limit",
        model(D._replace(slow=True), "strict", timed=True),
    ),
    scenario(
        "d, two strict writers, a slot moves", HOLDS, EACH, model(D._replace(moving="whatever"), "strict", "strict")
    ),
    scenario(
        "d, a slot moves, only what is there is closed",
        VIOLATED,
        EACH,
        model(D._replace(moving="there"), "strict"),
    ),
    scenario("a, closed and evicted", HOLDS, COMPLETE, model(BUILT, "strict", "strict", reads=(1, 1), evicted=1)),
    scenario("a, strict and plain, evicted", HOLDS, COMPLETE, model(BUILT, "strict", "plain", evicted=1)),
    scenario(
        "a, the limit shorter than the transaction",
        HOLDS,
        COMPLETE,
        model(Rules(slow=True), "strict", "strict", reads=(1, 1), timed=True),
    ),
    scenario(
        "a, evicted, what is open is left",
        VIOLATED,
        COMPLETE,
        model(Rules(complete="closed only"), "strict", evicted=1),
    ),
    scenario("a, the old stamp put back", VIOLATED, COMPLETE, model(Rules(complete="restore"), "rollback", "plain")),
)
LAGGING: Final = (
    scenario("lag, plain", HOLDS, CLOSE, model(LAGS, "plain", reads=(2, 2))),
    scenario("lag, plain twice", HOLDS, CLOSE, model(LAGS, "plain", "plain", reads=(1, 1))),
    scenario("lag, plain, the stamp lost twice", HOLDS, OPEN, model(LAGS, "plain", reads=(2, 2), evicted=2)),
    scenario("lag, plain and another's, lost", HOLDS, OPEN, model(LAGS, "plain", "other", evicted=1)),
    scenario("lag, strict", HOLDS, COMPLETE, model(LAGS, "strict", reads=(2, 2))),
    scenario("lag, a rollback", HOLDS, COMPLETE, model(LAGS, "plain", "rollback")),
    scenario("lag, strict and plain, lost", HOLDS, OPEN, model(LAGS, "strict", "plain", reads=(2,), evicted=1)),
    scenario("lag, strict who may die", HOLDS, CLOSE, model(LAGS._replace(dies=True), "strict", "plain", reads=(2,))),
    scenario(
        "lag, a late completion", HOLDS, COMPLETE, model(LAGS._replace(late="complete"), "strict", "plain", reads=(2,))
    ),
    scenario("lag, a slot moves", HOLDS, EACH, model(LAGS._replace(moving="whatever"), "plain", "plain", reads=(1, 1))),
    scenario(
        "lag, a slot moves, only what is there is closed",
        HOLDS,
        "a missing stamp is closed anew",
        model(LAGS._replace(moving="there"), "plain", reads=(2, 2)),
    ),
    scenario(
        "lag, a slot moves, and a missing stamp opened at once",
        VIOLATED,
        OPEN,
        model(LAGS._replace(moving="there", missing="opened"), "plain"),
    ),
    scenario("lag, none declared", VIOLATED, "replica_lag=0", model(LAGS._replace(lag=0), "plain")),
    scenario("lag, declared too short", VIOLATED, "not promised: lag", model(LAGS._replace(lag=1), "plain")),
    scenario(
        "lag, an invalidation as without",
        VIOLATED,
        "stores.commands.close_those_there",
        model(LAGS._replace(bump="at once"), "plain"),
    ),
    scenario(
        "lag, a missing stamp opened at once",
        VIOLATED,
        OPEN,
        model(LAGS._replace(missing="opened"), "plain", evicted=1),
    ),
    scenario(
        "lag, a completion leaves nothing", VIOLATED, COMPLETE, model(LAGS._replace(completes_lag=False), "strict")
    ),
    scenario(
        "lag, an invalidation that is soft",
        VIOLATED,
        "core.verbs.invalidate",
        model(LAGS._replace(bump="soften"), "plain"),
    ),
    scenario(
        "lag, whoever completes removes",
        HOLDS,
        "a missing stamp is closed anew",
        model(LAGS._replace(complete="whoever"), "plain", "rollback"),
    ),
)
SCENARIOS: Final = (*STRICT, *LAGGING)
