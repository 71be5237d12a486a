"""What a stale read is: one rule for all variants, which knows nothing of how they work.

A user's floor is the newest version whose COMMIT and whose invalidation had both returned. The reader notes it before
the read begins. A value of an older version is then a stale read: nobody may be given it any more.
"""

from __future__ import annotations

import multiprocessing
import threading


def is_stale(version: int, floor: int) -> bool:
    """Whether a value of this version may not be served to a read that began with this floor."""
    return version < floor


class Board:
    """What the processes of one run share: the floors, and how many keys each has loaded.

    Each process writes in its own part only, so no lock is needed between them. Made before they are spawned.
    """

    def __init__(self, processes: int, users: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.processes = processes
        self.users = users
        self.floors = context.RawArray("q", processes * users)
        self.loaded = context.RawArray("q", processes)


class Floors:
    """One process's view of all users' floors."""

    def __init__(self, board: Board, process: int) -> None:
        self._floors = board.floors
        self._starts = range(0, board.processes * board.users, board.users)
        self._own = process * board.users
        self._lock = threading.Lock()

    def of(self, user: int) -> int:
        """The user's floor now."""
        newest: int = max(self._floors[start + user] for start in self._starts)
        return newest

    def publish(self, user: int, version: int) -> None:
        """Raise the floor: this version's COMMIT and invalidation have returned."""
        with self._lock:
            place = self._own + user
            self._floors[place] = max(self._floors[place], version)
