"""What is told of a server, as a table: each metric, and where in INFO it stands. Pure.

A server may keep a part of INFO to itself (a managed one, an old one): then the metrics that need it are left out, and
nothing is made up in their place. No metric has a label whose values come from keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from unstale.tools.classes import CLASSES, class_of
from unstale.tools.engine import EXEC, command_of

Info: TypeAlias = Mapping[str, Any]
"""INFO's sections in one, as redis-py reads them."""
Told: TypeAlias = Iterable[tuple[tuple[str, ...], float]]
"""The values of labels, and the figure."""

SECTIONS: Final = ("server", "clients", "memory", "stats", "replication", "cpu", "keyspace", "commandstats")
"""Of INFO, all in one command."""
_MICRO: Final = 1e6


@dataclass(frozen=True, slots=True)
class Figure:
    """A metric.

    Attributes:
        name: Prometheus's, with its unit; a counter's ends with `_total`.
        kind: how it adds up.
        help: one sentence.
        labels: beside `node`.
        read: finds it in INFO.
    """

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    labels: tuple[str, ...]
    read: Callable[[Info], Told]


def _number(told: Mapping[str, Any], field: str) -> float | None:
    """A figure; None where there is none, or a proxy has put something else in its place."""
    found = told.get(field)
    return float(found) if isinstance(found, int | float) else None


def _at(field: str) -> Callable[[Info], Told]:
    """A field of INFO as it stands."""

    def read(info: Info) -> Told:
        found = _number(info, field)
        return [] if found is None else [((), found)]

    return read


def _cpu(thread: str) -> Callable[[Info], Told]:
    """The CPU seconds of the main thread ("_main_thread") or of the whole process ("")."""

    def read(info: Info) -> Told:
        user, system = (_number(info, f"used_cpu_{mode}{thread}") for mode in ("user", "sys"))
        return [] if user is None or system is None else [((), user + system)]

    return read


def _engine(info: Info) -> Told:
    """Of the main thread. macOS does not tell it apart: there it is the whole process's."""
    return list(_cpu("_main_thread")(info)) or _cpu("")(info)


def _commands(of_one: Callable[[str, Mapping[str, Any]], float]) -> Callable[[Info], Told]:
    """A figure of each command, added up by classes; every class is there, also one with none."""

    def read(info: Info) -> Told:
        found = dict.fromkeys(CLASSES, 0.0)
        told = [(name, one) for name, one in info.items() if name.startswith("cmdstat_") and isinstance(one, Mapping)]
        for name, one in told:
            command = command_of(name)
            found[class_of(command)] += of_one(command, one)
        return [((name,), figure) for name, figure in found.items()] if told else []

    return read


def _calls(_: str, one: Mapping[str, Any]) -> float:
    return _number(one, "calls") or 0.0


def _seconds(command: str, one: Mapping[str, Any]) -> float:
    return 0.0 if command == EXEC else (_number(one, "usec") or 0.0) / _MICRO


def _keys(info: Info) -> Told:
    databases = ((name, one) for name, one in info.items() if name.startswith("db") and isinstance(one, Mapping))
    return [((name.removeprefix("db"),), _number(one, "keys") or 0.0) for name, one in databases]


def _about(info: Info) -> Told:
    version = info.get("valkey_version") or info.get("redis_version", "")
    kind = "valkey" if "valkey_version" in info else "redis"
    return [((kind, str(version), str(info.get("role", "")), str(info.get("maxmemory_policy", ""))), 1.0)]


def _is_primary(info: Info) -> Told:
    return [((), float(info["role"] == "master"))] if "role" in info else []


def _gauge(name: str, says: str, read: Callable[[Info], Told], *labels: str) -> Figure:
    return Figure(f"unstale_server_{name}", "gauge", says, labels, read)


def _counter(name: str, says: str, read: Callable[[Info], Told], *labels: str) -> Figure:
    return Figure(f"unstale_server_{name}_total", "counter", says, labels, read)


FIGURES: Final = (
    _counter("engine_cpu_seconds", "CPU seconds of the main thread, which runs all commands.", _engine),
    _counter("process_cpu_seconds", "CPU seconds of all threads.", _cpu("")),
    _counter("command_calls", "Calls of commands, by class.", _commands(_calls), "class"),
    _counter(
        "command_seconds",
        "Seconds inside commands by the clock, by class; what a script calls counts in its own class and in scripts.",
        _commands(_seconds),
        "class",
    ),
    _gauge("memory_bytes", "Memory in use.", _at("used_memory")),
    _gauge("memory_limit_bytes", "maxmemory; 0: no limit.", _at("maxmemory")),
    _counter("evicted_keys", "Keys that were evicted to stay below maxmemory.", _at("evicted_keys")),
    _counter("expired_keys", "Keys whose ttl was over.", _at("expired_keys")),
    _gauge("keys", "Keys, by database.", _keys, "db"),
    _gauge("connections", "Clients that are connected.", _at("connected_clients")),
    _gauge("connections_limit", "maxclients.", _at("maxclients")),
    _counter("refused_connections", "Connections that were refused for maxclients.", _at("rejected_connections")),
    _gauge("replicas", "Replicas that are connected.", _at("connected_slaves")),
    _gauge("primary", "1 for a primary, 0 for a replica.", _is_primary),
    _gauge("uptime_seconds", "Since the server was started.", _at("uptime_in_seconds")),
    _counter("received_bytes", "Bytes that were read from the network.", _at("total_net_input_bytes")),
    _counter("sent_bytes", "Bytes that were written to the network.", _at("total_net_output_bytes")),
    _gauge("info", "What it is: always 1.", _about, "server", "version", "role", "policy"),
)
_SAYS_WHAT_IT_IS: Final = FIGURES[-1]


def tells_anything(told: object) -> bool:
    """Whether an answer to INFO is one: a table, in which at least one figure stands."""
    figures = (one for one in FIGURES if one is not _SAYS_WHAT_IT_IS)
    return isinstance(told, Mapping) and any(list(one.read(told)) for one in figures)


UP: Final = Figure("unstale_server_up", "gauge", "1 if the server has answered INFO, 0 if not.", (), lambda _: [])
ASK_TIME: Final = Figure(
    "unstale_server_answer_seconds", "gauge", "What INFO took, connecting included.", (), lambda _: []
)
OF_WATCH: Final = (UP, ASK_TIME)
"""What is told of the asking itself."""
