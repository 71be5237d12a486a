"""Going through keys: `iter_keys` gives each fresh one once, `delete_matching` removes what a glob matches."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any

import pytest
from servers import Server, free_port
from test_round_trips import Counter

from unstale import AsyncCache, Cache
from unstale.core.browse import MAX_SERVERS, Walk, fresh_keys
from unstale.core.globs import escape
from unstale.core.keys import Names
from unstale.core.ports import Commit, Committed, Outcome, Scanned
from unstale.errors import ConfigurationError, InvalidKeyError, StoreUnavailableError
from unstale.events import Event, Refused, Why

LONG = "user:42:" + "long" * 60
VERY_LONG = "user:42:" + "x" * 3000


def elsewhere(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call something as another process would: in a context of its own."""
    return contextvars.Context().run(function, *arguments)


def fill(cache: Cache) -> None:
    """Some keys, with and without tags."""
    cache.set_many({"user:42:a": 1, "user:42:b": 2, "user:421:a": 3, LONG: 4, VERY_LONG: 5}, tags=["t"])
    cache.set_many({"other": 6, "é": 7})


EVERY = {"user:42:a", "user:42:b", "user:421:a", LONG, VERY_LONG, "other", "é"}
GLOBS = {
    "*": EVERY,
    "user:42:*": {"user:42:a", "user:42:b", LONG, VERY_LONG},
    "*:a": {"user:42:a", "user:421:a"},
    "*long": {LONG},
    "user:42:[ab]": {"user:42:a", "user:42:b"},
    "user:42:[^a]": {"user:42:b"},
    "user:42?:*": {"user:421:a"},
    "other": {"other"},
    "\\other": {"other"},
    "??": {"é"},
    "nothing*": set(),
    "e:*": set(),
}
each_glob = pytest.mark.parametrize("glob", GLOBS)


@each_glob
def test_iter_keys(cache: Cache, glob: str) -> None:
    """Every fresh key that matches is given once, whatever its length, and no other."""
    fill(cache)
    assert sorted(cache.iter_keys(glob)) == sorted(GLOBS[glob])


@each_glob
def test_delete_matching(cache: Cache, glob: str) -> None:
    """Every entry that matches is removed and counted, and no other."""
    fill(cache)
    assert cache.delete_matching(glob) == len(GLOBS[glob])
    assert set(cache.iter_keys()) == EVERY - GLOBS[glob]
    assert cache.delete_matching(glob) == 0


def test_many_keys_in_small_steps(cache: Cache) -> None:
    """Many pages give all keys, each once."""
    keys = {f"k:{number}" for number in range(700)} | {f"{number}:{LONG}" for number in range(50)}
    cache.set_many(dict.fromkeys(keys, 1), tags=["t"])
    assert sorted(cache.iter_keys(count=10)) == sorted(keys)
    assert cache.delete_matching("*", count=10) == 750
    assert list(cache.iter_keys()) == []


def test_stale_keys_are_absent(cache: Cache) -> None:
    """What was invalidated, lost a stamp or expired is not given; its bytes are removed and counted all the same."""
    fill(cache)
    cache.invalidate("t")
    assert set(cache.iter_keys()) == {"other", "é"}
    assert cache.delete_matching("user:*") == 5
    cache.clear()
    assert list(cache.iter_keys()) == []


def test_a_scopes_keys(cache: Cache) -> None:
    """A scope goes through its own keys, as it knows them, though its name may hold glob characters."""
    scopes = [cache.scope("user", name) for name in ("*", "42", "[4]2")]
    for scope in scopes:
        scope.set_many({"a": 1, LONG: 2})
    assert [sorted(scope.iter_keys()) for scope in scopes] == [sorted(["a", LONG])] * 3
    assert [scopes[0].delete_matching("a"), scopes[2].delete_matching("*")] == [1, 2]
    assert [sorted(scope.iter_keys()) for scope in scopes] == [[LONG], sorted(["a", LONG]), []]
    assert set(cache.iter_keys(escape("user:*/") + "*")) == {f"user:*/{LONG}"}


def test_another_namespaces_keys(server: Server) -> None:
    """Caches that share a database do not see each other's keys, nor what is none of ours."""
    with (
        Cache.from_url(server.url, namespace="test") as cache,
        Cache.from_url(server.url, namespace="test:other") as other,
    ):
        other.set_many({"k": 1, LONG: 1})
        with server.client as client:
            client.set("test:e:foreign", "text")
            client.set("test:h:foreign", "text")
            client.rpush("test:e:list", "x")
            client.set("test:e:copy", client.get("test:other:e:k") or b"")
        assert list(cache.iter_keys()) == []
        cache.delete_matching("k")
        assert sorted(other.iter_keys()) == sorted(["k", LONG])


