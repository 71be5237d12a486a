"""Reads a server from many threads, forked processes or greenlets: each must get its own answers, and none may hang.

Arguments: threads, fork or gevent; the server's URL; a time limit in seconds. It says "ready", waits for a word while
the server is frozen, tells how that went, waits for another when the server goes on, and tells what it read then.
"""

from __future__ import annotations

import sys

if sys.argv[1] == "gevent":
    from gevent import monkey

    monkey.patch_all()

import json
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from unstale import Cache
from unstale.errors import StoreTimeoutError
from unstale.events import Event, Failed

WORKERS = 8
KEYS = 150

mode, url, limit = sys.argv[1], sys.argv[2], float(sys.argv[3])
events: list[Event] = []
cache = Cache.from_url(
    url, namespace="test", timeout=limit, read_timeout=limit, max_connections=4 * WORKERS, on_event=events.append
)
patient = Cache.from_url(url, namespace="test", timeout=30, read_timeout=30, max_connections=4)


def tell(value: Any) -> None:
    """Write a line."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def in_threads(work: Callable[[int], Any]) -> list[Any]:
    """Do the work once in each of many threads (greenlets, under gevent)."""
    results: list[Any] = []
    threads = [threading.Thread(target=lambda n=number: results.append(work(n))) for number in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def in_fork(work: Callable[[], Any]) -> Any:
    """Do the work in a forked child."""
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(sending, json.dumps(work()).encode())
        os._exit(0)
    os.close(sending)
    with os.fdopen(receiving) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return json.loads(text)


def silent(number: int) -> dict[str, Any]:
    """What the verbs do now, and how long they take."""
    began = time.monotonic()
    loaded = cache.get_or_set(f"k{number}", lambda: "loaded", tags=["t"])
    read_seconds = time.monotonic() - began
    try:
        cache.invalidate("t")
        invalidated = "done"
    except StoreTimeoutError:
        invalidated = "timed out"
    return {
        "loaded": loaded,
        "read_seconds": read_seconds,
        "invalidated": invalidated,
        "seconds": time.monotonic() - began,
        "errors": sorted({type(event.error).__name__ for event in events if isinstance(event, Failed)}),
    }


def silently() -> list[dict[str, Any]]:
    """`silent` in the way of the mode."""
    if mode == "fork":
        return [in_fork(lambda: silent(0)), silent(1)]
    return in_threads(silent)


def strange(number: int) -> list[Any]:
    """Which of many keys, read in an order of one's own, gave something other than their own values."""
    keys = [(number * 31 + step * 7) % KEYS for step in range(2 * KEYS)]
    answers = [(key, patient.get(f"k{key}", tags=["t"])) for key in keys]
    many = patient.get_many([f"k{key}" for key in keys[:20]], tags=["t"])
    answers += [(key, many.get(f"k{key}")) for key in keys[:20]]
    return [answer for answer in answers if answer[1] != f"v{answer[0]}"]


def strange_to_all() -> list[Any]:
    """The strange answers of all workers."""
    return [answer for answers in in_threads(strange) for answer in answers]


def mixed() -> list[Any]:
    """What strange answers all workers got, in the parent and, while its threads read, in forked children."""
    if mode != "fork":
        return strange_to_all()
    found: list[Any] = []
    reading = threading.Thread(target=lambda: found.extend(strange_to_all()))
    reading.start()
    for _ in range(3):
        found.extend(in_fork(strange_to_all))
    reading.join()
    return found


def main() -> None:
    """Say, wait, tell; twice."""
    ticks = [0]
    if mode == "gevent":

        def tick() -> None:
            while True:
                time.sleep(0.01)
                ticks[0] += 1

        threading.Thread(target=tick, daemon=True).start()
    in_threads(lambda number: cache.get(f"k{number}", tags=["t"]))  # connections that are in use by now
    tell("ready")
    sys.stdin.readline()
    events.clear()
    before = ticks[0]
    outcomes = silently()
    tell({"outcomes": outcomes, "ticks": ticks[0] - before})
    sys.stdin.readline()
    patient.set_many({f"k{key}": f"v{key}" for key in range(KEYS)}, tags=["t"])
    tell(mixed())


main()
