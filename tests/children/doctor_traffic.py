"""A cache's traffic at a low rate, until its standard input is closed: reads, and invalidations in one of two ways.

Arguments: pattern or unstale; the server's URL; users; keys of each; invalidations a second. It says "ready" after its
first round, and at its end how many invalidations it has done.
"""

from __future__ import annotations

import select
import sys

import redis

from unstale import Cache

way, url, users, pages, rate = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])
client = redis.Redis.from_url(url)
cache = Cache.from_url(url, namespace="shop", timeout=10, read_timeout=10)


def page(user: int, number: int) -> None:
    """Read one, and store it if it is not there."""
    if way == "unstale":
        cache.get_or_set(f"user:{user}:orders:{number}", lambda: "x" * 200, tags=[f"user:{user}"])
        return
    name = f"shop:1:user:{user}:orders:{number}"
    if client.get(name) is None:
        client.set(name, "x" * 200, ex=3600)


def invalidate(user: int) -> None:
    """Everything of one user's."""
    if way == "unstale":
        cache.invalidate(f"user:{user}")
    elif names := list(client.scan_iter(f"shop:1:user:{user}:*", count=1000)):
        client.delete(*names)


done = 0
while not select.select([sys.stdin], [], [], 1 / rate)[0]:
    user = done % users
    invalidate(user)
    for number in range(pages):
        page(user, number)
    done += 1
    if done == 1:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
sys.stdout.write(f"{done}\n")
