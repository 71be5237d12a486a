import time

from django.core.cache import cache

from .naming import named


def issue(token):
    cache.set(named("token", token), {"created_at": time.time(), "state": "new"}, 60)
