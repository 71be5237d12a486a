"""Keys and tags are data: whatever stands in them reaches no other entry, and no command of the server's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from hostile import REFUSED, VICTIM, WORKING
from servers import Server

from unstale import Cache, remembering
from unstale.core.globs import escape
from unstale.core.keys import MAX_KEY_BYTES, MAX_TAG_BYTES
from unstale.errors import InvalidKeyError, InvalidTagError

LONG = {"the longest key": "k" * MAX_KEY_BYTES, "long and wide": "é" * (MAX_KEY_BYTES // 2), "long stars": "*" * 4000}

working = pytest.mark.parametrize("text", [*WORKING.values(), *LONG.values()], ids=[*WORKING, *LONG])
working_tags = pytest.mark.parametrize(
    "text", [text for text in WORKING.values() if text[0] != "*" and all(text.split("/"))], ids=ascii
)
refused = pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)


@pytest.fixture
def client(server: Server) -> Iterator[redis.Redis]:
    """Looks behind the cache's back; nothing of it may be lost."""
    with server.client as made:
        made.set("outside", "untouched")
        flushes = made.info("commandstats").get("cmdstat_flushall", {}).get("calls", 0)
        yield made
        assert made.get("outside") == b"untouched"
        assert made.info("commandstats").get("cmdstat_flushall", {}).get("calls", 0) == flushes


@pytest.fixture
def cache(server: Server, client: redis.Redis) -> Iterator[Cache]:
    """A cache with an entry of somebody else's, which must stay."""
    with Cache.from_url(server.url, namespace="test", timeout=5.0) as made, remembering():
        made.set(VICTIM, "theirs", tags=[VICTIM])
        yield made
        assert made.get(VICTIM) == "theirs"


@working
def test_a_key_is_one_key(cache: Cache, text: str) -> None:
    """Every verb that takes a key means that one, and no other."""
    assert cache.set(text, "ours")
    assert cache.get(text) == "ours"
    assert cache.get_many([text, VICTIM]) == {text: "ours", VICTIM: "theirs"}
    assert [cache.has_key(text), cache.touch(text), cache.add(text, "again")] == [True, True, False]
    assert cache.inspect(text).entry is not None
    assert cache.delete(text)
    assert cache.get_or_set(text, lambda: "loaded") == "loaded"
    assert cache.delete_many([text]) == 1


@working
def test_a_key_as_a_glob_for_itself(cache: Cache, client: redis.Redis, text: str) -> None:
    """Escaped, a key matches itself alone, in a scan and in a removal."""
    cache.set(text, "ours")
    assert list(cache.iter_keys(escape(text))) == [text]
    assert set(cache.iter_keys()) == {text, VICTIM}
    assert cache.delete_matching(escape(text)) == 1
    assert len(client.keys("test:[eh]:*")) == 1


@working_tags
def test_a_tag_is_one_tag(cache: Cache, text: str) -> None:
    """An invalidation makes stale what has this very tag."""
    cache.set("k", "ours", tags=[text])
    assert cache.get("k", tags=[text]) == "ours"
    assert cache.invalidate(text).bumped >= 1
    assert cache.get("k", "stale", tags=[text]) == "stale"
    with cache.strict(text):
        assert cache.get("k", "closed", tags=[text]) == "closed"


@working
def test_a_scope_is_one_scope(cache: Cache, client: redis.Redis, text: str) -> None:
    """Whatever its id is, a scope has keys and tags of its own; so has one whose id is a part of it."""
    if len(text.encode()) > MAX_TAG_BYTES:
        with pytest.raises(InvalidTagError):
            cache.scope("user", text)
        return
    one, other = cache.scope("user", text), cache.scope("user", VICTIM)
    other.set("orders", "theirs")
    one.set("orders", "ours")
    one.set(VICTIM, "ours", tags=["orders"])
    assert {*one.iter_keys()} == {"orders", VICTIM}
    assert {*other.iter_keys()} == {"orders"}
    one.invalidate()
    assert [one.get("orders"), one.get(VICTIM), other.get("orders")] == [None, None, "theirs"]
    assert one.delete_matching("*") == 2
    assert other.get("orders") == "theirs"


@refused
def test_no_key(cache: Cache, client: redis.Redis, text: str) -> None:
    """What is no key is refused by every verb before anything is sent, and the error shows it escaped."""
    before = sorted(client.keys())
    for verb in (cache.get, cache.delete, cache.has_key, cache.touch, cache.incr, cache.ttl, cache.inspect):
        with pytest.raises(InvalidKeyError) as raised:
            verb(text)
        assert str(raised.value).isprintable()
    with pytest.raises(InvalidKeyError):
        cache.set(text, 1)
    with pytest.raises(InvalidKeyError):
        cache.get_or_set(text, lambda: 1)
    with pytest.raises(InvalidKeyError):
        cache.get_many([VICTIM, text])
    assert sorted(client.keys()) == before


@refused
def test_no_tag(cache: Cache, client: redis.Redis, text: str) -> None:
    """What is no tag is refused as well; in a scope's id it is, but for what can be escaped."""
    before = sorted(client.keys())
    for verb in (cache.invalidate, cache.begin_strict):
        with pytest.raises(InvalidTagError) as raised:
            verb(text)
        assert str(raised.value).isprintable()
    with pytest.raises(InvalidTagError):
        cache.set("k", 1, tags=[text])
    with pytest.raises(InvalidTagError):
        cache.scope("user", f"a{text}" if text else "\0")
    assert sorted(client.keys()) == before


@refused
def test_no_glob(cache: Cache, text: str) -> None:
    """As a glob it matches nothing, or is refused: nobody's entries go."""
    try:
        assert cache.delete_matching(text) == 0
        assert list(cache.iter_keys(text)) == []
    except InvalidKeyError as error:
        assert str(error).isprintable()  # noqa: PT017 - either is right


@pytest.mark.parametrize("text", ["test", "test:e:k", "a:b"], ids=str)
def test_namespaces_that_begin_alike(server: Server, client: redis.Redis, text: str) -> None:
    """A namespace may not hold what stands between the parts of a name: so none is a part of another."""
    with Cache.from_url(server.url, namespace="te") as short, Cache.from_url(server.url, namespace="test") as long:
        short.set(text, "of te")
        long.set(text, "of test")
        assert list(short.iter_keys()) == [text]
        short.clear()
        assert long.get(text) == "of test"
        assert short.delete_matching("*") == 1
        assert long.get(text) == "of test"


def surroundings(text: str) -> Any:
    """A text with what may come before and after it in a name."""
    return [f"{before}{text}{after}" for before in ("", "victim", "test:e:") for after in ("", "victim", ":e:victim")]


@working
def test_neighbours(cache: Cache, text: str) -> None:
    """A text inside others makes as many keys as there are: no two share an entry."""
    keys = [key for key in surroundings(text) if len(key.encode()) <= MAX_KEY_BYTES]
    cache.set_many({key: number for number, key in enumerate(keys)})
    assert cache.get_many(keys) == {key: number for number, key in enumerate(keys)}
    assert cache.delete_many(keys) == len(set(keys))
