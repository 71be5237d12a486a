import itertools

import redis
from redis import Redis

r = Redis()


def by_lambda(like):
    list(map(lambda key: r.delete(key), r.keys(like)))  # expect: UNS001


def chunked(like):
    keys = r.scan_iter(like)  # expect: UNS001
    while chunk := list(itertools.islice(keys, 100)):
        r.delete(*chunk)


def filtered(prefix):
    stale = {k for k in r.keys("*") if k.startswith(prefix)}  # expect: UNS001
    for k in stale:
        r.unlink(k)


def nested(like):
    def work():
        for key in keys:
            r.delete(key)

    keys = list(r.scan_iter(like))  # expect: UNS001
    work()


class Cleaner:
    def __init__(self, client: redis.Redis):
        self.client = client

    def _names(self, like):
        yield from self.client.scan_iter(match=like)  # expect: UNS001

    def names(self, like):
        return sorted(self._names(like))

    def clean(self, like):
        for name in self.names(like):
            self.client.delete(name)

    def rename(self):
        for name in self.client.scan_iter("old:*"):  # expect: UNS002
            self.client.rename(name, name.replace(b"old", b"new"))

    def dump(self):
        return {name: self.client.hgetall(name) for name in self.client.keys("h:*")}  # expect: UNS002


def count_then_delete_one(like):
    if len(r.keys(like)) > 10:  # expect: UNS002
        r.delete("single")


def execute_scan(like):
    cursor = 0
    while True:
        cursor, keys = r.execute_command("SCAN", cursor, "MATCH", like, "COUNT", 100)  # expect: UNS001
        for key in keys:
            r.delete(key)
        if not cursor:
            return


def text_of(like):
    return b",".join(r.keys(like))  # expect: UNS002


def rows_of_keys(session):
    for key in r.scan_iter("row:*"):  # expect: UNS002
        data = r.hgetall(key)
        session.delete(session.get(Row, data[b"id"]))
