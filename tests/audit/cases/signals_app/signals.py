from django.core.cache import cache
from django.db import transaction
from django.db.models.signals import m2m_changed, post_delete, post_save
from django.dispatch import receiver

from .models import Order, Product, invalidate_catalogue


@receiver([post_save, post_delete], sender=Product)
def product_changed(sender, instance, **kwargs):
    cache.delete("catalogue")  # expect: UNS004
    cache.delete_pattern("products:*")  # expect: UNS001 UNS004


@receiver(post_save, sender=Order)
def order_saved(sender, instance, **kwargs):
    transaction.on_commit(lambda: cache.delete(f"orders:{instance.user_id}"))


@receiver(m2m_changed, sender=Order)
def order_items(sender, instance, **kwargs):
    def later():
        cache.delete(f"orders:{instance.user_id}")

    transaction.on_commit(later)


def price_changed(sender, instance, **kwargs):
    invalidate_catalogue(instance)  # expect: UNS004


post_save.connect(price_changed, sender=Product)


def somebody_else(sender, **kwargs):
    cache.delete("x")
