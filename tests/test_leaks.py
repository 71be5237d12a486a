"""The ways in which caches leak stale data (the design's table), each with its answer, and with the answer taken out.

A scenario returns what a reader is given at its end. With unstale as it is that is the new value; with the line that
answers the leak taken out, the same scenario must give the old one: so the scenario does show the leak.
"""

from __future__ import annotations

import contextvars
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from servers import Server, free_port, require

from unstale import Cache, remembering
from unstale.core import capture, freshness, keyspace
from unstale.core.ports import Bumped, Commit, Committed, Mode
from unstale.events import Event, Refused, Why
from unstale.stores import commands, proof, redis, wire

OLD, NEW = "old", "new"
Patch = pytest.MonkeyPatch


class Database:
    """The truth that loaders read: one value, whose commit may invalidate a tag."""

    def __init__(self) -> None:
        self.value = OLD

    def load(self) -> str:
        return self.value

    def commit(self, cache: Cache, *tags: str) -> None:
        self.value = NEW
        cache.invalidate(*tags)


@pytest.fixture
def database() -> Database:
    """A database with the old value."""
    return Database()


@pytest.fixture
def other(server: Server) -> Iterator[Cache]:
    """A cache on a server, as another process would have it: its own connections."""
    with Cache.from_url(server.url, namespace="test", timeout=2.0) as made:
        yield made


@pytest.fixture
def cache(server: Server, events: list[Event]) -> Iterator[Cache]:
    """A cache on a server, telling `events`."""
    with Cache.from_url(server.url, namespace="test", timeout=2.0, on_event=events.append) as made, remembering():
        yield made


def outcomes(scenario: Callable[[], str], take_out: Callable[[Patch], None], renew: Callable[[], None]) -> list[str]:
    """What a scenario gives with the answer, then without it."""
    results = [scenario()]
    renew()
    with pytest.MonkeyPatch.context() as patch:
        take_out(patch)
        results.append(scenario())
    return results


@pytest.fixture
def compare(server: Server, database: Database) -> Callable[..., list[str]]:
    """`outcomes` on a server that is emptied in between."""

    def renew() -> None:
        database.value = OLD
        with server.client as client:
            client.flushall()

    return lambda scenario, take_out: outcomes(scenario, take_out, renew)


def stamps_taken_at_the_store(patch: Patch) -> None:
    """Observe the stamps after the load instead of before it."""
    commit = redis.RedisStore.commit

    def late(store: redis.RedisStore, commits: list[Commit]) -> list[Committed]:
        return commit(store, [one._replace(observed=(None,) * len(one.observed)) for one in commits])

    patch.setattr(redis.RedisStore, "commit", late)


def test_leak_1_fill_race(cache: Cache, other: Cache, database: Database, compare: Callable[..., list[str]]) -> None:
    """A value loaded before an invalidation and stored after it is not served."""

    def scenario() -> str:
        def slow() -> str:
            value = database.load()
            database.commit(other, "user:42")
            return value

        cache.get_or_set("k", slow, tags=["user:42"])
        return cache.get_or_set("k", database.load, tags=["user:42"])

    assert compare(scenario, stamps_taken_at_the_store) == [NEW, OLD]


def test_leak_1_is_refused(cache: Cache, other: Cache, events: list[Event]) -> None:
    """Such a value is not even stored, and an event says so."""
    cache.get_or_set("k", lambda: other.invalidate("a").bumped, tags=["a"])
    assert Refused("k", Why.STALE) in events


def test_leak_2_clocks_that_differ(
    cache: Cache, other: Cache, database: Database, compare: Callable[..., list[str]], monkeypatch: Patch
) -> None:
    """A reader whose clock stands still, or runs an hour ahead, is not given old values."""
    monkeypatch.setattr(time, "time", lambda: 4102444800.0)

    def scenario() -> str:
        cache.get_or_set("k", database.load, tags=["user:42"])
        database.commit(other, "user:42")
        return cache.get_or_set("k", database.load, tags=["user:42"])

    def clock_stamps(patch: Patch) -> None:
        patch.setattr(commands, "new_stamp", lambda: str(int(time.time())).zfill(16).encode())

    assert compare(scenario, clock_stamps) == [NEW, OLD]


def evict(server: Server, name: str) -> None:
    """Take a stamp away, as an eviction does."""
    with server.client as client:
        assert client.delete(name) == 1


