"""More than 10,000 entries that somebody has changed in Redis: each is a miss and an event, and nothing is executed.

For each way to keep a value, with a Cache and an AsyncCache. Two changes are not seen, since readers do without what
they say: the times in a head (`touch` writes them), and a counter's count (a script adds to it, and Lua has no CRC).
"""

from __future__ import annotations

import itertools
import os
import pickle
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
from replicas import KINDS, opened
from servers import Server

from unstale import remembering
from unstale.core.codecs import COUNTER
from unstale.core.entry import Draft, parse
from unstale.core.keys import Names
from unstale.core.layout import FLAGS_AT, IDENTITY_AT, SIGNED, STAMPS_AT, TIMED, TIMES_AT
from unstale.core.signing import Signer
from unstale.events import Event, Hit, Miss, Stale, Stored, Why

pytestmark = pytest.mark.no_cover

NOTHING = object()
KEYS = ["the first key, of thirty-two bytes or more", "another key, also of thirty-two bytes and more"]
EACH = 350
"""Entries of each form, for each kind of cache and of server: 8 · 2 · 2 · 350 in all."""


class Trap:
    """Makes a directory when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.makedirs, (str(self.mark), 0o700, True)


@dataclass(frozen=True)
class Form:
    """A way to keep values: the cache's options, and a value for each number."""

    options: dict[str, Any]
    value: Callable[[int], Any]


def plain(number: int) -> Any:
    """A value that most codecs carry."""
    return {"number": number, "list": [1, 2.5, None, "text"], "nested": {"a": ["b"] * 5}}


def long(number: int) -> Any:
    """A value that is worth compressing."""
    return {"number": number, "text": "again and again, " * 200}


SIGNED_BY: dict[str, Any] = {"signing_keys": KEYS[0]}
FORMS = {
    "msgpack": Form({}, plain),
    "json": Form({"codec": "json"}, plain),
    "raw": Form({"codec": "raw"}, lambda number: b"value %d, " % number * 9),
    "compressed": Form({"compression": "zlib"}, long),
    "signed pickle": Form({"codec": "pickle", **SIGNED_BY}, lambda number: (number, {"a", "b"}, plain(number))),
    "signed msgpack": Form(SIGNED_BY, plain),
    "signed, raw bytes": Form(SIGNED_BY, lambda number: b"value %d, " % number * 9),
    "signed, compressed pickle": Form({"codec": "pickle", "compression": "zlib", **SIGNED_BY}, long),
}

kinds = pytest.mark.parametrize("kind", KINDS)
forms = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


@pytest.fixture(autouse=True)
def in_a_request() -> Iterator[None]:
    """What one test remembers is not the next one's."""
    with remembering():
        yield


@pytest.fixture
def client(server: Server) -> Iterator[redis.Redis]:
    """What an attacker has: all of the server."""
    with server.client as made:
        yield made


class Attacked:
    """A cache whose entries somebody changes."""

    def __init__(self, kind: str, server: Server, form: Form, count: int) -> None:
        self.events: list[Event] = []
        self.form = form
        self.keys = [f"k{number}" for number in range(count)]
        self.values = {key: form.value(number) for number, key in enumerate(self.keys)}
        options: dict[str, Any] = {"timeout": 10.0, "lease": 0.05, **form.options}
        self._opened = opened(kind, server.url, on_event=self.events.append, **options)

    def __enter__(self) -> Any:
        self.cache = self._opened.__enter__()
        assert self.cache.set_many(self.values, tags=["t", "u/v"]) == []
        return self

    def __exit__(self, *exception: object) -> None:
        self._opened.__exit__(*exception)

    def read(self, key: str) -> Any:
        """What one reader is given, and the one event that says so."""
        self.events.clear()
        found = self.cache.get(key, NOTHING, tags=["t"])
        assert [type(event) for event in self.events] in ([Hit], [Miss], [Stale])
        return found

    def check_missed(self) -> None:
        """All keys are misses, to a read of one, of many, and to one that loads."""
        assert [key for key in self.keys if self.read(key) is not NOTHING] == []
        self.events.clear()
        assert self.cache.get_many(self.keys, tags=["t"]) == {}
        assert len(self.events) == len(self.keys)
        assert not any(isinstance(event, Hit) for event in self.events)
        for key in self.keys[::7]:
            self.events.clear()
            assert self.cache.get_or_set(key, lambda: b"loaded", tags=["t"]) == b"loaded"
            assert [type(event) for event in self.events] in ([Miss, Stored], [Stale, Stored])


