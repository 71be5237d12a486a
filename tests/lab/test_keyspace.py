"""The keyspace: filled from a seed with what the site would cache, and removed without a trace."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

import pytest
import redis
from servers import Server

from unstale.tools.lab import keyspace
from unstale.tools.lab.errors import LabError
from unstale.tools.lab.node import Node
from unstale.tools.lab.plan import Plan

PLAN = Plan(keys=1203, pages=5, users=10)


@pytest.fixture
def node(server: Server) -> Node:
    """Each kind of server, empty, as a user's own."""
    return Node(server.url, server.kind)


@pytest.fixture
def client(server: Server) -> Iterator[redis.Redis]:
    """To look at it."""
    with server.client as client:
        yield client


def test_writes_as_many_keys_as_planned(node: Node, client: redis.Redis) -> None:
    """All of them, also those of the last, smaller batch, and each once."""
    assert keyspace.fill(node, PLAN, "lab") == 1203 == client.dbsize()


def test_names_are_django_redis_ones(node: Node, client: redis.Redis) -> None:
    """Prefix, version, and a page of a user who is none of the active ones."""
    keyspace.fill(node, Plan(keys=7, pages=3, users=10), "lab")
    names = sorted(client.scan_iter())
    users = [int(name.split(b":")[3]) for name in names]
    assert names[0] == b"lab:1:user:1000010:orders:1"
    assert [name.rpartition(b":")[2] for name in names] == [b"1", b"2", b"3", b"1", b"2", b"3", b"1"]
    assert min(users) > 10


def test_keys_per_user_can_be_chosen() -> None:
    """For the curves over the number of keys that one user has."""
    users = [name.split(":")[3] for name in keyspace.names(Plan(keys=20), "lab", 10)]
    assert [users.count(user) for user in dict.fromkeys(users)] == [10, 10]


def test_values_are_pages_of_orders(node: Node, client: redis.Redis) -> None:
    """JSON as the site answers it: a version, and 20 orders with names and times."""
    keyspace.fill(node, Plan(keys=1, users=500), "lab")
    page = json.loads(client.get("lab:1:user:1000500:orders:1"))
    assert isinstance(page["version"], int)
    assert len(page["results"]) == 20
    assert set(page["results"][0]) == {"id", "product", "product_name", "quantity", "ordered_at"}
    assert page["results"][0]["id"] == page["version"]


def test_orders_are_newest_first() -> None:
    """As the site sorts them, so that a page compresses and parses as a real one."""
    orders = json.loads(keyspace.page(random.Random(3)))["results"]
    assert [one["id"] for one in orders] == sorted({one["id"] for one in orders}, reverse=True)
    assert [one["ordered_at"] for one in orders] == sorted((one["ordered_at"] for one in orders), reverse=True)


def test_one_seed_gives_one_keyspace(node: Node, client: redis.Redis) -> None:
    """Two runs of a plan begin from the same values; another seed gives others."""
    seen = []
    for seed in (1, 1, 2):
        client.flushall()
        keyspace.fill(node, Plan(keys=50, seed=seed), "lab")
        seen.append(client.mget(sorted(client.scan_iter())))
    assert seen[0] == seen[1] != seen[2]


def test_nothing_expires_within_the_run(node: Node, client: redis.Redis) -> None:
    """Also with a short ttl; and not all of it at once afterwards."""
    plan = Plan(keys=100, ttl=5, seconds=100, warm_seconds=10, grace_seconds=10)
    keyspace.fill(node, plan, "lab")
    left = [client.ttl(name) for name in client.scan_iter()]
    assert min(left) > 900
    assert len(set(left)) > 50


def test_tells_how_far_it_is(node: Node) -> None:
    """After each batch, up to all keys."""
    told: list[int] = []
    keyspace.fill(node, PLAN, "lab", told=told.append)
    assert told == [500, 1000, 1203]


def test_a_full_server_is_said(own_server: Server) -> None:
    """A server that refuses for want of memory gives an error that says so."""
    with own_server.client as client:
        client.config_set("maxmemory", "1mb")
    with pytest.raises(LabError, match=r"is out of memory\. Give it more \(maxmemory\)"):
        keyspace.fill(Node(own_server.url, "It"), PLAN, "lab")


def test_a_server_that_is_gone_is_said(own_server: Server) -> None:
    """And where it was."""
    own_server.kill()
    with pytest.raises(LabError, match=rf"redis://127\.0\.0\.1:{own_server.port}/0 cannot be reached"):
        keyspace.fill(Node(own_server.url, "It"), PLAN, "lab")


def test_leaves_nothing_of_its_own(node: Node, client: redis.Redis) -> None:
    """Of all keys that begin with the prefix, whatever their type."""
    keyspace.fill(node, PLAN, "lab")
    client.sadd("lab:index", 1)
    assert keyspace.leave_as_found(node, "lab") == 0 == client.dbsize()


def test_leaves_what_is_not_its_own(node: Node, client: redis.Redis) -> None:
    """A key that someone else wrote meanwhile stays, and is counted."""
    client.mset({"la": 1, "other": 2})
    keyspace.fill(node, Plan(keys=3), "lab")
    assert keyspace.leave_as_found(node, "lab") == 2
    assert sorted(client.scan_iter()) == [b"la", b"other"]


def test_a_prefix_is_no_pattern(node: Node, client: redis.Redis) -> None:
    """Glob characters in it stand for themselves."""
    client.mset({"l*b[1]?:a": 1, "lab1x:a": 2, "l\\*b": 3})
    assert keyspace.leave_as_found(node, "l*b[1]?") == 2
    assert client.exists("l*b[1]?:a") == 0
