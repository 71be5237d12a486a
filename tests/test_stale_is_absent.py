"""To every verb a stale entry is absent, though its bytes are still in Redis."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import pytest
import redis
from servers import Server

from unstale import Cache, remembering
from unstale.errors import AbsentError
from unstale.events import Event, Stale


@pytest.fixture
def cache(server: Server, events: list[Event]) -> Iterator[Cache]:
    """A cache with a counter, invalidated by its tag's ancestor; the bytes are checked to be there."""
    with Cache.from_url(server.url, namespace="test", on_event=events.append, timeout=2.0) as made, remembering():
        made.set("n", 5, tags=["user:42/orders"], ttl=1000)
        made.get("n")  # learns its tags
        made.invalidate("user:42")
        with server.client as client:
            assert client.strlen("test:e:n") > 48
        yield made


TAGS = pytest.mark.parametrize("tags", [(), ("user:42/orders",), ("user:42",)], ids=["none", "its own", "ancestor"])


@TAGS
def test_get(cache: Cache, events: list[Event], tags: tuple[str, ...]) -> None:
    """Get misses, and says which tag is stale."""
    assert cache.get("n", "default", tags=tags) == "default"
    assert Stale("n", "user:42") in events


@TAGS
def test_get_many(cache: Cache, tags: tuple[str, ...]) -> None:
    """Get_many leaves it out."""
    assert cache.get_many(["n"], tags=tags) == {}


@TAGS
def test_get_or_set(cache: Cache, tags: tuple[str, ...]) -> None:
    """Get_or_set loads, and stores the new value."""
    assert [cache.get_or_set("n", lambda: 6, tags=tags), cache.get("n")] == [6, 6]


@TAGS
def test_has_key(cache: Cache, tags: tuple[str, ...]) -> None:
    """Has_key says no."""
    assert cache.has_key("n", tags=tags) is False


@TAGS
def test_replace(cache: Cache, tags: tuple[str, ...]) -> None:
    """Replace finds nothing to replace."""
    assert cache.replace("n", 6, tags=tags) is False


@TAGS
def test_delete_many(cache: Cache, tags: tuple[str, ...]) -> None:
    """Delete_many counts it for nothing."""
    assert cache.delete_many(["n"], tags=tags) == 0


def test_iter_keys(cache: Cache) -> None:
    """Iter_keys does not give it."""
    assert list(cache.iter_keys()) == []


@TAGS
def test_ttl(cache: Cache, tags: tuple[str, ...]) -> None:
    """Ttl is None."""
    assert cache.ttl("n", tags=tags) is None


@TAGS
def test_add(cache: Cache, tags: tuple[str, ...]) -> None:
    """Add stores."""
    assert [cache.add("n", 7, tags=tags), cache.get("n")] == [True, 7]


@TAGS
def test_touch(cache: Cache, server: Server, tags: tuple[str, ...]) -> None:
    """Touch says no, and changes nothing."""
    assert cache.touch("n", None, tags=tags) is False
    with server.client as client:
        assert client.ttl("test:e:n") > 0


@TAGS
def test_incr(cache: Cache, tags: tuple[str, ...]) -> None:
    """Incr finds no counter, and begins anew where told from what."""
    with pytest.raises(AbsentError):
        cache.incr("n", tags=tags)
    assert [cache.incr("n", initial=100, tags=tags), cache.get("n")] == [101, 101]


@TAGS
def test_delete(cache: Cache, server: Server, tags: tuple[str, ...]) -> None:
    """Delete says that nothing was there, and removes the bytes."""
    assert cache.delete("n", tags=tags) is False
    with server.client as client:
        assert client.exists("test:e:n") == 0


def test_set(cache: Cache) -> None:
    """Set stores a new entry, with a new ttl."""
    cache.set("n", 8, ttl=None)
    assert (cache.get("n"), cache.ttl("n")) == (8, math.inf)


def test_set_many(cache: Cache) -> None:
    """Set_many as well."""
    assert cache.set_many({"n": 8, "m": 9}, tags=["user:42/orders"]) == []
    assert cache.get_many(["n", "m"]) == {"n": 8, "m": 9}


def close(client: redis.Redis, stamp: str) -> None:
    """Put a closed stamp in the place of an open one."""
    client.delete(stamp)
    client.zadd(stamp, {"writer": 4102444800})


STAMP = "test:s:{user:1}"
LOSSES: dict[str, Callable[[Cache, redis.Redis], object]] = {
    "clear": lambda cache, _: cache.clear(),
    "stamp evicted": lambda _, client: client.delete(STAMP),
    "stamp closed": lambda _, client: close(client, STAMP),
    "stamp of another size": lambda _, client: client.set(STAMP, "short"),
    "root evicted": lambda _, client: client.delete(*(f"test:r:{number}" for number in range(16))),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_every_way_to_be_stale(cache: Cache, server: Server, loss: str) -> None:
    """Cleared, or with its stamp lost or closed, an entry is absent in the same way."""
    cache.set("k", 5, tags=["user:1"])
    assert (cache.has_key("k"), cache.incr("k")) == (True, 6)
    with server.client as client:
        LOSSES[loss](cache, client)
    assert (cache.has_key("k"), cache.ttl("k"), cache.touch("k"), cache.get_many(["k"])) == (False, None, False, {})
    assert cache.get("k", "default") == "default"
