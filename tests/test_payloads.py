"""From a value to bytes and back: signing, pickle, compression, codecs of one's own, typed values."""

from __future__ import annotations

import dataclasses
import datetime as dt
import importlib.util
import os
import pickle
import secrets
import sys
import types
import uuid
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pydantic
import pytest
import redis
from servers import Server

from unstale import Cache, remembering
from unstale.core import codecs, compression
from unstale.core.codecs import COUNTER, PICKLE, RAW
from unstale.core.entry import Draft
from unstale.core.keys import Names
from unstale.core.layout import CODEC_AT, COMPRESSION_AT, STALE_TTL_AT, TIMES_AT
from unstale.core.signing import Signer
from unstale.errors import ConfigurationError, DecodeError, EncodeError, StoreFullError
from unstale.events import Event, Miss, Refused, Why
from unstale.options import make_keyspace
from unstale.stores.memory import MemoryStore

KEY = secrets.token_urlsafe(48)
OTHER = secrets.token_urlsafe(48)
Open = Callable[..., Cache]


@pytest.fixture
def store() -> MemoryStore:
    """One store for all caches of a test."""
    return MemoryStore()


@pytest.fixture
def opened(store: MemoryStore, events: list[Event]) -> Iterator[Open]:
    """Makes caches on the one store."""

    def make(**options: Any) -> Cache:
        return Cache(store, make_keyspace({"namespace": "test", "on_event": events.append, **options}))

    with remembering():
        yield make


def entry(store: MemoryStore, name: bytes = b"test:e:k") -> bytes:
    """An entry's bytes."""
    value = store._cells[name].value
    assert value is not None
    return value


def replace(store: MemoryStore, data: bytes, name: bytes = b"test:e:k") -> None:
    """Write to the store as somebody else might."""
    store._cells.setdefault(name, dataclasses.replace(store._cells[b"test:e:k"])).value = data