def test_leak_3_a_stamp_evicted_and_created_anew(
    server: Server, cache: Cache, other: Cache, database: Database, compare: Callable[..., list[str]]
) -> None:
    """A stamp that was evicted and created anew does not bring old entries back."""

    def scenario() -> str:
        cache.get_or_set("k", database.load, tags=["user:42"])
        evict(server, "test:s:{user:42}")
        database.commit(other, "user:42")
        other.get_or_set("another", lambda: 1, tags=["user:42"])
        return cache.get_or_set("k", database.load, tags=["user:42"])

    def counters_that_start_again(patch: Patch) -> None:
        patch.setattr(commands, "new_stamp", lambda: b"0000000000000001")

    assert compare(scenario, counters_that_start_again) == [NEW, OLD]


def test_leak_3_missing_equals_nothing(
    server: Server, cache: Cache, other: Cache, database: Database, compare: Callable[..., list[str]]
) -> None:
    """An entry whose tag has lost its stamp is stale, also when nothing has created it anew."""

    def scenario() -> str:
        cache.get_or_set("k", database.load, tags=["user:42"])
        evict(server, "test:s:{user:42}")
        database.commit(other, "user:42")
        return cache.get("k", NEW, tags=["user:42"])

    def missing_matches(patch: Patch) -> None:
        patch.setattr(freshness, "equal", lambda recorded, current: current in (None, recorded))

    assert compare(scenario, missing_matches) == [NEW, OLD]


class LateProxy:
    """Between a client and a server: holds back the first bump, breaks that connection, delivers it when told."""

    def __init__(self, port: int) -> None:
        self.port = free_port()
        self.held: bytes | None = None
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._target)) as server:
            back = threading.Thread(target=self._copy, args=(server, client), daemon=True)
            back.start()
            while data := client.recv(65536):
                if b"$2\r\nXX\r\n" in data and self.held is None:
                    self.held = data
                    break
                server.sendall(data)
            client.shutdown(socket.SHUT_RDWR)
            server.shutdown(socket.SHUT_RDWR)
            back.join()

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            return

    def deliver(self) -> None:
        """Let what was held back arrive now."""
        assert self.held is not None
        with socket.create_connection(("127.0.0.1", self._target)) as server:
            server.sendall(self.held)
            server.recv(1024)

    def close(self) -> None:
        self._listener.close()


def test_leak_4_a_late_duplicate(server: Server, database: Database, compare: Callable[..., list[str]]) -> None:
    """The first, delayed attempt at an invalidation that was retried does not bring old entries back."""

    def scenario() -> str:
        proxy = LateProxy(server.port)
        with (
            Cache.from_url(server.url, namespace="test", timeout=2.0) as reader,
            Cache.from_url(f"redis://127.0.0.1:{proxy.port}", namespace="test", timeout=2.0) as writer,
        ):
            reader.get_or_set("k", lambda: "older", tags=["a"])
            writer.invalidate("a")  # its first attempt hangs in the proxy, the second takes effect
            reader.get_or_set("k", database.load, tags=["a"])
            database.commit(reader, "a")
            proxy.deliver()
            proxy.close()
            return reader.get_or_set("k", database.load, tags=["a"])

    def same_stamp_on_retry(patch: Patch) -> None:
        bump = commands.bump
        made: list[Any] = []

        def once(names: Any, ttl: float) -> Any:
            made.append(made[0] if len(made) == 1 else bump(names, ttl))
            return made[-1]

        patch.setattr(commands, "bump", once)

    assert compare(scenario, same_stamp_on_retry) == [NEW, OLD]


def without_identity(patch: Patch) -> None:
    """Take every server for the same."""
    prove = wire.Wire.prove

    def same(one: wire.Wire, replication: Any, asked_at: float) -> None:
        prove(one, replication, asked_at)
        one.identity = bytes(range(16))

    patch.setattr(wire.Wire, "prove", same)


@pytest.mark.parametrize("kind", ["valkey", "redis"])
def test_leak_8_restart_from_an_old_snapshot(kind: str, tmp_path: Path, database: Database) -> None:
    """A server that restarts from an old snapshot brings no old stamp back into force."""
    require(kind)
    runs = iter(range(9))

    def scenario() -> str:
        server = Server(kind, tmp_path / str(next(runs)))
        with server, Cache.from_url(server.url, namespace="test", timeout=2.0) as cache:
            cache.get_or_set("k", database.load, tags=["a"])
            with server.client as client:
                client.save()
            database.commit(cache, "a")
            server.kill()
            server.start()
            return cache.get_or_set("k", database.load, tags=["a"])

    assert outcomes(scenario, without_identity, lambda: setattr(database, "value", OLD)) == [NEW, OLD]


