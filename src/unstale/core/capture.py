"""What a computation has looked at so far: the stamps that its result must carry.

Two memories, each bound to the running context (thread or task):

- *Inheritance.* While a loader runs, every entry it reads from the same cache adds the stamps that the entry *recorded*
  (never read anew) to what the loader's own result will record. So a value computed from cached values is stale when
  any of them is. What cannot be inherited (a value whose stamps are not known) keeps the result from being stored.
- *Remembrance.* A `get` that missed remembers the stamps it saw, so that the `set` that follows stores under what stood
  there before the value was computed.

Remembrance knows two kinds of context. Inside `remembering()`, a request or a job, it is strict: a key's first look
counts to the end, and other keys of the same tags are held to the first look at any. Outside, in a thread that lives
on, that would refuse for ever what was computed long after: there a key's last look counts, for that key only, until
it is set, or, unless `Keyspace.keeps_looks`, one of its tags is invalidated in the same context.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from functools import wraps
from typing import ParamSpec, TypeAlias, TypeVar

from unstale.core.stamps import CLOSED, Observed

P = ParamSpec("P")
R = TypeVar("R")

MAX_KEYS = 1024
"""So many keys a context outside `remembering()` remembers in one dict, which each look copies; then it is laid by."""
MAX_LAID_BY = 15
"""So many of those dicts it keeps; the oldest goes first."""
MAX_STRICT_KEYS = 65536
"""Most keys inside. When there are more, what is not remembered is refused."""


class Inheritance:
    """The stamps that a loader's result takes over from what the loader read.

    The loader's threads and tasks may add to it at the same time, so every change is a single step.
    """

    __slots__ = ("broken", "identities", "loading", "outer", "owner", "stamps")

    def __init__(self, owner: object, outer: Inheritance | None, loading: frozenset[bytes] = frozenset()) -> None:
        """Begin with nothing, for the keyspace `owner`, inside the loader of `outer`, for the keys in `loading`."""
        self.owner = owner
        self.outer = outer
        self.loading = loading
        self.stamps: dict[str, bytes] = {}
        self.identities: set[bytes] = set()
        self.broken = False

    def add(self, recorded: Iterable[tuple[str, bytes]], identity: bytes | None) -> None:
        """Take over an entry's recorded stamps. Two stamps for one tag, or two identities, break it."""
        for tag, stamp in list(recorded):
            if self.stamps.setdefault(tag, stamp) != stamp:
                self.broken = True
        if identity is not None:
            self.identities.add(identity)
            if len(self.identities) > 1:
                self.broken = True

    def take_over(self, inner: Inheritance) -> None:
        """Take over what an inner loader inherits: its value goes into this one's, or its failure."""
        self.add(inner.stamps.items(), None)
        for identity in list(inner.identities):
            self.add((), identity)
        if inner.broken:
            self.broken = True


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
def inheriting(owner: object, *loading: bytes) -> Iterator[Inheritance]:
    """Collect what is read inside, for `owner`, while these keys are loaded."""
    token = _running.set(inheritance := Inheritance(owner, _running.get(), frozenset(loading)))
    try:
        yield inheritance
    finally:
        _running.reset(token)


def is_loading(owner: object, raw_key: bytes) -> bool:
    """Whether a loader for this key runs around here: to wait for it would be to wait for oneself."""
    found = _running.get()
    while found is not None:
        if found.owner is owner and raw_key in found.loading:
            return True
        found = found.outer
    return False


@contextmanager
def detached() -> Iterator[None]:
    """For what is done on nobody's behalf: no loader around it inherits, and it remembers for itself."""
    running_token, remembered_token = _running.set(None), _remembered.set(None)
    try:
        yield
    finally:
        _remembered.reset(remembered_token)
        _running.reset(running_token)


