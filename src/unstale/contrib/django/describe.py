"""What `manage.py unstale` says, as plain data: one cache, one key, the tags of a key. Only the command prints.

No values: of an entry only its head is read.
"""

from __future__ import annotations

import math
import os
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import Error as DatabaseError
from redis.exceptions import RedisError

from unstale.contrib.django.aliases import cache_named
from unstale.contrib.django.transactions.outbox_port import OUTBOX_APP
from unstale.contrib.django.unstale_cache import UnstaleCache
from unstale.core.inspection import Found
from unstale.core.keys import ancestry, is_root
from unstale.errors import ConfigurationError, StoreError, UnstaleError
from unstale.events import (
    BreakerClosed,
    BreakerOpened,
    Drained,
    Event,
    Failed,
    Hit,
    Invalidated,
    LoadFailed,
    Miss,
    Queued,
    Refused,
    Stale,
    StaleHit,
    Stored,
    Trouble,
)
from unstale.outbox import QueueFile
from unstale.stores.proof import translated

_INFO: Final = (
    "redis_version",
    "valkey_version",
    "used_memory",
    "maxmemory",
    "maxmemory_policy",
    "evicted_keys",
)
_NO_LIMIT: Final = "no limit"


def backend_of(alias: str) -> UnstaleCache:
    """The backend of an alias.

    Raises:
        ConfigurationError: there is none.
        ImproperlyConfigured: it is not ours.
    """
    backend: object = cache_named(alias)
    if not isinstance(backend, UnstaleCache):
        known = ", ".join(settings.CACHES)
        raise ImproperlyConfigured(
            f"CACHES[{alias!r}] is a {type(backend).__name__}, not UnstaleCache. There are: {known}. Name one: --cache."
        )
    return backend


def cache_report(alias: str) -> dict[str, Any]:
    """Whether the server can be reached and used, and what waits in the outbox."""
    backend = backend_of(alias)
    options = backend._engine.options  # noqa: SLF001 - our own
    report: dict[str, Any] = {
        "cache": alias,
        "namespace": options.cache["namespace"],
        "patterns": patterns_of(backend),
        "reached": True,
        "problem": "",
        "server": {},
        "outbox": outbox_report(options.outbox),
        "queue": queue_report(options.cache.get("queue")),
    }
    try:
        backend.core.ping()
        report["server"] = server_report(backend)
    except StoreError as error:
        report |= {"reached": False, "problem": f"{type(error).__name__}: {error}"}
    return report


def server_report(backend: UnstaleCache) -> dict[str, Any]:
    """What of the server matters to a cache: version, memory, and what it evicts. Raises StoreError."""
    if not backend._engine.has_server:  # noqa: SLF001 - our own
        return {}
    try:
        info: Any = backend.get_client().info()
    except RedisError as error:
        raise translated(error)  # noqa: B904 - it sets its cause itself
    return {name: info[name] for name in _INFO if name in info}


def outbox_report(outbox: str) -> dict[str, Any]:
    """How many invalidations wait, and the age of the oldest in seconds, by database."""
    if not outbox or not apps.is_installed(OUTBOX_APP):
        return {}
    from unstale.contrib.django.outbox import relay  # noqa: PLC0415 - needs its app

    report: dict[str, Any] = {}
    try:
        for using in relay.outboxes():
            depth, age = relay.depth_and_age(using)
            report[using] = {"waiting": depth, "oldest_seconds": round(age, 1)}
    except DatabaseError as error:
        report["problem"] = f"The database failed: {type(error).__name__}."
    except relay.NoTableError as error:
        report["problem"] = str(error)
    return report


def queue_report(path: Any) -> dict[str, Any]:
    """How many invalidations wait in the file of OPTIONS["QUEUE"], and how many of its lines are damaged."""
    if path is None:
        return {}
    try:
        records, damaged = QueueFile(path).read()
    except UnstaleError as error:
        return {"path": os.fspath(path), "problem": str(error)}
    return {"path": os.fspath(path), "waiting": len(records), "damaged": damaged}


def patterns_of(backend: UnstaleCache) -> list[dict[str, str]]:
    """The declared patterns and the tags that they give."""
    return [{"pattern": one.text, "tag": one.tag} for one in backend._engine.matcher.patterns]  # noqa: SLF001 - our own


def named(tag: str) -> str:
    """A tag as a project names it, without prefix and version; "*" for a root, which `clear()` changes."""
    return "*" if is_root(tag) else tag.split(":", 2)[-1]


