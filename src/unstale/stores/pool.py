"""The connections of one process to one server: a stack, so that a few stay busy and the rest go idle.

Taking and giving back are single list operations, safe between threads without a lock; making one is counted under a
lock. After a fork the child begins with none: the parent's sockets are let go without a word to the server.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from time import monotonic

from redis.connection import AbstractConnection

from unstale.errors import PoolExhaustedError, StoreClosedError
from unstale.stores.wire import Wire


class Pool:
    """A stack of wires.

    Attributes:
        idle: the wires that nobody uses.
        generation: raised when all wires that exist must go; see `drop_all`.
        waiting: how many threads wait for one to come back.
    """

    def __init__(self, connect: Callable[[], AbstractConnection], timeout: float, limit: int) -> None:
        """Begin with no connection.

        Args:
            connect: makes a connection of redis-py's, not yet connected.
            timeout: seconds for each answer, and to wait for a connection when all are in use.
            limit: most connections.
        """
        self._connect = connect
        self._timeout = timeout
        self._limit = limit
        self._closed = False
        self.generation = 0
        self._begin()
        _pools.add(self)

    def _begin(self) -> None:
        self.idle: list[Wire] = []
        self._live: weakref.WeakSet[Wire] = weakref.WeakSet()  # weak: a signal's exception can lose a wire anywhere
        self._making = 0
        self.waiting = 0
        self._changed = threading.Condition(threading.Lock())

    def take(self) -> Wire:
        """A wire: an idle one, or a new one.

        Raises:
            StoreClosedError: the pool was closed.
            PoolExhaustedError: none came free in `timeout` seconds.
            StoreUnavailableError: a new one could not be connected.
        """
        deadline = 0.0
        while not self._closed:
            try:
                wire = self.idle.pop()
            except IndexError:
                deadline = deadline or monotonic() + self._timeout
                if self._may_make(deadline):
                    return self._make()
                continue
            if wire.generation == self.generation:
                return wire
            self.discard(wire)
        raise StoreClosedError

    def _may_make(self, deadline: float) -> bool:
        """Count one more connection in; or wait until one comes free, or goes, and say no."""
        with self._changed:
            if len(self._live) + self._making < self._limit:
                self._making += 1
                return True
            self.waiting += 1
            try:
                if not self._changed.wait_for(self._has_room, deadline - monotonic()):
                    raise PoolExhaustedError
            finally:
                self.waiting -= 1
            return False

    def _has_room(self) -> bool:
        return bool(self.idle) or len(self._live) + self._making < self._limit

    def _make(self) -> Wire:
        try:
            wire = Wire(self._connect(), self._timeout, self.generation)
            self._live.add(wire)
            return wire
        finally:
            with self._changed:
                self._making -= 1
                self._changed.notify()

    def give(self, wire: Wire) -> None:
        """Give back a wire that works."""
        if wire.generation != self.generation or self._closed:
            self.discard(wire)
            return
        self.idle.append(wire)
        if self.waiting:  # looked at after the append: who begins to wait in between sees the wire
            self.wake()

    def wake(self) -> None:
        """Tell one who waits that something has changed."""
        with self._changed:
            self._changed.notify()

    def discard(self, wire: Wire) -> None:
        """Close a wire that broke or is too old."""
        wire.close()
        self._live.discard(wire)
        self.wake()

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


_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


def _after_fork() -> None:
    for pool in list(_pools):
        pool.forked()


os.register_at_fork(after_in_child=_after_fork)
