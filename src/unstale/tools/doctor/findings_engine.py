"""Findings about what the engine works for: walks, load, connections, a replica's reads, the slow log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from unstale.tools.classes import DELETES, WALKS
from unstale.tools.doctor.results import CommandCost, Costs, Engine, Finding, Level, Node, Slow
from unstale.tools.engine import ALARM_PERCENT
from unstale.tools.wording import count, duration, listed, number, one_decimal, percent

BUSY_PERCENT: Final = 70.0
"""Engine CPU from which on the alarm is near."""
SERIOUS_SHARE: Final = 0.2
"""The part of the engine's time from which on walks are its main load."""
SERIOUS_PERCENT: Final = 5.0
"""And so much of a core beside: a fifth of nothing is nothing."""
FEW_SCANS: Final = 50.0
"""A second: what two doctors make, or some of `unstale top`, which look at the keys of this server, too."""
OF_FEW_PERCENT: Final = 1.0
"""Of a core, which such few stay below."""
LITTLE_PERCENT: Final = 0.1
"""Of a core, up to which walks are nobody's trouble: somebody looks around, now and then."""
MOST_CLIENTS: Final = 0.8
"""Of maxclients."""
CHURN_PER_SECOND: Final = 20.0
CHURN_CALLS: Final = 0.05
"""New connections, by all calls: more than this, and clients connect anew for nearly each request."""
LOW_HIT_RATE: Final = 0.5
MOST_NAMED: Final = 3
"""Of things alike, so many are named."""


def of_engine(node: Node) -> Iterator[Finding]:
    """All of them, of one server."""
    if node.engine is not None:
        yield from _of_walks(node, node.engine)
        yield from _of_load(node.engine)
        yield from _of_clients(node, node.engine)
        yield from _of_replica(node, node.engine)
    yield from _of_slow_log(node)


def _of_walks(node: Node, engine: Engine) -> Iterator[Finding]:
    """The cause of the article's alarm: KEYS, or SCAN after SCAN, for each invalidation."""
    pattern = engine.group("invalidation by pattern")
    walks = [one for one in engine.commands if one.name in WALKS]
    if not walks:
        return
    share = pattern.percent / engine.percent if engine.percent else 0.0
    uses_keys = next((one for one in walks if one.name == "keys"), None)
    level = "info" if _may_be_looks(walks, pattern.percent) else _level_of_walks(pattern.percent, share)
    calls = listed([f"{count(one.calls_per_second)} {one.name.upper()}/s" for one in walks])
    took = f"{one_decimal(pattern.percent)} % of a core, {percent(share)} of the engine's time"
    evidence = f"{calls} take {took}{_seen_by(node)}{_cost(node.costs)}."
    if _are_for_deletes(node, engine):
        yield Finding(
            id="pattern-deletes",
            level=level,
            says="Keys are deleted by pattern: the whole keyspace is walked for each invalidation",
            evidence=evidence,
            remedy="Give what is cached a tag, and invalidate the tag: one small write whatever the keyspace. `unstale "
            "audit` finds the lines; in Django one setting does it (TAG_PATTERNS).",
        )
    else:
        yield Finding(
            id="scan-walks",
            level=level,
            says="The keyspace is walked, and not for deletes that were seen",
            evidence=evidence,
            remedy="Find who does it: --monitor names the patterns. What looks for keys to delete, tags make needless.",
        )
    if uses_keys is not None:
        yield Finding(
            id="keys-in-use",
            level="serious",
            says="KEYS is in use: the engine serves nobody else until it has looked at every key",
            evidence=f"{one_decimal(uses_keys.calls_per_second)}/s, {duration(uses_keys.us_per_call)} each on the "
            "clock.",
            remedy="Never in production. Tags need no list of keys; where you must look, SCAN in small steps.",
        )


def _are_for_deletes(node: Node, engine: Engine) -> bool:
    """Whether the keyspace is walked to delete: as MONITOR has seen it, or else because there are deletes at all.

    A walk of a large keyspace takes longer than the window, and what it finds may be deleted after it.
    """
    told = node.monitored
    if told is not None and told.deleted_by_pattern + told.deleted_by_key:
        return told.deleted_by_pattern > 0
    return bool(node.facts.delete_calls) or any(one.name in DELETES for one in engine.commands)


def _may_be_looks(walks: Sequence[CommandCost], taken: float) -> bool:
    """Whether others who look, as the doctor does, may have sent them: a server does not tell a SCAN by its pattern."""
    few = all(one.name == "scan" and one.calls_per_second < FEW_SCANS for one in walks)
    return few and taken < OF_FEW_PERCENT


def _level_of_walks(taken: float, share: float) -> Level:
    """How bad it is by what it takes, in percent of a core and as a part of the engine's time."""
    if taken < LITTLE_PERCENT:
        return "info"
    return "serious" if share >= SERIOUS_SHARE and taken >= SERIOUS_PERCENT else "warning"


