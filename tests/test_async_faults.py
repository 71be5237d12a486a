"""`AsyncCache` on a server that is dead, silent, busy, or a replica: reads go on, writes raise, both in time."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Self

import pytest
from children.async_common import HASTY, LOOPS, NOT_HUNG, PATIENT, Run, Watch, failures, runner_of, until
from servers import Server, free_port, require
from test_faults import ANSWERS, INFO, Stranger
from test_tls_acl import Authority, SecureServer

from unstale import AsyncCache, Cache
from unstale.errors import (
    NotPrimaryError,
    StoreAuthError,
    StoreClosedError,
    StoreError,
    StoreTimeoutError,
    StoreUnavailableError,
)
from unstale.events import Event
from unstale.stores import wire

Verb = Callable[[AsyncCache], Awaitable[Any]]

only_valkey = pytest.mark.parametrize("own_server", ["valkey"], indirect=True)
only_valkey_shared = pytest.mark.parametrize("server", ["valkey"], indirect=True)
"""What happens on the client's side needs no second kind of server."""


async def load() -> str:
    """A loader."""
    return "loaded"


async def load_many(keys: list[str]) -> dict[str, str]:
    """A loader of many."""
    return dict.fromkeys(keys, "loaded")


READS: dict[str, tuple[Verb, Any]] = {
    "get": (lambda cache: cache.get("k", "default", tags=["t"]), "default"),
    "get_or_set": (lambda cache: cache.get_or_set("k", load, tags=["t"]), "loaded"),
    "get_or_set_many": (lambda cache: cache.get_or_set_many(["k", "l"], load_many), {"k": "loaded", "l": "loaded"}),
    "refresh": (lambda cache: cache.refresh("k", load, tags=["t"]), "loaded"),
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
    "inspect": lambda cache: cache.inspect("k"),
    "invalidate": lambda cache: cache.invalidate("t", "u"),
    "invalidate softly": lambda cache: cache.invalidate("t", soft=True),
    "clear": lambda cache: cache.clear(),
    "ping": lambda cache: cache.ping(),
}
"""Each verb that must not pretend to have worked."""
reads = pytest.mark.parametrize(("read", "fallback"), READS.values(), ids=READS)
writes = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)

Using = Callable[..., Any]


