"""A cache on a real cluster: one trip for a hit, entries over several nodes, clears, slots on their way, restarts."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import redis
from clusters import Cluster, slot_of, until
from servers import SERVERS, require

from unstale import AsyncCache, Cache, remembering
from unstale.core.entry import parse
from unstale.errors import ConfigurationError, NotReplicatedError, StoreError, StoreUnavailableError, WrongNodeError
from unstale.events import BreakerClosed, BreakerOpened, Event, Failed, Invalidated, Queued, Refused, Stored, Why
from unstale.stores.clients import async_client_for, client_for
from unstale.stores.options import StoreOptions

HERE, ELSEWHERE = "user:42", "product:9"
"""Two tags whose stamps lie on two nodes."""
LONG = "k" * 300


@pytest.fixture(params=SERVERS)
def cluster(request: pytest.FixtureRequest, session_clusters: Callable[[str], Cluster]) -> Cluster:
    """The session's cluster of each kind, emptied."""
    chosen = session_clusters(request.param)
    chosen.flush()
    return chosen


@pytest.fixture
def cache(cluster: Cluster, events: list[Event]) -> Iterator[Cache]:
    """A cache on it, telling `events`."""
    with (
        Cache.from_url(cluster.url, namespace="test", on_event=events.append, timeout=5.0, read_timeout=5.0) as made,
        remembering(),
    ):
        yield made


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster that the test may break."""
    require("valkey")
    with Cluster("valkey", tmp_path) as started:
        yield started


def commands_of(cluster: Cluster) -> dict[str, int]:
    """How often each command was called, over all primaries. Scripts are counted once, not what they call."""
    total: dict[str, int] = {}
    for node in cluster.primaries:
        for name, stats in node.info("commandstats").items():
            word = name.removeprefix("cmdstat_")
            total[word] = total.get(word, 0) + stats["calls"]
    return total


def during(cluster: Cluster, action: Callable[[], Any], *words: str) -> dict[str, int]:
    """How often an action calls these commands."""
    before = commands_of(cluster)
    action()
    after = commands_of(cluster)
    return {word: after.get(word, 0) - before.get(word, 0) for word in words}


def test_the_two_tags_lie_on_two_nodes(cluster: Cluster) -> None:
    """What these tests rest on."""
    owners = {cluster.owner_of(slot_of(tag.encode())).id for tag in (HERE, ELSEWHERE)}
    assert len(owners) == 2


def test_a_hit_is_one_command_to_one_node(cluster: Cluster, cache: Cache) -> None:
    """Entry, stamps and root of one home are one MGET; a tag of another home is one more, to its own node."""
    tags = [f"{HERE}/orders", f"{HERE}/name"]
    cache.get_or_set("k", lambda: 1, tags=tags)
    cache.get_or_set("both", lambda: 1, tags=[*tags, ELSEWHERE])
    cache.get_or_set("untagged", lambda: 1)
    assert during(cluster, lambda: cache.get("k", tags=tags), "mget", "get") == {"mget": 1, "get": 0}
    assert during(cluster, lambda: cache.get("untagged"), "mget", "get") == {"mget": 1, "get": 0}
    both = [*tags, ELSEWHERE]
    assert during(cluster, lambda: cache.get("both", tags=both), "mget", "get") == {"mget": 2, "get": 0}


@pytest.mark.parametrize("bumped", [HERE, ELSEWHERE, f"{HERE}/orders"])
def test_an_entry_over_two_nodes(cache: Cache, bumped: str) -> None:
    """It is fresh until any of its tags is invalidated, wherever that one's stamp lies."""
    loads = count(1)
    tags = [f"{HERE}/orders", ELSEWHERE]
    assert [cache.get_or_set("k", lambda: next(loads), tags=tags) for _ in range(2)] == [1, 1]
    cache.invalidate(bumped)
    assert cache.get("k", tags=tags) is None
    assert [cache.get_or_set("k", lambda: next(loads), tags=tags) for _ in range(2)] == [2, 2]


