"""Connections as the server treats them: it cuts clients off, or keeps them waiting."""

from __future__ import annotations

import time
from random import Random
from typing import Any

import psutil
import redis

from unstale.tools.chaos.layouts import Own
from unstale.tools.chaos.world import OWN, Fault, World


def client_kill(world: World, draw: Random) -> str:
    """Cut off some, or all: on a user's server only the run's own readers and writers."""
    part = draw.choice((0.2, 1.0))
    is_own = isinstance(world.layout, Own)
    ours = set() if is_own else _addresses(world)
    killed = found = 0
    for client in world.clients():
        with client:
            mine = client.client_id()
            others = [
                one
                for one in client.client_list(_type="normal")
                if int(one["id"]) != mine and (is_own or one["addr"] in ours)
            ]
            found += len(others)
            killed += sum(_kill(client, one) for one in others if draw.random() < part)
    return f"{killed} of {found} clients were cut off"


def client_pause(world: World, draw: Random) -> str:
    """Keep all clients waiting, or those that write."""
    milliseconds = draw.randrange(50, 1500)
    is_whole = draw.random() < 0.5  # noqa: PLR2004 - a coin
    clients = world.clients()
    try:
        for client in clients:
            client.client_pause(milliseconds, all=is_whole)
        time.sleep(milliseconds / 1000)
    finally:
        for client in clients:
            client.client_unpause()
            client.close()
    return f"{'all clients' if is_whole else 'those that write'} waited for {milliseconds} ms"


def _kill(client: redis.Redis, one: dict[str, Any]) -> int:
    killed: int = client.client_kill_filter(_id=one["id"])
    return killed


def _addresses(world: World) -> set[str]:
    """Where the connections of readers and writers come from. Behind NAT the server has others, and none is found."""
    found: set[str] = set()
    for pid in (*world.readers, *world.writers):
        try:
            found |= {f"{one.laddr.ip}:{one.laddr.port}" for one in psutil.Process(pid).net_connections("tcp")}
        except psutil.NoSuchProcess:  # it has just ended, as a writer that is killed does
            continue
    return found


FAULTS = (
    Fault("client-kill", "The server cuts clients off (CLIENT KILL, a timeout, an idle limit).", client_kill),
    Fault("client-pause", "The server keeps clients waiting (CLIENT PAUSE).", client_pause, OWN),
)
