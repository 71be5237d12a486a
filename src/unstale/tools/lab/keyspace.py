"""What is in the server under test before the load begins: pages of other users' histories; and its removal.

The keys are named as django-redis names them (prefix, version, the application's key), and the values are what the site
answers. All of it comes from the plan's seed. Nothing here looks at what the load does.

Numbers are sent as text: hiredis 3.5 crashes the process if Ctrl-C comes while it packs an int, and then nobody would
be left to remove what was written.
"""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

import redis

from unstale.tools.lab.node import Node, asking, connect
from unstale.tools.lab.plan import Plan

PAGE_SIZE: Final = 20
PAYLOADS: Final = 256
"""Different pages; the keyspace repeats them. Making one for each key would take most of the time."""
BATCH: Final = 500
"""Keys in a pipeline. Larger ones are no faster."""
ABOVE_USERS: Final = 1_000_000
"""The other users' numbers begin this far above the active ones'."""
SPARE_SECONDS: Final = 900.0
"""A key outlives its run by this much, at least: what expires meanwhile would be work that no variant has caused."""
SCAN_COUNT: Final = 1000
_NAMES: Final = ("coffee", "tea", "cocoa", "milk", "sugar", "biscuits", "honey", "bread", "butter", "jam")
_LAST_ORDER_AT: Final = datetime(2026, 1, 1, tzinfo=UTC)


def fill(
    node: Node,
    plan: Plan,
    prefix: str,
    *,
    per_user: int | None = None,
    told: Callable[[int], None] | None = None,
) -> int:
    """Fill the server with pages of users who don't come.

    Args:
        node: the server.
        plan: how many keys, their least ttl, and the seed.
        prefix: what the keys begin with (Django's KEY_PREFIX).
        per_user: how many pages each of these users has; None: as many as the active ones, `plan.pages`.
        told: called with the number of keys so far, after each batch.

    Returns:
        How many keys it has written.

    Raises:
        LabError: the server refused, or is gone.
    """
    draw = random.Random(plan.seed)
    values = [page(draw) for _ in range(PAYLOADS)]
    least = int(max(plan.ttl, plan.warm_seconds + plan.seconds + plan.grace_seconds + SPARE_SECONDS))
    written = 0
    with asking(node), connect(node.url) as client:
        keys = names(plan, prefix, per_user or plan.pages)
        while batch := list(itertools.islice(keys, BATCH)):
            with client.pipeline(transaction=False) as pipeline:
                for name in batch:
                    ttl = str(draw.randrange(least, 2 * least))
                    pipeline.execute_command("SET", name, draw.choice(values), "EX", ttl)
                pipeline.execute()
            written += len(batch)
            if told is not None:
                told(written)
    return written


def names(plan: Plan, prefix: str, per_user: int) -> Iterator[str]:
    """The keys, `plan.keys` of them."""
    first = plan.users + ABOVE_USERS
    for number in range(plan.keys):
        user, number_of_page = divmod(number, per_user)
        yield f"{prefix}:1:user:{first + user}:orders:{number_of_page + 1}"


def page(draw: random.Random) -> bytes:
    """A page of a history, as the site answers it.

    Args:
        draw: where its figures come from.

    Returns:
        JSON of about 2 KB.
    """
    newest = draw.randrange(1_000_000, 9_000_000)
    ordered_at = _LAST_ORDER_AT - timedelta(seconds=draw.randrange(10_000_000))
    orders = []
    number = newest
    for _ in range(PAGE_SIZE):
        product = draw.randrange(len(_NAMES))
        ordered_at -= timedelta(seconds=draw.randrange(1, 1_000_000), microseconds=draw.randrange(1_000_000))
        orders.append(
            {
                "id": number,
                "product": product + 1,
                "product_name": _NAMES[product],
                "quantity": draw.randrange(1, 4),
                "ordered_at": ordered_at.isoformat().replace("+00:00", "Z"),
            }
        )
        number -= draw.randrange(1, 50)
    return json.dumps({"version": newest, "results": orders}, separators=(",", ":")).encode()


def leave_as_found(node: Node, prefix: str) -> int:
    """Remove all keys that begin with the prefix, and no others, from the server's database.

    It looks until it finds no more: what was on its way when the lab was interrupted may come while it looks.

    Args:
        node: the server.
        prefix: what the lab's keys begin with.

    Returns:
        How many keys are left in the database: not 0 if someone else has written there meanwhile.

    Raises:
        LabError: the server refused, or is gone.
    """
    pattern = re.sub(r"([\\*?\[\]])", r"\\\1", prefix) + "*"
    with asking(node), connect(node.url) as client:
        while _removed(client, pattern):
            pass
        return int(client.dbsize())


def _removed(client: redis.Redis, pattern: str) -> int:
    """Walk the keyspace once and remove what the pattern matches; how many keys that were."""
    count = 0
    cursor = 0
    while True:
        words = ("SCAN", str(cursor), "MATCH", pattern, "COUNT", str(SCAN_COUNT))
        cursor, keys = client.execute_command(*words)  # type: ignore[no-untyped-call]
        if keys:
            count += int(client.unlink(*keys))
        if cursor == 0:
            return count