@pytest.mark.parametrize("tag", [HERE, ELSEWHERE])
def test_an_invalidation_overtakes_a_fill(cache: Cache, events: list[Event], tag: str) -> None:
    """What was loaded before an invalidation is never fresh: refused where the script sees it, else stale."""

    def overtaken() -> int:
        cache.invalidate(tag)
        return 1

    assert cache.get_or_set("k", overtaken, tags=[HERE, ELSEWHERE]) == 1
    assert [type(one) for one in events if isinstance(one, Stored | Refused)] == [Refused if tag == HERE else Stored]
    assert cache.get("k", tags=[HERE, ELSEWHERE]) is None


def test_every_verb_over_two_nodes(cache: Cache) -> None:
    """Each verb finds the entry where it lies, if it names the same first tag."""
    tags = [HERE, ELSEWHERE]
    assert cache.set("k", 5, tags=tags)
    assert (cache.get("k", tags=tags), cache.has_key("k", tags=tags)) == (5, True)
    assert cache.incr("k", 2, tags=tags) == 7
    assert cache.touch("k", ttl=50.0, tags=tags)
    assert 49.0 < (cache.ttl("k", tags=tags) or 0.0) <= 50.0
    assert cache.add("k", 1, tags=tags) is False
    assert cache.delete("k", tags=tags)
    assert cache.add("k", 1, tags=tags)
    cache.invalidate(ELSEWHERE)
    assert (cache.get("k", tags=tags), cache.touch("k", tags=tags), cache.delete("k", tags=tags)) == (
        None,
        False,
        False,
    )


def test_the_first_tag_says_where_an_entry_lies(cache: Cache) -> None:
    """A verb that names another first tag, or none, looks elsewhere: there is nothing."""
    cache.set("k", 5, tags=[HERE, ELSEWHERE])
    assert cache.get("k", tags=[ELSEWHERE, HERE]) is None
    assert cache.get("k") is None
    assert cache.get("k", tags=[HERE]) == 5


def test_many_keys_over_all_nodes(cluster: Cluster, cache: Cache) -> None:
    """Many keys are set and read together, whatever nodes they lie on; one read asks each slot once."""
    values = {f"k{number}": number for number in range(200)}

    def tags(key: str) -> list[str]:
        return [f"user:{int(key[1:]) % 50}", "all"]

    assert cache.set_many(values, tags=tags) == []
    assert cache.get_many(values, tags=tags) == values
    assert cache.get_or_set_many(values, lambda _: {}, tags=tags) == values
    cache.invalidate("all")
    assert cache.get_many(values, tags=tags) == {}
    loaded = cache.get_or_set_many(values, lambda keys: dict.fromkeys(keys, 1), tags=tags)
    assert loaded == dict.fromkeys(values, 1)
    assert cache.delete_many(values, tags=tags) == 200
    assert cache.get_many(values, tags=tags) == {}


def test_clear_reaches_every_slot(cluster: Cluster, cache: Cache) -> None:
    """A clear makes everything stale, with tags and without, on every node; what is missing stays missing."""
    for number in range(100):
        cache.set(f"k{number}", number)
        cache.set(f"k{number}", number, tags=[f"user:{number}"])
    roots = sum(len(node.names("test:r:*")) for node in cluster.primaries)
    cleared = cache.clear()
    assert cleared == Invalidated(("*",), roots)
    assert cache.get_many([f"k{number}" for number in range(100)]) == {}
    assert cache.get_many([f"k{n}" for n in range(100)], tags=lambda key: [f"user:{key[1:]}"]) == {}
    assert sum(len(node.names("test:r:*")) for node in cluster.primaries) == roots


def test_a_ramped_clear(cache: Cache) -> None:
    """A clear over some time ends with everything stale."""
    cache.set_many({f"k{number}": number for number in range(50)})
    assert cache.clear(over=0.05).tags == ("*",)
    assert cache.get_many([f"k{number}" for number in range(50)]) == {}


