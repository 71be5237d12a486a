"""Caches on real clusters: where entries lie, which trips a verb takes to which nodes, and every verb on every node."""

from __future__ import annotations

import asyncio
import inspect
import math
import re
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from clusters import Cluster, Node, slot_of, until

from unstale import AsyncCache, Cache, remembering
from unstale.errors import AbsentError, ConfigurationError
from unstale.events import Invalidated
from unstale.stores import wire

KINDS = (Cache, AsyncCache)
PATIENT = 10.0
READS = frozenset({"eval", "evalsha", "exists", "get", "getrange", "mget", "scan", "type"})
SECRET = "jJ8yQ0m1w4kQeXzv3tqf5s9oU2aLcRnB7dHgYpTi"
Body = Callable[[Any], Awaitable[Any]]


async def done(result: Any) -> Any:
    """What a verb gives, of both kinds of caches."""
    return await result if inspect.isawaitable(result) else result


def loader(cache: Any, value: Any) -> Callable[[], Any]:
    """A loader that the cache takes."""

    async def load() -> Any:
        return value

    return load if isinstance(cache, AsyncCache) else lambda: value


def drive(kind: Any, url: str, body: Body, **options: Any) -> Any:
    """Let a test's body use a cache of either kind."""

    async def main() -> Any:
        given = {"namespace": "test", "timeout": PATIENT, **options}
        if kind is AsyncCache:
            async with AsyncCache.from_url(url, **given) as cache:
                return await body(cache)
        with Cache.from_url(url, **given) as cache:
            return await body(cache)

    return asyncio.run(main())


class Trips:
    """What the nodes of a cluster were sent while a verb was at work."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.primaries = cluster.primaries

    async def of(self, result: Callable[[], Any]) -> dict[Node, dict[str, int]]:
        """Each node that was sent something, and how often which command."""
        self.cluster.each("CONFIG", "RESETSTAT")
        await done(result())
        counts = {node: dict(node.counts()) for node in self.cluster.nodes}
        for node in set(counts) - set(self.primaries):  # replicas hear all writes from their primaries
            counts[node] = {name: count for name, count in counts[node].items() if name in READS}
        return {node: count for node, count in counts.items() if count}


@pytest.fixture
def trips(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Trips:
    """Counts; no connection has to prove its node's role anew meanwhile."""
    monkeypatch.setattr(wire, "PROOF_SECONDS", 60.0)
    return Trips(cluster)


@pytest.mark.parametrize("kind", KINDS)
def test_a_hit_of_one_root_is_one_command_at_one_node(trips: Trips, kind: Any) -> None:
    """Entry, stamps of the tag and its ancestors, and the cache's root: one MGET at their node, nothing at others."""
    tags = {node: f"{trips.cluster.roots_at(node, 1)[0]}/orders/open" for node in trips.primaries}

    async def body(cache: Any) -> None:
        for node, tag in tags.items():
            await done(cache.get_or_set("k", loader(cache, "v"), tags=[tag]))
            assert await done(cache.get("k", tags=[tag])) == "v"
            assert await trips.of(lambda tag=tag: cache.get("k", tags=[tag])) == {node: {"mget": 1}}

    drive(kind, trips.cluster.url, body)


@pytest.mark.parametrize("kind", KINDS)
def test_a_hit_without_tags_is_one_command_at_one_node(trips: Trips, kind: Any) -> None:
    """An entry without tags lies where its key says, and its hit is one MGET there."""
    keys = [f"k{number}" for number in range(12)]

    async def body(cache: Any) -> set[Node]:
        await done(cache.set_many(dict.fromkeys(keys, "v")))
        assert await done(cache.get_many(keys)) == dict.fromkeys(keys, "v")
        met = [await trips.of(lambda key=key: cache.get(key)) for key in keys]
        assert [list(one.values()) for one in met] == [[{"mget": 1}]] * len(keys)
        return {node for one in met for node in one}

    assert drive(kind, trips.cluster.url, body) == set(trips.primaries)


