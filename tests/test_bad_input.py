"""What is wrong with a URL, an option, a key, a tag, a duration, a value or a loader gets a clear error of one tree."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Generator, Iterator
from datetime import timedelta
from typing import Any

import pytest
from servers import free_port

from unstale import Cache, UnstaleError, errors, remembering
from unstale.errors import (
    ConfigurationError,
    EncodeError,
    InvalidDurationError,
    InvalidKeyError,
    InvalidTagError,
    LoaderError,
    NotACounterError,
    StoreClosedError,
    StoreError,
    StoreUnavailableError,
)
from unstale.events import Event, Refused, Stored, Why

NOT_HUNG = 8.0
"""Seconds: less than the leases here last, so who took less did not wait for one."""

MEANINGLESS_URLS = [
    "",
    "nonsense",
    "redis",
    "redis:",
    "redis:/localhost",
    "http://localhost",
    "//localhost:6379",
    "localhost:6379",
    "redis://localhost:port",
    "redis://localhost:99999",
    "redis://localhost:-1",
    "redis://localhost:6379:6379",
    "redis://[::1",
    "redis://localhost/db",
    "redis://localhost/1/2",
    "redis://localhost/-1",
    "redis://localhost?db=one",
    "unix:///sock?db=one",
    "redis+sentinel://localhost",
    "redis+cluster://",
    "redis+cluster://localhost/1",
    "redis+cluster://localhost/db",
    "redis+cluster://localhost:port",
    "redis+cluster://a:b@c@localhost/x@y",
    "redis+cluster://localhost,",
    "redis+cluster://localhost?db=1",
    "embedded://relative/directory",
    "embedded:///directory?db=1",
    None,
    6379,
    b"redis://localhost",
]

WRONG_OPTIONS = [
    "redis://localhost?nope=1",
    "redis://localhost?timeout=1",
    "redis://localhost?max_connections=1",
    "redis://localhost?socket_timeout=soon",
    "redis://localhost?health_check_interval=x",
    "redis://localhost?protocol=x",
    "redis://localhost?port=x",
    "redis://localhost?ssl_ca_certs=/ca.crt",
    "redis://localhost?parser_class=x",
    "redis://localhost?credential_provider=x",
    "redis://localhost?redis_connect_func=x",
    "redis://localhost?socket_keepalive=1&socket_keepalive_options=x",
    "redis://localhost?socket_type=x",
    "redis://localhost?command_packer=x",
    "redis://localhost?encoding_errors=x",
    "redis://localhost?maint_notifications_config=x",
    "rediss://localhost?ssl_cert_reqs=bogus",
    "rediss://localhost?ssl_min_version=new",
    "rediss://localhost?nope=1",
    "unix:///sock?nope=1",
    "memory://?nope=1",
]


@pytest.mark.parametrize("url", MEANINGLESS_URLS, ids=str)
def test_a_url_that_means_nothing(url: Any) -> None:
    """A URL that names no store is refused when the cache is made, before anything is connected."""
    with pytest.raises(ConfigurationError):
        Cache.from_url(url)


@pytest.mark.parametrize(
    "url", ["redis://127.0.0.1:99999/1", "redis://h:1,h:2/1", "redis://h:x/1", "redis+sentinel://h:99999/service"]
)
def test_a_port_that_makes_no_sense(url: str) -> None:
    """Where there is no password, none is blamed."""
    with pytest.raises(ConfigurationError, match="a number up to 65535") as raised:
        Cache.from_url(url)
    assert "password" not in str(raised.value)


@pytest.mark.parametrize("url", ["redis://u:s3cret@h:99999/1", "redis://:s3cret", "redis://u:s3/cret@h:1"])
def test_a_url_that_cannot_be_read_is_not_shown(url: str) -> None:
    """Any part of it may be the password."""
    with pytest.raises(ConfigurationError, match="cannot be read") as raised:
        Cache.from_url(url)
    assert "s3" not in str(raised.value)
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


@pytest.mark.parametrize("url", WRONG_OPTIONS)
def test_an_option_in_the_url_that_means_nothing(url: str) -> None:
    """An option in the URL that is unknown, or has a value that makes no sense, is refused when the cache is made."""
    with pytest.raises(ConfigurationError):
        Cache.from_url(url)


@pytest.mark.parametrize("host", ["a" * 70, "a..b", "."], ids=["long", "empty label", "dot"])
def test_a_host_that_cannot_be(host: str) -> None:
    """A host name that nobody can look up is as bad as a dead server: reads go on, writes raise."""
    with Cache.from_url(f"redis://{host}:1/0", timeout=5.0) as cache:
        assert cache.get("k", "default") == "default"
        with pytest.raises(StoreError):
            cache.invalidate("t")


BAD_OPTIONS: list[dict[str, Any]] = [
    {"namespace": ""},
    {"namespace": "a*"},
    {"namespace": "{a}"},
    {"namespace": "a\n"},
    {"namespace": "a" * 65},
    {"namespace": None},
    {"namespace": 5},
    {"codec": "pickle"},
    {"codec": None},
    {"codec": ["json"]},
    {"fence": "none"},
    {"fence": None},
    {"timeout": None},
    {"lease": None},
    {"max_connections": 0},
    {"max_connections": -1},
    {"max_connections": "5"},
    {"max_connections": None},
]


@pytest.mark.parametrize("options", BAD_OPTIONS, ids=str)
def test_an_option_that_makes_no_sense(options: dict[str, Any]) -> None:
    """An option out of range or of the wrong type is refused when the cache is made."""
    with pytest.raises(ConfigurationError):
        Cache.from_url("memory://", **options)


BAD_DURATIONS = [0, 0.0, -1, -0.5, 0.0001, 1e12, 10**400, float("nan"), float("inf"), True, "60", b"60", [60], 1j]
BAD_DURATIONS += [timedelta(0), timedelta(seconds=-1)]
bad_durations = pytest.mark.parametrize("duration", BAD_DURATIONS, ids=lambda duration: repr(duration)[:20])


@pytest.mark.parametrize("option", ["ttl", "timeout", "lease", "stamp_ttl"])
@bad_durations
def test_an_option_that_is_no_duration(option: str, duration: Any) -> None:
    """A cache's durations must be seconds above zero."""
    with pytest.raises(InvalidDurationError, match=option):
        Cache.from_url("memory://", **{option: duration})