def name_of(key: str) -> str:
    """An entry's name."""
    return f"test:e:{key}"


def flipped(data: bytearray, at: int, bits: int) -> bytes:
    """With some bits of a byte changed."""
    data[at] ^= bits
    return bytes(data)


MUTATIONS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    lambda data, by: flipped(bytearray(data), by.randrange(len(data)), 1 << by.randrange(8)),
    lambda data, by: flipped(bytearray(data), by.randrange(STAMPS_AT), by.randrange(1, 256)),
    lambda data, by: flipped(bytearray(data), by.randrange(len(data)), by.randrange(1, 256)),
    lambda data, by: data[: by.randrange(len(data))],
    lambda data, by: data[by.randrange(1, len(data)) :],
    lambda data, by: data + by.randbytes(by.randrange(1, 40)),
    lambda data, by: spliced(data, by.randrange(len(data)), by.randrange(30), by.randbytes(by.randrange(1, 20))),
    lambda data, by: spliced(data, by.randrange(len(data)), 0, data[: by.randrange(1, len(data))]),
    lambda data, by: by.randbytes(len(data)),
    lambda data, by: data[:STAMPS_AT] + by.randbytes(len(data) - STAMPS_AT),
)


def spliced(data: bytes, at: int, gone: int, added: bytes) -> bytes:
    """With some bytes taken out, and others in their place."""
    return data[:at] + added + data[at + gone :]


def is_seen(data: bytes, mutated: bytes) -> bool:
    """Whether a change must be seen: not one of the times, nor that an unsigned entry is to be looked at by them."""

    def without(entry: bytes) -> bytes:
        flags = entry[FLAGS_AT] if entry[FLAGS_AT] & SIGNED else entry[FLAGS_AT] & ~TIMED
        return entry[:FLAGS_AT] + bytes([flags]) + entry[FLAGS_AT + 1 : TIMES_AT] + entry[IDENTITY_AT:]

    return len(mutated) < STAMPS_AT or without(data) != without(mutated)


def mutants(data: bytes, by: random.Random) -> Iterator[bytes]:
    """Changed entries, by each kind of mutation in turn."""
    for mutate in itertools.cycle(MUTATIONS):
        mutated = mutate(data, by)
        if is_seen(data, mutated):
            yield mutated


@kinds
@forms
def test_mutated_entries(server: Server, client: redis.Redis, kind: str, form: Form) -> None:
    """Bits flipped, bytes cut, added, exchanged, or all of them random: a miss to every reader."""
    by = random.Random(f"{kind} {form.options}")
    with Attacked(kind, server, form, EACH) as attacked:
        assert attacked.cache.get_many(attacked.keys, tags=["t"]) == attacked.values
        taken = [client.get(name_of(key)) for key in attacked.keys]
        done = [mutate(data, by) for data, mutate in zip(taken, itertools.cycle(MUTATIONS), strict=False)]
        done = [one if is_seen(data, one) else next(mutants(data, by)) for data, one in zip(taken, done, strict=True)]
        client.mset({name_of(key): one for key, one in zip(attacked.keys, done, strict=True)})
        attacked.check_missed()


@kinds
@forms
def test_changed_times(server: Server, client: redis.Redis, kind: str, form: Form) -> None:
    """Whatever the times in a head are changed to, a reader gets the value that was stored, or a miss."""
    by = random.Random(kind)
    with Attacked(kind, server, form, 100) as attacked:
        for key in attacked.keys:
            at = by.randrange(TIMES_AT, IDENTITY_AT)
            client.set(name_of(key), flipped(bytearray(client.get(name_of(key))), at, by.randrange(1, 256)))
            assert attacked.read(key) in (attacked.values[key], NOTHING)


