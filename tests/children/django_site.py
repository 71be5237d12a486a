"""A small Django site for tests of web servers: applications `wsgi` and `asgi`. UNSTALE_URL says where to cache.

The cache is used while this is imported: with a preloaded application workers are forked after that.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

settings.configure(
    SECRET_KEY="the-site-has-a-key-of-fifty-characters-0123456789-x",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    CACHES={
        "default": {
            "BACKEND": "unstale.contrib.django.UnstaleCache",
            "LOCATION": os.environ["UNSTALE_URL"],
            "OPTIONS": {"TAG_PATTERNS": ["user:{id}:*"], "MAX_CONNECTIONS": 6, "SOCKET_TIMEOUT": 20},
        }
    },
)
django.setup()

from django.core.cache import cache  # noqa: E402 - it wants settings

IMPORTED_IN = os.getpid()
cache.set(f"imported-in-{IMPORTED_IN}", IMPORTED_IN, None)  # a key of its own: another worker imports this meanwhile
assert cache.get(f"imported-in-{IMPORTED_IN}") == IMPORTED_IN


def answer(**found: Any) -> HttpResponse:
    """What a view has found, and in which process."""
    return JsonResponse(found, headers={"x-worker": str(os.getpid())})


def runs(request: HttpRequest) -> HttpResponse:
    """Whether the site is up, and where it was imported."""
    del request
    return answer(imported_in=IMPORTED_IN)


def own(request: HttpRequest, number: int) -> HttpResponse:
    """Values of this number alone, by several verbs, with others' requests in between."""
    key, value = f"user:{number}:own", ["own", number, "x" * (number % 7) * 1000]
    cache.set(key, value)
    time.sleep(number % 3 / 1000)
    many = {f"user:{number}:{part}": [number, part] for part in range(5)}
    cache.set_many(many)
    loaded = cache.get_or_set(f"user:{number}:loaded", lambda: number)
    right = cache.get(key) == value and cache.get_many(many) == many and loaded == number
    return answer(number=number, right=right, asked=request.GET.get("n"))


async def own_async(request: HttpRequest, number: int) -> HttpResponse:
    """The same, awaited."""
    key, value = f"user:{number}:own", ["own", number, "x" * (number % 7) * 1000]
    await cache.aset(key, value)
    await asyncio.sleep(number % 3 / 1000)
    many = {f"user:{number}:{part}": [number, part] for part in range(5)}
    await cache.aset_many(many)
    loaded = await cache.aget_or_set(f"user:{number}:loaded", lambda: number)
    right = await cache.aget(key) == value and await cache.aget_many(many) == many and loaded == number
    return answer(number=number, right=right, asked=request.GET.get("n"))


def shared(request: HttpRequest) -> HttpResponse:
    """A value that all processes share."""
    del request
    return answer(made_by=cache.get_or_set("user:0:shared", lambda: f"{os.getpid()} {time.monotonic_ns()}"))


def invalidate(request: HttpRequest) -> HttpResponse:
    """Invalidate it."""
    del request
    return answer(bumped=cache.invalidate("user:0").bumped)


urlpatterns = [
    path("runs", runs),
    path("own/<int:number>", own),
    path("own-async/<int:number>", own_async),
    path("shared", shared),
    path("invalidate", invalidate),
]
wsgi = get_wsgi_application()
asgi = get_asgi_application()
