"""Nothing that was not signed here is opened, and what happens when the server is away."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.test import override_settings
from redis import Redis
from servers import Server

from unstale import remembering
from unstale.contrib.django import UnstaleCache
from unstale.core.codecs import COUNTER, PICKLE
from unstale.core.entry import Draft, parse
from unstale.core.freshness import names_blob
from unstale.core.keys import Names
from unstale.core.layout import CODEC_AT, FLAGS_AT, SIGNED
from unstale.core.signing import Signer
from unstale.errors import StoreError

KEY = "user:42:page"
NAME = b"django:e::1:user:42:page"
OTHER_NAME = b"django:e::1:user:42:other"


@pytest.fixture(autouse=True)
def in_a_request() -> Iterator[None]:
    """What one test remembers is not the next one's."""
    with remembering():
        yield


class Trap:
    """Makes a directory when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (self.mark,)


@pytest.fixture(params=["sync", "async"])
def get(request: pytest.FixtureRequest) -> Callable[[Any, str], list[Any]]:
    """All ways to read a key, of each kind."""

    def read(cache: Any, key: str) -> list[Any]:
        if request.param == "sync":
            return [cache.get(key, "miss"), cache.get_many([key]), cache.get_or_set(key, "loaded", 0)]
        return [
            async_to_sync(cache.aget)(key, "miss"),
            async_to_sync(cache.aget_many)([key]),
            async_to_sync(cache.aget_or_set)(key, "loaded", 0),
        ]

    return read


MISS = ["miss", {}, "loaded"]


def sealed(data: bytes, payload: bytes, *, codec: int = PICKLE, signer: Signer | None = None) -> bytes:
    """An entry like another, checksum and all, with a payload of somebody else's making."""
    head = parse(data)
    tagset = Names("django").recorded_tagset(head.tags)
    draft = Draft(head.key, tagset, codec, payload, head.created_at, head.ttl, 0.0, head.fenced, signer=signer)
    return draft.seal(head.identity, head.stamps)


def test_what_is_forged_is_opened_where_it_is_signed(backend: Any, server: Server, tmp_path: Path) -> None:
    """The forgeries below are right but for their signature: with the cache's own, the trap goes off."""
    backend.set(KEY, "value")
    with server.client as client:
        signer = backend.core._payloads.signer
        client.set(NAME, sealed(client.get(NAME), pickle.dumps(Trap(tmp_path / "mark")), signer=signer))
    backend.get(KEY)
    assert (tmp_path / "mark").exists()


@pytest.mark.parametrize("by", ["nobody", "another key", "a signature cut out", "a flag taken away", "a counter"])
def test_a_forged_pickle_is_a_miss(
    backend: Any, server: Server, tmp_path: Path, get: Callable[..., list[Any]], by: str
) -> None:
    """Without a signature of ours, nothing is unpickled: a miss, and no error."""
    backend.set(KEY, "value")
    trap = pickle.dumps(Trap(tmp_path / "mark"))
    with server.client as client:
        data = client.get(NAME)
        ours, theirs = backend.core._payloads.signer, Signer("somebody else's key, 0123456789abcdef", "django")
        signed = sealed(data, trap, signer=ours)
        at = len(sealed(data, b""))
        unflagged = bytearray(sealed(data, signed[at:]))
        forged = {
            "nobody": sealed(data, trap),
            "another key": sealed(data, trap, signer=theirs),
            "a signature cut out": signed[:at] + signed[at + 20 :],
            "a flag taken away": bytes(unflagged),
            "a counter": sealed(data, trap, codec=COUNTER),
        }[by]
        client.set(NAME, forged)
    assert get(backend, KEY) == MISS
    assert not (tmp_path / "mark").exists()


def test_an_unsigned_pickle_looks_as_described(backend: Any, server: Server) -> None:
    """The forgery by nobody has pickle's number and no flag: so the test above tests that."""
    backend.set(KEY, "value")
    with server.client as client:
        data = client.get(NAME)
    assert (data[CODEC_AT], data[FLAGS_AT] & SIGNED) == (PICKLE, SIGNED)
    unsigned = sealed(data, pickle.dumps("x"))
    assert (unsigned[CODEC_AT], unsigned[FLAGS_AT] & SIGNED) == (PICKLE, 0)


