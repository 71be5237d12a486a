"""An examination from its beginning to its end: one server after its plan, all servers at the same time.

Whatever happens to a server ends its part, with what there is of it; the others go on. So does Ctrl-C: what there is is
reported. So does an error of the doctor's own, which is said.

Whatever a server does, its part ends in time: it is hung up on.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
import redis

from unstale.tools.doctor.costs import QUIET_TRIP_US, costs_of, engine_of, keys_walked
from unstale.tools.doctor.errors import DoctorError, SpentError
from unstale.tools.doctor.facts import Asker, facts_of
from unstale.tools.doctor.findings import findings
from unstale.tools.doctor.gate import ANSWER_SECONDS, CONNECT_SECONDS, Gate
from unstale.tools.doctor.monitoring import listen, monitored
from unstale.tools.doctor.pace import PACED, Pace
from unstale.tools.doctor.results import STOPPED, Facts, Monitored, Node, Report
from unstale.tools.doctor.sampling import Sampler, keyspace_of
from unstale.tools.doctor.watching import OWN_TRIPS, Watched, watch
from unstale.tools.places import (
    Manner,
    NobodyTellsError,
    Origin,
    Place,
    connect,
    hung_up_at,
    target_of,
    tls_hint,
    what_is_wrong,
)
from unstale.tools.wording import printable

MOST_AT_ONCE: Final = 64
"""Servers that are looked at at the same time."""
_Told = TypeVar("_Told", Facts, Node)
MOST_TEXT: Final = 1000
"""Characters of whatever a server says."""
WATCHED: Final = 0.5
"""Of the seconds that a server is looked at, the part in which nothing is asked, and its engine watched."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How a server is looked at."""

    seconds: float = 10.0
    """For all of it, without MONITOR and without what a late answer adds."""
    monitor_seconds: float = 0.0
    """Of MONITOR; 0: none."""
    share: float = 0.005
    """Of the engine's time, what looking at the keyspace may take: half of what all of it may."""
    most_commands: int = 50_000
    """Sent to a server."""


STEPS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("connects", ("AUTH", "CLIENT SETINFO", "HELLO", "SELECT", "PING", "CLIENT NO-TOUCH")),
    (
        "who else there is",
        ("CLUSTER NODES", "CLUSTER SLOTS", "READONLY", "SENTINEL GET-MASTER-ADDR-BY-NAME", "SENTINEL REPLICAS"),
    ),
    (
        "what it says about itself",
        ("INFO", "CONFIG GET", "ACL WHOAMI", "ACL DRYRUN", "CLIENT LIST", "SLOWLOG GET", "LATENCY LATEST"),
    ),
    ("what its engine does, in two looks", ("INFO",)),
    (
        "some keys, and the heads of unstale's entries",
        ("SCAN", "RANDOMKEY", "DBSIZE", "PTTL", "MEMORY USAGE", "GETRANGE"),
    ),
)
"""What is run, in this order: for whom to tell beforehand."""
MONITOR_STEP: Final = ("every command, for a while", ("MONITOR",))


def examine(
    url: str, plan: Plan, *, stop: threading.Event | None = None, sentinel_password: str | None = None
) -> Report:
    """Look at all servers behind a URL.

    Args:
        url: as a cache takes it; see `Origin`.
        plan: how long, and what.
        stop: set from outside, it ends the examination with what there is.
        sentinel_password: of the sentinels, where they have one.

    Raises:
        ConfigurationError: the URL makes no sense.
        DoctorError: nothing can be looked at, since no server behind the URL answers.
    """
    over = threading.Event() if stop is None else stop
    begun, begun_at = time.monotonic(), datetime.now(UTC)
    found = _places(url, plan, sentinel_password)
    nodes = [
        Node(name=place.name, is_local=place.is_local, has_tls=place.has_tls, in_cluster=place.in_cluster)
        for place in found
    ]
    with ThreadPoolExecutor(min(MOST_AT_ONCE, len(nodes)), "doctor") as pool:
        waiting: list[Future[None]] = []
        try:
            for one in zip(found, nodes, strict=True):
                waiting.append(pool.submit(_examine, *one, plan, over))  # noqa: PERF401 - all that began are waited for
            wait(waiting)
        except KeyboardInterrupt:  # all end, with what they have
            over.set()
            wait(waiting)
        for ended in waiting:
            ended.result()
    nodes = [_plain(node) for node in nodes]
    if all(node.status == "unreachable" for node in nodes):
        raise DoctorError("; ".join(dict.fromkeys(f"{node.name}: {node.why}" for node in nodes)))
    return Report(
        target=target_of(url),
        begun_at=begun_at.isoformat(timespec="seconds"),
        seconds=time.monotonic() - begun,
        nodes=nodes,
        findings=findings(nodes),
    )


