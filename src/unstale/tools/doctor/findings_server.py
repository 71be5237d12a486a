"""Findings about how a server is set up: memory, ttls, unstale's stamps, version, who may do what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from unstale.tools.doctor.results import Facts, Finding, Keyspace, Node
from unstale.tools.wording import count, listed, percent

NEAR_FULL: Final = 0.9
FILLING: Final = 0.75
"""Parts of maxmemory."""
WITHOUT_TTL: Final = 0.1
"""The part of sampled keys from which on those that never expire are worth a word."""
ENOUGH_KEYS: Final = 20
"""Sampled keys from which on a part of them says anything."""
OLDEST: Final = (6, 2)
"""What unstale runs on, with more trips."""
CURRENT: Final = (7, 0)
"""Since then SET has NX and GET together, and INFO latencystats."""
BIG_BYTES: Final = 1_000_000
MOST_NAMED: Final = 3
"""Of things alike, so many are named."""


def of_server(node: Node) -> Iterator[Finding]:
    """All of them, of one server."""
    facts, keyspace = node.facts, node.keyspace
    yield from _of_memory(facts, keyspace)
    yield from _of_databases(facts)
    if keyspace is not None and keyspace.sampled >= ENOUGH_KEYS:
        yield from _of_ttls(facts, keyspace)
    yield from _of_stamps(facts, keyspace)
    yield from _of_version(facts)
    if facts.is_cluster_node and not node.in_cluster:
        yield Finding(
            id="one-node",
            level="info",
            says="This is one node of a cluster, and the others were not looked at",
            evidence="The URL names a single server.",
            remedy="redis+cluster:// in place of redis:// looks at all of them.",
        )
    yield from _of_access(node)


def _of_memory(facts: Facts, keyspace: Keyspace | None) -> Iterator[Finding]:
    used, most = facts.memory_bytes, facts.most_memory_bytes
    if most == 0:
        yield Finding(
            id="no-maxmemory",
            level="info",
            says="Memory has no limit",
            evidence="maxmemory is 0.",
            remedy="For a cache set maxmemory, with allkeys-lru or allkeys-lfu.",
        )
    if not used or not most or facts.policy is None:
        return
    full = used / most
    volatile = facts.policy.startswith("volatile-")
    no_room = facts.policy == "noeviction" or (volatile and _without_ttl(keyspace) >= NEAR_FULL)
    if no_room and full >= FILLING:
        yield Finding(
            id="near-full",
            level="serious" if full >= NEAR_FULL else "warning",
            says="Memory is nearly used up, and nothing can be evicted: writes will fail",
            evidence=f"{percent(full)} of maxmemory, maxmemory-policy is {facts.policy}.",
            remedy="allkeys-lru or allkeys-lfu for a cache; or give keys a ttl; or more memory. (unstale then still "
            "invalidates, but stores nothing.)",
        )


def _of_databases(facts: Facts) -> Iterator[Finding]:
    """Engine figures are the server's, keys those of one database: which may be the wrong one."""
    fullest = max(facts.databases, key=lambda one: facts.databases[one], default=facts.database)
    here, there = facts.databases.get(facts.database, 0), facts.databases.get(fullest, 0)
    if there > 2 * here:
        yield Finding(
            id="other-database",
            level="info",
            says="Most keys are in another database than the one that the URL names",
            evidence=f"Database {fullest} has {count(there)} keys, {facts.database} has {count(here)}. The engine's "
            "figures are those of the whole server.",
            remedy=f"To have those keys sampled, end the URL with /{fullest}.",
        )


def _of_ttls(facts: Facts, keyspace: Keyspace) -> Iterator[Finding]:
    part = _without_ttl(keyspace)
    if part >= WITHOUT_TTL:
        main = max(keyspace.shapes, key=lambda one: (one.without_ttl or 0.0) * one.sampled)
        evicts = (facts.policy or "").startswith("allkeys-") and bool(facts.most_memory_bytes)
        yield Finding(
            id="no-ttl",
            level="info" if evicts else "warning",
            says="Keys never expire",
            evidence=f"{percent(part)} of {count(keyspace.sampled)} sampled keys, mostly {main.shape}.",
            remedy="Give what is cached a ttl: what is forgotten then goes by itself.",
        )
    big = [one for one in keyspace.shapes if one.bytes_each >= BIG_BYTES]
    if big:
        yield Finding(
            id="big-values",
            level="info",
            says="Values are large",
            evidence=listed([f"{one.shape} {one.bytes_each / 1e6:.1f} MB" for one in big[:MOST_NAMED]]) + ".",
            remedy="Each holds the engine for as long as it takes to copy. Compress, or cache smaller parts.",
        )


def _of_stamps(facts: Facts, keyspace: Keyspace | None) -> Iterator[Finding]:
    """A stamp that goes before its entry makes it stale: safe, and a needless miss."""
    stamps = None if keyspace is None else keyspace.stamps
    if stamps is None:
        return
    if facts.policy in {"allkeys-random", "volatile-random"} and facts.most_memory_bytes:
        yield Finding(
            id="stamps-evictable",
            level="warning",
            says="Stamps can be evicted before the entries that need them",
            evidence=f"maxmemory-policy is {facts.policy}, which takes a stamp as likely as an entry. Without "
            "its stamp an entry is stale.",
            remedy="allkeys-lru or allkeys-lfu: a stamp is read with each of its entries, so it stays. (Never stale "
            "answers, only misses.)",
        )
    if stamps.short:
        yield Finding(
            id="stamps-expire",
            level="warning",
            says="Stamps expire before the entries that record them",
            evidence=f"{stamps.short} of {stamps.looked_at} stamps.",
            remedy="Several caches of one namespace have different longest ttls: give all of them the same stamp_ttl. "
            "(Never stale answers, only misses.)",
        )


def _of_version(facts: Facts) -> Iterator[Finding]:
    if facts.version and facts.version[:2] < CURRENT:
        yield Finding(
            id="old-version",
            level="serious" if facts.version[:2] < OLDEST else "warning",
            says="The server is old",
            evidence=f"{facts.name}.",
            remedy="Redis 7.0 or later, or any Valkey. unstale needs 6.2, and takes a command more for a fill there.",
        )


def _of_access(node: Node) -> Iterator[Finding]:
    if not node.has_tls and not node.is_local:
        yield Finding(
            id="no-tls",
            level="warning",
            says="The connection is not encrypted",
            evidence="Password, keys and values can be read on the way.",
            remedy="rediss:// in place of redis://, and TLS on the server.",
        )
    if node.facts.dangerous:
        yield Finding(
            id="dangerous-commands",
            level="info" if node.is_local else "warning",
            says="This user may run what an application should not",
            evidence=f"{node.facts.user}: {', '.join(node.facts.dangerous)}.",
            remedy="A user of its own for the application, with the rights that it needs (docs/security.md).",
        )
    if any(one.what == "INFO" for one in node.refusals):
        yield Finding(
            id="info-hidden",
            level="warning",
            says="INFO is refused",
            evidence="unstale's fence against a failover that brings old stamps back reads it.",
            remedy='Allow INFO to the application\'s user; or fence="replay".',
        )


def _without_ttl(keyspace: Keyspace | None) -> float:
    """The part of all sampled keys that never expires; 0 where that is not known."""
    if keyspace is None or not keyspace.sampled:
        return 0.0
    never = sum((one.without_ttl or 0.0) * one.sampled for one in keyspace.shapes)
    return never / sum(one.sampled for one in keyspace.shapes)
