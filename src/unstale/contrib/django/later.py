"""Large invalidations off the request path: `cache.later().delete_pattern("old:*")`.

What is one small write is done as ever. What is more is sent to the cache's runner, inside `atomic()` at COMMIT. Where
the queue refuses it is done here, at the price of a slow request: an invalidation is never lost in silence.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from unstale.contrib.django import transactions
from unstale.contrib.django.aliases import alias_of
from unstale.contrib.django.backend.engine import ROOT_TAGS
from unstale.contrib.django.jobs import MAX_TAGS, Data, perform
from unstale.contrib.django.runners import runner_named
from unstale.contrib.django.transactions.snapshots import open_connections
from unstale.core.keys import check_tag
from unstale.core.policy import Duration, seconds
from unstale.errors import ConfigurationError, InvalidTagError
from unstale.events import Invalidated

if TYPE_CHECKING:
    from unstale.contrib.django.backend.redis_averbs import AsyncRedisUsersCache

TAGS_IN_A_JOB: Final = 10 * MAX_TAGS
"""A message of some hundred KB."""

logger = logging.getLogger("unstale")


class When(Enum):
    """When an invalidation takes effect that was asked for `later`."""

    NOW = "it has taken effect"
    AT_COMMIT = "at COMMIT, or soon after: the queue is told then"
    SOON = "the queue has it, or the outbox"


class Later:
    """The verbs that may be more than one small write."""

    __slots__ = ("_backend", "_runner", "_using")

    def __init__(self, backend: AsyncRedisUsersCache, runner: Any, using: str | None) -> None:
        """`UnstaleCache.later` makes it.

        Raises:
            ConfigurationError: there is no runner.
        """
        self._backend = backend
        own = backend._engine.options.cache.get("runner")  # noqa: SLF001 - our own
        self._runner = own if runner is None else runner_named(runner)
        self._using = using
        if self._runner is None:
            raise ConfigurationError("later() needs a runner: OPTIONS['RUNNER'] = 'celery', or later(runner=…).")

    def invalidate(self, *tags: str, version: int | None = None, soft: bool = False) -> When:
        """Invalidate tags: up to 500 as `UnstaleCache.invalidate` does, more by the runner.

        Raises:
            InvalidTagError: a tag is bad, or there is none.
            StoreError: it has not taken effect, and neither queue nor outbox has it.
        """
        backend = self._backend
        if not tags:
            raise InvalidTagError("Say which tags to invalidate, or call clear() for everything.")
        if len(tags) <= MAX_TAGS:
            return _when(backend.invalidate(*tags, version=version, using=self._using, soft=soft))
        for tag in tags:
            check_tag(backend.tag(tag, version))  # a mistake shows here, not in a worker
        version = backend.version if version is None else version
        parts = [list(tags[at : at + TAGS_IN_A_JOB]) for at in range(0, len(tags), TAGS_IN_A_JOB)]
        return self._send([{"do": "invalidate", "tags": part, "version": version, "soft": soft} for part in parts])

    def delete_pattern(self, pattern: str, version: int | None = None, prefix: str | None = None) -> When:
        """Make every key that matches a pattern absent: a declared one at once, with one write; another by the runner.

        Raises:
            UndeclaredPatternError: it is undeclared, and STRICT_PATTERNS is on.
            StoreError: as `invalidate`.
        """
        backend = self._backend
        names = backend._declared(pattern, prefix)  # noqa: SLF001 - our own
        if names is not None:
            return _when(backend.invalidate(*names, version=version, using=self._using))
        version = backend.version if version is None else version
        return self._send([{"do": "delete_pattern", "pattern": pattern, "version": version, "prefix": prefix}])

    def clear(self, *, over: Duration = 0) -> When:
        """Make every entry of the cache stale: at once, or by the runner over some seconds, a sixteenth at a time.

        Args:
            over: seconds, so that the database behind does not have to load everything at once. A worker is busy with
                it for so long.

        Raises:
            StoreError: as `invalidate`.
            InvalidDurationError: it is not above zero.
        """
        if over == 0 and not isinstance(over, bool):
            return _when(transactions.invalidate(self._backend._engine, ROOT_TAGS, using=self._using))  # noqa: SLF001
        if over is None:
            raise ConfigurationError("over needs a limit in seconds.")
        return self._send([{"do": "clear", "over": seconds(over, "over")}])

    def _send(self, jobs: list[Data]) -> When:
        """Have jobs sent, now or at COMMIT."""
        alias = alias_of(self._backend._engine, "Work that is done later")  # noqa: SLF001 - our own
        sends = [partial(send, self._runner, {**job, "cache": alias}) for job in jobs]
        opened = open_connections(self._using)
        for connection in opened:
            for each in sends:
                connection.on_commit(each)
        if opened:
            return When.AT_COMMIT
        done = [each() for each in sends]
        return When.SOON if When.SOON in done else When.NOW


def send(runner: Any, job: Data) -> When:
    """Have a runner do a job; where it refuses, do it here.

    Raises:
        StoreError: it has not taken effect here either. Call it again.
    """
    take: Callable[[Data], object] | None = getattr(runner, "send", None)
    try:
        if take is not None:
            take(job)
        else:
            runner(partial(perform, job))
    except Exception as error:  # noqa: BLE001 - whatever a queue that is away raises
        logger.warning("unstale: the queue refused to %s, so it is done here: %s", job["do"], type(error).__name__)
        perform(job)
        return When.NOW
    return When.SOON


def _when(result: transactions.Result) -> When:
    if isinstance(result, Invalidated):
        return When.NOW
    return When.AT_COMMIT if isinstance(result, transactions.Deferred) else When.SOON
