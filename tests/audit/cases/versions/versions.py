import time
import uuid

import redis
from django.core.cache import cache

r = redis.Redis()


def version_of(name):
    version = cache.get(f"version:{name}")
    if version is None:
        version = 1
        cache.set(f"version:{name}", version)
    return version


def bump(name):
    try:
        cache.incr(f"version:{name}")  # expect: UNS007
    except ValueError:
        cache.set(f"version:{name}", 1)


def rows(name):
    key = f"rows:{name}:{version_of(name)}"
    return cache.get(key)


def generation():
    gen = cache.get("generation")
    if not gen:
        gen = uuid.uuid4().hex
        cache.set("generation", gen, 3600)  # expect: UNS007
    return gen


def page(pk):
    return cache.get("page:%s:%s" % (generation(), pk))


def forever():
    return cache.get("epoch") or 1


def bump_forever():
    cache.incr("epoch")


def epoch_rows():
    cache.add("epoch", 1, timeout=None)  # what UNS007 asks for
    return cache.get(f"epoch-rows:{forever()}")


def redis_version(user_id):
    v = int(r.get(f"ver:{user_id}") or 0)
    return r.get(f"orders:{user_id}:{v}")


def redis_bump(user_id):
    r.incr(f"ver:{user_id}")


def visits(page):
    cache.add(f"visits:{page}", 0, 60)
    return cache.incr(f"visits:{page}")


def touched(user):
    cache.set(f"touched:{user.pk}", time.time(), None)  # expect: UNS006 UNS009


def is_current(user, entry):
    return entry["cached_at"] >= (cache.get(f"touched:{user.pk}") or 0)


def load(user):
    entry = cache.get(f"entry:{user.pk}")
    if entry and is_current(user, entry):
        return entry["value"]
    value = compute(user)
    cache.set(f"entry:{user.pk}", {"value": value, "cached_at": time.time()}, 60)  # expect: UNS005 UNS006
    return value


def soft_expiry(pk):
    found = cache.get(f"soft:{pk}")
    if found and found["expires"] > time.time():
        return found["value"]
    return None


def store_soft(pk, value):
    cache.set(f"soft:{pk}", {"value": value, "expires": time.time() + 60}, 600)


def shown():
    cache.set("last_run", time.time(), 60)
    return cache.get("last_run")


def store_named(pk, data):
    cache.set(f"named:{pk}", {"data": data, "timestamp": time.time()}, 600)  # expect: UNS006


def load_named(pk):
    found = cache.get(f"named:{pk}")
    last_updated = Product.objects.latest("pk").pub
    if found and found["timestamp"] < last_updated:
        return None
    return found


def store_ttl(pk, data):
    cache.set(f"ttl:{pk}", (time.time(), data), 600)


def load_ttl(pk):
    stored_at, data = cache.get(f"ttl:{pk}") or (0, None)
    now = time.time()
    if stored_at + 60 < now:
        return None
    age = now - stored_at
    return data if age < 30 else None
