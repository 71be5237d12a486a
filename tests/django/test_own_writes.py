"""What a request computed, then wrote and invalidated itself: without `remembering()`, as Django runs views."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import Thread
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.cache import caches
from django.db import connections, transaction
from servers import Server

from unstale.contrib.django import transactions

KEY = "user:42:page"


class RolledBackError(Exception):
    """Ends a block with a rollback."""


@pytest.fixture(params=["valkey"])
def server(request: pytest.FixtureRequest, session_servers: Callable[[str], Server]) -> Server:
    """One kind of server is enough here."""
    chosen = session_servers(request.param)
    with chosen.client as client:
        client.flushall()
    return chosen


@pytest.fixture
def using(postgres_database: str) -> Iterator[str]:
    """The alias of a PostgreSQL database."""
    yield postgres_database
    assert not transactions.pending()
    connections[postgres_database].close()


def in_a_request(act: Callable[[Any], Any]) -> Any:
    """Do something in a thread of its own, whose context is empty; what it returns."""
    results: list[Any] = []

    def run() -> None:
        backend = caches.create_connection("default")
        try:
            results.append(act(backend))
        finally:
            backend.close()
            connections.close_all()

    thread = Thread(target=run)
    thread.start()
    thread.join()
    return results[0]


def found() -> Any:
    """What another request is served."""
    return in_a_request(lambda backend: backend.get(KEY))


def at_once(backend: Any, using: str) -> None:
    """An own write in autocommit."""
    backend.invalidate("user:42", using=using)


def at_commit(backend: Any, using: str) -> None:
    """An own write in a block of its own."""
    with transaction.atomic(using=using):
        backend.invalidate("user:42", using=using)


def strict(backend: Any, using: str) -> None:
    """The same, strict."""
    with transaction.atomic(using=using):
        backend.invalidate("user:42", using=using, strict=True)


def by_pattern(backend: Any, using: str) -> None:
    """The same by a declared pattern."""
    del using
    backend.delete_pattern("user:42:*")


def asynchronously(backend: Any, using: str) -> None:
    """The same by the asynchronous verb."""
    del using
    async_to_sync(backend.ainvalidate)("user:42")


WRITES = [at_once, at_commit, strict, by_pattern, asynchronously]


@pytest.mark.parametrize("write", WRITES)
def test_get_compute_write_set(backend: Any, using: str, write: Callable[[Any, str], None]) -> None:
    """What was computed before the request's own write is not stored; once refused, the next one is."""

    def request(cache: Any) -> list[Any]:
        cache.get(KEY)
        write(cache, using)
        first = cache.set(KEY, "from before the write")
        between = cache.get(KEY)
        return [first, between, cache.set(KEY, "anew")]

    assert in_a_request(request) == [False, None, True]
    assert found() == "anew"


@pytest.mark.parametrize("write", WRITES)
def test_get_many_compute_write_set_many(backend: Any, using: str, write: Callable[[Any, str], None]) -> None:
    """The same for many keys: those of other tags are stored."""

    def request(cache: Any) -> list[Any]:
        cache.get_many([KEY, "user:7:page"])
        write(cache, using)
        return list(cache.set_many({KEY: "from before the write", "user:7:page": "another's"}))

    assert in_a_request(request) == [KEY]
    assert found() is None


def test_add(backend: Any) -> None:
    """It is held to the look as `set` is."""

    def request(cache: Any) -> Any:
        cache.get(KEY)
        cache.invalidate("user:42")
        return cache.add(KEY, "from before the write")

    assert in_a_request(request) is False
    assert found() is None


def test_a_replacement(backend: Any) -> None:
    """So is one of what another request has stored since."""

    def request(cache: Any) -> Any:
        cache.get(KEY)
        cache.invalidate("user:42")
        in_a_request(lambda other: other.set(KEY, "new"))
        return cache.set(KEY, "from before the write", xx=True)

    assert in_a_request(request) is False