@pytest.mark.parametrize("kind", KINDS)
def test_a_hit_of_several_roots(trips: Trips, kind: Any) -> None:
    """Tags of other roots are read at their nodes: one MGET at each node, and none anywhere twice."""
    tags = trips.cluster.roots(1)

    async def body(cache: Any) -> None:
        await done(cache.set("k", "v", tags=tags))
        assert await done(cache.get("k", tags=tags)) == "v"
        assert await trips.of(lambda: cache.get("k", tags=tags)) == {node: {"mget": 1} for node in trips.primaries}

    drive(kind, trips.cluster.url, body)


@pytest.mark.parametrize("kind", KINDS)
def test_many_keys_are_read_by_one_trip_to_each_node(trips: Trips, kind: Any) -> None:
    """Many keys take one MGET for each slot, and each of them goes to the one node that has it."""
    roots = trips.cluster.roots(5)
    keys = {f"of {root}": root for root in roots}

    async def body(cache: Any) -> None:
        assert await done(cache.set_many(dict.fromkeys(keys, 1), tags=lambda key: [keys[key]])) == []
        assert await done(cache.get_many(keys, tags=lambda key: [keys[key]])) == dict.fromkeys(keys, 1)
        met = await trips.of(lambda: cache.get_many(keys, tags=lambda key: [keys[key]]))
        assert met == {node: {"mget": 5} for node in trips.primaries}

    drive(kind, trips.cluster.url, body)


@pytest.mark.parametrize("kind", KINDS)
def test_an_invalidation_is_one_write_a_tag_at_its_node(trips: Trips, kind: Any) -> None:
    """Tags at several nodes are invalidated by one SET each, at their nodes."""
    tags = trips.cluster.roots(2)

    async def body(cache: Any) -> None:
        for tag in tags:
            await done(cache.get_or_set(f"of {tag}", loader(cache, "v"), tags=[tag]))
        assert await trips.of(lambda: cache.invalidate(*tags)) == {node: {"set": 2} for node in trips.primaries}
        assert [await done(cache.get(f"of {tag}", tags=[tag])) for tag in tags] == [None] * len(tags)

    drive(kind, trips.cluster.url, body)


def unread(node: Node) -> int:
    """Bytes that this process has sent to a node, and that it has not read."""
    sockets = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ends = [(int(one[1][-4:], 16), int(one[2][-4:], 16), int(one[4][-8:], 16), one[9]) for one in sockets]
    own = {number for one in Path("/proc/self/fd").iterdir() for number in re.findall(r"socket:\[(\d+)\]", link(one))}
    ports = {local for local, remote, _, number in ends if remote == node.port and number in own}
    return sum(waiting for local, remote, waiting, _ in ends if local == node.port and remote in ports)


def link(path: Path) -> str:
    """Where a link leads, if it is still there."""
    try:
        return str(path.readlink())
    except OSError:
        return ""


VERBS: dict[str, tuple[Callable[[Any, list[str]], Any], Any]] = {
    "get": (lambda cache, tags: cache.get("k", tags=tags), "v"),
    "get_many": (lambda cache, tags: cache.get_many(["k"], tags=tags), {"k": "v"}),
    "invalidate": (lambda cache, tags: cache.invalidate(*tags), Invalidated),
    "clear": (lambda cache, _: cache.clear(), Invalidated),
}


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="only Linux shows what a socket has not read")
@pytest.mark.parametrize(("verb", "expected"), VERBS.values(), ids=VERBS)
@pytest.mark.parametrize("cluster", ["redis"], indirect=True)
@pytest.mark.parametrize("kind", KINDS)
def test_nodes_are_asked_at_the_same_time(trips: Trips, kind: Any, verb: Any, expected: Any) -> None:
    """What concerns three nodes is sent to all three at once: two that are silent both have something to read."""
    tags, silent = trips.cluster.roots(1), trips.primaries[:2]
    seen: list[bool] = []

    def wake() -> None:
        try:
            until(lambda: all(unread(node) for node in silent))
            seen.append(True)
        finally:
            for node in silent:
                node.thaw()

    async def body(cache: Any) -> Any:
        await done(cache.set("k", "v", tags=tags))
        await done(cache.get("k", tags=tags))
        assert not any(unread(node) for node in silent)
        waker = threading.Thread(target=wake)
        for node in silent:
            node.freeze()
        waker.start()
        try:
            return await done(verb(cache, tags))
        finally:
            waker.join()

    given = drive(kind, trips.cluster.url, body)
    assert seen == [True]
    assert expected in (given, type(given))


