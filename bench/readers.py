"""The reads that are compared: the same kilobyte, through each library as it comes, and over a bare socket."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any, Final

import hiredis
import redis
from dogpile.cache import make_region

from bench.django_site import cache_at
from unstale import Cache
from unstale.core.keys import Names

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.servers import Server

RAW_GET: Final = "raw socket GET"
RAW_MGET: Final = "raw socket MGET of 4"
UNSTALE: Final = "unstale get, 3 stamps"
REDIS_PY: Final = "redis-py get"
DJANGO_REDIS: Final = "django-redis get"
DJANGO: Final = "Django RedisCache get"
DOGPILE: Final = "dogpile.cache get"

VALUE: Final = os.urandom(1024)
KEY: Final = "orders:42"
TAGS: Final = ("user:42/orders",)
"""Two tags with their ancestor, and the root: three stamps."""


def readers(server: Server) -> dict[str, Callable[[], object]]:
    """A function for each way to read VALUE, by name."""
    made = {
        RAW_GET: _raw_get(server),
        RAW_MGET: _raw_mget(server),
        UNSTALE: _unstale(server),
        REDIS_PY: _redis_py(server),
        DJANGO_REDIS: _django(server, "django_redis.cache.RedisCache"),
        DJANGO: _django(server, "django.core.cache.backends.redis.RedisCache"),
        DOGPILE: _dogpile(server),
    }
    wrong = [name for name, read in made.items() if name != RAW_MGET and read() != VALUE]
    if wrong:
        raise RuntimeError(f"{', '.join(wrong)}: not what was stored")
    return made


def _connected(server: Server) -> tuple[Callable[[bytes], int], Callable[[int], bytes], hiredis.Reader]:
    sock = socket.create_connection(("127.0.0.1", server.port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock.send, sock.recv, hiredis.Reader()


def _raw_get(server: Server) -> Callable[[], object]:
    """The yardstick: what reading a kilobyte costs where nothing is done but pack, send, receive and parse."""
    server.client.set("raw", VALUE)
    send, recv, reader = _connected(server)
    pack = hiredis.pack_command

    def read() -> object:
        send(pack((b"GET", b"raw")))
        reader.feed(recv(65536))
        return reader.gets()

    return read


def _raw_mget(server: Server) -> Callable[[], object]:
    """The command that unstale sends, with nothing around it."""
    _unstale(server)()
    names = Names("bench")
    command = (b"MGET", *names.read_names(KEY.encode(), names.tagset("", TAGS), ""))
    send, recv, reader = _connected(server)
    pack = hiredis.pack_command

    def read() -> object:
        send(pack(command))
        reader.feed(recv(65536))
        return reader.gets()

    return read


def _unstale(server: Server) -> Callable[[], object]:
    cache = Cache.from_url(server.url(), namespace="bench", timeout=10)
    cache.get_or_set(KEY, lambda: VALUE, tags=TAGS, ttl=None)
    return lambda: cache.get(KEY, tags=TAGS)


def _redis_py(server: Server) -> Callable[[], object]:
    client = redis.Redis(port=server.port)
    return lambda: client.get("raw")


def _django(server: Server, backend: str) -> Callable[[], object]:
    cache = cache_at(backend, server.url())
    cache.set("django", VALUE, None)
    return lambda: cache.get("django")


def _dogpile(server: Server) -> Callable[[], object]:
    options: dict[str, Any] = {"host": "127.0.0.1", "port": server.port, "distributed_lock": False}
    region = make_region().configure("dogpile.cache.redis", arguments=options)
    region.set("dogpile", VALUE)
    return lambda: region.get("dogpile")
