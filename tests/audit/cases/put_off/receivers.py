from functools import wraps

from django.core.cache import cache
from django.db import transaction
from django.db.models.signals import post_save
from django.dispatch import receiver


def after_commit(function):
    @wraps(function)
    def later(*args, **kwargs):
        transaction.on_commit(lambda: function(*args, **kwargs))

    return later


def logged(function):
    @wraps(function)
    def told(*args, **kwargs):
        print(function.__name__)
        return function(*args, **kwargs)

    return told


@after_commit
def forget_later(pk):
    cache.delete(f"page:{pk}")


@logged
def forget_now(pk):
    cache.delete(f"page:{pk}")


def start_task(pk):
    purge.delay(pk)


def purge(pk):
    cache.delete(f"page:{pk}")


@receiver(post_save)
def saved(sender, instance, **kwargs):
    forget_later(instance.pk)
    start_task(instance.pk)
    forget_now(instance.pk)  # expect: UNS004
