"""Invalidations that the server does not take in time: kept in a file, and done before anything is served again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from children.either import KINDS, Either, Used
from children.launch import Child
from servers import Server

from unstale import Cache, Closing
from unstale.core.pending import Pending, packed, unpacked
from unstale.errors import (
    ConfigurationError,
    NotReplicatedError,
    QueueError,
    StoreClosedError,
    StoreError,
    StoreUnavailableError,
)
from unstale.events import BreakerClosed, BreakerOpened, Drained, Event, Failed, Invalidated, Queued
from unstale.outbox import QueueFile

LONG = 30.0
pytestmark = pytest.mark.parametrize("own_server", ["valkey"], indirect=True)
"""What happens on the client's side needs no second kind of server."""


@pytest.fixture(params=KINDS)
def either(request: pytest.FixtureRequest) -> Iterator[Either]:
    """Caches of each kind."""
    made = Either(request.param)
    yield made
    made.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the queue is."""
    return tmp_path / "queue"


Open = Callable[..., Used]


@pytest.fixture
def open_cache(either: Either, own_server: Server, path: Path, events: list[Event]) -> Open:
    """Opens caches with the queue."""

    def opened(**options: Any) -> Used:
        given = {"timeout": 5.0, "read_timeout": 2.0, "queue": path, "on_event": events.append, **options}
        return either.open(own_server.url, **given)

    return opened


@pytest.fixture
def cache(open_cache: Open) -> Used:
    """A cache with a queue, with k = "v"."""
    made = open_cache()
    made.set("k", "v", tags=["t"])
    return made


def of(events: list[Event], *kinds: type) -> list[Any]:
    """The events of some kinds."""
    return [event for event in events if type(event) in kinds]


def kept(path: Path) -> list[tuple[bytes, ...]]:
    """The names of the stamps in the queue."""
    return [one.names for one in unpacked(path.read_bytes())[0]]


@pytest.fixture
def cut_off(own_server: Server) -> Iterator[Callable[[], None]]:
    """The server is silent until the function is called: it then has all that it had, and is the same server."""
    own_server.freeze()
    yield own_server.thaw
    own_server.thaw()


def until_served(cache: Used, default: Any = None) -> list[Any]:
    """Read until the breaker is closed; what was read meanwhile."""
    values, deadline = [], time.monotonic() + LONG
    while cache.store.guard.is_open and time.monotonic() < deadline:
        values.append(cache.get("k", default, tags=["t"]))
        time.sleep(0.01)
    return values


@pytest.fixture
def hasty(open_cache: Open, cache: Used) -> Used:
    """Another cache with the same queue, whose invalidations are not waited for."""
    made = open_cache(invalidate_timeout=0.2)
    made.ping()
    return made


def test_it_is_queued(
    hasty: Used, cut_off: Callable[[], None], path: Path, events: list[Event], own_server: Server
) -> None:
    """It says so, in an event, too; and why."""
    done = hasty.invalidate("t", "u")
    assert done == Queued(("t", "u"))
    assert isinstance(done.error, StoreUnavailableError)
    assert of(events, Queued) == [done]
    assert kept(path) == [(b"test:s:{t}", b"test:s:{u}")]


def test_nothing_is_served_until_it_is_done(
    hasty: Used, cut_off: Callable[[], None], path: Path, events: list[Event], own_server: Server
) -> None:
    """The server is back with the value and its stamp: who queued does not serve it, and then it is stale."""
    hasty.invalidate("t")
    cut_off()
    with own_server.client as client:
        before = client.get("test:s:{t}")
        assert hasty.get("k", "none yet", tags=["t"]) == "none yet"
        assert until_served(hasty).count("v") == 0
        assert hasty.get("k", "stale", tags=["t"]) == "stale"
        assert client.get("test:s:{t}") not in {before, None}
    assert of(events, Drained) == [Drained(1)]
    assert path.read_bytes() == b""
    breakers = [type(event) for event in of(events, BreakerOpened, BreakerClosed)]
    assert breakers == [BreakerOpened, BreakerOpened, BreakerClosed]  # the other cache has not read since


def test_what_another_process_has_queued(cache: Used, path: Path, events: list[Event], own_server: Server) -> None:
    """It may be idle by now, or dead: about a second later this one sees it, serves nothing, and does it."""
    QueueFile(path).append(Pending("0" * 32, (b"test:s:{t}",), 86400.0))
    deadline = time.monotonic() + LONG
    while not of(events, Drained) and time.monotonic() < deadline:
        served = cache.get("k", "none", tags=["t"])
        time.sleep(0.01)
    assert served == "none"
    assert until_served(cache).count("v") == 0
    assert cache.get("k", "stale", tags=["t"]) == "stale"
    assert path.read_bytes() == b""
    assert [type(event) for event in of(events, BreakerOpened, BreakerClosed)] == [BreakerOpened, BreakerClosed]


def test_a_cache_that_begins_with_something_queued(
    cache: Used, open_cache: Open, path: Path, own_server: Server
) -> None:
    """It serves nothing before that is done, whoever queued it, be he dead or alive."""
    QueueFile(path).append(Pending("0" * 32, (b"test:s:{t}",), 86400.0))
    assert cache.get("k", tags=["t"]) == "v"
    other = open_cache()
    assert [other.get("k", "none yet", tags=["t"]), *until_served(other)].count("v") == 0
    assert other.get("k", "stale", tags=["t"]) == "stale"


@pytest.mark.parametrize("way", ["the path", "through a link"])
def test_every_cache_of_the_process_holds_back(
    hasty: Used, open_cache: Open, cut_off: Callable[[], None], own_server: Server, path: Path, way: str
) -> None:
    """Who queued is this process: another cache of it with the same file, by whatever path, serves nothing old."""
    link = path.parent / "link"
    link.symlink_to(path.parent)
    own_server.thaw()
    other = open_cache(queue=path if way == "the path" else link / path.name)
    assert other.get("k", tags=["t"]) == "v"
    with own_server.client as client:
        client.execute_command("CLIENT", "PAUSE", "60000", "WRITE")
        assert hasty.invalidate("t") == Queued(("t",))
        assert [other.get("k", "none yet", tags=["t"]) for _ in range(5)] == ["none yet"] * 5
        client.execute_command("CLIENT", "UNPAUSE")
    assert until_served(other).count("v") == 0
    assert other.get("k", "stale", tags=["t"]) == "stale"


def test_threads_and_tasks_hold_back_together(own_server: Server, path: Path) -> None:
    """A `Cache` and an `AsyncCache` of one process are no strangers."""
    asked = Either("asyncio")
    try:
        with Cache.from_url(own_server.url, namespace="test", invalidate_timeout=0.2, queue=path) as cache:
            other = asked.open(own_server.url, queue=path, timeout=5.0, read_timeout=2.0)
            other.set("k", "v", tags=["t"])
            with own_server.client as client:
                client.execute_command("CLIENT", "PAUSE", "60000", "WRITE")
                assert cache.invalidate("t") == Queued(("t",))
                assert other.get("k", "none yet", tags=["t"]) == "none yet"
                client.execute_command("CLIENT", "UNPAUSE")
    finally:
        asked.close()


def test_drained_by_hand(hasty: Used, cut_off: Callable[[], None], cache: Used, own_server: Server) -> None:
    """`drain` does it at once, and says how many there were."""
    hasty.invalidate("t")
    hasty.invalidate("u")
    cut_off()
    assert (cache.drain(), cache.drain()) == (2, 0)
    assert cache.get("k", "stale", tags=["t"]) == "stale"


def test_drain_without_a_queue(either: Either, own_server: Server) -> None:
    """There is nothing to do."""
    assert either.open(own_server.url).drain() == 0


def test_drain_without_a_server(hasty: Used, cut_off: Callable[[], None], path: Path, own_server: Server) -> None:
    """It raises, and what is queued stays."""
    hasty.invalidate("t")
    with pytest.raises(StoreError):
        hasty.drain()
    assert kept(path) == [(b"test:s:{t}",)]


def test_the_next_invalidation_that_works_takes_them_along(
    hasty: Used, cut_off: Callable[[], None], path: Path, events: list[Event], own_server: Server
) -> None:
    """A process that never reads drains as well."""
    hasty.invalidate("t")
    cut_off()
    deadline = time.monotonic() + LONG
    while not isinstance(hasty.invalidate("other"), Invalidated) and time.monotonic() < deadline:
        pass
    assert path.read_bytes() == b""


def test_clear(hasty: Used, cut_off: Callable[[], None], cache: Used, own_server: Server) -> None:
    """A clear is queued as one, too; a ramped one is done at once when its time comes."""
    assert len(hasty.clear().tags) == 16
    assert len(hasty.clear(over=0.001).tags) == 16
    cut_off()
    assert cache.drain() == 2
    assert cache.get("k", "stale", tags=["t"]) == "stale"


def test_softly(hasty: Used, cut_off: Callable[[], None], cache: Used, own_server: Server) -> None:
    """A soft one stays a soft one."""
    own_server.thaw()
    cache.get_or_set("s", lambda: "old", tags=["t"], stale_ttl=60)
    own_server.freeze()
    assert hasty.invalidate("t", soft=True) == Queued(("t",))
    cut_off()
    cache.drain()
    assert cache.get("s", "stale", tags=["t"]) == "stale"
    assert cache.get_or_set("s", broken, tags=["t"], stale_ttl=60) == "old"


def broken() -> str:
    """A loader that fails, so that what may be served stale is."""
    raise LookupError


def test_the_end_of_a_strict_write(hasty: Used, cut_off: Callable[[], None], cache: Used, own_server: Server) -> None:
    """Its completion is queued: the tag opens when it is done, not at its deadline."""
    own_server.thaw()
    closing = cache.begin_strict("t")
    own_server.freeze()
    assert hasty.complete(closing) == Queued(("t",))
    cut_off()
    with own_server.client as client:
        assert client.type("test:s:{t}") == b"zset"
        assert cache.drain() == 1
        assert client.type("test:s:{t}") == b"none"


def test_with_lagging_replicas(open_cache: Open, own_server: Server, path: Path) -> None:
    """With `replica_lag` the tag is closed for so long from when it is done."""
    cache = open_cache(replica_lag=30, invalidate_timeout=0.2)
    cache.ping()
    with own_server.client as client:
        client.set("test:s:{t}", b"x" * 16)
        own_server.freeze()
        assert cache.invalidate("t", soft=True) == Queued(("t",))
        own_server.thaw()
        cache.store.guard.invalidate_timeout = LONG
        cache.drain()
        assert client.type("test:s:{t}") == b"zset"


def test_a_queue_that_fails(
    hasty: Used, cut_off: Callable[[], None], monkeypatch: pytest.MonkeyPatch, own_server: Server
) -> None:
    """On a full disk the invalidation raises what it would have without a queue, with a note: it is never silent."""

    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StoreUnavailableError) as raised:
            hasty.invalidate("t")
    assert not isinstance(raised.value, QueueError)
    [note] = raised.value.__notes__
    assert "No space left" in note


def test_a_cache_that_was_closed_queues_nothing(hasty: Used, path: Path, own_server: Server) -> None:
    """That is a mistake of the caller's."""
    hasty.close()
    with pytest.raises(StoreClosedError):
        hasty.invalidate("t")
    assert path.read_bytes() == b""


