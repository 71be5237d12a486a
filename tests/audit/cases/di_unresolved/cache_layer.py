import json

from redis import Redis


class CacheLayer:
    def __init__(self):
        self.r = Redis()

    def fetch_one(self, key):
        raw = self.r.get(key)
        return json.loads(raw) if raw else None

    def keep_one(self, key, value, seconds=60):
        self.r.set(key, json.dumps(value), ex=seconds)

    def drop_matching(self, pattern):
        keys = self.r.keys(pattern)  # expect: UNS001
        if keys:
            self.r.delete(*keys)
