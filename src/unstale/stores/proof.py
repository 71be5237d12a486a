"""What a connection must know of its server before it serves: that it is a primary, and which one.

Both come from INFO: with a connection's first trip, and again with later trips (`PROOF_SECONDS` in `wire`). And what
redis-py raises while it connects, as our errors.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Final

import hiredis
import redis

from unstale.core.layout import IDENTITY_SIZE
from unstale.errors import (
    NotPrimaryError,
    StoreAuthError,
    StoreError,
    StoreRefusedError,
    StoreTimeoutError,
    StoreUnavailableError,
)
from unstale.stores.commands import Command, checked


class CredentialsFailedError(redis.exceptions.AuthenticationError):
    """A provider of credentials gave none."""


class Vouched:
    """A connection to a server that sentinels named (`sentinel`)."""

    def vouch(self) -> float:
        """The monotonic time until which their word holds, which may mean to ask them anew.

        Raises:
            NotPrimaryError: by now they name another server.
        """
        raise NotImplementedError


class AsyncVouched:
    """An asyncio connection to a server that sentinels named (`sentinel`)."""

    async def vouch(self) -> None:
        """Ask them anew, if their word holds no longer. Raises NotPrimaryError if they name another server."""
        raise NotImplementedError

    def vouched_until(self) -> float:
        """The monotonic time until which their word holds. Raises NotPrimaryError if they name another server."""
        raise NotImplementedError


_TLS_TIMEOUT: Final = (
    f"{StoreTimeoutError.__doc__} If it never answers: rediss:// speaks TLS; does the server, on this port?"
)
_NEEDED: Final = (
    'which unstale needs to tell servers apart. Where a provider hides it choose fence="replay", which promises less.'
)
_SENTINEL: Final = "This is a sentinel, no server. Name it, and the service: redis+sentinel://host:26379/service/0."
INFO_SERVER: Final[Command] = (b"INFO", b"server")
INFO_REPLICATION: Final[Command] = (b"INFO", b"replication")


def run_id_of(server: Any) -> bytes:
    """The run_id in a reply to INFO server.

    Raises:
        StoreRefusedError: there is none.
    """
    info = _info(server)
    if _field(info, b"redis_mode") == b"sentinel" or _field(info, b"server_mode") == b"sentinel":
        raise StoreRefusedError(_SENTINEL)
    run_id = _field(info, b"run_id")
    if not run_id:
        raise StoreRefusedError(f"The server's INFO shows no run_id, {_NEEDED}")
    return run_id


def identity_of(run_id: bytes, replication: Any) -> bytes:
    """A server's identity, from its run_id and a reply to INFO replication.

    Raises:
        NotPrimaryError: the server is no primary (any more).
    """
    info = _info(replication)
    role = _field(info, b"role")
    if not role:
        raise StoreRefusedError(f"The server's INFO shows no role, {_NEEDED}")
    if role != b"master":
        raise NotPrimaryError
    return blake2b(run_id + b"\0" + _field(info, b"master_replid"), digest_size=IDENTITY_SIZE).digest()


def _info(reply: Any) -> bytes:
    if isinstance(reply, hiredis.ReplyError) and "NOPERM" in str(reply):
        raise StoreRefusedError(
            "unstale needs INFO to tell servers apart: allow +info in this user's ACL. "
            'Where a provider hides it choose fence="replay", which promises less.'
        )
    text = checked(reply)
    if type(text) is not bytes:
        raise StoreRefusedError("The server's answer makes no sense. Is it Redis or Valkey?")
    return text


def _field(info: bytes, name: bytes) -> bytes:
    for line in info.split(b"\r\n"):
        if line.startswith(name + b":"):
            return line[len(name) + 1 :]
    return b""


def translated(error: Exception, *, tls: bool = False) -> StoreError:
    """What redis-py raised while connecting, as ours. Its texts name host and port, never the password.

    The original is its cause, except where the text of that may hold the password.

    Args:
        error: what it raised.
        tls: whether the connection speaks TLS: a server that does not waits for more of what it takes for a command.
    """
    ours = StoreTimeoutError(_TLS_TIMEOUT) if tls and isinstance(error, redis.exceptions.TimeoutError) else _ours(error)
    ours.__cause__ = None if isinstance(error, redis.exceptions.ResponseError) else error
    ours.__suppress_context__ = True
    return ours


def _ours(error: Exception) -> StoreError:  # noqa: PLR0911 - one for each case
    match error:
        case redis.exceptions.ResponseError():
            text = str(error).partition(", with args beginning")[0]  # what follows may be the password
            return StoreRefusedError(f"The server refused the connection: {text}.")
        case UnicodeError():
            return StoreUnavailableError("The URL's host is no name that can be looked up.")
        case CredentialsFailedError():
            return StoreAuthError(str(error))
        case redis.exceptions.AuthenticationError() | redis.exceptions.AuthorizationError():
            return StoreAuthError()
        case redis.exceptions.TimeoutError():
            return StoreTimeoutError()
        case redis.exceptions.ConnectionError() | redis.exceptions.RedisClusterException():
            return StoreUnavailableError(f"{StoreUnavailableError.__doc__} ({error})")
        case TypeError() | ValueError():
            return StoreUnavailableError(f"redis-py cannot connect with these options: {type(error).__name__}.")
        case _:
            return StoreRefusedError("The server refused the connection.")