@pytest.fixture(params=["valkey", "redis"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], tuple[Server, Server]]]:
    """Makes a primary and a replica that follows it, as often as it is called."""
    require(request.param)
    running: list[Server] = []

    def make() -> tuple[Server, Server]:
        options = ("--repl-diskless-sync-delay", "0")
        two = [Server(request.param, tmp_path / f"node{len(running) + n}", *options).start() for n in range(2)]
        running.extend(two)
        follow(two[1], two[0])
        return two[0], two[1]

    yield make
    for server in running:
        server.__exit__()


def follow(replica: Server, primary: Server) -> None:
    """Make a server a replica, and wait until it has caught up."""
    with replica.client as client:
        client.replicaof("127.0.0.1", primary.port)
        deadline = time.monotonic() + 20
        while client.info("replication").get("master_link_status") != "up":
            assert time.monotonic() < deadline
            time.sleep(0.02)


def caught_up(replica: Server, primary: Server) -> None:
    """Wait until a replica has everything."""
    with primary.client as client:
        client.set("mark", 1)
        assert client.wait(1, 5000) == 1


def test_leak_8_failover_to_a_lagging_replica(pair: Callable[[], tuple[Server, Server]], database: Database) -> None:
    """A replica that missed an invalidation and is promoted brings no old stamp back into force."""

    def scenario() -> str:
        primary, replica = pair()
        with Cache.from_url(primary.url, namespace="test", timeout=2.0) as cache:
            cache.get_or_set("k", database.load, tags=["a"])
            caught_up(replica, primary)
            with replica.client as client:
                client.replicaof("127.0.0.1", free_port())  # cut off from now on
                database.commit(cache, "a")
                client.replicaof("NO", "ONE")
        with Cache.from_url(replica.url, namespace="test", timeout=2.0) as cache:
            return cache.get_or_set("k", database.load, tags=["a"])

    assert outcomes(scenario, without_identity, lambda: setattr(database, "value", OLD)) == [NEW, OLD]


def test_leak_9_a_demoted_primary_keeps_its_clients(
    pair: Callable[[], tuple[Server, Server]], database: Database
) -> None:
    """Once the last proof is a second old, what a demoted primary shows is not served."""

    def scenario() -> str:
        primary, replica = pair()
        with (
            Cache.from_url(primary.url, namespace="test", timeout=2.0) as reader,
            Cache.from_url(replica.url, namespace="test", timeout=2.0) as writer,
        ):
            reader.get_or_set("k", database.load, tags=["a"])
            with replica.client as client:
                client.replicaof("NO", "ONE")
            with primary.client as client:
                client.replicaof("127.0.0.1", free_port())  # demoted, and its new primary out of reach
            database.commit(writer, "a")
            time.sleep(wire.PROOF_SECONDS + 0.1 if wire.PROOF_SECONDS < 10 else 1.1)
            return reader.get("k", NEW, tags=["a"])

    def trust_for_ever(patch: Patch) -> None:
        patch.setattr(wire, "PROOF_SECONDS", 1e9)

    assert outcomes(scenario, trust_for_ever, lambda: setattr(database, "value", OLD)) == [NEW, OLD]


def test_leak_10_a_replica_is_not_read(pair: Callable[[], tuple[Server, Server]], database: Database) -> None:
    """A connection to a replica, which may lag, serves nothing."""

    def scenario() -> str:
        primary, replica = pair()
        with (
            Cache.from_url(primary.url, namespace="test", timeout=2.0) as writer,
            Cache.from_url(replica.url, namespace="test", timeout=2.0) as reader,
        ):
            writer.get_or_set("k", database.load, tags=["a"])
            caught_up(replica, primary)
            with replica.client as client:
                client.replicaof("127.0.0.1", free_port())  # it lags from now on
            database.commit(writer, "a")
            return reader.get("k", NEW, tags=["a"])

    def any_role(patch: Patch) -> None:
        without_identity(patch)
        field = proof._field
        patch.setattr(proof, "_field", lambda info, name: b"master" if name == b"role" else field(info, name))

    assert outcomes(scenario, any_role, lambda: setattr(database, "value", OLD)) == [NEW, OLD]


