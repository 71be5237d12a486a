from functools import partial

from django.db import transaction

from . import cache_utils
from .cache_utils import drop, invalidate_prefix as bust


class ProductMixin:
    prefix = "products"

    def perform_update(self, serializer):
        serializer.save()
        bust(self.prefix)

    def perform_destroy(self, instance):
        instance.delete()
        transaction.on_commit(partial(cache_utils.invalidate_list, "product"))


def rename(request):
    drop("user:1:*")
    return None
