"""Bytes in Redis that are not ours, tampered with, cut short or of another type are a miss; secrets are never told."""

from __future__ import annotations

import logging
import os
import pickle
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from servers import Server, free_port

from unstale import Cache, UnstaleError, remembering
from unstale.core.entry import Draft, parse
from unstale.core.keys import END, MAX_TAGS, TagSet, bucket
from unstale.core.layout import CODEC_AT, COMPRESSION_AT, FLAGS_AT, MAGIC, shape
from unstale.errors import NotACounterError, StoreClosedError
from unstale.events import Event, Failed, Miss, Why, logging_hook

ENTRY, STAMP, LEASE = b"test:e:k", b"test:s:{t}", b"test:l:k"
NOTHING = object()


@pytest.fixture
def client(server: Server) -> Iterator[redis.Redis]:
    """What an attacker has: all of the server."""
    with server.client as made:
        yield made


@pytest.fixture
def cache(server: Server, events: list[Event]) -> Iterator[Cache]:
    """A cache on a server, whose leases are short."""
    with (
        Cache.from_url(server.url, namespace="test", timeout=10.0, lease=0.05, on_event=events.append) as made,
        remembering(),
    ):
        yield made


def root_of(client: redis.Redis) -> bytes:
    """The name of the one root's stamp that there is."""
    [name] = client.keys("test:r:*")
    return name


VALUES: dict[str, tuple[str, Any, Any]] = {
    "bytes": ("msgpack", b"the stored value", b"loaded"),
    "msgpack": ("msgpack", {"name": "stored", "list": [1, 2.5, None, "x"]}, "loaded"),
    "json": ("json", {"name": "stored", "list": [1, 2.5, None, "x"]}, "loaded"),
    "counter": ("msgpack", 123456789, 5),
}
"""A codec, a value that is stored, and one that a loader gives."""


class Stored:
    """A cache with one entry, whose bytes are changed."""

    def __init__(self, cache: Cache, client: redis.Redis, value: Any, other: Any) -> None:
        self.cache, self.client, self.value, self.other = cache, client, value, other
        assert cache.set("k", value, tags=["t", "u/v"])
        self.data: bytes = client.get(ENTRY)
        self.payload_at = parse(self.data).size

    def read(self, data: bytes) -> Any:
        """What a reader is given for these bytes."""
        self.client.set(ENTRY, data)
        return self.cache.get("k", NOTHING, tags=["t"])

    def load(self, data: bytes) -> Any:
        """What a reader with a loader is given for these bytes."""
        self.client.set(ENTRY, data)
        return self.cache.get_or_set("k", lambda: self.other, tags=["t"])

    def flipped(self, first: int, last: int) -> list[bytes]:
        """The entry with each bit of these bytes flipped, and with all eight of a byte."""
        masks = [1 << bit for bit in range(8)] + [0xFF]
        return [
            self.data[:at] + bytes([self.data[at] ^ mask]) + self.data[at + 1 :]
            for at in range(first, last)
            for mask in masks
        ]

    def wrong(self, forgeries: list[bytes]) -> dict[bytes, Any]:
        """Which of these bytes give a reader a value that nobody stored."""
        given = {data: self.read(data) for data in forgeries}
        return {data: value for data, value in given.items() if value is not NOTHING and value != self.value}


@pytest.fixture(params=VALUES.values(), ids=VALUES)
def stored(request: pytest.FixtureRequest, server: Server, client: redis.Redis) -> Iterator[Stored]:
    """An entry of each kind of value."""
    codec, value, other = request.param
    with Cache.from_url(server.url, namespace="test", timeout=10.0, codec=codec) as cache, remembering():
        yield Stored(cache, client, value, other)


def test_the_entry_as_it_is(stored: Stored) -> None:
    """What nobody changed is served, so that the tests below show something."""
    assert stored.read(stored.data) == stored.value


def test_a_flipped_byte_of_the_head(stored: Stored) -> None:
    """A change anywhere before the payload gives no reader a value that nobody stored, and raises nothing."""
    assert stored.wrong(stored.flipped(0, stored.payload_at)) == {}


