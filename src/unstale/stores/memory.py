"""The reference store: one process, one dict, one lock. What it does is what every store must do.

It is also a real store (`memory://`) for tests and for programs that want the verbs without a server. The clock is
injected, so that a test can let time pass.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from struct import Struct
from time import monotonic
from typing import Any

from unstale.core.codecs import COUNTER, MAX_COUNTER
from unstale.core.globs import regex_of
from unstale.core.layout import CODEC_AT, FENCED, FLAGS_AT, IDENTITY_AT, IDENTITY_SIZE, STAMPS_AT, TIMED, TIMES_AT
from unstale.core.ports import (
    HEAD_PROBE,
    PEEK_BYTES,
    Bumped,
    Change,
    Claim,
    Claimed,
    Commit,
    Committed,
    Heads,
    Mode,
    Modify,
    Opening,
    Outcome,
    Peek,
    Reading,
    Scanned,
    Unmodified,
)
from unstale.core.stamps import CLOSED, HARD_SIZE, LAG, STAMP_SIZE, Observed, observe
from unstale.errors import StoreClosedError

_TIMES = Struct(">dff")
"""Created at, ttl, stale ttl."""


@dataclass(slots=True)
class _Cell:
    """A value and the time it expires; closed stamps are cells without bytes, with their owners' deadlines."""

    value: bytes | None
    until: float = math.inf
    owners: dict[bytes, float] = field(default_factory=dict)


