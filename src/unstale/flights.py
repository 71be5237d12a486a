"""Loads under way in this process, so that others who want the same can wait for them without asking the server."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final, Generic, TypeVar

from unstale.core.ports import Flight

E = TypeVar("E")


class Landing(Generic[E]):
    """What those wait for who joined a flight.

    Attributes:
        event: set when it has landed.
        failed: whether it came to nothing, since the store failed.
    """

    __slots__ = ("event", "failed")

    def __init__(self, event: E) -> None:
        """Under way."""
        self.event = event
        self.failed = False


LONGEST_SECONDS: Final = 60.0
"""A flight that was not landed for so long (its thread was killed, its runner shut down) is forgotten."""


class Flights(Generic[E]):
    """Who leads which flight, with something to wait for.

    All steps are single operations on a dict: safe between threads, without a lock.
    """

    __slots__ = ("_make", "_under_way")

    def __init__(self, make: Callable[[], E]) -> None:
        """Take what makes the thing to wait for: an event."""
        self._make = make
        self._under_way: dict[Flight, tuple[Landing[E], float]] = {}

    def lead(self, flight: Flight) -> bool:
        """Begin a flight; False where another has begun the same."""
        mine = (Landing(self._make()), monotonic() + LONGEST_SECONDS)
        found = self._under_way.setdefault(flight, mine)
        if found is not mine and found[1] < monotonic():
            self._under_way[flight] = mine
            return True
        return found is mine

    def find(self, flight: Flight) -> Landing[E] | None:
        """What to wait for; None where nobody leads this flight any more."""
        found = self._under_way.get(flight)
        return found[0] if found is not None else None

    def land(self, flight: Flight, *, failed: bool = False) -> E | None:
        """End a flight: the event that those wait for who joined it."""
        found = self._under_way.pop(flight, None)
        if found is None:
            return None
        found[0].failed = failed
        return found[0].event

    def forget(self) -> None:
        """Begin anew, in a child process: the parent's flights land in the parent."""
        self._under_way = {}
