"""Drains a queue, and is killed at a step: `drainer.py URL PATH STEP`."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any, NoReturn

from unstale import Cache
from unstale.outbox import QueueFile
from unstale.stores.redis import RedisStore


def die(*_: Any, **__: Any) -> NoReturn:
    """End here and now."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


if __name__ == "__main__":
    url, path, step = sys.argv[1:]
    bump = RedisStore.bump

    def last_bump(*arguments: Any, **named: Any) -> NoReturn:
        """A bump, and then the end."""
        bump(*arguments, **named)
        die()

    match step:
        case "before it is done":
            RedisStore.bump = die  # type: ignore[method-assign]
        case "after it took effect":
            RedisStore.bump = last_bump  # type: ignore[method-assign, assignment]
        case _:
            QueueFile.remove = die  # type: ignore[method-assign]
    with Cache.from_url(url, namespace="test", timeout=10.0, invalidate_timeout=10.0, queue=path) as cache:
        cache.drain()
