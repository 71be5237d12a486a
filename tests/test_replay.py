"""`fence="replay"`: a failover leaves the cache warm, and this process's recent invalidations are made again first."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from replicas import KINDS, Pair, opened
from servers import SERVERS, Server, require

from unstale import Cache, options, remembering
from unstale.core.replay import Note, Recent
from unstale.errors import NotPrimaryError, StoreRefusedError, StoreUnavailableError
from unstale.stores import replaying, wire

OLD, NEW = "the old value", "the new value"


# What is remembered: the pure part


ROOTS = (b"r0", b"r1")


def test_nothing_is_owed_where_it_took_effect() -> None:
    """A bump is owed to every server but the one that answered it; to one that is not known, always."""
    recent = Recent(ROOTS)
    recent.note([b"a", b"b"], 10.0)
    recent.settle([b"a"], b"A")
    assert set(recent.owed(b"A", 11.0)) == {b"b"}
    assert set(recent.owed(b"B", 11.0)) == {b"a", b"b"}
    assert set(recent.owed(None, 11.0)) == {b"a", b"b"}


def test_a_later_bump_is_owed_anew() -> None:
    """Where the last bump of a stamp took effect counts, not where an earlier one did."""
    recent = Recent(ROOTS)
    recent.note([b"a"], 10.0)
    recent.settle([b"a"], b"A")
    recent.note([b"a"], 11.0)
    assert recent.owed(b"A", 12.0) == {b"a": Note(11.0)}


def test_forth_and_back() -> None:
    """What was brought to a second server is owed to the first again: it may have followed somebody meanwhile."""
    recent = Recent(ROOTS)
    recent.note([b"a"], 10.0)
    recent.settle([b"a"], b"A")
    recent.settle([b"a"], b"B")
    assert [len(recent.owed(server, 11.0)) for server in (b"A", b"B")] == [1, 0]


def test_after_a_minute_it_is_forgotten() -> None:
    """A bump is owed for a while, and then takes no more memory."""
    recent = Recent(ROOTS, seconds=60.0)
    recent.note([b"a"], 10.0)
    assert [len(recent.owed(b"A", now)) for now in (69.0, 70.0)] == [1, 0]
    recent.note([b"b"], 71.0)
    assert set(recent._notes) == {b"b"}


def test_no_more_than_so_many_are_remembered() -> None:
    """Where the oldest must be forgotten everything is owed instead, for as long as they would have been."""
    recent = Recent(ROOTS, seconds=60.0, most=100)
    for number in range(1000):
        recent.note([b"%d" % number], 10.0 + number / 1000)
        assert len(recent._notes) <= 100
    assert [recent.owes_all(b"A", now) for now in (11.0, 69.0, 72.0)] == [True, True, False]
    assert b"999" in recent.owed(b"A", 11.0)
    recent.settle_all(b"A")
    assert [recent.owes_all(server, 12.0) for server in (b"A", b"B", None)] == [False, True, True]


def test_what_is_forgotten_where_it_took_effect() -> None:
    """Many bumps at one server are no reason to make everything stale there, at its next connection."""
    recent = Recent(ROOTS, seconds=60.0, most=100)
    for number in range(1000):
        recent.note([b"%d" % number], 10.0)
        recent.settle([b"%d" % number], b"A")
    assert [recent.owes_all(server, 11.0) for server in (b"A", b"B")] == [False, True]
    recent.note([b"%d" % number for number in range(2000, 2200)], 11.0)
    assert recent.owes_all(b"A", 12.0)


# On real servers


@pytest.fixture(autouse=True)
def a_process_of_its_own() -> Iterator[None]:
    """What one test has bumped is not the next one's, nor what it remembers."""
    options._recents.clear()
    with remembering():
        yield


def another_process() -> None:
    """From here on caches are made as in another process."""
    options._recents.clear()