class Trap:
    """Unpickled, it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.mark),))


# Signing


def test_pickle_without_keys() -> None:
    """Pickle without a key is refused: who can write to Redis could run code."""
    with pytest.raises(ConfigurationError, match="signing_keys"):
        Cache.from_url("memory://", codec="pickle")


@pytest.mark.parametrize(
    "keys",
    [
        "secret",
        "a" * 32,
        b"a" * 64,
        "abc" * 20,
        "",
        b"",
        [],
        (),
        [""],
        pytest.param([KEY, "secret"], id="one that is and one that is not"),
        [None],
        [5],
        pytest.param(bytearray(KEY, "ascii"), id="bytearray"),
        "ä" * 16,
        "8de7a0a0af9b3623",
    ],
    ids=repr,
)
def test_weak_keys(keys: Any) -> None:
    """What can be guessed, or is no key, is refused, and the error does not repeat it."""
    with pytest.raises(ConfigurationError) as caught:
        Cache.from_url("memory://", signing_keys=keys)
    assert "abcabc" not in str(caught.value)


def test_signing_keys_of_another_type() -> None:
    """What is no str, bytes or list of them is refused in the same way."""
    with pytest.raises(ConfigurationError):
        Cache.from_url("memory://", signing_keys=5)  # type: ignore[arg-type]


@pytest.mark.parametrize("make", [secrets.token_urlsafe, secrets.token_hex, secrets.token_bytes])
def test_random_keys(make: Callable[[int], Any]) -> None:
    """What the standard library draws is taken, in each alphabet."""
    for _ in range(50):
        Cache.from_url("memory://", signing_keys=make(32))


VALUES = [{"a": [1, None, "x"]}, b"raw", "text", 5, -5, 2**60, None, True, [b"x"], 1.5]
NOT_JSON = [[b"x"]]


@pytest.mark.parametrize(
    ("codec", "value"),
    [
        pytest.param(codec, value, id=f"{codec}-{value!r}")
        for codec in ("msgpack", "pickle", "json")
        for value in VALUES
        if codec != "json" or value not in NOT_JSON
    ],
)
def test_signed_values(cache_of: Open, codec: str, value: Any) -> None:
    """Each kind of value is signed, stored and served, on each store and by each verb."""
    cache = cache_of(signing_keys=KEY, codec=codec)
    assert cache.set("set", value, tags=["a"]) is True
    assert cache.add("add", value, tags=["a"]) is True
    assert cache.set_many({"many": value, "more": value}, tags=["a"]) == []
    cache.get_or_set("loaded", lambda: value, tags=["a"])
    cache.get_or_set_many(["batch"], lambda keys: dict.fromkeys(keys, value), tags=["a"])
    keys = ["set", "add", "many", "more", "loaded", "batch"]
    assert cache.get_many(keys, tags=["a"]) == dict.fromkeys(keys, value)
    cache.invalidate("a")
    assert cache.get_many(keys, tags=["a"]) == {}


@pytest.fixture
def cache_of(url: str, events: list[Event]) -> Iterator[Open]:
    """Makes caches on each kind of store."""
    made: list[Cache] = []

    def make(**options: Any) -> Cache:
        made.append(Cache.from_url(url, **{"namespace": "test", "on_event": events.append, "timeout": 2.0, **options}))
        return made[-1]

    with remembering():
        yield make
    for one in made:
        one.close()


def test_signed_set_without_a_look(cache_of: Open) -> None:
    """A set without a look is signed under the stamps that stand: known, missing, and changed since."""
    cache = cache_of(signing_keys=KEY, codec="pickle")
    for number in range(3):
        assert cache.set("k", {number}, tags=["a", "b"]) is True
        assert cache.get("k", tags=["a", "b"]) == {number}
        cache.invalidate("a")
        assert cache.scope("x").set("k", {number}) is True
        assert cache.scope("x").get("k") == {number}
        assert cache.set("l", {number}) is True
        assert cache.get("l") == {number}


def test_signed_set_after_an_invalidation_is_refused(cache_of: Open, events: list[Event]) -> None:
    """A set of what was computed before an invalidation is refused, and what stood there goes."""
    cache = cache_of(signing_keys=KEY)
    cache.set("k", ["first"], tags=["b"])
    assert cache.get("k", tags=["a"]) is None
    cache.invalidate("a")
    assert cache.set("k", ["second"], tags=["a"]) is False
    assert Refused("k", Why.STALE) in events
    assert [cache.get("k", tags=["b"]), cache.get("k")] == [None, None]


def test_signed_touch(cache_of: Open) -> None:
    """A touch, which changes the times in place, leaves the signature valid."""
    cache = cache_of(signing_keys=KEY, codec="pickle")
    cache.set("k", {1}, tags=["a"])
    cache.get_or_set("l", lambda: {1}, tags=["a"], stale_ttl=60)
    assert [cache.touch("k", 1000), cache.touch("l", 1000)] == [True, True]
    assert [cache.get("k", tags=["a"]), cache.get("l", tags=["a"])] == [{1}, {1}]
    assert cache.ttl("k") == pytest.approx(1000, abs=5)


def test_signed_caches_count(cache_of: Open) -> None:
    """Counters are counted in place, signed they are not."""
    cache = cache_of(signing_keys=KEY, codec="pickle")
    assert [cache.incr("n", initial=0), cache.incr("n"), cache.get("n")] == [1, 2, 2]
    cache.set("m", 5, tags=["a"])
    assert cache.incr("m", tags=["a"]) == 6


def test_signed_soft_stale(cache_of: Open) -> None:
    """A signed value is served while it is loaded anew, and where loading it fails."""
    cache = cache_of(signing_keys=KEY, codec="pickle")
    cache.get_or_set("k", lambda: {1}, tags=["a"], stale_ttl=60)
    cache.invalidate("a", soft=True)

    def fail() -> Any:
        raise OSError

    assert cache.get_or_set("k", fail, tags=["a"], stale_ttl=60) == {1}


def test_signed_inheritance(cache_of: Open) -> None:
    """A signed value that was computed from cached ones carries their tags."""
    cache = cache_of(signing_keys=KEY)
    outer = lambda: [cache.get_or_set("inner", lambda: ["x"], tags=["a"])]  # noqa: E731 - asked twice
    assert [cache.get_or_set("k", outer), cache.get_or_set("k", outer)] == [[["x"]], [["x"]]]
    cache.invalidate("a")
    assert cache.has_key("k") is False


def test_signed_set_on_a_full_server(own_server: Server) -> None:
    """A signed value that finds no room leaves no old one, as an unsigned one does."""
    with Cache.from_url(own_server.url, namespace="test", timeout=5.0, signing_keys=KEY) as cache:
        cache.set("k", ["old"], tags=["t"])
        with redis.Redis(port=own_server.port) as client:
            client.config_set("maxmemory", 1)
            with pytest.raises(StoreFullError):
                cache.set("k", ["new"], tags=["t"])
            client.config_set("maxmemory", 0)
        assert cache.get("k", tags=["t"]) is None


UNSIGNED_TIMES = range(TIMES_AT, STALE_TTL_AT)
"""Created at and ttl, which `touch` changes, are not signed; nothing is decoded by them."""


def test_tampering(opened: Open, store: MemoryStore, tmp_path: Path) -> None:
    """Whatever byte of a signed entry is changed, the value is a miss, and never unpickled."""
    cache = opened(signing_keys=KEY, codec="pickle")
    mark = tmp_path / "mark"
    cache.set("k", Trap(mark), tags=["a"])
    data = entry(store)
    positions = [at for at in range(len(data)) if at not in UNSIGNED_TIMES]
    for at in positions:
        for bit in (1, 0x80):
            changed = bytearray(data)
            changed[at] ^= bit
            replace(store, bytes(changed))
            assert cache.get("k", "miss", tags=["a"]) == "miss"
            assert cache.get("k", "miss") == "miss"
            assert not mark.exists()
    replace(store, data)
    cache.get("k", tags=["a"])
    assert mark.exists()


def test_tampering_with_what_was_read_before(opened: Open, store: MemoryStore, tmp_path: Path) -> None:
    """That an entry was opened once opens nothing that differs from it."""
    cache = opened(signing_keys=KEY, codec="pickle")
    mark = tmp_path / "mark"
    cache.set("k", Trap(mark), tags=["a"])
    data = entry(store)
    for at in range(len(data)):
        if at in UNSIGNED_TIMES:
            continue
        replace(store, data)
        for _ in range(2):
            cache.get("k", tags=["a"])
            mark.rmdir()
        changed = bytearray(data)
        changed[at] ^= 1
        replace(store, bytes(changed))
        assert cache.get("k", "miss", tags=["a"]) == "miss"
        assert not mark.exists()


def test_a_pickle_that_was_read_before_and_cannot_be_any_more(opened: Open) -> None:
    """A miss, also where its signature needs no second look."""
    cache = opened(signing_keys=KEY, codec="pickle")
    _Moody.refuses = False
    cache.set("k", _Moody(), tags=["a"])
    for _ in range(3):
        assert isinstance(cache.get("k", tags=["a"]), _Moody)
    _Moody.refuses = True
    assert cache.get("k", "miss", tags=["a"]) == "miss"


class _Moody:
    """Can be unpickled only while it likes."""

    refuses = False

    def __getstate__(self) -> str:
        return "state"

    def __setstate__(self, _: object) -> None:
        if self.refuses:
            raise ValueError


def repaired(data: bytes, size: int) -> bytes:
    """The bytes with a checksum that is right: who tampers can compute one."""
    check = zlib.crc32(data[size:], data[CODEC_AT])
    return data[:44] + check.to_bytes(4) + data[48:]


def test_tampering_with_a_right_checksum(opened: Open, store: MemoryStore, tmp_path: Path) -> None:
    """Nor does it help to put the checksum right."""
    cache = opened(signing_keys=KEY, codec="pickle")
    mark = tmp_path / "mark"
    cache.set("k", Trap(mark), tags=["a"])
    data = entry(store)
    size = data.index(b"a\0k\0") + 4
    for at in range(len(data)):
        if at in UNSIGNED_TIMES or 44 <= at < 48:
            continue
        changed = bytearray(data)
        changed[at] ^= 1
        replace(store, repaired(bytes(changed), size))
        assert cache.get("k", "miss", tags=["a"]) == "miss"
        assert not mark.exists()


@pytest.mark.parametrize("end", range(1, 40))
def test_cut_short(opened: Open, store: MemoryStore, end: int) -> None:
    """A signed entry that is cut short, also with a right checksum, is a miss."""
    cache = opened(signing_keys=KEY)
    cache.set("k", ["value"], tags=["a"])
    data = entry(store)
    size = data.index(b"a\0k\0") + 4
    replace(store, repaired(data[:-end], min(size, len(data) - end)))
    assert cache.get("k", "miss", tags=["a"]) == "miss"


def test_moved_to_another_key(opened: Open, store: MemoryStore) -> None:
    """A signed entry is worth nothing under another key, also if the key in it is changed."""
    cache = opened(signing_keys=KEY)
    cache.set("k", ["value"])
    cache.set("l", ["other"])
    data = entry(store)
    replace(store, data, b"test:e:l")
    assert cache.get("l", "miss") == "miss"
    replace(store, data.replace(b"k\0", b"l\0"), b"test:e:l")
    assert cache.get("l", "miss") == "miss"


def test_moved_to_another_namespace(opened: Open, store: MemoryStore) -> None:
    """Nor in another namespace with the same key of signing, though the stamps are copied too."""
    opened(signing_keys=KEY).set("k", ["value"], tags=["a"])
    for name in list(store._cells):
        replace(store, entry(store, name), name.replace(b"test:", b"elsewhere:"))
    assert opened(signing_keys=KEY, namespace="elsewhere").get("k", "miss", tags=["a"]) == "miss"
    assert opened(signing_keys=KEY).get("k", tags=["a"]) == ["value"]


def test_tags_taken_away(opened: Open, store: MemoryStore) -> None:
    """A signed entry cannot be freed of a tag, nor of its recorded stamp's staleness."""
    cache = opened(signing_keys=KEY)
    cache.set("k", ["value"], tags=["a"])
    data, old = entry(store), entry(store, b"test:s:{a}")
    cache.invalidate("a")
    replace(store, data.replace(old, entry(store, b"test:s:{a}")))
    assert cache.get("k", "miss", tags=["a"]) == "miss"


