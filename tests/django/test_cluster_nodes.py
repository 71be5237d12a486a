"""The backend on real clusters: its verbs for keys at every node, patterns that are tags, structures and locks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from clusters import Cluster
from django.conf import settings
from django.core.cache import caches
from django.test import override_settings

from unstale.contrib.django.notices import UnstaleWarning

PATTERNS = ["user:{id}:*"]
USERS = range(40)
"""Enough to have some at every node."""


@pytest.fixture
def backend(cluster: Cluster, databases: None) -> Iterator[Any]:
    """The backend on the test's cluster, with one declared pattern."""
    one = {
        "BACKEND": "unstale.contrib.django.UnstaleCache",
        "LOCATION": cluster.url,
        "OPTIONS": {"TAG_PATTERNS": PATTERNS, "SOCKET_TIMEOUT": 5},
    }
    with override_settings(CACHES={**settings.CACHES, "default": one}):
        yield caches["default"]


def test_verbs(backend: Any) -> None:
    """Django's verbs, for keys at every node."""
    keys = {f"user:{number}:{part}": number for number in USERS for part in ("orders", "basket")}
    assert backend.set_many(keys) == []
    assert backend.get_many(keys) == keys
    for number in USERS:
        key = f"user:{number}:orders"
        assert (backend.get(key), backend.has_key(key), backend.touch(key, 60)) == (number, True, True)
        assert (backend.incr(key), backend.decr(key)) == (number + 1, number)
        assert (backend.add(key, 0), backend.delete(key), backend.get(key)) == (False, True, None)
        assert backend.get_or_set(key, lambda number=number: number, 60) == number
    assert backend.delete_many(keys) == len(keys)
    assert backend.get_many(keys) == {}
    assert backend.set_many(keys) == []
    backend.set_many(keys, timeout=0)
    assert backend.get_many(keys) == {}


def test_delete_pattern(backend: Any, cluster: Cluster) -> None:
    """A declared pattern is one stamp, at its user's node; any other pattern is looked for at every node."""
    for number in USERS:
        backend.set(f"user:{number}:orders", number)
        backend.set(f"page:{number}", number)
    cluster.each("CONFIG", "RESETSTAT")
    assert backend.delete_pattern("user:3:*") == 1
    counts = [node.counts() for node in cluster.primaries]
    assert sum(count["set"] for count in counts) == 1
    assert sum(count["scan"] for count in counts) == 0
    assert [backend.get(f"user:{number}:orders") for number in (3, 4)] == [None, 4]
    with pytest.warns(UnstaleWarning, match="scans the whole database"):
        assert backend.delete_pattern("page:1*") == 11
    assert [backend.get(f"page:{number}") for number in (1, 10, 2)] == [None, None, 2]
    assert sorted(backend.iter_keys("page:2*")) == sorted(["page:2", *(f"page:{number}" for number in range(20, 30))])


def test_clear(backend: Any) -> None:
    """`clear()` reaches every node."""
    keys = {f"{kind}:{number}:x": number for number in USERS for kind in ("user", "page")}
    backend.set_many(keys)
    backend.clear()
    assert backend.get_many(keys) == {}


def test_averbs(backend: Any) -> None:
    """The asynchronous verbs find what the others stored."""

    async def main() -> list[Any]:
        await backend.aset("user:1:orders", "a")
        return [
            await backend.aget("user:1:orders"),
            await backend.aget("user:2:orders"),
            await backend.ahas_key("page"),
        ]

    backend.set("user:2:orders", "b")
    backend.set("page", "c")
    assert asyncio.run(main()) == ["a", "b", True]
    assert backend.get("user:1:orders") == "a"


def test_structures_and_locks(backend: Any) -> None:
    """Hashes, sets and locks, whose keys lie at any node."""
    for number in USERS:
        backend.hset(f"user:{number}:hash", "field", number)
        backend.sadd(f"user:{number}:set", number, "more")
        assert backend.hkeys(f"user:{number}:hash") == ["field"]
        assert backend.smembers(f"user:{number}:set") == {number, "more"}
        with backend.lock(f"lock:{number}", timeout=10):
            assert not backend.lock(f"lock:{number}", timeout=10).acquire(blocking=False)


def test_clear_removes_structures(backend: Any) -> None:
    """`clear()` and `aclear()` remove structures too, whichever nodes they are at."""
    for clear in (backend.clear, lambda: asyncio.run(backend.aclear())):
        for number in USERS:
            backend.sadd(f"user:{number}:set", 1)
        clear()
        assert [backend.scard(f"user:{number}:set") for number in USERS] == [0] * len(USERS)