def test_leak_13_a_full_server(own_server: Server, database: Database) -> None:
    """A server that is out of memory and refuses SET still takes an invalidation."""

    def scenario() -> str:
        with Cache.from_url(own_server.url, namespace="test", timeout=2.0) as cache, own_server.client as client:
            client.config_set("maxmemory", 0)
            cache.get_or_set("k", database.load, tags=["a"])
            client.config_set("maxmemory", 1)
            database.commit(cache, "a")
            return cache.get_or_set("k", database.load, tags=["a"])

    def shrug(patch: Patch) -> None:
        patch.setattr(commands, "_bumped", lambda _: Bumped.CHANGED)

    def renew() -> None:
        database.value = OLD
        with own_server.client as client:
            client.flushall()

    assert outcomes(scenario, shrug, renew) == [NEW, OLD]


def test_leak_14_tags_that_change_with_a_deploy(
    cache: Cache, other: Cache, database: Database, compare: Callable[..., list[str]]
) -> None:
    """An entry stored before a key was given a new tag is not served to who asks for that tag."""

    def scenario() -> str:
        cache.get_or_set("k", database.load, tags=["user:42"])
        database.commit(other, "team:7")  # the new release's writers invalidate a tag that the entry does not record
        return cache.get_or_set("k", database.load, tags=["user:42", "team:7"])

    def any_tags(patch: Patch) -> None:
        judge = keyspace.judge
        patch.setattr(keyspace, "judge", lambda data, raw, _, *rest: judge(data, raw, (), *rest))

    assert compare(scenario, any_tags) == [NEW, OLD]


def test_leak_15_a_value_computed_from_another(
    cache: Cache, other: Cache, database: Database, compare: Callable[..., list[str]]
) -> None:
    """A cached value computed from a cached value is stale when that one is."""

    def scenario() -> str:
        def outer() -> str:
            return cache.get_or_set("inner", database.load, tags=["user:42"])

        cache.get_or_set("inner", database.load, tags=["user:42"])
        cache.get_or_set("outer", outer, tags=["page:1"])
        database.commit(other, "user:42")
        return cache.get_or_set("outer", outer, tags=["page:1"])

    def forget(patch: Patch) -> None:
        patch.setattr(capture, "heir", lambda _: None)

    assert compare(scenario, forget) == [NEW, OLD]


def test_leak_15_stamps_are_inherited_never_read_anew(
    cache: Cache, other: Cache, database: Database, compare: Callable[..., list[str]]
) -> None:
    """When the inner value is invalidated while the outer is computed, the outer is not served either."""

    def scenario() -> str:
        def outer() -> str:
            value = cache.get_or_set("inner", database.load, tags=["user:42"])
            database.commit(other, "user:42")
            return value

        cache.get_or_set("outer", outer, tags=["page:1"])
        return cache.get_or_set("outer", database.load, tags=["page:1"])

    assert compare(scenario, stamps_taken_at_the_store) == [NEW, OLD]


def test_leak_16_who_waits_looks_again(
    cache: Cache, other: Cache, database: Database, compare: Callable[..., list[str]]
) -> None:
    """A waiter's value comes with its entry's stamps: an outer value made of it is stale when it is."""

    def scenario() -> str:
        leading, go_on = threading.Event(), threading.Event()

        def slow() -> str:
            leading.set()
            assert go_on.wait(10)
            return database.load()

        def outer() -> str:
            threading.Timer(0.05, go_on.set).start()
            return cache.get_or_set("inner", lambda: "loaded twice", tags=["user:42"])

        leader = threading.Thread(target=lambda: other.get_or_set("inner", slow, tags=["user:42"]))
        leader.start()
        assert leading.wait(10)
        assert cache.get_or_set("outer", outer, tags=["page:1"]) == OLD
        leader.join()
        database.commit(other, "user:42")
        return cache.get_or_set("outer", database.load, tags=["page:1"])

    def take_it_on_trust(patch: Patch) -> None:
        patch.setattr(keyspace.Look, "inherit", lambda *_: None)

    assert compare(scenario, take_it_on_trust) == [NEW, OLD]


def test_leak_16_a_closed_tag_is_not_waited_for(server: Server, cache: Cache, events: list[Event]) -> None:
    """Under a closed stamp everybody loads for himself, and nothing is stored."""
    with server.client as client:
        client.zadd("test:s:{a}", {"owner": 4102444800})
    assert [cache.get_or_set("k", lambda n=n: n, tags=["a"]) for n in (1, 2)] == [1, 2]
    assert [event.why for event in events if isinstance(event, Refused)] == [Why.CLOSED, Why.CLOSED]
    with server.client as client:
        assert client.keys("test:[elt]*") == []


