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
