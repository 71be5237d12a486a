"""The synchronous store on Redis and Valkey. A method makes its trip, sends it over a wire, and parses the replies.

redis-py's own retries are off. A trip is tried once more only where a connection turns out broken (the server closed
it while it was idle), at once and on a new one, with new stamps and tokens; never after a time-out,
but for an invalidation, in the time that it has: its connection may be one that a firewall has forgotten. What must not
happen twice (counting, adding) is not tried again.

Reads have a breaker and limits of their own (`guard`); what would follow one, to store a value, is not tried while the
breaker is open. An invalidation is always tried, and is over in time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

import hiredis
from redis.connection import AbstractConnection

from unstale.core.breaker import Leave
from unstale.core.ports import (
    Bumped,
    Change,
    Claim,
    Commit,
    Committed,
    Heads,
    Mode,
    Modify,
    Opening,
    Peek,
    Reading,
    Scanned,
    Unmodified,
)
from unstale.errors import StoreTimeoutError, StoreUnavailableError
from unstale.stores import commands
from unstale.stores.abandoned import Abandoned
from unstale.stores.commands import PING, Trip, any_error, parsed
from unstale.stores.connect import connector
from unstale.stores.guard import Guard, was_late
from unstale.stores.limits import Limits
from unstale.stores.options import StoreOptions
from unstale.stores.pool import Pool
from unstale.stores.replaying import recorded
from unstale.stores.wire import RECEIVE_BYTES, Wire

if TYPE_CHECKING:
    from unstale.core.replay import Recent

T = TypeVar("T")


class RedisStore:
    """A store on one Redis or Valkey server."""

    def __init__(
        self,
        connect: Callable[[], AbstractConnection],
        options: StoreOptions,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        """Make the pool. Nothing is connected yet."""
        self._on_close = on_close
        self._wait, self._wait_seconds = options.wait, options.wait_seconds
        self._recent = options.recent
        self._abandoned = Abandoned()
        self.guard = Guard(options)
        self._hot = Limits(self.guard.read_timeout)
        self._pool = Pool(
            connect,
            options.timeout,
            options.max_connections,
            on_fork=self.guard.forked,
            make=self._wires(options.recent),
        )

    @staticmethod
    def _wires(recent: Recent | None) -> Callable[..., Wire] | None:
        """What makes connections, where they are no plain ones."""
        if recent is None:
            return None
        from unstale.stores.replaying_wire import ReplayingWire  # noqa: PLC0415 - rarely wanted

        return partial(ReplayingWire, recent)

    @classmethod
    def from_url(cls, url: str, options: StoreOptions) -> RedisStore:
        """A store for redis://, rediss:// or unix://, with redis-py's options in the query."""
        return cls(connector(url, options.timeout, options.connection), options)

    @classmethod
    def of_service(cls, url: str, options: StoreOptions) -> RedisStore:
        """A store for redis+sentinel:// or rediss+sentinel://."""
        from unstale.stores.sentinel_sync import Sentinels  # noqa: PLC0415 - rarely wanted

        sentinels = Sentinels(url, options)
        store = cls(sentinels.connect, options, on_close=sentinels.close)
        sentinels.tell(store.drop_connections)
        return store

    @property
    def pool(self) -> Pool:
        """Its connections."""
        return self._pool

    def drop_connections(self) -> None:
        """Use no connection that exists now again."""
        self._pool.drop_all()

    def read(self, names: Sequence[bytes]) -> Reading:  # noqa: C901 - flat on purpose: each call costs 0.1 µs here
        """One MGET: the hit path. Whatever is out of the ordinary goes the long way."""
        pool = self._pool
        try:
            wire = pool.idle.pop()
        except IndexError:
            return self._look(lambda _: commands.read(names))
        began = monotonic()
        if wire.proved_until < began or wire.generation != pool.generation or self.guard.is_troubled:
            pool.give(wire)
            return self._look(lambda _: commands.read(names))
        try:
            packed = commands.pack_read(names) if type(names) is tuple else commands.pack((b"MGET", *names))
            if wire.send(packed) != len(packed):
                raise ConnectionResetError  # noqa: TRY301 - the long way sends in parts
            try:
                wire.reader.feed(wire.recv(RECEIVE_BYTES))
                reply = wire.reader.gets()
            except (BlockingIOError, TimeoutError):  # not there within a slice of the time limit
                reply = False
            if reply is False:
                reply = wire.receive(self._hot, began)
        except (BlockingIOError, TimeoutError) as error:
            pool.discard(wire)
            late = StoreTimeoutError()
            self.guard.read_left(Leave.ASK, late)
            raise late from error
        except (OSError, hiredis.ProtocolError):
            pool.discard(wire)
            pool.drop_all()
            return self._look(lambda _: commands.read(names))
        except BaseException:
            pool.discard(wire)  # its answer is still under way
            raise
        if type(reply) is not list or len(reply) != len(names):
            self.settle(wire, [reply])
            return parsed(commands.read(names), [reply], wire.identity)
        if wire.generation != pool.generation:
            pool.give(wire)
        else:
            pool.idle.append(wire)
        return reply, wire.identity

    def _look(self, make: Callable[[bytes], Trip[T]]) -> T:
        """A read's trip, if the breaker lets it.

        Raises:
            BreakerOpenError: it does not.
        """
        guard = self.guard
        leave = guard.enter()
        try:
            if leave is Leave.PROBE and guard.before_closing is not None:
                self._run(lambda _: commands.ping(), guard.of_read(self._pool.connected_in))
                guard.before_closing(guard.read_timeout)
            result = self._run(make, guard.of_read(self._pool.connected_in, leave))
        except BaseException as error:
            guard.read_left(leave, error)
            raise
        guard.read_left(leave, None)
        return result

    def _fill(self, make: Callable[[bytes], Trip[T]]) -> T:
        """A trip around a load that follows a look. Raises BreakerOpenError, as a look would by now."""
        self.guard.check()
        return self._told(make, self.guard.of_fill())

    def _write(self, make: Callable[[bytes], Trip[T]], *, once: bool = False) -> T:
        """A trip that changes or removes entries. It is always tried."""
        return self._told(make, self.guard.of_write(), once=once)

    def _told(self, make: Callable[[bytes], Trip[T]], limits: Limits, *, once: bool = False) -> T:
        """Any trip but a read's: the breaker only hears of it."""
        try:
            result = self._run(make, limits, once=once)
        except BaseException as error:
            self.guard.write_left(error)
            raise
        self.guard.write_left(None)
        return result

    def _run(self, make: Callable[[bytes], Trip[T]], limits: Limits, *, once: bool = False) -> T:
        """Make a trip, send it, parse its replies.

        Args:
            make: makes the trip for a server's identity; called anew for each attempt.
            limits: how long it may take.
            once: it must not happen twice: a connection that was idle is tried first, and a break then is an error.
        """
        tried = False
        while True:
            wire = self.take(limits)
            may_retry = not tried and monotonic() < limits.until
            try:
                if once and wire.proved_until < monotonic():
                    wire.exchange([PING], limits)
                may_retry = may_retry and not once
                trip = make(wire.identity)
                replies = self._exchange(wire, trip, limits)
            except StoreTimeoutError:
                self._pool.discard(wire)
                if not may_retry or limits.until == math.inf:
                    raise
                tried = True
            except StoreUnavailableError:
                self._pool.discard(wire)
                self._pool.drop_all()
                if not may_retry:
                    raise
                tried = True
            except BaseException:
                self._pool.discard(wire)  # its answer may still be under way
                raise
            else:
                self.settle(wire, replies)
                return parsed(trip, replies, wire.identity)

    def take(self, limits: Limits) -> Wire:
        """A wire. A time-out of connecting that this process brought about by being late is no reason to give up."""
        began = monotonic()
        try:
            return self._pool.take(limits.connect_until, limits.breaker)
        except StoreTimeoutError:
            if limits.are_moot or not was_late(began, limits.connect_until):
                raise
            seconds = limits.connect_until - began
            return self._pool.take(monotonic() + seconds, limits.breaker)

    def _exchange(self, wire: Wire, trip: Trip[T], limits: Limits) -> list[Any]:
        replies = wire.exchange(trip.commands, limits)
        if any_error(replies, "NOSCRIPT"):
            replies = wire.exchange([commands.by_text(command) for command in trip.commands], limits)
        return replies

    def settle(self, wire: Wire, replies: Sequence[Any]) -> None:
        """Give a wire back after its replies; if one of them says that the server is a replica now, drop all wires."""
        if any_error(replies, "READONLY"):
            self._pool.discard(wire)
            self._pool.drop_all()
        else:
            self._pool.give(wire)

    def peek(self, entry: bytes, stamp_names: Sequence[bytes], remove: Sequence[bytes] = ()) -> Peek:
        """See Store."""
        trip = commands.peek(entry, stamp_names, remove)
        return self._write(lambda _: trip) if remove else self._look(lambda _: trip)

    def open(self, claims: Sequence[Claim], missing: Sequence[bytes], stamp_ttl: float, lag: float = 0.0) -> Opening:
        """See Store."""
        held = self._abandoned.take()
        with self._abandoned.unless_done(held):
            return self._fill(lambda _: commands.open_(claims, missing, stamp_ttl, lag, held))

    def commit(self, commits: Sequence[Commit]) -> list[Committed]:
        """See Store."""
        if all(commit.mode is Mode.FILL for commit in commits):
            with self._abandoned.unless_done([(one.lease, one.token) for one in commits]):
                return self._fill(lambda identity: commands.commit(commits, identity))
        return self._write(lambda identity: commands.commit(commits, identity), once=commands.is_once(commits))

    def release(self, held: Sequence[tuple[bytes, bytes]]) -> None:
        """See Store."""
        with self._abandoned.unless_done(held):
            self._fill(lambda _: commands.release(held))

    def bump(
        self, stamp_names: Sequence[bytes], stamp_ttl: float, *, soft: bool = False, lag: float = 0.0
    ) -> list[Bumped]:
        """See Store. On a full server, which refuses to write, open stamps are removed: as invalid as changed."""
        limits = self.guard.of_invalidation()
        if lag:
            make_closing = partial(commands.close_those_there, stamp_names, lag, stamp_ttl)
            return self._invalidate(make_closing, stamp_names, limits, lag, stamp_ttl)
        make = commands.soften if soft else commands.bump
        met = self._invalidate(lambda: make(stamp_names, stamp_ttl), stamp_names, limits)
        refused = [name for name, one in zip(stamp_names, met, strict=True) if one is None]
        if refused:
            self._invalidate(lambda: commands.unlink_open(refused), refused, limits)
        return [one or Bumped.CHANGED for one in met]

    def _invalidate(
        self, make: Callable[[], Trip[T]], names: Sequence[bytes], limits: Limits, lag: float = 0.0, keep: float = 0.0
    ) -> T:
        """Run a trip that makes values stale: noted for other servers, known to replicas, where that was asked for."""

        def made(_identity: bytes) -> Trip[T]:
            trip = make()
            if self._recent is not None:
                trip = recorded(trip, self._recent, names, lag, keep)
            if self._wait:
                trip = commands.acknowledged(trip, names[0], self._wait, self._wait_seconds)
            return trip

        return self._told(made, limits)

    def close_stamps(self, stamp_names: Sequence[bytes], owner: bytes, seconds: float, keep: float = 0.0) -> None:
        """See Store."""
        limits = self.guard.of_invalidation()
        self._invalidate(lambda: commands.close_stamps(stamp_names, owner, seconds, keep), stamp_names, limits)

    def complete(self, stamp_names: Sequence[bytes], owner: bytes, keep: float = 0.0, lag: float = 0.0) -> list[Bumped]:
        """See Store."""
        make, limits = partial(commands.complete, stamp_names, owner, keep, lag), self.guard.of_invalidation()
        return self._invalidate(make, stamp_names, limits, lag, keep)

    def modify(self, modify: Modify) -> int | Unmodified:
        """See Store."""
        once = modify.change is Change.INCREASE
        return self._write(lambda identity: commands.modify(modify, identity), once=once)

    def heads(
        self, names: Sequence[bytes], size: int, stamp_names: Sequence[bytes] = (), remove: Sequence[bytes] = ()
    ) -> Heads:
        """See Store."""
        trip = commands.heads(names, size, stamp_names, remove)
        return self._write(lambda _: trip) if remove else self._look(lambda _: trip)

    def scan(self, cursor: int, match: bytes, count: int) -> Scanned:
        """See Store."""
        return self._write(lambda _: commands.scan(cursor, match, count))

    def remove(self, names: Sequence[bytes]) -> int:
        """See Store."""
        return self._write(lambda _: commands.remove(names))

    def ping(self) -> None:
        """See Store."""
        self._write(lambda _: commands.ping())

    def check(self) -> None:
        """See Store."""
        self.guard.check()

    def owe(self, settle: Callable[[float], Any]) -> None:
        """See Store."""
        self.guard.before_closing = settle

    def hold(self) -> None:
        """See Store."""
        self.guard.hold()

    def close(self) -> None:
        """See Store."""
        self._pool.close()
        if self._on_close is not None:
            self._on_close()
