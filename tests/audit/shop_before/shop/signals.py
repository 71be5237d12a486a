"""What follows from a change of a product."""

from django.core.cache import cache
from django.db.models.signals import post_save
from django.dispatch import receiver

from shop.models import Product


@receiver(post_save, sender=Product)
def product_saved(sender, instance, **kwargs):
    cache.delete("catalogue:all")  # expect: UNS004
