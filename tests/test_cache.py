"""The verbs of `Cache`, on every store."""

from __future__ import annotations

import math
import threading
import time
from datetime import timedelta
from typing import Any

import pytest

from unstale import Cache
from unstale.errors import AbsentError, InvalidTagError, NotACounterError


def never() -> object:
    """A loader that must not be called."""
    raise AssertionError("the loader was called")


def test_get_or_set_loads_once(cache: Cache) -> None:
    """The first call loads, the second hits."""
    loads: list[int] = []
    values = [cache.get_or_set("k", lambda: loads.append(1) or {"n": 1}, tags=["a"]) for _ in range(3)]
    assert (values, loads) == ([{"n": 1}] * 3, [1])


@pytest.mark.parametrize(
    "value",
    [None, False, True, 0, 1, 2**53 - 1, 2**53, -1, 1.5, "", "text", b"", b"\x00bytes", [], [1, [2]], {"a": None}],
    ids=repr,
)
def test_values_come_back(cache: Cache, value: object) -> None:
    """Plain values come back as they went, in value and type; None and what is falsy are hits."""
    cache.get_or_set("k", lambda: value, tags=["a"])
    found = cache.get("k", "default", tags=["a"])
    assert (found, type(found)) == (value, type(value))


def test_cached_none_is_a_hit(cache: Cache) -> None:
    """A loader that returned None is not asked again."""
    cache.get_or_set("k", lambda: None)
    assert cache.get_or_set("k", never) is None


def test_get_default(cache: Cache) -> None:
    """Without an entry get gives the default, and None by default."""
    assert (cache.get("k"), cache.get("k", 7)) == (None, 7)


def test_get_without_saying_the_tags(cache: Cache) -> None:
    """A get finds the tags in the entry: it hits, and misses once one of them is invalidated."""
    cache.set("k", "v", tags=["user:42/orders"])
    assert [cache.get("k") for _ in range(3)] == ["v", "v", "v"]
    cache.invalidate("user:42")
    assert cache.get("k") is None


def test_set_get_delete(cache: Cache) -> None:
    """What was set is found until it is deleted."""
    assert cache.set("k", "v", tags=["a"])
    assert cache.get("k", tags=["a"]) == "v"
    assert [cache.delete("k"), cache.delete("k")] == [True, False]
    assert cache.get("k", tags=["a"]) is None


def test_set_replaces_value_tags_and_ttl(cache: Cache) -> None:
    """A set replaces all there was."""
    cache.set("k", 1, tags=["a"], ttl=1000)
    cache.set("k", 2, tags=["b"], ttl=10)
    cache.invalidate("a")
    assert cache.get("k") == 2
    assert 9 < (cache.ttl("k") or 0) <= 10
    cache.invalidate("b")
    assert cache.get("k") is None


def test_add(cache: Cache) -> None:
    """An add stores only where nothing fresh is."""
    assert [cache.add("k", 1), cache.add("k", 2), cache.get("k")] == [True, False, 1]


def test_many(cache: Cache) -> None:
    """Many are set and read together, each with its tags; what is missing is left out."""
    assert cache.set_many({"a": 1, "b": [2], "c": None}, tags=lambda key: [f"t:{key}"]) == []
    assert cache.get_many(["a", "b", "c", "d"]) == {"a": 1, "b": [2], "c": None}
    cache.invalidate("t:b")
    assert cache.get_many(["a", "b", "c"], tags=lambda key: [f"t:{key}"]) == {"a": 1, "c": None}
    assert cache.get_many([]) == {}


def test_has_key(cache: Cache) -> None:
    """Has_key tells a fresh entry, a cached None too."""
    cache.set("k", None)
    assert [cache.has_key("k"), cache.has_key("other")] == [True, False]


def test_ttl(cache: Cache) -> None:
    """Ttl tells the seconds left: infinite for no limit, None for no entry."""
    cache.set("some", 1, ttl=timedelta(minutes=1))
    cache.set("default", 1)
    cache.set("ever", 1, ttl=None)
    assert 59 < (cache.ttl("some") or 0) <= 60
    assert 299 < (cache.ttl("default") or 0) <= 300
    assert (cache.ttl("ever"), cache.ttl("none")) == (math.inf, None)


