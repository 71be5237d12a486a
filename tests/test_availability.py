"""A server that is away or silent: reads go on at once, invalidations are tried, what is back is soon asked again."""

from __future__ import annotations

import math
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any, Self

import pytest
from children.either import KINDS, Either, Used
from servers import Server, free_port

from unstale.core.breaker import FAILURES, LOST_SECONDS, Leave
from unstale.errors import BreakerOpenError, StoreError, StoreTimeoutError, StoreUnavailableError
from unstale.events import BreakerClosed, BreakerOpened, Event, Failed, Hit, Invalidated

LONG = 30.0
"""A time limit that must not be waited for."""
SHORT = 0.05
"""A read's own."""
NOT_HUNG = 15.0
"""Far more than several short limits, and less than the long one."""
Act = Callable[[Server], None]
AWAY: dict[str, Act] = {"killed": Server.kill, "silent": Server.freeze}
only_valkey = pytest.mark.parametrize("own_server", ["valkey"], indirect=True)
"""What happens on the client's side needs no second kind of server."""
away = pytest.mark.parametrize("leave", AWAY.values(), ids=AWAY)


@pytest.fixture(params=KINDS)
def either(request: pytest.FixtureRequest) -> Iterator[Either]:
    """Caches of each kind."""
    made = Either(request.param)
    yield made
    made.close()


@pytest.fixture
def cache(either: Either, own_server: Server, events: list[Event]) -> Used:
    """A cache whose reads have a short limit, with k = "v" and a connection."""
    made = either.open(own_server.url, timeout=LONG, read_timeout=SHORT, on_event=events.append)
    made.set("k", "v", tags=["t"])
    for _ in range(100):  # on a busy machine the server may be late
        if made.get("k", tags=["t"]) == "v":
            events.clear()
            return made
    pytest.fail("the server is too late, always")


def back(server: Server) -> None:
    """Bring a server back."""
    if server.process is None:
        server.start()
    else:
        server.thaw()


def of(events: list[Event], *kinds: type) -> list[Any]:
    """The events of some kinds."""
    return [event for event in events if type(event) in kinds]


def open_by_reads(cache: Used) -> None:
    """Read until the breaker is open."""
    for _ in range(FAILURES):
        assert cache.get("k", "default", tags=["t"]) == "default"
    assert cache.store.guard.is_open


def no_probe(cache: Used) -> None:
    """Let no probe be due."""
    cache.store.guard._probe_at = math.inf


@only_valkey
@away
def test_it_opens(cache: Used, own_server: Server, events: list[Event], leave: Act) -> None:
    """After some failures in a row reads no longer ask; an event says so, once, and why."""
    leave(own_server)
    began = time.monotonic()
    open_by_reads(cache)
    no_probe(cache)
    for _ in range(20):
        assert cache.get("k", "default", tags=["t"]) == "default"
    assert time.monotonic() - began < NOT_HUNG
    [opened] = of(events, BreakerOpened)
    assert opened.server == own_server.url
    assert (opened.failures, isinstance(opened.error, StoreUnavailableError)) == (FAILURES, True)
    kinds = [type(event.error) for event in of(events, Failed)]
    assert BreakerOpenError not in kinds[:FAILURES]
    assert kinds[FAILURES:] == [BreakerOpenError] * 20


@only_valkey
@away
def test_what_is_back_is_asked_again(cache: Used, own_server: Server, events: list[Event], leave: Act) -> None:
    """Some read probes, and then all ask; an event says for how long they did not."""
    leave(own_server)
    open_by_reads(cache)
    back(own_server)
    deadline = time.monotonic() + LONG
    while cache.get("k", tags=["t"]) is None and time.monotonic() < deadline:
        cache.get_or_set("k", lambda: "v", tags=["t"])
        time.sleep(0.01)
    assert not cache.store.guard.is_troubled
    assert of(events, BreakerClosed)[0].seconds > 0


@only_valkey
def test_a_silent_server_has_a_read_s_own_limit(cache: Used, own_server: Server, events: list[Event]) -> None:
    """A read does not wait as long as a write would: `read_timeout`, not `timeout`."""
    own_server.freeze()
    began = time.monotonic()
    assert cache.get_or_set("k", lambda: "loaded", tags=["t"]) == "loaded"
    assert time.monotonic() - began < NOT_HUNG
    assert [type(event.error) for event in of(events, Failed)] == [StoreTimeoutError]


