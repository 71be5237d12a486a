"""The shop's own test, end to end, on whatever cache its settings name: prints what went wrong, and nothing if all is well."""

import django

django.setup()

from django.contrib.auth import get_user_model  # noqa: E402
from django.core.cache import cache  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import transaction  # noqa: E402
from shop import services  # noqa: E402
from shop.models import Order, Product  # noqa: E402


def check(said: str, seen: object, wanted: object) -> None:
    if seen != wanted:
        print(f"{said}: {seen!r}, not {wanted!r}")


call_command("migrate", verbosity=0)
anna, bert = (get_user_model().objects.create_user(name) for name in ("anna", "bert"))
tea = Product.objects.create(name="tea", cents=100)

check("an empty history", services.history(anna.pk), [])
check("nobody has ordered", services.count(anna.pk), 0)
first = services.order(anna.pk, tea.pk).pk
check("a history has its order", [each["id"] for each in services.history(anna.pk)], [first])
check("an order counts", services.count(anna.pk), 1)
check("another one's history has not", services.history(bert.pk), [])
second = services.order(anna.pk, tea.pk).pk
check("the next order, too", [each["id"] for each in services.history(anna.pk)], [second, first])
services.cancel(anna.pk, first)
check("a cancelled order is gone", [each["id"] for each in services.history(anna.pk)], [second])
check("the catalogue", services.catalogue(), [{"id": tea.pk, "name": "tea", "cents": 100}])
services.set_price(tea.pk, 120)
check("a new price", services.catalogue(), [{"id": tea.pk, "name": "tea", "cents": 120}])
tea.refresh_from_db()
tea.cents = 130
tea.save()
check("a saved price", services.catalogue(), [{"id": tea.pk, "name": "tea", "cents": 130}])
try:
    with transaction.atomic():
        services.order(anna.pk, tea.pk)
        raise LookupError
except LookupError:
    pass
check("what was rolled back never was", [each["id"] for each in services.history(anna.pk)], [second])
check("the cache's own class", type(cache._connections[cache._alias]).__module__.partition(".")[0], "unstale")