@kinds
@pytest.mark.parametrize("options", [{}, SIGNED_BY], ids=["unsigned", "signed"])
def test_mutated_counters(server: Server, client: redis.Redis, kind: str, options: dict[str, Any]) -> None:
    """A change in a counter's head is a miss; one of its count, which nothing protects, is a count at worst."""
    by = random.Random(kind)
    with Attacked(kind, server, Form(options, lambda number: number), 300) as attacked:
        for key in attacked.keys:
            data = client.get(name_of(key))
            size = parse(data).size
            mutated = next(mutants(data[:size], by)) + data[size:]
            client.set(name_of(key), mutated)
            assert attacked.read(key) is NOTHING
            client.set(name_of(key), data[:size] + by.randbytes(8))
            assert attacked.read(key) is NOTHING or type(attacked.read(key)) is int


def sealed(data: bytes, payload: bytes, codec: int, signer: Signer | None = None, compression: int = 0) -> bytes:
    """An entry like another, checksum and all, with a payload of somebody else's making."""
    head = parse(data)
    tagset = Names("test").recorded_tagset(head.tags)
    draft = Draft(
        *(head.key, tagset, codec, payload, head.created_at, head.ttl, 0.0, head.fenced),
        compression=compression,
        signer=signer,
    )
    return draft.seal(head.identity, head.stamps)


@kinds
@forms
def test_pickle_bombs(server: Server, client: redis.Redis, kind: str, form: Form, tmp_path: Path) -> None:
    """A pickle under every codec's number, unsigned or signed by another, is unpickled by nobody."""
    mark = tmp_path / "mark"
    bomb = pickle.dumps(Trap(mark))
    is_signed = "signing_keys" in form.options
    with Attacked(kind, server, form, 1) as attacked:
        data = client.get(name_of("k0"))
        for codec in range(256):
            for signer in (None, Signer(KEYS[1], "test"), Signer(KEYS[0], "other")):
                client.set(name_of("k0"), sealed(data, bomb, codec, signer))
                found = attacked.read("k0")
                assert found is NOTHING or (not is_signed and signer is None and found == bomb)
        client.set(name_of("k0"), bomb)
        assert attacked.read("k0") is NOTHING
        assert not mark.exists()
        if form.options.get("codec") == "pickle":  # the bomb is one, and only its signature is missing
            client.set(name_of("k0"), sealed(data, bomb, data[6], Signer(KEYS[0], "test")))
            attacked.read("k0")
            assert mark.exists()


@kinds
@forms
def test_swapped_entries(server: Server, client: redis.Redis, kind: str, form: Form) -> None:
    """Entries that change places, between keys and between users, are misses."""
    with Attacked(kind, server, form, 40) as attacked:
        taken = [client.get(name_of(key)) for key in attacked.keys]
        client.mset({name_of(key): data for key, data in zip(attacked.keys, taken[1:] + taken[:1], strict=True)})
        for key in attacked.keys:
            assert attacked.read(key) is NOTHING
            assert attacked.events == [Miss(key, Why.OTHER_KEY)]
        attacked.check_missed()


def scoped(cache: Any, user: int) -> Any:
    """One user's cache, with a Cache's face."""
    scope = cache.cache.scope("user", user) if hasattr(cache, "runner") else cache.scope("user", user)
    if not hasattr(cache, "runner"):
        return scope
    face = object.__new__(type(cache))
    face.cache, face.runner = scope, cache.runner
    return face


@kinds
@forms
def test_swapped_users(server: Server, client: redis.Redis, kind: str, form: Form) -> None:
    """One user's entry under another's name is a miss, also with that user's name written into it."""
    with Attacked(kind, server, form, 1) as attacked:
        users = [scoped(attacked.cache, number) for number in (1, 2)]
        for number, user in enumerate(users):
            user.set("orders", form.value(number))
        one, two = (f"test:e:user:{number}/orders" for number in (1, 2))
        first, second = client.mget([one, two])
        client.mset({one: second, two: first})
        assert [user.get("orders", NOTHING) for user in users] == [NOTHING] * 2
        client.mset({one: second.replace(b"user:2", b"user:1"), two: first.replace(b"user:1", b"user:2")})
        assert [user.get("orders", NOTHING) for user in users] == [NOTHING] * 2
        client.mset({one: first, two: second})
        assert [user.get("orders") for user in users] == [form.value(0), form.value(1)]


