"""What is not as with django-redis, each on purpose: the tests that docs/django-migration.md names beside others."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from django.core.cache import caches
from django.core.cache.backends.base import CacheKeyWarning
from django.test import override_settings
from servers import Server, free_port

from unstale.contrib.django import UnstaleCache
from unstale.contrib.django.backend.options import read_options
from unstale.errors import StoreError, StoreUnavailableError

HERE = Path(__file__).parent
PAGE = HERE.parent.parent / "docs" / "django-migration.md"


def test_each_difference_names_tests_that_there_are() -> None:
    """The page names a test in each line of its table, and each is there."""
    table = PAGE.read_text().partition("## What is different")[2].splitlines()
    rows = [line for line in table if line.startswith("| ") and not re.match(r"\| (---|\*\*|django-redis)", line)]
    named = [re.findall(r"`(test_\w+)`", row) for row in rows]
    there = set(re.findall(r"def (test_\w+)", "\n".join(path.read_text() for path in HERE.glob("test_*.py"))))
    assert len(named) > 30
    assert [row for row, tests in zip(rows, named, strict=True) if not tests] == []
    assert set(re.findall(r"`(test_\w+)`", PAGE.read_text())) - there == set()


def test_a_value_that_was_overtaken_is_not_stored(backend: Any) -> None:
    """`set` says False: between the miss and the set its tag was invalidated."""
    assert backend.get("user:42:orders") is None
    writer = Thread(target=caches.create_connection("default").invalidate, args=["user:42"])
    writer.start()
    writer.join()
    assert backend.set("user:42:orders", "old") is False
    assert backend.get("user:42:orders") is None


def test_what_cannot_be_read_is_a_miss(backend: Any, server: Server) -> None:
    """django-redis raises what pickle raises, or runs it."""
    backend.set("k", {"a": 1})
    with server.client as client:
        [name] = client.keys("django:e:*")
        client.set(name, b"\x80\x05garbage")
    assert backend.get("k", "default") == "default"
    assert backend.get_or_set("k", lambda: 2) == 2


def test_values_of_another_secret_key_are_misses(backend: Any) -> None:
    """Unless SECRET_KEY_FALLBACKS has it."""
    backend.set("k", {"a": 1})
    old = "the-tests-have-a-key-of-fifty-characters-0123456789"
    new = "another-key-of-about-fifty-characters-9876543210"
    with override_settings(SECRET_KEY=new, SECRET_KEY_FALLBACKS=[old]):
        assert caches.create_connection("default").get("k") == {"a": 1}
    with override_settings(SECRET_KEY=new):
        assert caches.create_connection("default").get("k") is None


def test_large_integers_are_not_counted(backend: Any) -> None:
    """They are stored; `incr` counts to 2**53 - 1, where Lua's numbers are exact, and a result beyond is refused."""
    backend.set("k", 2**60)
    assert backend.get("k") == 2**60
    with pytest.raises(TypeError):
        backend.incr("k")
    backend.set("k", 2**53 - 2)
    assert backend.incr("k") == 2**53 - 1
    with pytest.raises(TypeError):
        backend.incr("k")


def test_a_read_that_would_raise_has_the_whole_time() -> None:
    """A server that is late for a moment costs no page, where a read without an answer raises; else a load."""
    assert read_options("redis://127.0.0.1/1", {}).cache["read_timeout"] == 1.0
    assert read_options("redis://127.0.0.1/1", {"OPTIONS": {"READ_TIMEOUT": 0.1}}).cache["read_timeout"] == 0.1
    assert "read_timeout" not in read_options("redis://127.0.0.1/1", {"OPTIONS": {"IGNORE_EXCEPTIONS": True}}).cache


def test_there_is_always_a_time_limit() -> None:
    """One second where nothing is said: a page does not hang with its server."""
    assert read_options("redis://127.0.0.1/1", {}).cache["timeout"] == 1.0
    assert read_options("redis://127.0.0.1/1", {"OPTIONS": {"SOCKET_TIMEOUT": None}}).cache["timeout"] == 1.0


def away(**options: Any) -> Any:
    """A cache whose server is away."""
    return UnstaleCache(f"redis://127.0.0.1:{free_port()}/0", {"OPTIONS": {"TAG_PATTERNS": ["user:{id}:*"], **options}})


