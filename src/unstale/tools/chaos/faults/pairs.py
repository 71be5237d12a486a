"""A replica that takes its primary's place. The proxy leads to the primary of the time, as a name in DNS would.

What is promised says what must be avoided here: at no time are there two primaries that a writer could reach, but for
one that has lost all its clients. In each of them the one that steps down does so before the other one steps up.
"""

from __future__ import annotations

import time
from random import Random
from typing import Final

from unstale.tools.chaos.layouts import Pair, lag_of, sever
from unstale.tools.chaos.servers import HOST
from unstale.tools.chaos.world import PAIR, Fault, World

LAG: Final = (0.2, 1.0)
"""Seconds of invalidations that the new primary has not heard of."""


def failover_to_laggard(world: World, draw: Random) -> str:
    """The primary dies, and its replica knows nothing of the last seconds: old stamps are there again."""
    pair, proxy = world.servers(Pair), world.through()
    pair.heal()
    seconds = draw.uniform(*LAG)
    sever(pair.primary, pair.replica)
    time.sleep(seconds)
    behind = lag_of(pair.primary, pair.replica)
    pair.primary.kill()
    pair.replica.ask("REPLICAOF", "NO", "ONE")
    pair.exchange()
    proxy.lead_to(pair.primary.address)
    pair.heal()
    return f"the primary died, and its replica took its place {seconds:.1f} s and {behind} bytes behind"


def demoted_primary(world: World, _draw: Random) -> str:
    """The servers change roles. The old primary keeps its clients, and hears nothing of the new one's writes.

    It is left so until the next fault of a pair, or `World.heal`: whoever still believes it after a second is wrong.
    """
    pair, proxy = world.servers(Pair), world.through()
    pair.heal()
    clients = _clients(pair)
    pair.hand_over()
    proxy.lead_to(pair.primary.address)
    return f"the primary was demoted, with {clients} clients that it kept"


def promoted_back(world: World, draw: Random) -> str:
    """The servers change roles and change them back, so fast that connections to the first live through it.

    Meanwhile it was a replica without its primary: what was invalidated on the other one, it has never heard of.
    """
    pair, proxy = world.servers(Pair), world.through()
    pair.heal()
    first, second = pair.primary, pair.replica
    pair.hand_over()
    proxy.lead_to(second.address)
    seconds = draw.uniform(*LAG)
    time.sleep(seconds)
    second.ask("REPLICAOF", HOST, first.port)  # before the other steps up: see above
    first.ask("REPLICAOF", "NO", "ONE")
    pair.exchange()
    proxy.lead_to(first.address)
    pair.heal()
    return f"the primary was a replica without its primary for {seconds:.1f} s, and is primary again"


def _clients(pair: Pair) -> int:
    with pair.primary.client() as client:
        return len(client.client_list(_type="normal")) - 1


FAULTS = (
    Fault("failover-to-laggard", "The primary dies, and a lagging replica takes over.", failover_to_laggard, PAIR),
    Fault("demoted-primary", "The primary is demoted, and keeps its clients.", demoted_primary, PAIR),
    Fault("promoted-back", "A primary is demoted and promoted under its clients.", promoted_back, PAIR),
)
