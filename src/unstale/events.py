"""What happened in a cache, as frozen values, handed to one hook.

`Cache.from_url(..., on_event=hook)` calls `hook(event)` in the thread in which it happened; without a hook nothing is
built. Events carry keys and tags, never values. An exception in the hook is the hook's own and passes through: a read
or an invalidation raises it then, though it was done.

How long the server took (`Trip`) is told only to a hook with the attribute `asks_trips = True`: otherwise nobody looks
at a clock for it. `together` makes one hook of several.

What a caller does not see (`Trouble`) is told to the log where there is no hook, or only one that measures: it has the
attribute `only_measures = True`, as those of `unstale.contrib.prometheus` and `.opentelemetry` have.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging


class Why(Enum):
    """Why a read was a miss, or why a value was not stored."""

    ABSENT = "there is no entry"
    UNREADABLE = "its bytes are not an entry of ours, cut short, or of another format"
    OTHER_KEY = "the entry belongs to another key"
    TAGS = "the entry does not record every tag that was asked for"
    EXPIRED = "its ttl is over"
    IDENTITY = "the entry was filled under another server, or another life of this one"
    UNDECODABLE = "the codec could not read the payload"
    STALE = "a tag was invalidated while the value was loaded"
    CLOSED = "a tag is closed: a write is under way"
    LEASE = "the key was deleted or set, or the lease ran out, while the value was loaded"
    NO_LEASE = "another loader held the lease for longer than this one would wait"
    TOO_MANY_TAGS = "the values it was computed from bring more tags than an entry may carry"
    EVICTED = "the server evicted the staged value before it was stored"
    NESTED = "its own loader asked for it"
    UNSEEN = "its tags were not looked at before it was computed"
    UNAVAILABLE = "a cached value it was computed from could not be looked up, or not be stored"


class Agreement(Enum):
    """How a read that was verified ended: see `unstale.core.verifying`."""

    SAME = "its loader gave the value that was served"
    SETTLED = "its loader gave another value, which was served no longer soon after"
    LOST = "its loader gave another value, and the old one was served up to the limit"
    UNSETTLED = "its loader gave another value, and nobody knows what became of it"
    UNREPEATABLE = "its loader gives another value each time"
    FAILED = "its loader raised"
    SKIPPED = "its loader was not called: the budget was spent, or a transaction was open"


@dataclass(frozen=True, slots=True)
class Hit:
    """A fresh entry was served."""

    key: str


@dataclass(frozen=True, slots=True)
class Miss:
    """There was nothing fresh to serve, for a reason other than an invalidated tag (that is `Stale`)."""

    key: str
    why: Why


@dataclass(frozen=True, slots=True)
class Stale:
    """An entry was there, but a tag of it has been invalidated (or its stamp lost); also a miss.

    Attributes:
        key: the key.
        tag: the tag; the first, where there are several.
        is_gone: whether it has no open stamp now: evicted, flushed, expired; or a strict write is under way, or was.
            If False, it was invalidated.
    """

    key: str
    tag: str
    is_gone: bool = False


@dataclass(frozen=True, slots=True)
class StaleHit:
    """A value was served that is being loaded anew, or could not be.

    Attributes:
        key: the key.
        tag: the tag that was softly invalidated; None where only its ttl is over.
    """

    key: str
    tag: str | None


@dataclass(frozen=True, slots=True)
class Stored:
    """A value was stored.

    Attributes:
        size: bytes of the whole entry.
        load_seconds: what the loader took; 0.0 for a value that was set.
        ttl: seconds it stays fresh; None for no limit.
    """

    key: str
    tags: tuple[str, ...]
    size: int
    load_seconds: float
    ttl: float | None


@dataclass(frozen=True, slots=True)
class Refused:
    """A value was returned to its caller but not stored."""

    key: str
    why: Why


@dataclass(frozen=True, slots=True)
class Invalidated:
    """Tags were invalidated; also what `invalidate` returns.

    Attributes:
        tags: the tags, as they were named; for `clear()` the cache's roots, on a cluster `*` for all of them.
        bumped: how many of them had a stamp to change; the others were not cached, or closed, thus stale already.
    """

    tags: tuple[str, ...]
    bumped: int


@dataclass(frozen=True, slots=True)
class Queued:
    """An invalidation that has not taken effect: the server was away. It is kept, and done when the server is back.

    Also what `invalidate` returns then. Until it is done, this process serves nothing from the server.

    Attributes:
        tags: the tags, as for `Invalidated`.
        error: what the store raised; None where it is not known.
    """

    tags: tuple[str, ...]
    error: Exception | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Drained:
    """What was queued has taken effect, or a part of it: after a long outage each read, or invalidation, does some.

    Attributes:
        count: invalidations, this process's own and others'.
        damaged: lines of the queue that could not be read; for their sake all of this cache was invalidated.
    """

    count: int
    damaged: int = 0


@dataclass(frozen=True, slots=True)
class Failed:
    """The store failed, and the cache went on without it (a read called its loader, a value was not stored).

    Or it has told the caller: Django's backend raises where IGNORE_EXCEPTIONS is off.

    Attributes:
        operation: the verb, such as "get".
        key: the key it was for; empty where there were several.
        error: what the store raised. Its text holds no value and no password.
        is_raised: whether the caller gets it as an exception, too.
    """

    operation: str
    key: str
    error: Exception
    is_raised: bool = False


@dataclass(frozen=True, slots=True)
class LoadFailed:
    """A loader failed (or the runner did not take it), and a value was served that is soft-stale or was due early.

    Attributes:
        key: the key.
        error: what it raised. Its text is the loader's own and may show a value, so no repr shows it, and a log should
            name its type only.
    """

    key: str
    error: Exception = field(repr=False)


@dataclass(frozen=True, slots=True)
class BreakerOpened:
    """Reads go on without the server from now on, and one of them probes at times whether it is back.

    Attributes:
        failures: trips that failed one after the other.
        error: what the last one raised. Its text holds no value and no password.
        server: its address; on a cluster the node's.
    """

    failures: int
    error: Exception
    server: str = ""


@dataclass(frozen=True, slots=True)
class BreakerClosed:
    """The server has answered a probe: all reads ask it again. Or, of a cluster, another node has its place.

    Attributes:
        seconds: for how long they did not.
        server: its address; on a cluster the node's.
    """

    seconds: float
    server: str = ""


@dataclass(frozen=True, slots=True)
class Trip:
    """A store has asked the server, mostly in one round trip. Only for hooks that ask for it: see `asks_trips`.

    Attributes:
        operation: the store's verb (`core.ports.Store`): "read" is a hit's one MGET, "open" and "commit" stand before
            and after a load, "bump" invalidates.
        seconds: from the question to the answer that was understood, by the monotonic clock; the wait for a connection
            and a second attempt included, on an event loop also the wait for its turn.
        failed: whether an error came of it.
    """

    operation: str
    seconds: float
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Verified:
    """A hit whose loader was called as well has come to an end (`verify=`).

    Attributes:
        key: the key.
        tags: those that its reader declared, or that its entry records, ancestors included.
        agreement: how it ended.
        at_least: for SETTLED and LOST: after so many seconds the old value was still served.
        at_most: for SETTLED: after so many seconds it was not, or its loader gave it again.
    """

    key: str
    tags: tuple[str, ...]
    agreement: Agreement
    at_least: float | None = None
    at_most: float | None = None


@dataclass(frozen=True, slots=True)
class Lost:
    """A value is served that its loader no longer gives, up to the limit: somebody wrote, and did not invalidate.

    Attributes:
        key: the key.
        tags: those that its entry records; one of them should have been invalidated.
        seconds: for how long it has differed at the least.
        stood: whether it was the same entry all the time. Otherwise the old value was stored anew: its loader reads
            what lags, or depends on what the key does not name.
    """

    key: str
    tags: tuple[str, ...]
    seconds: float
    stood: bool


Trouble = Failed | LoadFailed | Queued | Drained | BreakerOpened | BreakerClosed | Lost
"""What is told to the log where there is no hook, or only one that measures."""
Event = Hit | Miss | Stale | StaleHit | Stored | Refused | Invalidated | Trip | Verified | Trouble
Hook = Callable[[Event], None]


def asks_trips(hook: Hook | None) -> bool:
    """Whether a hook wants to be told of every `Trip`: it has an attribute `asks_trips` that is True."""
    return getattr(hook, "asks_trips", False) is True


def only_measures(hook: Hook) -> bool:
    """Whether a hook puts nothing into words: it has an attribute `only_measures` that is True."""
    return getattr(hook, "only_measures", False) is True


class _Together:
    """Several hooks as one."""

    __slots__ = ("_askers", "_hooks", "asks_trips", "only_measures")

    def __init__(self, hooks: tuple[Hook, ...]) -> None:
        self._hooks = hooks
        self._askers = tuple(filter(asks_trips, hooks))
        self.asks_trips = bool(self._askers)
        self.only_measures = all(map(only_measures, hooks))

    def __call__(self, event: Event) -> None:
        for hook in self._askers if type(event) is Trip else self._hooks:
            hook(event)


def together(*hooks: Hook) -> Hook:
    """One hook that tells several, in their order: to log and to measure, say.

    What one of them raises passes through, and those after it are not told. A `Trip` is told to those who ask for it.
    """
    return _Together(hooks)


def logging_hook(logger: logging.Logger | None = None) -> Hook:
    """A hook that logs every event, by its level.

    Failures, an opened breaker, what is queued and what is lost are WARNING; invalidations, refusals, a closed breaker
    and a drained queue INFO; the rest DEBUG.

    Args:
        logger: where to; by default the logger "unstale".

    Returns:
        A hook for `on_event`. It writes keys and tags, never values.
    """
    import logging  # noqa: PLC0415 - only who logs pays for it

    target = logger or logging.getLogger("unstale")
    levels: dict[type, int] = {Failed: logging.WARNING, LoadFailed: logging.WARNING, BreakerOpened: logging.WARNING}
    levels |= {Queued: logging.WARNING, Lost: logging.WARNING, Drained: logging.INFO}
    levels |= {Invalidated: logging.INFO, Refused: logging.INFO, BreakerClosed: logging.INFO}

    def log(event: Event) -> None:
        shown = f"LoadFailed(key={event.key!r}, {type(event.error).__name__})" if type(event) is LoadFailed else event
        target.log(levels.get(type(event), logging.DEBUG), "%s", shown)

    return log
