"""Threads, forked processes, greenlets, signals: each gets its own answers, and a silent server hangs none of them."""

from __future__ import annotations

import importlib.util
import random
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from types import FrameType
from typing import Any, Self

import pytest
from children.launch import Child
from servers import Server

from unstale import Cache, remembering
from unstale.errors import PoolExhaustedError, StoreTimeoutError
from unstale.events import Event, Failed
from unstale.stores.pool import Pool

HASTY = 0.3
NOT_HUNG = 8.0
"""Seconds for two calls under HASTY, by eight workers on a busy machine."""

only_valkey = pytest.mark.parametrize("own_server", ["valkey"], indirect=True)
"""What happens on the client's side needs no second kind of server."""
only_valkey_shared = pytest.mark.parametrize("server", ["valkey"], indirect=True)

MODES = ["threads", "fork", "gevent"]


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    """How the workers of a child process run."""
    if request.param == "gevent" and importlib.util.find_spec("gevent") is None:
        pytest.skip("gevent is not installed (it has no wheel for this platform)")
    return request.param


@contextmanager
def workers(mode: str, server: Server) -> Iterator[Child]:
    """A program with many threads, a forked child, or many greenlets, that has used its connections."""
    with Child("shared.py", mode, server.url, str(HASTY)) as child:
        assert child.hear() == "ready"
        yield child


@only_valkey
def test_a_silent_server_hangs_nobody(mode: str, own_server: Server) -> None:
    """While the server is silent every worker gets its loader's value, and each invalidation raises, both in time."""
    with workers(mode, own_server) as child:
        own_server.freeze()
        child.say("frozen")
        outcomes = child.hear()["outcomes"]
    assert {outcome["loaded"] for outcome in outcomes} == {"loaded"}
    assert {outcome["invalidated"] for outcome in outcomes} == {"timed out"}
    assert [outcome["errors"] for outcome in outcomes] == [["StoreTimeoutError"]] * len(outcomes)
    assert max(outcome["seconds"] for outcome in outcomes) < NOT_HUNG


@only_valkey
def test_nobody_gets_anothers_answer(mode: str, own_server: Server) -> None:
    """After a silence, with many keys read at once over shared connections, every worker gets its own answers only."""
    with workers(mode, own_server) as child:
        own_server.freeze()
        child.say("frozen")
        child.hear()
        own_server.thaw()
        child.say("thawed")
        assert child.hear() == []


@only_valkey
def test_greenlets_run_on_while_one_waits(own_server: Server) -> None:
    """Under gevent a silent server holds up only who asked it."""
    pytest.importorskip("gevent", reason="gevent is not installed (it has no wheel for this platform)")
    with workers("gevent", own_server) as child:
        own_server.freeze()
        child.say("frozen")
        told = child.hear()
    assert told["ticks"] >= 5


@pytest.fixture
def patient(server: Server) -> Iterator[Cache]:
    """A cache with two connections at most and many keys, each with a value of its own."""
    with Cache.from_url(server.url, namespace="test", timeout=10.0, max_connections=2) as cache, remembering():
        assert cache.set_many({f"k{number}": number for number in range(50)}, tags=["t"]) == []
        yield cache


def test_more_threads_than_connections(patient: Cache) -> None:
    """Threads beyond the number of connections wait for one, and get their own answers."""
    wrong: list[Any] = []

    def read(number: int) -> None:
        for step in range(100):
            key = (number * 7 + step) % 50
            if (value := patient.get(f"k{key}", tags=["t"])) != key:
                wrong.append((key, value))

    run_at_once(read, 16)
    assert wrong == []
    assert len(patient._store._pool.idle) <= 2


def run_at_once(work: Callable[[int], None], count: int) -> None:
    """Do the work in many threads that take turns very often; an exception in one fails the test."""
    errors: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001 - whatever it is
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    finally:
        sys.setswitchinterval(interval)
    assert errors == []


def test_one_connection_for_many_threads(server: Server) -> None:
    """Writes of many threads over one connection all happen, each once."""
    with Cache.from_url(server.url, namespace="test", timeout=30.0, max_connections=1) as cache:
        cache.set("count", 0)
        run_at_once(lambda _: [cache.incr("count") for _ in range(50)] and None, 16)
        assert cache.get("count") == 16 * 50


def test_a_loader_may_use_the_cache_over_one_connection(server: Server) -> None:
    """A loader holds no connection: it may read the cache itself, though there is only one."""
    with Cache.from_url(server.url, namespace="test", timeout=10.0, max_connections=1) as cache:
        inner = lambda: cache.get_or_set("inner", lambda: 1)  # noqa: E731 - it is a loader
        assert cache.get_or_set("outer", inner) == 1


@pytest.fixture
def exhausted(server: Server, events: list[Event]) -> Iterator[Cache]:
    """A cache whose connections are all in use."""
    with (
        Cache.from_url(server.url, namespace="test", timeout=HASTY, max_connections=2, on_event=events.append) as cache,
        ExitStack() as stack,
    ):
        pool = cache._store._pool
        for _ in range(2):
            stack.callback(pool.give, pool.take())
        yield cache


def test_no_connection_left_for_a_write(exhausted: Cache) -> None:
    """A write that gets no connection in time raises, and says what to do."""
    with pytest.raises(PoolExhaustedError, match="max_connections"):
        exhausted.invalidate("t")


def test_no_connection_left_for_a_read(exhausted: Cache, events: list[Event]) -> None:
    """A read that gets no connection in time calls its loader."""
    assert exhausted.get_or_set("k", lambda: "loaded") == "loaded"
    assert [type(event.error) for event in events if isinstance(event, Failed)] == [PoolExhaustedError]


