"""What a server's engine does in a window: a look at its counters at each end, and silence between them.

The doctor sends nothing else meanwhile, so none of its own commands are in the figures but INFO's.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from unstale.tools import engine
from unstale.tools.doctor.costs import Beside
from unstale.tools.doctor.errors import DoctorError
from unstale.tools.doctor.facts import Asker
from unstale.tools.engine import Look, Work
from unstale.tools.places import NONSENSE

OWN_TRIPS: Final = 1
"""The second look's."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A window."""

    work: Work
    keys: int
    """At its end, in the database that was asked for."""
    databases: Mapping[int, int]
    """At its end, the keys of each database that has any, by its number."""
    beside: Beside


def watch(asker: Asker, database: int, seconds: float, stop: threading.Event) -> Watched:
    """Watch a server; less long if `stop` is set meanwhile.

    Raises:
        DoctorError: it hides what this needs, was restarted, or had its statistics reset.
        redis.RedisError: it refused, or is gone.
    """
    before = asker.info("stats")
    first = _look(asker, database)
    stop.wait(seconds)
    second = _look(asker, database)
    after = asker.info("stats")
    try:
        work = engine.between(first, second)
    except ValueError as error:
        raise DoctorError(str(error)) from error
    if not work.commands:
        raise DoctorError("INFO tells no command statistics: without them nobody can say what the engine works for.")
    grown = {name: after.get(name, 0) - before.get(name, 0) for name in _COUNTERS}
    reads = grown["keyspace_hits"] + grown["keyspace_misses"]
    return Watched(
        work=work,
        keys=second.keys,
        databases=second.databases,
        beside=Beside(
            hit_rate=grown["keyspace_hits"] / reads if reads else None,
            evicted_per_second=grown["evicted_keys"] / work.seconds,
            connections_per_second=grown["total_connections_received"] / work.seconds,
            percentiles=_percentiles(asker.info("latencystats")),
        ),
    )


_COUNTERS: Final = ("keyspace_hits", "keyspace_misses", "evicted_keys", "total_connections_received")


def _look(asker: Asker, database: int) -> Look:
    try:
        return engine.look(asker.client, database)
    except KeyError as error:
        raise DoctorError(f"INFO does not tell {error.args[0]}: this server hides it.") from error
    except NONSENSE as error:
        raise DoctorError("INFO tells figures in a way that is not known.") from error


def _percentiles(told: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """From INFO latencystats, which Redis has since 7.0."""
    found = {}
    for name, values in told.items():
        if isinstance(values, Mapping) and {"p50", "p99"} <= values.keys():
            found[name.removeprefix("latency_percentiles_usec_")] = (float(values["p50"]), float(values["p99"]))
    return found