@pytest.fixture
def dead() -> Iterator[Cache]:
    """A cache without a server: what it refuses, it refuses before it asks anybody."""
    with Cache.from_url(f"redis://127.0.0.1:{free_port()}/0", namespace="test") as cache:
        yield cache


WITH_TTL: dict[str, Callable[[Cache, Any], Any]] = {
    "get_or_set": lambda cache, ttl: cache.get_or_set("k", int, ttl=ttl),
    "set": lambda cache, ttl: cache.set("k", "v", ttl=ttl),
    "set_many": lambda cache, ttl: cache.set_many({"k": "v"}, ttl=ttl),
    "add": lambda cache, ttl: cache.add("k", "v", ttl=ttl),
    "touch": lambda cache, ttl: cache.touch("k", ttl),
    "incr": lambda cache, ttl: cache.incr("k", initial=0, ttl=ttl),
}


@pytest.mark.parametrize("verb", WITH_TTL.values(), ids=WITH_TTL)
@bad_durations
def test_a_ttl_that_is_no_duration(dead: Cache, verb: Callable[[Cache, Any], Any], duration: Any) -> None:
    """A ttl that is zero, negative, not a number or no duration at all is refused by every verb that takes one."""
    with pytest.raises(InvalidDurationError):
        verb(dead, duration)


Verb = Callable[..., Any]

WITH_KEY: dict[str, Verb] = {
    "get": lambda cache, key, tags=(): cache.get(key, tags=tags),
    "get_or_set": lambda cache, key, tags=(): cache.get_or_set(key, int, tags=tags),
    "get_many": lambda cache, key, tags=(): cache.get_many([key], tags=tags),
    "has_key": lambda cache, key, tags=(): cache.has_key(key, tags=tags),
    "set": lambda cache, key, tags=(): cache.set(key, "v", tags=tags),
    "set_many": lambda cache, key, tags=(): cache.set_many({key: "v"}, tags=tags),
    "add": lambda cache, key, tags=(): cache.add(key, "v", tags=tags),
    "touch": lambda cache, key, tags=(): cache.touch(key, tags=tags),
    "incr": lambda cache, key, tags=(): cache.incr(key, initial=0, tags=tags),
    "ttl": lambda cache, key, tags=(): cache.ttl(key, tags=tags),
    "delete": lambda cache, key, tags=(): cache.delete(key, tags=tags),
}
with_key = pytest.mark.parametrize("verb", WITH_KEY.values(), ids=WITH_KEY)

BAD_KEYS = {
    "empty": "",
    "too long": "k" * 4097,
    "too long in UTF-8": "é" * 2049,
    "zero byte": "a\0b",
    "newline": "a\nb",
    "delete": "a\x7f",
    "C1 control": "a\x85b",
    "lone surrogate": "a\ud800",
    "bytes": b"k",
    "int": 5,
    "None": None,
    "tuple": ("k",),
}