UNCOUNTED = {name: value for name, value in VALUES.items() if name != "counter"}
"""A counter is changed in place, by a script, which can compute no checksum."""


@pytest.mark.parametrize("stored", UNCOUNTED.values(), ids=UNCOUNTED, indirect=True)
def test_a_flipped_byte_of_the_payload(stored: Stored) -> None:
    """A change anywhere in the payload gives no reader a value that nobody stored, and raises nothing."""
    assert stored.wrong(stored.flipped(stored.payload_at, len(stored.data))) == {}


def test_an_entry_cut_short(stored: Stored) -> None:
    """An entry that was cut short, wherever, is a miss, and is loaded anew."""
    lengths = range(len(stored.data))
    assert [length for length in lengths if stored.load(stored.data[:length]) != stored.other] == []


def test_an_entry_with_more_behind_it(stored: Stored) -> None:
    """Bytes behind an entry's end give no reader a value that nobody stored."""
    assert stored.wrong([stored.data + tail for tail in (b"\0", b"x", b"\n", bytes(1000))]) == {}


VERBS: dict[str, Callable[[Cache], Any]] = {
    "has_key": lambda cache: cache.has_key("k"),
    "touch": lambda cache: cache.touch("k", 10),
    "ttl": lambda cache: cache.ttl("k"),
    "delete": lambda cache: cache.delete("k"),
    "get_many": lambda cache: cache.get_many(["k"]),
    "add": lambda cache: cache.add("k", 1),
}


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_no_verb_raises_for_a_bad_head(cache: Cache, client: redis.Redis, verb: Callable[[Cache], Any]) -> None:
    """Whatever stands in an entry's place, no verb raises for it, or tries for ever."""
    stored = Stored(cache, client, 1, 2)
    for data in stored.flipped(0, stored.payload_at)[::5] + [stored.data[:length] for length in range(0, 120, 7)]:
        client.set(ENTRY, data)
        verb(cache)


def test_counting_with_a_bad_head(cache: Cache, client: redis.Redis) -> None:
    """A count on such bytes begins anew, or says that they are no counter."""
    stored = Stored(cache, client, 1, 2)
    for data in stored.flipped(0, stored.payload_at)[::5] + [stored.data[:length] for length in range(0, 120, 7)]:
        client.set(ENTRY, data)
        with suppress(NotACounterError):
            assert cache.incr("k", initial=0) in {1, 2}


NOT_OURS: dict[str, bytes] = {
    "empty": b"",
    "zero": b"\0",
    "text": b"hello",
    "JSON": b'{"a": 1}',
    "a pickle": pickle.dumps({"a": 1}),
    "random": os.urandom(4096),
    "a megabyte": bytes(1 << 20),
    "the magic alone": MAGIC,
    "the magic and zeros": MAGIC + bytes(500),
    "the magic and ones": MAGIC + b"\xff" * 500,
    "a stamp": os.urandom(16),
}


@pytest.mark.parametrize("data", NOT_OURS.values(), ids=NOT_OURS)
def test_bytes_that_are_not_ours(cache: Cache, client: redis.Redis, events: list[Event], data: bytes) -> None:
    """Foreign bytes under an entry's name are a miss, and the next load replaces them."""
    client.set(ENTRY, data)
    assert cache.get("k", "default", tags=["t"]) == "default"
    assert events[0] in {Miss("k", Why.UNREADABLE), Miss("k", Why.OTHER_KEY)}
    assert cache.get_or_set("k", lambda: "loaded", tags=["t"]) == "loaded"
    assert cache.get("k", tags=["t"]) == "loaded"


ALTERED: dict[str, tuple[int, int]] = {
    "a later version": (1, 2),
    "an unknown flag": (FLAGS_AT, 0x81),
    "an unknown codec": (CODEC_AT, 200),
    "an unknown compression": (COMPRESSION_AT, 1),
}