FOREIGN: dict[str, tuple[dict[str, Any], Any, dict[str, Any]]] = {
    "unsigned msgpack": ({}, ["v"], {"signing_keys": KEY}),
    "unsigned raw": ({}, b"v", {"signing_keys": KEY}),
    "unsigned json": ({"codec": "json"}, ["v"], {"signing_keys": KEY}),
    "unsigned compressed": ({"compression": "zlib"}, ["v" * 5000], {"signing_keys": KEY}),
    "signed msgpack, no key": ({"signing_keys": KEY}, ["v"], {}),
    "signed raw, no key": ({"signing_keys": KEY}, b"v", {}),
    "signed pickle, no key": ({"signing_keys": KEY, "codec": "pickle"}, ["v"], {}),
    "another key": ({"signing_keys": OTHER}, ["v"], {"signing_keys": KEY}),
    "another key, raw": ({"signing_keys": OTHER}, b"v", {"signing_keys": KEY}),
    "another key, pickle": ({"signing_keys": OTHER, "codec": "pickle"}, ["v"], {"signing_keys": KEY}),
}


@pytest.mark.parametrize(("writer", "value", "reader"), FOREIGN.values(), ids=FOREIGN)
def test_not_ours_to_open(opened: Open, events: list[Event], writer: Any, value: Any, reader: Any) -> None:
    """What is not signed with a key of the reader's is a miss, to be loaded anew; and the other way round."""
    opened(**writer).set("k", value, tags=["a"])
    cache = opened(**reader)
    assert cache.get("k", "miss", tags=["a"]) == "miss"
    assert cache.get_many(["k"], tags=["a"]) == {}
    assert Miss("k", Why.UNDECODABLE) in events
    assert cache.get_or_set("k", lambda: ["new"], tags=["a"]) == ["new"]
    assert cache.get("k", tags=["a"]) == ["new"]


