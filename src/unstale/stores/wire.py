"""One connection: redis-py makes it (address, TLS, AUTH, SELECT), then its socket is read and written here.

The answer's time limit is the kernel's (SO_RCVTIMEO) where the socket is a plain one; under gevent or eventlet, whose
sockets never block in the kernel, and under TLS, it is the socket's own timeout.

A wire knows whose server it talks to: run_id and replication id, as one identity of 16 bytes, and that its role is
primary. Both are proved with the first trip, and again with the trip of any command that comes more than
PROOF_SECONDS after the last proof: a demoted primary keeps its clients, and would show old stamps. Where sentinels
named the server, their word is part of the proof: the old primary of a failover goes on as one for seconds.
"""

from __future__ import annotations

import _socket
import math
import socket
import ssl
import struct
from time import monotonic
from typing import Any, Final, Protocol

import hiredis
from redis.connection import AbstractConnection, SSLConnection
from redis.exceptions import RedisError

from unstale.errors import StoreTimeoutError, StoreUnavailableError
from unstale.stores.commands import Command, pack
from unstale.stores.proof import INFO_REPLICATION, INFO_SERVER, Vouched, identity_of, run_id_of, translated

PROOF_SECONDS: Final = 1.0
RECEIVE_BYTES: Final = 65536
SLICE_SECONDS: Final = 0.005
"""The kernel lets go of a read after this, and the wire looks at the clock. After a signal Python begins a read anew,
and the kernel its time limit: in one piece, a profiler's signals would prolong it for ever."""


class Permit(Protocol):
    """The pool's leave for one connection."""

    def release(self) -> None:
        """Give it back."""


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

    def __init__(self, connection: AbstractConnection, timeout: float, generation: int, permit: Permit) -> None:
        """Connect, and prove role and identity.

        Raises:
            StoreUnavailableError: no connection, no answer in `timeout` seconds, or a replica.
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
        try:
            connection.connect()  # type: ignore[no-untyped-call]
        except (RedisError, TypeError, ValueError) as error:
            raise translated(error, tls=isinstance(connection, SSLConnection))  # noqa: B904 - it sets its cause itself
        sock = connection._get_socket()  # noqa: SLF001 - redis-py has no public name for it
        if sock is None:
            raise StoreUnavailableError
        self._limit(sock, timeout)
        self.sock = sock
        self.send = sock.send
        self.recv = sock.recv
        self.reader = hiredis.Reader()
        try:
            self._introduce()
        except BaseException:
            self.close()
            raise

    def _limit(self, sock: socket.socket, timeout: float) -> None:
        """Let the kernel limit send and recv where it can: it costs nothing, settimeout() a poll for every call."""
        plain: object = sock  # gevent's and eventlet's are no subclasses
        if isinstance(plain, _socket.socket) and not isinstance(plain, ssl.SSLSocket):
            sock.settimeout(None)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(min(timeout, SLICE_SECONDS)))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(timeout))
        else:
            sock.settimeout(timeout)

    def _introduce(self) -> None:
        asked_at = monotonic()
        self._ask_sentinels()
        server, replication = self.transfer([INFO_SERVER, INFO_REPLICATION])
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

    def exchange(self, commands: list[Command]) -> list[Any]:
        """One round trip; with it a new proof, if one is due. Error replies are returned, not raised.

        Raises:
            StoreUnavailableError: the connection broke, timed out, or the server is no primary: close this wire.
        """
        asked_at = monotonic()
        if asked_at < self.proved_until:
            return self.transfer(commands)
        self._ask_sentinels()
        replication, *replies = self.transfer([self._proof, *commands])
        self.prove(replication, asked_at)
        return replies

    def transfer(self, commands: list[Command]) -> list[Any]:
        """Send commands together, and read as many replies."""
        packed = b"".join(map(pack, commands))
        try:
            sent = self.send(packed)
            if sent < len(packed):
                self.sock.sendall(memoryview(packed)[sent:])
            return [self.receive() for _ in commands]
        except (BlockingIOError, TimeoutError) as error:
            raise StoreTimeoutError from error
        except (OSError, hiredis.ProtocolError) as error:
            raise StoreUnavailableError(f"The connection broke: {type(error).__name__}.") from error

    def receive(self) -> Any:
        """The next reply; error replies are returned. Raises OSError or hiredis.ProtocolError."""
        reader = self.reader
        reply = reader.gets()
        deadline = 0.0
        while reply is False:
            try:
                data = self.recv(RECEIVE_BYTES)
            except BlockingIOError:  # a slice of the time limit is over
                deadline = deadline or monotonic() + self._timeout - SLICE_SECONDS
                if monotonic() >= deadline:
                    raise
                continue
            if not data:
                raise ConnectionResetError
            deadline = 0.0
            reader.feed(data)
            reply = reader.gets()
        return reply

    def close(self) -> None:
        """Close the socket, if this process made it."""
        self._connection.disconnect()  # type: ignore[no-untyped-call]


def _timeval(seconds: float) -> bytes:
    return struct.pack("@ll", int(seconds), int(seconds % 1 * 1_000_000))
