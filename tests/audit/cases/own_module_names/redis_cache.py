import redis


class RedisCache:
    def __init__(self):
        self.items = {}
        self.conn = redis.Redis()

    def clear(self):
        self.items.clear()

    def drop(self, like):
        for key in self.conn.scan_iter(like):  # expect: UNS001
            self.conn.delete(key)
