"""The asyncio store on Redis and Valkey: the synchronous store's trips, over one connection for each event loop.

As there, redis-py's own retries are off; a trip is tried once more only where the connection turns out broken, on a
new one, with new stamps and tokens; never after a time-out, but for an invalidation. What must not happen twice is not
tried again. The breaker and the limits are as there, too: one breaker for the loops of all threads.

A connection ends with its loop: `asyncio.run` and its like shut down a loop's asynchronous generators, and each loop
has one of ours that closes. So a cache may be used by one loop after another, and by loops in several threads.
"""

from __future__ import annotations

import asyncio
import math
import os
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

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
from unstale.errors import NotPrimaryError, StoreClosedError, StoreTimeoutError, StoreUnavailableError
from unstale.stores import commands
from unstale.stores.abandoned import Abandoned
from unstale.stores.commands import PING, Trip, any_error, parsed
from unstale.stores.connect import async_connector
from unstale.stores.guard import LATE, Guard
from unstale.stores.limits import Limits
from unstale.stores.link import Link
from unstale.stores.replaying import recorded

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

    from unstale.stores.options import StoreOptions

T = TypeVar("T")

LONGEST_END_SECONDS = 1.0
QUIET_TURNS = 4
"""For how many turns of an ending loop nobody must have used a link before it is closed."""


class _Seat:
    """A loop's place in a store: its link, and who is making one.

    Attributes:
        link: the link, which may be closed.
        connecting: the task that makes one.
        guard: what closes it with the loop.
        ended: whether that has happened: no more connections then.
    """

    def __init__(self) -> None:
        self.link: Link | None = None
        self.connecting: asyncio.Task[Link] | None = None
        self.guard: AsyncGenerator[None, None] | None = None
        self.ended = False

    def close(self) -> None:
        """Close the link, or stop making one."""
        if self.connecting is not None:
            self.connecting.cancel()
        if self.link is not None:
            self.link.close()

    def let_go(self) -> None:
        """Close the link, which others may wait on."""
        if self.link is not None and self.link.is_open:
            self.link.fail(StoreUnavailableError("The node has left the cluster."))

    async def until_shutdown(self) -> AsyncGenerator[None, None]:
        """Suspended until the loop shuts down its generators: then close, but after those that use the link yet."""
        try:
            yield
        finally:
            quiet_turns, end_at = 0, monotonic() + LONGEST_END_SECONDS
            while quiet_turns < QUIET_TURNS and monotonic() < end_at:
                await asyncio.sleep(0)
                busy = self.connecting is not None or (self.link is not None and not self.link.is_idle)
                quiet_turns = 0 if busy else quiet_turns + 1
            self.ended = True
            if self.link is not None and self.link.is_open:
                self.link.fail(StoreUnavailableError("The event loop is ending."))
                await asyncio.sleep(0)  # the transport closes its socket in the next turn
            self.link = None  # it knows the loop, which would never go


Seats: TypeAlias = "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Seat]"


