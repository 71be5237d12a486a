"""The app."""

from __future__ import annotations

from django.apps import AppConfig


class OutboxConfig(AppConfig):
    """`unstale.contrib.django.outbox` in INSTALLED_APPS."""

    name = "unstale.contrib.django.outbox"
    label = "unstale_outbox"
    verbose_name = "unstale: outbox"
    default_auto_field = "django.db.models.BigAutoField"
