"""`python -m unstale.tools.lab.site.prepare`: tables, rows and configuration, before anything is served."""

from __future__ import annotations

from typing import Final

import django
from django.conf import settings
from django.core.management import call_command

ORDERS: Final = """
WITH RECURSIVE number(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM number WHERE i + 1 < %s)
INSERT INTO shop_order (user_id, product_id, quantity, ordered_at)
SELECT u.id, (SELECT MIN(id) FROM shop_product) + i %% 10, 1 + i %% 3, CURRENT_TIMESTAMP
FROM auth_user u CROSS JOIN number WHERE NOT u.is_staff ORDER BY u.id, i
"""
"""A tenth of the time that the shop's `seed` takes for as many, which makes them one by one. SQLite and PostgreSQL."""


def main() -> None:
    """Make them."""
    django.setup()
    from django.db import connection  # noqa: PLC0415 - settings come first

    from unstale.tools.lab.site.middleware import keep_features  # noqa: PLC0415 - the same

    told = settings.TOLD  # the database is a new one: the place is this variant's alone
    call_command("migrate", verbosity=0)
    call_command("seed", users=told.users, orders=0)
    with connection.cursor() as cursor:
        cursor.execute(ORDERS, [told.orders])
    keep_features()


if __name__ == "__main__":
    main()