def test_unsigned_pickle_is_never_opened(opened: Open, store: MemoryStore, tmp_path: Path) -> None:
    """A pickle that anybody wrote is opened neither by a cache with keys nor by one without."""
    mark = tmp_path / "mark"
    body = pickle.dumps(Trap(mark))
    signed = opened(signing_keys=KEY, codec="pickle")
    plain = opened()
    plain.set("k", 1, tags=["a"])
    stamps = (entry(store, b"test:s:{a}"), entry(store, Names("test").root_of(b"k")))
    tagset = Names("test").tagset("", ("a",))
    draft = Draft(b"k", tagset, PICKLE, body, 0.0, 300.0, 0.0, fenced=True)
    replace(store, draft.seal(store.identity, stamps))
    assert [one.get("k", "miss", tags=["a"]) for one in (signed, plain)] == ["miss", "miss"]
    assert not mark.exists()


def test_stale_pickle_is_not_opened(opened: Open, tmp_path: Path) -> None:
    """Nor is a stale one opened: the stamps come first."""
    cache = opened(signing_keys=KEY, codec="pickle")
    cache.set("k", Trap(tmp_path / "mark"), tags=["a"])
    cache.invalidate("a")
    assert cache.get("k", tags=["a"]) is None
    assert not (tmp_path / "mark").exists()


