"""The app: management commands and system checks. The cache itself needs no app."""

from __future__ import annotations

from django.apps import AppConfig


class UnstaleConfig(AppConfig):
    """`unstale.contrib.django` in INSTALLED_APPS."""

    name = "unstale.contrib.django"
    label = "unstale"
    verbose_name = "unstale"