@only_valkey
def test_so_has_a_new_connection_of_a_silent_server(cache: Used, own_server: Server) -> None:
    """Once a read was not answered, neither is the next one's connection waited for as long as it may take."""
    own_server.freeze()
    began = time.monotonic()
    for _ in range(FAILURES - 1):
        assert cache.get("k", "default", tags=["t"]) == "default"
    assert time.monotonic() - began < NOT_HUNG


@pytest.fixture
def black_hole() -> Iterator[str]:
    """The URL of a port that answers no attempt to connect: its backlog is full."""
    with closing(socket.socket()) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        waiting = []
        for _ in range(8):
            one = socket.socket()
            one.setblocking(False)
            with suppress(BlockingIOError):
                one.connect(listening.getsockname())
            waiting.append(one)
        yield f"redis://127.0.0.1:{listening.getsockname()[1]}/0"
        for one in waiting:
            one.close()


def test_a_host_that_swallows_all(either: Either, black_hole: str, events: list[Event]) -> None:
    """The first connection has its time; the others have little, and then reads go on at once."""
    cache = either.open(black_hole, timeout=1.0, read_timeout=SHORT, on_event=events.append)
    began = time.monotonic()
    open_by_reads(cache)
    assert time.monotonic() - began < NOT_HUNG
    assert len(of(events, BreakerOpened)) == 1


@only_valkey
@away
def test_an_invalidation_is_tried_all_the_same(cache: Used, own_server: Server, leave: Act) -> None:
    """While reads do not ask, it takes effect as soon as the server is back, probe or no probe."""
    leave(own_server)
    open_by_reads(cache)
    no_probe(cache)
    back(own_server)
    assert isinstance(cache.invalidate("t"), Invalidated)


@only_valkey
def test_an_invalidation_that_works_makes_a_probe_due(cache: Used, own_server: Server, events: list[Event]) -> None:
    """The next read asks: the server is there."""
    own_server.kill()
    open_by_reads(cache)
    no_probe(cache)
    own_server.start()
    cache.invalidate("t")
    cache.get("k", tags=["t"])
    assert not cache.store.guard.is_open or of(events, Failed)


@only_valkey
def test_what_follows_a_look_that_failed_is_not_tried(cache: Used, own_server: Server) -> None:
    """A set after a get that was not answered does not wait for the server either: it could not store anything."""
    own_server.freeze()
    open_by_reads(cache)
    no_probe(cache)
    began = time.monotonic()
    with pytest.raises(BreakerOpenError):
        cache.set("k", "computed", tags=["t"])
    assert time.monotonic() - began < NOT_HUNG


@only_valkey
def test_a_fill_is_not_tried(cache: Used, own_server: Server, events: list[Event]) -> None:
    """Nor is the value of a load stored during which the breaker opened; its caller has it."""

    def load() -> str:
        own_server.freeze()
        for _ in range(FAILURES):
            cache.store.guard.read_left(Leave.ASK, StoreTimeoutError())
        no_probe(cache)
        return "loaded"

    began = time.monotonic()
    assert cache.get_or_set("other", load, tags=["t"]) == "loaded"
    assert time.monotonic() - began < NOT_HUNG
    assert {type(event.error) for event in of(events, Failed)} == {BreakerOpenError}


@only_valkey
def test_nothing_stale_is_stored_after_it(cache: Used, own_server: Server) -> None:
    """A value that was computed while no stamp could be seen is not stored when the server is back."""
    own_server.kill()
    assert cache.get("k", tags=["t"]) is None
    own_server.start()
    cache.get("other", tags=["u"])
    assert cache.set("k", "from before", tags=["t"]) is False
    assert cache.get("k", tags=["t"]) is None


@only_valkey
def test_a_refusal_is_an_answer(cache: Used, own_server: Server) -> None:
    """A server that answers with errors is there: nothing opens."""
    with own_server.client as client:
        client.execute_command("ACL", "SETUSER", "default", "-mget")
    for _ in range(3 * FAILURES):
        assert cache.get("k", "default", tags=["t"]) == "default"
    assert not cache.store.guard.is_troubled


@only_valkey
def test_connections_that_are_used_up_are_no_failure(own_server: Server) -> None:
    """Threads that find no free connection say nothing of the server."""
    either = Either("threads")
    cache = either.open(own_server.url, timeout=0.05, max_connections=1)
    with closing(either):
        wire = cache.store._pool.take()
        for _ in range(2 * FAILURES):
            assert cache.get("k", "default") == "default"
        assert not cache.store.guard.is_troubled
        cache.store._pool.give(wire)