def test_entries_expire(cache: Cache) -> None:
    """After its ttl an entry is gone."""
    cache.set("k", 1, ttl=0.05)
    time.sleep(0.08)
    assert cache.get("k") is None


def test_touch(cache: Cache) -> None:
    """Touch gives a new ttl, also none, and tells whether there was an entry."""
    cache.set("k", "v", ttl=10, tags=["a"])
    assert [cache.touch("k", 1000), cache.touch("none", 1000)] == [True, False]
    assert 999 < (cache.ttl("k") or 0) <= 1000
    assert cache.touch("k", None)
    assert (cache.ttl("k"), cache.get("k")) == (math.inf, "v")


def test_touch_leaves_the_tags_in_force(cache: Cache) -> None:
    """A touched entry is as stale as any when its tag is invalidated."""
    cache.set("k", "v", tags=["a"])
    cache.touch("k", None)
    cache.invalidate("a")
    assert cache.get("k") is None


def test_incr(cache: Cache) -> None:
    """A counter counts up and down, and keeps its ttl."""
    cache.set("n", 5, ttl=1000, tags=["a"])
    assert [cache.incr("n"), cache.incr("n", 10), cache.incr("n", -16)] == [6, 16, 0]
    assert (cache.get("n"), 999 < (cache.ttl("n") or 0) <= 1000) == (0, True)


def test_incr_of_nothing(cache: Cache) -> None:
    """Where nothing is, incr needs something to begin from."""
    with pytest.raises(AbsentError, match="initial=0"):
        cache.incr("n")
    assert [cache.incr("n", initial=10), cache.incr("n", initial=10)] == [11, 12]


@pytest.mark.parametrize("value", ["text", b"bytes", 1.5, True, 2**53, [1]])
def test_incr_of_something_else(cache: Cache, value: object) -> None:
    """What is no counter is not counted."""
    cache.set("k", value)
    with pytest.raises(NotACounterError):
        cache.incr("k")
    assert cache.get("k") == value


def test_incr_stays_in_range(cache: Cache) -> None:
    """A counter leaves its range at neither end."""
    cache.set("n", -(2**53 - 1))
    with pytest.raises(NotACounterError):
        cache.incr("n", -1)
    cache.set("n", 2**53 - 1)
    with pytest.raises(NotACounterError):
        cache.incr("n")


def test_incr_below_zero(cache: Cache) -> None:
    """A counter goes below zero, may begin there, and is read as it was counted."""
    assert [cache.incr("n", -3, initial=1), cache.get("n"), cache.incr("n", 2)] == [-2, -2, 0]
    cache.set("m", -7)
    assert [cache.get("m"), cache.incr("m"), cache.get("m")] == [-7, -6, -6]
    assert cache.incr("o", -1, initial=-5) == -6


