"""One connection: redis-py makes it (address, TLS, AUTH, SELECT), then its socket is read and written here.

It waits in slices, and looks at the clock between them: the kernel's (SO_RCVTIMEO) where the socket is a plain one;
under gevent or eventlet, whose sockets never block in the kernel, and under TLS, the socket's own timeout. When the
time is over it looks once more without waiting: this process may have been late itself (stopped, or waiting for the
interpreter), and the answer be there.

A wire knows whose server it talks to: run_id and replication id, as one identity of 16 bytes, and that its role is
primary. Both are proved with the first trip, and again with the trip of any command that comes more than
PROOF_SECONDS after the last proof: a demoted primary keeps its clients, and would show old stamps. Where sentinels
named the server, their word is part of the proof: the old primary of a failover goes on as one for seconds.
"""

from __future__ import annotations

import _socket
import math
import select
import socket
import ssl
import struct
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, Final, NamedTuple, Protocol

import hiredis
from redis.connection import AbstractConnection, SSLConnection
from redis.exceptions import RedisError

from unstale.core.breaker import Breaker
from unstale.errors import StoreTimeoutError, StoreUnavailableError
from unstale.stores.commands import Command, pack
from unstale.stores.connect import Timed
from unstale.stores.limits import Limits
from unstale.stores.proof import INFO_REPLICATION, INFO_SERVER, Vouched, identity_of, run_id_of, translated

PROOF_SECONDS: Final = 1.0
RECEIVE_BYTES: Final = 65536
SLICE_SECONDS: Final = 0.005
"""The kernel lets go of a read after this, and the wire looks at the clock, and waits by poll(). After a signal Python
begins a read anew, and the kernel its time limit: in one piece, a profiler's signals would prolong it for ever."""
SLOW_SLICE_SECONDS: Final = 0.02
"""How often one who waits on looks whether it is still of use; and the first wait of other sockets than plain ones."""
SEND_BYTES: Final = 262144
"""A large value is sent in parts, each of which shows that the server reads."""


class Permit(Protocol):
    """The pool's leave for one connection."""

    def release(self) -> None:
        """Give it back."""


class Posted(NamedTuple):
    """What was sent: how many replies will come, when it was sent, and whether the first of them is a proof."""

    replies: int
    asked_at: float
    is_proof: bool


