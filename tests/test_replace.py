"""`replace`: a value is stored only in the place of a fresh entry, which is fresh still when it is stored."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any

import pytest
from servers import Server
from test_round_trips import Counter

from unstale import AsyncCache, Cache
from unstale.core.ports import Commit, Mode
from unstale.events import Event, Refused, Stored, Why
from unstale.stores.commands import is_once

Patch = pytest.MonkeyPatch
SECRET = "0123456789abcdefghijklmnopqrstuv"


def elsewhere(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call something as another process would: in a context of its own."""
    return contextvars.Context().run(function, *arguments)


def before_commits(patch: Patch, cache: Cache, acts: list[Callable[[], object]]) -> list[list[Commit]]:
    """Have each act done just before the commit whose turn it is; gives the commits that were made."""
    store, made = cache._store, []
    commit = store.commit

    class Between:
        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        def commit(self, commits: list[Commit]) -> Any:
            if acts:
                elsewhere(acts.pop(0))
            made.append(commits)
            return commit(commits)

    patch.setattr(cache._io, "_store", Between())
    return made


@pytest.fixture
def other(cache: Cache) -> Cache:
    """The same cache with an IO of its own, as another process has it."""
    return Cache(cache._store, cache._space)


def test_a_fresh_entry_is_replaced(cache: Cache, events: list[Event]) -> None:
    """Where a fresh entry is, the new value takes its place, with its own ttl."""
    cache.set("k", "old", tags=["t"], ttl=10)
    assert cache.replace("k", "new", tags=["t"], ttl=100)
    assert cache.get("k", tags=["t"]) == "new"
    assert 90 < (cache.ttl("k") or 0) <= 100
    assert isinstance(events[-2], Stored)


def test_where_nothing_is(cache: Cache) -> None:
    """Where no entry is, nothing is stored."""
    assert not cache.replace("k", "new")
    assert cache.get("k") is None


def test_where_a_stale_entry_is(cache: Cache) -> None:
    """A stale entry is absent."""
    cache.set("k", "old", tags=["t"])
    cache.invalidate("t")
    assert not cache.replace("k", "new", tags=["t"])
    assert cache.get("k", tags=["t"]) is None


def test_where_an_entry_lacks_a_tag(cache: Cache) -> None:
    """An entry without a tag that is declared is absent."""
    cache.set("k", "old")
    assert not cache.replace("k", "new", tags=["t"])


@pytest.mark.parametrize("declared", [["t"], []], ids=["declared", "undeclared"])
def test_an_invalidation_in_between(cache: Cache, other: Cache, monkeypatch: Patch, declared: list[str]) -> None:
    """An entry that was invalidated after the look is not replaced: the new value would be fresh in spite of that."""
    cache.set("k", "old", tags=["t"])
    made = before_commits(monkeypatch, cache, [lambda: other.invalidate("t")])
    assert not cache.replace("k", "new", tags=declared)
    assert cache.get("k") is None
    assert len(made) == 1


def test_a_set_in_between(cache: Cache, other: Cache, monkeypatch: Patch) -> None:
    """An entry that another has set meanwhile is fresh as well: it is looked at again, and replaced."""
    cache.set("k", "old", tags=["t"])
    made = before_commits(monkeypatch, cache, [lambda: other.set("k", "other", tags=["t"])])
    assert cache.replace("k", "new", tags=["t"])
    assert cache.get("k") == "new"
    assert len(made) == 2


def test_a_deletion_in_between(cache: Cache, other: Cache, monkeypatch: Patch) -> None:
    """An entry that another has deleted meanwhile is not brought back."""
    cache.set("k", "old", tags=["t"])
    before_commits(monkeypatch, cache, [lambda: other.delete("k")])
    assert not cache.replace("k", "new", tags=["t"])
    assert cache.get("k") is None


