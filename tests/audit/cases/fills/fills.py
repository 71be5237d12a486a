import functools
import json
import time

import redis
from django.core.cache import cache, caches
from django.db import models

r = redis.Redis(host="localhost")


def or_else(user):
    value = cache.get("k:%s" % user.pk) or compute(user)
    cache.set("k:%s" % user.pk, value, 60)  # expect: UNS005
    return value


def early_return(pk):
    key = "product:{}".format(pk)
    raw = r.get(key)
    if raw is not None:
        return json.loads(raw)
    product = Product.objects.get(pk=pk)
    r.setex(key, 300, json.dumps(product.as_dict()))  # expect: UNS005
    return product


def by_membership(pk):
    key = f"page:{pk}"
    if key in cache:
        page = cache.get(key)
    else:
        page = render_page(pk)
        cache.set(key, page)  # expect: UNS005
    return page


def by_has_key(pk):
    if not cache.has_key(f"menu:{pk}"):
        cache.set(f"menu:{pk}", build_menu(pk))  # expect: UNS005
    return cache.get(f"menu:{pk}")


def by_exception(pk):
    try:
        return json.loads(r.get(f"x:{pk}"))
    except TypeError:
        pass
    found = fetch(pk)
    r.set(f"x:{pk}", json.dumps(found), ex=60)  # expect: UNS005
    return found


def sentinel(pk):
    missing = object()
    value = cache.get(f"s:{pk}", missing)
    if value is missing:
        value = fetch(pk)
        cache.set(f"s:{pk}", value, 10)  # expect: UNS005
    return value


def cached(ttl):
    def decorator(func):
        @functools.wraps(func)
        def wrapper(*args, **kwargs):
            key = f"{func.__name__}:{args}:{kwargs}"
            result = cache.get(key)
            if result is None:
                result = func(*args, **kwargs)
                cache.set(key, result, ttl)  # expect: UNS005
            return result

        return wrapper

    return decorator


class Manager(models.Manager):
    def current(self):
        store = caches["default"]
        found = store.get("current")
        if not found:
            found = self.filter(active=True).first()
            store.set("current", found, 60)  # expect: UNS005
        return found


def good(pk):
    return cache.get_or_set(f"g:{pk}", lambda: fetch(pk), 60)


def counter(address):
    count = cache.get(f"hits:{address}")
    if count is None:
        cache.set(f"hits:{address}", 1, 60)
    else:
        cache.incr(f"hits:{address}")


def throttle(address):
    last = cache.get(f"last:{address}")
    if last and time.time() - last < 5:
        return False
    cache.set(f"last:{address}", time.time(), 5)
    return True


def guarded(pk):
    value = cache.get(f"v:{pk}")
    if value is None:
        with cache.lock(f"lock:{pk}"):
            value = cache.get(f"v:{pk}")
            if value is None:
                value = fetch(pk)
                cache.set(f"v:{pk}", value, 60)
    return value


def other_key(pk):
    value = cache.get(f"a:{pk}")
    if value is None:
        value = fetch(pk)
        cache.set(f"b:{pk}", value, 60)
    return value


def append_to_list(pk, item):
    items = cache.get(f"items:{pk}", [])
    items.append(item)
    cache.set(f"items:{pk}", items, 60)


def always_refreshed(pk):
    old = cache.get(f"r:{pk}")
    new = fetch(pk)
    cache.set(f"r:{pk}", new, 60)
    return old != new


def get_profile(user_id):
    return cache.get(f"profile:{user_id}")


def set_profile(user_id, profile):
    cache.set(f"profile:{user_id}", profile, 600)


def profile(user_id):
    found = get_profile(user_id)
    if found is None:
        found = Profile.objects.get(user_id=user_id)
        set_profile(user_id, found)  # expect: UNS005
    return found


def one_time(token):
    if cache.get(f"seen:{token}") is None:
        cache.set(f"seen:{token}", True, 60)
        return True
    return False