def test_what_is_inherited_lies_anywhere(cache: Cache) -> None:
    """A value computed from others carries their tags and roots, of whatever nodes, and is stale with any of them."""
    loads = count(1)

    def outer() -> list[Any]:
        parts = [cache.get_or_set(f"part{n}", lambda: next(loads), tags=[f"part:{n}"]) for n in range(10)]
        return [*parts, cache.get_or_set("plain", lambda: "x")]

    assert cache.get_or_set("outer", outer, tags=[HERE]) == [*range(1, 11), "x"]
    assert cache.get("outer", tags=[HERE]) == [*range(1, 11), "x"]
    cache.invalidate("part:7")
    assert cache.get("outer", tags=[HERE]) is None
    assert cache.get_or_set("outer", outer, tags=[HERE])[7] == 11
    cache.clear()
    assert cache.get("outer", tags=[HERE]) is None


def test_more_roots_than_an_entry_records(cache: Cache, events: list[Event]) -> None:
    """A value computed from hundreds of entries of other homes is served and not stored: too many names."""

    def outer() -> int:
        with_tags = [cache.get_or_set(f"t{n}", lambda: 1, tags=[f"home:{n}/x"]) for n in range(10)]
        return len(with_tags) + len([cache.get_or_set(f"p{n}", lambda: 1) for n in range(200)])

    assert cache.get_or_set("outer", outer, tags=[HERE]) == 210
    stored = [one.key for one in events if isinstance(one, Stored)]
    assert "outer" in stored  # 64 homes of untagged keys, and 10 of others
    events.clear()
    many = [f"m{n}" for n in range(400)]
    for key in many:
        cache.set(key, 1, tags=[f"many:{key}"])
    spaces = [cache.scope("many", n) for n in range(300)]
    assert (
        cache.get_or_set("wide", lambda: [one.get_or_set("k", lambda: 1) for one in spaces], tags=[HERE]) == [1] * 300
    )
    assert Refused("wide", Why.TOO_MANY_TAGS) in events


def test_strict_over_two_nodes(cache: Cache) -> None:
    """Strict mode closes tags on whatever nodes, and opens them."""
    tags = [HERE, ELSEWHERE]
    cache.get_or_set("k", lambda: 1, tags=tags)
    with cache.strict(*tags):
        assert cache.get("k", tags=tags) is None
        assert cache.get_or_set("k", lambda: 2, tags=tags) == 2
        assert cache.get("k", tags=tags) is None
    assert cache.get_or_set("k", lambda: 3, tags=tags) == 3
    assert cache.get("k", tags=tags) == 3


def test_soft_over_two_nodes(cache: Cache) -> None:
    """A soft invalidation of a tag elsewhere leaves the value servable while it is loaded anew."""
    tags = [HERE, ELSEWHERE]
    cache.get_or_set("k", lambda: 1, tags=tags, stale_ttl=60.0)
    cache.invalidate(ELSEWHERE, soft=True)
    assert cache.get("k", tags=tags) is None

    def failing() -> int:
        raise RuntimeError

    assert cache.get_or_set("k", failing, tags=tags, stale_ttl=60.0) == 1
    cache.invalidate(ELSEWHERE)
    with pytest.raises(RuntimeError):
        cache.get_or_set("k", failing, tags=tags, stale_ttl=60.0)


def test_going_through_all_keys(cluster: Cluster, cache: Cache) -> None:
    """Keys of all nodes are walked through, long ones too; those that match a glob are removed everywhere."""
    keys = [f"k{number}" for number in range(60)]
    for key in keys:
        cache.set(key, 1, tags=[f"user:{key}"])
    cache.set(LONG, 1)
    cache.set("gone", 1, tags=[HERE])
    cache.invalidate(HERE)
    assert sorted(cache.iter_keys(count=7)) == sorted([*keys, LONG])
    assert cache.delete_matching("k1*") == 11
    assert sorted(cache.iter_keys()) == sorted([*(key for key in keys if not key.startswith("k1")), LONG])
    assert cache.delete_matching("*") == 51
    assert sum(len(node.names("test:[eh]:*")) for node in cluster.primaries) == 0


