"""What the shop does."""

from django.core.cache import cache
from django.db import transaction

from shop.caching import TTL, forget_catalogue, forget_user, history_key
from shop.middleware import say_that_it_loads
from shop.models import Order, Product


def load_history(user_id: int, limit: int) -> list[dict[str, int]]:
    say_that_it_loads()
    orders = Order.objects.filter(user_id=user_id)[:limit]
    return [{"id": each.pk, "product": each.product_id, "quantity": each.quantity} for each in orders]


def history(user_id: int, limit: int = 20) -> list[dict[str, int]]:
    key = history_key(user_id, limit)
    found = cache.get(key)
    if found is None:
        found = load_history(user_id, limit)
        cache.set(key, found, TTL)  # expect: UNS005
    return found


def catalogue() -> list[dict[str, int]]:
    found = cache.get("catalogue:all")
    if found is None:
        found = list(Product.objects.order_by("id").values("id", "name", "cents"))
        cache.set("catalogue:all", found, timeout=None)  # expect: UNS005 UNS009
    return found


def order(user_id: int, product_id: int, quantity: int = 1) -> Order:
    with transaction.atomic():
        made = Order.objects.create(user_id=user_id, product_id=product_id, quantity=quantity)
        cache.delete(f"user:{user_id}:count")  # expect: UNS004
        cache.delete_pattern(f"user:{user_id}:orders:*")  # expect: UNS001 UNS004
    return made


def cancel(user_id: int, order_id: int) -> None:
    Order.objects.filter(user_id=user_id, pk=order_id).delete()
    forget_user(user_id)


def set_price(product_id: int, cents: int) -> None:
    Product.objects.filter(pk=product_id).update(cents=cents)
    forget_catalogue()


def count(user_id: int) -> int:
    return cache.get_or_set(f"user:{user_id}:count", lambda: Order.objects.filter(user_id=user_id).count(), TTL)
