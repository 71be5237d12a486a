"""Strict mode: from begin to completion nobody is served, and nobody stores, what a transaction is about to change."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from servers import Server

from unstale import Cache, Closing, remembering
from unstale.errors import (
    ConfigurationError,
    InvalidDurationError,
    InvalidTagError,
    StoreFullError,
    StoreTimeoutError,
    StoreUnavailableError,
)
from unstale.events import Event, Failed, Invalidated, Refused, Why
from unstale.options import make_keyspace
from unstale.stores.memory import MemoryStore
from unstale.testing.conformance import wait_until

Make = Callable[..., Cache]
SOON = 0.02
OLD, NEW = "old", "new"


class Database:
    """The truth: one value."""

    def __init__(self) -> None:
        self.value = OLD
        self.loads = 0

    def load(self) -> str:
        self.loads += 1
        return self.value


@pytest.fixture
def database() -> Database:
    """A database with the old value."""
    return Database()


@pytest.fixture
def cache(make: Make, events: list[Event]) -> Cache:
    """A reader's cache on each store."""
    return make(on_event=events.append)


@pytest.fixture
def writer(make: Make, cache: Cache) -> Cache:
    """A writer's cache on the same store, without what the reader remembers."""
    return make()


def test_nothing_is_served_under_a_closed_tag(cache: Cache, writer: Cache) -> None:
    """What was fresh is a miss from begin on, to every verb that reads."""
    cache.set("k", OLD, tags=["a"])
    writer.begin_strict("a")
    assert cache.get("k", tags=["a"]) is None
    assert cache.get_many(["k"], tags=["a"]) == {}
    assert not cache.has_key("k", tags=["a"])
    assert cache.ttl("k", tags=["a"]) is None
    assert not cache.touch("k", tags=["a"])


def test_readers_load_and_store_nothing(cache: Cache, writer: Cache, database: Database, events: list[Event]) -> None:
    """Whoever reads under a closed tag is given what he loads himself, each time, and is told why it is not kept."""
    writer.begin_strict("a")
    assert [cache.get_or_set("k", database.load, tags=["a"]) for _ in range(3)] == [OLD] * 3
    assert cache.get_or_set_many(["k", "l"], lambda keys: dict.fromkeys(keys, 1), tags=["a"]) == {"k": 1, "l": 1}
    assert database.loads == 3
    assert [event.why for event in events if isinstance(event, Refused)] == [Why.CLOSED] * 5
    assert cache.get("k", tags=["a"]) is None


def test_nobody_waits_for_anothers_load(make: Make, writer: Cache) -> None:
    """Readers under a closed tag load at the same time, in one process and in several: none waits for another."""
    writer.begin_strict("a")
    together = threading.Barrier(4, timeout=30)
    caches = [make(), make()]

    def load() -> str:
        together.wait()
        return "loaded"

    def read(number: int) -> str:
        return caches[number % 2].get_or_set("k", load, tags=["a"])

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(read, range(4))) == ["loaded"] * 4


def test_set_is_refused_and_removes(cache: Cache, writer: Cache, events: list[Event]) -> None:
    """A set under a closed tag leaves nothing under its key; an add stores nothing either."""
    cache.set("k", OLD, tags=["a"])
    writer.begin_strict("a")
    assert not cache.set("k", NEW, tags=["a"])
    assert not cache.add("k", NEW, tags=["a"])
    assert events[-1] == Refused("k", Why.CLOSED)
    assert cache.get("k") is None


def test_after_completion_values_are_kept_again(cache: Cache, writer: Cache, database: Database) -> None:
    """Completion brings nothing back; the next reader's value is stored."""
    cache.get_or_set("k", database.load, tags=["a"])
    closing = writer.begin_strict("a")
    database.value = NEW
    assert writer.complete(closing) == Invalidated(("a",), 1)
    assert cache.get("k", tags=["a"]) is None
    assert [cache.get_or_set("k", database.load, tags=["a"]) for _ in range(2)] == [NEW] * 2
    assert database.loads == 2


@pytest.mark.parametrize("completed", [False, True])
def test_a_fill_from_before_is_refused(cache: Cache, writer: Cache, database: Database, completed: bool) -> None:
    """What was loaded before begin is not stored after it, nor after the completion."""

    def slow() -> str:
        value = database.load()
        closing = writer.begin_strict("a")
        database.value = NEW
        if completed:
            writer.complete(closing)
        return value

    assert cache.get_or_set("k", slow, tags=["a"]) == OLD
    assert cache.get_or_set("k", database.load, tags=["a"]) == NEW