def test_a_scope(cache: Cache) -> None:
    """A scope's keys and tags share its slot by themselves."""
    mine = cache.scope("user", 42)
    mine.set("orders", [1], tags=["orders"])
    assert mine.get("orders") == [1]
    assert list(mine.iter_keys()) == ["orders"]
    mine.invalidate()
    assert mine.get("orders") is None


def test_signed_and_fenced(cluster: Cluster) -> None:
    """Signed values, and a cache that fences everything, work alike."""
    options: Any = {
        "namespace": "test",
        "timeout": 5.0,
        "read_timeout": 5.0,
        "fence": "all",
        "signing_keys": os.urandom(32),
    }
    with Cache.from_url(cluster.url, codec="pickle", **options) as cache, remembering():
        for tags in ([], [HERE], [HERE, ELSEWHERE]):
            cache.set("k", {1, 2}, tags=tags)
            assert cache.get("k", tags=tags) == {1, 2}
        cache.set("n", 5, tags=[HERE, ELSEWHERE])
        assert cache.incr("n", tags=[HERE, ELSEWHERE]) == 6
        cache.set("n", 5)
        assert cache.incr("n") == 6


def test_asyncio(cluster: Cluster) -> None:
    """The same by asyncio, with many tasks at a time."""

    async def scenario() -> None:
        async with AsyncCache.from_url(cluster.url, namespace="test", timeout=5.0, read_timeout=5.0) as cache:
            tags = [HERE, ELSEWHERE]
            loads = count(1)

            async def load() -> int:
                await asyncio.sleep(0.01)
                return next(loads)

            got = await asyncio.gather(*(cache.get_or_set("k", load, tags=tags) for _ in range(50)))
            assert got == [1] * 50
            await cache.invalidate(ELSEWHERE)
            assert await cache.get("k", tags=tags) is None
            await asyncio.gather(*(cache.set(f"k{n}", n, tags=[f"t:{n}"]) for n in range(50)))
            assert await asyncio.gather(*(cache.get(f"k{n}", tags=[f"t:{n}"]) for n in range(50))) == list(range(50))
            assert sorted([key async for key in cache.iter_keys()]) == sorted(f"k{n}" for n in range(50))
            assert (await cache.clear()).bumped > 0
            assert [key async for key in cache.iter_keys()] == []
            await cache.ping()

    asyncio.run(scenario())


def test_threads(cache: Cache) -> None:
    """Many threads that begin at the same time share one table and the pools."""
    with ThreadPoolExecutor(20) as pool:
        got = list(pool.map(lambda n: cache.get_or_set("k", lambda: 1, tags=[f"t:{n}", ELSEWHERE]), range(200)))
    assert got == [1] * 200
    cache.ping()


