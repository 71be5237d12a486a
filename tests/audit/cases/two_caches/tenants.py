from functools import partial

from django.core.cache import DEFAULT_CACHE_ALIAS, cache, caches
from django.db import transaction

from names import PAGES

OWN = "pages"


def forget(x):
    cache.delete_pattern(f"tenant:{x}:*")  # expect: UNS001
    caches["default"].delete_pattern(f"tenant:{x}:*")  # expect: UNS001
    caches[DEFAULT_CACHE_ALIAS].delete_pattern(f"tenant:{x}:*")  # expect: UNS001
    caches["pages"].delete_pattern(f"tenant:{x}:*")
    caches[OWN].delete_pattern(f"tenant:{x}:*")
    caches[PAGES].delete_pattern(f"tenant:{x}:*")


def forget_later(x):
    with transaction.atomic():
        transaction.on_commit(partial(cache.delete_pattern, f"tenant:{x}:*"))  # expect: UNS001
        transaction.on_commit(partial(caches["pages"].delete_pattern, f"tenant:{x}:*"))
        later = partial(cache.delete_pattern, "all:*")  # expect: UNS001
        transaction.on_commit(later)


def forget_in(alias, x):
    caches[alias].delete_pattern(f"tenant:{x}:*")  # expect: UNS001


def forget_in_either(x, is_page):
    either = caches["pages"] if is_page else cache
    either.delete_pattern(f"tenant:{x}:*")  # expect: UNS001
