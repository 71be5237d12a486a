"""The phases: what is demanded of a cache when things break, one row each. No clock, no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from unstale.tools.chaos.errors import ChaosError
from unstale.tools.chaos.plan import Phase
from unstale.tools.choosing import checked_names

CALM_HITS: Final = 0.8
"""A cache that hits less often when nothing is broken has shown nothing."""

_GRACED: Final = ("demoted-primary", "promoted-back", "sentinel-failover-told")
"""A demoted primary that keeps its clients is believed for up to a second, and no longer: that is not promised."""
_ON_THE_WAY: Final = ("delay", "stragglers", "cut", "reset", "black-hole", "refuse")
_OF_NAMES: Final = ("evict-stamps", "evict-entries", "evictions", "flush")
_OF_PROCESSES: Final = ("sigstop-reader", "sigstop-writer", "sigstop-server")
_OF_SERVERS: Final = ("outage", "restart-empty", "restart-from-snapshot", "oom")
_OF_PAIRS: Final = ("failover-to-laggard", "demoted-primary", "promoted-back")
_OF_SENTINELS: Final = ("sentinel-failover", "sentinel-failover-told", "sentinel-crash", "sentinel-away")
_OF_CLUSTERS: Final = ("cluster-failover", "cluster-crash", "cluster-reshard")
_EVERYTHING: Final = (
    *_OF_NAMES, "client-kill", "client-pause", *_OF_PROCESSES, *_ON_THE_WAY, *_OF_SERVERS, *_OF_PAIRS,
)  # fmt: skip

_ALL: Final = (
    Phase(name="calm", says="Nothing breaks: reads and writes race.", least_hit_rate=CALM_HITS, is_safe=True),
    Phase(
        name="evicted-stamps",
        says="Stamps are evicted at random, or expire.",
        faults=("evict-stamps",),
        least_hit_rate=CALM_HITS,
        is_safe=True,
    ),
    Phase(
        name="evicted-entries",
        says="A full server evicts stamps, entries and leases alike.",
        faults=("evictions", "evict-entries"),
        least_hit_rate=CALM_HITS,
    ),
    Phase(
        name="flushed",
        says="Somebody empties the cache, as by FLUSHALL.",
        faults=("flush",),
        least_hit_rate=CALM_HITS,
        is_safe=True,
    ),
    Phase(
        name="killed-clients",
        says="The server cuts its clients off, at any moment of a call.",
        faults=("client-kill",),
        least_hit_rate=CALM_HITS,
        is_safe=True,
    ),
    Phase(
        name="paused-clients",
        says="The server keeps its clients waiting, beyond their patience too.",
        faults=("client-pause",),
        least_hit_rate=CALM_HITS,
    ),
    Phase(
        name="stopped-readers",
        says="Readers stand still with a value in hand, and store it late.",
        faults=("sigstop-reader",),
        least_hit_rate=CALM_HITS,
        is_safe=True,
    ),
    Phase(
        name="stopped-writers",
        says="Writers stand still between COMMIT and invalidation.",
        faults=("sigstop-writer",),
        least_hit_rate=CALM_HITS,
        is_safe=True,
    ),
    Phase(
        name="stopped-server",
        says="The server stands still: connections are made, and nothing answers.",
        faults=("sigstop-server",),
        least_hit_rate=CALM_HITS,
    ),
    Phase(
        name="slow-network",
        says="Requests and answers come late, beyond the clients' patience too.",
        faults=("delay", "stragglers"),
        least_hit_rate=CALM_HITS,
    ),
    Phase(
        name="cut-connections",
        says="Connections break off in the middle of an answer, are reset, refused, or swallow what is sent.",
        faults=("cut", "reset", "black-hole", "refuse"),
        least_hit_rate=CALM_HITS,
    ),
    Phase(
        name="killed-writers",
        says="Writers are killed between COMMIT and invalidation; the outbox has what they owe.",
        subject="unstale-django",
        work=("killed",),
        outbox=True,
        least_hit_rate=CALM_HITS,
        for_peers=False,
        is_safe=True,
    ),
    Phase(
        name="outage",
        says="The server is away for seconds; what was to be invalidated meanwhile is in the outbox.",
        faults=("outage",),
        every=1.0,
        subject="unstale-django",
        outbox=True,
        for_peers=False,
    ),
    Phase(
        name="long-outage",
        says="The server is away for a minute under load; how long does it take to carry out what is in the outbox?",
        faults=("long-outage",),
        every=3600.0,
        subject="unstale-django",
        outbox=True,
        for_peers=False,
        by_name=True,
    ),
    Phase(
        name="black-holes",
        says="The network swallows what is sent, with the server and its entries alive; the outbox has what is owed.",
        faults=("black-hole", "cut"),
        subject="unstale-django",
        work=("killed",),
        outbox=True,
        for_peers=False,
    ),
    Phase(
        name="queued",
        says="Without an outbox: what cannot take effect is kept in a local file, and done when the server is back.",
        faults=("black-hole", "refuse", "sigstop-server"),
        subject="unstale-queue",
        for_peers=False,
    ),
    Phase(
        name="restarted-empty",
        says="The server is restarted, and has kept nothing.",
        faults=("restart-empty",),
        least_hit_rate=CALM_HITS,
    ),
    Phase(
        name="restarted-from-snapshot",
        says="The server is restarted from an old snapshot: old stamps are there again, with the entries of then.",
        faults=("restart-from-snapshot",),
        least_hit_rate=CALM_HITS,
    ),
    Phase(
        name="failover",
        says="The primary dies, and a replica takes over that has not heard of the last invalidations.",
        faults=("failover-to-laggard",),
        topology="pair",
    ),
    Phase(
        name="demoted-primary",
        says="A demoted primary keeps its clients, and hears of no invalidation any more.",
        faults=("demoted-primary",),
        every=1.5,
        topology="pair",
        grace_seconds=1.0,
        graced=_GRACED,
    ),
    Phase(
        name="promoted-replica",
        says="A replica is promoted under its readers: the first server is demoted, and comes back.",
        faults=("promoted-back",),
        topology="pair",
        grace_seconds=1.0,
        graced=_GRACED,
    ),
    Phase(
        name="sentinels",
        says="Three sentinels make a replica primary: asked to, or because the primary died; and they die themselves.",
        faults=_OF_SENTINELS,
        topology="sentinel",
        grace_seconds=1.0,
        graced=_GRACED,
        for_peers=False,
    ),
    Phase(
        name="cluster",
        says="A cluster's primaries die or change roles with lagging replicas, and slots move while they are used.",
        faults=(*_OF_CLUSTERS, "evict-stamps", "client-kill"),
        topology="cluster",
        for_peers=False,
    ),
    Phase(
        name="cluster-asyncio",
        says="The same for tasks of an event loop.",
        faults=(*_OF_CLUSTERS, "evict-stamps", "client-kill"),
        subject="unstale-async",
        topology="cluster",
        mode="asyncio",
        work=("cancelled",),
    ),
    Phase(
        name="full-server",
        says="The server is out of memory, and evicts nothing: it refuses every write of a stamp.",
        faults=("oom",),
    ),
    Phase(
        name="nested",
        says="Values are computed from other cached values, and stamps and entries are evicted.",
        faults=("evict-stamps", "evict-entries"),
        subject="unstale-nested",
        kinds=3,
        least_hit_rate=CALM_HITS,
        is_safe=True,
    ),
    Phase(
        name="set-after-get",
        says="get, compute, set in place of get_or_set.",
        faults=("evict-stamps", "client-kill"),
        subject="unstale-set",
        least_hit_rate=CALM_HITS,
        for_peers=False,
        is_safe=True,
    ),
    Phase(
        name="deleted-keys",
        says="Entries without tags: delete(key) against the fills that are under way.",
        subject="unstale-delete",
        least_hit_rate=CALM_HITS,
        for_peers=False,
        is_safe=True,
    ),
    Phase(
        name="uncommitted",
        says="Writers read what they have not committed, and some roll back.",
        subject="unstale-django",
        work=("uncommitted",),
        outbox=True,
        least_hit_rate=CALM_HITS,
        for_peers=False,
        is_safe=True,
    ),
    Phase(
        name="old-snapshots",
        says="Loaders read in REPEATABLE READ transactions that are older than the stamps.",
        subject="unstale-django",
        database="postgresql",
        work=("snapshots",),
        outbox=True,
        least_hit_rate=CALM_HITS,
        for_peers=False,
        is_safe=True,
    ),
    Phase(
        name="lagging-database",
        says="Loaders read a database replica that is up to a fifth of a second behind; stamps are evicted.",
        faults=("evict-stamps",),
        subject="unstale-lag",
        options={"replica_lag": 0.2},
        work=("lagging",),
        writes=0.25,
        least_hit_rate=CALM_HITS,
        is_safe=True,
    ),
    Phase(
        name="strict",
        says="No read is older than what is committed, though clients are cut off and processes stand still.",
        faults=("evict-open-stamps", "client-kill", "sigstop-writer", "sigstop-reader"),
        subject="unstale-strict",
        work=("strict",),
        least_hit_rate=CALM_HITS,
        for_peers=False,
        is_safe=True,
    ),
    Phase(
        name="asyncio",
        says="Readers are tasks of an event loop; some are cancelled in the middle, and connections break.",
        faults=("cut", "client-kill", "evict-stamps"),
        subject="unstale-async",
        mode="asyncio",
        work=("cancelled",),
        least_hit_rate=CALM_HITS,
    ),
    Phase(
        name="mixed",
        says="All of it: a primary and its replica, writers that die or roll back, an outbox, every fault.",
        faults=_EVERYTHING,
        every=0.3,
        subject="unstale-django",
        topology="pair",
        work=("killed", "uncommitted"),
        writers_live=(3.0, 15.0),
        outbox=True,
        grace_seconds=1.0,
        graced=_GRACED,
        for_peers=False,
    ),
    Phase(
        name="mixed-asyncio",
        says="The same for tasks of an event loop, without an outbox.",
        faults=_EVERYTHING,
        every=0.3,
        subject="unstale-async",
        topology="pair",
        mode="asyncio",
        work=("cancelled",),
        grace_seconds=1.0,
        graced=_GRACED,
    ),
)

PHASES: Final[Mapping[str, Phase]] = {one.name: one for one in _ALL}
"""By name, in the order in which they are run."""


def phases_of(names: Iterable[str]) -> tuple[str, ...]:
    """These phases' names, checked.

    Raises:
        ChaosError: there is no such phase, or none was named.
    """
    return checked_names(names, PHASES, "phase", ChaosError)