def test_no_reader_is_older_than_a_visible_commit(cache: Cache, make: Make, database: Database) -> None:
    """Between a COMMIT and its invalidation a reader gets the old value from the cache; with strict he does not."""
    seen = []
    for begin in (False, True):
        database.value = OLD
        cache.get_or_set("k", database.load, tags=["a"])
        writer = make()
        closing = writer.begin_strict("a") if begin else None
        database.value = NEW  # the COMMIT
        seen.append(cache.get_or_set("k", database.load, tags=["a"]))
        if closing is None:
            writer.invalidate("a")
        else:
            writer.complete(closing)
    assert seen == [OLD, NEW]


@pytest.mark.parametrize("soft", [False, True])
def test_another_writers_invalidation_leaves_it_closed(cache: Cache, writer: Cache, make: Make, soft: bool) -> None:
    """Only owners open a tag: a writer who knows nothing of strict mode invalidates what is invalid already."""
    writer.begin_strict("a")
    assert make().invalidate("a", soft=soft).bumped == 0
    cache.get_or_set("k", lambda: OLD, tags=["a"])
    assert cache.get("k", tags=["a"]) is None


@pytest.mark.parametrize("first", [0, 1])
def test_two_writers_overlap(cache: Cache, writer: Cache, make: Make, first: int) -> None:
    """A tag that two have closed opens with the last of them, whoever that is."""
    closings = [writer.begin_strict("a"), make().begin_strict("a")]
    writer.complete(closings[first])
    cache.get_or_set("k", lambda: OLD, tags=["a"])
    assert cache.get("k", tags=["a"]) is None
    writer.complete(closings[1 - first])
    cache.get_or_set("k", lambda: NEW, tags=["a"])
    assert cache.get("k", tags=["a"]) == NEW


def test_a_writer_that_dies(cache: Cache, writer: Cache) -> None:
    """Its tags stay closed until its limit, and then values are kept again."""
    writer.begin_strict("a", limit=SOON)
    wait_until(lambda: cache.get_or_set("k", lambda: NEW, tags=["a"]) == cache.get("k", tags=["a"]))
    assert cache.get("k", tags=["a"]) == NEW


def test_a_dead_writer_does_not_shorten_anothers_limit(cache: Cache, writer: Cache) -> None:
    """The limit of one is not that of another."""
    writer.begin_strict("a")
    writer.begin_strict("a", "b", limit=SOON)
    wait_until(lambda: cache.get_or_set("k", lambda: NEW, tags=["b"]) == cache.get("k", tags=["b"]))
    cache.get_or_set("l", lambda: OLD, tags=["a"])
    assert cache.get("l", tags=["a"]) is None


def test_a_late_begin(cache: Cache, writer: Cache) -> None:
    """A begin's packet that arrives after its completion closes the tag until its deadline, and no longer."""
    closing = writer.begin_strict("a")
    writer.complete(closing)
    writer._store.close_stamps([writer._names.stamp("a")], closing.owner.encode(), SOON)
    wait_until(lambda: cache.get_or_set("k", lambda: NEW, tags=["a"]) == cache.get("k", tags=["a"]))
    assert cache.get("k", tags=["a"]) == NEW


def test_a_begin_that_arrives_twice(cache: Cache, writer: Cache) -> None:
    """One completion ends all attempts of one begin."""
    closing = writer.begin_strict("a")
    writer._store.close_stamps([writer._names.stamp("a")], closing.owner.encode(), 60.0)
    writer.complete(closing)
    assert cache.set("k", NEW, tags=["a"])


def test_a_late_completion(cache: Cache, writer: Cache, make: Make) -> None:
    """A completion that arrives once more opens nothing of another's; what it meets open is stale, and no worse."""
    closing = writer.begin_strict("a")
    writer.complete(closing)
    cache.set("k", NEW, tags=["a"])
    writer.complete(closing)
    assert cache.get("k", tags=["a"]) is None
    make().begin_strict("a")
    assert writer.complete(closing) == Invalidated(("a",), 0)
    assert not make().set("k", OLD, tags=["a"])


