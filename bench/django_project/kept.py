"""The shop as it is: unstale's mixin on unstale's backend."""

from shop.settings import *  # noqa: F403 - settings build on settings

ROOT_URLCONF = "bench.django_project.urls"
BENCH_ORDERS = "shop.api.OrderViewSet"