def test_compressed_counter_is_not_opened(opened: Open, store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counters need no signature, so nothing else may be done with them: none is decompressed."""
    cache = opened(signing_keys=KEY)
    cache.set("k", 5, tags=["a"])
    stamps = (entry(store, b"test:s:{a}"), entry(store, Names("test").root_of(b"k")))
    body = (8).to_bytes(4) + zlib.compress((7).to_bytes(8))
    draft = Draft(b"k", Names("test").tagset("", ("a",)), COUNTER, body, 0.0, 300.0, 0.0, fenced=True, compression=1)
    replace(store, draft.seal(store.identity, stamps))
    calls: list[bytes] = []
    real = compression.decompress
    monkeypatch.setattr(compression, "decompress", lambda number, data: calls.append(data) or real(number, data))
    cache.get("k", tags=["a"])
    assert calls == []


def test_rotation(opened: Open) -> None:
    """The first key signs, all are accepted, and an old one that was dropped is not."""
    old, both, new = (opened(signing_keys=keys) for keys in (KEY, [OTHER, KEY], OTHER))
    old.set("k", ["old"])
    assert [both.get("k"), new.get("k")] == [["old"], None]
    both.set("k", ["new"])
    assert [both.get("k"), new.get("k"), old.get("k")] == [["new"], ["new"], None]


def test_the_same_key_twice(opened: Open) -> None:
    """A key that is given twice is a key."""
    assert opened(signing_keys=[KEY, KEY]).set("k", ["v"]) is True
    assert opened(signing_keys=(KEY,)).get("k") == ["v"]


def test_key_as_text_and_bytes(opened: Open) -> None:
    """A key as str is the key of its bytes."""
    opened(signing_keys=KEY).set("k", ["v"])
    assert opened(signing_keys=KEY.encode()).get("k") == ["v"]


def test_signer_says_no_secret() -> None:
    """Neither a signer nor a cache shows its key."""
    cache = Cache.from_url("memory://", signing_keys=KEY)
    assert KEY not in repr(cache) + repr(Signer(KEY, "test")) + repr(cache._space)


# Pickle


class Point:
    """A class that only pickle can carry."""

    def __init__(self, x: int) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and other.x == self.x

    __hash__ = None  # type: ignore[assignment]


def test_pickle_keeps_types(cache_of: Open) -> None:
    """Pickle carries what other codecs do not, with its type."""
    cache = cache_of(signing_keys=KEY, codec="pickle")
    value = {"set": {1, 2}, "tuple": (1, 2), "at": dt.datetime(2024, 2, 29, tzinfo=dt.UTC), "point": Point(3)}
    cache.set("k", value)
    assert cache.get("k") == value


def test_pickle_of_a_class_that_is_gone(opened: Open, events: list[Event]) -> None:
    """A value whose class has gone since is a miss."""
    module = types.ModuleType("gone_since")
    module.Gone = type("Gone", (), {"__module__": "gone_since"})  # type: ignore[attr-defined]
    sys.modules["gone_since"] = module
    cache = opened(signing_keys=KEY, codec="pickle")
    cache.set("k", module.Gone())
    del sys.modules["gone_since"]
    assert cache.get("k", "miss") == "miss"
    assert Miss("k", Why.UNDECODABLE) in events


class Stubborn:
    """Raises when it is pickled."""

    def __reduce__(self) -> Any:
        raise LookupError("value of its own")


@pytest.mark.parametrize("value", [lambda: 1, Stubborn(), (one for one in ())], ids=["lambda", "raises", "generator"])
def test_pickle_of_what_cannot_be_pickled(opened: Open, value: Any) -> None:
    """What cannot be pickled is an EncodeError, which does not repeat the value."""
    cache = opened(signing_keys=KEY, codec="pickle")
    with pytest.raises(EncodeError) as caught:
        cache.set("k", value)
    assert "of its own" not in str(caught.value)
    with pytest.raises(EncodeError):
        cache.get_or_set("k", lambda: value)
    assert cache.has_key("k") is False


def test_set_that_cannot_be_encoded_leaves_the_old_value(opened: Open) -> None:
    """A set that raises EncodeError has sent nothing."""
    cache = opened()
    cache.set("k", "old")
    with pytest.raises(EncodeError):
        cache.set("k", object())
    assert cache.get("k") == "old"


# Compression


LARGE = ["compressible " * 1000]
libraries = pytest.mark.parametrize(("name", "number"), [("zlib", 1), ("lz4", 2), ("zstd", 3), ("auto", 2)])


@libraries
def test_compression(opened: Open, store: MemoryStore, name: str, number: int) -> None:
    """Each library makes a large value smaller, and gives it back, to caches without compression too."""
    cache = opened(compression=name)
    cache.set("k", LARGE)
    data = entry(store)
    assert [data[COMPRESSION_AT], len(data) < 2000] == [number, True]
    assert [cache.get("k"), opened().get("k"), opened(compression="zlib").get("k")] == [LARGE] * 3


@libraries
@pytest.mark.parametrize("codec", ["msgpack", "json", "pickle", "raw"])
def test_compression_with_each_codec(cache_of: Open, codec: str, name: str, number: int) -> None:
    """On each store, with each codec, signed."""
    cache = cache_of(compression=name, codec=codec, signing_keys=KEY)
    value = {"raw": b"x" * 5000}.get(codec, LARGE)
    cache.get_or_set("k", lambda: value, tags=["a"])
    assert cache.get("k", tags=["a"]) == value
    cache.set("k", value, tags=["a"])
    assert cache.get("k", tags=["a"]) == value


@pytest.mark.parametrize("size", [0, 1, 1023])
def test_small_values_stay(opened: Open, store: MemoryStore, size: int) -> None:
    """Small values are not compressed."""
    opened(compression="zlib").set("k", b"x" * size)
    assert entry(store)[COMPRESSION_AT] == 0


def test_threshold(opened: Open, store: MemoryStore) -> None:
    """From `compress_above` bytes on, as its documentation says, a value is compressed."""
    cache = opened(compression="zlib", compress_above=100)
    cache.set("k", b"x" * 99)
    assert entry(store)[COMPRESSION_AT] == 0
    cache.set("k", b"x" * 101)
    assert entry(store)[COMPRESSION_AT] == 1
    cache.set("k", b"x" * 100)
    assert entry(store)[COMPRESSION_AT] == 1


@libraries
def test_incompressible_stays(opened: Open, store: MemoryStore, name: str, number: int) -> None:
    """What compression does not make smaller stays as it is."""
    value = os.urandom(5000)
    opened(compression=name).set("k", value)
    assert entry(store)[COMPRESSION_AT] == 0
    assert opened().get("k") == value


def test_counters_stay(cache_of: Open) -> None:
    """Counters are counted in place, so they are never compressed."""
    cache = cache_of(compression="zlib", compress_above=0)
    cache.set("n", 0)
    assert [cache.incr("n"), cache.incr("n", 41), cache.get("n")] == [1, 42, 42]


@pytest.mark.parametrize("bad", ["gzip", "", "LZ4", 5, True])
def test_no_such_compression(bad: Any) -> None:
    """A name that nobody knows is refused, with those that are known."""
    with pytest.raises(ConfigurationError, match=r"Choose one of|no compression"):
        Cache.from_url("memory://", compression=bad)


@pytest.mark.parametrize("bad", [-1, "10", 1.5, True, None])
def test_bad_threshold(bad: Any) -> None:
    """The threshold is a number of bytes."""
    with pytest.raises(ConfigurationError, match="compress_above"):
        Cache.from_url("memory://", compress_above=bad)


@pytest.fixture
def without_libraries(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Takes lz4 and zstandard away."""
    find = importlib.util.find_spec

    def take_away() -> None:
        monkeypatch.setattr(compression, "_made", {})
        gone = ("lz4", "zstandard")
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name, *rest: None if name in gone else find(name, *rest)
        )

    return take_away


