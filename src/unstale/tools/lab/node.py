"""A server as the lab sees it: where it is, what it is, how it is asked, and what its refusals mean to a person.

Nothing here starts a server, or writes to one. No password is ever in a message: an address is shown by `shown`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from unstale.stores.addresses import UNREADABLE, shown
from unstale.tools.lab.errors import LabError
from unstale.tools.logs import tail

SCHEMES: Final = ("redis", "rediss", "unix")
"""Of the servers that a user may name."""
ANSWER_SECONDS: Final = 60.0
"""How long a server may take to answer: one that is overloaded on purpose is asked too."""
_TOLD: Final[tuple[tuple[type[redis.RedisError], str], ...]] = (
    (redis.AuthenticationError, "wants another user or password. Put them into the URL: redis://user:password@host/1."),
    (
        redis.exceptions.NoPermissionError,
        "does not let this user do what the lab does ({error}). It needs all commands on its own keys.",
    ),
    (redis.exceptions.BusyLoadingError, "is still loading its data. Try again later."),
    (redis.exceptions.OutOfMemoryError, "is out of memory. Give it more (maxmemory), or the lab fewer keys."),
    (redis.TimeoutError, "did not answer in time. Look at its load, and at the network between."),
    (redis.ConnectionError, "cannot be reached, or has ended: {error}"),
)
"""What an exception means, after the server's address; of several that fit, the first counts."""


@dataclass(frozen=True, slots=True)
class Node:
    """A server that runs."""

    url: str
    """With the database."""
    name: str
    """Its kind and version, such as "Valkey 9.1.2"."""
    pid: int | None = None
    """None: it is the user's own, wherever it runs."""
    core: int | None = None
    """The core that it is pinned to; None: it runs on all of them."""
    core_fraction: float | None = None
    """What part of that core it may use, at most; None: all of it."""
    log: Path | None = None
    """What it says; None: the lab did not start it."""

    @property
    def database(self) -> int:
        """Its number."""
        return int(redis.ConnectionPool.from_url(self.url).connection_kwargs.get("db", 0))

    def tail(self) -> str:
        """The end of its log, on lines of its own, to stand at the end of a message; empty where there is none."""
        end = tail(self.log)
        return f"\nIts log ends with:\n{end}" if end else ""


def connect(url: str, answer_seconds: float = ANSWER_SECONDS) -> redis.Redis:
    """A client of a server, not yet connected, which tries everything once.

    Args:
        url: of the server, with its database.
        answer_seconds: how long it waits for an answer, at most.

    Raises:
        LabError: the URL makes no sense.
    """
    try:
        if shown(url) == UNREADABLE:
            raise ValueError(url)  # noqa: TRY301 - as redis-py would, if it looked
        return redis.Redis.from_url(
            url,
            socket_timeout=answer_seconds,
            socket_connect_timeout=min(10.0, answer_seconds),
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError:  # not chained: it may quote a part of the URL, and with it of the password
        raise LabError(
            f"{shown(url)} cannot be read. Write it as redis://user:password@host:6379/1, "
            "with %-signs for special characters in the password (%2F for a slash)."
        ) from None


@contextmanager
def asking(node: Node) -> Iterator[None]:
    """Turn what a server refuses, or that it is gone, into a LabError.

    Raises:
        LabError: with what to do about it, and the end of the server's log where there is one.
    """
    try:
        yield
    except redis.RedisError as error:
        raise LabError(f"{shown(node.url)} {_told(error)}{node.tail()}") from error


def _told(error: redis.RedisError) -> str:
    found = next((words for kind, words in _TOLD if isinstance(error, kind)), "answered with an error: {error}")
    return found.format(error=error)
