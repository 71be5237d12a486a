"""A process that uses an embedded server until its input ends. Argument: the URL.

It tells the server's process id and socket. Then, for each word: "get" tells what is under "k", "set" sets it, "close"
closes the cache and opens it again, "fork" forks a child that goes on with the same cache while this process ends.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from unstale import Cache
from unstale.core.ports import Store

url = sys.argv[1]


def tell(value: Any) -> None:
    """Write a line."""
    os.write(1, json.dumps(value).encode() + b"\n")


def server_pid(cache: Cache) -> int:
    """The server's process id, by its INFO."""
    store: Store = cache._store
    wire = store._pool.take()
    try:
        [info] = wire.transfer([(b"INFO", b"server")])
    finally:
        store._pool.give(wire)
    return next(int(line.partition(b":")[2]) for line in info.split(b"\r\n") if line.startswith(b"process_id:"))


def words() -> Any:
    """The words that come, one at a time, read without a buffer, which a forked child would share."""
    line = b""
    while byte := os.read(0, 1):
        if byte != b"\n":
            line += byte
            continue
        yield line.decode()
        line = b""


cache = Cache.from_url(url, timeout=10.0, read_timeout=10.0)
tell({"server": server_pid(cache), "socket": str(cache._store._pool._connect().path)})
for word in words():
    if word == "get":
        tell(cache.get("k"))
    elif word == "set":
        tell(cache.set("k", "v"))
    elif word == "close":
        cache.close()
        cache = Cache.from_url(url, timeout=10.0, read_timeout=10.0)
        tell({"server": server_pid(cache)})
    elif word == "fork" and os.fork():
        os._exit(0)
