"""What was measured: every sample and every request, and the figures that are computed from them, here and only here.

No clock, no server, no drawing. `results.json` is a `Results`; a report can be drawn from it again at any time.

- The *window* is the measured time of a step, after its warm-up.
- A request is *offered* if it was due within the window. Latencies, errors and stale answers are of these.
- A request is *completed* if its answer came within the window, whenever it was due: where the server has a queue, the
  first answers are to requests of the warm-up. One that was offered and answered after the window was late.
- Latency counts from the time at which a request was due, so a queue in front of a slow server is in it.
- *Engine CPU per action* is what the main thread used in the window, less what it used when idle, by the actions that
  were completed: the reads between two actions are in it, as they are in production.
- A *stale answer* shows a version older than one whose action was answered before the request began.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec

from unstale.errors import ConfigurationError
from unstale.tools import stored
from unstale.tools.engine import CLASSES, CommandClass
from unstale.tools.lab.plan import Plan

FORMAT: Final = 1
HELD: Final = 0.98
"""A variant held the offered rate if it completed this part of it within the window."""
SENT_LATE: Final = 0.25
"""The machine could not offer the rate if 1 % of the requests were sent this many seconds late, or one not at all."""
Kind = Literal["history", "catalogue", "action"]
KINDS: Final[tuple[Kind, ...]] = ("history", "catalogue", "action")


class Requests(msgspec.Struct, kw_only=True):
    """Every request, a column for each of its traits; the same place in all columns is one request."""

    due: list[float] = []
    """Seconds since the window began; negative in the warm-up."""
    kind: list[int] = []
    """Its place in KINDS."""
    user: list[int] = []
    took: list[float | None] = []
    """Seconds from when it was due to its answer; None: there was none by the end of the grace."""
    status: list[int] = []
    """HTTP's; 0: no answer, the connection broke, or what came is not what the API promises: see `reasons`."""
    hit: list[bool | None] = []
    """Whether it was answered from the cache, as X-Cache said; None: it did not say."""
    behind: list[int] = []
    """By how many of the user's answered actions its version was behind; 0: it was not stale."""
    sent_late: list[float | None] = []
    """Seconds from when it was due to when the generator sent it: its own lateness. None: it could not send it."""
    reasons: dict[str, int] = {}
    """No column: what went wrong with requests, in words, and how often each did."""
    generator_cpu_seconds: float = 0.0
    """No column: CPU of the load process from the window's beginning to the end of the grace."""


class Sample(msgspec.Struct, kw_only=True, frozen=True):
    """One slice of the window, about a second, from the server's side and the host's."""

    at: float
    """Where it ends, in seconds since the window began."""
    seconds: float
    engine_seconds: float
    """CPU of the server's main thread."""
    process_seconds: float
    """CPU of all the server's threads."""
    host_percent: float
    """Of all cores of this machine, everything on it."""
    by_class: dict[CommandClass, float]
    """Seconds inside commands."""
    calls: dict[CommandClass, int]
    trips: int
    memory_bytes: int
    keys: int


class Outcome(msgspec.Struct, kw_only=True):
    """What one variant gave."""

    variant: str
    stands_for: str
    status: Literal["complete", "interrupted", "failed", "skipped"]
    reason: str = ""
    """Why it is not complete."""
    server: str = ""
    """Name and version."""
    begun_at: str = ""
    """ISO 8601, UTC."""
    idle_percent: float = 0.0
    """Engine CPU before there was any load, with the keyspace filled."""
    keys: int = 0
    """In the cache when the load began."""
    samples: list[Sample] = []
    requests: Requests = msgspec.field(default_factory=Requests)
    second_node: list[Sample] = []
    """Of the second server, where there is one."""