def test_a_server_that_refuses_it(
    open_cache: Open, cache: Used, path: Path, events: list[Event], own_server: Server
) -> None:
    """Without the right to write it is queued, too, and what is queued keeps this process from serving old values."""
    with own_server.client as client:
        client.execute_command("ACL", "SETUSER", "default", "-set")
        assert cache.invalidate("t") == Queued(("t",))
        for _ in range(30):
            assert cache.get("k", "default", tags=["t"]) == "default"
            cache.store.guard._probe_at = 0.0
        assert QueueError in {type(event.error) for event in of(events, Failed)}
        client.execute_command("ACL", "SETUSER", "default", "+set")
    assert until_served(cache).count("v") == 0
    assert cache.get("k", "stale", tags=["t"]) == "stale"


def test_damage(cache: Used, path: Path, events: list[Event], own_server: Server) -> None:
    """Where a record cannot be read nobody knows what it was for: everything of this cache is stale."""
    path.write_bytes(b'00000000 ["what was this?\n')
    assert cache.drain() == 0
    assert of(events, Drained) == [Drained(0, damaged=1)]
    assert cache.get("k", "stale", tags=["t"]) == "stale"
    assert path.read_bytes() == b""


def test_much_damage(open_cache: Open, path: Path, events: list[Event], own_server: Server) -> None:
    """It is done in parts as well."""
    path.write_bytes(b'00000000 ["what was this?\n' * 1200)
    cache = open_cache()
    until_served(cache)
    assert of(events, Drained) == [Drained(0, damaged=500), Drained(0, damaged=500), Drained(0, damaged=200)]


