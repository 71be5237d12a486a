"""A site for the tests of cached views: who runs what is counted, and every middleware that Django brings is there."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.http import HttpRequest, HttpResponse

MIDDLEWARE = [
    "django.middleware.common.CommonMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
RUNS: Counter[str] = Counter()


def ran(request: HttpRequest, name: str = "") -> str:
    """Count a run; what a view answers of it."""
    name = name or request.path
    RUNS[name] += 1
    return f"{name} {RUNS[name]}"


def words(client: Any, path: str, times: int = 2, **options: Any) -> list[str]:
    """What X-Cache says of requests one after another."""
    return [client.get(path, **options)["X-Cache"] for _ in range(times)]


def body(response: HttpResponse) -> str:
    """A response's text."""
    return response.content.decode()
