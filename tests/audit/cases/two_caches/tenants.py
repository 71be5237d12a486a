from django.core.cache import DEFAULT_CACHE_ALIAS, cache, caches

from names import PAGES

OWN = "pages"


def forget(x):
    cache.delete_pattern(f"tenant:{x}:*")  # expect: UNS001
    caches["default"].delete_pattern(f"tenant:{x}:*")  # expect: UNS001
    caches[DEFAULT_CACHE_ALIAS].delete_pattern(f"tenant:{x}:*")  # expect: UNS001
    caches["pages"].delete_pattern(f"tenant:{x}:*")
    caches[OWN].delete_pattern(f"tenant:{x}:*")
    caches[PAGES].delete_pattern(f"tenant:{x}:*")


def forget_in(alias, x):
    caches[alias].delete_pattern(f"tenant:{x}:*")  # expect: UNS001


def forget_in_either(x, is_page):
    either = caches["pages"] if is_page else cache
    either.delete_pattern(f"tenant:{x}:*")  # expect: UNS001
