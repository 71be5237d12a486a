"""What a set is held to: its own look, another key's (`looked_under`), or none at all (`computed=False`)."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
from servers import Server, free_port
from test_round_trips import Counter

from unstale import AsyncCache, Cache, remembering
from unstale.core.capture import recall
from unstale.core.stamps import CLOSED
from unstale.errors import ConfigurationError
from unstale.events import Event, Failed, Refused, Why


def elsewhere(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call something as another process would: in a context of its own."""
    return contextvars.Context().run(function, *arguments)


def strictly(cache: Cache) -> None:
    """Invalidate as a strict write does."""
    cache.complete(cache.begin_strict("t"))


SETS: dict[str, Callable[..., bool]] = {
    "set": lambda cache, **held: cache.set("k", "new", tags=["t"], **held),
    "set_many": lambda cache, **held: cache.set_many({"k": "new"}, tags=["t"], **held) == [],
    "add": lambda cache, **held: cache.add("k", "new", tags=["t"], **held),
}
each_set = pytest.mark.parametrize("store", SETS.values(), ids=SETS)


@each_set
def test_what_is_not_computed_takes_what_stands(cache: Cache, store: Callable[..., bool]) -> None:
    """A value that depends on nothing is stored, though its tag was invalidated since the look."""
    cache.get("k", tags=["t"])
    elsewhere(cache.invalidate, "t")
    assert store(cache, computed=False)
    assert cache.get("k", tags=["t"]) == "new"


@each_set
def test_what_is_computed_is_refused(cache: Cache, store: Callable[..., bool]) -> None:
    """The same value, computed, is not."""
    cache.get("k", tags=["t"])
    elsewhere(cache.invalidate, "t")
    assert not store(cache)
    assert cache.get("k", tags=["t"]) is None


@each_set
def test_under_another_keys_look(cache: Cache, store: Callable[..., bool]) -> None:
    """A value is held to the look at another key, where that saw all its stamps."""
    look_at_all(cache, "other", ["t", "u"])
    assert store(cache, looked_under="other")
    assert cache.get("k", tags=["t"]) == "new"


@each_set
def test_under_another_keys_look_that_is_over(cache: Cache, store: Callable[..., bool], events: list[Event]) -> None:
    """A tag that was invalidated since that look keeps the value from being stored."""
    look_at_all(cache, "other", ["t"])
    elsewhere(cache.invalidate, "t")
    assert not store(cache, looked_under="other")
    assert cache.get("k", tags=["t"]) is None
    assert Refused("k", Why.STALE) in events


@each_set
def test_under_a_look_that_saw_other_tags(cache: Cache, store: Callable[..., bool], events: list[Event]) -> None:
    """A tag that the other key's look did not see keeps the value from being stored, whoever saw it besides."""
    look_at_all(cache, "other", ["u"])
    cache.get("third", tags=["t"])
    assert not store(cache, looked_under="other")
    assert cache.get("k", tags=["t"]) is None
    assert Refused("k", Why.UNSEEN) in events


@each_set
def test_under_a_look_that_never_was(cache: Cache, store: Callable[..., bool], events: list[Event]) -> None:
    """Where the other key was not looked at, nothing is stored."""
    assert not store(cache, looked_under="other")
    assert Refused("k", Why.UNSEEN) in events


def test_refused_sets_leave_nothing(cache: Cache) -> None:
    """A set without the look it names removes what stood there, as every set that is refused."""
    cache.set("k", "old", tags=["t"])
    assert not cache.set("k", "new", tags=["t"], looked_under="other")
    assert cache.get("k") is None


def test_in_a_scope_the_other_key_is_the_scopes(cache: Cache) -> None:
    """A scope's key is looked for in the scope."""
    user = cache.scope("user", 42)
    look_at_all(user, "other", [])
    assert user.set("k", 1, looked_under="other")
    assert not cache.set("k", 1, looked_under="other")


def test_both_make_no_sense(cache: Cache) -> None:
    """What depends on nothing has no look before it."""
    with pytest.raises(ConfigurationError, match="looked_under"):
        cache.set("k", 1, computed=False, looked_under="other")


def test_sharing_a_root(cache: Cache) -> None:
    """A key's root must have been seen, too: a clear since then would go unnoticed."""
    cache.get("other", tags=["t"])
    stored = {key: cache.set(key, 1, tags=["t"], looked_under="other") for key in map(str, range(100))}
    roots = {key: cache._names.root_of(key.encode()) == cache._names.root_of(b"other") for key in stored}
    assert stored == roots
    assert {True, False} == set(roots.values())