class Wire:
    """A connection to one server.

    Attributes:
        identity: of the server, 16 bytes.
        proved_until: the monotonic time until which role and identity need no new proof.
        permit: the right to be, which the pool takes back when it closes the wire, or with the wire itself.
        generation: of the pool, when it was made; a wire of an older one is not used again.
    """

    __slots__ = (
        "__weakref__",
        "_connection",
        "_is_plain",
        "_proof",
        "_run_id",
        "_timeout",
        "_vouched_until",
        "generation",
        "identity",
        "permit",
        "proved_until",
        "reader",
        "recv",
        "send",
        "sock",
    )

    def __init__(
        self,
        connection: AbstractConnection,
        timeout: float,
        generation: int,
        permit: Permit,
        connect_until: float = math.inf,
        breaker: Breaker | None = None,
    ) -> None:
        """Connect, and prove role and identity.

        Args:
            connection: redis-py's, not connected yet.
            timeout: seconds for each step.
            generation: the pool's.
            permit: the pool's.
            connect_until: the monotonic time until which all of it must be done.
            breaker: one whose opening ends the wait for an answer.

        Raises:
            StoreUnavailableError: no connection, no answer in time, or a replica.
            StoreAuthError: the credentials were refused.
        """
        self._connection = connection
        self.permit = permit
        self._timeout = timeout
        self.generation = generation
        self.identity = b""
        self._run_id = b""
        self._proof = INFO_REPLICATION
        self.proved_until = 0.0
        self._vouched_until = math.inf
        limits = Limits(timeout, until=connect_until, breaker=breaker)
        may_be_timed: object = connection
        if isinstance(may_be_timed, Timed):
            may_be_timed.limits = limits
        try:
            connection.connect()  # type: ignore[no-untyped-call]
        except (RedisError, TypeError, ValueError) as error:
            raise translated(error, tls=isinstance(connection, SSLConnection))  # noqa: B904 - it sets its cause itself
        sock = connection._get_socket()  # noqa: SLF001 - redis-py has no public name for it
        if sock is None:
            raise StoreUnavailableError
        plain: object = sock  # gevent's and eventlet's are no subclasses
        self._is_plain = isinstance(plain, _socket.socket) and not isinstance(plain, ssl.SSLSocket)
        self._slice(sock)
        self.sock = sock
        self.send = sock.send
        self.recv = sock.recv
        self.reader = hiredis.Reader()
        try:
            self._introduce(limits)
        except BaseException:
            self.close()
            raise

    def _slice(self, sock: socket.socket) -> None:
        """Let the kernel limit send and recv where it can: it costs nothing, settimeout() a poll for every call."""
        if self._is_plain:
            sock.settimeout(None)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(SLICE_SECONDS))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(SLICE_SECONDS))
        else:
            sock.settimeout(SLOW_SLICE_SECONDS)

    def _introduce(self, limits: Limits) -> None:
        asked_at = monotonic()
        self._ask_sentinels()
        server, replication = self.transfer([INFO_SERVER, INFO_REPLICATION], limits)
        self._run_id = run_id_of(server)
        self.prove(replication, asked_at)

    def prove(self, replication: Any, asked_at: float) -> None:
        """Take in a reply to INFO replication. It counts from when it was asked for: this process may have slept since.

        Raises:
            NotPrimaryError: the server is no primary (any more).
        """
        self.identity = self._identity_by(replication)
        self.proved_until = min(asked_at + PROOF_SECONDS, self._vouched_until)

    def _identity_by(self, replication: Any) -> bytes:
        return identity_of(self._run_id, replication)

    def _ask_sentinels(self) -> None:
        if isinstance(self._connection, Vouched):
            self._vouched_until = self._connection.vouch()

    def exchange(self, commands: Sequence[Command], limits: Limits | None = None) -> list[Any]:
        """One round trip; with it a new proof, if one is due. Error replies are returned, not raised.

        Raises:
            StoreUnavailableError: the connection broke, timed out, or the server is no primary: close this wire.
        """
        return self.collect(self.post(commands, limits), limits)

    def post(self, commands: Sequence[Command], limits: Limits | None = None) -> Posted:
        """Send, for `collect`. Raises as `exchange`."""
        asked_at = monotonic()
        is_proof = asked_at >= self.proved_until
        if is_proof:
            self._ask_sentinels()
            commands = [self._proof, *commands]
        self._transmit(commands, limits or Limits(self._timeout))
        return Posted(len(commands), asked_at, is_proof)

    def collect(self, posted: Posted, limits: Limits | None = None) -> list[Any]:
        """The replies to what was posted. Raises as `exchange`."""
        replies = self._receive_all(posted.replies, limits or Limits(self._timeout))
        if posted.is_proof:
            self.prove(replies.pop(0), posted.asked_at)
        return replies

    def transfer(self, commands: Sequence[Command], limits: Limits | None = None) -> list[Any]:
        """Send commands together, and read as many replies."""
        limits = limits or Limits(self._timeout)
        self._transmit(commands, limits)
        return self._receive_all(len(commands), limits)

    def _transmit(self, commands: Sequence[Command], limits: Limits) -> None:
        packed = b"".join(map(pack, commands))
        try:
            self._send_all(packed, limits)
        except OSError as error:
            raise _broken(error) from error

    def _receive_all(self, count: int, limits: Limits) -> list[Any]:
        try:
            return [self.receive(limits) for _ in range(count)]
        except (OSError, hiredis.ProtocolError) as error:
            raise _broken(error) from error

    def _send_all(self, packed: bytes, limits: Limits) -> None:
        view, sent = memoryview(packed), 0
        deadline = 0.0
        while sent < len(packed):
            try:
                sent += self.send(view[sent : sent + SEND_BYTES])
            except (BlockingIOError, TimeoutError):  # a slice of the time limit is over
                deadline = deadline or min(monotonic() - SLICE_SECONDS + limits.answer, limits.until)
                if monotonic() >= deadline:
                    raise
            else:
                deadline = 0.0

    def receive(self, limits: Limits, began: float = 0.0) -> Any:
        """The next reply; error replies are returned. Raises OSError or hiredis.ProtocolError.

        Args:
            limits: how long it may take.
            began: the monotonic time when the wait for it began; by default now.
        """
        reader = self.reader
        reply = reader.gets()
        began = began or monotonic()
        while reply is False:
            try:
                data = self.recv(RECEIVE_BYTES)
            except (BlockingIOError, TimeoutError):  # a slice of the time limit is over
                data = self._in_time(min(began + limits.answer, limits.until), limits)
            if not data:
                raise ConnectionResetError
            began = monotonic()
            reader.feed(data)
            reply = reader.gets()
            if reply is False and began >= limits.until:
                raise TimeoutError
        return reply

    def _in_time(self, deadline: float, limits: Limits) -> bytes:
        """What comes until a monotonic time, if it comes. Raises TimeoutError."""
        poll = select.poll() if self._is_plain else None
        if poll is not None:
            poll.register(self.sock, select.POLLIN)
        while (left := deadline - monotonic()) > 0 and not limits.are_moot:
            wait = min(left, SLOW_SLICE_SECONDS)
            if poll is None:
                with suppress(TimeoutError):
                    return self._within(wait)
            elif poll.poll(wait * 1000):
                break
        return self._at_once()

    def _within(self, seconds: float) -> bytes:
        """What comes within a time of a socket that keeps its own. Raises TimeoutError, or OSError."""
        self.sock.settimeout(seconds)
        try:
            return self.sock.recv(RECEIVE_BYTES)
        finally:
            self.sock.settimeout(SLOW_SLICE_SECONDS)

    def _at_once(self) -> bytes:
        """What has come by now. Raises TimeoutError if that is nothing."""
        try:
            if self._is_plain:
                return self.sock.recv(RECEIVE_BYTES, socket.MSG_DONTWAIT)
            return self._within(0.0)
        except (BlockingIOError, ssl.SSLWantReadError) as error:
            raise TimeoutError from error

    def close(self) -> None:
        """Close the socket, if this process made it."""
        self._connection.disconnect()  # type: ignore[no-untyped-call]


def _broken(error: Exception) -> StoreUnavailableError:
    """What a socket or its reader has raised, as ours."""
    if isinstance(error, BlockingIOError | TimeoutError):
        return StoreTimeoutError()
    return StoreUnavailableError(f"The connection broke: {type(error).__name__}.")


def _timeval(seconds: float) -> bytes:
    return struct.pack("@ll", int(seconds), int(seconds % 1 * 1_000_000))
