"""One asyncio connection: redis-py makes it, then its transport is handed to this protocol, which reads and writes.

Many requests are under way at a time; replies come back in order. A request that finds none under way is written at
once; the others of the same turn of the loop are joined, and written together at its end: one trip.

A caller that is cancelled leaves its place in the order behind, and its reply is dropped when it comes: nobody is given
another's answer. A read that is left without an answer for its own, shorter time limit fails alone: the link stays
until the others' limit is over, and what comes late shows that the server is back.

Role and identity are proved as by `wire`: in the same trip as the first request after PROOF_SECONDS. The word of
sentinels, where they named the server, must be asked for first: a request without it is refused.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import hiredis
from redis.exceptions import RedisError

from unstale.errors import NotPrimaryError, StoreClosedError, StoreError, StoreTimeoutError, StoreUnavailableError
from unstale.stores import wire
from unstale.stores.commands import Command, pack
from unstale.stores.limits import Limits
from unstale.stores.proof import INFO_REPLICATION, INFO_SERVER, AsyncVouched, identity_of, run_id_of, translated

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

RECEIVE_BYTES: Final = 65536
NO_LIMITS: Final = Limits(math.inf)
LARGE_BYTES: Final = 65536
"""From here on a write may take so long that it counts what of it has been sent."""
LATE_SECONDS: Final = 0.002
"""A timer that comes so much too late tells of a loop that was busy elsewhere."""
GRACE_SECONDS: Final = 0.01
"""What one who was late gets on top: after the loop was busy elsewhere, the answer may have come in the meantime."""


class UnvouchedError(StoreUnavailableError):
    """The sentinels have to be asked first whether this server is still the primary."""


class _Several:
    """A request with a list of replies: how many, and who waits for them. What has no list is a read of one reply."""

    __slots__ = ("count", "future", "is_read", "limits", "replies")

    def __init__(self, future: asyncio.Future[Any], count: int, limits: Limits | None, *, is_read: bool) -> None:
        self.future = future
        self.count = count
        self.limits = limits
        self.is_read = is_read
        self.replies: list[Any] = []


class Link(asyncio.BufferedProtocol):
    """A connection to one server, of one event loop.

    Attributes:
        loop: its loop.
        is_open: whether it takes requests.
        identity: of the server, 16 bytes.
        proved_until: the monotonic time until which role and identity need no new proof.
        vouched_until: the monotonic time until which the word of its sentinels holds, if it has any.
        watch: called with each new proof (`StoreOptions.watch`).
    """

    watch: Callable[[], None] | None = None

    def __init__(self, connection: AbstractConnection, timeout: float, read_timeout: float = math.inf) -> None:
        """Belong to the running loop; `connect` must follow.

        Args:
            connection: redis-py's, not connected yet.
            timeout: seconds for connecting, and again that the server may be silent.
            read_timeout: the same where only reads wait, if that is less.
        """
        self.loop = asyncio.get_running_loop()
        self.is_open = False
        self.identity = b""
        self.proved_until = 0.0
        self.vouched_until = math.inf
        self._connection = connection
        self._timeout = timeout
        self._read_timeout = min(read_timeout, timeout)
        self._look_at = 0.0
        self._run_id = b""
        self._proof = INFO_REPLICATION
        self._reader = hiredis.Reader()
        self._buffer = memoryview(bytearray(RECEIVE_BYTES))  # TLS fills it in slices
        self._under_way: deque[asyncio.Future[Any] | _Several | None] = deque()
        """In the order in which they were sent: who waits for one reply, or for several. None stands for a proof."""
        self._proving = False
        self._proof_asked_at = 0.0
        self._outbox: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._progress_at = 0.0
        self._grace = False
        self._unsent = 0
        self._paused: asyncio.Future[None] | None = None

    async def connect(self) -> None:
        """Connect, and prove role and identity.

        Raises:
            StoreError: no connection, no answer in time, a replica, or the credentials were refused.
        """
        try:
            await self._connection.connect()  # type: ignore[no-untyped-call]
        except (RedisError, TypeError, ValueError) as error:
            from redis.asyncio.connection import SSLConnection  # noqa: PLC0415 - it is there: it made the connection

            raise translated(error, tls=isinstance(self._connection, SSLConnection))  # noqa: B904 - it sets its cause itself
        except RuntimeError as error:  # uvloop: the server has hung up while redis-py was about to write
            self._abandon()
            raise StoreUnavailableError(f"The connection broke: {type(error).__name__}.") from error
        except BaseException:
            self._abandon()
            raise
        writer = self._connection._writer  # noqa: SLF001 - redis-py has no public name for it
        reader = self._connection._reader  # noqa: SLF001
        if writer is None or reader is None or reader.at_eof() or writer.transport.is_closing():
            self._abandon()  # hung up since, which only its old protocol was told
            raise StoreUnavailableError
        self._transport: asyncio.Transport = writer.transport  # type: ignore[assignment]
        self._transport.set_protocol(self)
        self.is_open = True
        self._proof_asked_at = monotonic()
        self.proved_until = self._proof_asked_at + wire.PROOF_SECONDS  # the proof itself needs none
        try:
            await self._introduce()
        except BaseException:
            self.close()
            raise

    async def _introduce(self) -> None:
        server, replication = await self.exchange([INFO_SERVER, INFO_REPLICATION])
        self._run_id = run_id_of(server)
        self._prove(replication)

    def _prove(self, replication: Any) -> None:
        """Take in a proof. It counts from when it was asked for: the loop may have been busy since it was answered."""
        self.identity = self._identity_by(replication)
        self._take_word()
        self.proved_until = min(self._proof_asked_at + wire.PROOF_SECONDS, self.vouched_until)
        self._take_word()

    def _identity_by(self, replication: Any) -> bytes:
        return identity_of(self._run_id, replication)

    def _take_word(self) -> None:
        """Take in the sentinels' word. Again after it was used: another thread's `doubt` may have come in between."""
        if isinstance(self._connection, AsyncVouched):
            self.vouched_until = self._connection.vouched_until()
            self._connection.vouched_until()

    @property
    def is_vouched(self) -> bool:
        """Whether the sentinels' word holds."""
        return monotonic() < self.vouched_until

    async def vouch(self) -> bool:
        """Ask the sentinels, if there are any; whether the server is still primary. If not, the link is closed."""
        if isinstance(self._connection, AsyncVouched):
            try:
                await self._connection.vouch()
                self._take_word()
            except NotPrimaryError as error:
                self.fail(error)
        return self.is_open

    def doubt(self) -> None:
        """Another thread has learned that there is a new primary: no more requests before that was looked into."""
        if isinstance(self._connection, AsyncVouched):
            self.vouched_until = self.proved_until = 0.0

    def _abandon(self) -> None:
        """Let go of what redis-py has made so far."""
        writer = self._connection._writer  # noqa: SLF001 - its own way of closing waits
        if writer is not None:
            writer.transport.abort()
        self._connection._reader = self._connection._writer = None  # noqa: SLF001

    def request(
        self, packed: bytes, count: int, *, is_read: bool = True, limits: Limits | None = None
    ) -> asyncio.Future[Any]:
        """Send packed commands; the future is the list of their replies, or for one command that reads its reply.

        Raises:
            UnvouchedError: ask the sentinels first.
            StoreUnavailableError: the connection is gone.
        """
        if not self.is_open:
            raise StoreUnavailableError
        under_way = self._under_way
        idle = not under_way
        now = monotonic()
        if now >= self.proved_until and not self._proving:
            if now >= self.vouched_until:
                raise UnvouchedError
            self._proving = True
            self._proof_asked_at = now
            if self.watch is not None:
                self.watch()
            under_way.append(None)
            packed = pack(self._proof) + packed
        future = self.loop.create_future()
        under_way.append(future if count == 1 and is_read else _Several(future, count, limits, is_read=is_read))
        if idle:
            self._progress_at = now
            if self._timer is None:
                self._look_in(self._read_timeout)
            self._write(packed)
        else:
            if not self._outbox:
                self.loop.call_soon(self._flush)
            self._outbox.append(packed)
        return future

    async def exchange(
        self, commands: Sequence[Command], *, is_read: bool = False, limits: Limits | None = None
    ) -> list[Any]:
        """One round trip; error replies are returned, not raised.

        Raises:
            StoreUnavailableError: the connection broke, timed out, or the server is no primary.
        """
        while self._paused is not None:
            await asyncio.shield(self._paused)
        replies = await self.request(b"".join(map(pack, commands)), len(commands), is_read=is_read, limits=limits)
        return [replies] if len(commands) == 1 and is_read else replies

    def _flush(self) -> None:
        if self._outbox and self.is_open:
            packed = b"".join(self._outbox)
            self._outbox.clear()
            self._write(packed)

    def _write(self, packed: bytes) -> None:
        self._transport.write(packed)
        if len(packed) > LARGE_BYTES:
            self._unsent = self._transport.get_write_buffer_size()

    def get_buffer(self, _hint: int) -> memoryview:
        """Where the transport puts what it receives: always here, so that no buffer is made for each read."""
        return self._buffer

    def buffer_updated(self, size: int) -> None:
        """Hand each reply to whoever waits for it."""
        reader, under_way = self._reader, self._under_way
        self._progress_at = monotonic()
        self._grace = False
        try:
            reader.feed(self._buffer, 0, size)  # type: ignore[arg-type] # any buffer
            reply = reader.gets()
            while reply is not False:
                waiting = under_way.popleft()
                if waiting is None:
                    self._proving = False
                    self._prove(reply)
                elif type(waiting) is _Several:
                    self._one_of_several(waiting, reply)
                elif not waiting.done():  # type: ignore[union-attr]
                    waiting.set_result(reply)  # type: ignore[union-attr]
                reply = reader.gets()
        except StoreError as error:  # no primary any more: what came with the proof is not to be used
            self.fail(error)
        except (hiredis.ProtocolError, IndexError) as error:  # no RESP, or a reply that nobody asked for
            self.fail(StoreUnavailableError(f"The connection broke: {type(error).__name__}."))

    def _one_of_several(self, waiting: _Several, reply: Any) -> None:
        waiting.replies.append(reply)
        if len(waiting.replies) < waiting.count:
            self._under_way.appendleft(waiting)
        elif not waiting.future.done():
            waiting.future.set_result(waiting.replies)

    def eof_received(self) -> bool:
        """The server has closed: so does the transport."""
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """Nobody will be answered any more."""
        self.fail(StoreUnavailableError(f"The connection broke: {type(error or EOFError()).__name__}."))

    def pause_writing(self) -> None:
        """The server does not keep up: let no more in."""
        self._paused = self._paused or self.loop.create_future()

    def resume_writing(self) -> None:
        """It has caught up."""
        paused, self._paused = self._paused, None
        if paused is not None and not paused.done():
            paused.set_result(None)

    def _look_in(self, seconds: float) -> None:
        self._look_at = monotonic() + seconds
        self._timer = self.loop.call_later(seconds, self._look_at_clock)

    def _look_at_clock(self) -> None:
        """One timer for all: has anything come since the oldest request began to wait?"""
        self._timer = None
        if not self._under_way or not self.is_open:
            return
        now = monotonic()
        unsent = self._transport.get_write_buffer_size()
        if unsent < self._unsent:  # a large value is still being sent
            self._progress_at = now
            self._grace = False
        self._unsent = unsent
        silent_for = now - self._progress_at
        if silent_for < self._read_timeout:
            self._look_in(self._read_timeout - silent_for)
        elif not self._grace and (now - self._look_at > LATE_SECONDS or silent_for >= self._timeout):
            self._grace = True
            self._look_in(GRACE_SECONDS)
        elif silent_for >= self._timeout:
            self.fail(StoreTimeoutError())
        else:
            self._fail_reads()
            self._grace = False
            self._look_in(min(self._read_timeout, self._timeout - silent_for))

    def _fail_reads(self) -> None:
        """Let go of those who read, and of those whose limits are moot. Their places stay, for what may come yet."""
        for waiting in self._under_way:
            future = waiting.future if type(waiting) is _Several else waiting
            if type(waiting) is _Several:
                is_over = waiting.is_read or (waiting.limits or NO_LIMITS).are_moot
            else:
                is_over = waiting is not None
            if is_over and not future.done():  # type: ignore[union-attr]
                future.set_exception(StoreTimeoutError())  # type: ignore[union-attr]

    def fail(self, error: StoreError) -> None:
        """Close, and tell all who wait."""
        self.is_open = False
        self._outbox.clear()
        under_way, self._under_way = self._under_way, deque()
        for waiting in under_way:
            future = waiting.future if type(waiting) is _Several else waiting
            if future is not None and not future.done():  # type: ignore[union-attr]
                future.set_exception(error)  # type: ignore[union-attr]
        self.resume_writing()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._abandon()

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits for an answer."""
        return not self._under_way

    def close(self) -> None:
        """Close."""
        if self.is_open:
            self.fail(StoreClosedError())