class Results(msgspec.Struct, kw_only=True):
    """A run of the lab, whole or in part."""

    format: int = FORMAT
    plan: Plan
    versions: dict[str, str] = {}
    """Of Python, the libraries and the server."""
    machine: dict[str, str] = {}
    """Cores, memory, system: what a reader needs to compare; no names."""
    outcomes: list[Outcome] = []

    def outcome(self, variant: str) -> Outcome | None:
        """Of one variant, or None."""
        return next((one for one in self.outcomes if one.variant == variant), None)


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Quantiles in seconds, of all requests that were due in the window.

    An unanswered one counts as infinitely slow: a quantile that falls there is None. So are all, if none was due.
    """

    asked: int
    """How many were due."""

    p50: float | None
    p95: float | None
    p99: float | None


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one variant."""

    variant: str
    offered: int
    completed: int
    late: int
    unanswered: int
    errors: int
    """Answers that were neither 200 nor 201."""
    offered_rate: float
    offered_late: bool
    """Whether this machine could not offer the rate, so that the figures are of a lower one: see SENT_LATE."""
    sent_late_p99: float | None
    """Seconds by which the generator itself was late; None: it was not recorded, or over 1 % were never sent."""
    generator_us_per_request: float | None
    """CPU of the load process; None: no request was offered."""
    rate: float
    """Completed, a second."""
    held: bool
    """Whether it held the offered rate: see HELD."""
    actions: int
    """Completed."""
    reads: int
    """Completed, of histories."""
    engine_percent: float
    """Mean over the window, of one core."""
    engine_peak_percent: float
    """The highest second."""
    host_percent: float
    percent_by_class: dict[CommandClass, float]
    """Of one core, inside commands; what is missing to `engine_percent` went to reading, writing and waking up."""
    engine_us_per_action: float | None
    """See the module; None: no action was completed."""
    engine_us_per_request: float | None
    trips_per_request: float | None
    hit_rate: float | None
    """Of completed reads of histories."""
    loads: int
    """Reads of histories that the cache did not answer."""
    stale: int
    """Stale answers, completed or late."""
    most_behind: int
    """By how many actions the stalest answer was behind."""
    read_latency: Latency
    action_latency: Latency
    memory_bytes: int
    """The most that the server has used."""


class _Request(NamedTuple):
    """A row of `Requests`."""

    due: float
    kind: Kind
    took: float | None
    is_right: bool
    hit: bool | None
    behind: int
    sent_late: float | None

    def is_answered_within(self, seconds: float) -> bool:
        """Whether its answer came in the window's first seconds."""
        return self.took is not None and 0 <= self.due + self.took <= seconds


def _requests(asked: Requests) -> list[_Request]:
    right = [status in {200, 201} for status in asked.status]
    kinds = [KINDS[kind] for kind in asked.kind]
    late = asked.sent_late or [0.0] * len(asked.due)
    columns = (asked.due, kinds, asked.took, right, asked.hit, asked.behind, late)
    return [_Request(*row) for row in zip(*columns, strict=True)]


