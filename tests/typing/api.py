"""The public API as a user's type checker sees it: mypy (strict) and pyright read this file; nothing runs it.

An `ignore` here is an error that a user must be shown: a checker that finds none there complains of the comment.
"""

# pyright: standard, reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, assert_type

from unstale import AsyncCache, Cache, Closing, Verify, carry, remembering, runners
from unstale.events import Event, Invalidated, LoadFailed, Queued, StaleHit, logging_hook


@dataclass
class Order:
    """A value with a type of its own."""

    id: int


def load() -> list[int]:
    """A loader with a type of its own."""
    return [1]


def load_many(keys: list[str]) -> dict[str, Order]:
    """A loader of many."""
    return {key: Order(1) for key in keys}


async def load_later() -> list[int]:
    """An asynchronous loader."""
    return [1]


async def load_many_later(keys: list[str]) -> Mapping[str, Order]:
    """An asynchronous loader of many."""
    return {key: Order(1) for key in keys}


def hook(event: Event) -> None:
    """A hook."""
    if isinstance(event, StaleHit):
        assert_type(event.tag, str | None)
    if isinstance(event, LoadFailed):
        assert_type(event.error, Exception)


class OwnCodec:
    """A codec of one's own."""

    number: int = 64

    def encode(self, value: Any) -> bytes:
        """Encode."""
        return repr(value).encode()

    def decode(self, payload: memoryview) -> Any:
        """Decode."""
        return bytes(payload).decode()


cache = Cache.from_url(
    "memory://",
    namespace="shop",
    ttl=timedelta(minutes=5),
    stale_ttl=60,
    beta=1.0,
    runner=runners.threads(),
    codec=OwnCodec(),
    signing_keys=["new", b"old"],
    compression="auto",
    compress_above=100,
    on_event=hook,
)
assert_type(cache, Cache)
assert_type(cache.get_or_set("k", load, tags=["a", "b/c"], ttl=None), list[int])
assert_type(cache.get_or_set("k", load, stale_ttl=60, negative_ttl=timedelta(seconds=1), into=list[int]), list[int])
assert_type(cache.get_or_set_many(["k"], load_many, tags=lambda key: [key], into=Order), dict[str, Order])
assert_type(cache.refresh("k", load, tags=("a",)), list[int])
assert_type(cache.get("k"), Any | None)
assert_type(cache.get("k", into=Order), Any | None)
assert_type(cache.set("k", 1, ttl=timedelta(seconds=1)), bool)
assert_type(cache.add("k", 1), bool)
assert_type(cache.get_many(["k"], tags=lambda key: [key]), dict[str, Any])
assert_type(cache.set_many({"k": 1}), list[str])
assert_type(cache.delete("k"), bool)
assert_type(cache.has_key("k"), bool)
assert_type(cache.touch("k", 1.5), bool)
assert_type(cache.incr("k", 2, initial=0), int)
assert_type(cache.ttl("k"), float | None)
assert_type(cache.invalidate("a", "b", soft=True), Invalidated | Queued)
assert_type(cache.clear(over=30), Invalidated | Queued)
assert_type(cache.begin_strict("a", limit=30), Closing)
assert_type(cache.complete(Closing(("a",), "0" * 32)), Invalidated | Queued)
with cache.strict("a", "b") as closing:
    assert_type(closing, Closing)
assert_type(cache.scope("user", 42), Cache)
with Cache.from_url("memory://", on_event=logging_hook(), runner=ThreadPoolExecutor(1).submit) as other, remembering():
    assert_type(other, Cache)

Cache.from_url("memory://", nonsense=1)  # type: ignore[call-arg]
Cache.from_url("memory://", ttl="5")  # type: ignore[arg-type]
Cache.from_url("memory://", codec=5)  # type: ignore[arg-type]
cache.get_or_set("k", 5)  # type: ignore[arg-type]
cache.get_or_set(5, load)  # type: ignore[arg-type]
cache.get_or_set_many(["k"], load)  # type: ignore[arg-type]
cache.invalidate(["a"])  # type: ignore[arg-type]


@cache.cached("orders:{user_id}:{limit}", tags=["user:{user_id}"], ttl=300, stale_ttl=timedelta(minutes=1))
def orders(user_id: int, *, limit: int = 10) -> list[Order]:
    """A decorated function."""
    return [Order(user_id)] * limit


assert_type(orders(42), list[Order])
assert_type(orders(user_id=42, limit=5), list[Order])
assert_type(orders.key_for(42, limit=5), str)
assert_type(orders.refresh(42), list[Order])
assert_type(orders.invalidate(42), Invalidated | Queued)
plain: Callable[[int], list[Order]] = orders
orders("42")  # type: ignore[arg-type]
orders()  # type: ignore[call-arg]
orders(42, 5)  # type: ignore[call-arg]
orders(42, limits=5)  # type: ignore[call-arg]
orders.key_for("42")  # type: ignore[arg-type]
orders.refresh(42, limit="5")  # type: ignore[arg-type]
orders.invalidate()  # type: ignore[call-arg]