@pytest.mark.parametrize(("at", "byte"), ALTERED.values(), ids=ALTERED)
def test_an_entry_of_another_format(cache: Cache, client: redis.Redis, at: int, byte: int) -> None:
    """What a later release may write is refused, not misread."""
    stored = Stored(cache, client, "v", "w")
    assert stored.read(stored.data[:at] + bytes([byte]) + stored.data[at + 1 :]) is NOTHING


def fill_list(client: redis.Redis, name: bytes) -> None:
    """A list under a name."""
    client.rpush(name, "a", "b")


def fill_hash(client: redis.Redis, name: bytes) -> None:
    """A hash under a name."""
    client.hset(name, "a", "b")


def fill_set(client: redis.Redis, name: bytes) -> None:
    """A set under a name."""
    client.sadd(name, "a")


def fill_sorted_set(client: redis.Redis, name: bytes) -> None:
    """A sorted set under a name."""
    client.zadd(name, {"a": 1})


def fill_stream(client: redis.Redis, name: bytes) -> None:
    """A stream under a name."""
    client.xadd(name, {"a": "b"})


other_type = pytest.mark.parametrize(
    "fill", [fill_list, fill_hash, fill_set, fill_sorted_set, fill_stream], ids=lambda fill: fill.__name__[5:]
)


@other_type
def test_another_type_under_the_entrys_name(cache: Cache, client: redis.Redis, fill: Callable[..., None]) -> None:
    """Another type in the entry's place is a miss, and the next load replaces it."""
    fill(client, ENTRY)
    assert cache.get("k", "default", tags=["t"]) == "default"
    assert cache.get_many(["k"]) == {}
    assert not cache.has_key("k")
    assert cache.get_or_set("k", lambda: "loaded", tags=["t"]) == "loaded"
    assert cache.get("k", tags=["t"]) == "loaded"


ON_ANOTHER_TYPE: dict[str, tuple[Callable[[Cache], Any], Any, Any]] = {
    "set": (lambda cache: cache.set("k", "v"), True, "v"),
    "add": (lambda cache: cache.add("k", "v"), True, "v"),
    "incr": (lambda cache: cache.incr("k", initial=5), 6, 6),
    "touch": (lambda cache: cache.touch("k"), False, None),
    "ttl": (lambda cache: cache.ttl("k"), None, None),
    "delete": (lambda cache: cache.delete("k"), False, None),
}


@pytest.mark.parametrize(("verb", "given", "then"), ON_ANOTHER_TYPE.values(), ids=ON_ANOTHER_TYPE)
@pytest.mark.parametrize("data", [None, b"", b"foreign"], ids=["list", "empty", "foreign"])
def test_verbs_on_what_is_no_entry(
    cache: Cache, client: redis.Redis, verb: Callable[[Cache], Any], given: Any, then: Any, data: bytes | None
) -> None:
    """What is no entry is absent to every verb, and does not keep one from being stored."""
    fill_list(client, ENTRY) if data is None else client.set(ENTRY, data)
    assert verb(cache) == given
    assert cache.get("k") == then


@other_type
@pytest.mark.parametrize("which", ["tag", "root"])
def test_another_type_under_a_stamps_name(
    cache: Cache, client: redis.Redis, fill: Callable[..., None], which: str
) -> None:
    """Another type in a stamp's place makes stale what was stored, and nothing raises."""
    cache.set("k", "v", tags=["t"])
    name = STAMP if which == "tag" else root_of(client)
    client.delete(name)
    fill(client, name)
    assert cache.get("k", "default", tags=["t"]) == "default"
    assert cache.get_many(["k"], tags=["t"]) == {}
    assert not cache.has_key("k")
    assert cache.get_or_set("k", lambda: "loaded", tags=["t"]) == "loaded"
    cache.invalidate("t")
    cache.clear()


@pytest.mark.parametrize("data", [b"", b"x", bytes(15), bytes(17), bytes(100_000)], ids=len)
def test_a_foreign_string_under_a_stamps_name(cache: Cache, client: redis.Redis, data: bytes) -> None:
    """A string that is no stamp makes stale what was stored; an invalidation puts a stamp in its place."""
    cache.set("k", "v", tags=["t"])
    client.set(STAMP, data)
    assert cache.get("k", "default", tags=["t"]) == "default"
    assert cache.get_or_set("k", lambda: "loaded", tags=["t"]) == "loaded"
    cache.invalidate("t")
    assert cache.get_or_set("k", lambda: "stored", tags=["t"]) == "stored"
    assert cache.get("k", tags=["t"]) == "stored"


