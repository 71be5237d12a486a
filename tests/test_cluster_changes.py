"""Caches on a cluster that changes under readers and writers: slots that move, primaries that are lost, and heirs.

What readers are given is judged as in `traffic`. Each event leaves the cluster whole; who is primary may have changed.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from clusters import Cluster, Node, slot_of, until
from traffic import Traffic

from unstale import Cache
from unstale.errors import StoreError

ROWS_PER_NODE = 4
SOAKED = 60
HASTY = 0.6

Event = Callable[[Cluster, Traffic], None]


def stamp_of(row: str) -> bytes:
    """What a row's stamp is called."""
    return b"traffic:s:{%b}" % row.encode()


def moves_of(cluster: Cluster, rows: list[str]) -> Iterator[tuple[int, Node]]:
    """The slots of rows, each with the primary that comes after its own."""
    for row in rows:
        slot, primaries = slot_of(stamp_of(row)), cluster.primaries
        source = cluster.owner_of(slot)
        yield slot, primaries[(primaries.index(source) + 1) % len(primaries)]


def slots_move(cluster: Cluster, traffic: Traffic) -> None:
    """Slots move with what is in them, key by key; meanwhile a slot is half here and half there."""
    cluster.each("CONFIG", "RESETSTAT")
    for slot, target in moves_of(cluster, traffic.judge.rows[::2]):
        cluster.move(slot, target, lambda: time.sleep(0.02))
    errors = {name for node in cluster.primaries for name in node.info("errorstats")}
    assert {"errorstat_MOVED", "errorstat_ASK"} <= errors


def slots_move_at_a_stroke(cluster: Cluster, traffic: Traffic) -> None:
    """Slots move as one each, where the server can do that."""
    for slot, target in moves_of(cluster, traffic.judge.rows[::2]):
        if cluster.moves_at_a_stroke:
            cluster.move_at_a_stroke(slot, target)
        else:
            cluster.move(slot, target)


def all_is_cleared_while_slots_move(cluster: Cluster, traffic: Traffic) -> None:
    """`clear()` reaches what moves, or raises and is called again: then nobody is given anything from before."""
    over = threading.Event()

    def keep_moving() -> None:
        while not over.is_set():
            for slot, target in moves_of(cluster, traffic.judge.rows[::3]):
                cluster.move(slot, target)

    mover = threading.Thread(target=keep_moving)
    mover.start()
    try:
        with Cache.from_url(cluster.url, namespace="traffic", timeout=2.0) as cache:
            for _ in range(2):
                clear(cache, traffic)
                traffic.flows()
    finally:
        over.set()
        mover.join()


def clear(cache: Cache, traffic: Traffic) -> None:
    """Change every row, and clear the cache until that has taken effect."""
    versions = {row: traffic.judge.change(row) for row in traffic.judge.rows}

    def is_done() -> bool:
        try:
            cache.clear()
        except StoreError:
            return False
        return True

    until(is_done)
    for row, version in versions.items():
        traffic.judge.invalidated(row, version)


def a_primary_is_killed(cluster: Cluster, traffic: Traffic) -> None:
    """A primary dies, its replica is promoted, and it comes back as a replica."""
    lost = random.choice(cluster.primaries)
    cluster.lose(lost)
    traffic.flows()
    cluster.start_again(lost)


def its_heir_lags(cluster: Cluster, traffic: Traffic) -> None:
    """A primary dies whose replica has missed invalidations: what that still has is nobody's."""
    lost = random.choice(cluster.primaries)
    with cluster.severed(lost) as heir:
        traffic.flows()  # what is invalidated and filled now, the replica does not hear of
        assert cluster.lose(lost) is heir
    traffic.flows()
    cluster.start_again(lost)


def replicas_take_over(cluster: Cluster, traffic: Traffic) -> None:
    """Replicas take their primaries' places by hand; what an old one has, which keeps its clients, is nobody's."""
    for how, primary in zip(("", "FORCE", "TAKEOVER"), cluster.primaries, strict=True):
        cluster.hand_over(primary, how)
        traffic.flows()
    cluster.settle()


def a_primary_returns_empty(cluster: Cluster, traffic: Traffic) -> None:
    """A primary is started again with nothing, before its replica is promoted."""
    returned(cluster, random.choice(cluster.primaries))


def a_primary_returns_from_a_snapshot(cluster: Cluster, traffic: Traffic) -> None:
    """A primary is started again with the data of a while ago, before its replica is promoted."""
    primary = random.choice(cluster.primaries)
    until(lambda: primary.ask("SAVE"))
    traffic.flows()
    returned(cluster, primary, keep_snapshot=True)


def returned(cluster: Cluster, primary: Node, *, keep_snapshot: bool = False) -> None:
    """Kill a primary and start it before anybody takes its place."""
    primary.kill(keep_snapshot=keep_snapshot)
    primary.server.start()
    cluster.settle()


def a_primary_is_frozen(cluster: Cluster, traffic: Traffic) -> None:
    """A primary is stopped and replaced; when it goes on it still takes itself for one, and nobody believes it."""
    frozen = random.choice(cluster.primaries)
    heir = cluster.replica_of(frozen)
    frozen.freeze()
    cluster.wait_for(heir, without=frozen)
    traffic.flows()
    frozen.thaw()
    cluster.settle()


EVENTS: list[Event] = [
    slots_move,
    slots_move_at_a_stroke,
    all_is_cleared_while_slots_move,
    a_primary_is_killed,
    its_heir_lags,
    replicas_take_over,
    a_primary_returns_empty,
    a_primary_returns_from_a_snapshot,
    a_primary_is_frozen,
]


