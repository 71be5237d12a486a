"""A server that is dead, silent, full, busy, or that forgets: reads go on without it, writes raise, both in time."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any, Self

import hiredis
import pytest
import redis
from servers import SERVERS, Server, free_port, require

from unstale import Cache, remembering
from unstale.core.ports import Commit, Committed
from unstale.errors import StoreAuthError, StoreError, StoreFullError, StoreTimeoutError, StoreUnavailableError
from unstale.events import Event, Failed, Hit, Refused, Why
from unstale.stores import commands

PATIENT = 5.0
"""The time limit where it must not run out, however busy the machine is."""
HASTY = 0.3
"""The time limit where it must."""
NOT_HUNG = 4.0
"""Far more than three times the hasty time limit, less than the patient one."""

Verb = Callable[[Cache], Any]

READS: dict[str, tuple[Verb, Any]] = {
    "get": (lambda cache: cache.get("k", "default", tags=["t"]), "default"),
    "get_or_set": (lambda cache: cache.get_or_set("k", lambda: "loaded", tags=["t"]), "loaded"),
    "get_many": (lambda cache: cache.get_many(["k", "l"], tags=["t"]), {}),
    "has_key": (lambda cache: cache.has_key("k", tags=["t"]), False),
}
"""Each verb that reads, and what it gives without a server."""

ONCE: dict[str, Verb] = {
    "add": lambda cache: cache.add("new", "v"),
    "incr": lambda cache: cache.incr("new", initial=0),
}
"""The verbs that must not happen twice."""

WRITES: dict[str, Verb] = {
    **ONCE,
    "set": lambda cache: cache.set("k", "v", tags=["t"]),
    "set_many": lambda cache: cache.set_many({"k": "v", "l": "w"}),
    "delete": lambda cache: cache.delete("k"),
    "touch": lambda cache: cache.touch("k", 60),
    "ttl": lambda cache: cache.ttl("k"),
    "replace": lambda cache: cache.replace("k", "v", tags=["t"]),
    "delete_many": lambda cache: cache.delete_many(["k", "l"], tags=["t"]),
    "delete_matching": lambda cache: cache.delete_matching("k*"),
    "iter_keys": lambda cache: list(cache.iter_keys()),
    "inspect": lambda cache: cache.inspect("k"),
    "invalidate": lambda cache: cache.invalidate("t", "u"),
    "clear": lambda cache: cache.clear(),
    "invalidate of a scope": lambda cache: cache.scope("user", 1).invalidate(),
    "ping": lambda cache: cache.ping(),
}
"""Each verb that must not pretend to have worked."""

reads = pytest.mark.parametrize(("read", "fallback"), READS.values(), ids=READS)
writes = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
only_valkey = pytest.mark.parametrize("own_server", ["valkey"], indirect=True)
"""What happens on the client's side needs no second kind of server."""
Open = Callable[..., Cache]


@pytest.fixture
def open_cache(events: list[Event]) -> Iterator[Open]:
    """Opens caches that tell `events`, and closes them at the end."""
    with ExitStack() as stack, remembering():

        def opened(url: str, **options: Any) -> Cache:
            given = {"namespace": "test", "timeout": PATIENT, "on_event": events.append, **options}
            return stack.enter_context(Cache.from_url(url, **given))

        yield opened


@pytest.fixture
def dead(open_cache: Open) -> Cache:
    """A cache whose port nobody listens on."""
    return open_cache(f"redis://127.0.0.1:{free_port()}/0")


@pytest.fixture
def own(own_server: Server, open_cache: Open) -> Cache:
    """A cache on a server of the test's own, with a connection in use and k = "v" in it."""
    cache = open_cache(own_server.url)
    cache.set("k", "v", tags=["t"])
    assert cache.get("k", tags=["t"]) == "v"
    return cache


@pytest.fixture
def shared(server: Server, open_cache: Open) -> Cache:
    """The same as `own`, on the session's server, which stays alive."""
    cache = open_cache(server.url)
    cache.set("k", "v", tags=["t"])
    return cache