def _plain(told: _Told) -> _Told:
    """The same, all of whose texts a terminal can show.

    Raises:
        msgspec.ValidationError: a figure is none.
    """
    return msgspec.convert(_printable(msgspec.to_builtins(told)), type(told))


def _printable(told: Any) -> Any:
    """What came from servers, so that a terminal can show it: none of it is the doctor's to trust."""
    match told:
        case str():
            return printable(told[:MOST_TEXT])
        case list() | tuple():
            return list(map(_printable, told))
        case dict():
            return {_printable(name): _printable(value) for name, value in told.items()}
    return told


def _places(url: str, plan: Plan, sentinel_password: str | None) -> list[Place]:
    """The servers behind a URL, asked for through a gate, too."""
    manner = Gate(plan.most_commands).manner(CONNECT_SECONDS)
    try:
        return Origin(url, manner, sentinel_password).places()
    except NobodyTellsError as error:
        raise DoctorError(str(error)) from error


def _examine(place: Place, node: Node, plan: Plan, stop: threading.Event) -> None:
    """Look at one server, and write down in the node what is found."""
    gate = Gate(plan.most_commands, monitor=plan.monitor_seconds > 0)
    manner = gate.manner(min(ANSWER_SECONDS, max(1.0, plan.seconds)))
    begun = time.monotonic()
    until = begun + plan.seconds + plan.monitor_seconds + ANSWER_SECONDS
    with connect(place.whole(), manner) as client, hung_up_at(client, until, stop) as late:
        asker = Asker(client)
        pace = Pace(asker, plan.share, stop)
        try:
            if not stop.is_set():
                asker.greet()
                _look(_Means(asker, place, manner, pace, stop, begun, until), node, plan)
                node.own_percent = _own_percent(asker, gate, pace, time.monotonic() - begun)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other servers' part is reported
            is_late = late.is_set() or (time.monotonic() >= until and isinstance(error, redis.RedisError))
            _end(node, error, has_answered=asker.has_answered, late=is_late)
            if node.status == "unreachable" and not is_late:
                node.why += tls_hint(error, place)
        node.refusals = asker.refusals
    if stop.is_set() and not node.is_own_error:
        node.status, node.why = "interrupted", STOPPED
    node.commands_sent = gate.count


def _end(node: Node, error: Exception, *, has_answered: bool, late: bool) -> None:
    """Write down why a server's part has ended early."""
    node.status = "interrupted"
    if late or isinstance(error, redis.RedisError | OSError):
        is_server = has_answered and (node.facts.name or not isinstance(error, redis.exceptions.InvalidResponse))
        node.status = "interrupted" if is_server else "unreachable"
        node.why = what_is_wrong(redis.TimeoutError() if late else error)
    elif isinstance(error, SpentError):
        node.why = "As many commands were sent as may be."
    else:
        last = traceback.extract_tb(error.__traceback__)[-1]
        node.is_own_error = True
        node.why = (
            f"An error of the doctor's own: {type(error).__name__} in line {last.lineno} of {Path(last.filename).name}."
        )