@cache.cached(lambda a, b="x": f"f:{a}:{b}", tags=lambda a, b="x": [f"t:{a}"], ignore=["b"])
def by_functions(a: int, b: str = "x") -> str | None:
    """A decorated function whose key and tags functions make."""
    return b * a or None


assert_type(by_functions(1), str | None)


@cache.scope("user", 42).cached("page")
def page() -> bytes:
    """A function decorated with a scope."""
    return b""


assert_type(page(), bytes)


class Shop:
    """Decorated methods."""

    id: int = 1

    @cache.cached("shop:{self.id}:{item}:{taxed}")
    def price(self, item: str, *, taxed: bool = False) -> float:
        """A method."""
        return float(len(item) * (1 + taxed))

    @classmethod
    @cache.cached("kind:{cls.__name__}:{name}")
    def kind(cls, name: str) -> str:
        """A class method."""
        return f"{cls.__name__}:{name}"

    @staticmethod
    @cache.cached("twice:{number}")
    def twice(number: int) -> int:
        """A static method."""
        return 2 * number


shop = Shop()
assert_type(shop.price("tea"), float)
assert_type(shop.price("tea", taxed=True), float)
assert_type(shop.price.key_for("tea"), str)
assert_type(shop.price.refresh("tea"), float)
assert_type(shop.price.invalidate("tea", taxed=True), Invalidated | Queued)
assert_type(Shop.price(shop, "tea"), float)
Shop.kind("tea")  # type: ignore[call-arg, arg-type] # right, but no checker binds a descriptor to the class
assert_type(Shop.twice(2), int)
assert_type(Shop.twice.key_for(2), str)
shop.price(5)  # type: ignore[arg-type]
shop.price()  # type: ignore[call-arg]
shop.price.key_for(shop, "tea")  # type: ignore[call-arg, arg-type]


def part(name: str, *, size: int = 1) -> list[str]:
    """A function for a thread."""
    return [name] * size


assert_type(carry(part)("a", size=2), list[str])
verifying = Cache.from_url("memory://", verify=Verify(0.001, limit=timedelta(seconds=30), same=lambda one, two: True))
assert_type(verifying.verification().total.lost, int)
Cache.from_url("memory://", verify=0.001)
Cache.from_url("memory://", verify="often")  # type: ignore[arg-type]
carry(part)(5)  # type: ignore[arg-type]


async def asynchronously() -> None:
    """The same, awaited."""
    async with AsyncCache.from_url("memory://", namespace="shop", runner=runners.tasks(), on_event=hook) as later:
        assert_type(later, AsyncCache)
        assert_type(await later.get_or_set("k", load_later, tags=["a"], stale_ttl=60), list[int])
        assert_type(await later.get_or_set_many(["k"], load_many_later), dict[str, Order])
        assert_type(await later.refresh("k", load_later), list[int])
        assert_type(await later.get("k"), Any | None)
        assert_type(await later.get_many(["k"]), dict[str, Any])
        assert_type(await later.set("k", 1), bool)
        assert_type(await later.set_many({"k": 1}), list[str])
        assert_type(await later.add("k", 1), bool)
        assert_type(await later.delete("k"), bool)
        assert_type(await later.has_key("k"), bool)
        assert_type(await later.touch("k", 1.5), bool)
        assert_type(await later.incr("k", 2, initial=0), int)
        assert_type(await later.ttl("k"), float | None)
        assert_type(await later.invalidate("a", soft=True), Invalidated | Queued)
        async with later.strict("a", limit=30) as closed:
            assert_type(await later.complete(closed), Invalidated | Queued)
        assert_type(await later.clear(over=timedelta(seconds=30)), Invalidated | Queued)
        assert_type(later.scope("user", 42), AsyncCache)
        assert_type(later.verification().consistent_within(1.0).least, float)
        await later.get_or_set("k", load)  # type: ignore[arg-type]

        @later.cached("orders:{user_id}", tags=["user:{user_id}"])
        async def later_orders(user_id: int) -> list[Order]:
            return [Order(user_id)]

        assert_type(await later_orders(42), list[Order])
        assert_type(later_orders.key_for(42), str)
        assert_type(await later_orders.refresh(42), list[Order])
        assert_type(await later_orders.invalidate(42), Invalidated | Queued)
        await later_orders("42")  # type: ignore[arg-type]

        class LaterShop:
            id: int = 1

            @later.cached("shop:{self.id}:{item}")
            async def price(self, item: str) -> float:
                return float(len(item))

        assert_type(await LaterShop().price("tea"), float)
        assert_type(LaterShop().price.key_for("tea"), str)
        assert_type(await LaterShop().price.refresh("tea"), float)
        await LaterShop().price(5)  # type: ignore[arg-type]

        @later.cached("orders")  # type: ignore[arg-type]
        def not_async() -> int:
            return 1