def carry(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function that runs in another thread read on behalf of the loader that hands it over.

    A thread does not know which loader started it (tasks, `asyncio.gather` and `asyncio.to_thread` do). So inside a
    loader write `pool.map(carry(load_part), parts)`: what `load_part` reads from the cache is then inherited. It must
    be done before the loader returns.

    Args:
        function: any function.

    Returns:
        The same function, which runs in the context in which `carry` was called. It may run in many threads at a time.
    """
    context = copy_context()

    @wraps(function)
    def carried(*arguments: P.args, **named: P.kwargs) -> R:
        return context.copy().run(function, *arguments, **named)

    return carried


Seen: TypeAlias = "tuple[Observed, bytes]"
"""What stood under a stamp's name, and the identity of the server that said so."""
Looks: TypeAlias = "dict[tuple[int, bytes], dict[bytes, Seen]]"
"""By keyspace and key what was seen under which names. Nothing: forget what was seen before."""


class _Memory:
    """The looks of one context. Tasks that are begun inside a request share the request's.

    Attributes:
        strict: inside `remembering()`.
        keys: the last looks.
        tags: in a request the first look at each tag.
        overflown: whether some of a request's keys are not remembered.
        laid_by: outside, older looks, the last first. Contexts share them, so nothing in them is changed.
        forgotten: how many dicts had been laid by for good when a stamp was forgotten: what they had seen of it counts
            no more.
        count: how many have been laid by so far.
    """

    __slots__ = ("count", "forgotten", "keys", "laid_by", "overflown", "strict", "tags")

    def __init__(self, *, strict: bool) -> None:
        self.strict = strict
        self.overflown = False
        self.keys: Looks = {}
        self.tags: dict[tuple[int, bytes], Seen] = {}
        self.laid_by: tuple[Looks, ...] = ()
        self.forgotten: dict[tuple[int, bytes], int] = {}
        self.count = 0

    def lay_by(self) -> None:
        """Begin a new dict."""
        self.laid_by = (self.keys, *self.laid_by[: MAX_LAID_BY - 1])
        self.keys = {}
        self.count += 1

    def older(self, owner: int, raw_key: bytes) -> dict[bytes, Seen]:
        """What was seen of a key that is not among the last ones."""
        for age, looks in enumerate(self.laid_by):
            found = looks.get((owner, raw_key))
            if found is not None:
                return self._left(owner, self.count - age, found)
        return {}

    def forget_for_good(self) -> None:
        """Take what is forgotten out of what was laid by."""
        self.laid_by = tuple(
            {key: self._left(key[0], self.count - age, looks) for key, looks in each.items()}
            for age, each in enumerate(self.laid_by)
        )
        self.forgotten = {}

    def _left(self, owner: int, number: int, looks: dict[bytes, Seen]) -> dict[bytes, Seen]:
        return {name: seen for name, seen in looks.items() if self.forgotten.get((owner, name), 0) < number}

    def of(self, owner: int, raw_key: bytes) -> dict[bytes, Seen]:
        """What was seen of a key."""
        found = self.keys.get((owner, raw_key))
        return found if found is not None else self.older(owner, raw_key) if self.laid_by else {}


_remembered: ContextVar[_Memory | None] = ContextVar("unstale_remembered", default=None)


def remember(owner: int, raw_key: bytes, stamps: Iterable[tuple[bytes, Observed]], identity: bytes) -> None:
    """Remember what a read of a key that missed saw under its stamps' names."""
    memory = _remembered.get()
    looks = {name: (stamp, identity) for name, stamp in stamps}
    if memory is None or not memory.strict:
        memory = _apart(memory)
        memory.keys.pop((owner, raw_key), None)
        memory.keys[owner, raw_key] = looks
    else:
        memory.keys[owner, raw_key] = {**looks, **memory.keys.get((owner, raw_key), {})}
        for name, seen in looks.items():
            memory.tags.setdefault((owner, name), seen)
    _bound(memory)


def shun(owner: int, raw_key: bytes, names: Iterable[bytes]) -> None:
    """Have a set of this key under these stamps refused in this context, whatever was seen before.

    In a request to its end, outside until it was refused or the key is looked at.
    """
    memory = _remembered.get()
    if memory is None or not memory.strict:
        memory = _apart(memory)
        memory.keys.pop((owner, raw_key), None)
    closed: dict[bytes, Seen] = dict.fromkeys(names, (CLOSED, b""))
    memory.keys[owner, raw_key] = {**memory.of(owner, raw_key), **closed}
    _bound(memory)


def _bound(memory: _Memory) -> None:
    if not memory.strict:
        if len(memory.keys) > MAX_KEYS:
            memory.lay_by()
    elif len(memory.keys) > MAX_STRICT_KEYS:
        memory.overflown = True
        memory.keys.pop(next(iter(memory.keys)), None)


def _apart(memory: _Memory | None) -> _Memory:
    """This context's own memory outside `remembering()`: a copy, since tasks are begun with their parent's."""
    own = _Memory(strict=False)
    if memory is not None:
        own.keys.update(memory.keys)
        own.laid_by, own.count, own.forgotten = memory.laid_by, memory.count, memory.forgotten
    _remembered.set(own)
    return own


def recall(owner: int, raw_key: bytes, name: bytes, *, alone: bool = False) -> Seen | None:
    """What a set of this key is held to for a stamp: what was remembered; None for nothing, to take what stands.

    With `alone` only looks at this very key count, not what a request saw of the tag under other keys.
    """
    memory = _remembered.get()
    if memory is None:
        return None
    seen = memory.of(owner, raw_key).get(name)
    if seen is None and memory.strict and not alone:
        seen = memory.tags.get((owner, name)) or ((CLOSED, b"") if memory.overflown else None)
    return seen


def stored(owner: int, raw_key: bytes) -> None:
    """A key was set, or refused: outside a request the next set without a look takes what stands."""
    memory = _remembered.get()
    if memory is None or memory.strict:
        return
    if memory.laid_by and memory.older(owner, raw_key):
        own = _apart(memory)
        own.keys[owner, raw_key] = {}
        _bound(own)
    elif (owner, raw_key) in memory.keys:
        del _apart(memory).keys[owner, raw_key]


def forget(owner: int, names: Iterable[bytes]) -> None:
    """Forget stamps that this context has invalidated itself. In a request nothing is: its tasks may compute still."""
    memory = _remembered.get()
    if memory is not None and not memory.strict:
        gone = set(names)
        own = _apart(memory)
        for (whose, key), looks in memory.keys.items():
            if whose == owner:
                own.keys[whose, key] = {name: seen for name, seen in looks.items() if name not in gone}
        if own.laid_by:
            own.forgotten = {**own.forgotten, **dict.fromkeys(((owner, name) for name in gone), own.count)}
            if len(own.forgotten) > MAX_KEYS:
                own.forget_for_good()


def distrust(owner: int, names: Iterable[bytes]) -> None:
    """Have nothing stored under these stamps as this context has seen them: it was computed from what never came to be.

    In a request to its end, outside until it was refused or the key is looked at, as `shun`.
    """
    memory = _remembered.get()
    if memory is None:
        return
    closed: dict[bytes, Seen] = dict.fromkeys(names, (CLOSED, b""))
    if not memory.strict:
        memory = _apart(memory)
        for each in reversed(memory.laid_by):  # rarely: a transaction has failed
            for whose, key in each:
                memory.keys.setdefault((whose, key), memory.older(whose, key))
        memory.laid_by, memory.forgotten = (), {}
    for (whose, key), looks in tuple(memory.keys.items()):
        if whose == owner and not looks.keys().isdisjoint(closed):
            memory.keys[whose, key] = {name: closed.get(name, seen) for name, seen in looks.items()}
    for name, seen in closed.items():
        if (owner, name) in memory.tags:
            memory.tags[owner, name] = seen


def lapse(owner: int) -> None:
    """Forget all looks of this context outside `remembering()`: what it computed for is over (a request has ended)."""
    memory = _remembered.get()
    if memory is not None and not memory.strict and (memory.keys or memory.laid_by):
        own = _apart(memory)
        own.keys = {key: looks for key, looks in own.keys.items() if key[0] != owner}
        own.laid_by = tuple({key: looks for key, looks in each.items() if key[0] != owner} for each in own.laid_by)


@contextmanager
def remembering() -> Iterator[None]:
    """Bound what `get` remembers for `set`: wrap a request or a job in it.

    Inside, a `set` is refused if one of its tags was invalidated since the key's first `get` in the same request that
    missed and named the tag; where none has, since the first `get` of any key that missed and named the tag. What
    was computed before the first `get` of its own key is held to that `get` all the same: it may be older.
    """
    token = _remembered.set(_Memory(strict=True))
    try:
        yield
    finally:
        _remembered.reset(token)