@pytest.fixture(params=LOOPS.values(), ids=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine in a loop of each kind."""
    return runner_of(request.param)


@pytest.fixture
def on(run: Run, events: list[Event]) -> Using:
    """Runs a function of a cache on a URL; the cache tells `events`."""

    async def using(url: str, test: Verb, options: dict[str, Any]) -> Any:
        given = {"namespace": "test", "timeout": PATIENT, "on_event": events.append, **options}
        async with AsyncCache.from_url(url, **given) as cache:
            return await test(cache)

    return lambda url, test, **options: run(using(url, test, options))


async def answered(cache: AsyncCache) -> None:
    """Ask until the server answers: with a short time limit a busy machine may need more than one try."""
    for _ in range(50):
        with suppress(StoreError):
            await cache.ping()
            return
    await cache.ping()


def dead_url() -> str:
    """A URL that nobody listens on."""
    return f"redis://127.0.0.1:{free_port()}/0"


# ── Dead ────────────────────────────────────────────────────────────────────────────────────────


@reads
def test_reads_of_a_dead_server_go_on(on: Using, events: list[Event], read: Verb, fallback: Any) -> None:
    """Without a server a read gives what it gives for a miss, and an event says why."""
    with Watch():
        assert on(dead_url(), read) == fallback
    assert [type(error) for error in failures(events)] == [StoreUnavailableError]


@writes
def test_writes_to_a_dead_server_raise(on: Using, write: Verb) -> None:
    """Without a server whatever was to change something raises, with what to do."""
    with Watch(), pytest.raises(StoreUnavailableError, match="Check that it runs"):
        on(dead_url(), write)


def test_many_readers_of_a_dead_server(on: Using, events: list[Event]) -> None:
    """All who wait for one connection are told when it cannot be made."""

    async def test(cache: AsyncCache) -> None:
        assert await asyncio.gather(*(cache.get(f"k{n}", n) for n in range(50))) == list(range(50))

    with Watch():
        on(dead_url(), test)
    assert [type(error) for error in failures(events)] == [StoreUnavailableError] * 50


@only_valkey
@reads
def test_reads_go_on_when_the_server_is_killed(
    on: Using, own_server: Server, events: list[Event], read: Verb, fallback: Any
) -> None:
    """A server that dies under open connections is a miss."""

    async def test(cache: AsyncCache) -> None:
        await cache.set("k", "v", tags=["t"])
        own_server.kill()
        with Watch():
            assert await read(cache) == fallback

    on(own_server.url, test)
    assert [type(error) for error in failures(events)] == [StoreUnavailableError]


@only_valkey
@writes
def test_writes_raise_when_the_server_is_killed(on: Using, own_server: Server, write: Verb) -> None:
    """A server that dies under open connections makes writes raise."""

    async def test(cache: AsyncCache) -> None:
        await cache.set("k", "v", tags=["t"])
        own_server.kill()
        with Watch(), pytest.raises(StoreUnavailableError):
            await write(cache)

    on(own_server.url, test)


@only_valkey
@pytest.mark.parametrize("verb", {**WRITES, **{name: read for name, (read, _) in READS.items()}}.values())
def test_first_call_after_a_restart_works(on: Using, own_server: Server, events: list[Event], verb: Verb) -> None:
    """A server that was restarted between two calls is reached by the second, though its connection is dead.

    What must not happen twice tries a connection first only when a proof is due, as in a `Cache`.
    """

    async def test(cache: AsyncCache) -> None:
        await cache.set("k", "v", tags=["t"])
        cache._store._last.proved_until = 0.0
        own_server.kill()
        own_server.start()
        await verb(cache)

    on(own_server.url, test)
    assert failures(events) == []


@only_valkey
def test_a_server_killed_under_a_load(on: Using, own_server: Server, events: list[Event]) -> None:
    """The loader's value is returned, and an event says that it was not stored."""

    async def test(cache: AsyncCache) -> None:
        async def killing() -> str:
            own_server.kill()
            return "loaded"

        assert await cache.get_or_set("other", killing, tags=["t"]) == "loaded"

    on(own_server.url, test)
    assert [type(error) for error in failures(events)] == [StoreUnavailableError]


@only_valkey
def test_readers_of_a_server_that_is_killed_and_started(on: Using, own_server: Server) -> None:
    """Under steady reads nobody gets a wrong value, an error, or hangs; at the end all are served again."""

    async def test(cache: AsyncCache) -> None:
        done = False

        async def read(worker: int) -> set[Any]:
            seen = set()
            while not done:
                seen.add(await asyncio.wait_for(cache.get_or_set(f"k{worker}", lambda: load_one(worker)), 30))
                await asyncio.sleep(0)
            return seen

        async def load_one(worker: int) -> int:
            return worker

        tasks = [asyncio.create_task(read(worker)) for worker in range(20)]
        for _ in range(2):
            await asyncio.sleep(0.05)
            await asyncio.to_thread(own_server.kill)
            await asyncio.sleep(0.05)
            await asyncio.to_thread(own_server.start)
        done = True
        assert await asyncio.wait_for(asyncio.gather(*tasks), 30) == [{worker} for worker in range(20)]
        await answered(cache)
        assert await cache.get("k1") in (None, 1)

    on(own_server.url, test)


# ── Silent ──────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def frozen(own_server: Server) -> Iterator[Server]:
    """A server that a test freezes; it goes on at the end."""
    yield own_server
    own_server.thaw()


@only_valkey
@reads
def test_reads_of_a_silent_server_go_on(
    on: Using, frozen: Server, events: list[Event], read: Verb, fallback: Any
) -> None:
    """A server that stops answering is a miss, once the time limit is over."""

    async def test(cache: AsyncCache) -> None:
        await answered(cache)
        events.clear()
        frozen.freeze()
        with Watch():
            assert await read(cache) == fallback

    on(frozen.url, test, timeout=HASTY)
    assert [type(error) for error in failures(events)] == [StoreTimeoutError]


@only_valkey
@writes
def test_writes_to_a_silent_server_raise(on: Using, frozen: Server, write: Verb) -> None:
    """A server that stops answering makes writes raise, once the time limit is over."""

    async def test(cache: AsyncCache) -> None:
        await answered(cache)
        frozen.freeze()
        with Watch(), pytest.raises(StoreTimeoutError, match="did not answer in time"):
            await write(cache)

    on(frozen.url, test, timeout=HASTY)


@only_valkey
def test_first_connection_to_a_silent_server(on: Using, frozen: Server) -> None:
    """A server that never answered at all costs no more: its kernel accepts connections for it."""
    frozen.freeze()
    with Watch(), pytest.raises(StoreTimeoutError):
        on(frozen.url, lambda cache: cache.ping(), timeout=HASTY)


@only_valkey
def test_many_readers_of_a_silent_server(on: Using, frozen: Server) -> None:
    """A hundred at once take no longer than one, and those who come later no longer than they wait themselves."""

    async def test(cache: AsyncCache) -> None:
        await answered(cache)
        frozen.freeze()
        early = [asyncio.create_task(cache.get(f"k{n}", n)) for n in range(50)]
        await asyncio.sleep(HASTY / 2)
        late = [asyncio.create_task(cache.get(f"k{n}", n)) for n in range(50, 100)]
        assert await asyncio.wait_for(asyncio.gather(*early, *late), NOT_HUNG) == list(range(100))

    on(frozen.url, test, timeout=HASTY)


@only_valkey
def test_no_late_answer_is_given_to_a_new_question(on: Using, frozen: Server) -> None:
    """After a silence everybody gets his own answer."""

    async def test(cache: AsyncCache) -> None:
        await answered(cache)
        with Cache.from_url(frozen.url, namespace="test", timeout=PATIENT) as patient:
            assert patient.set_many({f"k{n}": n for n in range(20)}) == []
        frozen.freeze()
        await asyncio.gather(*(cache.get(f"k{n}") for n in range(20)))
        frozen.thaw()
        await answered(cache)
        found = await asyncio.gather(*(cache.get(f"k{n}") for n in range(20)))
        assert [one for n, one in enumerate(found) if one not in (n, None)] == []

    on(frozen.url, test, timeout=HASTY)


def test_a_host_that_does_not_accept(on: Using, events: list[Event]) -> None:
    """A host that lets nobody in (its backlog is full) costs a read no more than the time limit."""
    with closing(socket.socket()) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        crowd = [socket.socket() for _ in range(4)]
        for one in crowd:
            one.setblocking(False)
            one.connect_ex(listening.getsockname())
        url = f"redis://127.0.0.1:{listening.getsockname()[1]}/0"
        with Watch():
            assert on(url, lambda cache: cache.get("k", "default"), timeout=HASTY) == "default"
        for one in crowd:
            one.close()
    assert [type(error) for error in failures(events)] == [StoreTimeoutError]


# ── A loop that is busy elsewhere ───────────────────────────────────────────────────────────────


@only_valkey_shared
def test_a_blocked_loop_while_an_answer_waits(on: Using, server: Server, events: list[Event]) -> None:
    """When the loop was busy elsewhere for long, what has come in the meantime is no time-out."""

    async def test(cache: AsyncCache) -> None:
        await answered(cache)
        await cache.set("k", "v")
        events.clear()
        for _ in range(3):
            task = asyncio.create_task(cache.get("k"))
            await asyncio.sleep(0)
            time.sleep(3 * HASTY)  # noqa: ASYNC251 - that is the fault
            assert await task == "v"

    on(server.url, test, timeout=HASTY)
    assert failures(events) == []


@only_valkey_shared
def test_a_loop_that_is_blocked_again_and_again(on: Using, server: Server, events: list[Event]) -> None:
    """Nor when it is blocked in each of its turns for longer than the time limit."""

    async def test(cache: AsyncCache) -> None:
        await answered(cache)
        await cache.set("k", "v")
        events.clear()
        reading = asyncio.gather(*(cache.get("k") for _ in range(20)))
        for _ in range(4):
            await asyncio.sleep(0)
            time.sleep(HASTY + 0.1)  # noqa: ASYNC251 - that is the fault
        assert await reading == ["v"] * 20

    on(server.url, test, timeout=HASTY)
    assert failures(events) == []


@only_valkey_shared
def test_a_loop_that_is_blocked_while_it_connects(on: Using, server: Server, events: list[Event]) -> None:
    """Nor while the connection is being made, in whichever turn."""

    async def blocked(turns: int) -> Any:
        cache = AsyncCache.from_url(server.url, namespace="test", timeout=HASTY, on_event=events.append)
        task = asyncio.create_task(cache.get("none", "default"))
        for _ in range(turns):
            await asyncio.sleep(0)
        time.sleep(2 * HASTY)  # noqa: ASYNC251 - that is the fault
        assert await task == "default"
        await cache.close()

    async def several(_: AsyncCache) -> None:
        for turns in range(1, 9):
            await blocked(turns)

    on(server.url, several)
    assert failures(events) == []


@only_valkey_shared
def test_a_blocked_thread_of_a_sync_cache_for_comparison(server: Server, events: list[Event]) -> None:
    """A `Cache` whose thread is stopped between two calls has no time-out either."""
    with Cache.from_url(server.url, namespace="test", timeout=HASTY, on_event=events.append) as cache:
        cache.set("k", "v")
        time.sleep(3 * HASTY)
        assert cache.get("k") == "v"
    assert failures(events) == []


# ── Connections that break ──────────────────────────────────────────────────────────────────────


def test_killed_connections(on: Using, server: Server, events: list[Event]) -> None:
    """Reads under way when the server cuts the connection are asked again on another: each gets its own value."""

    async def test(cache: AsyncCache) -> None:
        assert await cache.set_many({f"k{n}": n for n in range(50)}, tags=["t"]) == []
        with server.client as client:
            for turns in range(10):
                tasks = [asyncio.create_task(cache.get(f"k{n}", tags=["t"])) for n in range(50)]
                for _ in range(turns % 3):
                    await asyncio.sleep(0)
                client.client_kill_filter(_type="normal", skipme=True)
                assert await asyncio.wait_for(asyncio.gather(*tasks), 20) == list(range(50))

    on(server.url, test)
    assert failures(events) == []


def test_killed_again_and_again(on: Using, server: Server) -> None:
    """When even the second connection is cut, a read is a miss: no wrong value, no error, nobody hangs."""

    async def test(cache: AsyncCache) -> None:
        assert await cache.set_many({f"k{n}": n for n in range(20)}, tags=["t"]) == []
        done = threading.Event()

        def kill() -> None:
            with server.client as client:
                while not done.is_set():
                    client.client_kill_filter(_type="normal", skipme=True)

        killing = asyncio.create_task(asyncio.to_thread(kill))
        wrong = []
        for _ in range(40):
            found = await asyncio.wait_for(asyncio.gather(*(cache.get(f"k{n}", "none") for n in range(20))), 20)
            wrong += [one for n, one in enumerate(found) if one not in (n, "none")]
        done.set()
        await killing
        assert wrong == []
        await answered(cache)
        assert await cache.get("k7", tags=["t"]) == 7

    on(server.url, test, timeout=1.0)


def test_a_count_is_not_counted_twice(on: Using, server: Server) -> None:
    """A count whose connection breaks raises or has happened once: never more than was asked for."""

    async def test(cache: AsyncCache) -> None:
        await cache.set("n", 0, ttl=None)
        done = threading.Event()

        def kill() -> None:
            with server.client as client:
                while not done.wait(0.002):
                    client.client_kill_filter(_type="normal", skipme=True)

        killing = asyncio.create_task(asyncio.to_thread(kill))
        outcomes = []
        for _ in range(30):
            counting = (cache.incr("n") for _ in range(10))
            outcomes += await asyncio.wait_for(asyncio.gather(*counting, return_exceptions=True), 20)
        done.set()
        await killing
        counts = [one for one in outcomes if isinstance(one, int)]
        assert [one for one in outcomes if not isinstance(one, int | StoreUnavailableError)] == []
        assert len(set(counts)) == len(counts)
        await answered(cache)
        assert len(counts) <= await cache.get("n") <= 300

    on(server.url, test, timeout=1.0)


def test_scripts_that_the_server_forgot(on: Using, server: Server, events: list[Event]) -> None:
    """After SCRIPT FLUSH each verb that uses a script works at once, many at a time."""

    async def test(cache: AsyncCache) -> None:
        with server.client as client:
            for _ in range(3):
                client.script_flush()
                assert await asyncio.gather(*(cache.incr("n", initial=0) for _ in range(5))) is not None
                client.script_flush()
                assert await asyncio.gather(*(cache.get_or_set(f"k{n}", load) for n in range(5))) == ["loaded"] * 5
                client.script_flush()
                assert await cache.touch("n") is True
                client.script_flush()
                assert await cache.add("n", 1) is False
                await cache.invalidate("t", soft=True)
        assert await cache.get("n") == 15

    on(server.url, test)
    assert failures(events) == []


def test_a_stranger_that_hangs_up(on: Using) -> None:
    """What listens closes every connection: it is as good as dead."""
    with Stranger(None) as stranger:
        on(stranger.url, no_server, timeout=HASTY)


async def no_server(cache: AsyncCache) -> None:
    """Writes raise a StoreError, reads go on, neither hangs."""
    with Watch(), pytest.raises(StoreError):
        await cache.ping()
    with Watch(), pytest.raises(StoreError):
        await cache.invalidate("t")
    with Watch():
        assert await cache.get("k", "default") == "default"


answers = pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)