def _seen_by(node: Node) -> str:
    told = node.monitored
    if told is None or not told.patterns:
        who = listed([f"{name} ({many})" for name, many in node.facts.walking_clients.items()][:MOST_NAMED])
        return f"; asked by {who}" if who else ""
    first = told.patterns[0]
    return f"; mostly {first.command} {first.pattern}"


def _cost(costs: Costs | None) -> str:
    if costs is None or not costs.walks_per_second.mid:
        return ""
    walks = costs.walks_per_second
    about = "" if costs.counted else "about "
    return (
        f"; {about}{number(walks.mid)} walks/s of {duration(costs.us_per_walk.mid)} each, "
        f"where a stamp takes {duration(costs.us_per_stamp.mid)}"
    )


def _of_load(engine: Engine) -> Iterator[Finding]:
    if engine.percent >= BUSY_PERCENT:
        dearest = sorted(engine.groups, key=lambda one: -one.percent)[:2]
        main = listed([f"{one.name} {one.percent:.0f} %" for one in dearest])
        yield Finding(
            id="engine-busy",
            level="serious" if engine.percent >= ALARM_PERCENT else "warning",
            says="The engine is near the alarm" if engine.headroom > 0 else "The engine is above the alarm",
            evidence=f"{engine.percent:.0f} % of a core, the alarm is at {ALARM_PERCENT:.0f} %; {main}.",
            remedy="A larger node has no faster engine: take away what it works for.",
        )
    if engine.evicted_per_second:
        yield Finding(
            id="evictions",
            level="info",
            says="Keys are evicted",
            evidence=f"{engine.evicted_per_second:.1f} a second.",
            remedy="Usual for a cache that is full. If the hit rate is low, give it more memory, or shorter ttls.",
        )
    if engine.hit_rate is not None and engine.hit_rate < LOW_HIT_RATE:
        yield Finding(
            id="low-hit-rate",
            level="info",
            says="Fewer than half of the reads find something",
            evidence=f"{percent(engine.hit_rate)} in the window.",
            remedy="Look at what is invalidated too often, and at ttls. Reads of leases and stamps count, too.",
        )


def _of_clients(node: Node, engine: Engine) -> Iterator[Finding]:
    facts = node.facts
    if facts.clients is not None and facts.most_clients and facts.clients >= MOST_CLIENTS * facts.most_clients:
        yield Finding(
            id="many-connections",
            level="warning",
            says="Nearly as many connections as there may be",
            evidence=f"{count(facts.clients)} of {count(facts.most_clients)}.",
            remedy="Bound the pools (max_connections), and see that processes that end close theirs.",
        )
    calls = sum(one.calls_per_second for one in engine.groups)
    if engine.connections_per_second >= CHURN_PER_SECOND and engine.connections_per_second >= CHURN_CALLS * calls:
        yield Finding(
            id="connection-churn",
            level="warning",
            says="Clients connect anew again and again",
            evidence=f"{engine.connections_per_second:.0f} new connections/s for {count(calls)} commands/s.",
            remedy="Keep connections: one client for the whole process, not one for each request.",
        )


def _of_replica(node: Node, engine: Engine) -> Iterator[Finding]:
    reads = engine.group("reads").calls_per_second
    stamps = node.keyspace is not None and any(one.kind in {"stamp", "entry"} for one in node.keyspace.shapes)
    if node.facts.role == "slave" and stamps and reads >= 1:
        yield Finding(
            id="replica-read",
            level="warning",
            says="A replica that holds stamps is read",
            evidence=f"{count(reads)} reads/s. A replica may lag, and then shows stamps from before an invalidation.",
            remedy="unstale itself never reads a replica. Find who does, and read entries and stamps from the primary.",
        )


def _of_slow_log(node: Node) -> Iterator[Finding]:
    walks = [one for one in node.facts.slow if one.command.split(" ", 1)[0].lower() in WALKS]
    if walks:
        engine = node.engine
        gone = engine is not None and all(one.name not in WALKS for one in engine.commands)
        yield Finding(
            id="slow-walks",
            level="info" if gone else "warning",
            says="The slow log has walks of the keyspace",
            evidence=_said(walks),
            remedy="Tags need no walk. If there were none while the doctor watched, it may be over.",
        )
    others = [one for one in node.facts.slow if one not in walks]
    if others:
        yield Finding(
            id="slow-commands",
            level="info",
            says="The slow log has other commands",
            evidence=_said(others),
            remedy="While one runs, nobody else is served. Look at the size of what they touch.",
        )


def _said(slow: Sequence[Slow]) -> str:
    each = [f"{one.count} × {one.command}, up to {duration(one.most_us)}" for one in slow[:MOST_NAMED]]
    return f"{listed(each)}; within a day."