@only_valkey
def test_one_probes_at_a_time(cache: Used, own_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many readers at a time one has leave, and the others go on."""
    own_server.freeze()
    open_by_reads(cache)
    given: list[Leave] = []
    leave = type(cache.store.guard).leave

    def noted(guard: Any, now: float) -> Leave:
        given.append(leave(guard, now))
        return given[-1]

    monkeypatch.setattr(type(cache.store.guard), "leave", noted)
    cache.store.guard._probe_at = 0.0
    if cache._runner is None:
        threads = [threading.Thread(target=cache.get, args=("k",)) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    else:
        cache.at_once(16, lambda one: one.get("k"))
    assert given.count(Leave.PROBE) >= 1
    assert given[:2] == [Leave.PROBE, Leave.GO_ON]
    assert given.count(Leave.ASK) == 0


@only_valkey
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_finds_out_for_itself(own_server: Server) -> None:
    """A process that was forked while its parent's thread probed asks the server when it is back."""
    either = Either("threads")
    cache = either.open(own_server.url, timeout=LONG, read_timeout=1.0)
    cache.set("k", "v", ttl=None)
    own_server.kill()
    open_by_reads(cache)
    cache.store.guard._probe_at = 0.0
    assert cache.store.guard.enter() is Leave.PROBE
    own_server.start()
    child = os.fork()
    if not child:
        signal.alarm(60)
        while cache.store.guard.is_open:
            cache.get("k")
            time.sleep(0.01)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert LOST_SECONDS > 1
    assert (status, cache.store.guard.is_open) == (0, True)
    either.close()


@only_valkey
def test_all_loops_are_served_again(own_server: Server, events: list[Event]) -> None:
    """One loop's probe closes the breaker for the loops of all threads, each of which then connects anew."""
    import asyncio

    from unstale import AsyncCache

    cache = AsyncCache.from_url(own_server.url, namespace="test", timeout=5.0, read_timeout=1.0, on_event=events.append)
    loops = [asyncio.Runner() for _ in range(2)]
    for one in loops:
        one.run(cache.ping())
    own_server.kill()
    for _ in range(FAILURES):
        loops[0].run(cache.get("k"))
    own_server.start()
    deadline = time.monotonic() + LONG
    while cache._store.guard.is_open and time.monotonic() < deadline:  # type: ignore[attr-defined]
        loops[0].run(cache.get("k"))
        time.sleep(0.01)
    events.clear()
    for one in loops:
        assert one.run(cache.get_or_set("k", loaded)) == "loaded"
    assert not of(events, Failed)
    loops[0].run(cache.close())
    for one in loops:
        one.close()


async def loaded() -> str:
    """A loader."""
    return "loaded"


class Slow:
    """In front of a server: it holds back what comes from there until a connection is made, as one far away.

    Use as a context manager.
    """

    def __init__(self, server: Server, seconds: float) -> None:
        self._server, self._seconds = server, seconds
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listening.getsockname()[1]}/0"
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(("127.0.0.1", self._server.port))
                self._open += [near, far]
                threading.Thread(target=self._pass, args=(near, far, 0.0), daemon=True).start()
                threading.Thread(target=self._pass, args=(far, near, self._seconds), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, wait: float) -> None:
        with suppress(OSError):
            answers = 0
            while data := source.recv(65536):
                if answers < 2:  # the name of the library, and INFO
                    time.sleep(wait)
                answers += 1
                target.sendall(data)

    def cut(self) -> None:
        """Break all connections."""
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._listening.close()
        self.cut()
        for one in self._open:
            one.close()


@only_valkey
def test_a_server_to_which_connecting_takes_long(either: Either, own_server: Server, events: list[Event]) -> None:
    """Where a new connection takes longer than a read may, it comes up all the same, also after trouble."""
    with Slow(own_server, 0.2) as slow:
        cache = either.open(slow.url, timeout=2.0, read_timeout=0.1, on_event=events.append)
        assert cache.get_or_set("k", lambda: "v", tags=["t"]) == "v"
        for _ in range(FAILURES):
            cache.store.guard.read_left(Leave.ASK, StoreTimeoutError())
        slow.cut()
        deadline = time.monotonic() + LONG
        while cache.store.guard.is_troubled and time.monotonic() < deadline:
            cache.get("k", tags=["t"])
            time.sleep(0.01)
        assert len(of(events, BreakerClosed)) == 1
        events.clear()
        assert cache.get("k", tags=["t"]) == "v"
        assert of(events, Failed, Hit) == [Hit("k")]


