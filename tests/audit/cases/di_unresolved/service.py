from django.db import transaction

from .cache_layer import CacheLayer


class Orders:
    def __init__(self, repository, cache_layer):
        self.repository = repository
        self.layer = cache_layer

    def place(self, order):
        with transaction.atomic():
            self.repository.save(order)
            self.layer.drop_matching(f"orders:{order.user_id}:*")  # expect: UNS004

    def one(self, pk):
        found = self.layer.fetch_one(f"order:{pk}")
        if not found:
            found = self.repository.by_id(pk)
            self.layer.keep_one(f"order:{pk}", found)  # expect: UNS005
        return found


def build(kind):
    return globals()[kind](None, CacheLayer())