def test_ignored_exceptions_are_those_of_reads_and_sets() -> None:
    """What was not invalidated says so, always."""
    backend = away(IGNORE_EXCEPTIONS=True)
    assert [backend.get("k", 1), backend.get_many(["k"]), backend.set("k", 1), backend.has_key("k")] == [
        1,
        {},
        False,
        False,
    ]
    for verb in (lambda: backend.delete_pattern("user:42:*"), lambda: backend.delete("k"), backend.clear):
        with pytest.raises(StoreError):
            verb()


def test_errors_are_ours() -> None:
    """StoreError and its kinds, not redis-py's."""
    with pytest.raises(StoreUnavailableError):
        away().get("k")


@pytest.mark.filterwarnings("ignore::unstale.contrib.django.notices.UnstaleWarning")
def test_odd_keys_are_not_found_by_undeclared_patterns(configure: Callable[..., Any]) -> None:
    """With control characters, or of more than 1,365 bytes: they do not stand in a name as they are."""
    backend = configure(TAG_PATTERNS=["user:{id}:*"])
    odd = {"page:a\tb": 1, "page:" + "x" * 2000: 2}
    with pytest.warns(CacheKeyWarning):
        backend.set_many(odd)
    assert backend.delete_pattern("page:*") == 0
    with pytest.warns(CacheKeyWarning):
        backend.set("user:42:a\tb", 1)
    assert backend.delete_pattern("user:42:*") == 1
    with pytest.warns(CacheKeyWarning):
        assert backend.get("user:42:a\tb") is None


def test_small_values_are_not_compressed(configure: Callable[..., Any], server: Server) -> None:
    """Below 1,024 bytes, where django-redis begins with 16; COMPRESS_ABOVE says otherwise."""
    sizes = []
    for options in ({}, {"COMPRESS_ABOVE": 16}):
        backend = configure(COMPRESSOR="django_redis.compressors.zlib.ZlibCompressor", **options)
        backend.set("k", "x" * 900)
        with server.client as client:
            sizes.append(client.strlen("django:e::1:k"))
        assert backend.get("k") == "x" * 900
    assert sizes[0] > 900 > sizes[1]


def test_verbs_without_a_client() -> None:
    """Entries are not read or removed through a client of the caller's; `set` and `incr` take one and do not use it."""
    assert {"client"} & set(inspect.signature(UnstaleCache.get).parameters) == set()
    assert {"client", "prefix"} & set(inspect.signature(UnstaleCache.delete).parameters) == set()
    assert "client" in inspect.signature(UnstaleCache.set).parameters


def test_deleting_a_structure_says_false(backend: Any) -> None:
    """It is gone; but it was no entry."""
    backend.sadd("s", 1)
    assert backend.delete("s") is False
    assert backend.scard("s") == 0


def test_a_flush_is_an_invalidation(backend: Any, server: Server) -> None:
    """Also one of stamps alone, by eviction: what they covered is absent, never old."""
    backend.set("user:42:a", 1, None)
    with server.client as client:
        client.delete(*client.keys("django:s:*"))
    assert backend.get("user:42:a") is None


def test_credentials_reach_the_server(tmp_path: Path) -> None:
    """PASSWORD beside a LOCATION without one: of entries, and of redis-py's client."""
    with Server("valkey", tmp_path / "server", "--requirepass", "a/b@c") as server:
        backend = UnstaleCache(server.url, {"OPTIONS": {"PASSWORD": "a/b@c", "SOCKET_TIMEOUT": 5}})
        backend.set("k", 1)
        backend.sadd("s", 1)
        assert (backend.get("k"), backend.scard("s")) == (1, 1)


def test_sentinels_make_an_engine() -> None:
    """What SENTINELS come to is what the core takes; nothing is connected before the first verb."""
    options = {
        "CLIENT_CLASS": "django_redis.client.SentinelClient",
        "SENTINELS": [("127.0.0.1", free_port())],
        "SENTINEL_KWARGS": {"password": "s"},
        "PASSWORD": "p",
        "CONNECTION_POOL_KWARGS": {"max_connections": 3, "socket_keepalive": True},
    }
    backend = UnstaleCache("redis://shop/2", {"OPTIONS": options})
    with pytest.raises(StoreUnavailableError):
        backend.get("k")
