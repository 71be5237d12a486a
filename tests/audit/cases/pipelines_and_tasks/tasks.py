import json

import redis
from celery import shared_task
from django.core.cache import cache
from django.db import transaction
from django.db.models.signals import post_save
from django.dispatch import receiver

conn = redis.Redis.from_url("redis://")


@shared_task
def clear_user(pk):
    cache.delete_pattern(f"user:{pk}:*")  # expect: UNS001


@receiver(post_save)
def later(sender, instance, **kwargs):
    clear_user.delay(instance.pk)
    transaction.on_commit(lambda: clear_user.delay(instance.pk))


@shared_task
def warm():
    rows = json.dumps(load_rows())
    with conn.pipeline() as pipe:
        pipe.set("warm:rows", rows)
        pipe.expire("warm:rows", 60)
        pipe.execute()
    cache.set("warm", rows, timeout=None)  # expect: UNS009


def chain():
    conn.pipeline().set("cache:a", compute()).expire("cache:a", 60).execute()
    conn.pipeline().set("cache:b", compute()).execute()  # expect: UNS009
