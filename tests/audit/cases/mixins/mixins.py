import random

from django.contrib.auth.decorators import login_required
from django.core.cache import cache
from django.urls import path
from django.views.decorators.cache import cache_page
from django.views.generic import View
from redis import Redis


class WalkMixin:
    prefix = ""

    def purge(self):
        for key in self.redis.scan_iter(f"{self.prefix}:*"):  # expect: UNS001
            self.redis.delete(key)


class Orders(WalkMixin):
    prefix = "orders"

    def __init__(self):
        self.redis = Redis()


class KeyMixin:
    def cache_key(self):
        return f"{self.__class__.__name__}:{self.request.get_full_path()}"

    def get(self, request):
        found = cache.get(self.cache_key())
        if found is None:
            found = self.render()
            cache.set(self.cache_key(), found, 60)  # expect: UNS005 UNS010
        return found


class Page(KeyMixin, View):
    pass


def default_state():
    return {"step": 0, "seen": []}


def new_code():
    return "".join(random.choice("0123456789") for _ in range(6))


def state(pk):
    found = cache.get(f"wizard:{pk}")
    if found is None:
        found = default_state()
        cache.set(f"wizard:{pk}", found, 60)
    return found


def code(pk):
    found = cache.get(f"code:{pk}")
    if not found:
        found = new_code()
        cache.set(f"code:{pk}", found, 60)
    return found


def about(request):
    return render(request, "about.html")


urlpatterns = [
    path("a", login_required(cache_page(60)(about))),  # expect: UNS011
    path("b", cache_page(60)(login_required(about))),  # expect: UNS011
    path("c", cache_page(60)(about)),
    path("d", login_required(about)),
]
