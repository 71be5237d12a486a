"""The shop's app, without its registrations: what becomes stale is the variant's to say."""

from django.apps import AppConfig


class ShopConfig(AppConfig):
    """The shop's models, migrations and commands, and nothing that invalidates."""

    name = "shop"