def test_swapped_entries_are_misses(backend: Any, server: Server, get: Callable[..., list[Any]]) -> None:
    """One user's signed entry under another's key is a miss."""
    backend.set_many({KEY: "page", "user:42:other": "other"})
    with server.client as client:
        page, other = client.mget([NAME, OTHER_NAME])
        client.mset({NAME: other, OTHER_NAME: page})
    assert [get(backend, KEY), get(backend, "user:42:other")] == [MISS, MISS]
    with server.client as client:
        client.mset({NAME: page, OTHER_NAME: other})
    assert backend.get_many([KEY, "user:42:other"]) == {KEY: "page", "user:42:other": "other"}


def test_an_entry_renamed_in_its_head_is_a_miss(backend: Any, server: Server, get: Callable[..., list[Any]]) -> None:
    """Nor does it help to write the other key into the head."""
    backend.set_many({KEY: "page", "user:42:pag2": "other"})
    with server.client as client:
        client.set(NAME, client.get(b"django:e::1:user:42:pag2").replace(b":1:user:42:pag2\0", b":1:user:42:page\0"))
        assert client.get(NAME).count(b":1:user:42:page\0") == 1
    assert get(backend, KEY) == MISS


def test_stamps_written_anew_are_a_miss(backend: Any, server: Server, get: Callable[..., list[Any]]) -> None:
    """An invalidated entry cannot be made fresh by writing the new stamps into it."""
    backend.set(KEY, "old")
    with server.client as client:
        before = [client.get(name) for name in sorted(client.keys("django:s:*"))]
        backend.invalidate("user:42")
        after = [client.get(name) for name in sorted(client.keys("django:s:*"))]
        data = client.get(NAME)
        for old, new in zip(before, after, strict=True):
            data = data.replace(old, new)
        assert data != client.get(NAME)
        client.set(NAME, data)
    assert get(backend, KEY) == MISS


SECRETS = ["first-secret-key-of-fifty-characters-0123456789abcd", "other-secret-key-of-fifty-characters-0123456789abcd"]


def under(server: Server, secret: str, *fallbacks: str) -> UnstaleCache:
    """The backend of a process whose settings have these keys."""
    with override_settings(SECRET_KEY=secret, SECRET_KEY_FALLBACKS=list(fallbacks)):
        return UnstaleCache(server.url, {"OPTIONS": {"TAG_PATTERNS": ["user:{id}:*"]}})


def test_a_changed_key_is_a_miss(server: Server, get: Callable[..., list[Any]]) -> None:
    """Entries signed with a SECRET_KEY that is gone are misses, and can be filled anew."""
    under(server, SECRETS[0]).set(KEY, "old")
    late = under(server, SECRETS[1])
    assert get(late, KEY) == MISS
    late.set(KEY, "new")
    assert late.get(KEY) == "new"


def test_fallbacks_are_accepted(server: Server) -> None:
    """SECRET_KEY_FALLBACKS read, SECRET_KEY writes."""
    first, rotated, last = under(server, SECRETS[0]), under(server, SECRETS[1], SECRETS[0]), under(server, SECRETS[1])
    first.set_many({KEY: "old", "user:42:other": "old"})
    rotated.set("user:42:other", "new")
    assert rotated.get_many([KEY, "user:42:other"]) == {KEY: "old", "user:42:other": "new"}
    assert last.get_many([KEY, "user:42:other"]) == {"user:42:other": "new"}


def test_keys_of_ones_own(server: Server) -> None:
    """SIGNING_KEYS stand in the place of SECRET_KEY."""
    options = {"SIGNING_KEYS": ["a key of the cache's own 0123456789"]}
    UnstaleCache(server.url, {"OPTIONS": options}).set("k", "value")
    with override_settings(SECRET_KEY=SECRETS[1]):
        assert UnstaleCache(server.url, {"OPTIONS": options}).get("k") == "value"
        assert UnstaleCache(server.url, {"OPTIONS": {}}).get("k") is None


# The server is away


