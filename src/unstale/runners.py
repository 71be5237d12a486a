"""Runners: what does the loads during which a stale value is served. A cache has none unless it is given one.

A runner is called with a job and sees to it that it is done, elsewhere and soon: for `Cache` a function without
arguments (so `executor.submit` is a runner), for `AsyncCache` a coroutine. If it raises, whoever called loads himself.
A job is a load that a lease was taken for: there is at most one a key at a time, over all processes.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def threads(max_workers: int = 4) -> Callable[[Callable[[], None]], object]:
    """A runner for `Cache`: a pool of threads, started when they are first needed.

    The loader runs in another thread than the reader: outside the request, with database connections of that thread's
    own. At the interpreter's exit what was begun is finished.

    Args:
        max_workers: most loads at a time; others wait in line.
    """
    pools: dict[int, ThreadPoolExecutor] = {}

    def run(job: Callable[[], None]) -> object:
        pid = os.getpid()  # a child has none of its parent's threads, though its copy of the pool believes so
        pool = pools.get(pid)
        if pool is None:
            made = ThreadPoolExecutor(max_workers, thread_name_prefix="unstale-refresh")
            pool = pools.setdefault(pid, made)
        return pool.submit(job)

    return run


def tasks() -> Callable[[Coroutine[Any, Any, None]], object]:
    """A runner for `AsyncCache`: a task of the running loop. What is not done when the loop ends is cancelled."""
    running: set[asyncio.Task[None]] = set()

    def run(job: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(job)
        running.add(task)  # a loop holds its tasks weakly
        task.add_done_callback(running.discard)

    return run
