"""Runners for OPTIONS["RUNNER"]: what does refreshes, and large invalidations, off the request path.

    "threads"       a pool of threads of this process
    "celery"        Celery's workers
    "django_tasks"  the workers of django-tasks' backend
    "shop.runners.slow_queue"    your own: runners.celery(queue="slow"), or anything that takes a job

A runner is called with a job (`unstale.cache.Job`), and has `send(data)` for a large invalidation; both raise what the
queue raises, and then the work is done where it came up. Threads take any loader. Another process takes only calls of
functions that were decorated with `unstale.contrib.django.cached`; the loads of others are done by their readers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from time import monotonic
from typing import Any, Final, Protocol

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from unstale import runners as plain
from unstale.contrib.django.importing import imported
from unstale.errors import UnstaleError

AWAY_SECONDS: Final = 10.0

logger = logging.getLogger("unstale")


def _late(name: str) -> Any:
    """What does jobs, by its name: it needs the backend, whose options name a runner; and apps that are loaded."""
    return import_string(f"unstale.contrib.django.{name}")


class Runner(Protocol):
    """What OPTIONS["RUNNER"] may be.

    Attributes:
        is_remote: whether jobs leave this process, so that only what can be told takes part.
    """

    is_remote: bool

    def __call__(self, job: Any) -> object:
        """Take a load; raise if it cannot be taken."""

    def send(self, data: Mapping[str, Any]) -> object:
        """Take a job that is data; raise if it cannot be taken."""


class _Threads:
    is_remote = False

    def __init__(self, max_workers: int) -> None:
        self._run = plain.threads(max_workers)

    def __call__(self, job: Callable[[], None]) -> object:
        return self._run(partial(_late("jobs.in_own_thread"), job))

    def send(self, data: Mapping[str, Any]) -> object:
        return self(partial(_performed, data))


def _performed(data: Mapping[str, Any]) -> None:
    """Do a job that nobody waits for."""
    try:
        _late("jobs.perform")(data)
    except Exception as error:
        logger.error("unstale: %s has failed, and nobody does it again: %s", data["do"], type(error).__name__)  # noqa: TRY400 - no values in a log
        raise


class QueueAwayError(UnstaleError):
    """The queue could not be reached a short while ago, so it is not asked now."""


class _Remote:
    """Sends data, by a function that knows the queue.

    A broker that is away costs who asks it seconds (redis-py's retries): only one in AWAY_SECONDS is to pay them.
    """

    is_remote = True

    def __init__(self, enqueue: Callable[[Mapping[str, Any]], object]) -> None:
        self._enqueue = enqueue
        self._away_until = 0.0

    def __call__(self, job: Any) -> object:
        self._check()
        return self.send(_late("jobs.refresh_data")(job))

    def send(self, data: Mapping[str, Any]) -> object:
        self._check()
        try:
            return self._enqueue(data)
        except Exception:
            self._away_until = monotonic() + AWAY_SECONDS
            raise

    def _check(self) -> None:
        if monotonic() < self._away_until:
            raise QueueAwayError


def threads(max_workers: int = 4) -> Runner:
    """A pool of threads, with database connections of their own. At the process's exit what was begun is finished.

    Args:
        max_workers: most jobs at a time; others wait in line.
    """
    return _Threads(max_workers)


def celery(**options: Any) -> Runner:
    """Celery. Its worker finds the tasks by `autodiscover_tasks()`, with "unstale.contrib.django" in INSTALLED_APPS.

    Args:
        options: for `apply_async`, such as `queue` and `priority`. It does not retry to reach a broker that is away.

    Raises:
        ImproperlyConfigured: Celery is not installed.
    """
    _need("celery", "celery")

    def enqueue(data: Mapping[str, Any]) -> object:
        task = _late("tasks.refresh" if data["do"] == "refresh" else "tasks.invalidate")
        return task.apply_async((data,), **{"retry": False, **options})

    return _Remote(enqueue)


def django_tasks(**options: Any) -> Runner:
    """django-tasks, with whatever backend TASKS names.

    Args:
        options: for `Task.using`, such as `queue_name` and `backend`.

    Raises:
        ImproperlyConfigured: django-tasks is not installed.
    """
    _need("django_tasks", "django-tasks")

    def enqueue(data: Mapping[str, Any]) -> object:
        return _late("queued_tasks.perform_job").using(**options).enqueue(dict(data))

    return _Remote(enqueue)


def _need(module: str, package: str) -> None:
    if find_spec(module) is None:
        raise ImproperlyConfigured(f"OPTIONS['RUNNER'] needs {package}: pip install {package}.")


_NAMED: Final[dict[str, Callable[[], Runner]]] = {"threads": threads, "celery": celery, "django_tasks": django_tasks}


def runner_named(given: Any) -> Any:
    """The runner that OPTIONS["RUNNER"] names.

    Raises:
        ImproperlyConfigured: there is none, or what it needs is not installed.
    """
    if not isinstance(given, str):
        return given
    if given in _NAMED:
        return _NAMED[given]()
    if "." not in given:
        names = ", ".join(repr(name) for name in _NAMED)
        raise ImproperlyConfigured(f"OPTIONS['RUNNER'] must be {names}, or the path of your own, not {given!r}.")
    return imported(given, "OPTIONS['RUNNER']")
