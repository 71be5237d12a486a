"""What was measured: every sample and every request, and the figures that are computed from them, here and only here.

No clock, no server, no drawing. `results.json` is a `Results`; a report can be drawn from it again at any time.

- The *window* is the measured time of a variant: `Plan.seconds`, after the warm-up.
- A request is *completed* if its answer came within the window. One that came later was late; it is in the latencies.
- Latency counts from the time at which a request was due, so a queue in front of a slow server is in it.
- *Engine CPU per action* is what the main thread used in the window, less what it used when idle, by the actions that
  were answered in it: the reads between two actions are in it, as they are in production. Where the warm-up has left a
  queue, its actions are among them, since the engine worked on them in the window; so it is with round trips.
- A *stale answer* shows a version older than one whose action was answered before the request began.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec

from unstale.errors import ConfigurationError
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
    """Every request of the window, a column each; the same place in all columns is one request."""

    due: list[float] = []
    """Seconds since the window began."""
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
    carried_kind: list[int] = []
    """The warm-up's requests that were rightly answered after the window had begun, a queue's: their place in KINDS."""
    carried_at: list[float] = []
    """When each of these was answered, in seconds since the window began."""
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

    An unanswered one counts as infinitely slow: a quantile that falls there is None.
    """

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
    """See the module; None: no action was answered."""
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


def figures(outcome: Outcome, plan: Plan) -> Figures:
    """The figures of a variant that has run, in whole or in part."""
    asked = outcome.requests
    seconds = sum(sample.seconds for sample in outcome.samples)
    window = min(plan.seconds, outcome.samples[-1].at) if outcome.samples else plan.seconds
    done = [took is not None and due + took <= window for due, took in zip(asked.due, asked.took, strict=True)]
    right = [status in {200, 201} for status in asked.status]
    completed = [is_done and is_right for is_done, is_right in zip(done, right, strict=True)]
    actions = sum(here and KINDS[kind] == "action" for here, kind in zip(completed, asked.kind, strict=True))
    hits = [
        bool(hit) for here, kind, hit in zip(completed, asked.kind, asked.hit, strict=True)
        if here and KINDS[kind] == "history"
    ]  # fmt: skip
    engine = sum(sample.engine_seconds for sample in outcome.samples)
    above_idle = max(0.0, engine - seconds * outcome.idle_percent / 100)
    trips = sum(sample.trips for sample in outcome.samples)
    count = sum(completed)
    carried = [KINDS[kind] for at, kind in zip(asked.carried_at, asked.carried_kind, strict=True) if at <= window]
    actions_worked_on, worked_on = actions + carried.count("action"), count + len(carried)
    due = [moment for moment in asked.due if moment <= window]
    return Figures(
        variant=outcome.variant,
        offered=len(due),
        completed=count,
        late=sum(took is not None and not here for took, here in zip(asked.took, done, strict=True)),
        unanswered=sum(took is None for took in asked.took),
        errors=sum(took is not None and not fine for took, fine in zip(asked.took, right, strict=True)),
        offered_rate=len(due) / window if window else 0.0,
        offered_late=_offered_late(asked.sent_late),
        sent_late_p99=_quantile(_ordered(asked.sent_late), 0.99),
        generator_us_per_request=1e6 * asked.generator_cpu_seconds / len(asked.due) if asked.due else None,
        rate=count / window if window else 0.0,
        held=count >= HELD * len(due),
        actions=actions,
        reads=len(hits),
        engine_percent=100 * engine / seconds if seconds else 0.0,
        engine_peak_percent=max((100 * one.engine_seconds / one.seconds for one in outcome.samples), default=0.0),
        host_percent=_mean(one.host_percent for one in outcome.samples),
        percent_by_class=_percent_by_class(outcome.samples, seconds),
        engine_us_per_action=1e6 * above_idle / actions_worked_on if actions_worked_on else None,
        engine_us_per_request=1e6 * above_idle / worked_on if worked_on else None,
        trips_per_request=trips / worked_on if worked_on else None,
        hit_rate=sum(hits) / len(hits) if hits else None,
        loads=len(hits) - sum(hits),
        stale=sum(behind > 0 for behind in asked.behind),
        most_behind=max(asked.behind, default=0),
        read_latency=latency(asked, {"history", "catalogue"}),
        action_latency=latency(asked, {"action"}),
        memory_bytes=max((one.memory_bytes for one in outcome.samples), default=0),
    )


def latency(asked: Requests, kinds: set[Kind]) -> Latency:
    """Quantiles of some kinds of requests."""
    chosen = _ordered(took for took, kind in zip(asked.took, asked.kind, strict=True) if KINDS[kind] in kinds)
    return Latency(p50=_quantile(chosen, 0.50), p95=_quantile(chosen, 0.95), p99=_quantile(chosen, 0.99))


def write(results: Results, path: Path) -> None:
    """Write it whole or not at all, a line for each variant so that two runs can be compared by eye."""
    text = json.dumps(msgspec.to_builtins(results), separators=(",", ":"), allow_nan=False)
    text = text.replace('{"variant":', '\n{"variant":')
    beside = path.with_suffix(f".{os.getpid()}.tmp")
    beside.write_text(text + "\n", encoding="utf-8")
    beside.replace(path)


def read(path: Path) -> Results:
    """A run that was written before.

    Raises:
        ConfigurationError: there is none, or it cannot be read.
    """
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Results)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error
    except msgspec.DecodeError as error:
        raise ConfigurationError(f"{path} is no result of the lab: {error}") from error
    if found.format != FORMAT:
        raise ConfigurationError(f"{path} has format {found.format}; this release reads format {FORMAT}.")
    return found


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
