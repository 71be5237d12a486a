"""The pool: its limit, who waits for whom, generations, forks. Its wires are fakes."""

from __future__ import annotations

import gc
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator

import pytest

from unstale.errors import PoolExhaustedError, StoreClosedError, StoreError, StoreUnavailableError
from unstale.stores import pool as pool_module
from unstale.stores.pool import Pool


class FakeWire:
    """What the pool asks of a wire."""

    made: int = 0
    error: BaseException | None = None

    def __init__(
        self,
        connection: object,
        timeout: float,
        generation: int,
        permit: object,
        connect_until: float,
        breaker: object,
    ) -> None:
        if FakeWire.error is not None:
            raise FakeWire.error
        FakeWire.made += 1
        self.connection = connection
        self.timeout = timeout
        self.connect_until = connect_until
        self.breaker = breaker
        self.generation = generation
        self.permit = permit
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


@pytest.fixture(autouse=True)
def fake_wires(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Wires that connect to nothing."""
    monkeypatch.setattr(pool_module, "Wire", FakeWire)
    FakeWire.made, FakeWire.error = 0, None
    return


@pytest.fixture
def pool() -> Pool:
    """A pool of two wires, that waits for half a second."""
    return Pool(lambda: "connection", timeout=0.5, limit=2)


def in_thread(function: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    """Call a function in a thread; what it returned or raised, in a list."""
    results: list[object] = []

    def run() -> None:
        try:
            results.append(function())
        except StoreError as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, results


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_begins_with_nothing(pool: Pool) -> None:
    """Nothing is connected before it is wanted."""
    assert (FakeWire.made, pool.idle) == (0, [])


def test_makes_a_wire(pool: Pool) -> None:
    """A wire is made of a new connection, with the pool's time limit and generation."""
    wire = pool.take()
    assert (wire.connection, wire.timeout, wire.generation) == ("connection", 0.5, 0)


def test_last_in_first_out(pool: Pool) -> None:
    """The wire that was given back last is taken first, so that few stay busy."""
    one, other = pool.take(), pool.take()
    pool.give(one)
    pool.give(other)
    assert [pool.take(), pool.take()] == [other, one]
    assert FakeWire.made == 2


def test_limit(pool: Pool) -> None:
    """With all wires in use, who wants one waits for the pool's time, then is told what to do."""
    held = [pool.take(), pool.take()]
    began = time.monotonic()
    with pytest.raises(PoolExhaustedError, match="Raise `max_connections`"):
        pool.take()
    assert 0.5 <= time.monotonic() - began < 5
    assert (FakeWire.made, len(held)) == (2, 2)


def test_who_waits_gets_what_is_given_back(pool: Pool) -> None:
    """A wire that is given back goes to who waits, at once."""
    one, _ = pool.take(), pool.take()
    thread, results = in_thread(pool.take)
    time.sleep(0.02)  # it waits by now
    pool.give(one)
    thread.join(0.4)
    assert results == [one]


def test_who_waits_may_make_what_was_discarded(pool: Pool) -> None:
    """A wire that broke makes room for a new one, at once."""
    one, other = pool.take(), pool.take()
    thread, results = in_thread(pool.take)
    time.sleep(0.02)  # it waits by now
    pool.discard(one)
    thread.join(0.4)
    assert [result not in (one, other) for result in results] == [True]
    assert one.closed == 1


def test_each_wire_goes_to_one(pool: Pool) -> None:
    """Of several who wait, each gets a wire of its own in turn."""
    held = [pool.take(), pool.take()]
    waiters = [in_thread(pool.take) for _ in range(2)]
    time.sleep(0.02)  # it waits by now
    for wire in held:
        pool.give(wire)
    for thread, _ in waiters:
        thread.join(5)
    taken = [results[0] for _, results in waiters]
    assert sorted(map(id, taken)) == sorted(map(id, held))


class Unlucky(list):
    """Idle wires of which something happens in the very moment when none was found."""

    def __init__(self, *wires: object) -> None:
        super().__init__(wires)
        self.then: Callable[[], None] = lambda: None

    def pop(self, *at: int) -> object:
        try:
            return super().pop(*at)
        except IndexError:
            self.then()
            raise


def test_given_back_just_before_waiting(pool: Pool) -> None:
    """A wire that comes back between finding none and beginning to wait is found, without waiting the time out."""
    one, _ = pool.take(), pool.take()
    pool.idle = Unlucky()
    pool.idle.then = lambda: pool.give(one)
    began = time.monotonic()
    assert pool.take() is one
    assert time.monotonic() - began < 0.4


class Snatched(list):
    """Idle wires of which another thread takes one between a look and the taking."""

    def pop(self, *at: int) -> object:
        stolen, self[:] = self[:], []
        raise IndexError(f"{len(stolen)} stolen")


def test_snatched_by_another(pool: Pool) -> None:
    """Who wakes up and finds that another was faster waits on, and is told only of exhaustion in the end."""
    one, _ = pool.take(), pool.take()
    pool.idle = Snatched()
    thread, results = in_thread(pool.take)
    time.sleep(0.02)  # it waits by now
    pool.give(one)
    thread.join(5)
    assert [type(result) for result in results] == [PoolExhaustedError]


def test_failed_connection_does_not_count(pool: Pool) -> None:
    """A wire that could not be connected takes no place, however often it is tried."""
    FakeWire.error = StoreUnavailableError()
    for _ in range(5):
        with pytest.raises(StoreUnavailableError):
            pool.take()
    FakeWire.error = None
    assert len({pool.take(), pool.take()}) == 2


def test_lost_wire_does_not_count(pool: Pool) -> None:
    """A wire whose user vanished without giving it back (a signal's exception) makes room for a new one."""
    for _ in range(10):
        lost = pool.take()
        del lost
        gc.collect()
    assert FakeWire.made == 10


def test_interrupted_connection_does_not_count(pool: Pool) -> None:
    """Nor does one whose making was interrupted."""
    FakeWire.error = KeyboardInterrupt()
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            pool.take()
    FakeWire.error = None
    assert len({pool.take(), pool.take()}) == 2


def test_who_waits_makes_one_after_anothers_connection_failed(pool: Pool) -> None:
    """Who waits for a place gets that of a connection that failed."""
    pool = Pool(lambda: "connection", timeout=5.0, limit=1)
    connecting, fail = threading.Event(), threading.Event()

    def never_mind(*_: object) -> FakeWire:
        connecting.set()
        assert fail.wait(10)
        pool_module.Wire = FakeWire
        raise StoreUnavailableError

    pool_module.Wire = never_mind
    first, failed = in_thread(pool.take)
    assert connecting.wait(10)
    second, made = in_thread(pool.take)
    time.sleep(0.02)  # it waits by now
    fail.set()
    first.join(5)
    second.join(2)
    assert [type(result) for result in (*failed, *made)] == [StoreUnavailableError, FakeWire]


def test_drop_all_closes_the_idle(pool: Pool) -> None:
    """When all must go, the idle ones are closed at once, and new ones are of the next generation."""
    one = pool.take()
    pool.give(one)
    pool.drop_all()
    assert (one.closed, pool.idle) == (1, [])
    assert pool.take().generation == 1


def test_drop_all_leaves_those_in_use(pool: Pool) -> None:
    """A wire in use is closed when it comes back, never under its user's read, and then makes room."""
    one, _ = pool.take(), pool.take()
    pool.drop_all()
    assert one.closed == 0
    pool.give(one)
    assert (one.closed, pool.idle) == (1, [])
    assert pool.take().generation == 1


def test_old_wire_that_slipped_in_is_not_given_out(pool: Pool) -> None:
    """A wire of an older generation among the idle is closed, not given out."""
    one = pool.take()
    pool.idle.append(one)
    pool.generation += 1
    assert pool.take() is not one
    assert one.closed == 1


def test_old_wire_is_not_given_to_who_waits(pool: Pool) -> None:
    """Nor is it given to who waits, although it lies among the idle when he wakes."""
    one, other = pool.take(), pool.take()
    thread, results = in_thread(pool.take)
    time.sleep(0.02)  # it waits by now
    pool.generation += 1
    pool.idle.append(one)  # by a thread that looked at the generation just before it was raised
    pool.discard(other)
    thread.join(5)
    assert [result.generation for result in results] == [1]


def test_closed_pool_gives_nothing(pool: Pool) -> None:
    """A closed pool closes its wires, gives out none, and says so."""
    idle, used = pool.take(), pool.take()
    pool.give(idle)
    pool.close()
    pool.give(used)
    assert (idle.closed, used.closed, pool.idle) == (1, 1, [])
    with pytest.raises(StoreClosedError):
        pool.take()


def test_close_twice(pool: Pool) -> None:
    """Closing a closed pool is no error."""
    pool.close()
    pool.close()
    with pytest.raises(StoreClosedError):
        pool.take()


def test_who_waits_when_it_closes_is_told(pool: Pool) -> None:
    """Who waits for a wire of a pool that is closed meanwhile does not get a new connection."""
    pool.give(pool.take())
    held = [pool.take(), pool.take()]
    thread, results = in_thread(pool.take)
    time.sleep(0.02)  # it waits by now
    pool.close()
    pool.give(held[0])
    thread.join(5)
    assert [type(result) for result in results] == [StoreClosedError]


def in_child(check: Callable[[], bool]) -> bool:
    """Whether something is so in a forked child."""
    child = os.fork()
    if not child:
        code = 2
        try:
            code = 0 if check() else 1
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1] == 0


