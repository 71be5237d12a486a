"""Django's cache on a real cluster: its verbs name keys, and find what was stored with tags."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from clusters import Cluster
from django.core.cache import caches
from django.test import override_settings

from unstale import remembering
from unstale.contrib.django.notices import UnstaleWarning


@pytest.fixture
def cluster(session_clusters: Callable[[str], Cluster]) -> Cluster:
    """The session's, emptied."""
    chosen = session_clusters("valkey")
    chosen.flush()
    return chosen


@pytest.fixture
def cache(cluster: Cluster) -> Iterator[Any]:
    """Django's cache on it."""
    configuration = {
        "BACKEND": "unstale.contrib.django.UnstaleCache",
        "LOCATION": cluster.url,
        "OPTIONS": {"TAG_PATTERNS": ["user:{id}:*"], "SOCKET_TIMEOUT": 5.0, "READ_TIMEOUT": 5.0},
    }
    with override_settings(CACHES={"default": configuration}), remembering():
        yield caches["default"]


def test_verbs(cache: Any) -> None:
    """The verbs of Django's interface, for keys with a pattern and without."""
    for key in ("user:42:orders", "plain"):
        cache.set(key, {"a": 1})
        assert cache.get(key) == {"a": 1}
        assert cache.has_key(key)
        assert cache.touch(key, 50)
        assert not cache.add(key, 2)
        assert cache.delete(key)
        assert cache.get_or_set(key, lambda: 5) == 5
        assert cache.incr(key) == 6
    cache.set_many({f"user:{n}:x": n for n in range(30)})
    assert cache.get_many([f"user:{n}:x" for n in range(30)]) == {f"user:{n}:x": n for n in range(30)}
    cache.clear()
    assert cache.get_many([f"user:{n}:x" for n in range(30)]) == {}
    assert cache.get("plain") is None


def test_patterns(cache: Any) -> None:
    """A pattern delete is one stamp's write, and reaches its keys."""
    cache.set("user:42:orders", 1)
    cache.set("user:43:orders", 1)
    cache.delete_pattern("user:42:*")
    assert (cache.get("user:42:orders"), cache.get("user:43:orders")) == (None, 1)


@pytest.mark.parametrize("key", ["plain", "user:42:orders"])
def test_tags_that_only_one_verb_names(cache: Any, key: str) -> None:
    """What was set with tags is found, counted and deleted by verbs that name none: the key says where it lies."""
    cache.set(key, 1, tags=["news", "more"])
    assert cache.get(key) == 1
    assert cache.get(key, tags=["news"]) == 1
    assert cache.incr(key) == 2
    cache.invalidate("news")
    assert cache.get(key) is None
    cache.set(key, 1, tags=["news"])
    assert cache.delete(key)
    assert cache.get(key, tags=["news"]) is None


def test_going_through_keys(cache: Any) -> None:
    """Keys of all nodes, by SCAN."""
    for number in range(20):
        cache.set(f"user:{number}:x", 1)
    assert sorted(cache.keys("user:1*")) == sorted(f"user:{n}:x" for n in (1, *range(10, 20)))
    with pytest.warns(UnstaleWarning, match="not declared"):
        assert cache.delete_pattern("*:x") == 20


def test_locks_and_structures(cache: Any) -> None:
    """redis-py's client of the cluster serves locks, hashes and sets; a clear removes them on all nodes."""
    with cache.lock("import", timeout=5):
        assert cache.get("import") is None
    for number in range(10):
        cache.hset(f"user:{number}:hash", "field", "value")
        cache.sadd(f"set{number}", "member")
    assert cache.hkeys("user:3:hash") == ["field"]
    assert cache.smembers("set3") == {"member"}
    cache.delete("user:4:hash")
    assert cache.hkeys("user:4:hash") == []
    cache.clear()
    assert [cache.hkeys(f"user:{number}:hash") for number in range(10)] == [[]] * 10
    assert cache.smembers("set3") == set()


def test_location_as_a_list(cluster: Cluster) -> None:
    """LOCATION may be a list of some nodes."""
    nodes = [f"redis+cluster://127.0.0.1:{port}" for port in (1, cluster.nodes[0].client_port)]
    configuration = {"BACKEND": "unstale.contrib.django.UnstaleCache", "LOCATION": nodes}
    with override_settings(CACHES={"default": configuration}):
        caches["default"].set("k", 1)
        assert caches["default"].get("k") == 1
