import logging
import time
from dataclasses import dataclass
from typing import Protocol

import redis
from django.conf import settings
from django.core.cache import cache
from django.db import models, transaction
from django.db.models.signals import post_save

logger = logging.getLogger(__name__)


class CacheManager:
    """Static helpers."""

    @staticmethod
    def build_key(prefix, *parts):
        return ":".join([prefix, *map(str, parts)])

    @classmethod
    def fetch(cls, key, callback, timeout=300):
        value = cache.get(key)
        if value is not None:
            logger.debug("hit %s", key)
            return value
        value = callback()
        cache.set(key, value, timeout)  # expect: UNS005
        return value

    @classmethod
    def invalidate(cls, pattern):
        try:
            cache.delete_pattern(pattern)  # expect: UNS001
        except AttributeError:
            cache.clear()  # expect: UNS003


class SettingsModel(models.Model):
    def save(self, *args, **kwargs):
        super().save(*args, **kwargs)
        cache.delete("settings")

    @classmethod
    def load(cls):
        obj = cache.get("settings")
        if obj is None:
            obj, created = cls.objects.get_or_create(pk=1)
            cache.set("settings", obj)  # expect: UNS005
        return obj


class Service:
    def create(self, data):
        with transaction.atomic():
            thing = Thing.objects.create(**data)
            CacheManager.invalidate("things:*")  # expect: UNS004
        return thing

    @transaction.atomic()
    def update(self, thing):
        thing.save()
        transaction.on_commit(lambda: CacheManager.invalidate("things:*"))

    def outside(self, thing):
        with transaction.atomic():
            thing.save()
        CacheManager.invalidate("things:*")


class Backend(Protocol):
    def keys(self, pattern: str) -> list[str]: ...

    def delete(self, *keys: str) -> int: ...


@dataclass
class Repository:
    client: redis.Redis
    prefix: str = "repo"

    def drop(self):
        names = [name for name in self.client.scan_iter(f"{self.prefix}:*") if name]  # expect: UNS001
        if not names:
            return
        for start in range(0, len(names), 100):
            chunk = names[start : start + 100]
            self.client.delete(*chunk)

    def rate_limited(self, ip):
        key = f"rl:{ip}"
        count = self.client.incr(key)
        if count == 1:
            self.client.expire(key, 60)
        return count > 10

    def lock(self, name):
        return self.client.set(f"lock:{name}", time.time(), nx=True, ex=10)


def thing_saved(sender, instance, created, **kwargs):
    if created:
        CacheManager.invalidate("things:list:*")  # expect: UNS004


def connect():
    post_save.connect(thing_saved, sender=settings.AUTH_USER_MODEL)
