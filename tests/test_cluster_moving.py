"""Stamps whose slot is on its way: what is still at the node that it leaves can be changed there, but not made anew.

A script that removes a stamp there is refused its next write to it. Whatever it meets, a stamp that was to be closed is
closed in the end, and nobody is told of a failure.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from clusters import Cluster, Node, slot_of
from test_conformance import OnALoop

from unstale import Cache
from unstale.core.ports import Bumped, Store
from unstale.core.stamps import LAG
from unstale.stores.options import StoreOptions
from unstale.stores.urls import open_async_store, open_store

OPTIONS: Final = StoreOptions(timeout=5.0, read_timeout=5.0, invalidate_timeout=20.0)
TAG: Final = "user:42"
STAMP: Final = b"shop:s:{user:42}"
LONG: Final = 60.0
TTL: Final = 600.0
MOVES: Final = 4

Action = Callable[[Any], Any]


def closed_for(owner: bytes, seconds: float = LONG) -> Action:
    """Closes the stamp for an owner."""
    return lambda store: store.close_stamps([STAMP], owner, seconds, TTL)


def opened(store: Store) -> None:
    """Makes the stamp, open."""
    store.open([], [STAMP], TTL)


def over(owner: bytes, before: Action = lambda _: None) -> Action:
    """Closes the stamp for an owner whose deadline passes at once, after something else."""

    def act(store: Store) -> None:
        before(store)
        store.close_stamps([STAMP], owner, 0.001, TTL)
        time.sleep(0.02)

    return act


def bumped(**how: Any) -> Action:
    """Invalidates; whether there was something is said."""
    return lambda store: store.bump([STAMP], TTL, **how)


def completed(owner: bytes, **how: Any) -> Action:
    """Takes an owner out."""
    return lambda store: store.complete([STAMP], owner, TTL, **how)


def filled(store: Store) -> int:
    """Opens the stamp as a fill does where loaders may lag; how long it is then: 0 if it is closed."""
    [stamp] = store.open([], [STAMP], TTL, LONG).stamps
    return len(stamp) if isinstance(stamp, bytes) else 0


CASES: Final[dict[str, tuple[Action, Action, Any, set[bytes] | str]]] = {
    "close an open one": (opened, closed_for(b"own"), None, {b"own"}),
    "close one whose owner is late": (over(b"late"), closed_for(b"own"), None, {b"own"}),
    "close a closed one": (closed_for(b"other"), closed_for(b"own"), None, {b"own", b"other"}),
    "complete as the last": (closed_for(b"own"), completed(b"own"), [Bumped.CHANGED], "none"),
    "complete late": (over(b"own"), completed(b"own"), [Bumped.CHANGED], "none"),
    "complete before a late one": (over(b"late", closed_for(b"own")), completed(b"own"), [Bumped.CHANGED], "none"),
    "complete as the last, with a lag": (closed_for(b"own"), completed(b"own", lag=LONG), [Bumped.CHANGED], {LAG}),
    "complete for a late one": (over(b"late"), completed(b"own"), [Bumped.CLOSED], "none"),
    "complete what was lost": (opened, completed(b"own"), [Bumped.CHANGED], "none"),
    "complete what was lost, with a lag": (opened, completed(b"own", lag=LONG), [Bumped.CHANGED], {LAG}),
    "bump an open one": (opened, bumped(), [Bumped.CHANGED], "string"),
    "bump softly": (opened, bumped(soft=True), [Bumped.CHANGED], "string"),
    "bump with a lag": (opened, bumped(lag=LONG), [Bumped.CHANGED], {LAG}),
    "bump one of a late owner, with a lag": (over(b"late"), bumped(lag=LONG), [Bumped.CLOSED], {LAG}),
    "fill after a lag": (over(LAG), filled, 16, "string"),
    "fill within a lag": (closed_for(LAG), filled, 0, {LAG}),
}
"""What is done before the slot moves, then while it does, what that gives, and what stands there at the end."""


@pytest.fixture(params=["sync", "async"])
def store(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[Store]:
    """A store on a cluster, both ways of waiting."""
    if request.param == "sync":
        plain = open_store(cluster.url, OPTIONS)
        yield plain
        plain.close()
        return
    store = OnALoop(open_async_store(cluster.url, OPTIONS))
    yield store
    store.close()
    store.end()


def next_home(cluster: Cluster) -> Node:
    """A primary that does not have the stamp's slot."""
    source = cluster.owner_of(slot_of(STAMP))
    return next(node for node in cluster.primaries if node is not source)


def while_it_leaves(cluster: Cluster, action: Callable[[], Any]) -> Any:
    """Do something while a slot is on its way, with the stamp still where it was; what that gives."""
    given: list[Any] = []

    def once() -> None:
        if not given:
            given.append(action())

    cluster.move(slot_of(STAMP), next_home(cluster), once)
    return given[0]


def standing(cluster: Cluster) -> set[bytes] | str:
    """A closed stamp's owners, or the type of what stands in its place."""
    node = cluster.owner_of(slot_of(STAMP))
    kind = str(node.ask("TYPE", STAMP))
    return {owner.encode() for owner in node.ask("ZRANGE", STAMP, 0, -1)} if kind == "zset" else kind


@pytest.mark.parametrize("case", CASES)
def test_a_stamp_that_has_not_left_yet(cluster: Cluster, store: Store, case: str) -> None:
    """Whatever is done with it, it has the outcome that it has where nothing moves."""
    before, action, expected, left = CASES[case]
    before(store)
    assert while_it_leaves(cluster, lambda: action(store)) == expected
    assert standing(cluster) == left


def test_the_same_where_nothing_moves(cluster: Cluster) -> None:
    """What the other test compares with."""
    store = open_store(cluster.url, OPTIONS)
    for before, action, expected, left in CASES.values():
        cluster.flush()
        before(store)
        assert action(store) == expected
        assert standing(cluster) == left
    store.close()


def test_transactions_while_a_slot_moves(cluster: Cluster) -> None:
    """Three threads' strict blocks all end well while the slot of their tag moves, key by key, again and again."""
    done, failed = threading.Event(), []
    with Cache.from_url(cluster.url, namespace="shop", timeout=5.0, invalidate_timeout=20.0) as cache:

        def transact() -> None:
            while not done.wait(0.01):
                try:
                    cache.get_or_set("k", lambda: 1, tags=[TAG])
                    cache.complete(cache.begin_strict(TAG))
                except Exception as error:  # noqa: BLE001 - none is expected
                    failed.append(error)
                    return

        threads = [threading.Thread(target=transact) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(MOVES):
                cluster.move(slot_of(STAMP), next_home(cluster), lambda: time.sleep(0.02))
        finally:
            done.set()
            for thread in threads:
                thread.join()
    assert failed == []
