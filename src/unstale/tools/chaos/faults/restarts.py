"""A server that dies by SIGKILL and comes back: with nothing, or with what it knew when it last wrote to disk."""

from __future__ import annotations

import time
from random import Random

from unstale.tools.chaos.layouts import Own
from unstale.tools.chaos.servers import DUMP
from unstale.tools.chaos.world import OWN, Fault, World


def outage(world: World, draw: Random) -> str:
    """It is away for a while."""
    return _restarted(world, draw, draw.uniform(0.5, 3.0))


def long_outage(world: World, draw: Random) -> str:
    """It is away for a minute."""
    return _restarted(world, draw, 60.0)


def restart_empty(world: World, draw: Random) -> str:
    """It is back as fast as it can."""
    return _restarted(world, draw, 0.0)


def restart_from_snapshot(world: World, draw: Random) -> str:
    """It comes back with a snapshot: the stamps of then, and the entries that were fresh by them."""
    layout = world.servers(Own)
    server, seconds = draw.choice(layout.leading()), draw.uniform(0.2, 1.0)
    server.save()
    time.sleep(seconds)
    server.kill()
    server.start(keeping=True)
    with server.client() as client:
        names = client.dbsize()
    (server.directory / DUMP).unlink()
    layout.heal()
    return f"the server on port {server.port} came back with the {names} names of {seconds:.1f} s before"


def _restarted(world: World, draw: Random, seconds: float) -> str:
    layout = world.servers(Own)
    server = draw.choice(layout.leading())
    server.kill()
    time.sleep(seconds)
    layout.heal()
    return f"the server on port {server.port} was away for {seconds:.1f} s, and came back with nothing"


FAULTS = (
    Fault("outage", "The server is away for a while, and comes back empty.", outage, OWN),
    Fault("long-outage", "The server is away for a minute, and comes back empty.", long_outage, OWN),
    Fault("restart-empty", "The server is restarted, and has kept nothing.", restart_empty, OWN),
    Fault("restart-from-snapshot", "The server is restarted from an old snapshot.", restart_from_snapshot, OWN),
)