@pytest.fixture
def narrow(server: Server) -> Iterator[Pool]:
    """A pool of one connection, with a time limit that a test would notice."""
    with Cache.from_url(server.url, namespace="test", timeout=10.0, max_connections=1) as cache:
        yield cache._store._pool


def test_who_waited_gets_no_connection_that_had_to_go(narrow: Pool) -> None:
    """A connection made before all had to go (the server is a replica now, say) is not given to one who waited."""
    old = narrow.take()
    taken: list[Any] = []
    waiting = threading.Thread(target=lambda: taken.append(narrow.take()))
    waiting.start()
    time.sleep(0.05)  # it waits by now
    narrow.give(old)
    narrow.generation += 1
    waiting.join(20)
    assert taken[0].generation == narrow.generation
    narrow.give(taken[0])


def test_who_waited_learns_that_the_cache_was_closed(server: Server) -> None:
    """Closing a cache ends the wait for its connections."""
    cache = Cache.from_url(server.url, namespace="test", timeout=3.0, max_connections=1)
    pool = cache._store._pool
    wire = pool.take()
    errors: list[BaseException] = []

    def read() -> None:
        try:
            pool.take()
        except BaseException as error:  # noqa: BLE001 - whatever it is
            errors.append(error)

    waiting = threading.Thread(target=read)
    waiting.start()
    time.sleep(0.05)  # it waits by now
    cache.close()
    pool.give(wire)
    waiting.join(20)
    assert [type(error).__name__ for error in errors] == ["StoreClosedError"]


def test_a_connection_that_was_lost_is_not_counted(narrow: Pool) -> None:
    """A connection that an exception (a signal's, say) dropped between two instructions uses up no room."""
    for _ in range(3):
        narrow.take()
    narrow.give(narrow.take())


class InterruptedTestError(Exception):
    """What the handler raises, as Ctrl-C or a job's time limit would."""


class Interrupter:
    """Interrupts the main thread by a signal, from a thread of its own; never outside `at_risk`."""

    def __init__(self) -> None:
        self._orders: deque[float] = deque()
        self._at_risk = False
        self._over = False
        self._thread = threading.Thread(target=self._send, daemon=True)

    def _send(self) -> None:
        while not self._over:
            if self._orders:
                time.sleep(self._orders.popleft())
                signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
            time.sleep(0.0002)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._at_risk:
            self._at_risk = False
            raise InterruptedTestError

    def run(self, seconds: float, call: Callable[[], Any]) -> bool:
        """Call, and interrupt it about so many seconds later; whether it was interrupted."""
        try:
            self._orders.append(seconds)
            self._at_risk = True
            call()
            self._at_risk = False
        except InterruptedTestError:
            return True
        return False

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGUSR1, self._on_signal)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over = True
        self._thread.join(10)
        signal.signal(signal.SIGUSR1, self._before)


@pytest.fixture
def interrupter() -> Iterator[Interrupter]:
    """Interrupts calls; ended with the test."""
    with Interrupter() as made:
        yield made


INTERRUPTED: dict[str, Callable[[Cache], Any]] = {
    "get": lambda cache: cache.get("k1", tags=["t"]),
    "get_or_set": lambda cache: cache.get_or_set("k1", lambda: "loaded", tags=["t"]),
    "get_many": lambda cache: cache.get_many(["k1", "k2"], tags=["t"]),
    "set": lambda cache: cache.set("new", "v"),
    "invalidate": lambda cache: cache.invalidate("u"),
    "incr": lambda cache: cache.incr("k1"),
}


@only_valkey_shared
@pytest.mark.parametrize("verb", INTERRUPTED.values(), ids=INTERRUPTED)
def test_an_interrupted_call_leaves_no_answer_behind(
    patient: Cache, server: Server, interrupter: Interrupter, verb: Callable[[Cache], Any]
) -> None:
    """After Ctrl-C in the middle of a call the next one gets its own answer, not the one that was under way."""
    server.freeze()
    try:
        assert interrupter.run(0.1, lambda: verb(patient))
    finally:
        server.thaw()
    assert [patient.get(f"k{number}", tags=["t"]) for number in range(2, 50)] == list(range(2, 50))


@only_valkey_shared
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # sockets cut off while being made
def test_interruptions_anywhere(patient: Cache, interrupter: Interrupter) -> None:
    """However often calls are interrupted, wherever, later ones get their own answers, and find a connection."""
    wrong: list[Any] = []

    def read(key: int) -> None:
        wrong.extend(value for _ in range(50) if (value := patient.get(f"k{key}", tags=["t"])) != key)

    interrupted = sum(interrupter.run(random.uniform(0.0, 0.002), partial(read, step % 50)) for step in range(500))
    assert interrupted > 100
    assert wrong == []
    pool = patient._store._pool
    both = [pool.take(), pool.take()]
    for wire in both:
        pool.give(wire)


@only_valkey
def test_signals_do_not_prolong_the_time_limit(own_server: Server) -> None:
    """A process that handles a signal every few milliseconds (a profiler's, say) is not kept waiting for ever."""
    stop = threading.Event()

    def keep_signalling() -> None:
        deadline = time.monotonic() + NOT_HUNG / 2
        while not stop.wait(0.05) and time.monotonic() < deadline:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, lambda _number, _frame: None)
    signalling = threading.Thread(target=keep_signalling)
    with Cache.from_url(own_server.url, namespace="test", timeout=HASTY) as cache:
        try:
            cache.ping()
            own_server.freeze()
            signalling.start()
            began = time.monotonic()
            with pytest.raises(StoreTimeoutError):
                cache.invalidate("t")
            assert time.monotonic() - began < NOT_HUNG / 4
        finally:
            stop.set()
            signalling.join()
            signal.signal(signal.SIGUSR1, before)
            own_server.thaw()
