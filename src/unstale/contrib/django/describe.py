"""What `manage.py unstale` says, as plain data: one cache, one key, the tags of a key. Only the command prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.apps import apps
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured

from unstale.contrib.django.checks import OUTBOX_APP
from unstale.contrib.django.unstale_cache import UnstaleCache
from unstale.errors import StoreError


def backend_of(alias: str) -> UnstaleCache:
    """The backend of an alias. Raises ImproperlyConfigured where it is not ours."""
    backend: object = caches[alias]
    if not isinstance(backend, UnstaleCache):
        raise ImproperlyConfigured(f"CACHES[{alias!r}] is a {type(backend).__name__}, not UnstaleCache.")
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
    }
    try:
        backend.core.ping()
        report["server"] = server_report(backend)
    except StoreError as error:
        report |= {"reached": False, "problem": str(error)}
    return report


def server_report(backend: UnstaleCache) -> dict[str, Any]:
    """What of the server matters to a cache: version, memory, and what it evicts."""
    client = getattr(backend, "get_client", None)
    if client is None or backend._engine.options.url == "memory://":  # noqa: SLF001
        return {}
    info: Mapping[str, Any] = client().info()
    names = ("redis_version", "valkey_version", "used_memory", "maxmemory", "maxmemory_policy", "evicted_keys")
    return {name: info[name] for name in names if name in info}


def outbox_report(outbox: str) -> dict[str, Any]:
    """How many invalidations wait, and the age of the oldest in seconds."""
    if not outbox or not apps.is_installed(OUTBOX_APP):
        return {}
    from unstale.contrib.django.outbox.relay import depth_and_age  # noqa: PLC0415 - needs its app

    depth, age = depth_and_age("default" if outbox == "*" else outbox)
    return {"waiting": depth, "oldest_seconds": age}


def patterns_of(backend: UnstaleCache) -> list[dict[str, str]]:
    """The declared patterns and the tags that they give."""
    return [{"pattern": one.text, "tag": one.tag} for one in backend._engine.matcher.patterns]  # noqa: SLF001


def tags_of(backend: UnstaleCache, key: str, version: int | None = None) -> list[str] | None:
    """The tags of a key, as a project names them; None where it matches in too many ways to be kept."""
    tags = backend._plan(key, version).tags  # noqa: SLF001
    return None if tags is None else [tag.split(":", 2)[2] for tag in tags]


def key_report(backend: UnstaleCache, key: str, version: int | None = None) -> dict[str, Any]:
    """What is kept under a key, without its value."""
    plan = backend._plan(key, version)  # noqa: SLF001
    found = backend.core.inspect(plan.key, tags=plan.tags or ())
    return {"key": key, "made_key": plan.key, "declared_tags": plan.tags, **found._asdict()}
