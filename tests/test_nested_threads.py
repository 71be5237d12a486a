"""Values that are computed from cached values, in threads that a loader starts: `carry`."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from unstale import Cache, carry, remembering
from unstale.core import capture
from unstale.events import Event, Refused, Why
from unstale.options import make_keyspace

PATIENCE = 30
PARTS = ["a", "b", "c"]


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Threads that know nothing of who uses them."""
    with ThreadPoolExecutor(4) as made:
        yield made


def part_of(cache: Cache) -> Callable[[str], str]:
    """Reads a part, with a tag of its name."""
    return lambda name: cache.get_or_set(f"part:{name}", lambda: f"of {name}", tags=[f"t:{name}"])


def apart(cache: Cache) -> Cache:
    """The same cache as another process has it."""
    return Cache(cache._store, make_keyspace({"namespace": "test"}))


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("warm", [False, True], ids=["loaded", "hit"])
def test_carried(cache: Cache, pool: ThreadPoolExecutor, part: str, warm: bool) -> None:
    """What a carried function reads in other threads is inherited, be it a hit or loaded."""
    read = part_of(cache)
    for name in PARTS[: len(PARTS) * warm]:
        read(name)
    whole = cache.get_or_set("whole", lambda: list(pool.map(carry(read), PARTS)))
    assert whole == ["of a", "of b", "of c"]
    assert cache.has_key("whole") is True
    cache.invalidate(f"t:{part}")
    assert cache.has_key("whole") is False


def test_not_carried(cache: Cache, pool: ThreadPoolExecutor) -> None:
    """Without `carry` a thread does not know which loader it works for; the README says so."""
    cache.get_or_set("whole", lambda: list(pool.map(part_of(cache), PARTS)))
    cache.invalidate("t:a")
    assert cache.has_key("whole") is True


@pytest.mark.parametrize("ask", ["get", "has_key", "ttl"])
def test_carried_look_at_what_is_missing(cache: Cache, pool: ThreadPoolExecutor, ask: str) -> None:
    """A carried function that finds nothing is inherited as well."""
    cache.get_or_set("whole", lambda: pool.submit(carry(getattr(cache, ask)), "k", tags=["a"]).result() is None)
    assert cache.has_key("whole") is True
    apart(cache).invalidate("a")
    assert cache.has_key("whole") is False


def test_carried_batch(cache: Cache, pool: ThreadPoolExecutor) -> None:
    """A batch that is read by a carried function is inherited."""

    def batch() -> dict[str, str]:
        return cache.get_or_set_many(["k", "l"], lambda keys: dict.fromkeys(keys, "v"), tags=lambda key: [f"t:{key}"])

    assert cache.get_or_set("whole", lambda: pool.submit(carry(batch)).result(PATIENCE)) == {"k": "v", "l": "v"}
    cache.invalidate("t:l")
    assert cache.has_key("whole") is False


def test_carried_and_invalidated_meanwhile(cache: Cache, pool: ThreadPoolExecutor, events: list[Event]) -> None:
    """A part that is invalidated after it was read keeps the whole from being stored, or from being fresh."""
    read = part_of(cache)

    def load() -> str:
        value = pool.submit(carry(read), "a").result(PATIENCE)
        apart(cache).invalidate("t:a")
        return value

    cache.get_or_set("whole", load)
    assert cache.has_key("whole") is False


def test_carried_and_read_twice_with_an_invalidation_between(
    cache: Cache, pool: ThreadPoolExecutor, events: list[Event]
) -> None:
    """A whole that was computed from two states of one tag is not stored."""
    read = part_of(cache)

    def load() -> list[str]:
        first = pool.submit(carry(read), "a").result(PATIENCE)
        apart(cache).invalidate("t:a")
        return [first, pool.submit(carry(read), "a").result(PATIENCE)]

    cache.get_or_set("whole", load)
    assert [event for event in events if isinstance(event, Refused)] == [Refused("whole", Why.UNAVAILABLE)]


def test_carried_through_levels(cache: Cache, pool: ThreadPoolExecutor) -> None:
    """A carried function's own loaders may carry on."""

    def leaf() -> str:
        return part_of(cache)("a")

    def middle() -> str:
        return cache.get_or_set("middle", lambda: pool.submit(carry(leaf)).result(PATIENCE))

    assert cache.get_or_set("whole", lambda: pool.submit(carry(middle)).result(PATIENCE)) == "of a"
    assert [cache.has_key("middle"), cache.has_key("whole")] == [True, True]
    cache.invalidate("t:a")
    assert [cache.has_key("middle"), cache.has_key("whole")] == [False, False]


def test_carried_keeps_threads_apart(cache: Cache) -> None:
    """Two loaders that share a pool inherit each what was read for it."""
    barrier = threading.Barrier(2)
    with ThreadPoolExecutor(2) as workers, ThreadPoolExecutor(2) as callers:

        def read(name: str) -> str:
            barrier.wait(PATIENCE)
            return part_of(cache)(name)

        def whole(name: str) -> str:
            return cache.get_or_set(f"whole:{name}", lambda: workers.submit(carry(read), name).result(PATIENCE))

        assert list(callers.map(whole, ["a", "b"])) == ["of a", "of b"]
    cache.invalidate("t:a")
    assert [cache.has_key("whole:a"), cache.has_key("whole:b")] == [False, True]


