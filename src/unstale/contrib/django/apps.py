"""The app: management commands and system checks. The cache itself needs no app."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import Tags, register


class UnstaleConfig(AppConfig):
    """`unstale.contrib.django` in INSTALLED_APPS."""

    name = "unstale.contrib.django"
    label = "unstale"
    verbose_name = "unstale"

    def ready(self) -> None:
        """Register the checks."""
        from unstale.contrib.django.checks import check_caches, check_registrations  # noqa: PLC0415 - apps are there now

        register(check_caches, Tags.caches)
        register(check_registrations, Tags.models)
