"""`inspect`: what stands under a key, for people."""

from __future__ import annotations

import asyncio
import math
import time
from typing import Any

import pytest
from servers import Server, free_port
from test_round_trips import Counter

from unstale import AsyncCache, Cache
from unstale.core import capture
from unstale.core.inspection import Found, Inspection, RecordedTag
from unstale.errors import StoreUnavailableError
from unstale.events import Event, Why

SECRET = "0123456789abcdefghijklmnopqrstuv"


def found(cache: Cache, key: str = "k", **said: Any) -> Found:
    """The head of an entry that is there."""
    entry = cache.inspect(key, **said).entry
    assert entry is not None
    return entry


def test_a_fresh_entry(cache: Cache) -> None:
    """All of its head, and that every stamp stands."""
    began = time.time()
    cache.set("k", ["value"], tags=["user:42/orders"], ttl=100)
    seen = cache.inspect("k")
    assert (seen.key, seen.verdict, seen.why, seen.tag) == ("k", "fresh", None, None)
    assert 99 < (seen.ttl or 0) <= 100
    root = cache._names.root_of(b"k").decode().rpartition(":")[2]
    entry = found(cache)
    assert entry.tags == (("user:42", True), ("user:42/orders", True), (f"*{root}", True))
    assert began - 1 < entry.created_at < time.time() + 1
    assert (entry.ttl, entry.stale_ttl, entry.load_seconds) == (100, 0, 0)
    assert (entry.codec, entry.compression, entry.signed, entry.fenced) == ("msgpack", "none", False, True)
    assert entry.head_bytes == 48 + 3 * 16 + len("user:42\0user:42/orders\0k\0")


@pytest.mark.parametrize("tags", [[], ["a"], ["a", "b"]])
def test_an_invalidated_entry(cache: Cache, tags: list[str]) -> None:
    """It says which tag, and of every other one whether it stands, said or not."""
    cache.set("k", 1, tags=["a", "b", "c"])
    cache.invalidate("b")
    seen = cache.inspect("k", tags=tags)
    assert (seen.verdict, seen.why, seen.tag, seen.ttl) == ("stale", None, "b", None)
    assert [stands for _, stands in found(cache, tags=tags).tags] == [True, False, True, True]


def test_a_cleared_entry(cache: Cache) -> None:
    """A clear is told by the root."""
    cache.set("k", 1, tags=["a"])
    cache.clear()
    seen = cache.inspect("k")
    assert (seen.verdict, (seen.tag or "")[:1]) == ("stale", "*")
    assert found(cache).tags == (RecordedTag("a", stands=True), RecordedTag(seen.tag or "", stands=False))


def test_a_softly_invalidated_entry(cache: Cache) -> None:
    """Softly stale is stale."""
    cache.get_or_set("k", lambda: 1, tags=["a"], stale_ttl=100)
    cache.invalidate("a", soft=True)
    seen = cache.inspect("k")
    assert (seen.verdict, seen.why, seen.tag) == ("stale", None, "a")
    assert found(cache).stale_ttl == 100


def test_an_expired_entry(cache: Cache) -> None:
    """An entry whose ttl is over, and whose stale ttl is not, is stale."""
    cache.get_or_set("k", lambda: 1, ttl=0.05, stale_ttl=100)
    time.sleep(0.1)
    seen = cache.inspect("k")
    assert (seen.verdict, seen.why, seen.tag, seen.ttl) == ("stale", Why.EXPIRED, None, None)


def test_nothing(cache: Cache) -> None:
    """Where nothing is, it is a miss."""
    assert cache.inspect("k", tags=["a"]) == Inspection("k", "miss", Why.ABSENT, None, None, None)


def test_an_entry_without_a_tag(cache: Cache) -> None:
    """An entry that lacks a declared tag is stale to who declares it."""
    cache.set("k", 1, tags=["b"])
    seen = cache.inspect("k", tags=["a"])
    assert (seen.verdict, seen.why) == ("stale", Why.TAGS)
    assert [tag for tag, _ in found(cache, tags=["a"]).tags][:1] == ["b"]


def test_what_is_no_entry(server: Server) -> None:
    """Foreign bytes and another key's entry are misses."""
    with Cache.from_url(server.url, namespace="test") as cache, server.client as client:
        client.set("test:e:foreign", "text")
        cache.set("k", 1)
        client.set("test:e:copy", client.get("test:e:k") or b"")
        seen = [cache.inspect(key) for key in ("foreign", "copy")]
    assert [(one.verdict, one.why, one.entry) for one in seen] == [
        ("miss", Why.UNREADABLE, None),
        ("miss", Why.OTHER_KEY, None),
    ]


VALUES = {
    "counter": (5, {}, ("counter", "none", False)),
    "bytes": (b"x", {}, ("raw", "none", False)),
    "json": ([1], {"codec": "json"}, ("json", "none", False)),
    "pickle": ([1], {"codec": "pickle", "signing_keys": SECRET}, ("pickle", "none", True)),
    "compressed": ("x" * 5000, {"compression": "zlib"}, ("msgpack", "zlib", False)),
    "signed counter": (5, {"signing_keys": SECRET}, ("counter", "none", False)),
}


@pytest.mark.parametrize(("value", "options", "said"), VALUES.values(), ids=VALUES)
def test_how_a_value_travels(url: str, value: Any, options: Any, said: tuple[object, ...]) -> None:
    """Its codec, its compression, and whether it is signed."""
    with Cache.from_url(url, namespace="test", timeout=2.0, **options) as cache:
        cache.set("k", value, ttl=None)
        entry = found(cache)
        assert (entry.codec, entry.compression, entry.signed) == said
        assert entry.fenced is False
        assert cache.inspect("k").ttl == math.inf


def test_it_is_no_read(cache: Cache, events: list[Event]) -> None:
    """Nothing is remembered, inherited or told."""
    cache.set("k", 1, tags=["a"])
    events.clear()
    cache.inspect("k")
    cache.inspect("none", tags=["a"])
    assert events == []
    assert capture.recall(cache._space.serial, b"none", cache._names.stamp("a")) is None
    cache.get_or_set("outer", lambda: cache.inspect("k", tags=["a"]).verdict)
    cache.invalidate("a")
    assert cache.get("outer") == "fresh"


def test_trips(server: Server) -> None:
    """One trip where the tags are said."""
    counter = Counter(server)
    with Cache.from_url(server.url, namespace="test", timeout=2.0) as cache:
        cache.set("k", 1, tags=["a"])
        assert counter.during(lambda: cache.inspect("k", tags=["a"]))[0] == 1
    counter.close()


def test_without_a_server() -> None:
    """A dead server is an error."""
    with (
        Cache.from_url(f"redis://127.0.0.1:{free_port()}/0", timeout=0.2) as cache,
        pytest.raises(StoreUnavailableError),
    ):
        cache.inspect("k")


def test_async(url: str) -> None:
    """An AsyncCache says the same."""

    async def scenario() -> Inspection:
        async with AsyncCache.from_url(url, namespace="test", timeout=2.0) as cache:
            await cache.set("k", 1, tags=["a"])
            await cache.invalidate("a")
            return await cache.inspect("k")

    seen = asyncio.run(scenario())
    assert (seen.verdict, seen.tag) == ("stale", "a")