@pytest.mark.parametrize("name", ["lz4", "zstd"])
def test_library_that_is_missing(without_libraries: Callable[[], None], name: str) -> None:
    """A library that is not installed is named, with how to install it."""
    without_libraries()
    with pytest.raises(ConfigurationError, match=rf"pip install 'unstale\[{name}\]'"):
        Cache.from_url("memory://", compression=name)


def test_auto_without_libraries(without_libraries: Callable[[], None], opened: Open, store: MemoryStore) -> None:
    """The choice falls on zlib where there is nothing else."""
    without_libraries()
    opened(compression="auto").set("k", LARGE)
    assert entry(store)[COMPRESSION_AT] == compression.ZLIB


@pytest.mark.parametrize("name", ["lz4", "zstd"])
def test_read_without_its_library(without_libraries: Callable[[], None], opened: Open, name: str) -> None:
    """What another host compressed with a library that is missing here is a miss."""
    opened(compression=name).set("k", LARGE)
    without_libraries()
    assert opened().get("k", "miss") == "miss"
    assert opened().get_or_set("k", lambda: ["new"]) == ["new"]


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("size", [0, 1, 9_999, 10_001, 1 << 20, 512 << 20, (512 << 20) + 1, (1 << 32) - 1])
def test_bombs(number: int, size: int) -> None:
    """A body that announces another size than it has is refused."""
    made = compression._compressor(number)
    assert made is not None
    body = made.compress(bytes(10_000))
    assert compression.decompress(number, (10_000).to_bytes(4) + body) == bytes(10_000)
    with pytest.raises(DecodeError):
        compression.decompress(number, size.to_bytes(4) + body)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_bomb_that_is_larger_than_announced(number: int) -> None:
    """Nothing larger than announced is made of a body, however well it is packed."""
    made = compression._compressor(number)
    assert made is not None
    with pytest.raises(DecodeError):
        compression.decompress(number, (100).to_bytes(4) + made.compress(bytes(64 << 20)))


@pytest.mark.parametrize("number", [0, 1, 2, 3, 4, 255])
@pytest.mark.parametrize("body", [b"", b"\0", b"\0\0\0\x05", b"\0\0\0\x05garbage", b"\xff" * 40], ids=repr)
def test_garbage(number: int, body: bytes) -> None:
    """What no library made, or one that nobody knows, is refused."""
    with pytest.raises(DecodeError):
        compression.decompress(number, body)


# Codecs of one's own


class Reversed:
    """A codec that writes texts backwards."""

    number = 64

    def encode(self, value: Any) -> bytes:
        return value[::-1].encode()

    def decode(self, payload: memoryview) -> Any:
        return bytes(payload).decode()[::-1]


def test_own_codec(cache_of: Open) -> None:
    """A codec is an object with a number, `encode` and `decode`."""
    cache = cache_of(codec=Reversed())
    assert cache.set("k", "text", tags=["a"]) is True
    assert cache.get_or_set("l", lambda: "loaded") == "loaded"
    assert cache.get_many(["k", "l"]) == {"k": "text", "l": "loaded"}


def test_own_codec_with_all_else(opened: Open, store: MemoryStore) -> None:
    """It may be signed and compressed; bytes and counters do not go through it."""
    cache = opened(codec=Reversed(), signing_keys=KEY, compression="zlib")
    cache.set_many({"k": "x" * 5000, "l": 5, "m": b"raw"})
    assert [entry(store, name)[CODEC_AT] for name in (b"test:e:k", b"test:e:l", b"test:e:m")] == [64, COUNTER, RAW]
    assert cache.get_many(["k", "l", "m"]) == {"k": "x" * 5000, "l": 5, "m": b"raw"}


def test_own_codec_that_others_lack(opened: Open) -> None:
    """To a cache without it, or with another of another number, its values are misses."""
    opened(codec=Reversed()).set("k", "text")
    another = Reversed()
    another.number = 65
    assert [opened().get("k", "miss"), opened(codec=another).get("k", "miss")] == ["miss", "miss"]


@pytest.mark.parametrize("number", [0, 1, 2, 3, 4, 63, 256, -1, "64", 64.0, True, None])
def test_own_codec_with_a_bad_number(number: Any) -> None:
    """Numbers below 64 are unstale's own; what is no number is none."""
    codec = Reversed()
    codec.number = number
    with pytest.raises(ConfigurationError, match="64 to 255"):
        Cache.from_url("memory://", codec=codec)


@pytest.mark.parametrize(
    "codec", [None, 5, object(), "msgpak", "", Reversed], ids=lambda value: repr(value).partition(" at 0x")[0]
)
def test_no_codec(codec: Any) -> None:
    """What is no codec is refused, a class in place of an object as well."""
    with pytest.raises(ConfigurationError):
        Cache.from_url("memory://", codec=codec)


