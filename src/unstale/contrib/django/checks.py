"""System checks: what is wrong with CACHES and with the registrations, by id, with a hint. Findings come as plain data.

E001  an option, TAG_PATTERNS or LOCATION makes no sense      E010…  TAG_PATTERNS (see `pattern_findings`)
W002  TIMEOUT is longer than a stamp lives                    E030…  models (see `registry_findings`)
W003  each process has a cache of its own
E004  OUTBOX is on, and its app or its database is not there
W005  STRICT without an outbox
W006  MIGRATING is on
W007  RUNNER's workers do not find their tasks
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from unstale.contrib.django import patterns
from unstale.contrib.django.backend.options import BackendOptions, read_options
from unstale.contrib.django.transactions.outbox_port import OUTBOX_APP
from unstale.errors import UnstaleError
from unstale.options import make_keyspace, store_options
from unstale.stores.urls import checked_scheme

OUR_APP: Final = "unstale.contrib.django"
ALONE: Final = frozenset({"embedded://", "memory://"})
_KINDS: Final = {"E": Error, "W": CheckWarning}


def check_caches(app_configs: object, **_: Any) -> list[CheckMessage]:
    """Check every alias whose backend is ours. `manage.py check` and `runserver` call it."""
    del app_configs
    return [message for alias, params in ours() for message in check_alias(alias, params)]


def ours() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The aliases whose backend is ours, or a subclass of it."""
    from unstale.contrib.django.unstale_cache import UnstaleCache  # noqa: PLC0415 - the package imports it first

    for alias, params in settings.CACHES.items():
        try:
            kind = import_string(params["BACKEND"])
        except ImportError:
            continue  # Django says so itself
        if isinstance(kind, type) and issubclass(kind, UnstaleCache):
            yield alias, params


def check_alias(alias: str, params: Mapping[str, Any]) -> list[CheckMessage]:
    """Everything that can be said of one alias without a server."""
    found = patterns.findings((params.get("OPTIONS") or {}).get("TAG_PATTERNS", ()))
    messages = [
        _KINDS[one.level](f"CACHES[{alias!r}]: {one.message}", hint=one.hint or None, id=f"unstale.{one.code}")
        for one in found
    ]
    try:
        options = read_options(params.get("LOCATION", ""), params)
        space, reaching = make_keyspace(options.cache), store_options(options.cache)
        checked_scheme(options.url, reaching)
    except (ImproperlyConfigured, UnstaleError, ImportError, TypeError) as error:
        wrong = Error(
            f"CACHES[{alias!r}]: {error}",
            hint="No key can be cached by this alias until it is corrected.",
            id="unstale.E001",
        )
        return [*messages, wrong]
    return [*messages, *_of_times(alias, params, options, space.policy.stamp_ttl), *_of_options(alias, options)]


def _of_times(
    alias: str, params: Mapping[str, Any], options: BackendOptions, stamp_ttl: float
) -> Iterator[CheckMessage]:
    timeout = params.get("TIMEOUT", params.get("timeout", 300))
    if options.patterns and timeout is not None and stamp_ttl < float(timeout):
        yield CheckWarning(
            f"CACHES[{alias!r}]: TIMEOUT is {float(timeout):.0f} s, and a stamp lives {stamp_ttl:.0f} s.",
            hint=f"Every fill must then prolong them. Set OPTIONS['STAMP_TTL'] to more than {float(timeout):.0f}.",
            id="unstale.W002",
        )


def _of_options(alias: str, options: BackendOptions) -> Iterator[CheckMessage]:
    if options.url in ALONE and not settings.DEBUG:
        yield CheckWarning(
            f"CACHES[{alias!r}]: {options.url} is a cache of this process alone.",
            hint="An invalidation in one process is not seen by another. Use embedded:///a/directory or redis://…. In "
            "the settings of tests: SILENCED_SYSTEM_CHECKS = ['unstale.W003'].",
            id="unstale.W003",
        )
    if options.outbox:
        yield from _of_outbox(alias, options)
    elif options.strict:
        yield CheckWarning(
            f"CACHES[{alias!r}]: STRICT without OUTBOX.",
            hint=f"A process that dies in a transaction leaves its tags closed for {options.strict_limit:.0f} s. Set "
            "OPTIONS['OUTBOX'] = True.",
            id="unstale.W005",
        )
    if options.migrating:
        yield CheckWarning(
            f"CACHES[{alias!r}]: MIGRATING is on: each delete asks django-redis's side as well.",
            hint="Take the next step as soon as no process is at the one before; then remove it.",
            id="unstale.W006",
        )
    if getattr(options.cache.get("runner"), "is_remote", False) and not apps.is_installed(OUR_APP):
        yield CheckWarning(
            f"CACHES[{alias!r}]: RUNNER sends to workers, and {OUR_APP!r} is not in INSTALLED_APPS.",
            hint="Celery's autodiscover_tasks() finds the tasks of installed apps. Add it.",
            id="unstale.W007",
        )


def _of_outbox(alias: str, options: BackendOptions) -> Iterator[CheckMessage]:
    if not apps.is_installed(OUTBOX_APP):
        yield Error(
            f"CACHES[{alias!r}]: OUTBOX is on, and its app is not installed.",
            hint=f"Add {OUTBOX_APP!r} to INSTALLED_APPS, and run manage.py migrate.",
            id="unstale.E004",
        )
    if options.outbox != "*" and options.outbox not in settings.DATABASES:
        yield Error(
            f"CACHES[{alias!r}]: OUTBOX names the database {options.outbox!r}, which is not in DATABASES.",
            hint=f"There are: {', '.join(settings.DATABASES)}. True is the one whose transaction it is.",
            id="unstale.E004",
        )


def check_registrations(app_configs: object, **_: Any) -> Sequence[CheckMessage]:
    """Check the models that were registered with `invalidates`."""
    del app_configs
    from unstale.contrib.django import registry  # noqa: PLC0415 - models must be loaded

    return [_KINDS[one.level](one.message, hint=one.hint, id=f"unstale.{one.code}") for one in registry.findings()]