@with_key
@pytest.mark.parametrize("key", BAD_KEYS.values(), ids=BAD_KEYS)
def test_a_bad_key(dead: Cache, verb: Verb, key: Any) -> None:
    """Every verb refuses a key that is empty, too long, no text, or has control characters."""
    with pytest.raises(InvalidKeyError):
        verb(dead, key)


@with_key
@pytest.mark.parametrize("key", BAD_KEYS.values(), ids=BAD_KEYS)
def test_a_bad_key_of_a_scope(dead: Cache, verb: Verb, key: Any) -> None:
    """Within a scope a bad key is as bad."""
    with pytest.raises(InvalidKeyError):
        verb(dead.scope("user", 42), key)


BAD_TAGS: dict[str, Any] = {
    "empty": [""],
    "too long": ["t" * 257],
    "too long in UTF-8": ["é" * 129],
    "zero byte": ["a\0b"],
    "newline": ["a\nb"],
    "lone surrogate": ["\udfff"],
    "root": ["*"],
    "root's name": ["*7"],
    "slash": ["/"],
    "leading slash": ["/a"],
    "trailing slash": ["a/"],
    "two slashes": ["a//b"],
    "33 tags": [f"t{number}" for number in range(33)],
    "33 with ancestors": ["/".join("t" * 33)],
    "a str": "user:42",
    "bytes": b"user",
    "int in a list": [5],
    "None in a list": ["a", None],
    "list in a list": ["a", ["b"]],
    "dict in a list": [{}],
    "None": None,
    "int": 5,
}


@with_key
@pytest.mark.parametrize("tags", BAD_TAGS.values(), ids=BAD_TAGS)
def test_bad_tags(dead: Cache, verb: Verb, tags: Any) -> None:
    """Every verb refuses tags that are empty, too long, too many, no list, no text, or have control characters."""
    with pytest.raises(InvalidTagError):
        verb(dead, "k", tags=tags)


UNINVALIDATABLE = {name: tags for name, tags in BAD_TAGS.items() if isinstance(tags, list) and "33" not in name}


@pytest.mark.parametrize("tags", UNINVALIDATABLE.values(), ids=UNINVALIDATABLE)
def test_invalidation_of_bad_tags(dead: Cache, tags: Any) -> None:
    """An invalidation of what cannot be a tag is refused, so that nobody believes that it took effect."""
    with pytest.raises(InvalidTagError):
        dead.invalidate(*tags)


def test_invalidation_of_nothing(dead: Cache) -> None:
    """An invalidation without tags is refused outside a scope: it would do nothing."""
    with pytest.raises(InvalidTagError, match=r"clear\(\)"):
        dead.invalidate()


@pytest.mark.parametrize("parts", [("",), ("*",), ("a\n", 1), ("a", "x" * 300), ("a", "\ud800")], ids=repr)
def test_a_scope_that_cannot_be(dead: Cache, parts: tuple[Any, ...]) -> None:
    """A scope's name must be a tag."""
    with pytest.raises(InvalidTagError):
        dead.scope(*parts)


GOOD_KEYS = {
    "longest": "k" * 4096,
    "longest in UTF-8": "é" * 2048,
    "just hashed": "k" * 201,
    "just not": "k" * 200,
    "spaces": " a b ",
    "separators": "a:b/{c}%d*?[e]\\",
    "like ours": "test:e:k",
    "emoji": "👍🏽",
    "line separator": "a\u2028b",
}


@pytest.mark.parametrize("key", GOOD_KEYS.values(), ids=GOOD_KEYS)
def test_a_key_at_the_limit_works_with_every_verb(cache: Cache, key: str) -> None:
    """Long and odd keys that are allowed are the same key to every verb."""
    assert cache.set(key, 1, tags=["t"])
    assert cache.get(key) == 1
    assert cache.get_many([key]) == {key: 1}
    assert cache.has_key(key)
    assert not cache.add(key, 2)
    assert cache.incr(key) == 2
    assert cache.touch(key, 50)
    assert 0 < (cache.ttl(key) or 0) <= 50
    assert cache.delete(key)
    assert not cache.has_key(key)


def test_most_and_longest_tags_work_with_every_verb(cache: Cache) -> None:
    """An entry with the longest key and 32 of the longest tags is an entry to every verb."""
    key, tags = "k" * 4096, [f"{number:02}{'t' * 254}" for number in range(32)]
    assert cache.set(key, 1, tags=tags)
    assert cache.get(key, tags=tags) == 1
    assert cache.has_key(key)
    assert cache.incr(key) == 2
    assert cache.touch(key)
    cache.invalidate(tags[31])
    assert not cache.has_key(key)