def test_one_queued_while_a_probe_drains(
    hasty: Used, cut_off: Callable[[], None], path: Path, own_server: Server
) -> None:
    """A probe that began before does not open the way to what is queued during it."""
    hasty.invalidate("t")
    cut_off()
    guard = hasty.store.guard
    settle = guard.before_closing

    def late(seconds: float) -> Any:
        guard.before_closing = settle
        done = settle(seconds)
        guard.hold()
        return done

    guard.before_closing = late
    guard._probe_at = 0.0
    hasty.get("k", tags=["t"])
    assert guard.is_open
    until_served(hasty)
    assert not guard.is_open


def test_many_are_drained_in_parts(
    cache: Used, open_cache: Open, path: Path, events: list[Event], own_server: Server
) -> None:
    """No read pays for all of a long outage: each does some, and nothing is served until the last has."""
    text = [packed(Pending(f"{number:032x}", (b"test:s:{%d}" % number,), 86400.0)) for number in range(1800)]
    path.write_bytes(packed(Pending("f" * 32, (b"test:s:{t}",), 86400.0)) + b"".join(text))
    other = open_cache()
    assert other.get("k", "none yet", tags=["t"]) == "none yet"
    assert other.store.guard.is_open
    assert until_served(other).count("v") == 0
    assert other.get("k", "stale", tags=["t"]) == "stale"
    counts = [event.count for event in of(events, Drained)]
    assert (sum(counts), max(counts), path.read_bytes()) == (1801, 500, b"")