def test_leak_17_deleted_while_it_is_filled(
    cache: Cache, other: Cache, database: Database, compare: Callable[..., list[str]]
) -> None:
    """A key deleted while its fill is under way holds nothing afterwards."""

    def scenario() -> str:
        def slow() -> str:
            value = database.load()
            database.value = NEW
            other.delete("k")
            return value

        cache.get_or_set("k", slow)
        return cache.get_or_set("k", database.load)

    def leave_the_lease(patch: Patch) -> None:
        peek = commands.peek
        patch.setattr(commands, "peek", lambda entry, stamps, remove: peek(entry, stamps, remove[:1]))

    assert compare(scenario, leave_the_lease) == [NEW, OLD]


def test_leak_17_set_while_it_is_filled(
    cache: Cache, other: Cache, database: Database, compare: Callable[..., list[str]]
) -> None:
    """A key set while its fill is under way keeps what was set."""

    def scenario() -> str:
        def slow() -> str:
            value = database.load()
            other.set("k", NEW)
            return value

        cache.get_or_set("k", slow)
        return cache.get_or_set("k", database.load)

    def store_without_the_lease(patch: Patch) -> None:
        patch.setitem(commands._MODES, Mode.FILL, b"set")

    assert compare(scenario, store_without_the_lease) == [NEW, OLD]


def test_leak_18_get_then_set(
    cache: Cache, other: Cache, database: Database, compare: Callable[..., list[str]]
) -> None:
    """get, miss, compute, set: stored under the stamps that the get saw, so an invalidation in between counts."""

    def scenario() -> str:
        with remembering():
            assert cache.get("k", tags=["user:42"]) is None
            value = database.load()
            database.commit(other, "user:42")
            cache.set("k", value, tags=["user:42"])
        return cache.get_or_set("k", database.load, tags=["user:42"])

    def forget(patch: Patch) -> None:
        patch.setattr(capture, "recall", lambda *_: None)

    assert compare(scenario, forget) == [NEW, OLD]


def the_last_look_counts(patch: Patch) -> None:
    """Remember of each stamp only what the last look at any key saw."""
    remember = capture.remember

    def forgetful(owner: int, raw_key: bytes, stamps: Any, identity: bytes) -> None:
        seen = list(stamps)
        memory = capture._remembered.get()
        memory.tags.clear()
        memory.keys.clear()
        remember(owner, raw_key, seen, identity)

    patch.setattr(capture, "remember", forgetful)


def test_leak_18_two_keys_of_one_tag(
    cache: Cache, other: Cache, database: Database, compare: Callable[..., list[str]]
) -> None:
    """A later look at another key of the same tag does not make what was computed before it pass as new."""

    def scenario() -> str:
        with remembering():
            cache.get("page", tags=["user:42"])
            page = database.load()
            database.commit(other, "user:42")
            cache.get("summary", tags=["user:42"])
            cache.set("page", page, tags=["user:42"])
        return cache.get_or_set("page", database.load, tags=["user:42"])

    assert compare(scenario, the_last_look_counts) == [NEW, OLD]


def test_leak_18_a_key_that_was_never_read(
    cache: Cache, other: Cache, database: Database, compare: Callable[..., list[str]]
) -> None:
    """A set of a key that was never read uses the first look at its tags (`cache_page` stores such a key)."""

    def scenario() -> str:
        with remembering():
            cache.get("headers", tags=["user:42"])
            page = database.load()
            database.commit(other, "user:42")
            cache.get("fragment", tags=["user:42"])
            cache.set("page", page, tags=["user:42"])
        return cache.get_or_set("page", database.load, tags=["user:42"])

    assert compare(scenario, the_last_look_counts) == [NEW, OLD]


def test_leak_18_a_look_again_before_the_set(cache: Cache, other: Cache) -> None:
    """In a request a key's first look counts: what was computed after it may be older than the second one."""
    cache.get("k", tags=["a"])
    other.invalidate("a")
    assert cache.get("k", tags=["a"]) is None
    assert cache.set("k", "computed before the second look", tags=["a"]) is False


def test_leak_18_a_refused_set_that_is_repeated(cache: Cache, other: Cache) -> None:
    """In a request a set that was refused is refused again."""
    cache.get("k", tags=["a"])
    other.invalidate("a")
    assert [cache.set("k", 1, tags=["a"]), cache.add("k", 1, tags=["a"])] == [False, False]


