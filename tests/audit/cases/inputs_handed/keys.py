import hashlib
import json

from django.core.cache import cache
from redis import Redis

redis = Redis()

KEYS = {
    "rows": "rows_of_{user_id}_v{version}",
    "typed": "rows_of_{user_id}_{kind}",
    "placed": "rows:{}:{}",
}


def long_key(prefix, name, words=None):
    key = f"{prefix}:{name}"
    if words:
        text = json.dumps(words, sort_keys=True)
        key = f"{key}:{hashlib.md5(text.encode()).hexdigest()}"
    return key


def keep_rows(rows, words=None):
    cache.set(long_key("rows", "all", words), rows, 60)


def keep_rows_of(name, rows):
    cache.set(long_key("rows", name), rows, 60)


def key_of(prefix, *parts, **words):
    found = [prefix] + [str(each) for each in parts]
    if words:
        found.append(hashlib.md5(json.dumps(words).encode()).hexdigest()[:8])
    return ":".join(found)


def keep_bought(user, data):
    order = Order(data=data)
    if not order.is_valid():
        return
    data = order.validated_data
    cache.set(f"bought:{user.pk}:{data['event']}", dict(data), 60)


def keep_asked(user, data):
    if not data:
        data = {"event": "none"}
    cache.set(f"asked:{user.pk}:{data['event']}", dict(data), 60)


def keep_loaded(data):
    order = Order(data=data)
    if order.is_valid():
        data = order.validated_data
        cache.set(f"loaded:{data['event']}", load_event(data), 60)


def keep_stripped(data):
    text = data.strip()
    data = text
    cache.set(f"stripped:{data}", load_event(data), 60)  # expect: UNS010


def put(key, value):
    redis.set(key, json.dumps(value), ex=60)


def taken(key):
    found = redis.get(key)
    return json.loads(found) if found else None


class Counter:
    def count(self, key):
        now = int(cache.get(key, 0)) + 1
        cache.set(key, now, 60)
        return now