class Private:
    """A value that no codec carries, and whose text must not be shown."""

    def __repr__(self) -> str:
        return "secret"

    __str__ = __repr__


def endless() -> list[Any]:
    """A list that holds itself."""
    value: list[Any] = []
    value.append(value)
    return value


UNENCODABLE: dict[str, tuple[str, Callable[[], Any]]] = {
    "an object": ("msgpack", Private),
    "an object inside": ("msgpack", lambda: {"a": [Private()]}),
    "an object as a key": ("msgpack", lambda: {Private(): 1}),
    "a function": ("msgpack", lambda: Private.__repr__),
    "a large int": ("msgpack", lambda: 2**70),
    "a lone surrogate": ("msgpack", lambda: "secret\ud800"),
    "an endless list": ("msgpack", endless),
    "an object as JSON": ("json", Private),
    "an object inside JSON": ("json", lambda: {"a": [Private()]}),
    "an endless list as JSON": ("json", endless),
    "a lone surrogate as JSON": ("json", lambda: "secret\ud800"),
    "an object, raw": ("raw", Private),
    "a str, raw": ("raw", lambda: "secret"),
}
unencodable = pytest.mark.parametrize(("codec", "make"), UNENCODABLE.values(), ids=UNENCODABLE)


@pytest.fixture
def opened(url: str, events: list[Event]) -> Iterator[Callable[[str], Cache]]:
    """Opens a cache with a codec, with a lease that nobody would wait for."""
    made: list[Cache] = []

    def of_codec(codec: str) -> Cache:
        made.append(
            Cache.from_url(url, namespace="test", codec=codec, on_event=events.append, timeout=10.0, lease=60.0)
        )
        return made[-1]

    with remembering():
        yield of_codec
    for cache in made:
        cache.close()


@unencodable
def test_a_value_that_the_codec_cannot_carry(
    opened: Callable[[str], Cache], codec: str, make: Callable[[], Any]
) -> None:
    """A value that cannot be encoded is refused by name of its type; the error does not show the value."""
    cache = opened(codec)
    with pytest.raises(EncodeError) as raised:
        cache.set("k", make())
    assert "secret" not in str(raised.value)
    assert not cache.has_key("k")


@unencodable
def test_a_loader_with_a_value_that_the_codec_cannot_carry(
    opened: Callable[[str], Cache], codec: str, make: Callable[[], Any]
) -> None:
    """When a loader's value cannot be encoded nothing is stored, and the next load need not wait for the lease."""
    cache = opened(codec)
    with pytest.raises(EncodeError):
        cache.get_or_set("k", make)
    assert_loads_at_once(cache)


def assert_loads_at_once(cache: Cache) -> None:
    """There is nothing under "k", and nobody holds its lease."""
    assert cache.get("k", "nothing") == "nothing"
    began = time.monotonic()
    assert cache.get_or_set("k", lambda: b"loaded") == b"loaded"
    assert time.monotonic() - began < NOT_HUNG
    assert cache.get("k") == b"loaded"


class OwnError(Exception):
    pass


RAISED = [
    OwnError("x"),
    KeyError("k"),
    StopIteration("x"),
    StopAsyncIteration(),
    RuntimeError("coroutine raised StopIteration"),
    KeyboardInterrupt(),
    SystemExit(1),
    GeneratorExit(),
    asyncio.CancelledError(),
    TimeoutError(),
    StoreUnavailableError("another store's"),
    StoreClosedError("another cache's"),
    InvalidKeyError("of another cache"),
    errors.UnstaleError("x"),
]
raising = pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)


def raiser(error: BaseException) -> Callable[[], Any]:
    """A loader that raises."""

    def load() -> Any:
        raise error

    return load


@raising
def test_a_loader_that_raises(opened: Callable[[str], Cache], events: list[Event], error: BaseException) -> None:
    """What a loader raises passes as the same object; nothing is stored, and the lease goes."""
    cache = opened("msgpack")
    with pytest.raises(type(error)) as raised:
        cache.get_or_set("k", raiser(error))
    assert raised.value is error
    assert not any(isinstance(event, Stored) for event in events)
    assert_loads_at_once(cache)


@raising
def test_a_loader_that_raises_without_a_server(dead: Cache, error: BaseException) -> None:
    """Without a server, what a loader raises passes just the same."""
    with pytest.raises(type(error)) as raised:
        dead.get_or_set("k", raiser(error))
    assert raised.value is error