def test_a_lost_closed_stamp(cache: Cache, writer: Cache, database: Database) -> None:
    """If the server evicts a closed stamp, what is filled meanwhile is stale once the completion has returned."""
    closing = writer.begin_strict("a")
    cache._store.peek(b"test:none", [b"test:none"], [cache._names.stamp("a")])
    cache.get_or_set("k", database.load, tags=["a"])
    database.value = NEW
    writer.complete(closing)
    assert cache.get_or_set("k", database.load, tags=["a"]) == NEW


def test_completed_by_another_process(cache: Cache, writer: Cache, make: Make) -> None:
    """A closing is plain data: it travels as JSON, and any cache of the namespace completes it."""
    text = json.dumps(writer.scope("user", 42).begin_strict("orders", "profile"))
    closing = Closing(*json.loads(text))
    assert make().complete(closing) == Invalidated(("user:42/orders", "user:42/profile"), 2)
    assert cache.scope("user", 42).set("k", NEW, tags=["orders"])


def test_all_that_is_below_is_closed(cache: Cache, writer: Cache) -> None:
    """To close a tag is to close what carries it as an ancestor, and nothing beside it."""
    writer.begin_strict("user:42")
    assert not cache.set("k", OLD, tags=["user:42/orders"])
    assert cache.set("k", OLD, tags=["user:43/orders"])


def test_a_scope_closes_its_own(cache: Cache, writer: Cache) -> None:
    """Without tags a scope closes all that is its own; tags are its own, too; each is closed once."""
    mine = writer.scope("user", 42)
    assert mine.begin_strict().tags == ("user:42",)
    assert mine.begin_strict("orders", "orders").tags == ("user:42/orders",)
    assert not cache.scope("user", 42).set("k", OLD)
    assert cache.set("k", OLD)


def test_strict_block(cache: Cache, writer: Cache, events: list[Event]) -> None:
    """The tags are closed inside the block, and open after it."""
    with writer.strict("a", "b") as closing:
        assert closing.tags == ("a", "b")
        assert not cache.set("k", OLD, tags=["a"])
        assert not cache.set("l", OLD, tags=["b"])
    assert cache.set("k", NEW, tags=["a"])
    with cache.strict("a"):
        pass
    assert events[-1] == Invalidated(("a",), 1)


def test_strict_block_that_raises(cache: Cache, writer: Cache) -> None:
    """A block that fails has its tags opened, and its error passes; what was cached before is stale."""
    cache.set("k", OLD, tags=["a"])
    with pytest.raises(KeyError), writer.strict("a"):
        raise KeyError
    assert cache.get("k", tags=["a"]) is None
    assert cache.set("k", NEW, tags=["a"])


def test_nested_strict_blocks(cache: Cache, writer: Cache) -> None:
    """A block inside another, on the same tag, does not open it."""
    with writer.strict("a"):
        with writer.strict("a"):
            pass
        assert not cache.set("k", OLD, tags=["a"])
    assert cache.set("k", NEW, tags=["a"])


BAD_TAGS: list[tuple[Any, ...]] = [(), ("",), (["a"],), ("*1",), (1,)]


@pytest.mark.parametrize("tags", BAD_TAGS, ids=repr)
def test_bad_tags(tags: tuple[Any, ...]) -> None:
    """Tags are checked as those of `invalidate`."""
    with pytest.raises(InvalidTagError):
        Cache.from_url("memory://").begin_strict(*tags)


@pytest.mark.parametrize(
    ("limit", "error"), [(None, ConfigurationError), (0, InvalidDurationError), ("1", InvalidDurationError)], ids=repr
)
def test_bad_limits(limit: Any, error: type[Exception]) -> None:
    """A limit is a duration above zero, and there must be one."""
    with pytest.raises(error, match="limit"):
        Cache.from_url("memory://").begin_strict("a", limit=limit)


@pytest.mark.parametrize(
    ("tags", "owner", "error"),
    [
        ((), "0" * 32, ConfigurationError),
        ("a", "0" * 32, ConfigurationError),
        (("a",), "", ConfigurationError),
        (("a",), "lag", ConfigurationError),
        (("a",), b"0" * 32, ConfigurationError),
        (("",), "0" * 32, InvalidTagError),
        (("*1",), "0" * 32, InvalidTagError),
    ],
    ids=repr,
)
def test_bad_closings(tags: Any, owner: Any, error: type[Exception]) -> None:
    """What cannot have come from `begin_strict` is refused, above all the name of the owner for `replica_lag`."""
    with pytest.raises(error):
        Cache.from_url("memory://").complete(Closing(tags, owner))


