import json

import redis
from django.core.cache import cache

r = redis.Redis()


def cache_product(product):
    r.set(f"product_cache:{product.pk}", json.dumps(product.as_dict()))  # expect: UNS009


def cache_with_end(product):
    r.set(f"product_cache:{product.pk}", json.dumps(product.as_dict()), ex=60)
    r.setex(f"product_cache:{product.pk}", 60, "x")


def cache_then_expire(product):
    key = f"product_cache:{product.pk}"
    r.hset(key, mapping=product.as_dict())
    r.expire(key, 60)


def cached_rows(pk):
    rows = r.get(f"rows:{pk}")
    if not rows:
        rows = json.dumps(load_rows(pk))
        r.set(f"rows:{pk}", rows)  # expect: UNS005 UNS009
    return rows


def enqueue(job):
    r.set(f"job:{job.id}", job.payload)
    r.lpush("queue", job.id)


def save_config(name, value):
    r.set(f"config:{name}", value)


def forever(key, value):
    cache.set(key, value, timeout=None)  # expect: UNS009
    cache.set(key, value, None)  # expect: UNS009
    cache.set_many({key: value}, timeout=None)  # expect: UNS009
    cache.set(key, value)
    cache.set(key, value, 60)