def own(encode: Callable[[Any], Any], decode: Callable[[Any], Any] = bytes) -> Any:
    """A codec made of two functions."""
    return types.SimpleNamespace(number=100, encode=encode, decode=decode)


def raising(error: Exception) -> Callable[[Any], Any]:
    """A function that raises."""

    def raised(value: Any) -> Any:
        raise error

    return raised


@pytest.mark.parametrize(
    "encode",
    [raising(LookupError("a value")), raising(EncodeError("own")), raising(StopIteration()), str, bytearray, len],
    ids=["raises", "raises EncodeError", "raises StopIteration", "str", "bytearray", "int"],
)
def test_own_codec_that_cannot_encode(opened: Open, encode: Callable[[Any], Any]) -> None:
    """Whatever it raises, or returns other than bytes, is an EncodeError, without the value."""
    cache = opened(codec=own(encode))
    for call in (lambda: cache.set("k", ["a"]), lambda: cache.get_or_set("k", lambda: ["a"])):
        with pytest.raises(EncodeError) as caught:
            call()
        assert "a value" not in str(caught.value)
    assert cache.has_key("k") is False


@pytest.mark.parametrize("error", [LookupError(), DecodeError(), StopIteration(), RecursionError(), MemoryError()])
def test_own_codec_that_cannot_decode(opened: Open, events: list[Event], error: Exception) -> None:
    """Whatever it raises makes a miss."""
    cache = opened(codec=own(lambda value: b"x", raising(error)))
    cache.set("k", ["a"], tags=["a"])
    assert [cache.get("k", "miss", tags=["a"]), cache.get_or_set("k", lambda: ["new"], tags=["a"])] == ["miss", ["new"]]
    assert Miss("k", Why.UNDECODABLE) in events


# Typed values


@dataclasses.dataclass
class Row:
    """A dataclass."""

    id: uuid.UUID
    at: dt.datetime
    names: list[str]


class Struct(msgspec.Struct):
    """A msgspec struct."""

    id: uuid.UUID
    at: dt.datetime
    names: list[str]


class Model(pydantic.BaseModel):
    """A pydantic model."""

    id: uuid.UUID
    at: dt.datetime
    names: list[str]


class Nested(pydantic.BaseModel):
    """A model of models."""

    rows: list[Model]
    day: dt.date


IDENTITY = uuid.UUID(int=7)
AT = dt.datetime(2024, 2, 29, 12, 30, tzinfo=dt.UTC)
FIELDS: dict[str, Any] = {"id": IDENTITY, "at": AT, "names": ["a", "b"]}
TYPED: dict[str, tuple[Any, Any]] = {
    "dataclass": (Row, Row(**FIELDS)),
    "struct": (Struct, Struct(**FIELDS)),
    "model": (Model, Model(**FIELDS)),
    "model of models": (Nested, Nested(rows=[Model(**FIELDS)], day=dt.date(2024, 2, 29))),
    "list of dataclasses": (list[Row], [Row(**FIELDS), Row(**FIELDS)]),
    "list of structs": (list[Struct], [Struct(**FIELDS)]),
    "list of models": (list[Model], [Model(**FIELDS)]),
    "dict of dataclasses": (dict[str, Row], {"x": Row(**FIELDS)}),
    "dict of models": (dict[str, Model], {"x": Model(**FIELDS)}),
    "optional dataclass": (Row | None, Row(**FIELDS)),
    "optional model": (Model | None, Model(**FIELDS)),
    "none": (Row | None, None),
    "UUID": (uuid.UUID, IDENTITY),
    "datetime": (dt.datetime, AT),
    "date": (dt.date, dt.date(2024, 2, 29)),
    "set": (set[int], {1, 2}),
    "tuple": (tuple[int, str], (1, "a")),
    "int": (int, 5),
    "negative int": (int, -5),
    "bytes": (bytes, b"raw"),
    "str": (str, "text"),
    "bool": (bool, True),
    "empty list": (list[Row], []),
}
CODECS = ["msgpack", "json", "pickle"]
UNSUPPORTED = {("json", "set")}
typed = pytest.mark.parametrize(
    ("codec", "into", "value"),
    [
        pytest.param(codec, *TYPED[name], id=f"{codec}-{name}")
        for codec in CODECS
        for name in TYPED
        if (codec, name) not in UNSUPPORTED
    ],
)


@typed
def test_typed(opened: Open, codec: str, into: Any, value: Any) -> None:
    """A value comes back as what it was, from each verb that reads."""
    cache = opened(codec=codec, signing_keys=KEY)
    cache.set("k", value, tags=["a"])
    found = [
        cache.get("k", "miss", tags=["a"], into=into),
        cache.get("k", "miss", into=into),
        cache.get_or_set("k", lambda: "loaded", tags=["a"], into=into),
        cache.get_many(["k"], into=into).get("k", "miss"),
        cache.get_or_set_many(["k"], lambda keys: {}, into=into).get("k", "miss"),
    ]
    assert found == [value] * 5
    assert {type(one) for one in found} == {type(value)}


