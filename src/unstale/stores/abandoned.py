"""Leases of this process that nobody will use: given back by the next trip that claims one anyway.

Whether a claim took its lease is not known if its answer was lost; and a commit or a release that did not arrive leaves
the lease where it is. Other readers of the key would wait until it runs out. To give it back at once would cost the
reader another trip to a server that has just failed; so it is noted, and costs nobody anything.

A claim that the server gets to only after its release stands until it runs out: it costs time, and no freshness.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

Held = tuple[bytes, bytes]
"""A lease's name and its token."""

MOST: Final = 4096
"""So many are remembered; the oldest go first, and run out by themselves."""
AT_ONCE: Final = 512
"""So many one trip gives back."""


class Abandoned:
    """The leases that one store would give back. Threads may share it: each note is taken once."""

    __slots__ = ("_noted",)

    def __init__(self) -> None:
        """Begin with none."""
        self._noted: deque[Held] = deque(maxlen=MOST)

    @contextmanager
    def unless_done(self, *held: Sequence[Held]) -> Iterator[None]:
        """Note what is in `held` by then, if the block raises, or its task is cancelled."""
        try:
            yield
        except BaseException:
            for each in held:
                self._noted.extend(each)
            raise

    def take(self) -> list[Held]:
        """Some of them, for a trip to give back. Whoever takes them notes them again if it fails."""
        taken: list[Held] = []
        noted = self._noted
        while noted and len(taken) < AT_ONCE:
            try:
                taken.append(noted.popleft())
            except IndexError:  # another thread was faster
                break
        return taken

    def of(self, lease: bytes) -> list[Held]:
        """Those of one lease, which goes by itself where each trip goes to another server."""
        if not self._noted:
            return []
        found = [one for one in tuple(self._noted) if one[0] == lease]
        return [one for one in found if self._is_removed(one)]

    def _is_removed(self, one: Held) -> bool:
        try:
            self._noted.remove(one)
        except ValueError:  # another thread was faster
            return False
        return True
