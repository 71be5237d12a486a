from core.cache import ORDER_KEY, default_cache, order_key, redis_connection, remove_like, short
from core import cache as cache_module


def order(pk):
    found = default_cache.get(order_key(pk))
    if found is None:
        found = Order.objects.get(pk=pk)
        default_cache.set(ORDER_KEY.format(pk=pk), found)  # expect: UNS005
    return found


def purge():
    for key in redis_connection.keys("order:*"):  # expect: UNS001
        redis_connection.delete(key)
    short.clear()  # expect: UNS003
    cache_module.remove_like("order")
    remove_like("cart")
