"""The bumps that a process made of late, for `fence="replay"`: they are made again at a server that may lack them.

A failover to a replica that lags, or a restart from a snapshot, brings old stamps back. Entries that are bound to the
server's identity are stale then, all of them. With this fence they are not; instead each process brings its own bumps
of the last minute to a server that it has not brought them to yet, before it uses it. Nothing is known here of those
of other processes.

Any thread may call any of this at any time, without a lock: the worst of a race is that a stamp is bumped once more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

KEPT_SECONDS: Final = 60.0
"""How far a replica, or a snapshot, may be behind."""
MOST: Final = 10_000
"""Stamps that are remembered. Of more than so many in KEPT_SECONDS the oldest are forgotten, all entries then being
stale at a new server."""
_ROOM: Final = 0.9
"""How much of that is left when some are forgotten, so that it need not be done at every bump."""
_LOOK_SECONDS: Final = 1.0


class Note(NamedTuple):
    """One stamp's last bump.

    Attributes:
        at: the monotonic time before it was sent.
        server: where it took effect; None where that is not known (yet).
        lag: seconds for which it was closed; 0 for a bump.
        keep: seconds that it then stays closed in its place.
    """

    at: float
    server: bytes | None = None
    lag: float = 0.0
    keep: float = 0.0


class Recent:
    """A process's recent bumps in one namespace.

    Attributes:
        roots: the names of the namespace's root stamps: bumping all makes every entry stale.
        probe: a name in it that is never written.
        is_told: whether it was said that identities are hidden.
    """

    def __init__(self, roots: tuple[bytes, ...], seconds: float = KEPT_SECONDS, most: int = MOST) -> None:
        """Remember nothing yet."""
        self.roots = roots
        self.probe = roots[0] + b"\0probe"
        self.is_told = False
        self._seconds = seconds
        self._most = most
        self._notes: dict[bytes, Note] = {}
        self._forgotten: Note | None = None
        self._look_at = 0.0

    def note(self, names: Sequence[bytes], now: float, lag: float = 0.0, keep: float = 0.0) -> None:
        """Note bumps, right before they are sent: who makes a connection from then on makes them again."""
        note = Note(now, None, lag, keep)
        for name in names:
            self._notes.pop(name, None)
            self._notes[name] = note
        if now >= self._look_at or len(self._notes) > self._most:
            self._look_at = now + _LOOK_SECONDS
            self._forget(now)

    def settle(self, names: Sequence[bytes], server: bytes) -> None:
        """Note where bumps have taken effect."""
        for name in names:
            note = self._notes.get(name)
            if note is not None:
                self._notes[name] = note._replace(server=server)

    def settle_all(self, server: bytes) -> None:
        """Note where everything was made stale."""
        forgotten = self._forgotten
        if forgotten is not None:
            self._forgotten = forgotten._replace(server=server)

    def owed(self, server: bytes | None, now: float) -> dict[bytes, Note]:
        """What a server may lack; None for one that is not known from others."""
        oldest = now - self._seconds
        return {
            name: note
            for name, note in self._notes.copy().items()
            if note.at > oldest and (server is None or note.server != server)
        }

    def owes_all(self, server: bytes | None, now: float) -> bool:
        """Whether it may lack bumps that are forgotten: then everything must become stale there."""
        forgotten = self._forgotten
        if forgotten is None or forgotten.at <= now - self._seconds:
            return False
        return server is None or forgotten.server != server

    def _forget(self, now: float) -> None:
        """Forget what is too old; of what is too much the oldest, but not that there was something."""
        notes = self._notes.copy()
        for name, note in notes.items():
            if note.at <= now - self._seconds:
                self._notes.pop(name, None)
        excess = len(self._notes) - self._most
        if excess > 0:
            count = excess + int((1 - _ROOM) * self._most)
            oldest = sorted(self._notes.copy().items(), key=lambda one: one[1].at)[:count]
            gone = [note for _, note in oldest]
            before = self._forgotten
            if before is not None and before.at > now - self._seconds:
                gone.append(before)
            servers = {note.server for note in gone}
            self._forgotten = Note(max(note.at for note in gone), servers.pop() if len(servers) == 1 else None)
            for name, _ in oldest:
                self._notes.pop(name, None)