class Failing(MemoryStore):
    """A store whose begin or completion can be made to fail."""

    failing = ""

    def close_stamps(self, *arguments: Any) -> None:
        if self.failing == "begin":
            raise StoreTimeoutError
        super().close_stamps(*arguments)

    def complete(self, *arguments: Any) -> Any:
        if self.failing == "complete":
            raise StoreTimeoutError
        return super().complete(*arguments)


@pytest.fixture
def store() -> Failing:
    """A store in memory that can fail."""
    return Failing()


@pytest.fixture
def failing(store: Failing, events: list[Event]) -> Cache:
    """A cache on it."""
    return Cache(store, make_keyspace({"on_event": events.append}))


def test_begin_fails(failing: Cache, store: Failing) -> None:
    """Where the tags cannot be closed the block does not run."""
    store.failing = "begin"
    ran = []
    with pytest.raises(StoreTimeoutError), failing.strict("a"):
        ran.append("block")
    assert ran == []


def test_completion_fails(failing: Cache, store: Failing) -> None:
    """Where the tags cannot be opened after the block, it says so; they stay closed."""
    with pytest.raises(StoreTimeoutError), failing.strict("a"):
        store.failing = "complete"
    assert not failing.set("k", OLD, tags=["a"])


def test_block_and_completion_fail(failing: Cache, store: Failing, events: list[Event]) -> None:
    """The block's own error passes, with a note; the completion's is told to the hook."""

    def block() -> None:
        with failing.strict("a"):
            store.failing = "complete"
            raise KeyError

    with pytest.raises(KeyError) as caught:
        block()
    assert "stay closed" in caught.value.__notes__[0]
    assert [event.operation for event in events if isinstance(event, Failed)] == ["complete"]


def test_a_dead_server(own_server: Server) -> None:
    """Without a server a begin raises, and so does a completion."""
    with Cache.from_url(own_server.url, timeout=0.5) as cache:
        closing = cache.begin_strict("a")
        own_server.kill()
        with pytest.raises(StoreUnavailableError):
            cache.begin_strict("b")
        with pytest.raises(StoreUnavailableError):
            cache.complete(closing)


@pytest.fixture
def full(own_server: Server) -> Iterator[Callable[[], None]]:
    """Fills the server up."""
    with own_server.client as client:
        yield lambda: client.config_set("maxmemory", 1)
        client.config_set("maxmemory", 0)


def test_a_full_server_refuses_to_begin(own_server: Server, full: Callable[[], None]) -> None:
    """Where there is no memory to close a missing stamp, begin raises, and no tag of it is closed."""
    with Cache.from_url(own_server.url, namespace="test") as cache, own_server.client as client:
        cache.ping()
        full()
        with pytest.raises(StoreFullError):
            cache.begin_strict("a", "b")
        assert client.exists(cache._names.stamp("a"), cache._names.stamp("b")) == 0


def test_a_full_server_closes_what_is_open(own_server: Server, full: Callable[[], None]) -> None:
    """An open stamp makes room for the closed one: nothing that was fresh stays so, whether it raises or not."""
    with Cache.from_url(own_server.url, namespace="test") as cache, remembering():
        cache.set("k", OLD, tags=["a"])
        full()
        closing = cache.begin_strict("a")
        assert cache.get("k", tags=["a"]) is None
        assert cache.complete(closing).bumped == 1


def test_what_stands_in_the_server(server: Server) -> None:
    """A closed stamp is a sorted set of owners by deadline, which expires with the latest, and goes with the last."""
    with Cache.from_url(server.url, namespace="test") as cache, server.client as client:
        name = cache._names.stamp("a")
        first, second = cache.begin_strict("a", limit=100), cache.begin_strict("a", limit=50)
        owners = client.zrange(name, 0, -1, withscores=True)
        assert [owner.decode() for owner, _ in owners] == [second.owner, first.owner]
        assert client.pexpiretime(name) == owners[1][1]
        cache.complete(first)
        assert client.pexpiretime(name) == owners[0][1]
        cache.complete(second)
        assert client.exists(name) == 0
