"""Failovers that sentinels carry out, and sentinels that are away."""

from __future__ import annotations

import time
from random import Random
from typing import Final

from unstale.tools.chaos.layouts import sever
from unstale.tools.chaos.sentinels import SERVICE, Sentinels
from unstale.tools.chaos.servers import HOST
from unstale.tools.chaos.world import SENTINEL, Fault, World

LAG: Final = (0.2, 1.0)
"""Seconds of invalidations that the new primary has not heard of."""
IMPATIENT_MILLISECONDS: Final = 1000


def asked(world: World, draw: Random) -> str:
    """Somebody asks for it. The old primary goes on as one until it is told: by them, or by an operator."""
    layout = world.servers(Sentinels)
    old, heir, told_after = layout.primary, layout.replica, draw.choice((None, 0.0, 2.0))
    draw.choice(layout.sentinels).ask("SENTINEL", "FAILOVER", SERVICE)
    layout.wait_for(heir)
    if told_after is not None:
        time.sleep(told_after)
        old.ask("REPLICAOF", HOST, heir.port)
    layout.heal()
    how = "the sentinels told it" if told_after is None else f"it was told {told_after:.0f} s later"
    return f"the sentinels made port {heir.port} the primary, and the old one a replica when {how}"


def crash(world: World, draw: Random) -> str:
    """The primary dies, and they find out, and make a replica primary that lags behind."""
    layout = world.servers(Sentinels)
    old, heir, seconds = layout.primary, layout.replica, draw.uniform(*LAG)
    sever(old, heir)
    time.sleep(seconds)
    for one in layout.sentinels:
        one.counts_on_failing_after(IMPATIENT_MILLISECONDS)
    old.kill()
    layout.wait_for(heir)
    layout.heal()
    return f"the primary died, and the sentinels made one primary that was {seconds:.1f} s behind"


def sentinel_away(world: World, draw: Random) -> str:
    """One of them dies, and comes back."""
    layout, seconds = world.servers(Sentinels), draw.uniform(0.2, 2.0)
    one = draw.choice(layout.sentinels)
    one.kill()
    time.sleep(seconds)
    layout.heal()
    return f"the sentinel on port {one.port} was away for {seconds:.1f} s"


FAULTS = (
    Fault("sentinel-failover", "Somebody asks the sentinels for a failover.", asked, SENTINEL),
    Fault("sentinel-crash", "The primary dies, and the sentinels promote a lagging replica.", crash, SENTINEL),
    Fault("sentinel-away", "A sentinel dies, and comes back.", sentinel_away, SENTINEL),
)
