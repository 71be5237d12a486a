"""What the engine's time went into, and what invalidation would cost with stamps. Pure: it is given two looks.

The model. An engine's time has three parts: inside commands, which a server tells by command; its idling; and the rest,
which is the round trips' (reading, answering, being woken up). Each SCAN and each KEYS is a trip of its own; the other
trips are shared out among the other commands by their number.

With stamps, the walks and what they delete are gone, and for each walk there is one SET of a stamp, in a trip. What
fills the cache takes a trip and a script more. All else stays. A trip costs a quiet engine more than a busy one, since
it must be woken for each: so `engine_percent` takes a quiet one's where the engine will be quiet.

The constants are measured; the ranges are as wide as they differ between the measurements:

- IDLE_PERCENT, QUIET_TRIP_US, FILL_US, STAMP_US: the steps of docs/runs/lab-2026-11-26 (a Valkey 9.1 under 60
  requests/s, whose writes took 7 to 12 µs each). The least are of busier servers: there a trip takes some 28 µs, which
  is to wake the engine across cores, and a SET 1 µs.
- LOOKED_AT_US: the same run, SCAN with COUNT 10 (0.77 µs a key) and 1,000 (0.38), and `unstale lab scale`; half as
  much again where the server waits for its core, which its clock counts.

tests/doctor/test_doctor_costs.py holds the model against that run: from the steps that walk to what `unstale` took.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from unstale.tools.classes import DELETES, WALKS, WorkClass, class_of
from unstale.tools.doctor.results import (
    GROUPS,
    CommandCost,
    Costs,
    Engine,
    Group,
    GroupCost,
    Monitored,
    Range,
)
from unstale.tools.engine import ALARM_PERCENT, Work

IDLE_PERCENT: Final = Range(low=0.15, mid=0.2, high=0.25)
"""Of a core, while nobody asks anything."""
QUIET_TRIP_US: Final = Range(low=28, mid=60, high=75)
"""Of the engine, for a round trip when it has little to do."""
QUIET_PERCENT: Final = 10.0
"""Engine CPU up to which it has little to do."""
FILL_US: Final = Range(low=0, mid=45, high=60)
"""Of the engine, for the script of a fill."""
FILL_TRIPS: Final = Range(low=0, mid=1, high=2)
"""More than a fill takes without unstale."""
STAMP_US: Final = Range(low=1, mid=7, high=12)
"""Inside the SET of a stamp."""
LOOKED_AT_US: Final = Range(low=0.25, mid=0.5, high=1.2)
"""Inside a SCAN with a pattern, for each key that it looks at."""
_GROUP_OF: Final[dict[WorkClass, Group]] = {
    "reads": "reads",
    "writes": "writes",
    "deletes": "invalidation by key",
    "patterns": "invalidation by pattern",
    "scans": "reads",
    "scripts": "scripts",
    "other": "other",
}
"""SSCAN and the like read one key."""
_STORES: Final = frozenset({"set", "setex", "psetex", "setnx", "mset"})
"""What fills a cache."""
_MOST_TIMES: Final = 1000.0
"""More traffic than so many times that of now nobody plans for."""


@dataclass(frozen=True, slots=True)
class Beside:
    """What a server counts beside its engine's work, in the same window."""

    hit_rate: float | None = None
    """0 to 1; None: nothing was read."""
    evicted_per_second: float = 0.0
    connections_per_second: float = 0.0
    percentiles: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Of each command since the server began, in µs: p50 and p99."""


def group_of(command: str) -> Group:
    """Where a command belongs. DEL and UNLINK may belong to a pattern, too; here they do not."""
    return _GROUP_OF[class_of(command)]


def engine_of(work: Work, *, own_trips: int = 0, by_pattern: float = 0.0, beside: Beside) -> Engine:
    """What the main thread did, by command and by group.

    Args:
        work: between two looks.
        own_trips: of `work.trips`, those of the looks themselves.
        by_pattern: the part of the deleted names that walks had found, 0 to 1, where that is known.
        beside: what else was counted.
    """
    seconds = work.seconds or math.inf
    inside = work.seconds_by_command()
    trips = max(0, work.trips - own_trips)
    outside = max(0.0, work.engine_seconds - sum(inside.values()) - IDLE_PERCENT.mid / 100 * work.seconds)
    per_trip = outside / trips if trips else 0.0
    calls = {name: command.calls for name, command in work.commands.items() if name in inside}
    walking = min(trips, sum(count for name, count in calls.items() if name in WALKS))
    rest = (trips - walking) / (sum(calls.values()) - walking) if sum(calls.values()) > walking else 0.0
    found = {name: [0.0, 0.0, 0.0] for name in GROUPS}
    for name, spent in inside.items():
        took = (calls[name], spent, calls[name] * per_trip * (1 if name in WALKS else min(1.0, rest)))
        for group, part in _parts(name, by_pattern):
            for place, value in enumerate(took):
                found[group][place] += value * part
    percent = 100 * work.engine_seconds / seconds
    return Engine(
        seconds=work.seconds,
        percent=percent,
        process_percent=100 * work.process_seconds / seconds,
        headroom=ALARM_PERCENT - percent,
        trips_per_second=trips / seconds,
        us_per_trip=1e6 * per_trip,
        commands=sorted(_commands(work, inside, by_pattern, beside), key=lambda one: -one.percent),
        groups=[
            GroupCost(
                name=name,
                calls_per_second=found[name][0] / seconds,
                inside_percent=100 * found[name][1] / seconds,
                trips_percent=100 * found[name][2] / seconds,
            )
            for name in GROUPS
        ],
        hit_rate=beside.hit_rate,
        evicted_per_second=beside.evicted_per_second,
        connections_per_second=beside.connections_per_second,
    )


def _parts(command: str, by_pattern: float) -> list[tuple[Group, float]]:
    """The groups that a command belongs to, and with what part of it."""
    if command in DELETES:
        return [("invalidation by pattern", by_pattern), ("invalidation by key", 1 - by_pattern)]
    return [(group_of(command), 1.0)]


def _commands(work: Work, inside: dict[str, float], by_pattern: float, beside: Beside) -> Iterable[CommandCost]:
    for name, spent in inside.items():
        count = work.commands[name].calls
        p50, p99 = beside.percentiles.get(name, (None, None))
        group: Group = max(_parts(name, by_pattern), key=lambda one: one[1])[0]
        yield CommandCost(
            name=name,
            group=group,
            calls_per_second=count / work.seconds,
            us_per_call=1e6 * work.commands[name].seconds / count,
            percent=100 * spent / work.seconds,
            p50_us=p50,
            p99_us=p99,
        )


def keys_walked(databases: Mapping[int, int], walked: Iterable[int]) -> int:
    """How many keys a walk passes: those of the database that is walked; where that is not known, of the fullest.

    Engine figures are of the whole server, whichever database the URL names. Of several that are walked the fullest
    counts: rather too few walks than too many.
    """
    known = [databases[one] for one in walked if one in databases]
    return max(known or databases.values(), default=0)


def costs_of(engine: Engine, keys: int, monitored: Monitored | None) -> Costs | None:
    """What invalidation by pattern costs, and would cost with stamps. None: there is none.

    Args:
        engine: with what it did.
        keys: how many a walk passes.
        monitored: what MONITOR told, if it was asked.
    """
    pattern = engine.group("invalidation by pattern")
    key = engine.group("invalidation by key")
    walking = sum(one.calls_per_second for one in engine.commands if one.name in WALKS)
    if not walking:
        return None
    walks, counted = _walks(engine, keys, monitored)
    now = pattern.percent + key.percent
    trip = _trip(engine, walks.mid)
    stamp = _each(lambda inside, around: inside + around, STAMP_US, trip)
    stamps = _each(lambda each, count: each * count / 1e4, stamp, walks)
    then = _then(engine, walking, trip, stamps)
    times = _inverse(then, ALARM_PERCENT)
    return Costs(
        engine_now_percent=engine.percent,
        now_percent=now,
        by_pattern=pattern.percent / now if now else 0.0,
        walks_per_second=walks,
        us_per_walk=_inverse(walks, pattern.percent * 1e4),
        us_per_stamp=stamp,
        stamps_percent=stamps,
        engine_percent=then,
        times_the_traffic=_each(min, times, _same(_MOST_TIMES)),
        core_needed=_each(lambda one, alarm: min(1.0, one / alarm), then, _same(ALARM_PERCENT)),
        counted=counted,
    )


def _walks(engine: Engine, keys: int, monitored: Monitored | None) -> tuple[Range, bool]:
    """How often a second the keyspace is walked, and whether that was counted."""
    by_name = {one.name: one for one in engine.commands}
    keys_calls = by_name["keys"].calls_per_second if "keys" in by_name else 0.0
    scan = by_name.get("scan")
    if scan is None:
        return _same(keys_calls), True
    begun = sum(one.walks for one in monitored.patterns if one.command == "SCAN") if monitored is not None else 0
    if monitored is not None and begun:
        spread = 2 * math.sqrt(begun)  # of a Poisson count
        counts = (max(begun - spread, begun / 4), begun, begun + spread)
        low, mid, high = (keys_calls + count / monitored.seconds for count in counts)
        return Range(low=low, mid=mid, high=high), True
    passed = _inverse(LOOKED_AT_US, scan.us_per_call)  # keys that one SCAN looked at
    low, mid, high = (
        keys_calls + scan.calls_per_second * min(1.0, max(1.0, one) / max(keys, 1))  # a walk takes a SCAN at the least
        for one in _three(passed)
    )
    return Range(low=low, mid=mid, high=high), False


def _trip(engine: Engine, walks: float) -> Range:
    """What a trip will cost the engine when there are no walks."""
    now = engine.us_per_trip or QUIET_TRIP_US.mid
    left = engine.percent - engine.group("invalidation by pattern").percent + walks * QUIET_TRIP_US.mid / 1e4
    return Range(
        low=min(now, QUIET_TRIP_US.low),
        mid=QUIET_TRIP_US.mid if left < QUIET_PERCENT else now,
        high=max(now, QUIET_TRIP_US.high),
    )


def _then(engine: Engine, walking: float, trip: Range, stamps: Range) -> Range:
    """The whole engine without walks, in percent of a core."""
    inside = sum(one.inside_percent for one in engine.groups if one.name != "invalidation by pattern")
    most = sum(one.calls_per_second for one in engine.groups if one.name != "invalidation by pattern")
    trips = min(max(0.0, engine.trips_per_second - walking), most)
    fills = sum(one.calls_per_second for one in engine.commands if one.name in _STORES)
    low, mid, high = (
        idle + inside + (trips + fills * more) * each / 1e4 + fills * script / 1e4 + stamp
        for idle, more, each, script, stamp in zip(
            *(_three(one) for one in (IDLE_PERCENT, FILL_TRIPS, trip, FILL_US, stamps)), strict=True
        )
    )
    return Range(low=low, mid=mid, high=high)


def _three(one: Range) -> tuple[float, float, float]:
    return one.low, one.mid, one.high


def _same(value: float) -> Range:
    return Range(low=value, mid=value, high=value)


def _each(of: Callable[[float, float], float], first: Range, second: Range) -> Range:
    """Two ranges, put together place by place."""
    low, mid, high = map(of, _three(first), _three(second))
    return Range(low=low, mid=mid, high=high)


def _inverse(one: Range, above: float) -> Range:
    """A figure divided by a range: the largest of the one makes the least of the other."""
    low, mid, high = (above / value if value else 0.0 for value in (one.high, one.mid, one.low))
    return Range(low=low, mid=mid, high=high)
