"""Findings: each from a server that has it, and none from the nearest that has not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from reports import GIB, engine, facts, keyspace, node, report, shape, walked

from unstale.tools.doctor.costs import Beside
from unstale.tools.doctor.findings import findings
from unstale.tools.doctor.results import STOPPED, Node, Refusal, Slow, Stamps


def levels(one: Node) -> dict[str, str]:
    """The findings of a server, with their levels."""
    return {found.id: found.level for found in findings([one])}


def test_a_server_that_is_as_it_should_be() -> None:
    """Nothing."""
    assert levels(node()) == {}
    assert report(node()).worst is None


SLOW_WALK = [Slow(command="KEYS user:{id}:*", count=2, most_us=20_000)]
STAMPS = Stamps(entries=50, tags=50, looked_at=50, missing=5, short=0)
NEVER = shape(without_ttl=0.5)

MONITORED = walked().monitored
assert MONITORED is not None

HAS: dict[str, tuple[str, Node, Node]] = {
    "pattern-deletes": (
        "serious",
        node(engine=engine(50.0, scan=(10_000, 4.0), unlink=(10, 0.001))),
        node(engine=engine(50.0, get=(10_000, 4.0), unlink=(10, 0.001))),
    ),
    "pattern-deletes, a little": (
        "warning",
        node(engine=engine(4.0, scan=(100, 0.3), unlink=(10, 0.001))),
        node(engine=engine(4.0, hscan=(100, 0.3), unlink=(10, 0.001))),
    ),
    "pattern-deletes, now and then": (
        "info",
        node(engine=engine(0.25, scan=(10, 0.001), unlink=(10, 0.001))),
        node(engine=engine(0.25, get=(10, 0.001), unlink=(10, 0.001))),
    ),
    "scan-walks": (
        "serious",
        node(engine=engine(50.0, scan=(10_000, 4.0))),
        node(engine=engine(50.0, zscan=(10_000, 4.0))),
    ),
    "pattern-deletes, deleted before": (
        "serious",
        node(engine=engine(50.0, scan=(10_000, 4.0)), facts=facts(delete_calls=1)),
        node(engine=engine(50.0, scan=(10_000, 4.0)), facts=facts(delete_calls=0)),
    ),
    "pattern-deletes, by MONITOR": (
        "serious",
        walked(),
        node(
            engine=walked().engine, monitored=msgspec.structs.replace(MONITORED, deleted_by_pattern=0, deleted_by_key=9)
        ),
    ),
    "scan-walks, as few as doctors make": (
        "info",
        node(engine=engine(1.5, scan=(490, 0.004), get=(20_000, 0.1))),
        node(engine=engine(1.5, hscan=(490, 0.004), get=(20_000, 0.1))),
    ),
    "scan-walks, more than doctors make": (
        "warning",
        node(engine=engine(1.5, scan=(510, 0.03), get=(20_000, 0.1))),
        node(engine=engine(1.5, hscan=(510, 0.03), get=(20_000, 0.1))),
    ),
    "scan-walks, few and dear": (
        "warning",
        node(engine=engine(5.0, scan=(100, 0.2), get=(20_000, 0.1))),
        node(engine=engine(5.0, hscan=(100, 0.2), get=(20_000, 0.1))),
    ),
    "scan-walks, KEYS": (
        "warning",
        node(engine=engine(1.5, keys=(10, 0.05), get=(20_000, 0.1))),
        node(engine=engine(1.5, hkeys=(10, 0.05), get=(20_000, 0.1))),
    ),
    "keys-in-use": (
        "serious",
        node(engine=engine(1.0, keys=(1, 0.001))),
        node(engine=engine(1.0, hkeys=(1, 0.001))),
    ),
    "engine-busy": ("warning", node(engine=engine(70.0)), node(engine=engine(69.0))),
    "engine-busy, above": ("serious", node(engine=engine(90.0)), node(engine=engine(69.0))),
    "evictions": (
        "info",
        node(engine=engine(beside=Beside(hit_rate=0.9, evicted_per_second=1))),
        node(engine=engine(beside=Beside(hit_rate=0.9))),
    ),
    "low-hit-rate": (
        "info",
        node(engine=engine(beside=Beside(hit_rate=0.49))),
        node(engine=engine(beside=Beside(hit_rate=None))),
    ),
    "many-connections": ("warning", node(facts=facts(clients=8000)), node(facts=facts(clients=7999))),
    "connection-churn": (
        "warning",
        node(engine=engine(beside=Beside(hit_rate=0.9, connections_per_second=20))),
        node(engine=engine(beside=Beside(hit_rate=0.9, connections_per_second=20), get=(10_000, 0.01))),
    ),
    "replica-read": (
        "warning",
        node(facts=facts(role="slave"), keyspace=keyspace(shape(kind="stamp"))),
        node(facts=facts(role="slave"), keyspace=keyspace(shape())),
    ),
    "no-maxmemory": ("info", node(facts=facts(most_memory_bytes=0)), node(facts=facts(most_memory_bytes=None))),
    "near-full": (
        "serious",
        node(facts=facts(policy="noeviction", memory_bytes=3.7 * GIB)),
        node(facts=facts(policy="allkeys-lru", memory_bytes=3.7 * GIB)),
    ),
    "near-full, soon": (
        "warning",
        node(facts=facts(policy="noeviction", memory_bytes=3.1 * GIB)),
        node(facts=facts(policy="noeviction", memory_bytes=2.9 * GIB)),
    ),
    "near-full, nothing volatile": (
        "serious",
        node(facts=facts(policy="volatile-lru", memory_bytes=3.7 * GIB), keyspace=keyspace(shape(without_ttl=0.95))),
        node(facts=facts(policy="volatile-lru", memory_bytes=3.7 * GIB)),
    ),
    "no-ttl": (
        "warning",
        node(facts=facts(policy="noeviction"), keyspace=keyspace(NEVER)),
        node(facts=facts(policy="noeviction"), keyspace=keyspace(shape(without_ttl=0.05))),
    ),
    "no-ttl, but evicted": (
        "info",
        node(keyspace=keyspace(NEVER)),
        node(keyspace=keyspace(msgspec.structs.replace(NEVER, sampled=19))),
    ),
    "big-values": (
        "info",
        node(keyspace=keyspace(shape(bytes_each=2e6))),
        node(keyspace=keyspace(shape(bytes_each=9e5))),
    ),
    "stamps-evictable": (
        "warning",
        node(facts=facts(policy="allkeys-random"), keyspace=keyspace(shape(kind="entry"), stamps=STAMPS)),
        node(facts=facts(policy="allkeys-random")),
    ),
    "stamps-expire": (
        "warning",
        node(keyspace=keyspace(shape(kind="entry"), stamps=msgspec.structs.replace(STAMPS, short=1))),
        node(keyspace=keyspace(shape(kind="entry"), stamps=STAMPS)),
    ),
    "old-version": ("warning", node(facts=facts(version=(6, 2, 14))), node(facts=facts(version=(7, 0, 0)))),
    "old-version, too": ("serious", node(facts=facts(version=(6, 0, 9))), node(facts=facts(version=()))),
    "no-tls": ("warning", node(has_tls=False), node(has_tls=False, is_local=True)),
    "dangerous-commands": ("warning", node(facts=facts(dangerous=["KEYS"])), node()),
    "dangerous-commands, at home": ("info", node(facts=facts(dangerous=["KEYS"]), is_local=True), node()),
    "info-hidden": (
        "warning",
        node(refusals=[Refusal(what="INFO", why="no")]),
        node(refusals=[Refusal(what="CONFIG GET", why="no")]),
    ),
    "slow-walks": (
        "warning",
        node(facts=facts(slow=SLOW_WALK), engine=engine(1.0, keys=(1, 0.001))),
        node(facts=facts(slow=[Slow(command="GET", count=1, most_us=11_000)])),
    ),
    "slow-walks, over": ("info", node(facts=facts(slow=SLOW_WALK)), node()),
    "slow-walks, nobody knows": ("warning", node(facts=facts(slow=SLOW_WALK), engine=None), node()),
    "slow-commands": (
        "info",
        node(facts=facts(slow=[Slow(command="LRANGE", count=1, most_us=11_000)])),
        node(facts=facts(slow=SLOW_WALK)),
    ),
    "one-node": (
        "info",
        node(facts=facts(is_cluster_node=True)),
        node(facts=facts(is_cluster_node=True), in_cluster=True),
    ),
    "interrupted": (
        "warning",
        node(status="interrupted", why="It cannot be reached."),
        node(status="interrupted", why=STOPPED),
    ),
    "interrupted, early": (
        "serious",
        node(status="interrupted", why="It cannot be reached.", engine=None),
        node(status="interrupted", why=STOPPED, engine=None),
    ),
    "doctor-failed": (
        "warning",
        node(status="interrupted", why="An error of the doctor's own: ValueError.", is_own_error=True),
        node(status="interrupted", why="It cannot be reached."),
    ),
    "unreachable": ("serious", Node(name="a", status="unreachable", why="gone"), Node(name="a", has_tls=True)),
}


@pytest.mark.parametrize("case", HAS)
def test_a_finding(case: str) -> None:
    """There with its level, and not there by a hair's breadth."""
    level, has, has_not = HAS[case]
    name = case.partition(",")[0]
    assert levels(has)[name] == level
    assert name not in levels(has_not)


