"""The orders of the shop, without a cache and with `cache_page` around them."""

from django.utils.decorators import method_decorator
from django.views.decorators.cache import cache_page
from django.views.decorators.vary import vary_on_headers
from rest_framework import mixins, viewsets
from shop.api import OrderSerializer, OrderViewSet

TTL = OrderViewSet.cache_ttl

for_each_user = (cache_page(TTL), vary_on_headers("Authorization"))
"""As the framework's guide to caching says it for what depends on the user."""


class UncachedOrders(mixins.RetrieveModelMixin, mixins.ListModelMixin, viewsets.GenericViewSet):  # type: ignore[misc]
    """The shop's orders, as they are without a cache."""

    serializer_class = OrderSerializer
    permission_classes = OrderViewSet.permission_classes
    get_queryset = OrderViewSet.get_queryset


@method_decorator(for_each_user, name="list")
class PagedListOrders(UncachedOrders):
    """`cache_page` on `list`, as the framework's guide has it: the user is authenticated for each request."""


@method_decorator(for_each_user, name="dispatch")
class PagedOrders(UncachedOrders):
    """`cache_page` around everything: a hit is served without authentication, also for a token that was revoked."""