def test_others_who_keep_setting(cache: Cache, other: Cache, monkeypatch: Patch, events: list[Event]) -> None:
    """It gives up after some rounds, and says so."""
    cache.set("k", 0)
    acts = [lambda number=number: other.set("k", number) for number in range(100)]
    made = before_commits(monkeypatch, cache, acts)
    assert not cache.replace("k", "new")
    assert len(made) == 8
    assert events[-1] == Refused("k", Why.LEASE)


def test_what_was_looked_at_before(cache: Cache, other: Cache, monkeypatch: Patch, events: list[Event]) -> None:
    """A value that was computed before an invalidation replaces nothing, not even what another stored since."""
    cache.get("k", tags=["t"])
    elsewhere(cache.invalidate, "t")
    elsewhere(lambda: other.set("k", "other", tags=["t"]))
    made = before_commits(monkeypatch, cache, [])
    assert not cache.replace("k", "new", tags=["t"])
    assert cache.get("k", tags=["t"]) == "other"
    assert len(made) == 1
    assert Refused("k", Why.STALE) in events


def test_what_depends_on_nothing(cache: Cache, other: Cache) -> None:
    """A value that depends on nothing does replace it."""
    cache.get("k", tags=["t"])
    elsewhere(cache.invalidate, "t")
    elsewhere(lambda: other.set("k", "other", tags=["t"]))
    assert cache.replace("k", "new", tags=["t"], computed=False)
    assert cache.get("k", tags=["t"]) == "new"


def test_a_look_that_never_was(cache: Cache, events: list[Event]) -> None:
    """Without the look that it names it is refused, and what is there stays."""
    cache.set("k", "old")
    assert not cache.replace("k", "new", looked_under="page")
    assert cache.get("k") == "old"
    assert Refused("k", Why.UNSEEN) in events


def test_a_counter_that_was_counted_in_between(cache: Cache, other: Cache, monkeypatch: Patch) -> None:
    """A counter that another has counted is the same fresh entry: it is replaced."""
    cache.set("k", 5)
    before_commits(monkeypatch, cache, [lambda: other.incr("k")])
    assert cache.replace("k", 1)
    assert cache.get("k") == 1


def test_signed_values(url: str) -> None:
    """What is signed is replaced under its stamps."""
    with Cache.from_url(url, namespace="test", timeout=2.0, signing_keys=SECRET) as cache:
        cache.set("k", ["old"], tags=["t"])
        assert cache.replace("k", ["new"], tags=["t"])
        assert cache.get("k", tags=["t"]) == ["new"]


def test_trips(server: Server) -> None:
    """A look, and the store; a signed value needs no third."""
    counter = Counter(server)
    with Cache.from_url(server.url, namespace="test", timeout=2.0, signing_keys=SECRET) as cache:
        cache.set("k", ["old"], tags=["t"])
        cache.replace("k", ["warm"], tags=["t"])
        cache.ping()
        assert counter.during(lambda: cache.replace("k", ["new"], tags=["t"]))[0] == 2
    counter.close()


@pytest.mark.parametrize("mode", list(Mode))
def test_is_not_tried_twice(mode: Mode) -> None:
    """After a first attempt that nobody answered, a second would find another entry: such a commit is made once."""
    one = Commit(mode, b"e", b"l", (), (), None, None, 1.0)  # type: ignore[arg-type]
    assert is_once([one]) == (mode in {Mode.ADD, Mode.REPLACE})


def test_async(url: str) -> None:
    """An AsyncCache replaces in the same way."""

    async def scenario() -> list[object]:
        async with AsyncCache.from_url(url, namespace="test", timeout=2.0) as cache:
            absent = await cache.replace("k", "new", tags=["t"])
            await cache.set("k", "old", tags=["t"])
            replaced = await cache.replace("k", "new", tags=["t"])
            value = await cache.get("k", tags=["t"])
            await cache.invalidate("t")
            return [absent, replaced, value, await cache.replace("k", "newer", tags=["t"])]

    assert asyncio.run(scenario()) == [False, True, "new", False]