UNNAMED = {
    "no tags": ((), ("t",)),
    "fewer tags": (("a",), ("a", "t")),
    "a tag above": (("t",), ("t/below",)),
}
"""What a look names, and what the set after it names, of which the last was not looked at."""
in_any_context = pytest.mark.parametrize("context", [remembering, nullcontext], ids=["request", "outside"])
of_a_look = pytest.mark.parametrize(("looked", "said"), UNNAMED.values(), ids=UNNAMED)
GETS: dict[str, Callable[..., Any]] = {
    "get": lambda cache, tags: cache.get("k", tags=tags),
    "get_many": lambda cache, tags: cache.get_many(["k", "l"], tags=tags),
}
each_get = pytest.mark.parametrize("look", GETS.values(), ids=GETS)
STORES: dict[str, Callable[..., bool]] = {
    "set": lambda cache, tags: cache.set("k", "old", tags=tags),
    "set_many": lambda cache, tags: cache.set_many({"k": "old"}, tags=tags) == [],
    "add": lambda cache, tags: cache.add("k", "old", tags=tags),
}


@in_any_context
@of_a_look
@each_get
@pytest.mark.parametrize("store", STORES.values(), ids=STORES)
def test_a_tag_that_the_get_did_not_name_is_taken_as_it_stands(
    url: str,
    context: Callable[[], Any],
    look: Callable[..., Any],
    store: Callable[..., bool],
    looked: tuple[str, ...],
    said: tuple[str, ...],
) -> None:
    """Not promised: what only the set names may have been invalidated since the get of the same key, unnoticed."""
    with Cache.from_url(url, namespace="test", timeout=10.0) as cache, context():
        look(cache, looked)
        elsewhere(cache.invalidate, said[-1])
        assert store(cache, said)
        assert cache.get("k", tags=said) == "old"
        elsewhere(cache.invalidate, said[-1])
        assert cache.get("k", tags=said) is None


@in_any_context
@of_a_look
@each_get
@pytest.mark.parametrize("store", STORES.values(), ids=STORES)
def test_a_tag_that_both_name_is_held_to_the_look(
    url: str,
    context: Callable[[], Any],
    look: Callable[..., Any],
    store: Callable[..., bool],
    looked: tuple[str, ...],
    said: tuple[str, ...],
) -> None:
    """The promise: the same get and set are refused where the get names the tags, too."""
    del looked
    with Cache.from_url(url, namespace="test", timeout=10.0) as cache, context():
        look(cache, said)
        elsewhere(cache.invalidate, said[-1])
        assert not store(cache, said)
        assert cache.get("k", tags=said) is None


@in_any_context
def test_a_tag_above_counts_though_only_the_set_names_one_below(url: str, context: Callable[[], Any]) -> None:
    """A set below a tag that the get named is refused where that was invalidated."""
    with Cache.from_url(url, namespace="test", timeout=10.0) as cache, context():
        cache.get("k", tags=["t"])
        elsewhere(cache.invalidate, "t")
        assert not cache.set("k", "old", tags=["t/below"])


def test_in_a_request_another_key_may_have_named_the_tag(url: str) -> None:
    """Inside `remembering()` an earlier look at the tag counts, whatever key it was for."""
    with Cache.from_url(url, namespace="test", timeout=10.0) as cache, remembering():
        cache.get("other", tags=["t"])
        cache.get("k")
        elsewhere(cache.invalidate, "t")
        assert not cache.set("k", "old", tags=["t"])


@in_any_context
def test_tags_that_are_said_at_the_set_only_are_no_bar(url: str, context: Callable[[], Any]) -> None:
    """Get without tags, compute, set with them: it is stored and hits, as it would never do if it were refused."""
    with Cache.from_url(url, namespace="test", timeout=10.0) as cache, context():
        assert cache.get("k") is None
        assert cache.set("k", 1, tags=["t"])
        assert cache.get("k") == 1


def look_at_all(cache: Cache, key: str, tags: list[str]) -> None:
    """Look at a key's tags and at every root."""
    cache.observe(key, tags=tags)


def test_observe_creates_what_is_missing(cache: Cache) -> None:
    """The stamps of the tags, of their ancestors and of all roots stand afterwards, and are what is remembered."""
    cache.observe("page", tags=["user:42/orders"])
    names = [cache._names.stamp(tag) for tag in ("user:42", "user:42/orders", *(f"*{number}" for number in range(16)))]
    stamps, identity = cache._store.read(names)
    assert [len(stamp or b"") for stamp in stamps] == [16] * 18
    remembered = [recall(cache._space.serial, b"page", name, alone=True) for name in names]
    assert remembered == [(stamp, identity) for stamp in stamps]


def test_observe_keeps_what_stands(cache: Cache) -> None:
    """What others have stored stays fresh."""
    cache.set("k", 1, tags=["t"])
    cache.observe("page", tags=["t"])
    assert cache.get("k", tags=["t"]) == 1


@pytest.mark.parametrize("strict", [True, False])
def test_any_key_may_be_set_afterwards(url: str, strict: bool) -> None:
    """Keys of every root are stored under the look, in a request and outside, each time."""
    with Cache.from_url(url, namespace="test", timeout=2.0) as cache, remembering() if strict else nullcontext():
        cache.observe("page", tags=["t"])
        assert all(cache.set(key, 1, tags=["t"], looked_under="page") for key in map(str, range(60)))


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("act", [lambda cache: cache.invalidate("t"), lambda cache: cache.clear()])
def test_nothing_passes_a_later_invalidation(url: str, strict: bool, act: Callable[[Cache], Any]) -> None:
    """What was invalidated after the look is not stored, by its tag or by any root."""
    with Cache.from_url(url, namespace="test", timeout=2.0) as cache, remembering() if strict else nullcontext():
        cache.observe("page", tags=["t"])
        elsewhere(act, cache)
        assert not any(cache.set(key, 1, tags=["t"], looked_under="page") for key in map(str, range(60)))


