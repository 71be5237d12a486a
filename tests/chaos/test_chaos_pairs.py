"""A replica that takes its primary's place: who is primary then, what it knows, and who is connected to whom."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from servers import SERVERS
from struck import outcome, strike, tell, world_of

from unstale.tools.chaos.layouts import Pair, follows, role_of
from unstale.tools.chaos.servers import client_of, until
from unstale.tools.chaos.world import World


@pytest.fixture(scope="module", params=SERVERS)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world of a pair of each kind."""
    with world_of(request.param, "pair", tmp_path_factory.mktemp("world")) as world:
        yield world


@pytest.fixture
def world(running: World) -> World:
    """The same, healed and empty."""
    running.heal()
    with client_of(running.url) as client:
        client.flushall()
    return running


@pytest.fixture
def pair(world: World) -> Pair:
    """Its servers."""
    return world.servers(Pair)


@pytest.fixture
def client(world: World) -> Iterator[redis.Redis]:
    """A client that knows the proxy's address alone; it keeps its connection while that lasts."""
    with client_of(world.url) as one:
        one.ping()
        yield one


def identity(client: redis.Redis) -> tuple[str, str, str]:
    """What a client's connection is told of its server."""
    told = client.info()
    return told["run_id"], told["master_replid"], told["role"]


def is_well(pair: Pair) -> bool:
    """Whether there is one primary, and the other follows it."""
    roles = (role_of(pair.primary), role_of(pair.replica))
    port = pair.replica.info("replication")["master_port"]
    return roles == ("master", "slave") and port == pair.primary.port and follows(pair.replica)


def test_a_world_is_a_primary_and_its_replica(pair: Pair, client: redis.Redis) -> None:
    """Which has what the primary has."""
    client.set("stamp", "old")
    assert is_well(pair)
    with pair.replica.client() as replica:
        until(lambda: replica.get("stamp") == b"old", "a replica that has the stamp")


def test_a_laggard_brings_an_old_stamp_back(world: World, pair: Pair, client: redis.Redis) -> None:
    """As another server; and all connections to the old one are gone."""
    client.set("stamp", "old")
    client.wait(1, 10_000)
    before, primary = identity(client), pair.primary
    strike(world, "failover-to-laggard", lambda: client.set("stamp", "new"))
    assert outcome(lambda: client.get("stamp")) in {b"old", redis.ConnectionError}
    assert client.get("stamp") == b"old"
    assert identity(client)[:2] != before[:2]
    assert pair.replica is primary
    assert is_well(pair)


def test_a_demoted_primary_keeps_its_clients(world: World, pair: Pair, client: redis.Redis) -> None:
    """They read from it, and hear nothing of what is written to the new one; new connections lead there."""
    client.set("stamp", "old")
    run_id, mine = identity(client)[0], client.client_id()
    strike(world, "demoted-primary")
    with client_of(world.url) as later:
        assert later.set("stamp", "new")
        assert identity(later)[0] != run_id
    assert (identity(client)[0], identity(client)[2], client.client_id()) == (run_id, "slave", mine)
    assert client.get("stamp") == b"old"
    assert outcome(lambda: client.set("stamp", "newer")) is redis.exceptions.ReadOnlyError
    world.heal()
    assert is_well(pair)


def test_a_demotion_loses_nothing(world: World, pair: Pair, client: redis.Redis) -> None:
    """The new primary has all that was written to the old one."""
    for number in range(500):
        client.set("stamp", number)
    strike(world, "demoted-primary")
    with pair.primary.client() as primary:
        assert primary.get("stamp") == b"499"


def test_a_primary_is_promoted_back_under_its_clients(world: World, pair: Pair, client: redis.Redis) -> None:
    """Same process, same connection, another identity; what was written to the other one meanwhile is lost."""
    client.set("stamp", "old")
    before, mine, primary = identity(client), client.client_id(), pair.primary
    met: list[object] = []

    def act() -> None:
        met.extend((identity(client)[2], pair.primary is primary))
        with client_of(world.url) as later:
            met.append(later.set("stamp", "new"))

    strike(world, "promoted-back", act)
    assert met == ["slave", False, True]
    assert pair.primary is primary
    after = identity(client)
    assert client.client_id() == mine
    assert (after[0], after[2]) == (before[0], "master")
    assert after[1] != before[1]
    assert client.get("stamp") == b"old"
    assert is_well(pair)


@pytest.mark.parametrize("name", ["outage", "restart-from-snapshot", "flush", "evictions", "sigstop-server"])
def test_what_is_done_to_one_server_is_done_to_the_primary(world: World, pair: Pair, name: str) -> None:
    """And the replica follows it afterwards."""
    primary = pair.primary
    strike(world, name)
    assert pair.primary is primary
    assert is_well(pair)


def test_a_broken_world_is_healed(world: World, pair: Pair, client: redis.Redis) -> None:
    """Whatever a fault that failed has left: frozen, dead, limited, severed, two primaries."""
    pair.replica.ask("REPLICAOF", "NO", "ONE")
    pair.primary.ask("CONFIG", "SET", "masteruser", "nobody", "masterauth", "wrong")
    pair.primary.ask("CONFIG", "SET", "maxmemory", 1)
    pair.primary.freeze()
    pair.replica.kill()
    world.through().lead_to(("127.0.0.1", 1))
    world.heal()
    assert is_well(pair)
    assert tell(pair.primary.url, "memory", "maxmemory") == 0
    assert client.set("x", 1)
