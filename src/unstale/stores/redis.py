"""The synchronous store on Redis and Valkey. A method makes its trip, sends it over a wire, and parses the replies.

redis-py's own retries are off. A trip is tried once more only where a connection turns out broken (the server closed
it while it was idle), at once and on a new one, with new stamps and tokens; never after a time-out, so that a call ends
within about three times `timeout`. What must not happen twice (counting, adding) is not tried again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

import hiredis
from redis.connection import AbstractConnection

from unstale.core.ports import (
    Bumped,
    Change,
    Claim,
    Commit,
    Committed,
    Heads,
    Modify,
    Opening,
    Peek,
    Reading,
    Scanned,
    Unmodified,
)
from unstale.errors import StoreTimeoutError, StoreUnavailableError
from unstale.stores import commands
from unstale.stores.commands import PING, Trip, any_error, parsed
from unstale.stores.connect import connector
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
        self._pool = Pool(connect, options.timeout, options.max_connections, self._wires(options.recent))

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

    def drop_connections(self) -> None:
        """Use no connection that exists now again."""
        self._pool.drop_all()

    def read(self, names: Sequence[bytes]) -> Reading:  # noqa: C901 - flat on purpose: each call costs 0.1 µs here
        """One MGET: the hit path. Whatever is out of the ordinary goes the long way."""
        pool = self._pool
        try:
            wire = pool.idle.pop()
        except IndexError:
            return self._run(lambda _: commands.read(names))
        if wire.proved_until < monotonic() or wire.generation != pool.generation:
            pool.give(wire)
            return self._run(lambda _: commands.read(names))
        try:
            packed = commands.pack_read(names) if type(names) is tuple else commands.pack((b"MGET", *names))
            if wire.send(packed) != len(packed):
                raise ConnectionResetError  # noqa: TRY301 - the long way sends in parts
            try:
                wire.reader.feed(wire.recv(RECEIVE_BYTES))
                reply = wire.reader.gets()
            except BlockingIOError:  # not there within a slice of the time limit
                reply = False
            if reply is False:
                reply = wire.receive()
        except (BlockingIOError, TimeoutError) as error:
            pool.discard(wire)
            raise StoreTimeoutError from error
        except (OSError, hiredis.ProtocolError):
            pool.discard(wire)
            pool.drop_all()
            return self._run(lambda _: commands.read(names))
        except BaseException:
            pool.discard(wire)  # its answer is still under way
            raise
        if type(reply) is not list or len(reply) != len(names):
            self._settle(wire, [reply])
            return parsed(commands.read(names), [reply], wire.identity)
        if wire.generation != pool.generation:
            pool.give(wire)
        else:
            pool.idle.append(wire)
        return reply, wire.identity

    def _run(self, make: Callable[[bytes], Trip[T]], *, once: bool = False) -> T:
        """Make a trip, send it, parse its replies.

        Args:
            make: makes the trip for a server's identity; called anew for each attempt.
            once: it must not happen twice: a connection that was idle is tried first, and a break then is an error.
        """
        tried = False
        while True:
            wire = self._pool.take()
            may_retry = not tried
            try:
                if once and wire.proved_until < monotonic():
                    wire.exchange([PING])
                may_retry = may_retry and not once
                trip = make(wire.identity)
                replies = self._exchange(wire, trip)
            except StoreTimeoutError:
                self._pool.discard(wire)
                raise
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
                self._settle(wire, replies)
                return parsed(trip, replies, wire.identity)

    def _exchange(self, wire: Wire, trip: Trip[T]) -> list[Any]:
        replies = wire.exchange(trip.commands)
        if any_error(replies, "NOSCRIPT"):
            replies = wire.exchange([commands.by_text(command) for command in trip.commands])
        return replies

    def _settle(self, wire: Wire, replies: Sequence[Any]) -> None:
        """Give a wire back after its replies; if one of them says that the server is a replica now, drop all wires."""
        if any_error(replies, "READONLY"):
            self._pool.discard(wire)
            self._pool.drop_all()
        else:
            self._pool.give(wire)

    def peek(self, entry: bytes, stamp_names: Sequence[bytes], remove: Sequence[bytes] = ()) -> Peek:
        """See Store."""
        return self._run(lambda _: commands.peek(entry, stamp_names, remove))

    def open(self, claims: Sequence[Claim], missing: Sequence[bytes], stamp_ttl: float, lag: float = 0.0) -> Opening:
        """See Store."""
        return self._run(lambda _: commands.open_(claims, missing, stamp_ttl, lag))

    def commit(self, commits: Sequence[Commit]) -> list[Committed]:
        """See Store."""
        return self._run(lambda identity: commands.commit(commits, identity), once=commands.is_once(commits))

    def release(self, held: Sequence[tuple[bytes, bytes]]) -> None:
        """See Store."""
        self._run(lambda _: commands.release(held))

    def bump(
        self, stamp_names: Sequence[bytes], stamp_ttl: float, *, soft: bool = False, lag: float = 0.0
    ) -> list[Bumped]:
        """See Store. On a full server, which refuses to write, open stamps are removed: as invalid as changed."""
        if lag:
            make_closing = partial(commands.close_those_there, stamp_names, lag, stamp_ttl)
            return self._invalidate(make_closing, stamp_names, lag, stamp_ttl)
        make = commands.soften if soft else commands.bump
        met = self._invalidate(lambda: make(stamp_names, stamp_ttl), stamp_names)
        refused = [name for name, one in zip(stamp_names, met, strict=True) if one is None]
        if refused:
            self._invalidate(lambda: commands.unlink_open(refused), refused)
        return [one or Bumped.CHANGED for one in met]

    def _invalidate(
        self, make: Callable[[], Trip[T]], names: Sequence[bytes], lag: float = 0.0, keep: float = 0.0
    ) -> T:
        """Run a trip that makes values stale: noted for other servers, known to replicas, where that was asked for."""

        def made(_identity: bytes) -> Trip[T]:
            trip = make()
            if self._recent is not None:
                trip = recorded(trip, self._recent, names, lag, keep)
            if self._wait:
                trip = commands.acknowledged(trip, names[0], self._wait, self._wait_seconds)
            return trip

        return self._run(made)

    def close_stamps(self, stamp_names: Sequence[bytes], owner: bytes, seconds: float, keep: float = 0.0) -> None:
        """See Store."""
        self._invalidate(lambda: commands.close_stamps(stamp_names, owner, seconds, keep), stamp_names)

    def complete(self, stamp_names: Sequence[bytes], owner: bytes, keep: float = 0.0, lag: float = 0.0) -> list[Bumped]:
        """See Store."""
        return self._invalidate(lambda: commands.complete(stamp_names, owner, keep, lag), stamp_names, lag, keep)

    def modify(self, modify: Modify) -> int | Unmodified:
        """See Store."""
        return self._run(lambda identity: commands.modify(modify, identity), once=modify.change is Change.INCREASE)

    def heads(
        self, names: Sequence[bytes], size: int, stamp_names: Sequence[bytes] = (), remove: Sequence[bytes] = ()
    ) -> Heads:
        """See Store."""
        return self._run(lambda _: commands.heads(names, size, stamp_names, remove))

    def scan(self, cursor: int, match: bytes, count: int) -> Scanned:
        """See Store."""
        return self._run(lambda _: commands.scan(cursor, match, count))

    def remove(self, names: Sequence[bytes]) -> int:
        """See Store."""
        return self._run(lambda _: commands.remove(names))

    def ping(self) -> None:
        """See Store."""
        self._run(lambda _: commands.ping())

    def close(self) -> None:
        """See Store."""
        self._pool.close()
        if self._on_close is not None:
            self._on_close()
