"""What is measured of a cache, as a table: each instrument's name, kind, unit and labels, and which events feed it.

Pure: no metrics library, no clock, no I/O. `prometheus` and `opentelemetry` each translate this table, so that both say
the same. Names and units are OpenTelemetry's; Prometheus's follow from them by the rules of its OTLP translation
(dots to underscores, the unit, `_total` for a counter), so a dashboard fits both.

No label is a key, or any text of an error. A label is a whole tag only where that is one plain word: see `kind_of`.
What comes from the project (the kinds of its tags, the classes of its errors) is bounded: the first so many values of a
process are told apart, all later ones are "other".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from threading import Lock
from typing import Any, Final, NamedTuple

from unstale.core.keys import is_root
from unstale.errors import ConfigurationError
from unstale.events import (
    BreakerClosed,
    BreakerOpened,
    Drained,
    Event,
    Failed,
    Hit,
    Invalidated,
    LoadFailed,
    Lost,
    Miss,
    Queued,
    Refused,
    Stale,
    StaleHit,
    Stored,
    Trip,
    Verified,
)

MAX_KINDS: Final = 20
"""Kinds of tags that are told apart, where a hook is not told otherwise."""
MAX_KIND: Final = 40
"""Characters of a kind."""
MAX_ERRORS: Final = 20
"""Classes of errors that are told apart, of stores and of loaders each."""
MAX_SERVERS: Final = 100
"""Servers that are told apart: the nodes of a cluster, also those that have left it."""
OTHER: Final = "other"
EVERYTHING: Final = "*"
"""The kind of what `clear()` invalidates. No tag begins with it."""
_UNITS: Final = {"s": "seconds", "By": "bytes"}

TRIP_BUCKETS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
"""Seconds: from a local socket to the time limits (0.04 s for a read, 0.3 s for the rest, 1 s for an invalidation)."""
LOAD_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds: from one query to what should not be computed while somebody waits."""


class Kind(Enum):
    """How an instrument's figures add up."""

    COUNTER = "counter"
    HISTOGRAM = "histogram"
    GAUGE = "gauge"


@dataclass(frozen=True, slots=True, eq=False)
class Instrument:
    """One thing that is measured. There is one object of each: they are compared by identity, which is quick.

    Attributes:
        name: OpenTelemetry's.
        kind: how its figures add up.
        unit: by UCUM: "s", "By", or what is counted in braces.
        labels: beside the first one, `cache` (`SAMPLED` ones have these alone).
        help: one sentence.
        buckets: a histogram's upper bounds.
    """

    name: str
    kind: Kind
    unit: str
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()

    @property
    def prometheus_name(self) -> str:
        """Prometheus's name: in an answer to a query, a counter's has `_total`, a histogram's `_bucket` and so on."""
        parts = [self.name.replace(".", "_")]
        parts += [_UNITS[self.unit]] if self.unit in _UNITS else []
        parts += ["total"] if self.kind is Kind.COUNTER else []
        return "_".join(parts)


def _counter(name: str, unit: str, says: str, *labels: str) -> Instrument:
    return Instrument(name, Kind.COUNTER, unit, labels, says)


HITS: Final = _counter("unstale.hits", "{read}", "Reads that were served a fresh value.")
STALE_HITS: Final = _counter(
    "unstale.stale_hits", "{read}", "Reads that were served a value past its time, while it was loaded anew.", "cause"
)
MISSES: Final = _counter("unstale.misses", "{read}", "Reads that found nothing fresh, by the reason.", "why")
STALE: Final = _counter(
    "unstale.stale",
    "{read}",
    "Reads that found a stale entry, by the kind of the tag, and whether its stamp was changed or is gone.",
    *("kind", "stamp"),
)
FILLS: Final = _counter("unstale.fills", "{value}", "Values that were stored: loaded, or set.", "by")
FILL_SIZE: Final = _counter("unstale.fill.size", "By", "Bytes of the entries that were stored.")
LOAD_TIME: Final = Instrument(
    "unstale.load.duration", Kind.HISTOGRAM, "s", (), "What the loaders of stored values took.", LOAD_BUCKETS
)
REFUSED: Final = _counter(
    "unstale.refused", "{value}", "Values that were returned but not stored, by the reason.", "why"
)
INVALIDATIONS: Final = _counter("unstale.invalidations", "{tag}", "Tags that were invalidated, by their kind.", "kind")
BUMPS: Final = _counter("unstale.bumps", "{stamp}", "Stamps that invalidations changed: of tags that were cached.")
QUEUED: Final = _counter("unstale.queued", "{tag}", "Tags whose invalidation was queued: the server was away.", "kind")
DRAINED: Final = _counter("unstale.drained", "{invalidation}", "Queued invalidations that have taken effect since.")
DAMAGED: Final = _counter("unstale.queue.damaged", "{line}", "Lines of the queue's file that could not be read.")
FAILURES: Final = _counter(
    "unstale.failures", "{failure}", "Failures of the store, by the verb and the error's class.", "operation", "error"
)
LOAD_FAILURES: Final = _counter(
    "unstale.load.failures", "{failure}", "Loaders that failed while an older value could be served.", "error"
)
BREAKER_OPENINGS: Final = _counter(
    "unstale.breaker.openings", "{opening}", "How often reads stopped asking a server.", "server"
)
BREAKER_TIME: Final = _counter(
    "unstale.breaker.duration", "s", "Seconds that reads went on without a server, counted when it is back.", "server"
)
BREAKERS_OPEN: Final = Instrument(
    "unstale.breakers.open", Kind.GAUGE, "{breaker}", ("server",), "Breakers that are open, of all live processes."
)
TRIP_TIME: Final = Instrument(
    *("unstale.trip.duration", Kind.HISTOGRAM, "s", ("operation",)),
    *("What the server took, as the process saw it, by the store's verb.", TRIP_BUCKETS),
)
VERIFIED: Final = _counter(
    "unstale.verified", "{read}", "Hits that were verified by their loader, by how it ended.", "agreement"
)
LOST: Final = _counter(
    "unstale.lost", "{value}", "Values served that nobody invalidated after a write, by the kind of a tag.", "kind"
)
OF_EVENTS: Final = (
    *(HITS, STALE_HITS, MISSES, STALE, FILLS, FILL_SIZE, LOAD_TIME, REFUSED, INVALIDATIONS, BUMPS, QUEUED, DRAINED),
    *(DAMAGED, FAILURES, LOAD_FAILURES, BREAKER_OPENINGS, BREAKER_TIME, BREAKERS_OPEN, TRIP_TIME, VERIFIED, LOST),
)
"""Those that events feed."""


