"""How long stamps live: longer than the entries under them, and not for ever for nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from servers import Server

from unstale import Cache

DAY = 86400
STAMP = "test:s:{a}"


@pytest.fixture
def client(server: Server) -> Iterator[redis.Redis]:
    """A look behind the cache."""
    with server.client as made:
        yield made


@pytest.fixture
def cache(server: Server) -> Iterator[Cache]:
    """A cache with stamps of a day."""
    with Cache.from_url(server.url, namespace="test", timeout=2.0, stamp_ttl=DAY) as made:
        yield made


def root_ttls(client: redis.Redis) -> list[int]:
    """Seconds left of the roots that are there; -1 for no limit."""
    return [client.ttl(name) for name in client.keys("test:r:*")]


def test_a_new_stamp_lives_for_its_ttl(cache: Cache, client: redis.Redis) -> None:
    """A stamp under a short entry lives for `stamp_ttl`."""
    cache.get_or_set("k", lambda: 1, tags=["a"], ttl=10)
    assert DAY - 5 <= client.ttl(STAMP) <= DAY
    assert [DAY - 5 <= left <= DAY for left in root_ttls(client)] == [True]


@pytest.mark.parametrize("verb", ["get_or_set", "set", "add"])
def test_a_stamp_outlives_a_long_entry(cache: Cache, client: redis.Redis, verb: str) -> None:
    """An entry that lives longer than `stamp_ttl` prolongs its stamps, the root's too."""
    given = (lambda: 1) if verb == "get_or_set" else 1
    getattr(cache, verb)("k", given, tags=["a"], ttl=10 * DAY)
    assert client.ttl(STAMP) > client.ttl("test:e:k") > 9 * DAY
    assert [left > 10 * DAY for left in root_ttls(client)] == [True]


@pytest.mark.parametrize("verb", ["get_or_set", "set", "add"])
def test_a_stamp_of_an_entry_without_a_limit(cache: Cache, client: redis.Redis, verb: str) -> None:
    """An entry without a limit has stamps without one."""
    given = (lambda: 1) if verb == "get_or_set" else 1
    getattr(cache, verb)("k", given, tags=["a"], ttl=None)
    assert [client.ttl("test:e:k"), client.ttl(STAMP), *root_ttls(client)] == [-1, -1, -1]


def test_a_short_entry_shortens_nothing(cache: Cache, client: redis.Redis) -> None:
    """A fill under a stamp that lives longer leaves its time alone."""
    cache.get_or_set("k", lambda: 1, tags=["a"], ttl=None)
    cache.get_or_set("j", lambda: 1, tags=["a"], ttl=10)
    assert client.ttl(STAMP) == -1


def test_touch_prolongs_the_stamps(cache: Cache, client: redis.Redis) -> None:
    """Touch carries the stamps along."""
    cache.set("k", 1, tags=["a"], ttl=10)
    cache.touch("k", 10 * DAY, tags=["a"])
    assert client.ttl(STAMP) > 10 * DAY
    cache.touch("k", None, tags=["a"])
    assert [client.ttl(STAMP), *root_ttls(client)] == [-1, -1]


def test_another_process_prolongs(server: Server, cache: Cache, client: redis.Redis) -> None:
    """A stamp about to expire is prolonged by the first fill of a process, not again by the next one of the same."""
    cache.get_or_set("k", lambda: 1, tags=["a"], ttl=10)
    client.expire(STAMP, 100)
    cache.delete("k")
    cache.get_or_set("k", lambda: 1, tags=["a"], ttl=10)
    assert client.ttl(STAMP) <= 100
    with Cache.from_url(server.url, namespace="test", timeout=2.0, stamp_ttl=DAY) as other:
        other.get_or_set("i", lambda: 1, tags=["a"], ttl=10)
    assert client.ttl(STAMP) > 100


def test_an_invalidation_begins_a_new_life(cache: Cache, client: redis.Redis) -> None:
    """A changed stamp lives for `stamp_ttl` again: no entry under the old one needs it."""
    cache.get_or_set("k", lambda: 1, tags=["a"], ttl=None)
    cache.invalidate("a")
    assert DAY - 5 <= client.ttl(STAMP) <= DAY


def test_nothing_is_left_over(cache: Cache, client: redis.Redis) -> None:
    """After fills, sets, adds and refusals there are entries and stamps, and neither leases nor staged values."""
    cache.get_or_set("k", lambda: 1, tags=["a"])
    cache.set("j", 1, tags=["a"])
    cache.add("i", 1)
    cache.get_or_set("refused", lambda: cache.invalidate("a"), tags=["a"])
    assert sorted({name.split(b":")[1] for name in client.keys("*")}) == [b"e", b"r", b"s"]
