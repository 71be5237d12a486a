from abc import ABC, abstractmethod

from redis import Redis


class AbstractCache(ABC):
    @abstractmethod
    def get(self, key): ...

    @abstractmethod
    def remove_matching(self, pattern): ...


class RedisCache(AbstractCache):
    def __init__(self, client: "Redis"):
        self._r = client

    def get(self, key):
        return self._r.get(key)

    def remove_matching(self, pattern):
        names = self._matching(pattern)
        if names:
            self._r.unlink(*names)

    def _matching(self, pattern):
        return list(self._r.scan_iter(match=pattern, count=500))  # expect: UNS001


class Proxy:
    def __init__(self):
        self._backend = Redis()

    def __getattr__(self, name):
        return getattr(self._backend, name)


proxy = Proxy()


def clear_through_proxy():
    for key in proxy.scan_iter("x:*"):  # expect: UNS001
        proxy.delete(key)


CLIENTS = {"main": Redis(), "other": Redis()}


def clear_by_name(name):
    CLIENTS[name].flushdb()  # expect: UNS003


class Child(RedisCache):
    def purge(self):
        self.remove_matching("*:child")
