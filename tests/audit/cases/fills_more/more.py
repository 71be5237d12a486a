import json
from contextlib import suppress

from django.core.cache import cache
from redis import Redis

r = Redis()


def stored_if_there(key):
    result = cache.get(key)
    if result is None:
        result = load(key)
        if result is not None:
            cache.set(key, result, 60)  # expect: UNS005
    return result


def called_twice(key):
    if cache.get(key):
        return cache.get(key)
    value = load(key)
    cache.set(key, value, 60)  # expect: UNS005
    return value


def with_suppress(key):
    with suppress(Exception):
        raw = r.get(key)
        if raw:
            return json.loads(raw)
    value = load(key)
    with suppress(Exception):
        r.setex(key, 60, json.dumps(value))  # expect: UNS005
    return value


def in_a_loop(keys):
    out = []
    for key in keys:
        value = cache.get(f"a:{key}")
        if value is not None:
            out.append(value)
            continue
        value = load(key)
        cache.set(f"a:{key}", value, 60)  # expect: UNS005
        out.append(value)
    return out


def ternary(key, use):
    value = cache.get(key) if use else None
    if value is None:
        value = load(key)
        if use:
            cache.set(key, value, 60)  # expect: UNS005
    return value


def force(key, refresh=False):
    value = None
    if not refresh:
        value = cache.get(key)
    if value is None or refresh:
        value = load(key)
        cache.set(key, value, 60)  # expect: UNS005
    return value


def built_up(user):
    key = f"stats:{user.pk}"
    stats = cache.get(key)
    if not stats:
        stats = {}
        stats["orders"] = user.orders.count()
        stats["total"] = sum(order.total for order in user.orders.all())
        cache.set(key, stats, 3600)  # expect: UNS005
    return stats


def hashes(pk):
    name = r.hget("names", pk)
    if name is None:
        name = load(pk)
        r.hset("names", pk, name)  # expect: UNS005
        r.expire("names", 60)
    return name


def exists_first(pk):
    if r.exists(f"e:{pk}"):
        return r.get(f"e:{pk}")
    value = load(pk)
    r.set(f"e:{pk}", value, ex=60)  # expect: UNS005
    return value


def refresh_hit(key):
    value = cache.get(key)
    if value is not None:
        cache.set(key, refreshed(value), 60)
    return value


def remember_last(key, value):
    previous = cache.get(key)
    cache.set(key, value, 60)
    return previous


def lock_by_set(key):
    if not cache.get(f"lock:{key}"):
        cache.set(f"lock:{key}", "1", 10)
        work()


def session_state(sid):
    state = cache.get(f"session:{sid}")
    if state is None:
        state = {"step": 0}
        cache.set(f"session:{sid}", state, 60)
    return state


def token_once(user):
    import uuid

    token = cache.get(f"token:{user.pk}")
    if not token:
        token = uuid.uuid4().hex
        cache.set(f"token:{user.pk}", token, 60)
    return token


class View:
    timeout = 60

    def key(self):
        return f"view:{self.kind}"

    def from_cache(self):
        return cache.get(self.key())

    def into_cache(self, value):
        cache.set(self.key(), value, self.timeout)

    def get(self):
        value = self.from_cache()
        if value is None:
            value = self.compute()
            self.into_cache(value)  # expect: UNS005
        return value


async def awaited(redis: "Redis", pk: int):
    raw = await redis.get(f"w:{pk}")
    if raw is None:
        data = await fetch(pk)
        raw = json.dumps(data)
        await redis.set(name=f"w:{pk}", value=raw, ex=60)  # expect: UNS005
    return raw


def two_keys(pk):
    a = cache.get(f"one:{pk}")
    b = cache.get(f"two:{pk}")
    if a is None or b is None:
        a, b = load_both(pk)
        cache.set(f"one:{pk}", a, 60)  # expect: UNS005
        cache.set(f"two:{pk}", b, 60)  # expect: UNS005
    return a, b