@pytest.fixture(params=SERVERS)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    """A primary with its replica."""
    require(request.param)
    with Pair(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def one_pair(tmp_path: Path) -> Iterator[Pair]:
    """The same of one kind: where it is not the server's behaviour that counts."""
    with Pair("valkey", tmp_path) as made:
        yield made


kinds = pytest.mark.parametrize("kind", KINDS)


INVALIDATIONS: dict[str, Callable[[Any], Any]] = {
    "a tag": lambda cache: cache.invalidate("t"),
    "softly": lambda cache: cache.invalidate("t", soft=True),
    "all": lambda cache: cache.clear(),
    "a strict write": lambda cache: cache.complete(cache.begin_strict("t")),
}


HOW = [*((name, 0) for name in INVALIDATIONS), ("a tag", 5.0), ("a strict write", 5.0)]


@kinds
@pytest.mark.parametrize(("name", "lag"), HOW)
def test_a_failover_brings_nothing_back(pair: Pair, kind: str, name: str, lag: float) -> None:
    """What this process invalidated is stale on the new primary, which never heard of it; the rest is still there."""
    with opened(kind, pair.url, fence="replay") as cache:
        with opened(kind, pair.url, fence="replay") as filler:
            filler.set("k", OLD, tags=["t"])
            filler.set("other", OLD, tags=["another"])
        pair.caught_up()
        pair.cut_off()
        with opened(kind, pair.url, fence="replay", replica_lag=lag) as writer:
            INVALIDATIONS[name](writer)
        pair.fail_over()
        assert cache.get("k", NEW, tags=["t"]) == NEW
        kept = cache.get("other", NEW, tags=["another"])
        assert kept == (NEW if name == "all" else OLD)


@kinds
def test_without_replay_it_comes_back(one_pair: Pair, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The failover above is one that brings old stamps back: where nothing is noted the old value is served."""
    monkeypatch.setattr(Recent, "note", lambda *_: None)
    with opened(kind, one_pair.url, fence="replay") as cache:
        cache.set("k", OLD, tags=["t"])
        one_pair.caught_up()
        one_pair.cut_off()
        cache.invalidate("t")
        one_pair.fail_over()
        assert cache.get("k", NEW, tags=["t"]) == OLD


@kinds
def test_a_process_that_died_cannot_replay(one_pair: Pair, kind: str) -> None:
    """This is what is not promised: an invalidation that the replica missed, of a process that is gone."""
    with opened(kind, one_pair.url, fence="replay") as writer:
        writer.set("k", OLD, tags=["t"])
        one_pair.caught_up()
        one_pair.cut_off()
        writer.invalidate("t")
    another_process()
    one_pair.fail_over()
    with opened(kind, one_pair.url, fence="replay") as reader:
        assert reader.get("k", NEW, tags=["t"]) == OLD


@kinds
def test_another_process_replays_its_own(one_pair: Pair, kind: str) -> None:
    """Once the process that invalidated has used the new primary, no other one is served the old value there."""
    with opened(kind, one_pair.url, fence="replay") as writer:
        writer.set("k", OLD, tags=["t"])
        one_pair.caught_up()
        one_pair.cut_off()
        writer.invalidate("t")
        another_process()
        with opened(kind, one_pair.url, fence="replay") as reader:
            one_pair.fail_over()
            writer.ping()
            assert reader.get("k", NEW, tags=["t"]) == NEW


@kinds
@pytest.mark.parametrize("server_kind", SERVERS)
def test_a_restart_from_an_old_snapshot(server_kind: str, tmp_path: Path, kind: str) -> None:
    """A restart from a snapshot leaves the cache warm, but for what was invalidated since."""
    require(server_kind)
    server = Server(server_kind, tmp_path / "server")
    with server, opened(kind, server.url, fence="replay") as cache, server.client as client:
        cache.set("k", OLD, tags=["t"])
        cache.set("other", OLD, tags=["another"])
        client.save()
        cache.invalidate("t")
        server.kill()
        server.start()
        assert cache.get("other", tags=["another"]) == OLD
        assert cache.get("k", NEW, tags=["t"]) == NEW


@kinds
def test_more_bumps_than_are_remembered(one_pair: Pair, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then everything is stale at a new primary, and nothing is at the old one."""
    monkeypatch.setattr(Recent.__init__, "__defaults__", (60.0, 10))
    with opened(kind, one_pair.url, fence="replay") as cache:
        cache.set("k", OLD, tags=["t"])
        one_pair.caught_up()
        one_pair.cut_off()
        cache.invalidate("t")
        for number in range(30):
            cache.invalidate(f"tag{number}")
        cache.set("other", OLD)
        with opened(kind, one_pair.url, fence="replay") as second:
            assert second.get("other") == OLD
        one_pair.fail_over()
        assert cache.get("k", NEW, tags=["t"]) == NEW


@kinds
def test_many_are_brought(one_pair: Pair, kind: str) -> None:
    """Thousands of bumps are brought before the first read."""
    count = 3 * replaying.AT_A_TIME
    with opened(kind, one_pair.url, fence="replay", timeout=5.0) as cache:
        cache.set_many({f"k{n}": OLD for n in range(count)}, tags=lambda key: (f"t{key}",))
        one_pair.caught_up()
        one_pair.cut_off()
        cache.invalidate(*(f"tk{n}" for n in range(count)))
        one_pair.fail_over()
        assert cache.get_many([f"k{n}" for n in range(count)], tags=lambda key: (f"t{key}",)) == {}


@kinds
def test_the_first_connection_brings_nothing(session_servers: Callable[[str], Server], kind: str) -> None:
    """A process's first connections write nothing, whatever it bumps first."""
    server = session_servers("valkey")
    with server.client as client:
        client.flushall()
        with opened(kind, server.url, fence="replay") as cache:
            cache.set("k", OLD, tags=["t"])
            before = client.info("commandstats")["cmdstat_set"]["calls"]
            cache.invalidate("t")
            with opened(kind, server.url, fence="replay") as second:
                second.ping()
            assert client.info("commandstats")["cmdstat_set"]["calls"] == before + 1


@kinds
def test_a_full_new_primary(one_pair: Pair, kind: str) -> None:
    """Where the new primary has no memory for new stamps the old ones are removed."""
    with opened(kind, one_pair.url, fence="replay") as cache:
        cache.set("k", OLD, tags=["t"])
        one_pair.caught_up()
        one_pair.cut_off()
        cache.invalidate("t")
        one_pair.promote()
        with one_pair.replica.client as client:
            client.config_set("maxmemory", 1)
            one_pair.turn_address()
            one_pair.primary.kill()
            assert cache.get("k", NEW, tags=["t"]) == NEW
            assert client.exists("test:s:{t}") == 0


@kinds
def test_a_live_connection_whose_server_changes(pair: Pair, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A primary that is demoted, resynchronized and promoted again between two proofs is another server."""
    monkeypatch.setattr(wire, "PROOF_SECONDS", 0.05)
    with opened(kind, pair.primary.url, fence="replay") as cache:
        cache.set("k", OLD, tags=["t"])
        pair.caught_up()
        pair.cut_off()
        cache.invalidate("t")
        pair.promote()
        with pair.primary.client as client:
            client.replicaof("127.0.0.1", pair.replica.port)
            deadline = time.monotonic() + 20
            while client.info("replication").get("master_link_status") != "up":
                assert time.monotonic() < deadline
                time.sleep(0.02)
            client.replicaof("NO", "ONE")
        time.sleep(0.1)
        assert cache.get("k", NEW, tags=["t"]) == NEW


@kinds
def test_with_wait(one_pair: Pair, kind: str) -> None:
    """Both together: a bump that the replica does not acknowledge raises, and is brought to it when it is promoted."""
    given: Any = {"fence": "replay", "wait": 1, "wait_timeout": 0.05}
    with opened(kind, one_pair.url, **given) as cache:
        cache.set("k", OLD, tags=["t"])
        one_pair.caught_up()
        one_pair.cut_off()
        with pytest.raises(Exception, match="0 of 1"):
            cache.invalidate("t")
        one_pair.fail_over()
        assert cache.get("k", NEW, tags=["t"]) == NEW


def test_entries_are_bound_to_no_server(session_servers: Callable[[str], Server]) -> None:
    """With this fence an entry says that identities do not count, and to no cache is it fenced."""
    server = session_servers("valkey")
    with opened("sync", server.url, fence="replay") as cache:
        cache.set("k", OLD, tags=["t"])
        found = cache.inspect("k").entry
        assert found is not None
        assert not found.fenced


# Where INFO is hidden


class Hiding:
    """A server with a user "app" who may do all but some commands."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.url = server.url.replace("//", "//app:secret@")

    def hide(self, *commands: str) -> None:
        with self.server.client as client:
            client.flushall()
            denied = [f"-{command}" for command in commands]
            client.execute_command("ACL", "SETUSER", "app", "reset", "on", ">secret", "~test:*", "+@all", *denied)


@pytest.fixture
def hiding(own_server: Server) -> Hiding:
    """A server of each kind."""
    return Hiding(own_server)


@kinds
@pytest.mark.parametrize("fence", ["tags", "all"])
def test_hidden_info_is_an_error_that_names_replay(hiding: Hiding, kind: str, fence: str) -> None:
    """Without INFO a cache that binds its entries to a server has none, and says what else there is."""
    hiding.hide("info")
    with opened(kind, hiding.url, fence=fence) as cache:
        with pytest.raises(StoreRefusedError, match=r'\+info.*fence="replay"'):
            cache.ping()
        assert cache.get_or_set("k", lambda: "loaded", tags=["t"]) == "loaded"
        assert cache.get("k", "none", tags=["t"]) == "none"


HIDDEN = {"info": ("info",), "info and role": ("info", "role")}
hidden = pytest.mark.parametrize("commands", HIDDEN.values(), ids=HIDDEN)


@kinds
@hidden
def test_replay_works_without_info(
    hiding: Hiding, kind: str, commands: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """Every step of a value's life works without INFO, also without ROLE; and it is said once, loudly."""
    hiding.hide(*commands)
    with caplog.at_level(logging.WARNING, "unstale"):
        for _ in range(3):
            with opened(kind, hiding.url, fence="replay") as cache:
                assert cache.get_or_set("k", lambda: OLD, tags=["t"]) == OLD
                assert cache.get("k", tags=["t"]) == OLD
                cache.invalidate("t")
                assert cache.get("k", "none", tags=["t"]) == "none"
                assert cache.set("k", NEW, tags=["t"])
                assert cache.get("k", tags=["t"]) == NEW
                cache.complete(cache.begin_strict("t"))
    assert [record.levelname for record in caplog.records if "hides INFO" in record.message] == ["WARNING"]


@kinds
@hidden
def test_a_replica_is_refused_without_info(pair: Pair, kind: str, commands: tuple[str, ...]) -> None:
    """A replica is refused by its role, or because it refuses to write: at once, and when a primary becomes one."""
    hiding = Hiding(pair.replica)
    with pair.replica.client as client:
        client.replicaof("NO", "ONE")
        hiding.hide(*commands)
        with opened(kind, hiding.url, fence="replay") as cache:
            cache.set("k", OLD, tags=["t"])
            client.replicaof("127.0.0.1", pair.primary.port)
            with opened(kind, hiding.url, fence="replay") as late, pytest.raises(NotPrimaryError):
                late.ping()
            time.sleep(wire.PROOF_SECONDS + 0.1)
            assert cache.get("k", NEW, tags=["t"]) == NEW


@kinds
@hidden
def test_each_new_connection_replays(hiding: Hiding, kind: str, commands: tuple[str, ...]) -> None:
    """Without an identity a broken connection is the only sign of a failover: the next one replays."""
    hiding.hide(*commands)
    with opened(kind, hiding.url, fence="replay") as cache, hiding.server.client as client:
        cache.set("k", OLD, tags=["t"])
        name = "test:s:{t}"
        before = client.get(name)
        cache.invalidate("t")
        client.set(name, before)  # as on a replica that missed it
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert cache.get("k", NEW, tags=["t"]) == NEW


@kinds
def test_an_info_without_an_identity(hiding: Hiding, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An INFO that is answered, but shows neither run_id nor role, is as none."""
    monkeypatch.setattr("unstale.stores.proof._field", lambda *_: b"")
    hiding.hide()
    with opened(kind, hiding.url, fence="replay") as cache:
        cache.set("k", OLD, tags=["t"])
        assert cache.get("k", tags=["t"]) == OLD
    with opened(kind, hiding.url) as cache, pytest.raises(StoreRefusedError, match=r"no run_id.*fence="):
        cache.ping()


def test_a_connection_of_another_server_is_not_used() -> None:
    """What one connection has proved of its server does not change."""
    replaying.check_same(b"", b"A")
    replaying.check_same(b"A", b"A")
    with pytest.raises(StoreUnavailableError, match="another"):
        replaying.check_same(b"A", b"B")


def test_caches_of_a_process_share_their_bumps() -> None:
    """What one cache of a namespace bumps any other of the process brings to a new server; other namespaces' do not."""
    one, two = (options.store_options({"fence": "replay", "namespace": "shop"}).recent for _ in range(2))
    assert one is two
    assert options.store_options({"fence": "replay", "namespace": "blog"}).recent is not one
    assert options.store_options({"namespace": "shop"}).recent is None
    assert isinstance(Cache.from_url("memory://", fence="replay"), Cache)