@other_type
def test_another_type_under_the_leases_name(cache: Cache, client: redis.Redis, fill: Callable[..., None]) -> None:
    """Another type in the lease's place keeps nobody from loading."""
    fill(client, LEASE)
    assert cache.get_or_set("k", lambda: "loaded", tags=["t"]) == "loaded"


def test_another_keys_entry(cache: Cache, client: redis.Redis, events: list[Event]) -> None:
    """An entry copied under another key's name is a miss: it holds its own key."""
    cache.set("other", "theirs", tags=["t"])
    client.copy(b"test:e:other", ENTRY)
    assert cache.get("k", "default", tags=["t"]) == "default"
    assert Miss("k", Why.OTHER_KEY) in events


def test_another_long_keys_entry(cache: Cache, client: redis.Redis) -> None:
    """The same where names are hashed: two keys whose hashes were equal are still two keys."""
    cache.set("a" * 300, "theirs")
    [name] = client.keys("test:h:*")
    cache.set("b" * 300, "ours")
    [own] = set(client.keys("test:h:*")) - {name}
    client.copy(name, own, replace=True)
    assert cache.get("b" * 300) is None


def test_another_users_entry(cache: Cache, client: redis.Redis) -> None:
    """One user's entry copied under another's name is a miss."""
    cache.scope("user", 1).set("orders", "of user 1")
    client.copy(b"test:e:user:1/orders", b"test:e:user:2/orders")
    assert cache.scope("user", 2).get("orders") is None


def test_another_namespaces_entry(cache: Cache, client: redis.Redis, server: Server) -> None:
    """An entry of another cache in the same database is a miss: its stamps are not this cache's."""
    with Cache.from_url(server.url, namespace="other") as other:
        other.set("k", "theirs", tags=["t"])
    cache.set("k", "ours", tags=["t"])
    client.copy(b"other:e:k", ENTRY, replace=True)
    assert cache.get("k", tags=["t"]) is None


def forge(client: redis.Redis, tags: list[bytes], payload: bytes = b"forged", codec: int = 0) -> None:
    """Put an entry of "k" in place as one who may write anything could: its stamps are those that stand."""
    names = [b"test:r:" + tag[1:] if tag[:1] == b"*" else b"test:s:{%b}%b%b" % tag.partition(b"/") for tag in tags]
    names.append(b"test:r:%d" % bucket(b"k"))
    for name in names:
        client.set(name, os.urandom(16), nx=True)
    blob = b"".join(tag + END for tag in tags)
    tagset = TagSet(("",) * len(tags), (), blob, shape(len(tags), len(blob)), 0, "")
    draft = Draft(b"k", tagset, codec, payload, 1.0, 60.0, 0.0, fenced=False)
    client.set(ENTRY, draft.seal(b"", tuple(client.mget(names))))


def test_a_forgery_to_the_letter(cache: Cache, client: redis.Redis) -> None:
    """What is like an entry in everything is one, so that the tests below show something."""
    forge(client, [b"*3", b"t", b"u", b"u/v"])
    assert cache.get("k") == b"forged"
    assert cache.get("k", tags=["t", "u/v"]) == b"forged"


FORGED_TAGS: dict[str, list[bytes]] = {
    "out of order": [b"u", b"t"],
    "twice": [b"t", b"t"],
    "without its ancestor": [b"u/v"],
    "a root that is not": [b"*99"],
    "a root's name that is none": [b"*x"],
    "a root's mark alone": [b"*"],
    "empty": [b""],
    "no UTF-8": [b"\xff"],
    "a newline": [b"a\nb"],
    "too long": [b"t" * 300],
    "too many": [b"t%02d" % number for number in range(MAX_TAGS + 1)],
    "far too many": [b"t%03d" % number for number in range(255)],
}