class MemoryStore:
    """A store in this process's memory."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        """Begin empty.

        Args:
            clock: seconds, only ever growing.
        """
        self._clock = clock
        self._cells: dict[bytes, _Cell] = {}
        self._lock = threading.RLock()
        self._closed = False
        self.identity = os.urandom(IDENTITY_SIZE)

    def _find(self, name: bytes) -> _Cell | None:
        if self._closed:
            raise StoreClosedError
        cell = self._cells.get(name)
        if cell is not None and cell.until <= self._clock():
            del self._cells[name]
            return None
        return cell

    def _string(self, name: bytes) -> bytes | None:
        cell = self._find(name)
        return cell.value if cell else None

    def _stamp(self, name: bytes) -> Observed:
        cell = self._find(name)
        if cell is None:
            return None
        return CLOSED if cell.value is None else observe(cell.value)

    def _put(self, name: bytes, value: bytes, seconds: float) -> None:
        self._cells[name] = _Cell(value, self._clock() + seconds)

    def _prolong(self, names: Sequence[bytes], seconds: float) -> None:
        for name in names:
            cell = self._cells[name]
            cell.until = max(cell.until, self._clock() + seconds)

    def _remove(self, *names: bytes) -> None:
        for name in names:
            self._cells.pop(name, None)

    def close_stamps(self, stamp_names: Sequence[bytes], owner: bytes, seconds: float, keep: float = 0.0) -> None:
        """See Store."""
        with self._lock:
            for name in stamp_names:
                self._own(name, owner, seconds, keep)

    def _own(self, name: bytes, owner: bytes, seconds: float, keep: float) -> None:
        """Close a stamp for one more owner. The later of two deadlines counts."""
        owners = self._owners(self._find(name))
        owners[owner] = max(owners.get(owner, -math.inf), self._clock() + seconds)
        self._cells[name] = _Cell(None, max(owners.values()) + keep, owners)

    def _owners(self, cell: _Cell | None) -> dict[bytes, float]:
        """The owners of a stamp whose deadlines are not over."""
        now = self._clock()
        return {owner: deadline for owner, deadline in cell.owners.items() if deadline > now} if cell else {}

    def complete(self, stamp_names: Sequence[bytes], owner: bytes, keep: float = 0.0, lag: float = 0.0) -> list[Bumped]:
        """See Store."""
        with self._lock:
            return [self._complete(name, owner, keep, lag) for name in stamp_names]

    def _complete(self, name: bytes, owner: bytes, keep: float, lag: float) -> Bumped:
        cell = self._find(name)
        if cell is None:
            return Bumped.MISSING
        met = Bumped.CLOSED if cell.value is None and owner not in cell.owners else Bumped.CHANGED
        owners = self._owners(cell)
        owners.pop(owner, None)
        self._remove(name)
        if owners:
            self._cells[name] = _Cell(None, max(owners.values()) + keep, owners)
        if lag:
            self._own(name, LAG, lag, keep)
        return met

    def read(self, names: Sequence[bytes]) -> Reading:
        """See Store."""
        with self._lock:
            return [self._string(name) for name in names], self.identity

    def peek(self, entry: bytes, stamp_names: Sequence[bytes], remove: Sequence[bytes] = ()) -> Peek:
        """See Store."""
        with self._lock:
            cell = self._find(entry)
            data = cell.value if cell else None
            left = cell.until - self._clock() if cell and data is not None else 0.0
            stamps = [observe(self._string(name)) for name in stamp_names]
            self._remove(*remove)
            return Peek(data[:PEEK_BYTES] if data is not None else None, left, stamps, self.identity)

    def open(self, claims: Sequence[Claim], missing: Sequence[bytes], stamp_ttl: float, lag: float = 0.0) -> Opening:
        """See Store."""
        with self._lock:
            claimed = [self._claim(one) for one in claims]
            for name in missing:
                if lag:
                    self._open_late(name, stamp_ttl, lag)
                elif self._find(name) is None:
                    self._put(name, os.urandom(STAMP_SIZE), stamp_ttl)
            return Opening(claimed, [self._stamp(name) for name in missing], self.identity)

    def _open_late(self, name: bytes, stamp_ttl: float, lag: float) -> None:
        """Close a missing stamp for the lag; open a closed one whose deadlines are over."""
        cell = self._find(name)
        if cell is None:
            self._own(name, LAG, lag, stamp_ttl)
        elif cell.value is None and not self._owners(cell):
            self._put(name, os.urandom(STAMP_SIZE), stamp_ttl)

    def _claim(self, claim: Claim) -> Claimed:
        token, holder = None, self._string(claim.lease)
        if self._find(claim.lease) is None:
            token = os.urandom(9).hex().encode()
            self._put(claim.lease, token, claim.seconds)
        data = self._string(claim.entry)
        return Claimed(token, holder, data[:HEAD_PROBE] if data is not None else None)

    def commit(self, commits: Sequence[Commit]) -> list[Committed]:
        """See Store."""
        with self._lock:
            return [self._commit(one) for one in commits]

    def _commit(self, one: Commit) -> Committed:
        mine = self._string(one.lease) == one.token
        refusal = self._refusal(one, mine=mine)
        if refusal is not None:
            if one.mode is Mode.SET:
                self._remove(one.entry, one.lease)
            elif mine:
                self._remove(one.lease)
            return refusal
        for name in one.stamp_names:
            if self._find(name) is None:
                self._put(name, os.urandom(STAMP_SIZE), one.stamp_ttl)
        if one.prolong:
            self._prolong((*one.stamp_names, *(name for name, _ in one.beside)), one.stamp_ttl)
        now = zip(one.observed, one.stamp_names, strict=True)
        stamps = tuple(observed or self._string(name) for observed, name in now)
        data = one.draft.seal(one.identity or self.identity, stamps)
        self._put(one.entry, data, one.draft.life)
        self._remove(one.lease)
        if one.draft.fenced and one.identity not in (None, self.identity):
            return Committed(Outcome.IDENTITY)
        return Committed(Outcome.STORED, 0, len(data))

    def _refusal(self, one: Commit, *, mine: bool) -> Committed | None:
        if one.mode is Mode.FILL and not mine:
            return Committed(Outcome.LEASE)
        if one.mode in {Mode.ADD, Mode.REPLACE}:
            there, seen = self._string(one.entry) or b"", one.seen or b""
            is_seen = there[: max(len(seen), 1)] == seen
            if one.mode is Mode.REPLACE and not (is_seen and seen):
                return Committed(Outcome.CHANGED)
            if not is_seen and there:
                return Committed(Outcome.EXISTS)
        stamps = (*zip(one.stamp_names, one.observed, strict=True), *one.beside)
        for position, (name, observed) in enumerate(stamps):
            now = self._stamp(name)
            if now is CLOSED:
                return Committed(Outcome.CLOSED, position)
            if observed is not None and (not isinstance(now, bytes) or now[:HARD_SIZE] != observed[:HARD_SIZE]):
                return Committed(Outcome.STALE, position)
        return None

    def release(self, held: Sequence[tuple[bytes, bytes]]) -> None:
        """See Store."""
        with self._lock:
            for lease, token in held:
                if self._string(lease) == token:
                    self._remove(lease)

    def bump(
        self, stamp_names: Sequence[bytes], stamp_ttl: float, *, soft: bool = False, lag: float = 0.0
    ) -> list[Bumped]:
        """See Store."""
        with self._lock:
            if lag:
                return [self._close_if_there(name, stamp_ttl, lag) for name in stamp_names]
            return [self._bump(name, stamp_ttl, soft=soft) for name in stamp_names]

    def _close_if_there(self, name: bytes, stamp_ttl: float, lag: float) -> Bumped:
        cell = self._find(name)
        if cell is None:
            return Bumped.MISSING
        self._own(name, LAG, lag, stamp_ttl)
        return Bumped.CLOSED if cell.value is None else Bumped.CHANGED

    def _bump(self, name: bytes, stamp_ttl: float, *, soft: bool) -> Bumped:
        cell = self._find(name)
        if cell is None:
            return Bumped.MISSING
        if cell.value is None or (soft and len(cell.value) != STAMP_SIZE):
            return Bumped.CLOSED
        stamp = os.urandom(STAMP_SIZE)
        if soft:
            cell.value = cell.value[:HARD_SIZE] + stamp[HARD_SIZE:]
            self._prolong([name], stamp_ttl)
        else:
            self._put(name, stamp, stamp_ttl)
        return Bumped.CHANGED

    def modify(self, modify: Modify) -> int | Unmodified:
        """See Store."""
        with self._lock:
            cell = self._find(modify.entry)
            if cell is None:
                return Unmodified.ABSENT
            data = cell.value or b""
            names_at = STAMPS_AT + STAMP_SIZE * len(modify.stamp_names)
            if not data.startswith(modify.shape) or not data.startswith(modify.names, names_at):
                return Unmodified.OTHER
            if not self._stands(data, modify, names_at):
                return Unmodified.STALE
            _, _, stale_ttl = _TIMES.unpack_from(data, TIMES_AT)
            if modify.change is Change.INCREASE:
                return self._increase(cell, data, names_at + len(modify.names), modify.delta)
            cell.value = data[:TIMES_AT] + modify.times + data[TIMES_AT + len(modify.times) :]
            cell.until = self._clock() + modify.ttl + stale_ttl
            self._prolong(modify.stamp_names, modify.stamp_ttl + stale_ttl)
            return 0

    def _stands(self, data: bytes, modify: Modify, names_at: int) -> bool:
        if data[FLAGS_AT] & FENCED and not data.startswith(self.identity, IDENTITY_AT):
            return False
        created_at, ttl, _ = _TIMES.unpack_from(data, TIMES_AT)
        if data[FLAGS_AT] & TIMED and not modify.now < created_at + ttl:
            return False
        current = [self._stamp(name) for name in modify.stamp_names]
        recorded = [data[at : at + STAMP_SIZE] for at in range(STAMPS_AT, names_at, STAMP_SIZE)]
        return current == recorded

    def _increase(self, cell: _Cell, data: bytes, size: int, delta: int) -> int | Unmodified:
        if data[CODEC_AT] != COUNTER or len(data) != size + 8:
            return Unmodified.NOT_A_COUNTER
        value = int.from_bytes(data[size:], signed=True) + delta
        if abs(value) > MAX_COUNTER:
            return Unmodified.RANGE
        cell.value = data[:size] + value.to_bytes(8, signed=True)
        return value

    def heads(
        self, names: Sequence[bytes], size: int, stamp_names: Sequence[bytes] = (), remove: Sequence[bytes] = ()
    ) -> Heads:
        """See Store."""
        with self._lock:
            found = [self._string(name) for name in names]
            stamps = [observe(self._string(name)) for name in stamp_names]
            self._remove(*remove)
            return Heads([data[:size] if data else None for data in found], stamps, self.identity)

    def scan(self, cursor: int, match: bytes, count: int) -> Scanned:  # noqa: ARG002 - one part needs neither
        """See Store. All in one part, whatever `count` says: nobody waits for it but this process."""
        regex = regex_of(match)
        with self._lock:
            self._find(b"")  # a closed store says so
            names = [name for name in list(self._cells) if regex.fullmatch(name) and self._find(name) is not None]
            return Scanned(0, names, self.identity)

    def remove(self, names: Sequence[bytes]) -> int:
        """See Store."""
        with self._lock:
            there = [name for name in dict.fromkeys(names) if self._find(name) is not None]
            self._remove(*there)
            return len(there)

    def check(self) -> None:
        """See Store."""

    def owe(self, settle: Callable[[float], Any]) -> None:
        """See Store. It is always there."""

    def hold(self) -> None:
        """See Store."""

    def ping(self) -> None:
        """See Store."""
        self._find(b"")

    def close(self) -> None:
        """See Store."""
        with self._lock:
            self._closed = True
            self._cells.clear()
