"""The connections of one process to one server: a stack, so that a few stay busy and the rest go idle.

Taking and giving back are single list operations, safe between threads and in a signal's handler, without a lock. Each
connection holds a permit, which comes back when the connection goes, however it goes: a signal's exception can lose one
anywhere. After a fork the child begins with none: the parent's sockets are let go without a word to the server.
"""

from __future__ import annotations

import math
import os
import queue
import time
import weakref
from collections.abc import Callable

from redis.connection import AbstractConnection

from unstale.core.breaker import Breaker
from unstale.errors import PoolExhaustedError, StoreClosedError
from unstale.stores.wire import Wire

LOOK_SECONDS = 0.002
"""How often one who waits looks whether a connection has come free."""


class Permit:
    """The right to one connection; it is also given back by going out of existence."""

    __slots__ = ("_permits",)

    def __init__(self, permits: queue.SimpleQueue[None]) -> None:
        """Take one. Raises queue.Empty."""
        self._permits: queue.SimpleQueue[None] | None = None
        permits.get_nowait()
        self._permits = permits

    def release(self) -> None:
        """Give it back, once."""
        permits, self._permits = self._permits, None
        if permits is not None:
            permits.put(None)

    def __del__(self) -> None:
        self.release()


class Pool:
    """A stack of wires.

    Attributes:
        idle: the wires that nobody uses.
        generation: raised when all wires that exist must go; see `drop_all`.
        connected_in: seconds that the last new wire took; 0.0 if there was none.
    """

    def __init__(
        self,
        connect: Callable[[], AbstractConnection],
        timeout: float,
        limit: int,
        *,
        on_fork: Callable[[], None] | None = None,
        make: Callable[..., Wire] | None = None,
    ) -> None:
        """Begin with no connection.

        Args:
            connect: makes a connection of redis-py's, not yet connected.
            timeout: seconds for each answer, and to wait for a connection when all are in use.
            limit: most connections.
            on_fork: called in a child process, too.
            make: what makes wires, if it is not Wire.
        """
        self._on_fork = on_fork
        self._connect = connect
        self._timeout = timeout
        self._limit = limit
        self._make_wire = make
        self._closed = False
        self.generation = 0
        self.connected_in = 0.0
        self._begin()
        _pools.add(self)

    def _begin(self) -> None:
        self.idle: list[Wire] = []
        self._permits: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(self._limit):
            self._permits.put(None)

    def take(self, until: float = math.inf, breaker: Breaker | None = None) -> Wire:
        """A wire: an idle one, or a new one.

        Args:
            until: the monotonic time until which there must be one.
            breaker: one whose opening ends the wait for a new one's answers.

        Raises:
            StoreClosedError: the pool was closed.
            PoolExhaustedError: none came free in `timeout` seconds, or by then.
            StoreUnavailableError: a new one could not be connected.
        """
        deadline = 0.0
        while not self._closed:
            try:
                wire = self.idle.pop()
            except IndexError:
                try:
                    permit = Permit(self._permits)
                except queue.Empty:
                    deadline = self._wait(deadline, until)
                    continue
                return self._make(permit, until, breaker)
            if wire.generation == self.generation:
                return wire
            self.discard(wire)
        raise StoreClosedError

    def _make(self, permit: Permit, until: float, breaker: Breaker | None) -> Wire:
        generation = self.generation  # before the connection has an address: who drops all meanwhile means this one too
        began = time.monotonic()
        try:
            wire = (self._make_wire or Wire)(self._connect(), self._timeout, generation, permit, until, breaker)
        except BaseException:
            permit.release()  # whoever keeps the exception keeps this frame
            raise
        self.connected_in = time.monotonic() - began
        return wire

    def _wait(self, deadline: float, until: float) -> float:
        now = time.monotonic()
        if deadline and now >= deadline:
            raise PoolExhaustedError
        time.sleep(LOOK_SECONDS)
        return deadline or min(now + self._timeout, until)

    def give(self, wire: Wire) -> None:
        """Give back a wire that works."""
        if wire.generation != self.generation or self._closed:
            self.discard(wire)
        else:
            self.idle.append(wire)

    def discard(self, wire: Wire) -> None:
        """Close a wire that broke or is too old."""
        wire.close()
        wire.permit.release()

    def drop_all(self) -> None:
        """Let all wires go: the idle now, those in use when they come back, so never under another thread's read."""
        self.generation += 1
        while self.idle:
            try:
                wire = self.idle.pop()
            except IndexError:
                break
            self.discard(wire)

    def close(self) -> None:
        """Close for good."""
        self._closed = True
        self.drop_all()

    def forked(self) -> None:
        """Begin anew in a child process. A wire that comes back all the same is the parent's, and not used again."""
        self.generation += 1
        self._begin()
        if self._on_fork is not None:
            self._on_fork()


_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


def _after_fork() -> None:
    for pool in list(_pools):
        pool.forked()


os.register_at_fork(after_in_child=_after_fork)