def test_counting_from_many_threads(cache: Cache) -> None:
    """No count is lost between threads."""
    threads = [threading.Thread(target=lambda: [cache.incr("n", initial=0) for _ in range(50)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache.get("n") == 400


def test_invalidate_tells_what_it_met(cache: Cache) -> None:
    """Invalidate counts the tags that had a stamp."""
    cache.set("k", 1, tags=["a/b"])
    assert cache.invalidate("a/b", "a", "nobody").bumped == 2


@pytest.mark.parametrize("tag", ["a", "a/b", "a/b/c"])
def test_invalidation_reaches_down(cache: Cache, tag: str) -> None:
    """Invalidating a tag makes stale what carries it or a tag below it."""
    cache.set("k", 1, tags=["a/b/c"])
    cache.invalidate(tag)
    assert cache.get("k") is None


@pytest.mark.parametrize("tag", ["a/b/c/d", "a/x", "b", "a/b/cc", "ab"])
def test_invalidation_reaches_nothing_else(cache: Cache, tag: str) -> None:
    """Invalidating another tag, or one below, changes nothing."""
    cache.set("k", 1, tags=["a/b/c"])
    cache.set("other", 1, tags=[tag])
    cache.invalidate(tag)
    assert (cache.get("k"), cache.get("other")) == (1, None)


def test_clear(cache: Cache) -> None:
    """Clear makes all entries stale, with tags and without, and new ones are stored as before."""
    cache.set_many({f"k{number}": number for number in range(100)})
    cache.set("tagged", 1, tags=["a"])
    cache.clear()
    assert cache.get_many([*(f"k{number}" for number in range(100)), "tagged"]) == {}
    assert [cache.get_or_set("k1", lambda: 2), cache.get("k1")] == [2, 2]


def test_namespaces_are_apart(url: str) -> None:
    """Two namespaces in one database know nothing of each other."""
    if url == "memory://":
        pytest.skip("a memory store is its cache's alone")
    with Cache.from_url(url, namespace="one") as one, Cache.from_url(url, namespace="two") as two:
        one.set("k", 1, tags=["a"])
        two.set("k", 2, tags=["a"])
        two.invalidate("a")
        two.clear()
        assert (one.get("k"), two.get("k")) == (1, None)


def test_scope_is_apart(cache: Cache) -> None:
    """Two scopes share neither keys nor tags."""
    mine, yours = cache.scope("user", 42), cache.scope("user", 7)
    mine.set("orders", "mine", tags=["orders"])
    yours.set("orders", "yours", tags=["orders"])
    mine.invalidate("orders")
    assert (mine.get("orders"), yours.get("orders")) == (None, "yours")


def test_scope_invalidates_its_own(cache: Cache) -> None:
    """Invalidating a scope makes all of it stale, also from the cache by its tag, and nothing else."""
    mine, yours = cache.scope("user", 42), cache.scope("user", 7)
    for scope in (mine, yours):
        scope.set_many({"a": 1, "b": 2})
    mine.invalidate()
    assert (mine.get_many(["a", "b"]), yours.get_many(["a", "b"])) == ({}, {"a": 1, "b": 2})
    cache.invalidate("user:7")
    assert yours.get_many(["a", "b"]) == {}


def test_scope_clear_is_its_own(cache: Cache) -> None:
    """Clearing a scope leaves the rest of the cache alone."""
    mine = cache.scope("user", 42)
    mine.set("a", 1)
    cache.set("a", 2)
    mine.clear()
    assert (mine.get("a"), cache.get("a")) == (None, 2)


def test_scope_in_a_scope(cache: Cache) -> None:
    """A scope inside a scope is stale with the outer one, not the other way round."""
    cart = cache.scope("user", 42).scope("cart", 1)
    cart.set("total", 10)
    cache.scope("user", 42).set("name", "Ada")
    cart.invalidate()
    assert (cart.get("total"), cache.scope("user", 42).get("name")) == (None, "Ada")
    cart.set("total", 11)
    cache.scope("user", 42).invalidate()
    assert cart.get("total") is None


@pytest.mark.parametrize(
    ("one", "other"), [(("a:b", "c"), ("a", "b:c")), (("a", "b/c"), ("a", "b", "c")), (("a%3Ab",), ("a:b",))]
)
def test_scopes_with_separators_in_their_names(cache: Cache, one: tuple[str, ...], other: tuple[str, ...]) -> None:
    """Separators inside a scope's parts make no two scopes one."""
    cache.scope(*one).set("k", 1)
    assert cache.scope(*other).get("k") is None


@pytest.mark.parametrize("bad", [None, "", [], ["a"], (), {"a": 1}, b"42"])
def test_a_scope_that_would_be_everybodys(cache: Cache, bad: Any) -> None:
    """Whoever has no id shared one scope with all who have none."""
    with pytest.raises(InvalidTagError, match="says which one"):
        cache.scope("user", bad)
    with pytest.raises(InvalidTagError):
        cache.scope("user", 42, bad)


def test_an_invalidation_that_looks_like_a_pattern(cache: Cache, caplog: pytest.LogCaptureFixture) -> None:
    """A tag is a name: where it met nothing the log says so, once."""
    cache.set("user:42:a", 1, tags=["user:42", "odd*"])
    for _ in range(2):
        assert cache.invalidate("user:42:*").bumped == 0
    assert [record.getMessage() for record in caplog.records].count(
        "invalidate('user:42:*') met nothing. A tag is a name, no pattern; patterns of keys are for delete_matching"
    ) == 1
    assert cache.invalidate("odd*").bumped == 1


def test_closing_a_scope_closes_nothing(cache: Cache) -> None:
    """A scope's connections are its cache's."""
    with cache.scope("user", 42) as mine:
        mine.set("k", 1)
    assert mine.get("k") == 1


def test_one_load_for_many_readers(cache: Cache) -> None:
    """Readers that come while a value is loaded wait for it."""
    loads: list[int] = []
    start = threading.Barrier(8)
    found: list[int] = []

    def load() -> int:
        loads.append(1)
        time.sleep(0.05)
        return 7

    def read() -> None:
        start.wait()
        found.append(cache.get_or_set("k", load, tags=["a"]))

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (found, len(loads)) == ([7] * 8, 1)


def test_a_slow_loader_is_cached_at_the_second_try(url: str) -> None:
    """A loader that outlasts its lease is given a longer one the next time."""
    with Cache.from_url(url, namespace="test", lease=0.05) as cache:

        def slow() -> int:
            time.sleep(0.1)
            return 1

        first = cache.get_or_set("k", slow)
        assert (first, cache.get("k")) == (1, None)
        second = cache.get_or_set("k", slow)
        assert (second, cache.get("k")) == (1, 1)


def test_nested_entries_inherit(cache: Cache) -> None:
    """A value computed from cached values, at any depth, is stale when one of them is."""

    def page() -> str:
        return cache.get_or_set("middle", lambda: cache.get_or_set("inner", lambda: "v", tags=["a"]), tags=["b"])

    for tag in ("a", "b", "c"):
        cache.get_or_set("outer", page, tags=["c"])
        assert cache.get("outer") == "v"
        cache.invalidate(tag)
        assert cache.get("outer") is None


def test_nested_hits_inherit(cache: Cache) -> None:
    """Entries that a loader only reads, by get and get_many, count as well."""
    cache.set("one", 1, tags=["a"])
    cache.set("two", 2, tags=["b"])
    for tag in ("a", "b"):
        cache.set_many({"one": 1, "two": 2}, tags=lambda key: ["a" if key == "one" else "b"])
        cache.get_or_set("sum", lambda: cache.get("one") + cache.get_many(["two"])["two"])
        assert cache.get("sum") == 3
        cache.invalidate(tag)
        assert cache.get("sum") is None


def test_what_a_loader_misses_counts_too(cache: Cache) -> None:
    """A loader that misses and computes by itself depends on the tags it named."""

    def load() -> str:
        return cache.get("inner", tags=["a"]) or "computed"

    cache.get_or_set("outer", load)
    assert cache.get("outer") == "computed"
    cache.invalidate("a")
    assert cache.get("outer") is None


def test_too_many_inherited_tags(cache: Cache) -> None:
    """A value that would inherit more tags than an entry carries is returned, not stored."""
    for number in range(40):
        cache.set(f"k{number}", number, tags=[f"t{number}"])
    total = cache.get_or_set("sum", lambda: sum(cache.get(f"k{number}") for number in range(40)))
    assert (total, cache.get("sum")) == (780, None)


def test_long_keys(cache: Cache) -> None:
    """Keys longer than their Redis names may be work like any other, to the longest there can be."""
    keys = ["k" * 4096, "k" * 4095 + "j", "ключ" * 400]
    for key in keys:
        cache.set(key, key[-1], tags=["a"])
    assert [cache.get(key) for key in keys] == [key[-1] for key in keys]
    assert all(cache.has_key(key) and cache.touch(key, 5) for key in keys)
    assert [cache.delete(key) for key in keys] == [True] * 3


def test_the_most_and_longest_tags(cache: Cache) -> None:
    """An entry with the longest key and as many and as long tags as may be works with every verb."""
    tags = [f"{number:02d}" + "t" * 254 for number in range(32)]
    key = "k" * 4096
    cache.set(key, 5, tags=tags)
    assert (cache.get(key), cache.has_key(key), cache.incr(key), cache.touch(key, 9)) == (5, True, 6, True)
    cache.invalidate(tags[-1])
    assert (cache.get(key), cache.has_key(key), cache.touch(key, 9)) == (None, False, False)


def test_repr_names_no_secret() -> None:
    """A cache's repr shows its namespace, never its URL."""
    with Cache.from_url("redis://:hunter2@localhost:1/0", namespace="shop") as cache:
        assert repr(cache) == "<Cache namespace='shop'>"
        assert repr(cache.scope("user", 42)) == "<Cache namespace='shop' scope='user:42'>"
