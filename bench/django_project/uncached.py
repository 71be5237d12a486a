"""No cache around the view."""

from bench.django_project.kept import *  # noqa: F403 - settings build on settings

BENCH_ORDERS = "bench.django_project.views.UncachedOrders"
