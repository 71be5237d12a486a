"""What the API shows, as it is in the database at one moment. Nothing here knows of a cache."""

from __future__ import annotations

import time
from typing import Any, TypeAlias, TypedDict

from django.db.models import Count, Max, OuterRef, Subquery
from shop.api import OrderSerializer, ProductSerializer
from shop.models import Order, Product

Catalogue: TypeAlias = list[dict[str, Any]]


class Page(TypedDict):
    """One page of a user's orders."""

    version: int
    """The id of the user's newest order when the page was read; 0: there is none."""
    results: list[dict[str, Any]]
    """The newest first."""


def load_page(user_id: int, number: int, size: int, seconds: float) -> Page:
    """A page, with its version, as one statement sees both.

    Args:
        user_id: whose.
        number: from 1.
        size: orders on a page.
        seconds: how much longer it takes, once it was read: for what else a page asks for, in other applications.
    """
    page = _read_page(user_id, number, size)
    time.sleep(seconds)
    return page


def _read_page(user_id: int, number: int, size: int) -> Page:
    begin = (number - 1) * size
    newest = Order.objects.filter(user_id=OuterRef("user_id")).order_by("-id").values("id")[:1]
    orders = Order.objects.filter(user_id=user_id).select_related("product").annotate(newest=Subquery(newest))
    while True:
        rows = list(orders.order_by("-id")[begin : begin + size])
        if rows:
            return {"version": rows[0].newest, "results": list(OrderSerializer(rows, many=True).data)}
        # Where there is no row none can tell the version: a statement that proves the page to be empty does.
        seen = Order.objects.filter(user_id=user_id).aggregate(newest=Max("id"), count=Count("id"))
        if seen["count"] <= begin:
            return {"version": seen["newest"] or 0, "results": []}


def load_catalogue() -> Catalogue:
    """All products."""
    return list(ProductSerializer(Product.objects.order_by("id"), many=True).data)
