"""`cache_page` around the whole view, on django-redis."""

from bench.django_project.paged_list import *  # noqa: F403 - settings build on settings

BENCH_ORDERS = "bench.django_project.views.PagedOrders"
