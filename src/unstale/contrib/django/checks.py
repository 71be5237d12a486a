"""System checks: what is wrong with CACHES and with the registrations, by id, with a hint. Findings come as plain data.

E001  an option or LOCATION makes no sense        E010…  TAG_PATTERNS (see `patterns.findings`)
W002  TIMEOUT is longer than a stamp lives        E030…  registrations of models (see `registry.findings`)
W003  each process has a cache of its own
E004  OUTBOX is on, and its app is not installed
W005  STRICT without an outbox
W006  MIGRATING is on
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Info
from django.core.checks import Warning as CheckWarning
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from unstale.contrib.django import patterns
from unstale.contrib.django.backend.options import BackendOptions, read_options
from unstale.core.policy import seconds
from unstale.errors import UnstaleError

OUTBOX_APP: Final = "unstale.contrib.django.outbox"
STAMP_SECONDS: Final = 86400.0
_KINDS: Final = {"E": Error, "W": CheckWarning, "I": Info}


def check_caches(app_configs: object, **_: Any) -> list[CheckMessage]:
    """Check every alias whose backend is ours. `manage.py check` and `runserver` call it."""
    del app_configs
    return [message for alias, params in ours() for message in check_alias(alias, params)]


def ours() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The aliases whose backend is ours, or a subclass of it."""
    from unstale.contrib.django.unstale_cache import UnstaleCache  # noqa: PLC0415 - the package imports it first

    for alias, params in settings.CACHES.items():
        kind = import_string(params["BACKEND"])
        if isinstance(kind, type) and issubclass(kind, UnstaleCache):
            yield alias, params


def check_alias(alias: str, params: Mapping[str, Any]) -> list[CheckMessage]:
    """Everything that can be said of one alias without a server."""
    try:
        options = read_options(params.get("LOCATION", ""), params)
        found = patterns.findings(options.patterns)
    except (ImproperlyConfigured, UnstaleError, ImportError) as error:
        return [Error(f"CACHES[{alias!r}]: {error}", hint="See docs/django.md, “Options”.", id="unstale.E001")]
    return [*_of_options(alias, params, options), *_messages(alias, found)]


def _messages(alias: str, findings: Iterable[Any]) -> Iterator[CheckMessage]:
    for one in findings:
        yield _KINDS[one.level](
            f"CACHES[{alias!r}]: {one.message}", hint=one.hint, id=f"unstale.{one.level}{one.number}"
        )


def _of_options(alias: str, params: Mapping[str, Any], options: BackendOptions) -> Iterator[CheckMessage]:
    stamp_ttl = seconds(options.cache.get("stamp_ttl", STAMP_SECONDS), "STAMP_TTL")
    timeout = params.get("TIMEOUT", 300)
    lasting = math.inf if timeout is None else float(timeout)
    if stamp_ttl < lasting < math.inf and options.patterns:
        yield CheckWarning(
            f"CACHES[{alias!r}]: TIMEOUT is {lasting:.0f} s, and a stamp lives {stamp_ttl:.0f} s.",
            hint=f"Every fill must then prolong its stamps. Set OPTIONS['STAMP_TTL'] to more than {lasting:.0f}.",
            id="unstale.W002",
        )
    if options.url in ("embedded://", "memory://") and not settings.DEBUG:
        yield CheckWarning(
            f"CACHES[{alias!r}]: {options.url} is a cache of this process alone.",
            hint="An invalidation in one process is not seen by another. Use embedded:///a/directory or redis://….",
            id="unstale.W003",
        )
    if options.outbox and not apps.is_installed(OUTBOX_APP):
        yield Error(
            f"CACHES[{alias!r}]: OUTBOX is on, and its app is not installed.",
            hint=f"Add {OUTBOX_APP!r} to INSTALLED_APPS, and run manage.py migrate.",
            id="unstale.E004",
        )
    if options.strict and not options.outbox:
        yield CheckWarning(
            f"CACHES[{alias!r}]: STRICT without OUTBOX.",
            hint=f"A process that dies in a transaction leaves its tags closed for {options.strict_limit:.0f} s.",
            id="unstale.W005",
        )
    if options.migrating:
        yield CheckWarning(
            f"CACHES[{alias!r}]: MIGRATING is on: deletes walk the keyspace for django-redis's keys as well.",
            hint="Remove it when no process runs django-redis any more.",
            id="unstale.W006",
        )


def check_registrations(app_configs: object, **_: Any) -> Sequence[CheckMessage]:
    """Check the models that were registered with `invalidates`."""
    del app_configs
    from unstale.contrib.django import registry  # noqa: PLC0415 - models must be loaded

    return [
        _KINDS[one.level](one.message, hint=one.hint, id=f"unstale.{one.level}{one.number}")
        for one in registry.findings()
    ]