def test_the_first_look_of_a_request_counts(cache: Cache) -> None:
    """In a request a second look does not bring forward what was computed since the first."""
    cache.observe("page", tags=["t"])
    elsewhere(cache.invalidate, "t")
    cache.observe("page", tags=["t"])
    assert not cache.set("k", 1, tags=["t"], looked_under="page")


def test_the_last_look_counts_outside(url: str) -> None:
    """Outside a request the last look counts, else a thread that lives on could never store again."""
    with Cache.from_url(url, namespace="test", timeout=2.0) as cache:
        cache.observe("page", tags=["t"])
        elsewhere(cache.invalidate, "t")
        cache.observe("page", tags=["t"])
        assert cache.set("k", 1, tags=["t"], looked_under="page")


@pytest.mark.parametrize("act", [lambda cache: cache.invalidate("t"), lambda cache: cache.clear(), strictly])
@pytest.mark.parametrize("keeps", [True, False])
def test_looks_may_outlive_one_s_own_invalidation(url: str, keeps: bool, act: Callable[[Cache], Any]) -> None:
    """Outside a request one's own invalidation forgets what it overtakes, unless the keyspace keeps it."""

    def look_and_act() -> bool:
        with Cache.from_url(url, namespace="test", timeout=2.0) as made:
            cache = Cache(made._store, replace(made._space, keeps_looks=keeps), io=made._io)
            cache.get("k", tags=["t"])
            act(cache)
            return cache.set("k", "from before", tags=["t"])

    assert elsewhere(look_and_act) is not keeps


def test_a_loader_depends_on_what_it_observed(cache: Cache) -> None:
    """What is computed under a look inside a loader goes into the loader's result, which is stale with it."""
    cache.get_or_set("outer", lambda: cache.observe("page", tags=["t"]) or 1, tags=["u"])
    assert cache.get("outer") == 1
    cache.invalidate("t")
    assert cache.get("outer") is None


def test_closed_tags_are_refused(server: Server, events: list[Event]) -> None:
    """A tag that is closed at the look keeps the value from being stored, also when it was opened since."""
    with Cache.from_url(server.url, namespace="test", timeout=2.0, on_event=events.append) as cache, remembering():
        with server.client as client:
            client.zadd("test:s:{t}", {"owner": 4102444800})
            cache.observe("page", tags=["t"])
            client.delete("test:s:{t}")
        assert not cache.set("k", 1, tags=["t"], looked_under="page")
        assert Refused("k", Why.CLOSED) in events


def test_observe_without_a_server(events: list[Event]) -> None:
    """A dead server is survived and told, and nothing is stored under that look when it is back."""
    port = free_port()
    with Cache.from_url(f"redis://127.0.0.1:{port}/0", on_event=events.append, timeout=0.2) as cache, remembering():
        cache.observe("page", tags=["t"])
        assert [type(event) for event in events] == [Failed]
        root = cache._names.root_of(b"page")
        names = [cache._names.stamp("t"), root]
        assert [recall(cache._space.serial, b"page", name) for name in names] == [(CLOSED, b"")] * 2


def test_the_trips_of_a_look(server: Server) -> None:
    """Two trips where stamps are missing, one where all stand."""
    counter = Counter(server)
    with Cache.from_url(server.url, namespace="test", timeout=2.0) as cache:
        cache.ping()
        assert counter.during(lambda: cache.observe("page", tags=["t"]))[0] == 2
        assert counter.during(lambda: cache.observe("page", tags=["t"]))[0] == 1
    counter.close()


def test_async(url: str, events: list[Event]) -> None:
    """An AsyncCache observes, and its sets are held to the same."""

    async def scenario() -> list[bool]:
        async with AsyncCache.from_url(url, namespace="test", timeout=2.0, on_event=events.append) as cache:
            await cache.observe("page", tags=["t"])
            stored = [
                await cache.set("k", 1, tags=["t"], looked_under="page"),
                await cache.add("new", 1, tags=["t"], looked_under="page"),
                await cache.set("k", 1, tags=["u"], looked_under="page"),
                await cache.set("k", 1, tags=["t"], looked_under="never"),
            ]
            await asyncio.create_task(cache.invalidate("t"), context=contextvars.Context())
            return [
                *stored,
                await cache.set("k", 1, tags=["t"], looked_under="page"),
                await cache.set("k", 1, tags=["t"], computed=False),
            ]

    assert asyncio.run(scenario()) == [True, True, False, False, False, True]
    assert [event.why for event in events if isinstance(event, Refused)] == [Why.UNSEEN, Why.UNSEEN, Why.STALE]
