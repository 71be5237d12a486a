"""Invalidates many tags through an outage: `queueing.py URL PATH NUMBER TIMES`. It says "ready", waits, and goes on.

It says when something was queued first, and ends when all its invalidations have returned.
"""

from __future__ import annotations

import json
import sys

from unstale import Cache
from unstale.events import Queued

url, path, number, times = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])


def tell(value: str) -> None:
    """Write a line."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


with Cache.from_url(url, namespace="test", timeout=2.0, invalidate_timeout=0.1, queue=path) as cache:
    tell("ready")
    sys.stdin.readline()
    queued = 0
    for one in range(times):
        done = cache.invalidate(f"user:{number * times + one}")
        queued += isinstance(done, Queued)
        if queued == 1:
            tell(type(done).__name__)
            queued += 1