def started(cluster: Cluster) -> Traffic:
    """Readers and writers of rows at every node, who know some of the nodes."""
    known = (cluster.nodes[0], cluster.nodes[4], cluster.nodes[2])
    return Traffic(cluster.url_of(*known), cluster.roots(ROWS_PER_NODE, "row"))


IN_SHORT: list[tuple[str, Event]] = [
    ("redis", slots_move),
    ("redis", its_heir_lags),
    ("redis", replicas_take_over),
    ("redis", a_primary_returns_from_a_snapshot),
    ("valkey", slots_move),
    ("valkey", slots_move_at_a_stroke),
    ("valkey", all_is_cleared_while_slots_move),
    ("valkey", a_primary_returns_empty),
    ("valkey", a_primary_is_frozen),
]
"""Each takes seconds, so most happen to one kind of servers only; the soak has all for both."""


@pytest.mark.parametrize(
    ("cluster", "event"), IN_SHORT, indirect=["cluster"], ids=lambda one: getattr(one, "__name__", one)
)
def test_under_load(cluster: Cluster, event: Event) -> None:
    """Whatever happens, nobody is given what is stale, no error reaches a reader, and then all goes on."""
    with started(cluster) as traffic:
        event(cluster, traffic)
        traffic.flows()
        assert traffic.is_as_promised()


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_much_happens_under_load(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    """The same with one event after the other, as chance will have it."""
    began, happened = time.monotonic(), Counter[str]()
    with started(cluster) as traffic:
        for _ in range(SOAKED):
            event = random.choice(EVENTS)
            event(cluster, traffic)
            traffic.flows()
            happened[event.__name__] += 1
        with capsys.disabled():
            seconds = time.monotonic() - began
            print(f"\n{dict(happened)} in {seconds:.0f} s: {traffic.judge}")  # noqa: T201 - what a soak is for
        assert traffic.is_as_promised()


@pytest.mark.parametrize("cluster", ["valkey"], indirect=True)
def test_an_heir_that_lags_has_old_stamps(cluster: Cluster) -> None:
    """The entry that was invalidated is there again, under its old stamp, at the promoted replica: it is stale.

    Entries without tags stay: no invalidation could have met them.
    """
    kept, lost, _ = cluster.primaries
    (tag,), (other,) = cluster.roots_at(lost, 1), cluster.roots_at(kept, 1)
    with Cache.from_url(cluster.url, namespace="traffic", timeout=HASTY) as cache:
        for key, tags in {"there": [tag], "from there": [tag, other], "to there": [other, tag]}.items():
            cache.set(key, "old", tags=tags)
        assert cache.set_many({f"k{number}": "kept" for number in range(60)}, ttl=None) == []
        heir = cluster.replica_of(lost)
        until(lambda: set(heir.names()) == set(lost.names()))
        with cluster.severed(lost):
            stamp = lost.value(stamp_of(tag))
            cache.invalidate(tag)
            cluster.lose(lost)
        assert heir.value(stamp_of(tag)) == stamp
        for key, tags in {"there": [tag], "from there": [tag, other], "to there": [other, tag]}.items():
            assert cache.get(key, tags=tags) is None
            assert cache.get_or_set(key, lambda: "new", tags=tags) == "new"
            assert cache.get(key, tags=tags) == "new"
        assert len(cache.get_many([f"k{number}" for number in range(60)])) == 60
    cluster.start_again(lost)


@pytest.mark.parametrize("cluster", ["redis"], indirect=True)
def test_a_primary_starts_again_from_an_old_snapshot(cluster: Cluster) -> None:
    """A primary comes back with the data of a while ago, before its replica is promoted: what had ended stays ended."""
    primary = cluster.primaries[0]
    (tag,) = cluster.roots_at(primary, 1)
    with Cache.from_url(cluster.url, namespace="traffic", timeout=HASTY) as cache:
        cache.set("k", "old", tags=[tag])
        assert cache.set_many({f"k{number}": "kept" for number in range(60)}, ttl=None) == []
        until(lambda: primary.ask("SAVE"))
        stamp = primary.value(stamp_of(tag))
        cache.invalidate(tag)
        returned(cluster, primary, keep_snapshot=True)
        assert primary.value(stamp_of(tag)) == stamp
        assert cache.get("k", tags=[tag]) is None
        assert cache.get_or_set("k", lambda: "new", tags=[tag]) == "new"
        assert cache.get("k", tags=[tag]) == "new"
        assert len(cache.get_many([f"k{number}" for number in range(60)])) == 60


@pytest.mark.parametrize("cluster", ["redis"], indirect=True)
def test_a_cluster_that_is_down(cluster: Cluster) -> None:
    """While a primary is gone and none has its slots, reads go on without it, and writes say that they did nothing."""
    lost, other, _ = cluster.primaries
    heir = cluster.replica_of(lost)
    tags = [*cluster.roots_at(lost, 1), *cluster.roots_at(other, 1)]
    with Cache.from_url(cluster.url, namespace="traffic", timeout=HASTY) as cache:
        for tag in tags:
            cache.set(f"of {tag}", "v", tags=[tag])
        heir.kill()
        lost.kill()
        running = [node for node in cluster.nodes if node.is_running]
        until(lambda: not any(node.sees_all_well for node in running))
        for tag in tags:
            assert cache.get(f"of {tag}", "default", tags=[tag]) == "default"
            assert cache.get_or_set(f"of {tag}", lambda: "loaded", tags=[tag]) == "loaded"
            with pytest.raises(StoreError):
                cache.invalidate(tag)
        cluster.repair()
        for tag in tags:
            assert cache.get_or_set(f"of {tag}", lambda: "new", tags=[tag]) == "new"
            assert cache.get(f"of {tag}", tags=[tag]) == "new"
