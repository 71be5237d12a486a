"""What a computation has looked at so far: the stamps that its result must carry.

Two memories, each bound to the running context (thread or task):

- *Inheritance.* While a loader runs, every entry it reads from the same cache adds the stamps that the entry *recorded*
  (never read anew) to what the loader's own result will record. So a value computed from cached values is stale when
  any of them is. What cannot be inherited (a value whose stamps are not known) keeps the result from being stored.
- *Remembrance.* A `get` that missed remembers the stamps it saw, so that the `set` that follows stores under what stood
  there before the value was computed. Bounded; the oldest go first; `invalidate` in the same context forgets its tags.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

from unstale.core.stamps import Observed

MAX_REMEMBERED = 1024
"""Most stamps that one context remembers."""
MAX_KEYS = 64
"""For each stamp, the keys whose last look is remembered by itself; for others the first look at any counts."""


class Inheritance:
    """The stamps that a loader's result takes over from what the loader read."""

    __slots__ = ("broken", "identity", "outer", "owner", "stamps")

    def __init__(self, owner: object, outer: Inheritance | None) -> None:
        """Begin with nothing, for the keyspace `owner`, inside the loader of `outer`."""
        self.owner = owner
        self.outer = outer
        self.stamps: dict[str, bytes] = {}
        self.identity: bytes | None = None
        self.broken = False

    def add(self, recorded: Iterable[tuple[str, bytes]], identity: bytes | None) -> None:
        """Take over an entry's recorded stamps. Two stamps for one tag, or two identities, break it."""
        for tag, stamp in recorded:
            if self.stamps.setdefault(tag, stamp) != stamp:
                self.broken = True
        if identity is not None:
            self.broken |= self.identity not in (None, identity)
            self.identity = identity


_running: ContextVar[Inheritance | None] = ContextVar("unstale_inheritance", default=None)


running = _running.get
"""The innermost loader's inheritance, whosoever's, or None: what a hit asks first, since mostly no loader runs."""


def heir(owner: object) -> Inheritance | None:
    """The inheritance of the innermost loader of `owner`'s that runs now in this context, if there is one."""
    found = _running.get()
    while found is not None and found.owner is not owner:
        found = found.outer
    return found


@contextmanager
def inheriting(owner: object) -> Iterator[Inheritance]:
    """Collect what is read inside, for `owner`."""
    token = _running.set(inheritance := Inheritance(owner, _running.get()))
    try:
        yield inheritance
    finally:
        _running.reset(token)


Seen: TypeAlias = "tuple[Observed, bytes]"
"""What stood under a stamp's name, and the identity of the server that said so."""

_Memory: TypeAlias = "dict[tuple[int, bytes], dict[bytes | None, Seen | None]]"
_remembered: ContextVar[_Memory | None] = ContextVar("unstale_seen", default=None)


def remember(
    owner: int, stamps: Iterable[tuple[bytes, Observed]], identity: bytes, raw_key: bytes | None = None
) -> None:
    """Remember what stands under these stamp names, as seen by a read that missed.

    For the key that was read the last look counts: its value is computed after it. For all other keys the first one
    does, since nobody knows when their values were computed.
    """
    memory: _Memory = dict(_remembered.get() or {})  # a copy: tasks begun from one context must not share it
    for name, stamp in stamps:
        seen = dict(memory.pop((owner, name), {}))
        seen.setdefault(None, (stamp, identity))
        if raw_key is not None:
            seen.pop(raw_key, None)
            seen[raw_key] = (stamp, identity)
            if len(seen) > MAX_KEYS:
                del seen[next(key for key in seen if key is not None)]
        memory[owner, name] = seen
    while len(memory) > MAX_REMEMBERED:
        memory.pop(next(iter(memory)))
    _remembered.set(memory)


def recall(owner: int, name: bytes, raw_key: bytes | None = None) -> Seen | None:
    """What was remembered of a stamp: by the last look at this key, else by the first one at any; None if nothing."""
    seen = (_remembered.get() or {}).get((owner, name))
    return None if seen is None else seen.get(raw_key, seen[None])


def excuse(owner: int, name: bytes, raw_key: bytes) -> None:
    """Let the next set of one key take this stamp as it stands: its last one was refused for what was remembered.

    Other keys' values may be as old as the refused one: what is remembered for them stays.
    """
    memory = _remembered.get() or {}
    seen = memory.get((owner, name))
    if seen is not None:
        _remembered.set({**memory, (owner, name): {**seen, raw_key: None}})


def forget(owner: int, names: Iterable[bytes]) -> None:
    """Forget stamps."""
    memory = _remembered.get()
    if memory:
        gone = {(owner, name) for name in names}
        _remembered.set({key: seen for key, seen in memory.items() if key not in gone})


@contextmanager
def remembering() -> Iterator[None]:
    """Begin with an empty memory, and drop it at the end: what a request or a job is wrapped in."""
    token = _remembered.set({})
    try:
        yield
    finally:
        _remembered.reset(token)