def test_counters_and_values_without_limit(cache: Cache) -> None:
    """What kind of value it is, and how long it lives, is no matter."""
    cache.set("count", 5, ttl=None)
    cache.get_or_set("loaded", lambda: [1], tags=["t"], stale_ttl=10)
    assert set(cache.iter_keys()) == {"count", "loaded"}


@pytest.mark.parametrize("key", ["user:42:a", LONG], ids=["plain", "long"])
@pytest.mark.parametrize("before", [True, False], ids=["an entry was there", "only its lease"])
def test_a_fill_under_way(cache: Cache, events: list[Event], key: str, before: bool) -> None:
    """Whoever is loading a key that matches does not store, though there may be nothing but its lease."""
    for _ in range(before):
        cache.set(key, "old", tags=["t"])
        cache.invalidate("t")

    def load() -> str:
        elsewhere(cache.delete_matching, "user:42:*")
        return "new"

    assert cache.get_or_set(key, load, tags=["t"]) == "new"
    assert cache.get(key, tags=["t"]) is None
    assert Refused(key, Why.LEASE) in events


def test_a_fill_of_another_key(cache: Cache) -> None:
    """Whoever is loading a key that does not match stores it."""
    cache.get_or_set("other", lambda: elsewhere(cache.delete_matching, "user:42:*") or "new", tags=["t"])
    assert cache.get("other") == "new"


