"""The app."""

from __future__ import annotations

from django.apps import AppConfig


class OutboxConfig(AppConfig):
    """`unstale.contrib.django.outbox` in INSTALLED_APPS."""

    name = "unstale.contrib.django.outbox"
    label = "unstale_outbox"
    verbose_name = "unstale: outbox"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Be there for the caches whose OPTIONS say OUTBOX."""
        from unstale.contrib.django.outbox import rows  # noqa: PLC0415 - models are there now
        from unstale.contrib.django.transactions.outbox_port import install  # noqa: PLC0415

        install(rows)
