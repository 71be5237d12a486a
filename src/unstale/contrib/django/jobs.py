"""Jobs: what a runner carries to another thread or process as data, and how it is done there.

    {"do": "refresh", "cache": "default", "key": …, "function": "shop.orders:history", "arguments": …, "token": …}
    {"do": "invalidate", "cache": "default", "tags": [...], "version": 1, "soft": false}
    {"do": "delete_pattern", "cache": "default", "pattern": "old:*", "version": 1, "prefix": null}
    {"do": "clear", "cache": "default", "over": 60.0}

Only JSON. A job says what is to be done in the words of a cache's verbs, and names nothing but functions that were
decorated with `cached`: whoever can write to the queue cannot have anything else called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured
from django.db import close_old_connections

from unstale.cache import Job
from unstale.contrib.django import transactions
from unstale.contrib.django.backend.redis_averbs import AsyncRedisUsersCache
from unstale.contrib.django.functions import REFRESH, Call, load_for_another
from unstale.contrib.django.travelling import CannotTravelError
from unstale.core.ports import Handover

Data = dict[str, Any]
MAX_TAGS: Final = 500
"""Tags in one trip."""


def refresh_data(job: Job) -> Data:
    """A load as data; from here on it is the other process's.

    Raises:
        CannotTravelError: it is no call of a function that was decorated with `cached`, or has arguments that are more
            than data. It is still this process's then.
    """
    loader = job.loader
    if not isinstance(loader, Call):
        raise CannotTravelError
    data = loader.data()
    left = job.leave()
    return {**data, "token": left.token.hex(), "probe": None if left.probe is None else left.probe.hex()}


def perform(data: Mapping[str, Any]) -> object:
    """Do a job, wherever this is.

    Raises:
        StoreError: an invalidation has not taken effect, or nobody knows, and no outbox has it. Do it again.
        CannotTravelError, ConfigurationError, ImproperlyConfigured: the job, or this process's settings, make no sense.
        Whatever a loader raises.
    """
    do = _DO.get(data["do"])
    if do is None:
        raise CannotTravelError(f"No such job: {data['do']!r}. Does this process run an older version of unstale?")
    try:
        return do(data)
    finally:
        transactions.settle()


def in_own_thread(job: Callable[[], object]) -> None:
    """Do a job in a thread that lives on: what it opened ends with it, as with a request."""
    close_old_connections()
    try:
        job()
    finally:
        transactions.settle()
        close_old_connections()


def _refresh(data: Mapping[str, Any]) -> bool:
    probe = data["probe"]
    left = Handover(bytes.fromhex(data["token"]), None if probe is None else bytes.fromhex(probe))
    return load_for_another(data, left)


def _cache(data: Mapping[str, Any]) -> AsyncRedisUsersCache:
    backend = caches[data["cache"]]
    if not isinstance(backend, AsyncRedisUsersCache):
        raise ImproperlyConfigured(f"CACHES[{data['cache']!r}] is no UnstaleCache in this process.")
    return backend


def _invalidate(data: Mapping[str, Any]) -> None:
    backend, tags = _cache(data), data["tags"]
    for at in range(0, len(tags), MAX_TAGS):
        backend.invalidate(*tags[at : at + MAX_TAGS], version=data["version"], soft=data["soft"])


def _delete_pattern(data: Mapping[str, Any]) -> int:
    return _cache(data).delete_pattern(data["pattern"], version=data["version"], prefix=data["prefix"])


def _clear(data: Mapping[str, Any]) -> None:
    _cache(data)._engine.clear_over(data["over"])  # noqa: SLF001 - our own


_DO: Final[dict[str, Callable[[Mapping[str, Any]], object]]] = {
    REFRESH: _refresh,
    "invalidate": _invalidate,
    "delete_pattern": _delete_pattern,
    "clear": _clear,
}