def test_an_invalidation_does_not_pay_for_all(cache: Used, path: Path, events: list[Event], own_server: Server) -> None:
    """Nor does an invalidation, which takes some along; by hand it is all."""
    text = [packed(Pending(f"{number:032x}", (b"test:s:{%d}" % number,), 86400.0)) for number in range(1800)]
    path.write_bytes(b"".join(text))
    cache.store.guard.invalidate_timeout = LONG
    assert isinstance(cache.invalidate("u"), Invalidated)
    assert [event.count for event in of(events, Drained)] == [500]
    assert cache.drain() == 1300
    assert path.read_bytes() == b""


def test_without_its_replicas(open_cache: Open, path: Path, events: list[Event], own_server: Server) -> None:
    """What only too few replicas know of has taken effect: it is told, and kept no longer; reads go on."""
    cache = open_cache(wait=1, wait_timeout=0.05, invalidate_timeout=0.2)
    cache.ping()
    for _ in range(2):
        own_server.freeze()
        cache.store.guard.invalidate_timeout = 0.2
        assert cache.invalidate("t") == Queued(("t",))
        own_server.thaw()
        cache.store.guard.invalidate_timeout = LONG
        if not of(events, Drained):
            with pytest.raises(NotReplicatedError):
                cache.drain()
        until_served(cache)
        assert path.read_bytes() == b""
    assert of(events, Drained) == [Drained(1)] * 2
    assert NotReplicatedError in {type(event.error) for event in of(events, Failed)}