async def surface(cache: Any, root: str) -> dict[str, Any]:
    """What every verb gives for entries of one root."""
    tags, inner = [root], [f"{root}/orders"]
    given: dict[str, Any] = {"loaded": await done(cache.get_or_set(f"k {root}", loader(cache, "v"), tags=inner))}
    given["hit"] = await done(cache.get(f"k {root}", tags=inner))
    given["set"] = await done(cache.set(f"s {root}", [1], tags=tags, ttl=60))
    given["set_many"] = await done(cache.set_many({f"m {root}": 1, f"n {root}": 2}, tags=tags))
    given["get_many"] = list((await done(cache.get_many([f"s {root}", f"m {root}"], tags=tags))).values())
    given["add"] = [await done(cache.add(f"a {root}", number, tags=tags)) for number in (1, 2)]
    given["replace"] = [await done(cache.replace(f"{name} {root}", 7, tags=tags)) for name in ("a", "none")]
    given["has_key"] = [await done(cache.has_key(f"{name} {root}", tags=tags)) for name in ("a", "none")]
    given["incr"] = [await done(cache.incr(f"a {root}", 5, tags=tags)) for _ in range(2)]
    given["incr anew"] = await done(cache.incr(f"c {root}", initial=7, tags=tags))
    given["touch"] = [await done(cache.touch(f"{name} {root}", None, tags=tags)) for name in ("s", "none")]
    given["ttl"] = [await done(cache.ttl(f"{name} {root}", tags=tags)) for name in ("s", "none")]
    given["delete"] = [await done(cache.delete(f"a {root}", tags=tags)) for _ in range(2)]
    given["delete_many"] = await done(cache.delete_many([f"m {root}", f"n {root}"], tags=tags))
    given["softly"] = (await done(cache.invalidate(f"{root}/orders", soft=True))).bumped
    given["after it"] = [await done(cache.get(f"{name} {root}", tags=tags)) for name in ("k", "s")]
    closing = await done(cache.begin_strict(root))
    given["closed"] = await done(cache.get_or_set(f"s {root}", loader(cache, "loaded"), tags=tags))
    given["completed"] = (await done(cache.complete(closing))).tags
    given["opened"] = [await done(cache.get_or_set(f"s {root}", loader(cache, n), tags=tags)) for n in (1, 2)]
    given["invalidated"] = (await done(cache.invalidate(root))).bumped
    given["stale"] = await done(cache.get(f"s {root}", tags=tags))
    scope = cache.scope("thing", root)
    given["scope"] = [await done(scope.get_or_set("k", loader(cache, n))) for n in (1, 2)]
    given["scope's own"] = [(await done(scope.invalidate())).bumped, await done(scope.get("k"))]
    return given


def expected(root: str) -> dict[str, Any]:
    """What that should be."""
    return {
        "loaded": "v",
        "hit": "v",
        "set": True,
        "set_many": [],
        "get_many": [[1], 1],
        "add": [True, False],
        "replace": [True, False],
        "has_key": [True, False],
        "incr": [12, 17],
        "incr anew": 8,
        "touch": [True, False],
        "ttl": [math.inf, None],
        "delete": [True, False],
        "delete_many": 2,
        "softly": 1,
        "after it": [None, [1]],
        "closed": "loaded",
        "completed": (root,),
        "opened": [1, 1],
        "invalidated": 1,
        "stale": None,
        "scope": [1, 1],
        "scope's own": [1, None],
    }