def tags_report(backend: UnstaleCache, key: str, version: int | None = None) -> dict[str, Any]:
    """The tags of a key and their ancestors, by TAG_PATTERNS; None where it matches in too many ways to be kept."""
    plan = backend._plan(key, version)  # noqa: SLF001 - our own
    every = None if plan.tags is None else dict.fromkeys(above for tag in plan.tags for above in _upwards(tag))
    return {"key": key, "tags": None if every is None else [named(tag) for tag in every]}


def _upwards(tag: str) -> tuple[str, ...]:
    return tuple(sorted(ancestry(tag), key=len, reverse=True))


def key_report(backend: UnstaleCache, key: str, version: int | None = None) -> dict[str, Any]:
    """What is kept under a key, without its value. Raises StoreError."""
    plan = backend._plan(key, version)  # noqa: SLF001 - our own
    found = backend.core.inspect(plan.key, tags=plan.tags or ())
    return {
        "key": key,
        "made_key": plan.key,
        "tags": tags_report(backend, key, version)["tags"],
        "verdict": found.verdict,
        "why": found.why.value if found.why else "",
        "changed_tag": named(found.tag) if found.tag else "",
        "ttl": _seconds(found.ttl),
        "entry": _entry_report(found.entry) if found.entry else {},
    }


def _entry_report(entry: Found) -> dict[str, Any]:
    tags = [{"tag": named(one.tag), "stands": one.stands} for one in entry.tags]
    seconds = {name: _seconds(getattr(entry, name)) for name in ("ttl", "stale_ttl", "load_seconds")}
    return {**entry._asdict(), **seconds, "tags": tags}


def _seconds(seconds: float | None) -> float | str | None:
    """JSON knows no infinity."""
    return _NO_LIMIT if seconds == math.inf else seconds if seconds is None else round(seconds, 3)


def invalidation_report(
    backend: UnstaleCache, tags: list[str], done: object, version: int | None = None
) -> dict[str, Any]:
    """What became of an invalidation. It has a hint where a tag looks as if it were a whole name."""
    bumped = getattr(done, "bumped", None)
    state = "queued: it takes effect when the server is back" if bumped is None else "done"
    front = backend.tag("x", version).removesuffix("x")
    whole = next((tag for tag in tags if tag.startswith(front) and tag != front), None)
    hint = (
        f"{whole!r} looks like a whole name. Here a tag is what the project calls it: {whole[len(front) :]!r}."
        if whole
        else ""
    )
    return {"tags": tags, "state": state, "had_a_stamp": bumped, **({"hint": hint} if hint else {})}


def drain_report(alias: str) -> dict[str, Any]:
    """Have what waits in a cache's queue take effect; how many invalidations that were.

    Raises:
        ConfigurationError: it has no queue: a job that drains nothing must not look like one that works.
        StoreError: what is not done is still there.
    """
    engine = backend_of(alias)._engine  # noqa: SLF001 - our own
    if engine.options.cache.get("queue") is None:
        raise ConfigurationError(f"CACHES[{alias!r}] has no OPTIONS['QUEUE']: there is nothing that could be drained.")
    return {"drained": engine.cache.drain()}


def event_row(event: Event) -> dict[str, str]:
    """An event for people: what happened, to which key or tags, and why. No values."""
    return dict(zip(("what", "key", "why"), _row(event), strict=True))


def _row(event: Event) -> tuple[str, str, str]:  # noqa: PLR0911 - a table
    match event:
        case Hit(key):
            return "hit", key, ""
        case StaleHit(key, tag):
            return "stale, served", key, f"{tag} was softly invalidated" if tag else "its ttl is over"
        case Miss(key, why):
            return "miss", key, why.value
        case Stale(key, tag):
            return "stale", key, f"{tag} was invalidated, or its stamp is gone"
        case Stored(key, tags, size, load_seconds, _):
            loaded = f", loaded in {load_seconds:.3f} s" if load_seconds else ""
            return "stored", key, f"{size} bytes under {', '.join(tags) or 'no tag'}{loaded}"
        case Refused(key, why):
            return "not stored", key, why.value
        case Invalidated(tags, bumped):
            return "invalidated", ", ".join(tags), f"{bumped} of {len(tags)} had a stamp"
        case _:
            return _trouble_row(event)


def _trouble_row(event: Trouble) -> tuple[str, str, str]:
    match event:
        case Failed(operation, key, error):
            return "failed", key, f"{operation}: {error}"
        case LoadFailed(key, error):
            return "load failed", key, type(error).__name__
        case Queued(tags, error):
            return "queued", ", ".join(tags), str(error or "")
        case Drained(count, damaged):
            return "drained", "", f"{count} invalidations, {damaged} damaged lines"
        case BreakerOpened(failures, error, _):
            return "breaker opened", "", f"{failures} failures in a row: {error}"
        case BreakerClosed(seconds, _):
            return "breaker closed", "", f"reads went on without the server for {seconds:.1f} s"