def _gauge(name: str, unit: str, says: str, label: str) -> Instrument:
    return Instrument(name, Kind.GAUGE, unit, (label,), says)


OUTBOX_UP: Final = _gauge("unstale.outbox.up", "", "Whether the outbox's database answered in time.", "database")
OUTBOX_ROWS: Final = _gauge("unstale.outbox.rows", "{row}", "Invalidations that wait in the outbox.", "database")
OUTBOX_AGE: Final = _gauge("unstale.outbox.age", "s", "How long the oldest of them has waited.", "database")
QUEUE_SIZE: Final = _gauge("unstale.queue.size", "By", "Bytes in the queue's file: 0 where nothing waits.", "queue")
SAMPLED: Final = (OUTBOX_UP, OUTBOX_ROWS, OUTBOX_AGE, QUEUE_SIZE)
"""Those that are looked up when somebody asks."""


class Reading(NamedTuple):
    """A figure: to add for a counter, to note for a histogram, to set for a gauge."""

    instrument: Instrument
    labels: tuple[str, ...]
    amount: float


Sampler = Callable[[], Iterable[Reading]]
"""Looks up gauges when it is called. It is over in a bounded time, and never raises."""


_OF_SOMEBODY: Final = re.compile(r"[\d@\s]")
"""What no plain word has: it is an id, an address, somebody's name."""


def kind_of(tag: str, known: Container[str] = ()) -> str:
    """The kind of a tag: what stands before its first colon or slash. `user:42/orders` is of the kind `user`.

    A tag without either is one plain word, and its own kind; `other` if it has a digit, an @ or a space. So is what has
    an @ before its colon, or is longer than MAX_KIND.

    Args:
        tag: the tag.
        known: these are kinds, whatever they look like.
    """
    if is_root(tag):
        return EVERYTHING
    kind = re.split("[:/]", tag, maxsplit=1)[0]
    is_id = "@" in kind or len(kind) > MAX_KIND or (kind == tag and _OF_SOMEBODY.search(tag))
    return OTHER if is_id and kind not in known else kind


class Bounded:
    """Tells a bounded number of values apart.

    A process has its own, so that over all of them there may be more; a list that is given is the same for all.

    Attributes:
        given: the list.
    """

    def __init__(self, allowed: int | Iterable[str]) -> None:
        """Take the most values that are told apart, the first ones that come; or those very ones."""
        self._left = allowed if isinstance(allowed, int) else 0
        self.given = frozenset(() if isinstance(allowed, int) else allowed)
        self._known = {EVERYTHING, OTHER, *self.given}
        self._lock = Lock()

    def __call__(self, value: str) -> str:
        """The value, or "other"."""
        if value in self._known:
            return value
        with self._lock:
            if self._left > 0 and value not in self._known:
                self._left -= 1
                self._known.add(value)
        return value if value in self._known else OTHER