forged_tags = pytest.mark.parametrize("tags", FORGED_TAGS.values(), ids=FORGED_TAGS)


@forged_tags
def test_forged_tags(cache: Cache, client: redis.Redis, tags: list[bytes]) -> None:
    """Tags as no release of ours records them raise nothing to a reader, whatever their stamps."""
    forge(client, tags)
    assert cache.get("k", "default") in {"default", b"forged"}
    assert cache.get_many(["k"]) in ({}, {"k": b"forged"})
    assert cache.get_or_set("k", lambda: "loaded") in {"loaded", b"forged"}


@forged_tags
def test_counting_on_forged_tags_ends(server: Server, client: redis.Redis, tags: list[bytes]) -> None:
    """A count on an entry with such tags comes to an end."""
    counted: list[int] = []
    with Cache.from_url(server.url, namespace="test", timeout=10.0) as cache:
        forge(client, tags, (41).to_bytes(8), codec=1)

        def count() -> None:
            with suppress(StoreClosedError):  # closed below, if it does not end
                counted.append(cache.incr("k", initial=0))

        counting = threading.Thread(target=count, daemon=True)
        counting.start()
        counting.join(2)
    counting.join(5)
    assert counted in ([1], [42])


class Bomb:
    """What writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.write_text, (self.path, "boom"))


def test_a_pickle_does_nothing(cache: Cache, client: redis.Redis, tmp_path: Path) -> None:
    """A pickle in an entry, under any codec's number, runs no code; a reader gets bytes or a miss."""
    crater = tmp_path / "crater"
    bomb = pickle.dumps(Bomb(crater))
    for codec in range(256):
        forge(client, [b"t"], bomb, codec)
        assert cache.get("k", None, tags=["t"]) in {None, bomb}
    client.set(ENTRY, bomb)
    assert cache.get("k", "default") == "default"
    assert not crater.exists()
    pickle.loads(bomb)  # noqa: S301 - the bomb is one
    assert crater.exists()


PAYLOAD_BOMBS = {
    "an array of 4 billion": (2, b"\xdd\xff\xff\xff\xff"),
    "a map of 4 billion": (2, b"\xdf\xff\xff\xff\xff"),
    "a str of 4 GB": (2, b"\xdb\xff\xff\xff\xff"),
    "a hundred thousand levels": (2, b"\x91" * 100_000),
    "a time out of range": (2, b"\xc7\x0c\xff" + b"\xff" * 12),
    "an unhashable key": (2, b"\x81\x80\x01"),
    "JSON of a hundred thousand levels": (3, b"[" * 100_000),
    "JSON that ends too soon": (3, b'{"a": [1, '),
    "JSON that is no UTF-8": (3, b'"\xff"'),
    "a counter too short": (1, b"\0" * 7),
    "a counter too long": (1, b"\0" * 9),
    "a counter out of range": (1, b"\x7f" * 8),
}


@pytest.mark.parametrize(("codec", "payload"), PAYLOAD_BOMBS.values(), ids=PAYLOAD_BOMBS)
def test_a_payload_that_its_codec_cannot_read(
    cache: Cache, client: redis.Redis, events: list[Event], codec: int, payload: bytes
) -> None:
    """A payload that overtaxes its codec is a miss, and is loaded anew."""
    forge(client, [b"t"], payload, codec)
    assert cache.get("k", "default", tags=["t"]) == "default"
    assert Miss("k", Why.UNDECODABLE) in events
    assert cache.get_or_set("k", lambda: "loaded", tags=["t"]) == "loaded"
    assert cache.get("k", tags=["t"]) == "loaded"


SECRET = "hunter2-the-secret"


class Unencodable:
    """A value whose text is the secret."""

    def __repr__(self) -> str:
        return SECRET