class _Holding:
    """A store that keeps what is committed for later, as for a fill that takes its time."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.held: list[Commit] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def commit(self, commits: list[Commit]) -> list[Committed]:
        self.held.extend(commits)
        return [Committed(Outcome.LEASE)] * len(commits)


class _Meanwhile:
    """A store where something happens just before one of the steps of a scan."""

    def __init__(self, store: Any, turn: int, act: Callable[[], object]) -> None:
        self._store = store
        self._acts = {turn: act}
        self.steps = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def scan(self, *arguments: Any) -> Scanned:
        self.steps += 1
        self._acts.pop(self.steps, lambda: None)()
        return self._store.scan(*arguments)


@pytest.mark.parametrize("key", ["user:42:a", LONG], ids=["plain", "long"])
@pytest.mark.parametrize(("turn", "outcome"), [(1, Outcome.STORED), (2, Outcome.LEASE), (3, Outcome.LEASE)])
def test_a_fill_that_stores_meanwhile(cache: Cache, key: str, turn: int, outcome: Outcome) -> None:
    """A fill that was under way when it began leaves nothing, at whichever step of the scan it stores."""
    holding = _Holding(cache._store)
    assert Cache(holding, cache._space).get_or_set(key, lambda: "loaded", tags=["t"]) == "loaded"  # type: ignore[arg-type]
    done: list[Committed] = []
    meanwhile = _Meanwhile(cache._store, turn, lambda: done.extend(cache._store.commit(holding.held)))
    Cache(meanwhile, cache._space).delete_matching("user:42:*")  # type: ignore[arg-type]
    assert [one.outcome for one in done] == [outcome]
    assert cache.get(key, tags=["t"]) is None
    assert meanwhile.steps == 3


def test_a_value_on_its_way_in_is_left(server: Server) -> None:
    """A staged value belongs to a set that is under way, which comes after."""
    with Cache.from_url(server.url, namespace="test") as cache, server.client as client:
        client.set("test:l:user:42:a\0token", "staged")
        client.set("test:l:user:42:a", "lease")
        client.set("test:l#:digest\0token", "staged")
        client.set("test:l#:digest", "lease")
        assert cache.delete_matching("user:42:*") == 0
        assert set(client.keys("test:*")) == {b"test:l:user:42:a\0token", b"test:l#:digest\0token"}


class _Changing:
    """A store whose scans are answered by one server after another, from a given step on."""

    def __init__(self, store: Any, at: set[int]) -> None:
        self._store = store
        self._at = at
        self.steps = 0
        self.server = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def scan(self, *arguments: Any) -> Scanned:
        self.steps += 1
        self.server += self.steps in self._at
        return self._store.scan(*arguments)._replace(identity=b"%d" % self.server)


@pytest.mark.parametrize("at", [{2}, {2, 3}, {3, 5}])
def test_another_server_answers(cache: Cache, at: set[int]) -> None:
    """Where another server answers the scan begins anew, since a cursor means nothing there; each key is given once."""
    fill(cache)
    other = Cache(_Changing(cache._store, at), cache._space)  # type: ignore[arg-type]
    assert sorted(other.iter_keys()) == sorted(EVERY)
    deleting = Cache(_Changing(cache._store, at), cache._space)  # type: ignore[arg-type]
    assert deleting.delete_matching("*") == len(EVERY)


def test_servers_that_keep_changing(cache: Cache) -> None:
    """It does not go on for ever."""
    changing = _Changing(cache._store, set(range(1000)))
    with pytest.raises(StoreUnavailableError, match="again and again"):
        list(Cache(changing, cache._space).iter_keys())  # type: ignore[arg-type]
    assert changing.steps == 2 * MAX_SERVERS


def test_trips(server: Server) -> None:
    """A page is one SCAN, one read of heads, one of stamps; long heads need one more; nothing to delete, only SCANs."""
    counter = Counter(server)
    with Cache.from_url(server.url, namespace="test", timeout=2.0) as cache:
        cache.set_many({f"k:{number}": "x" * 5000 for number in range(50)}, tags=["t"])
        trips, commands = counter.during(lambda: list(cache.iter_keys()))
        assert trips == 4
        assert commands == {"scan": 2, "getrange": 50, "mget": 1}
        assert counter.during(lambda: cache.delete_matching("none*"))[1] == {"scan": 3}
        trips, commands = counter.during(lambda: cache.delete_matching("k:*"))
        assert trips == 4
        assert commands == {"scan": 3, "unlink": 1}
    counter.close()


@pytest.mark.parametrize("match", ["", 5, None, b"k", "\ud800", "x" * 9000], ids=repr)
def test_bad_globs(cache: Cache, match: Any) -> None:
    """What is no glob is an error, at once."""
    with pytest.raises(InvalidKeyError, match="glob"):
        cache.iter_keys(match)
    with pytest.raises(InvalidKeyError, match="glob"):
        cache.delete_matching(match)


@pytest.mark.parametrize("count", [0, -1, 1.5, True, "10", None], ids=repr)
def test_bad_counts(cache: Cache, count: Any) -> None:
    """So is a count that is none."""
    with pytest.raises(ConfigurationError, match="count"):
        cache.iter_keys(count=count)


def test_without_a_server() -> None:
    """A dead server is an error: no list is better than an empty one."""
    with Cache.from_url(f"redis://127.0.0.1:{free_port()}/0", timeout=0.2) as cache:
        with pytest.raises(StoreUnavailableError):
            next(cache.iter_keys())
        with pytest.raises(StoreUnavailableError):
            cache.delete_matching("*")


def test_async(url: str) -> None:
    """An AsyncCache goes through keys in the same way."""

    async def scenario() -> list[Any]:
        async with AsyncCache.from_url(url, namespace="test", timeout=2.0) as cache:
            await cache.set_many({"a": 1, "b": 2, LONG: 3}, tags=["t"])
            keys = sorted([key async for key in cache.iter_keys(count=1)])
            return [keys, await cache.delete_matching("[ab]"), [key async for key in cache.iter_keys()]]

    assert asyncio.run(scenario()) == [["a", "b", LONG], 2, [LONG]]


def test_clustered_names(cache: Cache) -> None:
    """Where names begin with a home, keys are read from the entries' heads, and every lease goes."""
    names = Names("test", clustered=True)
    clustered = Cache(cache._store, _with_names(cache, names))
    clustered.set_many({"a": 1, "b": 2, LONG: 3}, tags=["user:42"])
    assert sorted(clustered.iter_keys()) == sorted(["a", "b", LONG])
    assert clustered.get_or_set("c", lambda: elsewhere(clustered.delete_matching, "[ac]"), tags=["user:42"]) == 1
    assert sorted(clustered.iter_keys()) == sorted(["b", LONG])
    walk = Walk(names, "", "b", 1000)
    assert asyncio.run(_all(clustered, walk)) == ["b"]


async def _all(cache: Cache, walk: Walk) -> list[str]:
    found: list[str] = []
    while not walk.done:
        found += await fresh_keys(cache._io, cache._space, walk)
    return found


def _with_names(cache: Cache, names: Names) -> Any:
    from dataclasses import replace

    return replace(cache._space, names=names)