@pytest.fixture(params=["valkey"])
def own_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server that the test may kill; one kind is enough."""
    with Server(request.param, tmp_path / "server") as started:
        yield started


@pytest.fixture(params=["sync", "async"])
def cut_off(request: pytest.FixtureRequest, own_server: Server) -> Callable[..., tuple[Any, Callable[..., Any]]]:
    """Makes a backend that has been used, whose server has died then; and calls its verbs."""

    def make(**options: Any) -> tuple[Any, Callable[..., Any]]:
        cache = UnstaleCache(own_server.url, {"OPTIONS": {"TAG_PATTERNS": ["user:{id}:*"], **options}})

        def call(verb: str, *arguments: Any, **named: Any) -> Any:
            if request.param == "sync":
                return getattr(cache, verb)(*arguments, **named)
            return async_to_sync(getattr(cache, "a" + verb))(*arguments, **named)

        call("set", KEY, 1)
        assert call("get", KEY) == 1
        own_server.kill()
        return cache, call

    return make


FAILING: dict[str, tuple[tuple[Any, ...], Any]] = {
    "get": ((KEY, "default"), "default"),
    "get_many": (([KEY],), {}),
    "has_key": ((KEY,), False),
    "get_or_set": ((KEY, 7), 7),
    "set": ((KEY, 7), False),
    "add": ((KEY, 7), False),
    "set_many": (({KEY: 7},), [KEY]),
    "touch": ((KEY, 100), False),
}


@pytest.mark.parametrize("verb", FAILING)
def test_ignored_exceptions(cut_off: Callable[..., Any], verb: str) -> None:
    """With IGNORE_EXCEPTIONS reads find nothing and sets store nothing."""
    _, call = cut_off(IGNORE_EXCEPTIONS=True)
    arguments, expected = FAILING[verb]
    assert call(verb, *arguments) == expected


@pytest.mark.parametrize("verb", FAILING)
def test_exceptions_that_are_not_ignored(cut_off: Callable[..., Any], verb: str) -> None:
    """Without, they raise, as Django's and django-redis's backends do."""
    _, call = cut_off()
    with pytest.raises(StoreError):
        call(verb, *FAILING[verb][0])


ALWAYS_RAISING: dict[str, tuple[Any, ...]] = {
    "invalidate": ("user:42",),
    "clear": (),
    "delete": (KEY,),
    "delete_many": ([KEY],),
    "delete_pattern": ("user:42:*",),
    "incr": (KEY,),
}


@pytest.mark.parametrize("verb", ALWAYS_RAISING)
def test_an_invalidation_never_passes_silently(cut_off: Callable[..., Any], verb: str) -> None:
    """What makes values stale, or must not happen twice, raises also with IGNORE_EXCEPTIONS."""
    _, call = cut_off(IGNORE_EXCEPTIONS=True)
    with pytest.raises(StoreError):
        call(verb, *ALWAYS_RAISING[verb])


def test_after_a_failed_read_nothing_is_stored(cut_off: Callable[..., Any], own_server: Server) -> None:
    """What was computed while nobody could look may be old by the time that the server is back."""
    _, call = cut_off(IGNORE_EXCEPTIONS=True)
    with remembering():
        assert call("get", KEY) is None
        own_server.start()
        assert call("set", KEY, "computed") is False
    with remembering():
        assert call("set", KEY, "computed anew") is True
        assert call("get", KEY) == "computed anew"


def test_the_server_comes_back(cut_off: Callable[..., Any], own_server: Server) -> None:
    """The same backend goes on, on new connections."""
    _, call = cut_off(IGNORE_EXCEPTIONS=True)
    own_server.start()
    with remembering():
        assert call("get", KEY) is None
        assert [call("set", KEY, 2), call("get", KEY)] == [True, 2]


def test_a_close_closes_nothing(backend: Any, server: Server) -> None:
    """At a request's end the process keeps its connections: the same clients serve the next request."""

    def clients(client: Redis) -> set[str]:
        return {one["id"] for one in client.client_list()}

    backend.set(KEY, 1)
    async_to_sync(backend.aset)(KEY, 1)
    with server.client as client:
        backend.get(KEY)
        before = clients(client)
        backend.close()
        async_to_sync(backend.aclose)()
        assert backend.get(KEY) == 1
        assert clients(client) == before


def test_names_are_bytes(backend: Any) -> None:
    """The names that the tests above write to are those of the entries."""
    tagset = Names("django").make_tagset("", (":1:user:42",))
    assert backend.core._names.entry(b":1:user:42:page") == NAME
    assert names_blob(tagset, b"k") == b":1:user:42\0k\0"
