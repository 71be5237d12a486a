"""What is wrong with the registrations of models: plain data, for Django's checks. No server is asked.

E030  a template names no column of the model        W031  one template of a model is registered twice
E032  there is no cache of that alias                E033  the cache's backend is not ours
W034  a write of many rows has nothing to bump in their place
E035  a database's backend writes in a way of its own, which is not seen
E036  a database's transactions are manual: AUTOCOMMIT is off
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.utils.module_loading import import_string

from unstale.contrib.django.patterns.checking import Finding
from unstale.contrib.django.registry.registrations import Registration, all_registrations, concern_of
from unstale.contrib.django.registry.templates import meta
from unstale.contrib.django.registry.writes import is_hooked
from unstale.contrib.django.unstale_cache import UnstaleCache
from unstale.errors import ConfigurationError

DUMMY = "django.core.cache.backends.dummy.DummyCache"
"""It keeps nothing, so nothing is stale in it."""


def findings() -> list[Finding]:
    """Everything that is wrong with what is registered now."""
    every = tuple(dict.fromkeys(all_registrations()))
    found = [one for each in every for one in (*_of_templates(each), *_of_cache(each), *_of_many(each))]
    return [*found, *_of_twins(every), *(_of_databases() if every else ())]


def shown(registration: Registration) -> str:
    """A registration as a message names it."""
    return f"invalidates({meta(registration.model).label}, {', '.join(map(repr, registration.templates))})"


def _of_templates(one: Registration) -> Iterator[Finding]:
    try:
        concern_of(one)
    except ConfigurationError as error:
        yield Finding(
            "E030",
            f"{shown(one)}: {error}",
            "Name a column, or follow a foreign key to one: {user_id}, {user.profile_id}. Properties are not known to "
            "QuerySet.update(), so they cannot be named.",
        )


def _of_cache(one: Registration) -> Iterator[Finding]:
    params = settings.CACHES.get(one.cache)
    if params is None:
        known = ", ".join(settings.CACHES)
        yield Finding(
            "E032", f"{shown(one)}: CACHES has no alias {one.cache!r}.", f"There are: {known}. Name one: cache=…."
        )
        return
    try:
        kind = import_string(params["BACKEND"])
    except ImportError:
        return  # Django says so itself
    if params["BACKEND"] != DUMMY and not (isinstance(kind, type) and issubclass(kind, UnstaleCache)):
        yield Finding(
            "E033",
            f"{shown(one)}: the backend of CACHES[{one.cache!r}] is {params['BACKEND']}, which knows no tags.",
            "Set it to unstale.contrib.django.UnstaleCache, or name another cache: cache=….",
        )


def _of_many(one: Registration) -> Iterator[Finding]:
    if one.above is not None and one.parents() is None:
        yield Finding(
            "W034",
            f"{shown(one)}: a write of more than {one.above} rows has no one tag to bump in place of theirs, so it "
            "reads and bumps them all.",
            f"Name a tag that every entry with these tags carries as well, such as parent={_example(one)!r}; or give "
            "the templates a fixed first level, which is their ancestor; or say that it is meant: above=None.",
        )


def _example(one: Registration) -> str:
    """A parent's name, from what a template that lacks one has before its first placeholder; else the model's."""
    lacking = next(each.text for each in one.read() if each.names and not each.ancestor)
    return lacking.partition("{")[0].rstrip(":.-_/ ") or str(meta(one.model).model_name)


def _of_twins(every: Sequence[Registration]) -> Iterator[Finding]:
    counts = Counter((meta(each.model).label, text, each.cache) for each in every for text in each.templates)
    for (label, text, cache), count in counts.items():
        if count > 1:
            yield Finding(
                "W031",
                f"{text!r} is registered {count} times for {label} and the cache {cache!r}, with other settings.",
                "Remove all but one: each write bumps what each says.",
            )


def _of_databases() -> Iterator[Finding]:
    for alias in connections:
        if not connections.settings[alias].get("AUTOCOMMIT", True):
            yield Finding(
                "E036",
                f"DATABASES[{alias!r}]: AUTOCOMMIT is False, so Django runs no hooks at COMMIT. A registered write "
                "invalidates at once and again with connection.commit(); a COMMIT sent in another way is not seen.",
                "Leave AUTOCOMMIT on and use atomic(). If every transaction ends with transaction.commit() or "
                "rollback(), or no registered model is written there: SILENCED_SYSTEM_CHECKS = ['unstale.E036'].",
            )
        try:
            missing = [name for name in ("Insert", "Update", "Delete") if not is_hooked(alias, f"SQL{name}Compiler")]
        except ImproperlyConfigured:
            continue  # Django says so itself
        if missing:
            yield Finding(
                "E035",
                f"DATABASES[{alias!r}]: its backend's compilers of {', '.join(missing)} are not built on Django's, so "
                "writes there invalidate nothing.",
                "Call invalidate_for(rows) after each write, or file an issue that names the backend.",
            )
