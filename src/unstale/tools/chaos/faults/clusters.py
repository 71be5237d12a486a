"""A cluster that changes: replicas promoted, primaries that die, slots that move, each while it is used."""

from __future__ import annotations

import time
from random import Random
from typing import Final

from unstale.tools.chaos.clusters import Cluster, slot_of
from unstale.tools.chaos.layouts import sever
from unstale.tools.chaos.world import CLUSTER, Fault, World

LAG: Final = (0.2, 1.0)
"""Seconds of invalidations that the new primary has not heard of."""
MOST_SLOTS: Final = 20


def failover(world: World, draw: Random) -> str:
    """A primary and its replica change roles, as an operator has them do it: no write is lost."""
    cluster = world.servers(Cluster)
    heir = cluster.replica_of(draw.choice(cluster.leading()))
    heir.ask("CLUSTER", "FAILOVER")
    cluster.wait_for(heir)
    cluster.heal()
    return f"the replica on port {heir.port} and its primary changed roles"


def crash(world: World, draw: Random) -> str:
    """A primary dies, and the others make its replica primary, which lags behind."""
    cluster, seconds = world.servers(Cluster), draw.uniform(*LAG)
    primary = draw.choice(cluster.leading())
    heir = cluster.replica_of(primary)
    sever(primary, heir)
    time.sleep(seconds)
    primary.kill()
    cluster.wait_for(heir)
    cluster.heal()
    return f"the primary on port {primary.port} died, and its replica took its place {seconds:.1f} s behind"


def reshard(world: World, draw: Random) -> str:
    """Some slots that have names of the run move to another primary, name by name."""
    cluster = world.servers(Cluster)
    used = sorted(_slots_used(world))
    slots = draw.sample(used, min(draw.randint(1, MOST_SLOTS), len(used)))
    owners, names = cluster.owners(), 0
    for slot in slots:
        source = next(node for node, own in owners.items() if slot in own)
        names += cluster.move(slot, source, draw.choice([node for node in owners if node is not source]))
    cluster.heal()
    return f"{len(slots)} slots with {names} names moved to other primaries"


def _slots_used(world: World) -> set[int]:
    found: set[int] = set()
    for client in world.clients():
        with client:
            found |= {slot_of(name) for name in client.scan_iter(f"{world.namespace}:*", 1000)}
    return found


FAULTS = (
    Fault("cluster-failover", "A replica is promoted by an operator.", failover, CLUSTER),
    Fault("cluster-crash", "A primary dies, and the cluster promotes a lagging replica.", crash, CLUSTER),
    Fault("cluster-reshard", "Slots move to another primary.", reshard, CLUSTER),
)
