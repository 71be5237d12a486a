"""The public API as a user's type checker sees it: mypy (strict) reads this file; nothing runs it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, assert_type

from unstale import Cache, remembering
from unstale.events import Event, Invalidated, logging_hook


def load() -> list[int]:
    """A loader with a type of its own."""
    return [1]


def hook(event: Event) -> None:
    """A hook."""
    del event


cache = Cache.from_url("memory://", namespace="shop", ttl=timedelta(minutes=5), on_event=hook)
assert_type(cache, Cache)
assert_type(cache.get_or_set("k", load, tags=["a", "b/c"], ttl=None), list[int])
assert_type(cache.get("k"), Any | None)
assert_type(cache.set("k", 1, ttl=timedelta(seconds=1)), bool)
assert_type(cache.add("k", 1), bool)
assert_type(cache.get_many(["k"], tags=lambda key: [key]), dict[str, Any])
assert_type(cache.set_many({"k": 1}), list[str])
assert_type(cache.delete("k"), bool)
assert_type(cache.has_key("k"), bool)
assert_type(cache.touch("k", 1.5), bool)
assert_type(cache.incr("k", 2, initial=0), int)
assert_type(cache.ttl("k"), float | None)
assert_type(cache.invalidate("a", "b"), Invalidated)
assert_type(cache.clear(), Invalidated)
assert_type(cache.scope("user", 42), Cache)
with Cache.from_url("memory://", on_event=logging_hook()) as other, remembering():
    assert_type(other, Cache)
