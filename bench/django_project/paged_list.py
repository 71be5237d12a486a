"""`cache_page` on `list`, on django-redis."""

import os

from bench.django_project.kept import *  # noqa: F403 - settings build on settings

CACHES = {"default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": os.environ["SHOP_CACHE"], "TIMEOUT": 300}}
BENCH_ORDERS = "bench.django_project.views.PagedListOrders"