def figures(outcome: Outcome, plan: Plan) -> Figures:
    """The figures of a variant that has run, in whole or in part."""
    asked = _requests(outcome.requests)
    seconds = sum(sample.seconds for sample in outcome.samples)
    window = min(plan.seconds, outcome.samples[-1].at) if outcome.samples else plan.seconds
    offered = [one for one in asked if 0 <= one.due <= window]
    in_time = [one for one in offered if one.is_answered_within(window)]
    completed = [one for one in asked if one.is_right and one.is_answered_within(window)]
    actions = sum(one.kind == "action" for one in completed)
    hits = [bool(one.hit) for one in completed if one.kind == "history"]
    engine = sum(sample.engine_seconds for sample in outcome.samples)
    above_idle_us = 1e6 * max(0.0, engine - seconds * outcome.idle_percent / 100)
    sent_late = [one.sent_late for one in offered]
    generator_us = 1e6 * outcome.requests.generator_cpu_seconds
    return Figures(
        variant=outcome.variant,
        offered=len(offered),
        completed=len(completed),
        late=sum(one.took is not None for one in offered) - len(in_time),
        unanswered=sum(one.took is None for one in offered),
        errors=sum(one.took is not None and not one.is_right for one in offered),
        offered_rate=len(offered) / window if window else 0.0,
        offered_late=_offered_late(sent_late),
        sent_late_p99=_quantile(_ordered(sent_late), 0.99),
        generator_us_per_request=_each(generator_us, len(offered)),
        rate=len(completed) / window if window else 0.0,
        held=sum(one.is_right for one in in_time) >= HELD * len(offered),
        actions=actions,
        reads=len(hits),
        engine_percent=100 * engine / seconds if seconds else 0.0,
        engine_peak_percent=max((100 * one.engine_seconds / one.seconds for one in outcome.samples), default=0.0),
        host_percent=_mean(one.host_percent for one in outcome.samples),
        percent_by_class=_percent_by_class(outcome.samples, seconds),
        engine_us_per_action=_each(above_idle_us, actions),
        engine_us_per_request=_each(above_idle_us, len(completed)),
        trips_per_request=_each(sum(sample.trips for sample in outcome.samples), len(completed)),
        hit_rate=_each(sum(hits), len(hits)),
        loads=len(hits) - sum(hits),
        stale=sum(one.behind > 0 for one in offered),
        most_behind=max((one.behind for one in offered), default=0),
        read_latency=_latency(one for one in offered if one.kind != "action"),
        action_latency=_latency(one for one in offered if one.kind == "action"),
        memory_bytes=max((one.memory_bytes for one in outcome.samples), default=0),
    )


def _latency(chosen: Iterable[_Request]) -> Latency:
    ordered = _ordered(one.took for one in chosen)
    return Latency(
        asked=len(ordered), p50=_quantile(ordered, 0.50), p95=_quantile(ordered, 0.95), p99=_quantile(ordered, 0.99)
    )


def _each(total: float, count: int) -> float | None:
    return total / count if count else None


def write(results: Results, path: Path) -> None:
    """Write it whole or not at all, a line for each variant. Raises OSError if it cannot be written."""
    stored.write(results, path, each="variant")


def read(path: Path) -> Results:
    """A run that was written before.

    Raises:
        ConfigurationError: there is none, or it cannot be read.
    """
    found = stored.read(path, Results, called="the lab", current=FORMAT)
    if not all(_is_whole(one) for one in found.outcomes):
        raise ConfigurationError(f"{path} is no result of the lab: its requests or samples are not whole.")
    return found


def _is_whole(outcome: Outcome) -> bool:
    asked = outcome.requests
    columns = (asked.kind, asked.user, asked.took, asked.status, asked.hit, asked.behind)
    return (
        all(len(column) == len(asked.due) for column in columns)
        and len(asked.sent_late) in {0, len(asked.due)}
        and all(0 <= kind < len(KINDS) for kind in asked.kind)
        and all(sample.seconds > 0 for sample in outcome.samples)
    )


def _percent_by_class(samples: Sequence[Sample], seconds: float) -> dict[CommandClass, float]:
    sums = {kind: sum(sample.by_class.get(kind, 0.0) for sample in samples) for kind in CLASSES}
    return {kind: 100 * spent / seconds if seconds else 0.0 for kind, spent in sums.items()}


def _offered_late(sent_late: Sequence[float | None]) -> bool:
    at_99 = _quantile(_ordered(sent_late), 0.99)
    return None in sent_late or (at_99 is not None and at_99 > SENT_LATE)


def _ordered(seconds: Iterable[float | None]) -> list[float]:
    return sorted(math.inf if one is None else one for one in seconds)


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found) if found else 0.0


def _quantile(ordered: Sequence[float], part: float) -> float | None:
    """The smallest value that at least this part of them does not exceed."""
    if not ordered:
        return None
    found = ordered[min(len(ordered) - 1, math.ceil(part * len(ordered)) - 1)]
    return None if math.isinf(found) else found
