import pickle

from redis.exceptions import RedisError


class Store:
    def __init__(self, r, rows):
        self.r = r
        self.rows = rows

    def purge(self, like):
        try:
            keys = self.r.keys(like)  # expect: UNS001
            if keys:
                self.r.delete(*keys)
        except RedisError:
            pass

    def many(self, names):
        return [pickle.loads(each) for each in self.r.mget(names)]  # expect: UNS008

    def names(self):
        return self.rows.keys()
