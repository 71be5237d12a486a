"""The API: the catalogue, a user's history, and orders. The same for all variants."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.conf import settings
from django.core.cache import caches
from django_redis.cache import RedisCache
from rest_framework.exceptions import ValidationError
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from shop.api import IsStaffOrReads, OrderSerializer

from unstale.tools.lab.site.caching import CACHINGS, Load
from unstale.tools.lab.site.history import load_catalogue, load_page

caching = CACHINGS[settings.TOLD.caching]()


class Watched:
    """A loader that knows whether it ran."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self.ran = False

    def __call__(self) -> Any:
        """Load."""
        self.ran = True
        return self._load()

    @property
    def x_cache(self) -> str:
        """What X-Cache says."""
        return "miss" if self.ran else "hit"


class OrdersView(APIView):
    """A user's own orders."""

    permission_classes = (IsAuthenticated,)

    def get(self, request: Request) -> Response:
        """A page of them: `?page=2`."""
        user_id, page = request.user.pk, _page_of(request)
        load = Watched(partial(load_page, user_id, page, request.features["page_size"], settings.TOLD.load_seconds))
        data = caching.read(user_id, page, load)
        return Response(data, headers={"X-Cache": load.x_cache, "X-Version": str(data["version"])})

    def post(self, request: Request) -> Response:
        """Order."""
        serializer = OrderSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        order = caching.order(request.user.pk, partial(serializer.save, user=request.user))
        return Response(serializer.data, status=201, headers={"X-Version": str(order.pk)})


class ProductsView(APIView):
    """The catalogue."""

    permission_classes = (IsStaffOrReads,)

    def get(self, request: Request) -> Response:  # noqa: ARG002 - DRF's
        """All of it."""
        load = Watched(load_catalogue)
        data = caching.catalogue(load)
        return Response(data, headers={"X-Cache": load.x_cache})


class AboutView(APIView):
    """How this process caches: what the settings came to, not what they say."""

    authentication_classes = ()
    permission_classes = ()

    def get(self, request: Request) -> Response:  # noqa: ARG002 - DRF's
        """The classes at work."""
        return Response({"caching": type(caching).__name__, "parser": _parser()})


def _page_of(request: Request) -> int:
    try:
        page = int(request.query_params.get("page", "1"))
    except ValueError:
        page = 0
    if page < 1:
        raise ValidationError({"page": "Pages are numbered from 1."})
    return page


def _parser() -> str:
    """What parses the answers of the cache's server, on a real connection."""
    backend = caches["default"]
    if not isinstance(backend, RedisCache):
        return "hiredis"  # unstale knows no other, and no connection of redis-py's has its entries
    pool = backend.client.get_client().connection_pool
    connection = pool.get_connection()
    try:
        return type(connection._parser).__name__  # noqa: SLF001 - redis-py tells it in no other way
    finally:
        pool.release(connection)
