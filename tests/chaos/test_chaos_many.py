"""Sentinels and clusters: what is done to them, by what their servers say of themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from struck import strike, world_of

from unstale.tools.chaos.clusters import SLOTS, Cluster, slot_of
from unstale.tools.chaos.errors import ChaosError
from unstale.tools.chaos.layouts import Users, follows, role_of
from unstale.tools.chaos.plan import Plan
from unstale.tools.chaos.sentinels import Sentinels
from unstale.tools.chaos.servers import client_of
from unstale.tools.chaos.world import World
from unstale.tools.chaos.worlds import standing

NAMES = [f"name:{number}" for number in range(200)]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A primary, its replica and three sentinels."""
    with world_of("redis", "sentinel", tmp_path_factory.mktemp("world")) as world:
        yield world


@pytest.fixture(scope="module")
def clustered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Three primaries, each with a replica."""
    with world_of("valkey", "cluster", tmp_path_factory.mktemp("world")) as world:
        yield world


def put(world: World, value: str) -> None:
    """Write all names, each to the primary that it belongs to."""
    layout = world.servers(Cluster)
    owners = layout.owners()
    for node, slots in owners.items():
        with node.client() as client, client.pipeline(transaction=False) as pipeline:
            for name in NAMES:
                if slot_of(f"{world.namespace}:{name}".encode()) in slots:
                    pipeline.set(f"{world.namespace}:{name}", value)
            pipeline.execute()


def found(world: World) -> list[bytes]:
    """What all primaries have of the run's names."""
    values: list[bytes] = []
    for client in world.clients():
        with client:
            names = list(client.scan_iter(f"{world.namespace}:*", 1000))
            values += [client.get(name) for name in names]
    return values


def is_well(layout: Sentinels) -> bool:
    """Whether all sentinels name the one primary, and the other server follows it."""
    primary, replica = layout.primary, layout.replica
    named = {one.names() for one in layout.sentinels}
    return named == {primary.port} and role_of(primary) == "master" and follows(replica)


@pytest.mark.parametrize("name", ["sentinel-failover", "sentinel-failover-told"])
def test_sentinels_fail_over_when_asked(watched: World, name: str) -> None:
    """To the replica, which has everything; the old primary follows it in the end."""
    layout = watched.servers(Sentinels)
    old, heir = layout.primary, layout.replica
    with old.client() as client:
        client.set("stamp", "new")
        client.wait(1, 10_000)
    strike(watched, name)
    assert (layout.primary, layout.replica) == (heir, old)
    assert is_well(layout)
    with heir.client() as client:
        assert client.get("stamp") == b"new"


def test_sentinels_find_a_dead_primary_and_promote_a_laggard(watched: World) -> None:
    """An old stamp is there again."""
    layout = watched.servers(Sentinels)
    old, heir = layout.primary, layout.replica
    with old.client() as client:
        client.set("stamp", "old")
        client.wait(1, 10_000)
        strike(watched, "sentinel-crash", lambda: client.set("stamp", "new"))
    assert (layout.primary, layout.replica) == (heir, old)
    assert is_well(layout)
    with heir.client() as client:
        assert client.get("stamp") == b"old"


def test_a_sentinel_is_away_and_comes_back(watched: World) -> None:
    """It knows what it knew."""
    layout = watched.servers(Sentinels)
    pids = {one.pid for one in layout.sentinels}
    primary = layout.primary
    strike(watched, "sentinel-away")
    assert len(pids & {one.pid for one in layout.sentinels}) == len(pids) - 1
    assert layout.primary is primary
    assert is_well(layout)


def test_a_users_sentinels_are_asked_for_the_primary(watched: World) -> None:
    """Whose names are the run's to remove."""
    assert Users(watched.url + "/0").primaries() == [watched.servers(Sentinels).primary.url]