@pytest.fixture
def hasty(own: Cache, own_server: Server, open_cache: Open) -> Cache:
    """Another cache on the same server, with a short time limit, and with a connection."""
    cache = open_cache(own_server.url, timeout=HASTY)
    for _ in range(20):
        with suppress(StoreTimeoutError):
            cache.ping()
            break
    return cache


@pytest.fixture
def frozen(hasty: Cache, own_server: Server) -> Iterator[Server]:
    """The server of `hasty` and `own`, frozen; it goes on at the end at the latest."""
    own_server.freeze()
    yield own_server
    own_server.thaw()


def failures(events: list[Event]) -> list[Exception]:
    """The errors that a cache went on without its server for."""
    return [event.error for event in events if isinstance(event, Failed)]


class Watch:
    """Fails if the block takes much longer than a call's time limit."""

    def __enter__(self) -> None:
        self.began = time.monotonic()

    def __exit__(self, *exception: object) -> None:
        assert time.monotonic() - self.began < NOT_HUNG


@reads
def test_reads_of_a_dead_server_go_on(dead: Cache, events: list[Event], read: Verb, fallback: Any) -> None:
    """Without a server a read gives what it gives for a miss, and an event says why."""
    with Watch():
        assert read(dead) == fallback
    assert [type(error) for error in failures(events)] == [StoreUnavailableError]


@writes
def test_writes_to_a_dead_server_raise(dead: Cache, write: Verb) -> None:
    """Without a server whatever was to change something raises, with what to do."""
    with Watch(), pytest.raises(StoreUnavailableError, match="Check that it runs"):
        write(dead)


@only_valkey
@reads
def test_reads_go_on_when_the_server_is_killed(
    own: Cache, own_server: Server, events: list[Event], read: Verb, fallback: Any
) -> None:
    """A server that dies under open connections is a miss."""
    own_server.kill()
    events.clear()
    with Watch():
        assert read(own) == fallback
    assert [type(error) for error in failures(events)] == [StoreUnavailableError]


@only_valkey
@writes
def test_writes_raise_when_the_server_is_killed(own: Cache, own_server: Server, write: Verb) -> None:
    """A server that dies under open connections makes writes raise."""
    own_server.kill()
    with Watch(), pytest.raises(StoreUnavailableError):
        write(own)


def test_a_server_killed_under_a_load(own: Cache, own_server: Server, events: list[Event]) -> None:
    """A server that dies while the loader runs: its value is returned, and an event says that it was not stored."""

    def load() -> str:
        own_server.kill()
        return "loaded"

    assert own.get_or_set("other", load, tags=["t"]) == "loaded"
    assert [type(error) for error in failures(events)] == [StoreUnavailableError]


def test_a_server_killed_under_a_load_that_raises(own: Cache, own_server: Server) -> None:
    """A server that dies while the loader fails: the loader's own error passes."""

    def load() -> str:
        own_server.kill()
        raise LookupError

    with pytest.raises(LookupError):
        own.get_or_set("other", load)


SAFE_TO_REPEAT = {
    name: verb for name, verb in {**WRITES, **{n: r for n, (r, _) in READS.items()}}.items() if name not in ONCE
}


@only_valkey
@pytest.mark.parametrize("verb", SAFE_TO_REPEAT.values(), ids=SAFE_TO_REPEAT)
def test_first_call_after_a_restart_works(own: Cache, own_server: Server, events: list[Event], verb: Verb) -> None:
    """A server that was restarted between two calls is reached by the second, though its connection is dead."""
    own_server.kill()
    own_server.start()
    events.clear()
    verb(own)
    assert failures(events) == []


@pytest.mark.parametrize("verb", ONCE.values(), ids=ONCE)
def test_first_count_after_a_restart_works(own: Cache, own_server: Server, verb: Verb) -> None:
    """What must not happen twice works too, where the connection had been idle for a second."""
    own_server.kill()
    own_server.start()
    for wire in own._store._pool.idle:
        wire.proved_until = 0.0
    verb(own)
    assert own.has_key("new")


