"""Processes that stand still: garbage collection, a frozen container, a laptop that sleeps, a machine that swaps."""

from __future__ import annotations

import os
import signal
import time
from random import Random

from unstale.tools.chaos.layouts import Own
from unstale.tools.chaos.world import OWN, Fault, World


def sigstop_reader(world: World, draw: Random) -> str:
    """Stop one."""
    return _stopped(world.readers, draw, "reader")


def sigstop_writer(world: World, draw: Random) -> str:
    """Stop one, anywhere between its commit and its invalidation perhaps."""
    return _stopped(world.writers, draw, "writer")


def sigstop_server(world: World, draw: Random) -> str:
    """Stop a primary: connections to it are made, but nothing answers."""
    seconds = draw.uniform(0.1, 2.0)
    server = draw.choice(world.servers(Own).leading())
    server.freeze()
    try:
        time.sleep(seconds)
    finally:
        server.thaw()
    return f"the server on port {server.port} stood still for {seconds:.1f} s"


def _stopped(pids: list[int], draw: Random, what: str) -> str:
    if not pids:
        return f"there was no {what}"
    pid, seconds = draw.choice(pids), draw.uniform(0.1, 2.0)
    try:
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        return f"the {what} {pid} had ended"
    return f"the {what} {pid} stood still for {seconds:.1f} s"


FAULTS = (
    Fault("sigstop-reader", "A reader's process stands still.", sigstop_reader),
    Fault("sigstop-writer", "A writer's process stands still.", sigstop_writer),
    Fault("sigstop-server", "The server stands still.", sigstop_server, OWN),
)