def test_carried_error(cache: Cache, pool: ThreadPoolExecutor) -> None:
    """What a carried function raises passes; a loader that goes on inherits what it looked at."""

    def failing() -> str:
        return cache.get_or_set("part", [].pop, tags=["a"])

    def load() -> str:
        with pytest.raises(IndexError):
            pool.submit(carry(failing)).result(PATIENCE)
        return "without"

    assert cache.get_or_set("whole", load) == "without"
    assert cache.has_key("whole") is True
    cache.invalidate("a")
    assert cache.has_key("whole") is False


def test_carry_outside_a_loader(cache: Cache, pool: ThreadPoolExecutor) -> None:
    """Outside a loader `carry` does no harm, and passes arguments and results."""
    assert pool.submit(carry(lambda a, *, b: (a, b)), 1, b=2).result(PATIENCE) == (1, 2)
    assert pool.submit(carry(part_of(cache)), "a").result(PATIENCE) == "of a"


def test_carry_keeps_the_name() -> None:
    """A carried function has its name and its docstring."""

    def named() -> None:
        """Do nothing."""

    carried = carry(named)
    assert [carried.__name__, carried.__doc__, carried.__wrapped__] == ["named", "Do nothing.", named]


def test_carried_after_the_loader_returned(cache: Cache, pool: ThreadPoolExecutor) -> None:
    """What a carried function reads after the loader has returned harms nobody."""
    kept: list[Callable[[str], str]] = []

    def load() -> str:
        kept.append(carry(part_of(cache)))
        return "whole"

    cache.get_or_set("whole", load)
    assert pool.submit(kept[0], "a").result(PATIENCE) == "of a"
    assert cache.get_or_set("another", lambda: "x") == "x"
    cache.invalidate("t:a")
    assert [cache.has_key("whole"), cache.has_key("another")] == [True, True]


def test_carried_from_a_set_many(cache: Cache, pool: ThreadPoolExecutor) -> None:
    """A request's memory goes with a carried function: what it computes from is held to the first look."""
    with remembering():
        assert cache.get("k", tags=["a"]) is None
        apart(cache).invalidate("a")
        assert pool.submit(carry(cache.set), "k", "old", tags=["a"]).result(PATIENCE) is False


def test_detached_inside_a_loader(cache: Cache) -> None:
    """What is done detached is not inherited, nor does it wait for the loader around it."""

    def load() -> str:
        with capture.detached():
            part_of(cache)("a")
        return "whole"

    cache.get_or_set("whole", load)
    cache.invalidate("t:a")
    assert cache.has_key("whole") is True


def test_detached_has_a_memory_of_its_own(cache: Cache) -> None:
    """What is looked at detached binds no set outside, and the other way round."""
    with remembering():
        cache.get("k", tags=["a"])
        apart(cache).invalidate("a")
        with capture.detached():
            assert cache.set("k", "newer", tags=["a"]) is True
        assert cache.set("k", "old", tags=["a"]) is False


def test_threads_that_add_at_the_same_time(cache: Cache) -> None:
    """Many threads of one loader lose nothing of what they read."""
    names = [f"n{number}" for number in range(24)]
    read = part_of(cache)
    with ThreadPoolExecutor(12) as pool:
        cache.get_or_set("whole", lambda: list(pool.map(carry(read), names)))
    for name in names:
        assert cache.has_key("whole") is True
        apart(cache).invalidate(f"t:{name}")
        assert cache.has_key("whole") is False
        cache.get_or_set("whole", lambda: [read(each) for each in names])


def test_a_copied_context_is_as_good(cache: Cache, pool: ThreadPoolExecutor) -> None:
    """What runs in a copy of the loader's context is on its behalf, whoever made the copy."""

    def load() -> str:
        return pool.submit(contextvars.copy_context().run, part_of(cache), "a").result(PATIENCE)

    cache.get_or_set("whole", load)
    cache.invalidate("t:a")
    assert cache.has_key("whole") is False


def test_carried_to_another_cache(cache: Cache, pool: ThreadPoolExecutor) -> None:
    """A loader inherits from its own cache alone: another's tags mean nothing in it."""
    with Cache.from_url("memory://", namespace="other") as other:
        cache.get_or_set("whole", lambda: pool.submit(carry(part_of(other)), "a").result(PATIENCE))
        assert cache.has_key("whole") is True
        cache.invalidate("t:a")
        assert cache.has_key("whole") is True


def test_carried_result_of_any_kind(cache: Cache, pool: ThreadPoolExecutor) -> None:
    """A carried function may be handed to several threads at once."""
    barrier = threading.Barrier(4)
    carried: Callable[[int], Any] = carry(lambda number: (barrier.wait(PATIENCE), number)[1])
    assert list(pool.map(carried, range(4))) == [0, 1, 2, 3]
