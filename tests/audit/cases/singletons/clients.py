import json

import redis
from redis.sentinel import Sentinel


class RedisManager:
    _client = None

    @classmethod
    def get_client(cls):
        if cls._client is None:
            cls._client = redis.Redis()
        return cls._client

    @classmethod
    def delete_by_prefix(cls, prefix):
        client = cls.get_client()
        keys = client.keys(f"{prefix}*")  # expect: UNS001
        return client.delete(*keys) if keys else 0

    @staticmethod
    def size():
        return len(RedisManager.get_client().keys())  # expect: UNS002


class Singleton:
    _instance = None

    def __new__(cls):
        if cls._instance is None:
            cls._instance = super().__new__(cls)
            cls._instance.conn = redis.Redis()
        return cls._instance

    def purge(self, like):
        for name in self.conn.scan_iter(like):  # expect: UNS001
            self.conn.delete(name)


class HighlyAvailable:
    def __init__(self, hosts, service="master"):
        sentinel = Sentinel(hosts)
        self.master = sentinel.master_for(service)
        self.replica = sentinel.slave_for(service)

    def keys(self, pattern="*"):
        return self.replica.keys(pattern)  # expect: UNS001

    def flush(self):
        self.master.flushdb()  # expect: UNS003

    def delete_like(self, pattern):
        for key in self.keys(pattern):
            self.master.delete(key)


class Wrapper(redis.Redis):
    def get_json(self, key):
        raw = self.get(key)
        return json.loads(raw) if raw else None

    def clear_prefix(self, prefix):
        for key in self.scan_iter(prefix + "*"):  # expect: UNS001
            self.delete(key)


wrapper = Wrapper()


def use():
    RedisManager.delete_by_prefix("user:")
    Singleton().purge("user:*")
    wrapper.clear_prefix("user:")
    return wrapper.keys("user:*")  # expect: UNS002