def test_leak_18_a_get_that_failed(own_server: Server, database: Database) -> None:
    """What could not be looked up is not stored by the set that follows."""
    with Cache.from_url(own_server.url, namespace="test", timeout=0.2) as cache, remembering():
        cache.ping()
        own_server.freeze()
        assert cache.get("k", tags=["a"]) is None
        own_server.thaw()
        value = database.load()
        database.commit(cache.scope("another", "process"), "a")
        assert cache.set("k", value, tags=["a"]) is False


def test_leak_15_a_loader_that_raises(cache: Cache, other: Cache, database: Database) -> None:
    """A loader that goes on when an inner one raises depends on what that one has looked at."""

    def inner() -> str:
        if cache.get_or_set("status", database.load, tags=["user:42"]) == OLD:
            raise PermissionError
        return NEW

    def outer() -> str:
        try:
            return cache.get_or_set("inner", inner)
        except PermissionError:
            return OLD

    assert cache.get_or_set("outer", outer) == OLD
    database.commit(other, "user:42")
    assert cache.get_or_set("outer", outer) == NEW


@pytest.mark.parametrize("ask", ["has_key", "ttl", "get"])
def test_leak_15_a_loader_that_asks(cache: Cache, other: Cache, ask: str) -> None:
    """A loader that asks whether there is an entry depends on it, be it there or not."""
    for _ in range(2):
        cache.get_or_set("outer", lambda: bool(getattr(cache, ask)("k", tags=["a"])))
        other.set("k", 1, tags=["a"])
        other.invalidate("a")
        assert cache.has_key("outer") is False


def test_leak_18_each_fill_of_a_key_counts_anew(cache: Cache, other: Cache) -> None:
    """A thread that fills a key again and again, with others invalidating in between, is refused nothing."""

    def fills() -> list[bool]:
        stored = []
        for number in range(3):
            assert cache.get("k", tags=["a"]) is None
            stored.append(cache.set("k", number, tags=["a"]))
            other.invalidate("a")
        return stored

    assert contextvars.Context().run(fills) == [True, True, True]


def test_leak_18_a_get_that_did_not_say_its_tags(cache: Cache, other: Cache, database: Database) -> None:
    """Where a stale entry tells its tags, a get without them remembers their stamps too."""
    cache.set("k", OLD, tags=["user:42"])
    other.invalidate("user:42")
    assert cache.get("k") is None
    value = database.load()
    database.commit(other, "user:42")
    assert cache.set("k", value, tags=["user:42"]) is False
    assert cache.get_or_set("k", database.load, tags=["user:42"]) == NEW


def test_leak_18_closed_when_it_was_read(server: Server, cache: Cache, events: list[Event]) -> None:
    """What was closed at the get is not stored by the set, though it is open by then."""
    with server.client as client:
        client.zadd("test:s:{a}", {"owner": 4102444800})
        cache.get("k", tags=["a"])
        client.delete("test:s:{a}")
    assert cache.set("k", 1, tags=["a"]) is False
    assert Refused("k", Why.CLOSED) in events


def test_leak_18_own_invalidation(cache: Cache) -> None:
    """In a request one's own invalidation counts like anybody's: what was read before it is not stored after it."""
    cache.get("k", tags=["a"])
    cache.invalidate("a")
    assert cache.set("k", 1, tags=["a"]) is False


def test_leak_18_own_invalidation_forgets(cache: Cache) -> None:
    """Outside a request a set after one's own invalidation takes the present stamps."""

    def act() -> bool:
        cache.get("k", tags=["a"])
        cache.invalidate("a")
        return cache.set("k", 1, tags=["a"])

    assert contextvars.Context().run(act) is True
    assert cache.get("k", tags=["a"]) == 1


def test_leak_18_refused_once_only(cache: Cache, other: Cache) -> None:
    """Outside a request, a set that was refused for what another invalidated does not refuse the next one too."""

    def sets() -> list[bool]:
        cache.get("k", tags=["a"])
        other.invalidate("a")
        return [cache.set("k", 1, tags=["a"]) for _ in range(2)]

    assert contextvars.Context().run(sets) == [False, True]


def test_leak_18_more_keys_than_are_remembered(cache: Cache, other: Cache, monkeypatch: Patch) -> None:
    """In a request that has read more keys than are remembered, none passes for one that was not read."""
    monkeypatch.setattr(capture, "MAX_STRICT_KEYS", 10)
    keys = [f"k{number}" for number in range(20)]
    cache.get_many(keys, tags=lambda key: [f"t:{key}"])
    other.invalidate(*(f"t:{key}" for key in keys))
    assert cache.set_many(dict.fromkeys(keys, "old"), tags=lambda key: [f"t:{key}"]) == keys