@kinds
@forms
def test_swapped_namespaces(server: Server, client: redis.Redis, kind: str, form: Form) -> None:
    """An entry of another namespace is a miss, though key, tags and signing key are the same; and with its stamps."""
    with Attacked(kind, server, form, 1) as attacked:
        with opened(kind, server.url, namespace="other", **form.options) as other:
            other.set("k0", "of another cache" if "raw" not in form.options.values() else b"of another", tags=["t"])
        client.copy("other:e:k0", name_of("k0"), replace=True)
        assert attacked.read("k0") is NOTHING
        if "signing_keys" in form.options:
            for name in client.keys("other:[rs]:*"):
                client.copy(name, name.replace(b"other:", b"test:"), replace=True)
            assert attacked.read("k0") is NOTHING


@kinds
@forms
def test_swapped_tags(server: Server, client: redis.Redis, kind: str, form: Form) -> None:
    """An entry whose recorded tag is replaced by another, which is not invalidated, is a miss."""
    with Attacked(kind, server, form, 1) as attacked:
        attacked.cache.set("beside", form.value(1), tags=["s", "u/v"])
        client.set(name_of("k0"), client.get(name_of("k0")).replace(b"t\0", b"s\0"))
        assert attacked.read("k0") is NOTHING
        assert attacked.cache.get("k0", NOTHING) is NOTHING


TYPES: dict[str, Callable[[redis.Redis, str], object]] = {
    "list": lambda client, name: client.rpush(name, "a", "b"),
    "hash": lambda client, name: client.hset(name, "a", "b"),
    "set": lambda client, name: client.sadd(name, "a"),
    "sorted set": lambda client, name: client.zadd(name, {"a": 1}),
    "stream": lambda client, name: client.xadd(name, {"a": "b"}),
}
PLACES = {"entry": "test:e:k0", "stamp": "test:s:{t}", "root": "", "lease": "test:l:k0"}


@kinds
@forms
@pytest.mark.parametrize("place", PLACES)
def test_another_type_in_its_place(server: Server, client: redis.Redis, kind: str, form: Form, place: str) -> None:
    """Another type where an entry, a stamp or a lease should be is no error: a miss, but for the lease."""
    with Attacked(kind, server, form, 1) as attacked:
        for fill in TYPES.values():
            name = PLACES[place] or client.keys("test:r:*")[0]
            client.delete(name)
            fill(client, name)
            expected = attacked.values["k0"] if place == "lease" else NOTHING
            assert attacked.read("k0") == expected
            loaded = attacked.cache.get_or_set("k0", lambda: b"loaded", tags=["t"])
            assert loaded in (b"loaded", attacked.values["k0"])
            client.delete(name)
            attacked.cache.invalidate("t")
            assert attacked.cache.set("k0", attacked.values["k0"], tags=["t", "u/v"], computed=False)
            assert attacked.read("k0") == attacked.values["k0"]


@kinds
@pytest.mark.parametrize("codec", ["pickle", "msgpack", "json"])
def test_rotation(server: Server, kind: str, codec: str) -> None:
    """The old key is accepted beside the new one, which signs; once it is removed its entries are misses."""
    events: list[Event] = []
    with (
        opened(kind, server.url, codec=codec, signing_keys=KEYS[0]) as before,
        opened(kind, server.url, codec=codec, signing_keys=KEYS) as prepared,
        opened(kind, server.url, codec=codec, signing_keys=[KEYS[1], KEYS[0]]) as during,
        opened(kind, server.url, codec=codec, signing_keys=KEYS[1], on_event=events.append) as after,
    ):
        before.set_many({"a": ["old"], "b": ["old"]}, tags=["t"])
        assert during.get_many(["a", "b"], tags=["t"]) == {"a": ["old"], "b": ["old"]}
        during.set("b", ["new"], tags=["t"], computed=False)
        assert [after.get(key, "none", tags=["t"]) for key in "ab"] == ["none", ["new"]]
        assert events == [Miss("a", Why.UNDECODABLE), Hit("b")]
        assert [prepared.get(key, "none", tags=["t"]) for key in "ab"] == [["old"], ["new"]]
        assert [before.get(key, "none", tags=["t"]) for key in "ab"] == [["old"], "none"]
        assert after.get_or_set("a", lambda: ["loaded"], tags=["t"]) == ["loaded"]
        assert [during.get(key) for key in "ab"] == [["loaded"], ["new"]]


def test_there_are_more_than_ten_thousand() -> None:
    """What the numbers above come to."""
    assert len(FORMS) * len(KINDS) * 2 * EACH > 10_000
    assert COUNTER == 1
