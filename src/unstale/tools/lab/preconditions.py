"""Whether a plan can run here, found out before anything is started or written.

What stops the whole plan is an error (`check`); what only rules out one of its variants is a reason (`applies`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import psutil
import redis

from unstale.stores.addresses import shown
from unstale.tools.lab.errors import LabError
from unstale.tools.lab.node import SCHEMES, Node, asking, connect
from unstale.tools.lab.plan import PREFIX, Plan, Variant
from unstale.tools.lab.servers import cores, extra_program, is_users_own
from unstale.tools.programs import program_of

BYTES_PER_KEY: Final = 2_700
"""Measured with `keyspace.fill`: 2,250 on Valkey 9.1, 2,690 on Redis 7.0, expiry included."""
SPARE_BYTES: Final = 512 * 1024 * 1024
"""For the site's processes, the load and the rest of the machine."""
SPARE_PART: Final = 0.1
"""Of the keyspace, for what the load adds to it."""
DATABASES: Final = 16
"""A server's own default, where it does not tell."""
ANSWER_SECONDS: Final = 10.0


def check(plan: Plan) -> None:
    """See whether a plan can run.

    Raises:
        ConfigurationError: a program is not installed.
        LabError: memory is short; the user's own server cannot be reached, refuses, is not a single primary, holds data
            in this database, or would evict. The message says what to do.
    """
    if is_users_own(plan):
        _check_own_server(plan)
    else:
        program_of(plan.server)
        _check_memory(plan, psutil.virtual_memory().available - SPARE_BYTES, "this machine")
    if any(variant.second_node or variant.caching == "async-deletes" for variant in plan.chosen()):
        extra_program(plan)


def applies(plan: Plan, variant: Variant) -> str | None:
    """Why a variant cannot be run with this plan on this machine; None: it can."""
    if is_users_own(plan) and (variant.io_threads > 1 or variant.all_cores):
        return "needs a server that the lab starts itself: it changes the server's I/O threads and cores"
    if is_users_own(plan) and variant.core_fraction is not None:
        return "needs a server that the lab starts itself: it holds the server to a fraction of a core"
    if variant.all_cores and cores() == 1:
        return "needs a machine with more than one core"
    return None


def bytes_needed(plan: Plan) -> int:
    """What the keyspace takes in the server, and what the load will add to it."""
    return int(plan.keys * BYTES_PER_KEY * (1 + SPARE_PART))


def _check_memory(plan: Plan, free: float, whose: str) -> None:
    """Raise LabError if the keyspace would not fit into this many bytes."""
    needed = bytes_needed(plan)
    if plan.keys and needed > free:
        raise LabError(
            f"{plan.keys:,} keys take about {_megabytes(needed)}, and {whose} has {_megabytes(free)} for them. "
            f"Ask for fewer: about {_round_down(max(0.0, free) * plan.keys / needed):,} would fit."
        )


def _check_own_server(plan: Plan) -> None:
    if plan.server.partition("://")[0] not in SCHEMES:
        raise LabError(
            f"The lab cannot measure {shown(plan.server)}. Name one server by a URL that begins with redis://, "
            "rediss:// or unix://, or have the lab start one: --server embedded, or --server redis-server."
        )
    node = Node(plan.server, "The server")
    with connect(plan.server, ANSWER_SECONDS) as client, asking(node):
        told = {**client.info("server"), **client.info("replication"), **client.info("memory")}
        _check_kind(node, told)
        _check_empty(node, client)
        _check_room(plan, node, told)


def _check_kind(node: Node, told: Mapping[str, Any]) -> None:
    """Raise LabError unless it is a single primary."""
    if told.get("role") != "master":
        raise LabError(f"{shown(node.url)} is a replica, which takes no writes. Name its primary.")
    if "cluster" in {told.get("redis_mode"), told.get("server_mode")}:
        raise LabError(f"{shown(node.url)} is a node of a cluster. The lab measures single servers: name one.")


def _check_empty(node: Node, client: redis.Redis) -> None:
    """Raise LabError if there is anything in the database."""
    keys = client.dbsize()
    if not keys:
        return
    used = client.info("keyspace")
    free = [number for number in range(_databases(client)) if f"db{number}" not in used]
    advice = f"Database {free[0]} is empty: write /{free[0]} at the end of the URL." if free else "Name another server."
    name: Any = client.randomkey()
    if name and name.startswith(PREFIX.encode()):
        asking = f"redis-cli -n {node.database}"
        advice += (
            f" There are keys that begin with {PREFIX}: a lab that was killed has left them. Remove them with: "
            f"{asking} --scan --pattern '{PREFIX}*' | xargs -n 1000 {asking} unlink"
        )
    raise LabError(
        f"Database {node.database} of {shown(node.url)} holds {keys:,} keys. The lab fills a database of its own, "
        f"and would measure yours with it. {advice}"
    )


def _databases(client: redis.Redis) -> int:
    try:
        return int(client.config_get("databases").get("databases") or DATABASES)
    except redis.ResponseError:
        return DATABASES  # many providers don't let anyone ask


def _check_room(plan: Plan, node: Node, told: Mapping[str, Any]) -> None:
    """Raise LabError if the keyspace would not fit, so that the server refused it, or evicted its other data for it."""
    limit = told.get("maxmemory") or 0
    if limit:
        policy = told.get("maxmemory_policy", "noeviction")
        loses = "" if policy == "noeviction" else f" (above maxmemory it evicts, by its policy {policy})"
        _check_memory(plan, limit - told["used_memory"], f"{shown(node.url)}{loses}")
    elif told.get("total_system_memory"):
        _check_memory(plan, told["total_system_memory"] - told["used_memory"] - SPARE_BYTES, shown(node.url))


def _megabytes(count: float) -> str:
    return f"{max(0.0, count) / 1e6:,.0f} MB"


def _round_down(keys: float) -> int:
    return int(keys // 1000) * 1000
