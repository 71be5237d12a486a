"""A page of a user's orders, as an API would answer it: about 1 KiB of JSON. The same arguments give the same page."""

from __future__ import annotations

from typing import Any, TypeAlias

Page: TypeAlias = dict[str, Any]
"""What is cached. Its "version" says which of the user's actions it already shows."""

ORDERS_A_PAGE = 4
STATUSES = ("paid", "packed", "shipped", "delivered", "returned")
GOODS = (
    ("ESP-0417", "Espresso cups, set of four", 2450),
    ("TOW-1102", "Linen kitchen towel", 1290),
    ("LMP-0033", "Desk lamp, brass", 8900),
    ("NBK-2040", "Notebook, dotted, A5", 750),
    ("KTL-0009", "Kettle, 1.2 l, enamel", 5600),
    ("BLK-7731", "Wool blanket, grey", 7450),
    ("VAS-0512", "Vase, hand-blown", 3995),
)


def order_page(user: int, page: int, version: int) -> Page:
    """One page of a user's orders at one version."""
    first = (user * 7919 + page * ORDERS_A_PAGE) * 31
    return {
        "user": user,
        "page": page,
        "version": version,
        "orders": [_order(first + 31 * place, version) for place in range(ORDERS_A_PAGE)],
        "next": f"/api/users/{user}/orders?page={page + 1}",
    }


def _order(number: int, version: int) -> dict[str, Any]:
    items = [_item(number), _item(number // 7 + 1)]
    return {
        "id": f"ord_{number:09d}",
        "placed_at": f"2025-{number % 12 + 1:02d}-{number % 28 + 1:02d}T{number % 24:02d}:{number % 60:02d}:07Z",
        "status": STATUSES[(number + version) % len(STATUSES)],
        "total": sum(item["price"] * item["quantity"] for item in items),
        "currency": "EUR",
        "items": items,
    }


def _item(number: int) -> dict[str, Any]:
    sku, name, price = GOODS[number % len(GOODS)]
    return {"sku": sku, "name": name, "quantity": number % 3 + 1, "price": price}
