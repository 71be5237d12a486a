"""A project with the debug toolbar: a page through its middleware, then what its panel of ours shows, as JSON.

python django_toolbar.py sync|async URL
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import Any

import django
from django.conf import settings
from django.http import HttpResponse
from django.test import AsyncClient, Client
from django.urls import include, path

KIND, URL = sys.argv[1], sys.argv[2]

settings.configure(
    SECRET_KEY="the-tests-have-a-key-of-fifty-characters-0123456789",
    DEBUG=True,
    ALLOWED_HOSTS=["*"],
    INTERNAL_IPS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    STATIC_URL="/static/",
    INSTALLED_APPS=["django.contrib.staticfiles", "debug_toolbar", "unstale.contrib.django"],
    MIDDLEWARE=["debug_toolbar.middleware.DebugToolbarMiddleware"],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    CACHES={
        "default": {
            "BACKEND": "unstale.contrib.django.UnstaleCache",
            "LOCATION": URL,
            "OPTIONS": {"TAG_PATTERNS": ["user:{id}:*"]},
        }
    },
    DEBUG_TOOLBAR_PANELS=["unstale.contrib.django.panels.UnstalePanel"],
    DEBUG_TOOLBAR_CONFIG={"SHOW_TOOLBAR_CALLBACK": lambda request: True, "IS_RUNNING_TESTS": False},
)
django.setup()

from django.core.cache import cache  # noqa: E402 - after the settings


def page(request: Any) -> HttpResponse:
    """A miss, a hit, an invalidation, and what is stale by it."""
    cache.get("user:42:<b>page</b>")
    cache.set("user:42:<b>page</b>", "secret-value")
    cache.get("user:42:<b>page</b>")
    cache.invalidate("user:42")
    cache.get("user:42:<b>page</b>")
    cache.get_or_set("user:42:list", lambda: "secret-value")
    return HttpResponse("<html><body>page</body></html>")


async def apage(request: Any) -> HttpResponse:
    """The same, awaited."""
    await cache.aget("user:42:<b>page</b>")
    await cache.aset("user:42:<b>page</b>", "secret-value")
    await cache.aget("user:42:<b>page</b>")
    await cache.ainvalidate("user:42")
    await cache.aget("user:42:<b>page</b>")
    await cache.aget_or_set("user:42:list", lambda: "secret-value")
    return HttpResponse("<html><body>page</body></html>")


def quiet(request: Any) -> HttpResponse:
    """Asks no cache."""
    return HttpResponse("<html><body>quiet</body></html>")


def busy(request: Any) -> HttpResponse:
    """Asks very often."""
    for number in range(600):
        cache.get(f"user:42:{number}")
    return HttpResponse("<html><body>busy</body></html>")


urlpatterns = [
    path("busy", busy),
    path("page", page),
    path("apage", apage),
    path("quiet", quiet),
    path("__debug__/", include("debug_toolbar.urls")),
]


def shown(client: Client, html: str) -> dict[str, Any]:
    """What the toolbar says in its side, and what it shows when the panel is opened."""
    found = re.search(r'data-request-id="([0-9a-f]+)"', html)
    side = re.search(r"<small>(.*?)</small>", html, re.DOTALL)
    content = client.get(
        "/__debug__/render_panel/", {"request_id": found[1] if found else "", "panel_id": "UnstalePanel"}
    ).json()["content"]
    rows = [
        [re.sub(r"<.*?>", "", cell).strip() for cell in re.findall(r"<td>(.*?)</td>", row, re.DOTALL)]
        for row in re.findall(r"<tr>(.*?)</tr>", content, re.DOTALL)
    ]
    return {"side": side[1] if side else "", "rows": [row for row in rows if row], "content": content}


async def ask(client: AsyncClient, url: str) -> str:
    """A page, by ASGI."""
    response = await client.get(url)
    return str(response.content.decode())


def main() -> None:
    """Ask twice, so that the first request's events are not the second one's."""
    client = Client()
    if KIND == "async":
        pages = [asyncio.run(ask(AsyncClient(), url)) for url in ("/apage", "/quiet", "/busy")]
    else:
        pages = [client.get(url).content.decode() for url in ("/page", "/quiet", "/busy")]
    print(json.dumps([shown(client, html) for html in pages]))  # noqa: T201 - read by the test


main()
