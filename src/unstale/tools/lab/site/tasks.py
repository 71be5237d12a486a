"""Celery's part of `async-deletes`: the app, and its one task."""

from __future__ import annotations

from celery import Celery
from django.core.cache import cache

app = Celery("unstale.tools.lab.site")
app.config_from_object("django.conf:settings", namespace="CELERY")


@app.task(ignore_result=True)
def delete_pattern(pattern: str) -> None:
    """Delete the keys that match."""
    cache.delete_pattern(pattern)
