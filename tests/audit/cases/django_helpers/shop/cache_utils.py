"""Helpers that take a prefix."""
from django.core.cache import cache, caches
from django_redis import get_redis_connection

USER_KEY = "user:%s:profile"


def invalidate_prefix(prefix):
    cache.delete_pattern(f"*.{prefix}.*")  # expect: UNS001


def invalidate_list(name):
    keys = cache.keys(f"*{name}_list*")  # expect: UNS001
    cache.delete_many(keys)


def find_keys(pattern):
    con = get_redis_connection("default")
    return [k for k in con.scan_iter(match=pattern)]  # expect: UNS001


def drop(pattern):
    found = find_keys(pattern)
    if found:
        get_redis_connection("default").delete(*found)


def stats():
    con = get_redis_connection("default")
    return {"keys": len(con.keys("*")), "info": con.info()}  # expect: UNS002


def wipe_all():
    for alias in caches:
        caches[alias].clear()  # expect: UNS003


def forget_user(pk):
    cache.delete(USER_KEY % pk)


def raw_client():
    return cache._cache.get_client(None)


def drop_raw(prefix):
    client = raw_client()
    cursor = 0
    while True:
        cursor, keys = client.scan(cursor, match=prefix + "*", count=100)  # expect: UNS001
        if keys:
            client.delete(*keys)
        if cursor == 0:
            break


def drop_with_pipeline(prefix):
    client = cache.client.get_client(write=True)
    pipe = client.pipeline()
    for key in client.scan_iter(f"{prefix}:*"):  # expect: UNS001
        pipe.delete(key)
    pipe.execute()


def drop_in_batches(prefix):
    batch = []
    for key in cache.iter_keys(f"{prefix}:*"):  # expect: UNS001
        batch.append(key)
        if len(batch) > 100:
            cache.delete_many(batch)
            batch = []


def conditional(pattern):
    if hasattr(cache, "delete_pattern"):
        cache.delete_pattern(pattern)  # expect: UNS001
    else:
        cache.clear()  # expect: UNS003


def in_a_lambda(pattern):
    action = lambda: cache.delete_pattern(pattern)  # expect: UNS001
    action()
