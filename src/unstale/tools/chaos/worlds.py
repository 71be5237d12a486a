"""A phase's world: its servers, and what stands before them. Started here, seen to answer, and always ended."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, assert_never
from urllib.parse import urlsplit, urlunsplit

from unstale.tools.chaos.clusters import Cluster
from unstale.tools.chaos.errors import ChaosError
from unstale.tools.chaos.faults import FAULTS
from unstale.tools.chaos.layouts import Layout, One, Pair, Users
from unstale.tools.chaos.plan import Plan, Topology
from unstale.tools.chaos.proxy import Proxy
from unstale.tools.chaos.sentinels import Sentinels
from unstale.tools.chaos.servers import HOST
from unstale.tools.chaos.world import CLUSTER, OWN, SENTINEL, Need, World
from unstale.tools.programs import program_of

PREFIX: Final = "unstale-chaos"
BATCH: Final = 1000


@contextmanager
def standing(topology: Topology, plan: Plan, directory: Path, faults: Sequence[str] = ()) -> Iterator[World]:
    """A world for a phase. It begins with none of the run's names, and leaves none behind.

    Args:
        topology: of the run's own servers; a user's has the one that it has.
        plan: names the server.
        directory: for logs and snapshots.
        faults: that are going to be struck: a proxy is there only if one of them, or the topology, needs it.

    Yields:
        The world. Its own servers have ended afterwards, also if this process was killed.

    Raises:
        ChaosError: a server does not start; or a proxy is needed where none can be.
        ConfigurationError: its program is not installed.
    """
    is_proxied = topology == "pair" or any("proxy" in FAULTS[name].needs for name in faults)
    if is_proxied and (topology not in {"one", "pair"} or _is_users_otherwise(plan)):
        raise ChaosError("A proxy stands before one server or a pair, or before a user's that begins with redis://.")
    with ExitStack() as stack:
        layout = _layout(topology, plan, directory)
        stack.callback(layout.close)
        has, proxy = set(_HAS.get(type(layout), ())), None
        if is_proxied:
            proxy = stack.enter_context(_proxy_before(layout, directory))
            has.add("proxy")
        world = World(
            url=layout.url if proxy is None else _with_address(layout.url, proxy.port),
            namespace=f"{PREFIX}-{secrets.token_hex(4)}",
            layout=layout,
            has=frozenset(has),
            proxy=proxy,
        )
        try:
            yield world
        finally:
            if isinstance(layout, Users):
                remove_names(world)


def remove_names(world: World) -> int:
    """Remove the run's names from all servers; how many there were."""
    removed = 0
    for client in world.clients():
        with client:
            for name in client.scan_iter(f"{world.namespace}:*", BATCH):
                removed += client.unlink(name)
    return removed


_HAS: Final[Mapping[type[Layout], frozenset[Need]]] = {
    One: OWN,
    Pair: OWN | {"pair"},
    Sentinels: SENTINEL,
    Cluster: CLUSTER,
}


def _layout(topology: Topology, plan: Plan, directory: Path) -> Layout:
    if "://" in plan.server:
        return Users(plan.server)
    program = program_of(plan.server)
    match topology:
        case "one":
            return One(program, directory)
        case "pair":
            return Pair(program, directory)
        case "sentinel":
            return Sentinels(program, directory)
        case "cluster":
            return Cluster(program, directory)
        case _:
            assert_never(topology)


def _is_users_otherwise(plan: Plan) -> bool:
    """Whether the user's server is reached in a way that the proxy cannot take."""
    return "://" in plan.server and not plan.server.startswith("redis://")


def _proxy_before(layout: Layout, directory: Path) -> Proxy:
    parts = urlsplit(layout.url)
    return Proxy(directory, (parts.hostname or HOST, parts.port or 6379))


def _with_address(url: str, port: int) -> str:
    parts = urlsplit(url)
    credentials = "".join(parts.netloc.rpartition("@")[:2])
    return urlunsplit(parts._replace(netloc=f"{credentials}{HOST}:{port}"))