@answers
def test_not_a_redis_server(on: Using, answer: bytes) -> None:
    """What listens is something else: writes raise, reads go on, neither hangs."""
    with Stranger(lambda _: answer) as stranger:
        on(stranger.url, no_server, timeout=HASTY)


def like_a_server(answer: Callable[[list[bytes]], bytes]) -> Callable[[list[bytes]], bytes]:
    """Begin like a server, and then answer otherwise."""

    def talk(command: list[bytes]) -> bytes:
        match command[0]:
            case b"CLIENT":
                return b"+OK\r\n"
            case b"INFO":
                return b"$%d\r\n%b\r\n" % (len(INFO), INFO)
            case _:
                return answer(command)

    return talk


@answers
@reads
def test_not_quite_a_redis_server(on: Using, answer: bytes, read: Verb, fallback: Any) -> None:
    """What begins like a server and then answers nonsense (a proxy, say) raises nothing to a reader."""
    with Stranger(like_a_server(lambda _: answer)) as stranger, Watch():
        assert on(stranger.url, read, timeout=HASTY) == fallback


ELEMENTS = {"integers": b":1\r\n", "words": b"+OK\r\n", "lists": b"*0\r\n", "errors": b"-ERR no\r\n"}


@pytest.mark.parametrize("element", ELEMENTS.values(), ids=ELEMENTS)
def test_an_mget_of_nonsense(on: Using, element: bytes) -> None:
    """A list of the right length, of other things than strings, raises nothing to a reader."""

    def mget(command: list[bytes]) -> bytes:
        if command[0] != b"MGET":
            return b"-ERR no\r\n"
        return b"*%d\r\n" % (len(command) - 1) + element * (len(command) - 1)

    async def test(cache: AsyncCache) -> None:
        for read, fallback in READS.values():
            assert await read(cache) == fallback

    with Stranger(like_a_server(mget)) as stranger, Watch():
        on(stranger.url, test, timeout=HASTY)