@raising
def test_a_loader_that_raises_within_another(opened: Callable[[str], Cache], error: BaseException) -> None:
    """An error passes through a loader around it too, and neither key is stored."""
    cache = opened("msgpack")
    with pytest.raises(type(error)) as raised:
        cache.get_or_set("k", lambda: cache.get_or_set("inner", raiser(error)))
    assert raised.value is error
    assert not cache.has_key("inner")
    assert_loads_at_once(cache)


@raising
def test_a_loaders_error_keeps_its_cause(opened: Callable[[str], Cache], error: BaseException) -> None:
    """An error passes unchanged: what it was raised from is still its cause."""
    cause = ValueError("the cause")

    def load() -> Any:
        raise error from cause

    with pytest.raises(type(error)) as raised:
        opened("msgpack").get_or_set("k", load)
    assert raised.value.__cause__ is cause


async def coroutine() -> int:
    """A coroutine function in place of a loader."""
    return 1


class Later(Awaitable[int]):
    """Something else that must be awaited."""

    def __await__(self) -> Generator[Any, Any, int]:
        yield
        return 1


@pytest.mark.parametrize("loader", [coroutine, Later], ids=["coroutine", "awaitable"])
def test_a_loader_that_must_be_awaited(opened: Callable[[str], Cache], loader: Callable[[], Any]) -> None:
    """A loader that returns an awaitable is refused, without a warning of Python's; the lease goes."""
    cache = opened("msgpack")
    with pytest.raises(LoaderError, match="awaitable"):
        cache.get_or_set("k", loader)
    assert_loads_at_once(cache)


def test_a_loader_that_must_be_awaited_without_a_server(dead: Cache) -> None:
    """Without a server such a loader is refused as well."""
    with pytest.raises(LoaderError):
        dead.get_or_set("k", coroutine)


def test_a_loader_that_never_returns(url: str, events: list[Event]) -> None:
    """When a loader hangs, others load for themselves once its lease has run out; its late value is not stored."""
    hanging, go_on = threading.Event(), threading.Event()

    def hang() -> str:
        hanging.set()
        go_on.wait(60)
        return "late"

    with Cache.from_url(url, namespace="test", lease=0.5, timeout=10.0, on_event=events.append) as cache, remembering():
        stuck = threading.Thread(target=cache.get_or_set, args=("k", hang))
        stuck.start()
        try:
            assert hanging.wait(30)
            began = time.monotonic()
            assert cache.get_or_set("k", lambda: "mine") == "mine"
            assert time.monotonic() - began < NOT_HUNG
        finally:
            go_on.set()
            stuck.join(30)
        assert cache.get("k") == "mine"
        assert Refused("k", Why.LEASE) in events


@pytest.mark.parametrize("delta", [1.5, "1", None, True, 2**53, -(2**53)], ids=repr)
def test_a_delta_that_is_no_count(dead: Cache, delta: Any) -> None:
    """A counter is changed by an int that it can hold."""
    with pytest.raises(NotACounterError):
        dead.incr("k", delta)


@pytest.mark.parametrize("initial", [1.5, "1", True, -(2**53), 2**53], ids=repr)
def test_a_beginning_that_is_no_count(cache: Cache, initial: Any) -> None:
    """A counter begins with an int that it can hold."""
    with pytest.raises(NotACounterError):
        cache.incr("k", initial=initial)
    assert not cache.has_key("k")


CLOSED: dict[str, Callable[[Cache], Any]] = {
    **{name: lambda cache, verb=verb: verb(cache, "k") for name, verb in WITH_KEY.items()},
    "invalidate": lambda cache: cache.invalidate("t"),
    "clear": lambda cache: cache.clear(),
    "ping": lambda cache: cache.ping(),
    "get of a scope": lambda cache: cache.scope("user", 1).get("k"),
}


@pytest.mark.parametrize("verb", CLOSED.values(), ids=CLOSED)
def test_a_closed_cache(cache: Cache, verb: Callable[[Cache], Any]) -> None:
    """A closed cache says so, to reads as well: that is a mistake, not a fault."""
    cache.set("k", 1)
    cache.close()
    with pytest.raises(StoreClosedError, match="closed"):
        verb(cache)


def test_closing_twice(cache: Cache) -> None:
    """A cache may be closed again."""
    cache.close()
    cache.close()


def test_every_exception_is_of_one_tree() -> None:
    """All that unstale raises is an UnstaleError, and says by default what to do."""
    every = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, BaseException)]
    assert [each for each in every if not issubclass(each, UnstaleError)] == []
    assert [each for each in every if len(str(each())) < 20] == []
