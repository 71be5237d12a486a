import hmac
import json
import pickle
from pickle import loads

import redis

client = redis.Redis()


class Store:
    def __init__(self):
        self.conn = redis.Redis()

    def read(self, key):
        raw = self.conn.get(key)
        if raw is None:
            return None
        return self._decode(raw)

    def _decode(self, raw):
        return pickle.loads(raw)  # expect: UNS008


def direct(key):
    return loads(client.hget("h", key))  # expect: UNS008


def many(keys):
    return [pickle.loads(each) for each in client.mget(keys) if each]  # expect: UNS008


def verified(key):
    raw = client.get(key)
    signature, body = raw[:32], raw[32:]
    if not hmac.compare_digest(signature, sign(body)):
        return None
    return pickle.loads(body)


def from_file(path):
    with open(path, "rb") as file:
        return pickle.load(file)


def other(key):
    return json.loads(client.get(key))


CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "TIMEOUT": None,  # expect: UNS009
        "OPTIONS": {"SERIALIZER": "django_redis.serializers.pickle.PickleSerializer"},  # expect: UNS008
    }
}
CELERY_TASK_SERIALIZER = "pickle"