LEAKY: dict[str, Callable[[str], Any]] = {
    "a password that is no port": lambda _: Cache.from_url(f"redis://:{SECRET}/x@localhost:6379/0"),
    "a password with a hash": lambda _: Cache.from_url(f"redis://:{SECRET}#x@localhost:6379/0"),
    "a password with a question mark": lambda _: Cache.from_url(f"redis://:{SECRET}?x@localhost:6379/0"),
    "a password with a bracket": lambda _: Cache.from_url(f"redis://:[{SECRET}@localhost:6379/0"),
    "a password that begins like a port": lambda _: Cache.from_url(f"redis://:12/{SECRET}@localhost:6379/0"),
    "a password like an option": lambda _: Cache.from_url(f"redis://:12?{SECRET}=x@localhost:6379/0"),
    "a password in an option": lambda _: Cache.from_url(f"redis://localhost?pasword={SECRET}"),
    "a password and an unknown option": lambda _: Cache.from_url(f"redis://:{SECRET}@localhost?nope=1"),
    "a password and an unknown scheme": lambda _: Cache.from_url(f"reddis://:{SECRET}@localhost"),
    "a password without a server": lambda url: Cache.from_url(secret(url, free_port())).invalidate("t"),
    "a password that is wrong": lambda url: Cache.from_url(secret(url)).invalidate("t"),
    "a value without a server": lambda url: Cache.from_url(secret(url, free_port())).set("k", SECRET),
    "a value that is no msgpack": lambda url: Cache.from_url(url).set("k", Unencodable()),
    "a value that is no msgpack, inside": lambda url: Cache.from_url(url).set("k", {"a": [SECRET, Unencodable()]}),
    "a key that is no JSON": lambda url: Cache.from_url(url, codec="json").set("k", {Unencodable(): SECRET}),
    "text that is no UTF-8": lambda url: Cache.from_url(url).set("k", SECRET + "\ud800"),
    "a value that is not raw": lambda url: Cache.from_url(url, codec="raw").set("k", SECRET),
    "a value that is no counter": lambda url: not_a_counter(Cache.from_url(url)),
}


def secret(url: str, port: int | None = None) -> str:
    """The URL with the secret for a password."""
    with_password = url.replace("//", f"//:{SECRET}@")
    return with_password if port is None else f"redis://:{SECRET}@127.0.0.1:{port}/0"


def not_a_counter(cache: Cache) -> None:
    """Count on what is no count."""
    cache.set("k", SECRET)
    cache.incr("k")


@pytest.mark.parametrize("leaky", LEAKY.values(), ids=LEAKY)
def test_no_error_tells_a_secret(server: Server, leaky: Callable[[str], Any]) -> None:
    """Neither an error nor its causes show a password or a value, also where a traceback is logged."""
    with pytest.raises(UnstaleError) as raised:
        leaky(server.url)
    logged = traceback.format_exception(raised.value)
    assert [line for line in logged if SECRET in line] == []


def test_no_log_tells_a_secret(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """No log line of any level shows a password or a value."""
    caplog.set_level(logging.DEBUG)
    for hook in (None, logging_hook()):
        for port in (None, free_port()):
            with Cache.from_url(secret(server.url, port), on_event=hook) as cache:
                cache.get_or_set("k", lambda: SECRET)
                cache.get("k")
        with Cache.from_url(server.url, on_event=hook) as cache:
            cache.get_or_set("k", lambda: SECRET, tags=["t"])
            cache.get("k")
            cache.invalidate("t")
            cache.get("k")
    assert len(caplog.records) > 5
    assert SECRET not in caplog.text


def test_no_event_tells_a_secret(server: Server, events: list[Event]) -> None:
    """No event shows a password or a value."""
    with Cache.from_url(secret(server.url, free_port()), on_event=events.append) as cache:
        cache.get_or_set("k", lambda: SECRET)
    with Cache.from_url(server.url, on_event=events.append) as cache:
        cache.get_or_set("k", lambda: SECRET)
        cache.get("k")
    assert any(isinstance(event, Failed) for event in events)
    assert SECRET not in repr(events)


def test_no_repr_tells_a_secret(server: Server) -> None:
    """A cache's repr shows no password, nor does its scopes'."""
    with Cache.from_url(secret(server.url)) as cache:
        assert SECRET not in repr(cache) + repr(cache.scope("user", 1))
