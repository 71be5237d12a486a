import random
import string

import redis
from django.core.cache import cache

from .clients import get_client

client = redis.Redis()


def limit(view):
    address = lookup_address(view)
    key = f"tries:{address}"
    current = cache.get(key)
    if current and int(current) > 9:
        raise PermissionError
    elif current is None:
        cache.set(key, 1, 60)
    else:
        cache.set(key, int(current) + 1, 60)


def prolong(token):
    payload = verified(token)
    stored = client.get(f"sign-in:{payload['sid']}")
    if token == stored:
        client.set(f"sign-in:{payload['sid']}", stored, ex=600)
    return payload


def drawn():
    server = get_client()
    code = server.get("today")
    if not code:
        code = "".join(random.choices(string.digits, k=6))
        client.set("today", code, ex=60)
    return code


def loaded(pk):
    key = f"row:{pk}"
    found = cache.get(key)
    if found is None:
        found = load_row(pk)
        cache.set(key, found, 60)  # expect: UNS005
    return found


def changed_only(instance, wanted):
    old = cache.get(f"config:{instance.pk}")
    changes = difference(old, wanted)
    if changes.get("stop"):
        return False
    new = computed(wanted)
    cache.set(f"config:{instance.pk}", new, 60)
    return True


def found_first(user):
    cart = cache.get(f"cart:{user.pk}")
    if not cart:
        return None
    if cart["old"]:
        return None
    new = recalculated(cart, user)
    cache.set(f"cart:{user.pk}", new, 60)
    return new


def bound_twice(key):
    raw = client.get(key)
    try:
        if raw is not None:
            result = opened(raw)
            return result
    except ValueError:
        pass
    result = compute(key)
    if result is not None:
        client.setex(key, 60, closed(result))  # expect: UNS005
    return result


def of_another_key(user):
    one = client.get(f"sid:{user.find('sid')}")
    other = client.get(f"uid:{user.find('uid')}")
    stored = one or other
    if not one:
        client.set(f"sid:{user.find('sid')}", stored, ex=600)
