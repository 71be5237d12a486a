"""django-tasks' task. `runners.django_tasks` sends to it. Imported when apps are loaded, since it reads TASKS."""

from __future__ import annotations

from typing import Any

from django_tasks import task

from unstale.contrib.django.jobs import perform


@task()
def perform_job(data: dict[str, Any]) -> None:
    """Do a job. One that fails is marked so, and not done again: with OUTBOX an invalidation is the relay's then."""
    perform(data)
