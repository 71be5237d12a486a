"""Django's CACHES of each variant. No cache is made here."""

from __future__ import annotations

from typing import Any, Final, assert_never

from unstale.tools.lab.site.environment import Told

PATTERN: Final = "user:{id}:*"
HIREDIS: Final = "redis._parsers._HiredisParser"
IN_PYTHON: Final = "redis._parsers._RESP2Parser"
"""redis-py speaks RESP3 unless told otherwise, and takes its parser for that where it is given this one."""


def caches_of(told: Told) -> dict[str, Any]:
    """CACHES: `default` for what is shown, `config` for the configuration, both with the same backend."""
    return {"default": _backend(told, told.cache_url), "config": _backend(told, told.config_url)}


def _backend(told: Told, url: str) -> dict[str, Any]:
    match told.caching:
        case "unstale":
            return _unstale(told, url, {})
        case "unstale-strict":
            # As its documentation wants it: with an outbox no process that dies leaves a tag closed.
            return _unstale(told, url, {"STRICT": True, "OUTBOX": True})
        case "pipelined-deletes":
            return _django_redis(told, url, "unstale.tools.lab.site.caching.PipelinedClient")
        case "pattern-deletes" | "async-deletes" | "known-keys" | "no-deletes" | "timestamps":
            return _django_redis(told, url, "django_redis.client.DefaultClient")
        case _ as never:
            assert_never(never)


def _django_redis(told: Told, url: str, client_class: str) -> dict[str, Any]:
    return {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": url,
        "KEY_PREFIX": told.prefix,
        "TIMEOUT": told.ttl,
        "OPTIONS": {"CLIENT_CLASS": client_class, "PARSER_CLASS": HIREDIS if told.hiredis else IN_PYTHON},
    }


def _unstale(told: Told, url: str, options: dict[str, Any]) -> dict[str, Any]:
    # NAMESPACE in place of KEY_PREFIX, since all names are to begin with the prefix.
    return {
        "BACKEND": "unstale.contrib.django.UnstaleCache",
        "LOCATION": url,
        "TIMEOUT": told.ttl,
        "OPTIONS": {"NAMESPACE": told.prefix, "TAG_PATTERNS": [PATTERN], **options},
    }