def test_each_says_what_to_do() -> None:
    """Evidence with figures, and a remedy, in sentences."""
    for one in (found for _, has, _ in HAS.values() for found in findings([has])):
        assert one.says[0].isupper()
        assert not one.says.endswith(".")
        assert one.evidence
        assert one.remedy.endswith((".", ")"))


def test_the_same_of_several_servers_is_told_once() -> None:
    """With the worst level, and all their names."""
    one, other = walked("a:1"), walked("b:2")
    found = {finding.id: finding for finding in findings([node(name="c:3"), one, other])}
    assert found["pattern-deletes"].nodes == ("a:1", "b:2")
    mixed = [node(name="a", engine=engine(75.0)), node(name="b", engine=engine(95.0))]
    (busy,) = findings(mixed)
    assert (busy.level, busy.nodes, busy.evidence[:4]) == ("serious", ("a", "b"), "95 %")


def test_the_worst_first() -> None:
    """And the report's worst is the first's."""
    told = report(walked(), node(facts=facts(most_memory_bytes=0)))
    ranks = [("info", "warning", "serious").index(one.level) for one in told.findings]
    assert ranks == sorted(ranks, reverse=True)
    assert told.worst == "serious"


def test_the_evidence_names_the_pattern_and_what_a_stamp_takes() -> None:
    """From MONITOR; without it, whose connections walk."""
    evidence = findings([walked()])[0].evidence
    assert "shop:1:user:{id}:*" in evidence
    assert "5.0 walks/s" in evidence
    without: dict[str, Any] = {"facts": facts(walking_clients={"redis-py django": 3})}
    one = node(engine=engine(50.0, scan=(10_000, 4.0)), **without)
    assert "redis-py django (3)" in findings([one])[0].evidence