def test_after_a_fork(cache: Cache) -> None:
    """A child makes connections of its own."""
    cache.set("k", 1, tags=[HERE, ELSEWHERE])
    pid = os.fork()
    if pid == 0:
        os._exit(0 if cache.get("k", tags=[HERE, ELSEWHERE]) == 1 else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert cache.get("k", tags=[HERE, ELSEWHERE]) == 1


def test_redis_py_clients(cluster: Cluster) -> None:
    """redis-py's own clients of the cluster, for locks and structures."""
    options = StoreOptions()
    with client_for(cluster.url, options) as client:
        client.set("a", 1)
        assert client.get("a") == b"1"
        with client.lock("lock", timeout=5):
            assert client.exists("lock")

    async def by_asyncio() -> bytes | None:
        client = async_client_for(cluster.url, options)
        try:
            return await client.get("a")  # type: ignore[no-any-return]
        finally:
            await client.aclose()

    assert asyncio.run(by_asyncio()) == b"1"


def test_a_node_of_a_cluster_by_its_own_url(cluster: Cluster, events: list[Event]) -> None:
    """A URL that takes a node for a single server says what is wrong."""
    node = cluster.primaries[0]
    with Cache.from_url(
        f"redis://127.0.0.1:{node.client_port}", timeout=5.0, read_timeout=5.0, on_event=events.append
    ) as cache:
        elsewhere = next(f"k{n}" for n in range(100) if cluster.owner_of(slot_of(b"unstale:s:{k%d}" % n)) is not node)
        with pytest.raises(WrongNodeError, match=r"redis\+cluster://"):
            cache.invalidate(elsewhere)
        assert cache.get_or_set("k", lambda: 1, tags=["a", "b"]) == 1  # names of several slots
    failed = [event.error for event in events if isinstance(event, Failed)]
    assert [type(error) for error in failed] == [WrongNodeError]


def test_a_single_server_is_no_cluster(session_servers: Callable[[str], Any]) -> None:
    """A cluster's URL that names a single server says so."""
    url = session_servers("valkey").url.replace("redis://", "redis+cluster://").removesuffix("/0")
    with (
        Cache.from_url(url, timeout=5.0, read_timeout=5.0) as cache,
        pytest.raises(StoreError, match="cluster support disabled"),
    ):
        cache.ping()


def test_seeds_that_are_away(cluster: Cluster) -> None:
    """Any one of the URL's nodes is enough, also a replica."""
    port = cluster.nodes[-1].client_port
    with Cache.from_url(
        f"redis+cluster://127.0.0.1:1,127.0.0.1:{port}", namespace="test", timeout=5.0, read_timeout=5.0
    ) as cache:
        cache.set("k", 1, tags=[HERE])
        assert cache.get("k", tags=[HERE]) == 1


def test_no_node_at_all(events: list[Event]) -> None:
    """Where no node answers, reads go on without the cache, and writes raise."""
    with Cache.from_url("redis+cluster://127.0.0.1:1", timeout=1.0, read_timeout=1.0, on_event=events.append) as cache:
        assert cache.get_or_set("k", lambda: 1, tags=[HERE]) == 1
        assert isinstance(events[0], Failed)
        with pytest.raises(StoreUnavailableError):
            cache.invalidate(HERE)


def test_a_slot_on_its_way(own_cluster: Cluster, events: list[Event]) -> None:
    """While a slot moves nothing of it is served stale and no read fails; invalidations and deletions take effect."""
    with Cache.from_url(
        own_cluster.url, namespace="test", on_event=events.append, timeout=5.0, read_timeout=5.0
    ) as cache:
        cache.set("k", 0, tags=[HERE])
        cache.set("deleted", 0, tags=[HERE])
        slot = slot_of(HERE.encode())
        target = next(node for node in own_cluster.primaries if node is not own_cluster.owner_of(slot))
        loads = count(1)

        def half_way() -> None:
            latest = next(loads)
            assert cache.get_or_set("k", lambda: latest, tags=[HERE]) in (0, latest)
            assert cache.get_or_set("other", lambda: latest, tags=[ELSEWHERE, HERE]) == latest
            assert cache.invalidate(HERE).bumped == 1
            assert cache.get("k", tags=[HERE]) is None
            assert cache.get("other", tags=[ELSEWHERE, HERE]) is None
            cache.delete("deleted", tags=[HERE])
            assert cache.get("deleted", tags=[HERE]) is None

        own_cluster.move(slot, target, half_way)
        assert next(loads) > 3
        assert [cache.get_or_set("k", lambda: "new", tags=[HERE]) for _ in range(2)] == ["new"] * 2
        assert cache.get("k", tags=[HERE]) == "new"
        assert own_cluster.owner_of(slot) is target


def test_a_slot_that_has_moved_begins_anew(own_cluster: Cluster) -> None:
    """What was stored through the old node is not fresh at the new one, though its bytes have come along."""
    with Cache.from_url(own_cluster.url, namespace="test", timeout=5.0, read_timeout=5.0) as cache, remembering():
        cache.set("k", 1, tags=[HERE])
        cache.set("plain", 1)
        for slot in {slot_of(cache._names.entry(b"k", HERE)), slot_of(cache._names.entry(b"plain"))}:
            source = own_cluster.owner_of(slot)
            own_cluster.move(slot, next(node for node in own_cluster.primaries if node is not source))
        assert cache.get("k", tags=[HERE]) is None
        assert cache.get("plain") == 1


def test_a_replica_that_lagged_is_promoted(own_cluster: Cluster) -> None:
    """A node's heir that has not heard of an invalidation brings nothing back, of whatever node's entries."""
    with Cache.from_url(own_cluster.url, namespace="test", timeout=5.0, read_timeout=5.0) as cache, remembering():
        tags = [HERE, ELSEWHERE]
        cache.set("k", "old", tags=tags)
        node = own_cluster.owner_of(slot_of(ELSEWHERE.encode()))
        with redis.Redis(port=node.port) as client:
            before = client.get(b"test:s:{product:9}")
            assert client.wait(1, 10000) == 1
        with own_cluster.severed(node):
            cache.invalidate(ELSEWHERE)
            heir = own_cluster.hand_over(node, "TAKEOVER")
        with redis.Redis(port=heir.port) as client:
            assert client.get(b"test:s:{product:9}") == before
        assert cache.get("k", tags=tags) is None
        cache.set("k", "new", tags=tags)
        assert cache.get("k", tags=tags) == "new"


def test_entries_record_stamps_as_seen(cluster: Cluster, cache: Cache) -> None:
    """An entry's recorded stamp of a tag is not the stamp's own bytes; its root's is."""
    cache.set("k", 1, tags=[HERE])
    name = cache._names.entry(b"k", HERE)
    with redis.Redis(port=cluster.owner_of(slot_of(name)).port) as client:
        entry, stamp, root = client.mget(name, cache._names.stamp(HERE), cache._names.root_of(b"k", HERE))
    head = parse(entry)
    assert head.stamps[1] == root
    assert head.stamps[0] != stamp


def keys_of(cluster: Cluster, node: Any, count: int) -> list[str]:
    """Tags whose stamps lie at a node."""
    slots = cluster.slots_of(node)
    return [tag for tag in (f"t{number}" for number in range(1000)) if slot_of(tag.encode()) in slots][:count]


def test_a_node_that_is_away_costs_the_others_nothing(own_cluster: Cluster, events: list[Event]) -> None:
    """Each node has a breaker of its own: what lies at others is served as ever, what lies there goes without."""
    with (
        Cache.from_url(
            own_cluster.url,
            namespace="test",
            timeout=2.0,
            read_timeout=2.0,
            invalidate_timeout=0.5,
            on_event=events.append,
        ) as cache,
        remembering(),
    ):
        dead, alive = own_cluster.primaries[:2]
        [away], [here] = keys_of(own_cluster, dead, 1), keys_of(own_cluster, alive, 1)
        cache.set("k", 1, tags=[away])
        cache.set("k", 2, tags=[here])
        own_cluster.replica_of(dead).kill()
        dead.kill()
        for _ in range(20):
            assert cache.get_or_set("k", lambda: 3, tags=[away]) == 3
        assert [type(one) for one in events if isinstance(one, BreakerOpened)] == [BreakerOpened]
        assert cache.get("k", tags=[here]) == 2
        assert cache.invalidate(here).bumped == 1
        with pytest.raises(StoreUnavailableError):
            cache.invalidate(away)


def test_a_silent_node(own_cluster: Cluster, events: list[Event]) -> None:
    """A node that is frozen costs a few reads their time limit, until its replica takes its place."""
    with (
        Cache.from_url(
            own_cluster.url, namespace="test", timeout=2.0, read_timeout=0.2, on_event=events.append
        ) as cache,
        remembering(),
    ):
        frozen = own_cluster.primaries[0]
        [tag] = keys_of(own_cluster, frozen, 1)
        cache.set("k", 1, tags=[tag])
        heir = own_cluster.replica_of(frozen)
        frozen.freeze()
        try:
            while not any(isinstance(one, BreakerOpened) for one in events):
                assert cache.get_or_set("k", lambda: 2, tags=[tag]) == 2
            own_cluster_without(own_cluster, frozen, heir)
            until(lambda: cache.get_or_set("k", lambda: 3, tags=[tag]) == 3 and cache.get("k", tags=[tag]) == 3)
            assert cache.invalidate(tag).bumped == 1
            told = [one for one in events if isinstance(one, BreakerOpened | BreakerClosed)]
            assert [type(one) for one in told] == [BreakerOpened, BreakerClosed]  # it has no slots any more
            assert {one.server for one in told} == {f"127.0.0.1:{frozen.port}"}
        finally:
            frozen.thaw()
        assert cache.get("k", tags=[tag]) is None
        until(lambda: not frozen.is_primary)
        assert cache.get_or_set("k", lambda: 4, tags=[tag]) == 4


def own_cluster_without(cluster: Cluster, silent: Any, heir: Any) -> None:
    """Wait until a node's heir is primary in the eyes of all others."""
    others = [node for node in cluster.nodes if node is not silent]
    until(lambda: heir.is_primary and all(node.sees_all_well for node in others))


@pytest.mark.parametrize("by_asyncio", [False, True], ids=["sync", "asyncio"])
def test_wait(own_cluster: Cluster, by_asyncio: bool) -> None:
    """An invalidation returns once each node's replica has it, and says so where one has not."""
    tags = [HERE, ELSEWHERE, "more"]
    options: Any = {"namespace": "test", "timeout": 5.0, "read_timeout": 5.0, "invalidate_timeout": 5.0, "wait": 1}
    node = own_cluster.owner_of(slot_of(ELSEWHERE.encode()))

    async def invalidated() -> Any:
        async with AsyncCache.from_url(own_cluster.url, **options) as made:
            return await made.invalidate(*tags)

    def invalidate() -> Any:
        if by_asyncio:
            return asyncio.run(invalidated())
        with Cache.from_url(own_cluster.url, **options) as made:
            return made.invalidate(*tags)

    with Cache.from_url(own_cluster.url, **options) as cache:
        cache.set("k", 1, tags=tags)
        assert invalidate().bumped == 3
        cache.set("k", 1, tags=tags)
        with own_cluster.severed(node), pytest.raises(NotReplicatedError):
            invalidate()
        assert cache.get("k", tags=tags) is None


@pytest.mark.parametrize("by_asyncio", [False, True], ids=["sync", "asyncio"])
def test_a_queued_invalidation_keeps_reads_away(own_cluster: Cluster, tmp_path: Path, by_asyncio: bool) -> None:
    """What could not be invalidated is queued, and nothing is served before it is done, by a new primary."""
    options: Any = {"namespace": "test", "timeout": 1.0, "read_timeout": 1.0, "invalidate_timeout": 0.3}
    options["queue"] = str(tmp_path / "queue")
    dead = own_cluster.primaries[0]
    [tag] = keys_of(own_cluster, dead, 1)

    async def scenario() -> None:
        async with AsyncCache.from_url(own_cluster.url, **options) as cache:
            await cache.set("k", 1, tags=[tag])
            dead.freeze()
            assert isinstance(await cache.invalidate(tag), Queued)
            dead.thaw()
            assert await cache.get("k", tags=[tag]) != 1

            async def loaded() -> int:
                return 2

            async def is_back() -> bool:
                return await cache.get_or_set("k", loaded, tags=[tag]) == 2 and await cache.get("k", tags=[tag]) == 2

            while not await is_back():  # noqa: ASYNC110 - nobody tells of it
                await asyncio.sleep(0.05)

    if by_asyncio:
        asyncio.run(scenario())
        return
    with Cache.from_url(own_cluster.url, **options) as cache, remembering():
        cache.set("k", 1, tags=[tag])
        dead.freeze()
        assert isinstance(cache.invalidate(tag), Queued)
        dead.thaw()
        assert cache.get("k", tags=[tag]) != 1
        until(lambda: cache.get_or_set("k", lambda: 2, tags=[tag]) == 2 and cache.get("k", tags=[tag]) == 2)


def test_no_replay(cluster: Cluster) -> None:
    """fence="replay" is refused: it would say nothing of stamps that are bound to their nodes."""
    for kind in (Cache, AsyncCache):
        with pytest.raises(ConfigurationError, match="On a cluster fence"):
            kind.from_url(cluster.url, fence="replay")
