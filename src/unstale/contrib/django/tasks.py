"""Celery's tasks, which its worker finds by `autodiscover_tasks()`. `runners.celery` sends to them.

A refresh that fails is not tried again: a reader has it done anew when its lease has run out. An invalidation is tried
until it has taken effect, also by another worker when this one dies.
"""

from __future__ import annotations

from typing import Any

from celery import shared_task

from unstale.contrib.django.jobs import perform
from unstale.errors import StoreError


@shared_task(ignore_result=True)
def refresh(data: dict[str, Any]) -> None:
    """Load what another process has noticed to be stale."""
    perform(data)


@shared_task(
    ignore_result=True,
    acks_late=True,
    reject_on_worker_lost=True,
    autoretry_for=(StoreError,),
    retry_backoff=True,
    retry_backoff_max=60,
    max_retries=None,
)
def invalidate(data: dict[str, Any]) -> None:
    """Carry out a large invalidation."""
    perform(data)