@pytest.mark.parametrize("options", [{}, {"fence": "all"}, {"signing_keys": SECRET}], ids=["", "fence", "signed"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_verb_on_every_node(cluster: Cluster, kind: Any, options: dict[str, Any]) -> None:
    """Every verb works for entries at each node, whatever the fence, signed or not."""
    roots = cluster.roots(2)

    async def body(cache: Any) -> dict[str, Any]:
        return {root: await surface(cache, root) for root in roots}

    assert drive(kind, cluster.url, body, **options) == {root: expected(root) for root in roots}


@pytest.mark.parametrize("kind", KINDS)
def test_tags_of_all_nodes_at_once(cluster: Cluster, kind: Any) -> None:
    """An entry with tags at every node ends with any of them, whichever it is, hard or soft."""
    tags = cluster.roots(1)

    async def body(cache: Any) -> None:
        for tag in tags:
            for soft in (False, True):
                assert await done(cache.get_or_set("k", loader(cache, "filled"), tags=tags)) == "filled"
                assert await done(cache.get("k", tags=tags)) == "filled"
                assert await done(cache.set("s", "set", tags=tags)) is True
                assert await done(cache.get("s", tags=tags)) == "set"
                assert await done(cache.incr("c", initial=0, tags=tags)) == 1
                assert await done(cache.incr("c", tags=tags)) == 2
                await done(cache.invalidate(tag, soft=soft))
                assert [await done(cache.get(key, tags=tags)) for key in ("k", "s", "c")] == [None] * 3
                with pytest.raises(AbsentError):
                    await done(cache.incr("c", tags=tags))

    drive(kind, cluster.url, body)


NESTED = ["outer", "middle", "inner"]


def test_values_computed_from_values_at_other_nodes(cluster: Cluster) -> None:
    """A value ends with what it was computed from, at whatever node that lies."""
    roots = dict(zip(NESTED, cluster.roots(1), strict=True))
    with Cache.from_url(cluster.url, namespace="test", timeout=PATIENT) as cache, remembering():

        def compute(names: list[str]) -> list[str]:
            name, *rest = names
            return cache.get_or_set(name, lambda: [name, *(compute(rest) if rest else [])], tags=[roots[name]])

        for ended in (*NESTED, None):
            assert compute(NESTED) == NESTED
            assert cache.get("outer", tags=[roots["outer"]]) == NESTED
            cache.invalidate(roots[ended]) if ended else cache.clear()
            assert cache.get("outer", tags=[roots["outer"]]) is None


def test_async_values_computed_from_values_at_other_nodes(cluster: Cluster) -> None:
    """The same of an asyncio cache."""
    roots = dict(zip(NESTED, cluster.roots(1), strict=True))

    async def body(cache: AsyncCache) -> None:
        async def compute(names: list[str]) -> list[str]:
            name, *rest = names

            async def load() -> list[str]:
                return [name, *(await compute(rest) if rest else [])]

            return await cache.get_or_set(name, load, tags=[roots[name]])

        for ended in (*NESTED, None):
            assert await compute(NESTED) == NESTED
            assert await cache.get("outer", tags=[roots["outer"]]) == NESTED
            await (cache.invalidate(roots[ended]) if ended else cache.clear())
            assert await cache.get("outer", tags=[roots["outer"]]) is None

    drive(AsyncCache, cluster.url, body)


@pytest.mark.parametrize("kind", KINDS)
def test_clear_reaches_every_node(cluster: Cluster, kind: Any) -> None:
    """After `clear()` nothing is served from any node, with tags or without, and all can be filled again."""
    roots = cluster.roots(4)
    keys = {**{f"of {root}": [root] for root in roots}, **{f"k{number}": [] for number in range(100)}}

    async def body(cache: Any) -> None:
        for _ in range(2):
            assert await done(cache.set_many(dict.fromkeys(keys, 1), tags=keys.__getitem__)) == []
            assert len(await done(cache.get_many(keys, tags=keys.__getitem__))) == len(keys)
            assert (await done(cache.clear())).bumped > 0
            assert await done(cache.get_many(keys, tags=keys.__getitem__)) == {}
            for key, tags in keys.items():
                assert await done(cache.get(key, tags=tags)) is None

    drive(kind, cluster.url, body)


@pytest.mark.parametrize("kind", KINDS)
def test_a_clear_that_takes_its_time(cluster: Cluster, kind: Any) -> None:
    """A ramped clear has reached all when it returns."""
    keys = [f"k{number}" for number in range(100)]

    async def body(cache: Any) -> None:
        assert await done(cache.set_many(dict.fromkeys(keys, 1))) == []
        await done(cache.clear(over=0.3))
        assert await done(cache.get_many(keys)) == {}

    drive(kind, cluster.url, body)


@pytest.mark.parametrize("kind", KINDS)
def test_keys_are_found_on_every_node(cluster: Cluster, kind: Any) -> None:
    """Going through keys goes through all nodes; deleting by a glob leaves nothing of them on any."""
    roots = cluster.roots(3)
    names = {f"user:{number}:{root}": root for number in range(20) for root in roots}

    async def body(cache: Any) -> None:
        await done(cache.set_many(dict.fromkeys(names, 1), tags=lambda key: [names[key]]))
        await done(cache.set_many({f"other {number}": 1 for number in range(30)}))
        found = (
            [key async for key in cache.iter_keys("user:1*")] if kind is AsyncCache else [*cache.iter_keys("user:1*")]
        )
        assert sorted(found) == sorted(name for name in names if name.startswith("user:1"))
        assert await done(cache.delete_matching("user:*", count=10)) == len(names)
        assert await done(cache.get_many(names, tags=lambda key: [names[key]])) == {}
        assert len(await done(cache.get_many([f"other {number}" for number in range(30)]))) == 30

    drive(kind, cluster.url, body)


def test_an_entry_lies_where_its_first_tag_says(cluster: Cluster) -> None:
    """Whatever else it depends on, an entry is at the node of its first tag's root, and so is that root's stamp."""
    first, other, _ = cluster.primaries
    tags = [*cluster.roots_at(first, 1), *cluster.roots_at(other, 1)]
    with Cache.from_url(cluster.url, namespace="test", timeout=PATIENT) as cache:
        cache.set("k", "v", tags=tags)
    assert len(first.names("test:e:*")) == 1
    assert len(first.names("test:s:*")) == len(other.names("test:s:*")) == 1
    (entry,), (stamp,) = first.names("test:e:*"), first.names("test:s:*")
    assert slot_of(entry) == slot_of(stamp)


@pytest.mark.parametrize("kind", KINDS)
def test_replicas_are_told_nothing(trips: Trips, kind: Any) -> None:
    """No read and no write goes to a replica: what it has may be old."""
    roots = trips.cluster.roots(2)
    replicas = {node for node in trips.cluster.nodes if node not in trips.primaries}

    async def body(cache: Any) -> set[Node]:
        met = [await trips.of(lambda root=root: surface(cache, root)) for root in roots]
        return {node for one in met for node in one}

    assert drive(kind, trips.cluster.url_of(*replicas), body) == set(trips.primaries)


@pytest.mark.parametrize("kind", KINDS)
def test_a_database_other_than_the_first(cluster: Cluster, kind: Any) -> None:
    """A cluster has one database; another one in the URL is refused when the cache is made."""
    kind.from_url(cluster.url + "/0")
    with pytest.raises(ConfigurationError):
        kind.from_url(cluster.url + "/1")