def test_a_look_after_the_write_counts(backend: Any) -> None:
    """A `get` that misses after the write counts anew: what is computed from then on is stored."""

    def request(cache: Any) -> Any:
        cache.get(KEY)
        cache.invalidate("user:42")
        cache.get(KEY)
        return cache.set(KEY, "from after the write")

    assert in_a_request(request) is True
    assert found() == "from after the write"


def rolled_back_alone(cache: Any, using: str) -> None:
    """An own write in a block that is rolled back."""
    with suppress(RolledBackError), transaction.atomic(using=using):
        cache.invalidate("user:42")
        raise RolledBackError


def rolled_back_inside(cache: Any, using: str) -> None:
    """In a savepoint of another block."""
    with transaction.atomic(using=using):
        rolled_back_alone(cache, using)


def everything_rolled_back(cache: Any, using: str) -> None:
    """Of everything."""
    with suppress(RolledBackError), transaction.atomic(using=using):
        cache.clear()
        raise RolledBackError


def after_get(cache: Any, using: str, write: Callable[[Any, str], None]) -> list[bool]:
    """Look, compute in what is rolled back, set."""
    cache.get_many([KEY, "user:7:page"])
    write(cache, using)
    return [cache.set(KEY, "never committed"), cache.set("user:7:page", "another's")]


@pytest.mark.parametrize("by", ["another alias", "the same"])
@pytest.mark.parametrize("write", [rolled_back_alone, rolled_back_inside])
def test_get_compute_in_what_is_rolled_back_set(
    backend: Any, configure: Callable[..., Any], using: str, write: Callable[[Any, str], None], by: str
) -> None:
    """What was computed there may never have been committed: it is not stored. What other tags cover is."""
    configure("long", {"TIMEOUT": 3600}, TAG_PATTERNS=["user:{id}:*"])
    writes_by = "long" if by == "another alias" else "default"

    def write_by(_: Any, database: str) -> None:
        write(caches[writes_by], database)

    assert in_a_request(lambda cache: after_get(cache, using, write_by)) == [False, True]
    assert found() is None


def test_get_clear_that_is_rolled_back_set(backend: Any, using: str) -> None:
    """The same of every key, where all were dirty."""
    assert in_a_request(lambda cache: after_get(cache, using, everything_rolled_back)) == [False, False]


def test_a_look_in_what_is_rolled_back(backend: Any, using: str) -> None:
    """It counts as little as one before, if it came before the write."""

    def request(cache: Any) -> Any:
        with suppress(RolledBackError), transaction.atomic(using=using):
            cache.get(KEY)
            cache.invalidate("user:42")
            raise RolledBackError
        return cache.set(KEY, "never committed")

    assert in_a_request(request) is False


def test_a_look_after_the_rollback_counts(backend: Any, using: str) -> None:
    """A `get` that misses after it counts anew."""

    def request(cache: Any) -> Any:
        cache.get(KEY)
        rolled_back_alone(cache, using)
        cache.get(KEY)
        return cache.set(KEY, "what stands")

    assert in_a_request(request) is True


def test_refused_once_after_a_rollback(backend: Any, using: str) -> None:
    """The next `set` without a look is stored."""

    def request(cache: Any) -> Any:
        return [*after_get(cache, using, rolled_back_alone), cache.set(KEY, "anew")]

    assert in_a_request(request) == [False, True, True]


@pytest.mark.parametrize("verb", ["clear", "aclear"])
def test_clear_begins_anew(backend: Any, verb: str) -> None:
    """After the request's own `clear` nothing is held to what was seen before it."""

    def request(cache: Any) -> Any:
        cache.get(KEY)
        getattr(cache, verb)() if verb == "clear" else async_to_sync(cache.aclear)()
        return cache.set(KEY, "set")

    assert in_a_request(request) is True


def test_a_request_s_end_begins_anew(backend: Any) -> None:
    """In the same thread the next request is not held to what the last one saw."""

    def two_requests(cache: Any) -> Any:
        cache.get(KEY)
        cache.invalidate("user:42")
        cache.close()
        return cache.set(KEY, "the next one's")

    assert in_a_request(two_requests) is True