@dataclasses.dataclass
class Grown:
    """A row that has got a field since."""

    id: uuid.UUID
    at: dt.datetime
    names: list[str]
    needed: int


class GrownModel(Model):
    """A model that has got a field since."""

    needed: int


class GrownStruct(Struct):
    """A struct that has got a field since."""

    needed: int


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(
    ("value", "into"),
    [
        (Row(**FIELDS), Grown),
        (Model(**FIELDS), GrownModel),
        (Struct(**FIELDS), GrownStruct),
        ([Row(**FIELDS)], list[Grown]),
        ("text", int),
        ("text", Row),
        (5, Row),
        (b"raw", Row),
        (None, Row),
        ([1, 2], Row),
        ({"id": "no uuid", "at": "no date", "names": []}, Model),
    ],
    ids=repr,
)
def test_schema_that_changed(opened: Open, codec: str, value: Any, into: Any) -> None:
    """What is not of the type that is asked for now is a miss, to be loaded anew."""
    cache = opened(codec=codec, signing_keys=KEY)
    cache.set("k", value, tags=["a"])
    assert cache.get("k", "miss", tags=["a"], into=into) == "miss"
    assert cache.get_or_set("k", lambda: value, tags=["a"], into=into) == value


@pytest.mark.parametrize("codec", CODECS)
def test_field_that_is_gone(opened: Open, codec: str) -> None:
    """A field that the type has no more is left out."""
    cache = opened(codec=codec, signing_keys=KEY)
    cache.set("k", {"names": ["a"], "more": 1, "id": str(IDENTITY), "at": "2024-02-29T12:30:00Z"})
    assert cache.get("k", into=Row) == Row(IDENTITY, AT, ["a"])


class Aliased(pydantic.BaseModel):
    """A model whose field is called otherwise outside."""

    user_id: int = pydantic.Field(alias="userId")


class Computed(pydantic.BaseModel):
    """A model with a computed field, which takes no other fields than its own."""

    model_config = pydantic.ConfigDict(extra="forbid")
    width: int

    @pydantic.computed_field  # type: ignore[prop-decorator]
    @property
    def area(self) -> int:
        return self.width**2


class Strict(pydantic.BaseModel):
    """A model that converts nothing."""

    model_config = pydantic.ConfigDict(strict=True)
    id: uuid.UUID
    at: dt.datetime


class Generic(pydantic.RootModel[list[int]]):
    """A model that is a list."""


MODELS = {
    "alias": Aliased(userId=5),
    "computed field": Computed(width=3),
    "strict": Strict(id=IDENTITY, at=AT),
    "root": Generic([1, 2]),
}


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("value", MODELS.values(), ids=MODELS)
def test_models_of_all_kinds(opened: Open, codec: str, value: Any) -> None:
    """A pydantic model comes back, whatever it is called outside, computes, or refuses to convert."""
    cache = opened(codec=codec, signing_keys=KEY)
    cache.set("k", value)
    assert cache.get("k", "miss", into=type(value)) == value


class Mixed(msgspec.Struct):
    """A struct that holds a model."""

    model: Model


@pytest.mark.parametrize("codec", CODECS)
def test_model_in_a_struct(opened: Open, codec: str) -> None:
    """Kinds may be mixed."""
    cache = opened(codec=codec, signing_keys=KEY)
    cache.set("k", Mixed(Model(**FIELDS)))
    assert cache.get("k", "miss", into=Mixed) == Mixed(Model(**FIELDS))


@pytest.mark.parametrize("into", [5, "Row", Point, list[Point], Annotated[int, []]], ids=repr)
def test_type_that_no_value_can_be_made_into(opened: Open, into: Any) -> None:
    """A type of which nothing can ever be made is no reason for an error: a miss, each time."""
    cache = opened()
    cache.set("k", ["a"])
    assert cache.get("k", "miss", into=into) == "miss"


def test_own_codec_typed(opened: Open) -> None:
    """What a codec of one's own gives is made into the type, too."""
    cache = opened(codec=own(msgspec.json.encode, msgspec.json.decode))
    cache.set("k", Row(**FIELDS))
    assert cache.get("k", into=Row) == Row(**FIELDS)


def test_without_orjson(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without orjson msgspec does the same."""
    monkeypatch.setitem(sys.modules, "orjson", None)
    monkeypatch.setattr(codecs, "_made", {})
    cache = opened(codec="json")
    cache.set("k", [Model(**FIELDS)])
    assert cache.get("k", into=list[Model]) == [Model(**FIELDS)]


def test_codecs_convert_alike(opened: Open) -> None:
    """A text where the type has a number is judged alike by msgpack and JSON."""
    found = []
    for codec in ("msgpack", "json"):
        cache = opened(codec=codec)
        cache.set("k", {"needed": "5"})
        found.append(cache.get("k", "miss", into=dict[str, int]))
    assert found[0] == found[1]
