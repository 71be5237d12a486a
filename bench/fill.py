"""Many keys, quickly: raw commands in large batches, and entries of unstale's made from templates.

A template is an entry that the cache itself stored; in each copy the key is another one. An entry records the stamp of
its key's root, so there is a template for each root, and a key uses its own root's. `check` proves with the cache that
the copies are entries like any other.
"""

from __future__ import annotations

import random
import socket
from itertools import islice
from typing import TYPE_CHECKING, Any

import hiredis

from unstale.core.keys import END, ROOTS, Names, bucket

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bench.servers import Server
    from unstale import Cache

BATCH = 5000
NAMESPACE = "bench"
TTL = 86400
"""Seconds that whatever is filled in lives."""


def send_all(server: Server, database: int, commands: Iterable[tuple[Any, ...]]) -> None:
    """Run commands in batches; an error reply stops it."""
    reader = hiredis.Reader()
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        pending = iter([(b"SELECT", database), *islice(it := iter(commands), BATCH)])
        while batch := list(pending):
            sock.sendall(b"".join(map(hiredis.pack_command, batch)))
            for _ in batch:
                while (reply := reader.gets()) is False:
                    reader.feed(sock.recv(65536))
                if isinstance(reply, hiredis.ReplyError):
                    raise reply
            pending = islice(it, BATCH)


def entries(
    server: Server, database: int, cache: Cache, owners: Iterable[tuple[str, Iterable[str]]], value: bytes
) -> None:
    """Put keys under tags.

    Args:
        server: where the cache keeps its entries.
        database: the cache's.
        cache: of NAMESPACE.
        owners: tags, each with the keys that are to be under it. All keys of a tag have the same length.
        value: of all keys.
    """
    names = Names(NAMESPACE)
    with server.client.from_url(server.url(database)) as client:

        def copies() -> Iterator[tuple[Any, ...]]:
            for tag, keys in owners:
                templates: dict[int, tuple[bytes, bytes]] = {}
                for key in keys:
                    raw = key.encode()
                    root = bucket(raw)
                    if root not in templates:
                        cache.set(key, value, tags=[tag], ttl=TTL)
                        head, _, payload = client.get(names.entry(raw)).partition(raw + END)
                        templates[root] = (head, END + payload)
                    head, tail = templates[root]
                    yield (b"SET", names.entry(raw), head + raw + tail, b"EX", TTL)

        send_all(server, database, copies())


def check(cache: Cache, tag: str, keys: list[str], *, fresh: bool) -> None:
    """See that a sample of keys is fresh, or that all of it is stale."""
    sample = random.sample(keys, min(len(keys), ROOTS * 20))
    found = sum(cache.get(key, tags=[tag]) is not None for key in sample)
    if found != (len(sample) if fresh else 0):
        raise RuntimeError(
            f"{found} of {len(sample)} keys under {tag} are fresh, expected {'all' if fresh else 'none'}"
        )
