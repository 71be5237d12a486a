"""The relay as a Celery task.

    CELERY_BEAT_SCHEDULE = {
        "unstale": {"task": "unstale.contrib.django.outbox.tasks.relay", "schedule": 5.0},
    }

Celery finds it by `autodiscover_tasks()`, since the outbox is an installed app.
"""

from __future__ import annotations

import logging

from celery import shared_task

from unstale.contrib.django.outbox import relay as relaying

logger = logging.getLogger("unstale")


@shared_task(ignore_result=True)
def relay(database: str | None = None, batch: int = relaying.BATCH, grace: float = relaying.GRACE_SECONDS) -> int:
    """Go once through the outbox of a database, or of all that have one; how many rows were done.

    What stays is told to the log: beat's next run tries it again.
    """
    done = 0
    for using in [database] if database else relaying.outboxes():
        report = relaying.relay(using, batch=batch, grace=grace)
        done += report.done
        if report.kept:
            logger.warning("unstale: the outbox of %r keeps rows: %s", using, report.kept)
    return done