def test_without_a_queue_it_raises(either: Either, own_server: Server) -> None:
    """As ever."""
    cache = either.open(own_server.url, timeout=5.0, invalidate_timeout=0.2)
    own_server.freeze()
    with pytest.raises(StoreUnavailableError):
        cache.invalidate("t")
    with pytest.raises(StoreUnavailableError):
        cache.clear()


def test_the_last_tag_of_a_strict_block(own_server: Server, path: Path) -> None:
    """A block whose completion is queued ends as one whose completion has taken effect."""
    with Cache.from_url(own_server.url, namespace="test", timeout=5.0, invalidate_timeout=0.3, queue=path) as cache:
        with cache.strict("t") as closing:
            own_server.freeze()
        assert isinstance(closing, Closing)
        assert kept(path) == [(b"test:s:{t}",)]
        own_server.thaw()


STEPS = ("before it is done", "after it took effect", "before it is removed")


@pytest.mark.parametrize("step", STEPS)
def test_killed_while_it_drains(
    hasty: Used, cut_off: Callable[[], None], path: Path, own_server: Server, step: str
) -> None:
    """Whoever dies while he drains leaves it to the next: it is done at least once."""
    hasty.invalidate("t")
    cut_off()
    with own_server.client as client:
        before = client.get("test:s:{t}")
        with Child("drainer.py", own_server.url, str(path), step) as child:
            assert child.end() == -signal.SIGKILL
        assert kept(path) == [(b"test:s:{t}",)]
        assert (client.get("test:s:{t}") == before) == (step == "before it is done")
        assert hasty.drain() == 1
        assert client.get("test:s:{t}") != before


def test_many_queue_and_many_drain(own_server: Server, path: Path) -> None:
    """Processes that invalidate through an outage, and drain after it: no tag keeps the stamp that it had."""
    with own_server.client as client:
        names = [f"test:s:{{user:{number}}}" for number in range(60)]
        for name in names:
            client.set(name, b"0" * 16)
        children = [Child("queueing.py", own_server.url, str(path), str(number), "20") for number in range(3)]
        try:
            assert [child.hear() for child in children] == ["ready"] * 3
            own_server.freeze()
            for child in children:
                child.say("go")
            assert [child.hear() for child in children] == ["Queued"] * 3
            own_server.thaw()
            assert [child.end() for child in children] == [0, 0, 0]
        finally:
            for child in children:
                child.__exit__()
        with Cache.from_url(own_server.url, namespace="test", timeout=5.0, queue=path) as cache:
            cache.drain()
        assert [name for name in names if client.get(name) == b"0" * 16] == []
    assert path.read_bytes() == b""


@pytest.mark.parametrize("queue", [5, "", "/nowhere/at/all", "relative/queue"])
def test_a_queue_that_is_none(own_server: Server, queue: Any) -> None:
    """A mistake shows when the cache is made."""
    with pytest.raises(ConfigurationError, match="queue"):
        Cache.from_url(own_server.url, queue=queue)


def test_a_record_of_another_kind_of_line(own_server: Server, path: Path, cache: Used) -> None:
    """What an invalidation writes is what a drain reads, to the byte."""
    own_server.freeze()
    cache.store.guard.invalidate_timeout = 0.2
    cache.invalidate("ü")
    [record], damaged = unpacked(path.read_bytes())
    assert (packed(record), damaged) == (path.read_bytes(), 0)
    own_server.thaw()
