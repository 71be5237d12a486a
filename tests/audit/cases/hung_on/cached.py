from django.core.cache import cache
from django.db import transaction


def cached(function):
    def wrapper(*args):
        return cache.get_or_set(f"result:{args}", lambda: function(*args), 60)

    def forget(*args):
        cache.delete(f"result:{args}")

    wrapper.forget = forget
    return wrapper


@cached
def rows(pk):
    return load_rows(pk)


@transaction.atomic
def change(pk):
    save_rows(pk)
    rows.forget(pk)  # expect: UNS004


def changed(pk):
    rows.forget(pk)
