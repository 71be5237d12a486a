"""Which rows make which cached values stale, all of it, in one place."""

from django.apps import AppConfig


class ShopConfig(AppConfig):
    """The shop."""

    name = "shop"

    def ready(self) -> None:
        """Say what depends on what."""
        from shop.models import Order, Product  # noqa: PLC0415 - models are there only now
        from unstale.contrib.django import invalidates  # noqa: PLC0415

        invalidates(Order, "user:{user_id}/orders", above=None)  # that user's history, and nobody else's
        invalidates(Product, "catalogue")