class Measure:
    """What the events of one cache come to, in figures.

    Attributes:
        breakers_open: how many breakers of this process are open, by server: a cache has one for each kind of code. A
            server of which one was open stays there, with 0.
    """

    def __init__(self, kinds: int | Iterable[str] = MAX_KINDS, named: Callable[[str], str] = str) -> None:
        """Begin with nothing.

        Args:
            kinds: how many kinds of tags are told apart, or which.
            named: makes of a tag, as events have it, what the project calls it. By default it is the same.

        Raises:
            ConfigurationError: `kinds` is neither.
        """
        if isinstance(kinds, str) or (isinstance(kinds, int) and kinds < 0):
            raise ConfigurationError("kinds must be a number of kinds of tags, or a list of them.")
        self._named = named
        self._kinds, self._errors, self._load_errors = Bounded(kinds), Bounded(MAX_ERRORS), Bounded(MAX_ERRORS)
        self._servers = Bounded(MAX_SERVERS)
        self._lock = Lock()
        self.breakers_open: dict[str, int] = {}

    def __call__(self, event: Event) -> Sequence[Reading]:
        """The readings of an event."""
        return _FEEDS[type(event)](self, event)

    def kind(self, tag: str) -> str:
        """The kind of a tag, among those that are told apart."""
        return self._kinds(EVERYTHING if is_root(tag) else kind_of(self._named(tag), self._kinds.given))

    def kinds_of(self, instrument: Instrument, tags: Sequence[str]) -> list[Reading]:
        """How many tags there are of each kind; a cache's roots, which `clear()` names, are one."""
        found = Counter(self.kind(tag) for tag in tags)
        if EVERYTHING in found:
            found[EVERYTHING] = 1
        return [Reading(instrument, (kind,), count) for kind, count in found.items()]

    def failed(self, event: Failed) -> list[Reading]:
        """A failure: by the verb, which is ours, and the error's class."""
        return [Reading(FAILURES, (event.operation, self._errors(type(event.error).__name__)), 1)]

    def load_failed(self, event: LoadFailed) -> list[Reading]:
        """A loader's failure: by the error's class."""
        return [Reading(LOAD_FAILURES, (self._load_errors(type(event.error).__name__),), 1)]

    def opened(self, event: BreakerOpened) -> list[Reading]:
        """A breaker has opened."""
        server = self._servers(event.server)
        return [Reading(BREAKER_OPENINGS, (server,), 1), self._open(server, 1)]

    def closed(self, event: BreakerClosed) -> list[Reading]:
        """A breaker has closed."""
        server = self._servers(event.server)
        return [Reading(BREAKER_TIME, (server,), event.seconds), self._open(server, -1)]

    def _open(self, server: str, change: int) -> Reading:
        """One more or one less is open. In a child that was forked meanwhile, there may be none to close."""
        with self._lock:
            count = max(0, self.breakers_open.get(server, 0) + change)
            self.breakers_open = {**self.breakers_open, server: count}
            return Reading(BREAKERS_OPEN, (server,), count)


_HIT: Final = (Reading(HITS, (), 1),)
_BY_TAG: Final = Reading(MISSES, ("invalidated",), 1)


def _stored(_: Measure, event: Stored) -> list[Reading]:
    readings = [
        Reading(FILLS, ("load" if event.load_seconds else "set",), 1),
        Reading(FILL_SIZE, (), event.size),
    ]
    if event.load_seconds:  # what was set has no loader
        readings.append(Reading(LOAD_TIME, (), event.load_seconds))
    return readings


def _stale(to: Measure, event: Stale) -> list[Reading]:
    return [_BY_TAG, Reading(STALE, (to.kind(event.tag), "gone" if event.is_gone else "changed"), 1)]


def _invalidated(to: Measure, event: Invalidated) -> list[Reading]:
    return [*to.kinds_of(INVALIDATIONS, event.tags), Reading(BUMPS, (), event.bumped)]


def _drained(_: Measure, event: Drained) -> list[Reading]:
    return [Reading(DRAINED, (), event.count), Reading(DAMAGED, (), event.damaged)]


_FEEDS: Final[Mapping[type, Callable[[Measure, Any], Sequence[Reading]]]] = {
    Hit: lambda _, event: _HIT,  # noqa: ARG005 - a row of the table
    Miss: lambda _, event: [Reading(MISSES, (event.why.name.lower(),), 1)],
    Stale: _stale,
    StaleHit: lambda _, event: [Reading(STALE_HITS, ("expired" if event.tag is None else "invalidated",), 1)],
    Stored: _stored,
    Refused: lambda _, event: [Reading(REFUSED, (event.why.name.lower(),), 1)],
    Invalidated: _invalidated,
    Queued: lambda to, event: to.kinds_of(QUEUED, event.tags),
    Drained: _drained,
    Failed: lambda to, event: to.failed(event),
    LoadFailed: lambda to, event: to.load_failed(event),
    BreakerOpened: lambda to, event: to.opened(event),
    BreakerClosed: lambda to, event: to.closed(event),
    Trip: lambda _, event: [Reading(TRIP_TIME, (event.operation,), event.seconds)],
    Verified: lambda _, event: [Reading(VERIFIED, (event.agreement.name.lower(),), 1)],
    Lost: lambda to, event: [Reading(LOST, (to.kind(event.tags[0]) if event.tags else OTHER,), 1)],
}
