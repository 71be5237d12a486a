"""What waits for COMMIT by itself, and what does not."""

from django.core.cache import cache, caches
from django.db import transaction
from django.db.models.signals import post_delete, post_save, pre_save
from django.dispatch import receiver


def forget(user_id):
    cache.delete_pattern(f"user:{user_id}:*")


def rename(user, name):
    with transaction.atomic():
        user.name = name
        user.save()
        cache.delete_pattern(f"user:{user.pk}:*")
        cache.clear()  # expect: UNS003
        cache.delete(f"name:{user.pk}")  # expect: UNS004
        cache.delete_pattern(f"names:{user.pk}:*")  # expect: UNS001 UNS004
        cache.delete_pattern(f"user:{user.pk}:*", prefix="old")  # expect: UNS001 UNS004
        caches["pages"].delete_pattern("page:start:*")
        caches["pages"].delete_pattern("catalogue:*")  # expect: UNS001 UNS004


@receiver([post_save, post_delete])
def changed(sender, instance, **kwargs):
    cache.delete_pattern("catalogue:*")
    forget(instance.user_id)


@receiver(pre_save)
def changing(sender, instance, **kwargs):
    cache.delete_pattern("catalogue:*")  # expect: UNS004
    forget(instance.user_id)  # expect: UNS004


@receiver(pre_save)
@transaction.atomic
def changing_at_once(sender, instance, **kwargs):
    cache.delete_pattern("catalogue:*")


class Pages:
    def __init__(self, alias):
        self.cache = caches[alias]

    def forget(self, user_id, slug):
        self.cache.delete_pattern(f"user:{user_id}:*")
        self.cache.delete_pattern(f"page:{slug}:*")  # expect: UNS001


def forget_in(cached_in, user_id):
    caches[cached_in].delete_pattern(f"user:{user_id}:*")