def test_fork_begins_anew(pool: Pool) -> None:
    """A child has none of its parent's wires, and its own limit."""
    used, idle = pool.take(), pool.take()
    pool.give(idle)
    assert in_child(lambda: pool.idle == [] and len({pool.take(), pool.take()} - {used, idle}) == 2)
    assert pool.idle == [idle]


def test_fork_closes_nothing(pool: Pool) -> None:
    """A child lets go of its parent's wires without closing them: a QUIT would reach the parent's server session."""
    wire = pool.take()
    pool.give(wire)
    assert in_child(lambda: wire.closed == 0)


def test_fork_while_a_wire_is_in_use(pool: Pool) -> None:
    """A wire that was in use at the fork is not reused by the child, even if its holder there gives it back."""
    wire = pool.take()
    assert in_child(lambda: (pool.give(wire), wire not in pool.idle)[1])


def test_fork_of_a_closed_pool(pool: Pool) -> None:
    """A closed pool stays closed in a child."""
    pool.close()

    def refuses() -> bool:
        try:
            pool.take()
        except StoreClosedError:
            return True
        return False

    assert in_child(refuses)


def test_pools_are_not_kept_alive() -> None:
    """A pool that nobody uses any more goes, though forks would have been told of it."""
    gone = weakref.ref(Pool(lambda: "connection", 0.5, 2))
    gc.collect()
    assert gone() is None


def test_many_threads(pool: Pool) -> None:
    """Many threads that take and give for a while never hold more wires than the limit, nor one wire twice."""
    pool = Pool(lambda: "connection", timeout=10.0, limit=3)
    held: set[int] = set()
    most: list[int] = []
    twice: list[object] = []
    stop = time.monotonic() + 0.5

    def work() -> None:
        while time.monotonic() < stop:
            wire = pool.take()
            if id(wire) in held:
                twice.append(wire)
            held.add(id(wire))
            most.append(len(held))
            time.sleep(0)
            held.discard(id(wire))
            pool.give(wire)

    threads = [in_thread(work) for _ in range(8)]
    for thread, _ in threads:
        thread.join(20)
    assert [results for _, results in threads] == [[None]] * 8
    assert (twice, max(most) <= 3, FakeWire.made <= 3) == ([], True, True)
