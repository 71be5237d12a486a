"""`python -m unstale.tools.lab.site.prepare`: tables, rows and configuration, before anything is served."""

from __future__ import annotations

import django
from django.conf import settings
from django.core.management import call_command


def main() -> None:
    """Make them."""
    django.setup()
    from unstale.tools.lab.site.middleware import keep_features  # noqa: PLC0415 - it reads the settings

    told = settings.TOLD
    call_command("migrate", verbosity=0)
    call_command("seed", users=told.users, orders=told.orders, verbosity=0)
    keep_features()


if __name__ == "__main__":
    main()
