"""Samplers of what waits in a project: its outboxes, and the queue files of its caches.

A look into the outbox is over in time, and never fails: it is made in a thread of its own, with connections of its own,
so that no request's transaction is touched. Who waits for it no longer has a figure that says so (`outbox.up` is 0);
the next one waits for the same look as long as that has not ended. So there is never more than one.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from typing import Final

from django.apps import apps
from django.db import Error, connections

from unstale.contrib.django.aliases import engines
from unstale.contrib.django.transactions.outbox_port import OUTBOX_APP
from unstale.contrib.instruments import OUTBOX_AGE, OUTBOX_ROWS, OUTBOX_UP, Reading, Sampler
from unstale.contrib.waiting import queues

logger = logging.getLogger("unstale")

LOOK_SECONDS: Final = 2.0
"""Prometheus gives a scrape 10 s where nothing is said."""
ANY: Final = "*"
"""The database, where it is not known which: none could be asked so far."""


class OutboxSampler:
    """How many invalidations wait in each outbox of this project, and for how long the oldest has."""

    def __init__(self, seconds: float = LOOK_SECONDS) -> None:
        """Take how long one waits for the databases."""
        self._seconds = seconds
        self._lock = threading.Lock()
        self._looking: Future[list[Reading]] | None = None
        self._process = os.getpid()
        self._databases: tuple[str, ...] = (ANY,)

    def __call__(self) -> Iterable[Reading]:
        """Look. Without the outbox's app there is nothing."""
        if not apps.is_installed(OUTBOX_APP):
            return []
        try:
            return self._look().result(self._seconds)
        except TimeoutError:
            return self._nothing()

    def _look(self) -> Future[list[Reading]]:
        """The look that is under way, or a new one."""
        with self._lock:
            looking = self._looking
            if looking is None or looking.done() or self._process != os.getpid():  # a child has no thread of its parent
                looking = self._looking = Future()
                self._process = os.getpid()
                threading.Thread(target=self._ask, args=(looking,), name="unstale-outbox", daemon=True).start()
        return looking

    def _ask(self, looking: Future[list[Reading]]) -> None:
        try:
            found = list(self._readings())
        except Exception as error:  # noqa: BLE001 - whatever it is, the page has its other figures
            logger.error("unstale: the outbox cannot be looked at: %s", type(error).__name__)  # noqa: TRY400 - no values in a log
            found = self._nothing()
        finally:
            connections.close_all()
        looking.set_result(found)

    def _nothing(self) -> list[Reading]:
        """What is told where the databases do not answer."""
        return [Reading(OUTBOX_UP, (one,), 0) for one in self._databases]

    def _readings(self) -> Iterator[Reading]:
        from unstale.contrib.django.outbox import relay  # noqa: PLC0415 - needs its app

        try:
            self._databases = tuple(relay.outboxes())
        except (Error, relay.NoTableError):  # of one of them: the others may answer
            if ANY in self._databases:
                raise
        for database in self._databases:
            try:
                rows, age = relay.depth_and_age(database)
            except Error:
                yield Reading(OUTBOX_UP, (database,), 0)
            else:
                yield Reading(OUTBOX_UP, (database,), 1)
                yield Reading(OUTBOX_ROWS, (database,), rows)
                yield Reading(OUTBOX_AGE, (database,), age)


def samplers() -> tuple[Sampler, ...]:
    """Those of this project: one for its outboxes, one for the queues of CACHES."""
    files = (engine.options.cache.get("queue") for engine in engines().values())
    return OutboxSampler(), queues(*(file for file in files if file is not None))