class _Means(NamedTuple):
    """What one server is looked at with."""

    asker: Asker
    """Of what is the server's, whichever database."""
    place: Place
    manner: Manner
    pace: Pace
    stop: threading.Event
    begun: float
    until: float
    """When whoever still has not answered is hung up on."""


def _look(means: _Means, node: Node, plan: Plan) -> None:
    """Facts, engine, keyspace, MONITOR, each written down when it is there; then what follows."""
    node.facts = _plain(facts_of(means.asker))
    node.facts.database = means.place.database
    if node.facts.is_cluster_node:
        means.asker.ask("READONLY")  # a replica in a cluster shows its keys to none else
    watched = _watched(means, plan)
    if watched is not None:
        node.facts.databases = dict(watched.databases)
        _write_down(watched, node)
    with _in_its_database(means) as asker:
        if asker is not None:
            _look_at_keys(asker, means, node, plan, watched)
    if plan.monitor_seconds and not means.stop.is_set():
        node.monitored = _monitored(means, plan.monitor_seconds)
        if watched is not None:
            _write_down(watched, node)


@contextmanager
def _in_its_database(means: _Means) -> Iterator[Asker | None]:
    """Who asks for keys, in the URL's database, which each connection selects. None: this is refused."""
    if not means.place.database:
        yield means.asker
        return
    with connect(means.place, means.manner) as client, hung_up_at(client, means.until, means.stop):
        asker = Asker(client, means.asker.refusals)
        selected = asker.ask("SELECT", means.place.database)
        asker.greet()
        yield None if selected is None else asker


def _look_at_keys(asker: Asker, means: _Means, node: Node, plan: Plan, watched: Watched | None) -> None:
    """Sample the keyspace."""
    keys = watched.keys if watched is not None else int(asker.ask("DBSIZE") or 0)
    place = replace(means.place, in_cluster=means.place.in_cluster or node.facts.is_cluster_node)
    sampler = Sampler(asker, place, means.pace, means.begun + plan.seconds, means.stop)
    try:
        sampler.sample()
    finally:  # also when the server goes away meanwhile
        if sampler.found.seen or sampler.found.whole:
            node.keyspace = keyspace_of(sampler.found, keys)


def _write_down(watched: Watched, node: Node) -> None:
    """The engine's work and what follows from it, with what MONITOR has told so far."""
    by_pattern = 0.0 if node.monitored is None else node.monitored.part_by_pattern
    node.engine = engine_of(watched.work, own_trips=OWN_TRIPS, by_pattern=by_pattern, beside=watched.beside)
    keys = keys_walked(watched.databases, node.facts.walked_databases)
    node.costs = costs_of(node.engine, keys, node.monitored)


def _watched(means: _Means, plan: Plan) -> Watched | None:
    """The window; None where the server hides or refuses what it takes."""
    try:
        return watch(means.asker, means.place.database, WATCHED * plan.seconds, means.stop)
    except redis.ResponseError as error:
        means.asker.refuse("INFO", error)
    except DoctorError as error:
        means.asker.refuse("the engine's work", error)
    return None


def _monitored(means: _Means, seconds: float) -> Monitored | None:
    """What MONITOR tells; None where it is refused."""
    try:
        return monitored(listen(means.asker.client, seconds, means.stop))
    except redis.ResponseError as error:
        means.asker.refuse("MONITOR", error)
        return None


def _own_percent(asker: Asker, gate: Gate, pace: Pace, seconds: float) -> float | None:
    """What the doctor took of the engine, at most: each command at its mean cost here, and a trip for each."""
    told = asker.info("commandstats")
    if not told:
        return None
    spent = pace.spent
    for name, times in gate.sent.items():
        command = "|".join(name.lower().split())
        if command not in PACED:
            usec = told.get(f"cmdstat_{command}", {}).get("usec_per_call", 0.0)
            spent += times * (usec + QUIET_TRIP_US.mid) / 1e6
    return 100 * spent / seconds