@only_valkey
def test_a_thread_that_was_late_looks_once_more(own_server: Server, events: list[Event]) -> None:
    """A process that notices too late that its time is over finds the answer there, and takes it."""
    either = Either("threads")
    cache = either.open(own_server.url, timeout=LONG, read_timeout=SHORT, on_event=events.append)
    with closing(either):
        cache.set("k", "v", tags=["t"])
        [wire] = cache.store._pool.idle
        wire.proved_until = math.inf
        tries = []

        def recv(_: int) -> bytes:
            time.sleep(2 * SHORT)
            tries.append(1)
            assert len(tries) < 10
            raise BlockingIOError

        wire.recv = recv
        assert cache.get("k", tags=["t"]) == "v"
        assert (len(tries) >= 2, of(events, Failed)) == (True, [])


@pytest.mark.parametrize("bad", [None, 0, -1, "soon"])
@pytest.mark.parametrize("name", ["read_timeout", "invalidate_timeout"])
def test_a_limit_that_is_none(name: str, bad: Any) -> None:
    """A mistake in it shows when the cache is made."""
    with closing(Either("threads")) as either, pytest.raises(ValueError, match=name):
        either.open("memory://", **{name: bad})


HOW_FAR: dict[str, Callable[[Server, str], str]] = {
    "refused": lambda _, __: f"redis://127.0.0.1:{free_port()}/0",
    "black hole": lambda _, hole: hole,
    "silent": lambda server, _: server.url,
    "silent, with a password": lambda server, _: server.url.replace("//", "//:secret@"),
}


@only_valkey
@pytest.mark.parametrize("url", HOW_FAR.values(), ids=HOW_FAR)
def test_an_invalidation_ends(
    either: Either, own_server: Server, black_hole: str, url: Callable[[Server, str], str]
) -> None:
    """Whatever the network does, and however patient the rest is, it ends by `invalidate_timeout`, and raises."""
    cache = either.open(url(own_server, black_hole), timeout=10 * LONG, invalidate_timeout=0.3)
    own_server.freeze()
    began = time.monotonic()
    with pytest.raises(StoreUnavailableError):
        cache.invalidate("t")
    assert time.monotonic() - began < NOT_HUNG


@only_valkey
def test_an_invalidation_on_a_connection_that_is_dead(cache: Used, own_server: Server) -> None:
    """Where only its connection is swallowed, as by a firewall that forgot it, it takes effect on a new one."""
    made = cache.store._pool.idle if cache._runner is None else None
    if made is None:
        link = cache.store._last
        link._write = lambda _: None
        link._timeout = link._read_timeout = 0.2
    else:
        ours, theirs = socket.socketpair()
        [wire] = made
        wire.sock, wire.send, wire.recv, wire._timeout = ours, ours.send, ours.recv, 0.2
        wire._slice(ours)
    cache.store.guard.timeout = 0.2
    assert cache.invalidate("t").bumped == 1
    if made is not None:
        ours.close()
        theirs.close()


class Trickle:
    """A server that answers anything, a byte at a time, without end. Use as a context manager."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listening.getsockname()[1]}/0"
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                talking, _ = self._listening.accept()
                threading.Thread(target=self._talk, args=(talking,), daemon=True).start()

    def _talk(self, talking: socket.socket) -> None:
        with talking, suppress(OSError):
            talking.recv(65536)
            talking.sendall(b"$100000\r\n")
            while True:
                talking.sendall(b"x")
                time.sleep(0.01)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._listening.close()


@pytest.mark.parametrize("credentials", ["", ":secret@"])
def test_an_invalidation_of_a_server_that_trickles(either: Either, credentials: str) -> None:
    """Nor does it go on for as long as something comes."""
    with Trickle() as trickle:
        cache = either.open(trickle.url.replace("//", f"//{credentials}"), timeout=10 * LONG, invalidate_timeout=0.3)
        began = time.monotonic()
        with pytest.raises(StoreError):
            cache.invalidate("t")
        assert time.monotonic() - began < NOT_HUNG