def test_a_restart_brings_nothing_back(own: Cache, own_server: Server) -> None:
    """After a restart with the same data the old entry is stale: nobody knows which invalidations were lost."""
    with own_server.client as client:
        dumps = {name: client.dump(name) for name in client.keys()}  # noqa: SIM118 - no dict
        own_server.kill()
        own_server.start()
        for name, dump in dumps.items():
            client.restore(name, 0, dump)
    assert own.get("k", tags=["t"]) is None


def test_log_warns_of_a_dead_server(caplog: pytest.LogCaptureFixture, open_cache: Open) -> None:
    """Without a hook the log says what failed and what to do."""
    dead = open_cache(f"redis://127.0.0.1:{free_port()}/0", on_event=None)
    dead.get("k")
    [record] = caplog.records
    assert (record.name, record.levelno) == ("unstale", logging.WARNING)
    assert "get failed" in record.getMessage()
    assert "Check that it runs" in record.getMessage()


def of_failures(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """The log's lines of calls that failed."""
    return [record for record in caplog.records if " failed" in str(record.msg)]


def test_log_is_throttled(caplog: pytest.LogCaptureFixture, open_cache: Open) -> None:
    """A dead server fills no log: at most a line a second."""
    dead = open_cache(f"redis://127.0.0.1:{free_port()}/0", on_event=None)
    began = time.monotonic()
    for _ in range(200):
        dead.get("k")
    assert 1 <= len(of_failures(caplog)) <= time.monotonic() - began + 1


def test_log_counts_what_it_left_out(caplog: pytest.LogCaptureFixture, open_cache: Open) -> None:
    """The next line tells how many failures there were since the last one."""
    dead = open_cache(f"redis://127.0.0.1:{free_port()}/0", on_event=None)
    for _ in range(5):
        dead.get("k")
    time.sleep(1.05)
    dead.get("k")
    counted = sum(int(record.args[1]) for record in of_failures(caplog) if isinstance(record.args, tuple))
    assert counted == 6


@pytest.fixture(params=SERVERS)
def locked(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server that wants the password "right"."""
    require(request.param)
    with Server(request.param, tmp_path / "locked", "--requirepass", "right") as started:
        yield started


CREDENTIALS = {"wrong": ":wrong@", "none": "", "unknown user": "nobody:right@"}


@pytest.mark.parametrize("credentials", CREDENTIALS.values(), ids=CREDENTIALS)
def test_wrong_credentials(locked: Server, open_cache: Open, events: list[Event], credentials: str) -> None:
    """Without the right password writes say so, and reads go on without the cache."""
    cache = open_cache(locked.url.replace("//", f"//{credentials}"))
    with pytest.raises(StoreAuthError, match="password"):
        cache.ping()
    with pytest.raises(StoreAuthError):
        cache.invalidate("t")
    assert cache.get_or_set("k", lambda: "loaded") == "loaded"
    assert [type(error) for error in failures(events)] == [StoreAuthError]


def test_right_password(locked: Server, open_cache: Open) -> None:
    """With the right password it works."""
    cache = open_cache(locked.url.replace("//", "//:right@"))
    assert cache.set("k", "v")
    assert cache.get("k") == "v"


def test_wrong_database(server: Server, open_cache: Open, events: list[Event]) -> None:
    """A database that the server does not have: writes tell, reads go on."""
    cache = open_cache(server.url.replace("/0", "/9999"))
    with pytest.raises(StoreError, match=r"(?i)db index"):
        cache.invalidate("t")
    assert cache.get("k", "default") == "default"
    assert len(failures(events)) == 1


class Stranger:
    """Something that listens on a port, and is no Redis server. Use as a context manager."""

    def __init__(self, answer: Callable[[list[bytes]], bytes] | None) -> None:
        """`answer` is given each command; None closes every connection at once."""
        self._answer = answer
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._talking: socket.socket | None = None
        self.url = f"redis://127.0.0.1:{self._listening.getsockname()[1]}/0"

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                with connection, suppress(OSError):
                    self._talking = connection
                    self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        reader = hiredis.Reader()
        while self._answer is not None and (data := connection.recv(65536)):
            reader.feed(data)
            while (command := reader.gets()) is not False:
                connection.sendall(self._answer(command))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        for sock in (self._listening, self._talking):
            with suppress(OSError, AttributeError):
                sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._listening.close()


ANSWERS = {
    "silence": b"",
    "HTTP": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "a line without an end": b"+" + b"x" * 1000,
    "numbers": b":1\r\n",
    "words": b"+OK\r\n",
    "nothing": b"$-1\r\n",
    "empty lists": b"*0\r\n",
    "lists of words": b"*1\r\n+OK\r\n",
    "longer lists": b"*9\r\n" + b":1\r\n" * 9,
    "maps": b"%1\r\n+a\r\n:1\r\n",
}
answers = pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)


def assert_no_server(cache: Cache) -> None:
    """Writes raise a StoreError, reads go on, neither hangs."""
    with Watch(), pytest.raises(StoreError):
        cache.ping()
    with Watch(), pytest.raises(StoreError):
        cache.invalidate("t")
    with Watch():
        assert cache.get("k", "default") == "default"


def test_a_port_that_hangs_up(open_cache: Open) -> None:
    """What listens closes every connection: it is as good as dead."""
    with Stranger(None) as stranger:
        assert_no_server(open_cache(stranger.url, timeout=HASTY))


@answers
def test_not_a_redis_server(open_cache: Open, answer: bytes) -> None:
    """What listens is something else: writes raise, reads go on, neither hangs."""
    with Stranger(lambda _: answer) as stranger:
        assert_no_server(open_cache(stranger.url, timeout=HASTY))


INFO = b"run_id:0123\r\nrole:master\r\nmaster_replid:4567\r\n"


@answers
@reads
def test_not_quite_a_redis_server(open_cache: Open, answer: bytes, read: Verb, fallback: Any) -> None:
    """What begins like a server and then answers nonsense (a proxy, say) raises nothing to a reader."""

    def talk(command: list[bytes]) -> bytes:
        match command[0]:
            case b"CLIENT":
                return b"+OK\r\n"
            case b"INFO":
                return b"$%d\r\n%b\r\n" % (len(INFO), INFO)
            case _:
                return answer

    with Stranger(talk) as stranger, Watch():
        assert read(open_cache(stranger.url, timeout=HASTY)) == fallback


def test_a_host_that_does_not_accept(open_cache: Open, events: list[Event]) -> None:
    """A host that lets nobody in (its backlog is full) costs a read no more than the time limit."""
    with ExitStack() as stack:
        listening = stack.enter_context(closing(socket.socket()))
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            crowd = stack.enter_context(closing(socket.socket()))
            crowd.setblocking(False)
            crowd.connect_ex(listening.getsockname())
        cache = open_cache(f"redis://127.0.0.1:{listening.getsockname()[1]}/0", timeout=HASTY)
        with Watch():
            assert cache.get("k", "default") == "default"
        assert [type(error) for error in failures(events)] == [StoreTimeoutError]


@only_valkey
@reads
def test_reads_of_a_silent_server_go_on(
    hasty: Cache, frozen: Server, events: list[Event], read: Verb, fallback: Any
) -> None:
    """A server that stops answering is a miss, once the time limit is over."""
    events.clear()
    with Watch():
        assert read(hasty) == fallback
    assert [type(error) for error in failures(events)] == [StoreTimeoutError]


@only_valkey
@writes
def test_writes_to_a_silent_server_raise(hasty: Cache, frozen: Server, write: Verb) -> None:
    """A server that stops answering makes writes raise, once the time limit is over."""
    with Watch(), pytest.raises(StoreTimeoutError, match="did not answer in time"):
        write(hasty)


def test_first_connection_to_a_silent_server(frozen: Server, open_cache: Open) -> None:
    """A server that never answered at all costs no more: its kernel accepts connections for it."""
    cache = open_cache(frozen.url, timeout=HASTY)
    with Watch(), pytest.raises(StoreTimeoutError):
        cache.ping()


@only_valkey
def test_the_time_limit_is_the_caches_own(frozen: Server, open_cache: Open) -> None:
    """A longer time limit in the URL, meant for other clients of it, prolongs no call."""
    cache = open_cache(frozen.url + "?socket_timeout=12&socket_connect_timeout=12", timeout=HASTY)
    with Watch(), pytest.raises(StoreTimeoutError):
        cache.ping()


def test_all_works_again_after_a_silence(hasty: Cache, own: Cache, frozen: Server) -> None:
    """When the server goes on, so does the cache, and nobody is given a late answer to an older question."""
    for number in range(3):
        hasty.get(f"late {number}", tags=["t"])
    frozen.thaw()
    expected = {f"k{number}": number for number in range(20)}
    assert own.set_many(expected) == []
    assert {key: eventually(hasty, key) for key in expected} == expected


def eventually(cache: Cache, key: str) -> Any:
    """A value that is there, read with a time limit that a busy machine may exceed now and then."""
    return next((value for _ in range(20) if (value := cache.get(key)) is not None), None)


def test_an_invalidation_that_timed_out_may_be_repeated(hasty: Cache, own: Cache, frozen: Server) -> None:
    """An invalidation that raised is called again, and has then taken effect."""
    with pytest.raises(StoreTimeoutError):
        hasty.invalidate("t")
    frozen.thaw()
    own.invalidate("t")
    assert own.get("k", tags=["t"]) is None


def test_a_server_that_pauses(hasty: Cache, own: Cache, own_server: Server) -> None:
    """A server that pauses its clients for longer than the limit loses reads only while it does."""
    with own_server.client as client:
        client.execute_command("CLIENT", "PAUSE", 1000, "ALL")
    with Watch():
        assert hasty.get("k", "default", tags=["t"]) == "default"
    assert own.get("k", tags=["t"]) == "v"


def test_a_server_that_runs_a_script(own: Cache, own_server: Server) -> None:
    """A server that answers BUSY, since a script of somebody's does not end, is unavailable for the time."""

    def run_for_ever() -> None:
        with own_server.client as client, suppress(redis.ResponseError):
            client.eval("while true do end", 0)

    with own_server.client as client:
        client.config_set("lua-time-limit", 1)
        endless = threading.Thread(target=run_for_ever)
        endless.start()
        try:
            time.sleep(0.2)
            assert own.get("k", "default", tags=["t"]) == "default"
            with pytest.raises(StoreUnavailableError, match="BUSY"):
                own.invalidate("t")
        finally:
            client.script_kill()
            endless.join(5)
    assert own.get("k", tags=["t"]) == "v"


@pytest.mark.parametrize("verb", WRITES.values(), ids=WRITES)
def test_scripts_that_the_server_forgot(shared: Cache, server: Server, verb: Verb) -> None:
    """After SCRIPT FLUSH each verb sends its script anew."""
    with server.client as client:
        client.script_flush()
    verb(shared)
    shared.set("k", "after", tags=["t"])
    assert shared.get("k", tags=["t"]) == "after"


def test_lease_after_a_script_flush(shared: Cache, server: Server) -> None:
    """A fill whose script the server forgot while the loader ran is stored."""

    def load() -> str:
        with server.client as client:
            client.script_flush()
        return "loaded"

    shared.get_or_set("other", load, tags=["t"])
    assert shared.get("other", tags=["t"]) == "loaded"


@pytest.mark.parametrize("verb", SAFE_TO_REPEAT.values(), ids=SAFE_TO_REPEAT)
def test_connections_that_the_server_closed(shared: Cache, server: Server, events: list[Event], verb: Verb) -> None:
    """After CLIENT KILL of every connection the next call makes a new one."""
    pool = shared._store._pool
    wires = [pool.take() for _ in range(4)]
    for wire in wires:
        pool.give(wire)
    with server.client as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    events.clear()
    verb(shared)
    assert failures(events) == []


def test_a_count_is_never_made_twice(shared: Cache, server: Server) -> None:
    """When connections break under it, a count has been made once, or raised; never more."""
    shared.set("count", 0)
    counted = 0
    with server.client as client:
        for _ in range(20):
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            try:
                shared.incr("count")
            except StoreUnavailableError:
                continue
            counted += 1
        raised = 20 - counted
    assert counted <= shared.get("count") <= counted + raised


def test_no_more_clients_allowed(own_server: Server, open_cache: Open, events: list[Event]) -> None:
    """A server at its `maxclients` refuses the connection: writes raise, reads go on."""
    with own_server.client as client:
        client.ping()
        client.config_set("maxclients", 1)
        cache = open_cache(own_server.url)
        with Watch(), pytest.raises(StoreError):
            cache.invalidate("t")
        assert cache.get("k", "default") == "default"
        client.config_set("maxclients", 100)
        assert cache.set("another", "v")


@pytest.fixture
def full(own: Cache, own_server: Server) -> Iterator[Server]:
    """The server of `own`, out of memory, and with noeviction."""
    with own_server.client as client:
        client.config_set("maxmemory", 1)
        yield own_server
        client.config_set("maxmemory", 0)


def make_room(server: Server) -> None:
    """End the shortage of memory."""
    with server.client as client:
        client.config_set("maxmemory", 0)


REFUSED_WHEN_FULL = {name: WRITES[name] for name in ("set", "set_many", "add", "incr", "touch")}


@pytest.mark.parametrize("write", REFUSED_WHEN_FULL.values(), ids=REFUSED_WHEN_FULL)
def test_writes_to_a_full_server_raise(own: Cache, full: Server, write: Verb) -> None:
    """A server without memory refuses what would need some, and the error says what to do."""
    with pytest.raises(StoreFullError, match="eviction policy"):
        write(own)


def test_a_set_that_did_not_fit_leaves_no_old_value(own: Cache, full: Server) -> None:
    """A value that was to be replaced is gone, also when the new one found no room."""
    with pytest.raises(StoreFullError):
        own.set("k", "new", tags=["t"])
    make_room(full)
    assert own.get("k", tags=["t"]) is None


def test_reads_of_a_full_server(own: Cache, full: Server, events: list[Event]) -> None:
    """What is stored is served, and what is not is loaded."""
    events.clear()
    assert own.get("k", tags=["t"]) == "v"
    assert events == [Hit("k")]
    assert own.get_or_set("other", lambda: "loaded", tags=["u"]) == "loaded"
    assert own.get("third", "default", tags=["v"]) == "default"
    assert own.get_many(["k"], tags=["t"]) == {"k": "v"}


def test_invalidation_on_a_full_server(own: Cache, full: Server) -> None:
    """A full server, which refuses new stamps, still takes an invalidation."""
    assert own.invalidate("t").bumped == 1
    make_room(full)
    assert own.get("k", tags=["t"]) is None


def test_clear_of_a_full_server(own: Cache, full: Server) -> None:
    """A full server still takes a clear."""
    own.clear()
    make_room(full)
    assert own.get("k", tags=["t"]) is None


def test_delete_on_a_full_server(own: Cache, full: Server) -> None:
    """A full server still takes a delete."""
    assert own.delete("k", tags=["t"])
    assert own.get("k", tags=["t"]) is None


def test_a_closed_tag_on_a_full_server(own: Cache, own_server: Server) -> None:
    """An invalidation on a full server does not open a closed tag."""
    with own_server.client as client:
        client.delete("test:s:{t}")
        client.zadd("test:s:{t}", {"owner": 4102444800})
        client.config_set("maxmemory", 1)
        own.invalidate("t")
        assert client.type("test:s:{t}") == b"zset"
        client.config_set("maxmemory", 0)


def test_a_staged_value_that_was_evicted(
    shared: Cache, server: Server, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value that the server evicted before it was put in place is not stored, and leaves nothing behind."""
    commit = commands.commit

    def lost(commits: Sequence[Commit], identity: bytes) -> commands.Trip[list[Committed]]:
        trip = commit(commits, identity)
        for at, (verb, name, *rest) in enumerate(trip.commands):
            if verb == b"SET":
                trip.commands[at] = (verb, name + b"elsewhere", *rest)
        return trip

    monkeypatch.setattr(commands, "commit", lost)
    events.clear()
    assert not shared.set("k", "new", tags=["t"])
    assert events == [Refused("k", Why.EVICTED)]
    with server.client as client:
        assert not client.exists("test:e:k")
