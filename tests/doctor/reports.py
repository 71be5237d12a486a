"""Reports: made by hand, for what draws and judges them; and what tests ask of one."""

from __future__ import annotations

from typing import Any

from unstale.tools.doctor.costs import Beside, costs_of, engine_of
from unstale.tools.doctor.findings import findings
from unstale.tools.doctor.results import (
    Busy,
    Engine,
    Facts,
    Keyspace,
    Monitored,
    Node,
    Pattern,
    Refusal,
    Report,
    Shape,
    Stamps,
)
from unstale.tools.engine import Command, Work

SECONDS = 10.0
GIB = 2**30


def engine(percent: float = 1.0, *, beside: Beside | None = None, **commands: tuple[int, float]) -> Engine:
    """An engine that did these calls and was so busy."""
    told = {name: Command(*one) for name, one in (commands or {"get": (1000, 0.01)}).items()}
    spent = percent * SECONDS / 100
    trips = sum(one.calls for one in told.values())
    return engine_of(Work(SECONDS, spent, spent, trips, told), beside=beside or Beside(hit_rate=0.9))


def facts(**given: Any) -> Facts:
    """Of a server that is as it should be."""
    usual: dict[str, Any] = {
        "name": "Valkey 9.1.0", "version": (7, 2, 4), "is_valkey": True, "role": "master", "memory_bytes": GIB,
        "most_memory_bytes": 4 * GIB, "policy": "allkeys-lru", "clients": 10, "most_clients": 10_000, "user": "app",
    }  # fmt: skip
    return Facts(**(usual | given))


def shape(**given: Any) -> Shape:
    """Keys that are as they should be."""
    usual: dict[str, Any] = {
        "shape": "shop:1:user:*:orders:*", "kind": "another's", "sampled": 100, "part": 1.0, "bytes_each": 2000.0,
        "without_ttl": 0.0, "ttl": 300.0,
    }  # fmt: skip
    return Shape(**(usual | given))


def keyspace(*shapes: Shape, stamps: Stamps | None = None) -> Keyspace:
    """A sample of 100,000 keys."""
    chosen = shapes or (shape(),)
    return Keyspace(
        keys=100_000, sampled=sum(one.sampled for one in chosen), whole=False, shapes=list(chosen), stamps=stamps
    )


def node(**given: Any) -> Node:
    """A server that is as it should be, with TLS."""
    usual: dict[str, Any] = {
        "name": "cache.example:6379", "has_tls": True, "facts": facts(), "engine": engine(), "keyspace": keyspace(),
        "own_percent": 0.4, "commands_sent": 900,
    }  # fmt: skip
    return Node(**(usual | given))


def walked(name: str = "cache.example:6379") -> Node:
    """A server whose engine does little but walk, with all that there may be in a report."""
    busy = engine(80.0, scan=(10_000, 6.0), get=(800, 0.01), set=(100, 0.01), **{"del": (50, 0.001)})
    monitored = Monitored(
        seconds=1.0,
        commands=1100,
        whole=True,
        patterns=[Pattern(command="SCAN", pattern="shop:1:user:{id}:*", walks=5, calls=1000, deleted=100)],
        busiest=[Busy(command="GET", shape="shop:1:user:*:orders:*", calls=80)],
        deleted_by_pattern=100,
        deleted_by_key=0,
        stamps_written=0,
    )
    return node(
        name=name,
        engine=busy,
        monitored=monitored,
        costs=costs_of(busy, 100_000, monitored),
        keyspace=keyspace(shape(), shape(shape="a<b>&*", kind="entry", sampled=3), stamps=Stamps(
            entries=3, tags=3, looked_at=3, missing=1, short=1
        )),
        refusals=[Refusal(what="CONFIG GET", why="no permissions <b>")],
    )  # fmt: skip


def report(*nodes: Node) -> Report:
    """A whole report of some servers."""
    return Report(
        target="redis://cache.example:6379/0",
        begun_at="2026-11-26T10:00:00+00:00",
        seconds=10.4,
        nodes=list(nodes),
        findings=findings(nodes),
    )


def only(report: Report) -> Node:
    """The one server of a report."""
    (node,) = report.nodes
    return node


def ids(report: Report, *levels: str) -> set[str]:
    """Of the findings of some levels."""
    return {one.id for one in report.findings if one.level in (levels or ("info", "warning", "serious"))}
