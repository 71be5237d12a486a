"""Failovers that sentinels carry out, and sentinels that are away."""

from __future__ import annotations

import time
from random import Random
from typing import Final

from redis.exceptions import ResponseError

from unstale.tools.chaos.layouts import sever
from unstale.tools.chaos.sentinels import SERVICE, Sentinel, Sentinels
from unstale.tools.chaos.servers import HOST, Server, until
from unstale.tools.chaos.world import SENTINEL, Fault, World

LAG: Final = (0.2, 1.0)
"""Seconds of invalidations that the new primary has not heard of."""
UNUSED_SECONDS: Final = 2.0
"""After which nobody uses a server that the sentinels do not name any more: a proof of its role holds for a second."""
IMPATIENT_MILLISECONDS: Final = 1000


def asked(world: World, draw: Random) -> str:
    """Somebody asks for it. The old primary goes on as one until it is told, when nobody uses it any more.

    By them, which takes some 10 seconds, or by an operator.
    """
    layout = world.servers(Sentinels)
    old, heir = _failed_over(layout, draw)
    who = draw.choice(("they", "an operator"))
    if who == "an operator":
        time.sleep(UNUSED_SECONDS)
        old.ask("REPLICAOF", HOST, heir.port)
    layout.heal()
    return f"the sentinels made another one primary, and {who} told the old one later"


def told_at_once(world: World, draw: Random) -> str:
    """Somebody asks for it, and makes the old primary a replica at once: with its clients, for up to a second."""
    layout = world.servers(Sentinels)
    old, heir = _failed_over(layout, draw)
    old.ask("REPLICAOF", HOST, heir.port)
    layout.heal()
    return "the sentinels made another one primary, and the old one was told at once"


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


def _failed_over(layout: Sentinels, draw: Random) -> tuple[Server, Server]:
    """The old and the new primary."""
    old, heir, one = layout.primary, layout.replica, draw.choice(layout.sentinels)
    until(lambda: _takes_on(one), "a replica that a sentinel would promote")
    layout.wait_for(heir)
    return old, heir


def _takes_on(one: Sentinel) -> bool:
    """Ask for a failover. On a busy machine a sentinel may not have heard of the replica for a while."""
    try:
        one.ask("SENTINEL", "FAILOVER", SERVICE)
    except ResponseError as error:
        if "NOGOODSLAVE" not in str(error):
            raise
        return False
    return True


FAULTS = (
    Fault("sentinel-failover", "Somebody asks the sentinels for a failover.", asked, SENTINEL),
    Fault("sentinel-failover-told", "The same, and the old primary is demoted at once.", told_at_once, SENTINEL),
    Fault("sentinel-crash", "The primary dies, and the sentinels promote a lagging replica.", crash, SENTINEL),
    Fault("sentinel-away", "A sentinel dies, and comes back.", sentinel_away, SENTINEL),
)
