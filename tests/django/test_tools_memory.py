"""`LOCATION = "memory://"`, for a project's tests: the same verbs without a server; what it lacks says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.cache import caches
from django.db import transaction

from unstale import remembering
from unstale.contrib.django import get_redis_connection
from unstale.errors import ConfigurationError


@pytest.fixture
def server(session_servers: Callable[[str], Any]) -> Any:
    """None is asked: `configure` wants one."""
    return session_servers("valkey")


@pytest.fixture
def cache(configure: Callable[..., Any]) -> Iterator[Any]:
    """A cache in memory, emptied."""
    made = configure(params={"LOCATION": "memory://"}, TAG_PATTERNS=["user:{id}:*"])
    made.clear()
    with remembering():
        yield made


def test_django_s_verbs(cache: Any) -> None:
    """Values, counters, many at a time, timeouts."""
    assert cache.add("k", 1)
    assert not cache.add("k", 2)
    assert cache.incr("k") == 2
    assert cache.get_or_set("other", lambda: "loaded") == "loaded"
    assert cache.set_many({"a": 1, "b": 2}) == []
    assert cache.get_many(["a", "b", "c"]) == {"a": 1, "b": 2}
    assert cache.touch("a", 0)
    assert not cache.has_key("a")
    assert cache.delete("b")


def test_django_redis_s_verbs_for_entries(cache: Any) -> None:
    """Keys, times to live, patterns."""
    cache.set("user:42:page", "old", 60)
    assert cache.keys("user:*") == ["user:42:page"]
    assert cache.ttl("user:42:page") == 60
    assert cache.persist("user:42:page")
    assert cache.delete_pattern("user:42:*") == 1
    assert cache.get("user:42:page") is None


def test_tags_and_transactions(cache: Any) -> None:
    """An invalidation takes effect at COMMIT, here too."""
    cache.set("user:42:page", "old")
    with transaction.atomic():
        cache.invalidate("user:42")
        assert cache.get("user:42:page") is None
        transaction.set_rollback(True)
    assert cache.get("user:42:page") == "old"
    with transaction.atomic():
        cache.invalidate("user:42")
    assert cache.get("user:42:page") is None


def test_both_kinds_of_code_see_one_cache(cache: Any) -> None:
    """What the asynchronous verbs set the synchronous ones get, and the other way round."""

    async def steps() -> Any:
        await cache.aset("user:42:page", "set")
        await cache.ainvalidate("user:43")
        return await cache.aget("other")

    cache.set("other", "here")
    assert async_to_sync(steps)() == "here"
    assert cache.get("user:42:page") == "set"


def test_a_value_is_a_copy(cache: Any) -> None:
    """It is pickled, as with a server: a test sees the same mistakes."""
    value = {"list": []}
    cache.set("k", value)
    value["list"].append(1)
    assert cache.get("k") == {"list": []}
    with pytest.raises((AttributeError, TypeError)):
        cache.set("k", lambda: None)


def test_other_settings_are_another_cache(cache: Any, configure: Callable[..., Any]) -> None:
    """Aliases do not share entries, unless they are the same."""
    cache.set("k", "one")
    other = configure("other", params={"LOCATION": "memory://", "KEY_PREFIX": "other"})
    same = configure("same", params={"LOCATION": "memory://"}, TAG_PATTERNS=["user:{id}:*"])
    assert other.get("k") is None
    assert same.get("k") == "one"
    other.clear()
    assert cache.get("k") == "one"


@pytest.mark.parametrize(
    "verb",
    [
        lambda cache: cache.lock("k"),
        lambda cache: cache.get_client(),
        lambda cache: cache.client.get_client(),
        lambda cache: cache.hset("k", "field", 1),
        lambda cache: cache.hkeys("k"),
        lambda cache: cache.sadd("k", 1),
        lambda cache: cache.smembers("k"),
        lambda cache: cache.zadd("k", {"one": 1}),
        lambda cache: cache.zrange("k", 0, -1),
        lambda cache: get_redis_connection("default"),
    ],
    ids=["lock", "get_client", "client", "hset", "hkeys", "sadd", "smembers", "zadd", "zrange", "connection"],
)
def test_what_it_lacks_says_so(cache: Any, verb: Callable[[Any], Any]) -> None:
    """With the remedy."""
    with pytest.raises(ConfigurationError, match=r"memory:// has no server.*embedded://"):
        verb(cache)


def test_clear_isolates_tests(cache: Any) -> None:
    """One line in `setUp`."""
    cache.set("k", "of one test")
    caches["default"].clear()
    assert cache.get("k") is None