def test_a_users_cluster_is_asked_for_its_primaries(clustered: World, tmp_path: Path) -> None:
    """A node that is away is passed over; and only the run's names are removed from them, in the end too."""
    url = f"redis+cluster://127.0.0.1:1,{clustered.url.partition('//')[2]}"
    with standing("one", Plan(phases=(), server=url), tmp_path) as world:
        assert sorted(world.layout.primaries()) == sorted(one.removesuffix("0") for one in clustered.layout.primaries())
        put(clustered, "x")
        theirs, world.namespace = world.namespace, clustered.namespace
        assert strike(world, "flush") == f"{len(NAMES)} names were flushed"
        world.namespace = theirs


def test_a_users_cluster_that_is_away_is_said() -> None:
    """Not by an error of redis-py's alone."""
    with pytest.raises(ChaosError, match="None of the nodes knows its cluster"):
        Users("redis+cluster://127.0.0.1:1").primaries()


def test_a_cluster_has_all_slots_and_a_replica_for_each_primary(clustered: World) -> None:
    """In the eyes of all its nodes."""
    layout = clustered.servers(Cluster)
    assert sum(len(slots) for slots in layout.owners().values()) == SLOTS
    assert len({layout.replica_of(primary).port for primary in layout.leading()}) == 3
    assert len(clustered.layout.primaries()) == 3


def test_a_replica_of_a_cluster_is_promoted(clustered: World) -> None:
    """No name is lost."""
    layout = clustered.servers(Cluster)
    put(clustered, "x")
    before = set(layout.leading())
    strike(clustered, "cluster-failover")
    assert len(before - set(layout.leading())) == 1
    assert found(clustered) == [b"x"] * len(NAMES)


def test_a_cluster_promotes_a_laggard(clustered: World) -> None:
    """Old values are there again, of one primary's names; the other primaries have the new ones."""
    layout = clustered.servers(Cluster)
    put(clustered, "old")
    before = layout.leading()
    for primary in before:
        assert primary.ask("WAIT", 1, 10_000) == 1
    strike(clustered, "cluster-crash", lambda: put(clustered, "new"))
    assert len(set(before) - set(layout.leading())) == 1
    assert set(found(clustered)) == {b"old", b"new"}
    assert len(found(clustered)) == len(NAMES)


def test_slots_move(clustered: World) -> None:
    """With their names, and only such as have names of the run."""
    layout = clustered.servers(Cluster)
    put(clustered, "x")
    before = {slot: node for node, slots in layout.owners().items() for slot in slots}
    strike(clustered, "cluster-reshard")
    after = {slot: node for node, slots in layout.owners().items() for slot in slots}
    moved = {slot for slot in after if after[slot] is not before[slot]}
    assert moved
    assert moved <= {slot_of(f"{clustered.namespace}:{name}".encode()) for name in NAMES}
    assert found(clustered) == [b"x"] * len(NAMES)


def test_a_server_of_a_cluster_comes_back_empty(clustered: World) -> None:
    """The others have what they had."""
    put(clustered, "x")
    strike(clustered, "restart-empty")
    assert 0 < len(found(clustered)) < len(NAMES)


def test_slots_are_those_of_the_specification() -> None:
    """Its examples; an empty hash tag is none."""
    names = [b"123456789", b"{user1000}.following", b"{user1000}.followers", b"foo{}{bar}", b"foo{{bar}}zap"]
    slots = [slot_of(name) for name in names]
    assert slots[0] == 0x31C3
    assert slots[1] == slots[2] == slot_of(b"user1000")
    assert slots[4] == slot_of(b"{bar")
    assert slots[3] != slot_of(b"bar")


def test_a_layout_that_does_not_start_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was started until then has ended."""
    made: list[Sentinels] = []

    def fail(self: Sentinels) -> None:
        made.append(self)
        self.servers[0].start()
        raise KeyboardInterrupt

    monkeypatch.setattr(Sentinels, "heal", fail)
    with pytest.raises(KeyboardInterrupt), world_of("valkey", "sentinel", tmp_path):
        pass
    assert not made[0].servers[0].is_running


def test_a_client_of_a_server_answers_with_bytes(watched: World) -> None:
    """And tries once: a fault is not hidden by a second try."""
    with client_of(watched.servers(Sentinels).primary.url) as client:
        assert client.get_retry().get_retries() == 0
        assert client.ping()
