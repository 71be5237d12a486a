from django.core.cache import cache as default_cache, caches

short = caches["short"]


def remove_like(text: str) -> None:
    default_cache.delete_pattern("*%s*" % text)  # expect: UNS001
