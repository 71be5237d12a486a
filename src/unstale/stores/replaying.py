"""`fence="replay"`: a connection makes this process's recent bumps again before it is used, where they may be lost.

It knows the server from others by its identity, as any connection does. Where INFO is hidden there is none: then the
role alone is proved, and each new connection counts as one to another server. A failover that breaks no connection is
not seen there.

Here is what is asked and what is brought; the connections that do it are `replaying_wire` and `replaying_link`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from itertools import groupby
from time import monotonic
from typing import Any, Final, TypeVar

from unstale.core.layout import IDENTITY_SIZE
from unstale.core.replay import Recent
from unstale.errors import NotPrimaryError, StoreUnavailableError
from unstale.stores import commands
from unstale.stores.commands import Command, Trip, checked

T = TypeVar("T")

HIDDEN: Final = b"\xff" * IDENTITY_SIZE
"""In the place of an identity, where there is none. No entry is bound to it."""
ROLE: Final[Command] = (b"ROLE",)
AT_A_TIME: Final = 1000
"""Bumps in one trip."""
_TOLD: Final = (
    "The server hides INFO: unstale cannot tell it from another one, nor see a failover that breaks no connection. "
    'With fence="replay" each new connection makes this process\'s bumps of the last minute again.'
)


def recorded(trip: Trip[T], recent: Recent, names: Sequence[bytes], lag: float = 0.0, keep: float = 0.0) -> Trip[T]:
    """An invalidation's trip that is about to be sent: it is noted now, and when it is answered, by whom."""
    recent.note(names, monotonic(), lag, keep)

    def parse(replies: list[Any], identity: bytes) -> T:
        done = trip.parse(replies, identity)
        recent.settle(names, identity)
        return done

    return Trip(trip.commands, parse)


def bringing(recent: Recent, identity: bytes) -> Generator[Trip[Any], Any]:
    """The trips that a server must answer before it is used; each one's result is sent back."""
    server, now = None if identity == HIDDEN else identity, monotonic()
    owes_all = recent.owes_all(server, now)
    for names, lag, keep in _batches(recent, server, now):
        yield from _bringing(names, lag, keep)
        recent.settle(names, identity)
    if owes_all:
        yield from _bringing(recent.roots, 0.0, 0.0)
        recent.settle_all(identity)


def _bringing(names: Sequence[bytes], lag: float, keep: float) -> Generator[Trip[Any], Any]:
    if lag:
        yield commands.close_those_there(names, lag, keep)
        return
    met = yield commands.bump_again(names)
    refused = [name for name, one in zip(names, met, strict=True) if one is None]
    if refused:
        yield commands.unlink_open(refused)


def _batches(recent: Recent, server: bytes | None, now: float) -> Iterator[tuple[tuple[bytes, ...], float, float]]:
    """What is owed, in parts that were done alike."""
    owed = recent.owed(server, now)

    def how(name: bytes) -> tuple[float, float]:
        return owed[name].lag, owed[name].keep

    for (lag, keep), group in groupby(sorted(owed, key=how), key=how):
        names = tuple(group)
        for first in range(0, len(names), AT_A_TIME):
            yield names[first : first + AT_A_TIME], lag, keep


def questions(recent: Recent) -> list[Command]:
    """What is asked where INFO is hidden: the role; and a write of nothing, which a replica refuses."""
    return [ROLE, (b"UNLINK", recent.probe)]


def hidden_proof(recent: Recent, replies: Sequence[Any]) -> tuple[Command, Any]:
    """Which of the questions the server answers, by which its role is proved from now on, and its reply."""
    if not recent.is_told:
        recent.is_told = True
        import logging  # noqa: PLC0415 - said once

        logging.getLogger("unstale").warning(_TOLD)
    asked = questions(recent)
    return (asked[0], replies[0]) if type(replies[0]) is list else (asked[1], replies[1])


def check_role(reply: Any) -> None:
    """Take in a reply to one of the questions.

    Raises:
        NotPrimaryError: the server is no primary (any more).
    """
    answer = checked(reply)
    if type(answer) is list and answer[0] != b"master":
        raise NotPrimaryError


def check_same(before: bytes, identity: bytes) -> None:
    """A connection whose server has become another is of no use: a new one brings it what it may lack.

    Raises:
        StoreUnavailableError: it has.
    """
    if before not in (b"", identity):
        raise StoreUnavailableError("The server has become another: a new connection is needed.")
