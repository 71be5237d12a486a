"""What the shop's staff looks at, which has grown over the years."""

import pickle
import time

from django.contrib.auth.decorators import login_required
from django.core.cache import cache
from django.http import JsonResponse
from django_redis import get_redis_connection

from shop.models import Order, Product

TTL = 300


def search(request):
    words = request.GET["words"]
    key = f"search:{words}"
    found = cache.get_or_set(key, lambda: list(Product.objects.filter(name=words).values("id")), TTL)  # expect: UNS010
    return JsonResponse({"results": found})


@login_required
def basket(request):
    mine = Order.objects.filter(user=request.user)
    found = cache.get_or_set("basket", lambda: list(mine.values("id")), TTL)  # expect: UNS011
    return JsonResponse({"results": found})


def act(user_id):
    cache.set(f"last-action:{user_id}", time.time(), TTL)  # expect: UNS006


def recent(user_id):
    found = cache.get(f"recent:{user_id}")
    if found is not None and found["at"] > (cache.get(f"last-action:{user_id}") or 0):
        return found["orders"]
    orders = list(Order.objects.filter(user_id=user_id).values("id"))
    cache.set(f"recent:{user_id}", {"at": time.time(), "orders": orders}, TTL)  # expect: UNS005 UNS006
    return orders


def report(month):
    version = cache.get("reports:version") or 1
    return cache.get_or_set(f"report:{version}:{month}", lambda: Order.objects.count(), TTL)


def forget_reports():
    cache.add("reports:version", 1, TTL)
    cache.incr("reports:version")  # expect: UNS007


def basket_of(session):
    packed = get_redis_connection("default").get(f"packed:{session}")
    return pickle.loads(packed) if packed else None  # expect: UNS008


def start_of_day():
    cache.clear()  # expect: UNS003