class AsyncRedisStore:
    """A store on one Redis or Valkey server."""

    def __init__(
        self,
        connect: Callable[[], AbstractConnection],
        options: StoreOptions,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        """Connect when it is first used."""
        self._connect = connect
        self._timeout = options.timeout
        self.guard = Guard(options)
        self._on_close = on_close
        self._closed = False
        self._last: Link | None = None
        self._recent = options.recent
        self._abandoned = Abandoned()
        self._wait, self._wait_seconds = options.wait, options.wait_seconds
        self._apart = AsyncRedisStore(connect, replace(options, wait=0)) if options.wait else None
        """For invalidations that wait for replicas: the server answers nothing else on their connection meanwhile."""
        if self._apart is not None:
            self._apart.guard = self.guard
        self._begin()
        _stores.add(self)

    def _begin(self) -> None:
        self._seats: Seats = weakref.WeakKeyDictionary()

    @classmethod
    def from_url(cls, url: str, options: StoreOptions) -> AsyncRedisStore:
        """A store for redis://, rediss:// or unix://, with redis-py's options in the query."""
        return cls(async_connector(url, options.timeout, options.connection), options)

    @classmethod
    def of_service(cls, url: str, options: StoreOptions) -> AsyncRedisStore:
        """A store for redis+sentinel:// or rediss+sentinel://."""
        from unstale.stores.sentinel_async import AsyncSentinels  # noqa: PLC0415 - rarely wanted

        sentinels = AsyncSentinels(url, options)
        store = cls(sentinels.connect, options)
        sentinels.tell(store.doubt)
        return store

    def doubt(self) -> None:
        """Somebody has learned that there is a new primary: all loops must look into it."""
        for seat in list(self._seats.values()):
            if seat.link is not None:
                seat.link.doubt()
        if self._apart is not None:
            self._apart.doubt()

    @property
    def apart(self) -> AsyncRedisStore:
        """The store for what waits for replicas."""
        return self._apart or self

    def let_go(self) -> None:
        """The server is of no use any more: close all links. Whoever waits on one may try again, elsewhere."""
        for loop, seat in list(self._seats.items()):
            if not loop.is_closed():
                loop.call_soon_threadsafe(seat.let_go)
        if self._apart is not None:
            self._apart.let_go()

    async def link(self) -> Link:
        """The running loop's link; made if there is none, by one for all who wait for it."""
        loop = asyncio.get_running_loop()
        last = self._last
        if last is not None and last.is_open and last.loop is loop and last.is_vouched:
            return last
        if self._closed:
            raise StoreClosedError
        seat = self._seats.get(loop)
        if seat is None:
            self._forget_closed_loops()
            seat = self._seats[loop] = _Seat()
        if seat.ended:
            raise StoreUnavailableError("The event loop is ending.")
        if seat.link is None or not seat.link.is_open or not seat.link.is_vouched:
            await self._connected(seat)
        self._last = link = seat.link
        if link is None:
            raise StoreUnavailableError
        return link

    async def _connected(self, seat: _Seat) -> None:
        """Wait for a new link, or for the sentinels' word on the one that is there; one task sees to it for all."""
        connecting = seat.connecting
        if connecting is None:
            connecting = seat.connecting = asyncio.get_running_loop().create_task(self._make(seat))
            connecting.add_done_callback(_retrieved)
        try:
            await asyncio.shield(connecting)
        except asyncio.CancelledError:
            if connecting.cancelled() and self._closed:  # not this caller was cancelled: the store was closed
                raise StoreClosedError from None
            raise

    def _forget_closed_loops(self) -> None:
        """A seat's link knows its loop, so a loop that was closed without notice would never go by itself."""
        for loop in [loop for loop in list(self._seats) if loop.is_closed()]:
            self._seats.pop(loop, None)

    async def _make(self, seat: _Seat) -> Link:
        try:
            link = seat.link
            if link is not None and link.is_open and await link.vouch():
                return link
            link = await self._new_link()
            if self._closed:
                link.close()
                raise StoreClosedError
            if seat.guard is None:
                seat.guard = seat.until_shutdown()
                await anext(seat.guard)
            seat.link = link
            if self.guard.is_troubled:  # who probed may have gone on without it
                self.guard.connected()
            return link
        finally:
            seat.connecting = None

    async def _new_link(self) -> Link:
        """Connect. A time-out that a busy loop brought about, and not the server, is no reason to give up at once."""
        began = monotonic()
        link = self._unconnected()
        try:
            await link.connect()
        except StoreTimeoutError:
            if monotonic() - began < LATE * self._timeout:
                raise
            link = self._unconnected()
            await link.connect()
        return link

    def _unconnected(self) -> Link:
        link = self._plain_or_replaying()
        link.watch = self.guard.watch
        return link

    def _plain_or_replaying(self) -> Link:
        if self._recent is None:
            return Link(self._connect(), self._timeout, self.guard.read_timeout)
        from unstale.stores.replaying_link import ReplayingLink  # noqa: PLC0415 - rarely wanted

        return ReplayingLink(self._recent, self._connect(), self._timeout, self.guard.read_timeout)

    async def read(self, names: Sequence[bytes]) -> Reading:
        """One MGET: the hit path. Whatever is out of the ordinary goes the long way."""
        link = self._last
        if link is None or not link.is_open or self.guard.is_troubled or link.loop is not asyncio.get_running_loop():
            return await self._look(lambda _: commands.read(names))
        packed = commands.pack_read(names) if type(names) is tuple else commands.pack((b"MGET", *names))
        try:
            reply = await link.request(packed, 1)
        except StoreTimeoutError as error:
            self.guard.read_left(Leave.ASK, error)
            raise
        except StoreUnavailableError:
            return await self._look(lambda _: commands.read(names))
        if type(reply) is not list or len(reply) != len(names):
            self.settle(link, [reply])
            return parsed(commands.read(names), [reply], link.identity)
        return reply, link.identity

    async def _look(self, make: Callable[[bytes], Trip[T]]) -> T:
        """A read's trip, if the breaker lets it.

        Raises:
            BreakerOpenError: it does not.
        """
        guard = self.guard
        leave = guard.enter()
        try:
            if leave is Leave.PROBE and guard.before_closing is not None:
                await self._run(lambda _: commands.ping(), self._of_read(leave), is_read=True)
                await guard.before_closing(guard.read_timeout)
            result = await self._run(make, self._of_read(leave), is_read=True)
        except BaseException as error:
            guard.read_left(leave, error)
            raise
        guard.read_left(leave, None)
        return result

    def _of_read(self, leave: Leave) -> Limits:
        """A read's limits. In trouble it is never patient: the task that connects goes on without it."""
        return self.guard.of_read(0.0, leave, is_patient=not self.guard.is_troubled)

    async def _fill(self, make: Callable[[bytes], Trip[T]]) -> T:
        """A trip around a load that follows a look. Raises BreakerOpenError, as a look would by now."""
        self.guard.check()
        return await self._told(make, self.guard.of_fill())

    async def _write(self, make: Callable[[bytes], Trip[T]], *, once: bool = False) -> T:
        """A trip that changes or removes entries. It is always tried."""
        return await self._told(make, self.guard.of_write(), once=once)

    async def _told(self, make: Callable[[bytes], Trip[T]], limits: Limits, *, once: bool = False) -> T:
        """Any trip but a read's: the breaker only hears of it."""
        try:
            if limits.until == math.inf:
                result = await self._run(make, limits, once=once)
            else:
                result = await within(limits.until, self._run(make, limits, once=once))
        except BaseException as error:
            self.guard.write_left(error)
            raise
        self.guard.write_left(None)
        return result

    async def _run(
        self, make: Callable[[bytes], Trip[T]], limits: Limits, *, once: bool = False, is_read: bool = False
    ) -> T:
        """Make a trip, send it, parse its replies.

        Args:
            make: makes the trip for a server's identity; called anew for each attempt.
            limits: how long it may take. For answers the link has its own.
            once: it must not happen twice: a connection that was idle is tried first, and a break then is an error.
            is_read: its answer has a read's time limit.
        """
        tried = False
        while True:
            link = await self.link_by(limits.connect_until)
            may_retry = not tried
            try:
                if once and link.proved_until < monotonic():
                    await link.exchange([PING])
                may_retry = may_retry and not once
                trip = make(link.identity)
                replies = await link.exchange(trip.commands, is_read=is_read, limits=limits)
                if any_error(replies, "NOSCRIPT"):
                    by_text = [commands.by_text(command) for command in trip.commands]
                    replies = await link.exchange(by_text, is_read=is_read, limits=limits)
            except StoreTimeoutError:
                if not may_retry or limits.until == math.inf:
                    raise
                tried = True
            except StoreUnavailableError:
                if not may_retry:
                    raise
                tried = True
            else:
                self.settle(link, replies)
                return parsed(trip, replies, link.identity)

    async def link_by(self, until: float) -> Link:
        """The running loop's link; who waits longer for a new one goes on without, and leaves it to the next."""
        link = self._last
        if link is not None and link.is_open and link.loop is asyncio.get_running_loop() and link.is_vouched:
            return link
        return await within(until, self.link())

    def settle(self, link: Link, replies: Sequence[Any]) -> None:
        """If a reply says that the server is a replica now, let the link go; others on it try again on a new one."""
        if any_error(replies, "READONLY"):
            link.fail(NotPrimaryError())

    async def peek(self, entry: bytes, stamp_names: Sequence[bytes], remove: Sequence[bytes] = ()) -> Peek:
        """See Store."""
        trip = commands.peek(entry, stamp_names, remove)
        return await (self._write(lambda _: trip) if remove else self._look(lambda _: trip))

    async def open(
        self, claims: Sequence[Claim], missing: Sequence[bytes], stamp_ttl: float, lag: float = 0.0
    ) -> Opening:
        """See Store."""
        held = self._abandoned.take()
        with self._abandoned.unless_done(held):
            return await self._fill(lambda _: commands.open_(claims, missing, stamp_ttl, lag, held))

    async def commit(self, commits: Sequence[Commit]) -> list[Committed]:
        """See Store."""
        if all(commit.mode is Mode.FILL for commit in commits):
            with self._abandoned.unless_done([(one.lease, one.token) for one in commits]):
                return await self._fill(lambda identity: commands.commit(commits, identity))
        return await self._write(lambda identity: commands.commit(commits, identity), once=commands.is_once(commits))

    async def release(self, held: Sequence[tuple[bytes, bytes]]) -> None:
        """See Store."""
        with self._abandoned.unless_done(held):
            await self._fill(lambda _: commands.release(held))

    async def bump(
        self, stamp_names: Sequence[bytes], stamp_ttl: float, *, soft: bool = False, lag: float = 0.0
    ) -> list[Bumped]:
        """See Store. On a full server, which refuses to write, open stamps are removed: as invalid as changed."""
        limits = self.guard.of_invalidation()
        if lag:
            make_closing = partial(commands.close_those_there, stamp_names, lag, stamp_ttl)
            return await self._invalidate(make_closing, stamp_names, limits, lag, stamp_ttl)
        make = commands.soften if soft else commands.bump
        met = await self._invalidate(lambda: make(stamp_names, stamp_ttl), stamp_names, limits)
        refused = [name for name, one in zip(stamp_names, met, strict=True) if one is None]
        if refused:
            await self._invalidate(lambda: commands.unlink_open(refused), refused, limits)
        return [one or Bumped.CHANGED for one in met]

    async def _invalidate(
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

        apart = self._apart or self
        try:
            return await apart._told(made, limits)  # noqa: SLF001 - its own class
        except NotPrimaryError as error:
            last = self._last
            if self._apart is not None and last is not None and last.loop is asyncio.get_running_loop():
                last.fail(error)  # the reads' connection is to the same server
            raise

    async def close_stamps(self, stamp_names: Sequence[bytes], owner: bytes, seconds: float, keep: float = 0.0) -> None:
        """See Store."""
        limits = self.guard.of_invalidation()
        await self._invalidate(lambda: commands.close_stamps(stamp_names, owner, seconds, keep), stamp_names, limits)

    async def complete(
        self, stamp_names: Sequence[bytes], owner: bytes, keep: float = 0.0, lag: float = 0.0
    ) -> list[Bumped]:
        """See Store."""
        make, limits = partial(commands.complete, stamp_names, owner, keep, lag), self.guard.of_invalidation()
        return await self._invalidate(make, stamp_names, limits, lag, keep)

    async def modify(self, modify: Modify) -> int | Unmodified:
        """See Store."""
        once = modify.change is Change.INCREASE
        return await self._write(lambda identity: commands.modify(modify, identity), once=once)

    async def heads(
        self, names: Sequence[bytes], size: int, stamp_names: Sequence[bytes] = (), remove: Sequence[bytes] = ()
    ) -> Heads:
        """See Store."""
        trip = commands.heads(names, size, stamp_names, remove)
        return await (self._write(lambda _: trip) if remove else self._look(lambda _: trip))

    async def scan(self, cursor: int, match: bytes, count: int) -> Scanned:
        """See Store."""
        return await self._write(lambda _: commands.scan(cursor, match, count))

    async def remove(self, names: Sequence[bytes]) -> int:
        """See Store."""
        return await self._write(lambda _: commands.remove(names))

    async def ping(self) -> None:
        """See Store."""
        await self._write(lambda _: commands.ping())

    async def check(self) -> None:
        """See Store."""
        self.guard.check()

    def owe(self, settle: Callable[[float], Any]) -> None:
        """See Store."""
        self.guard.before_closing = settle

    def hold(self) -> None:
        """See Store."""
        self.guard.hold()

    async def close(self) -> None:
        """See Store. Links of other loops are told to close."""
        self._closed = True
        self._last = None
        here = asyncio.get_running_loop()
        for loop, seat in list(self._seats.items()):
            if loop.is_closed():
                continue
            if loop is here:
                seat.close()
                if seat.connecting is not None:
                    await asyncio.wait([seat.connecting])
            else:
                loop.call_soon_threadsafe(seat.close)
        await asyncio.sleep(0)  # the transport closes its socket in the next turn
        if self._apart is not None:
            await self._apart.close()
        if self._on_close is not None:
            self._on_close()

    def forked(self) -> None:
        """Begin anew in a child process. The parent's links are kept from being closed by their destructors."""
        _parents.append((self._seats, self._last))
        self._last = None
        self._begin()
        self.guard.forked()


async def within(until: float, step: Awaitable[T]) -> T:
    """Wait, at most until a monotonic time. Raises StoreTimeoutError."""
    try:
        async with asyncio.timeout(max(until - monotonic(), 0.0)):
            return await step
    except TimeoutError as error:
        raise StoreTimeoutError from error


def _retrieved(task: asyncio.Task[Link]) -> None:
    """Whoever waited has been told; if all were cancelled, nobody need be."""
    if not task.cancelled():
        task.exception()


_stores: weakref.WeakSet[AsyncRedisStore] = weakref.WeakSet()
_parents: list[object] = []


def _after_fork() -> None:
    for store in list(_stores):
        store.forked()


os.register_at_fork(after_in_child=_after_fork)