def test_replies_that_nobody_asked_for(on: Using) -> None:
    """A second reply to one request breaks the connection: it is given to nobody."""

    def talk(command: list[bytes]) -> bytes:
        names = len(command) - 1
        return b"*%d\r\n" % names + b"$-1\r\n" * names + b"$6\r\nstolen\r\n"

    async def test(cache: AsyncCache) -> None:
        for _ in range(5):
            found = await asyncio.gather(*(cache.get_many([f"k{n}"]) for n in range(5)))
            assert found == [{}] * 5

    with Stranger(like_a_server(talk)) as stranger, Watch():
        on(stranger.url, test, timeout=HASTY)


# ── No primary any more ─────────────────────────────────────────────────────────────────────────


def test_a_server_that_becomes_a_replica(
    on: Using, own_server: Server, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the proof is due, its readers are not served by it any more; when it is primary again they are."""
    monkeypatch.setattr(wire, "PROOF_SECONDS", 0.05)

    async def test(cache: AsyncCache) -> None:
        await cache.set_many({f"k{n}": n for n in range(20)}, ttl=None)
        with own_server.client as client:
            client.execute_command("REPLICAOF", "127.0.0.1", free_port())
            await asyncio.sleep(0.1)
            found = await asyncio.gather(*(cache.get(f"k{n}", "none") for n in range(20)))
            assert found == ["none"] * 20
            with pytest.raises(NotPrimaryError, match="replica"):
                await cache.invalidate("t")
            client.execute_command("REPLICAOF", "NO", "ONE")
        assert await cache.set("k", "v")
        assert await cache.get("k") == "v"

    on(own_server.url, test)
    assert {type(error) for error in failures(events)} == {NotPrimaryError}


@only_valkey
def test_a_proof_counts_from_when_it_was_asked_for(
    on: Using, own_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop that was busy while the proof's answer waited does not take it for a new one."""
    proof_seconds = 0.4
    monkeypatch.setattr(wire, "PROOF_SECONDS", proof_seconds)

    async def test(cache: AsyncCache) -> None:
        await cache.set("k", "v", ttl=None)
        await asyncio.sleep(2 * proof_seconds)
        with own_server.client as client:
            task = asyncio.create_task(cache.get("k"))
            await asyncio.sleep(0)
            proved = client.info("commandstats")["cmdstat_info"]["calls"]
            assert proved > 0
            client.execute_command("REPLICAOF", "127.0.0.1", free_port())
            time.sleep(3 * proof_seconds)  # noqa: ASYNC251 - the loop is busy elsewhere
            assert await task == "v"
            assert await cache.get("k", "none") == "none"

    on(own_server.url, test)


def test_readonly_closes_nothing_of_others(on: Using, own_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that meets a replica raises; reads that are under way beside it go on, and never say "closed"."""
    monkeypatch.setattr(wire, "PROOF_SECONDS", 3600.0)

    async def test(cache: AsyncCache) -> None:
        await cache.set("k", "v", ttl=None)
        with own_server.client as client:
            for _ in range(5):
                client.execute_command("REPLICAOF", "NO", "ONE")
                await cache.ping()
                client.execute_command("REPLICAOF", "127.0.0.1", free_port())
                writing = [asyncio.create_task(cache.set(f"k{n}", n)) for n in range(3)]
                await asyncio.sleep(0)
                reading = [asyncio.create_task(cache.get("none", "default")) for _ in range(200)]
                reading += [asyncio.create_task(cache.get_or_set("none", load)) for _ in range(20)]
                found = await asyncio.gather(*reading, return_exceptions=True)
                written = await asyncio.gather(*writing, return_exceptions=True)
                assert [one for one in found if one not in ("default", "loaded")] == []
                assert [type(one) for one in written if not isinstance(one, StoreUnavailableError)] == []
                assert [one for one in written if isinstance(one, StoreClosedError)] == []

    on(own_server.url, test)


# ── Credentials, TLS, sockets ───────────────────────────────────────────────────────────────────


@pytest.fixture(params=["valkey", "redis"])
def locked(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server that wants the password "right"."""
    require(request.param)
    with Server(request.param, tmp_path / "locked", "--requirepass", "right") as started:
        yield started


@pytest.mark.parametrize("credentials", [":wrong@", "", "nobody:right@"], ids=["wrong", "none", "unknown user"])
def test_wrong_credentials(on: Using, locked: Server, events: list[Event], credentials: str) -> None:
    """Without the right password writes say so, and reads go on without the cache."""

    async def test(cache: AsyncCache) -> None:
        for write in (cache.ping, lambda: cache.invalidate("t")):
            with pytest.raises(StoreAuthError, match="password") as caught:
                await write()
            assert "right" not in str(caught.value).replace("the right", "")
        assert await cache.get_or_set("k", load) == "loaded"

    on(locked.url.replace("//", f"//{credentials}"), test)
    assert [type(error) for error in failures(events)] == [StoreAuthError]


def test_right_password(on: Using, locked: Server) -> None:
    """With the right password it works."""

    async def test(cache: AsyncCache) -> None:
        assert await cache.set("k", "v")
        assert await cache.get("k") == "v"

    on(locked.url.replace("//", "//:right@"), test)


def test_wrong_database(on: Using, locked: Server) -> None:
    """A database that the server does not have: writes tell, reads go on."""

    async def test(cache: AsyncCache) -> None:
        with pytest.raises(StoreError, match=r"(?i)db index"):
            await cache.invalidate("t")
        assert await cache.get("k", "default") == "default"

    on(locked.url.replace("//", "//:right@").replace("/0", "/9999"), test)


def test_unix_socket(on: Using, tmp_path: Path) -> None:
    """A unix socket serves as well as a port, in a database of its own."""
    path = tmp_path / "s"

    async def test(cache: AsyncCache) -> None:
        assert await cache.set("k", "v")
        assert await asyncio.gather(*(cache.get("k") for _ in range(10))) == ["v"] * 10

    with Server("valkey", tmp_path / "server", "--unixsocket", str(path)):
        on(f"unix://{path}?db=3", test)


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureServer]:
    """A server with TLS for this module."""
    require("redis")
    made = SecureServer(Authority(tmp_path_factory.mktemp("tls") / "ca", "unstale"), tmp_path_factory.mktemp("secure"))
    with made.plain:
        yield made


def test_tls(on: Using, secure: SecureServer) -> None:
    """Verbs work over TLS, many at a time, with values of many records."""
    large = bytes(range(256)) * 8192

    async def test(cache: AsyncCache) -> None:
        assert await cache.set("large", large)
        assert await cache.set_many({f"k{n}": n for n in range(50)}, tags=["t"]) == []
        found = await asyncio.gather(*(cache.get(f"k{n}") for n in range(50)), cache.get("large"))
        assert found == [*range(50), large]
        assert await cache.get_or_set("l", load, tags=["t"]) == "loaded"
        await cache.invalidate("t")
        assert await cache.get("l") is None

    on(secure.url, test)


def test_tls_loop_after_loop(run: Run, secure: SecureServer) -> None:
    """Over TLS, too, a loop that ends leaves nothing open (warnings are errors), and the next one works."""
    cache = AsyncCache.from_url(secure.url, namespace="test", timeout=PATIENT)
    for number in range(4):
        assert run(cache.set("k", number))
        assert run(cache.get("k")) == number
    run(cache.close())


def test_tls_of_another_authority(on: Using, secure: SecureServer) -> None:
    """A certificate that nobody vouches for is no connection."""
    with Watch(), pytest.raises(StoreUnavailableError):
        on(secure.url.partition("?")[0], lambda cache: cache.ping())


def test_tls_to_a_plain_port(on: Using, secure: SecureServer) -> None:
    """TLS to a port that does not speak it is no connection, in time."""
    url = secure.plain.url.replace("redis://", "rediss://")
    with Watch(), pytest.raises(StoreUnavailableError):
        on(url, lambda cache: cache.ping(), timeout=HASTY)


# ── Large values, slow readers ──────────────────────────────────────────────────────────────────

LARGE = bytes(range(256)) * 4096 * 8
"""8 MiB."""


def test_large_values_beside_small_ones(on: Using, server: Server, events: list[Event]) -> None:
    """Large values travel both ways beside many small reads, which get their own answers."""

    async def test(cache: AsyncCache) -> None:
        await cache.set_many({f"k{n}": n for n in range(50)})

        async def small() -> list[Any]:
            return await asyncio.gather(*(cache.get(f"k{n}") for n in range(50)))

        for _ in range(2):
            done = await asyncio.gather(small(), cache.set("large", LARGE), small(), cache.get("k1"), small())
            assert done == [list(range(50)), True, list(range(50)), 1, list(range(50))]
            both = await asyncio.gather(small(), cache.get("large"), small(), cache.get_many(["large", "k2"]))
            assert both == [list(range(50)), LARGE, list(range(50)), {"large": LARGE, "k2": 2}]

    on(server.url, test)
    assert failures(events) == []


class Slow:
    """A proxy that takes what is sent to a server slowly. Use as a context manager."""

    def __init__(self, server: Server, bytes_per_second: int) -> None:
        self._port = server.port
        self._pause = 65536 / bytes_per_second
        self._listening = socket.socket()
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        self._listening.bind(("127.0.0.1", 0))
        self._listening.listen()
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.url = f"redis://127.0.0.1:{self._listening.getsockname()[1]}/0"

    def _start(self, work: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(("127.0.0.1", self._port))
                self._open += [client, server]
                self._start(self._pump, client, server, self._pause)
                self._start(self._pump, server, client, 0.0)

    def _pump(self, source: socket.socket, target: socket.socket, pause: float) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
                if len(data) > 4096:
                    time.sleep(pause)
            target.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *exception: object) -> None:
        for sock in (self._listening, *self._open):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        for sock in (self._listening, *self._open):
            sock.close()


@only_valkey_shared
def test_a_server_that_reads_slowly(on: Using, server: Server, events: list[Event]) -> None:
    """Back-pressure: large values wait for each other, nothing is lost, small reads get their answers."""

    async def test(cache: AsyncCache) -> None:
        await cache.set("k", "v")
        values = {f"large {n}": bytes([n]) * 2**20 for n in range(8)}
        storing = [asyncio.create_task(cache.set(key, value)) for key, value in values.items()]
        reading = [asyncio.create_task(cache.get("k")) for _ in range(20)]
        assert await asyncio.gather(*storing) == [True] * 8
        assert await asyncio.gather(*reading) == ["v"] * 20
        assert await cache.get_many(values) == values

    with Slow(server, 16 * 2**20) as slow:
        on(slow.url, test)
    assert failures(events) == []


@only_valkey_shared
def test_writes_that_wait_are_cancelled(on: Using, server: Server) -> None:
    """Those who wait for room to write and are cancelled send nothing; the others go on."""

    async def test(cache: AsyncCache) -> None:
        await cache.ping()
        link = cache._store._last
        first = asyncio.create_task(cache.set("first", bytes(12 * 2**20)))
        await until(lambda: link._paused is not None)
        waiting = [asyncio.create_task(cache.set(f"k{n}", n)) for n in range(10)]
        await asyncio.sleep(0)
        for task in waiting[::2]:
            task.cancel()
        outcomes = await asyncio.gather(first, *waiting, return_exceptions=True)
        assert outcomes[0] is True
        assert outcomes[2::2] == [True] * 5
        assert await cache.get_many([f"k{n}" for n in range(10)]) == {f"k{n}": n for n in range(1, 10, 2)}

    with Slow(server, 24 * 2**20) as slow:
        on(slow.url, test)


@only_valkey_shared
def test_closed_while_writes_wait(on: Using, server: Server) -> None:
    """Those who wait for room to write end when the cache is closed."""

    async def test(cache: AsyncCache) -> None:
        await cache.ping()
        link = cache._store._last
        first = asyncio.create_task(cache.set("first", bytes(12 * 2**20)))
        await until(lambda: link._paused is not None)
        waiting = [asyncio.create_task(cache.set(f"k{n}", n)) for n in range(5)]
        await asyncio.sleep(0)
        await cache.close()
        outcomes = await asyncio.wait_for(asyncio.gather(first, *waiting, return_exceptions=True), 5)
        assert [type(one) for one in outcomes] == [StoreClosedError] * 6

    with Slow(server, 24 * 2**20) as slow:
        on(slow.url, test)


@only_valkey_shared
def test_a_large_value_that_takes_longer_than_the_time_limit(on: Using, server: Server, events: list[Event]) -> None:
    """A value that is still being sent is no silent server, as it is none for `Cache`: the limit is for progress.

    Not on uvloop, whose transports do not tell how much of a write has been sent.
    """
    value = bytes(20 * 2**20)

    async def test(cache: AsyncCache) -> None:
        if "uvloop" in type(asyncio.get_running_loop()).__module__:
            pytest.skip("uvloop tells nothing of a write before its end")
        await cache.set("k", "v")
        storing = asyncio.create_task(cache.set("large", value))
        await asyncio.sleep(0)
        outcomes = await asyncio.gather(cache.get("k"), storing, return_exceptions=True)
        assert [str(one) for one in outcomes] == ["v", "True"]

    with Slow(server, 16 * 2**20) as slow:
        with Cache.from_url(slow.url, namespace="test", timeout=0.6) as sync:
            assert sync.set("large", value) is True
        on(slow.url, test, timeout=0.6)
    assert failures(events) == []
