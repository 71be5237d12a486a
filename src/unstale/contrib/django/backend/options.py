"""What a project says in CACHES, as typed values: read once, checked once, each mistake named with its remedy.

Nothing here connects. `OPTIONS` of ours are the upper-case names of `CacheOptions` and those below; what django-redis
knows besides is honoured, mapped or ignored by `compat`, with one warning that names it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.encoding import force_bytes
from django.utils.module_loading import import_string

from unstale.contrib.django.compat import Mapped, both, mapped
from unstale.contrib.django.migration.migrating import stage_of
from unstale.contrib.django.runners import runner_named
from unstale.options import CacheOptions

NAMESPACE: Final = "django"
SOCKET_SECONDS: Final = 1.0
"""For connecting and for each answer, where nothing is said: a page waits no longer than about three times this."""
STRICT_LIMIT_SECONDS: Final = 60.0

_CACHE: Final[dict[str, str]] = {
    "STALE_TTL": "stale_ttl",
    "BETA": "beta",
    "MAX_CONNECTIONS": "max_connections",
    "CODEC": "codec",
    "COMPRESSION": "compression",
    "COMPRESS_ABOVE": "compress_above",
    "FENCE": "fence",
    "LEASE": "lease",
    "STAMP_TTL": "stamp_ttl",
    "REPLICA_LAG": "replica_lag",
}
"""Options that go to the core as they are."""
_IMPORTED: Final = {"ON_EVENT": "on_event"}
"""Options that are an object or the dotted path to one."""
OWN: Final = frozenset(
    {*_CACHE, *_IMPORTED, "RUNNER"}
    | {"NAMESPACE", "SIGNING_KEYS", "TAG_PATTERNS", "STRICT_PATTERNS", "IGNORE_EXCEPTIONS"}
    | {"STRICT", "STRICT_LIMIT", "OUTBOX", "MIGRATING"}
)
_OF_DJANGO: Final = frozenset({"MAX_ENTRIES", "CULL_FREQUENCY"})
"""What Django's own backends take: nothing is culled here, the server evicts."""


@dataclass(frozen=True, slots=True)
class BackendOptions:
    """One configured cache.

    Attributes:
        url: where the entries are; see `Cache.from_url`.
        cache: the core's options.
        patterns: TAG_PATTERNS as it was written.
        strict_patterns: an undeclared `delete_pattern` is an error, not a warning.
        ignore_exceptions: reads and sets go on without the server. An invalidation never does.
        strict: invalidations inside `atomic()` close their tags before COMMIT.
        strict_limit: seconds after which a closed tag opens by itself: longer than the longest transaction.
        outbox: invalidations are written to the outbox of this database alias's transaction ("" for none; "*" for the
            one whose transaction it is).
        migrating: the stage of a migration from django-redis (`migrating.stage_of`); "" for none.
        old: LOCATION and the other settings as django-redis takes them, for a migration.
        scan_count: how many keys one SCAN looks at.
        reverse_key: the user's key of a made one.
    """

    url: str
    cache: CacheOptions
    patterns: Any = ()
    strict_patterns: bool = False
    ignore_exceptions: bool = False
    strict: bool = False
    strict_limit: float = STRICT_LIMIT_SECONDS
    outbox: str = ""
    migrating: str = ""
    old: tuple[object, Mapping[str, Any]] = ("", {})
    scan_count: int = 1000
    reverse_key: Callable[[str], str] = field(default=lambda key: key.split(":", 2)[2])


def read_options(location: object, params: Mapping[str, Any]) -> BackendOptions:
    """The options of one alias.

    Args:
        location: LOCATION: a URL, or what django-redis takes.
        params: the alias's other settings.

    Raises:
        ImproperlyConfigured: an option is known neither to us nor to django-redis, or makes no sense.
    """
    given: Mapping[str, Any] = params.get("OPTIONS") or {}
    compat = mapped(location, {name: value for name, value in given.items() if name not in OWN | _OF_DJANGO})
    if compat.unknown:
        known = ", ".join(sorted(OWN))
        raise ImproperlyConfigured(
            f"OPTIONS of a cache has {compat.unknown[0]!r}, which neither unstale nor django-redis knows. "
            f"Ours are: {known}."
        )
    reverse = params.get("REVERSE_KEY_FUNCTION")
    return BackendOptions(
        url=compat.url,
        cache=_cache_options(given, params, compat),
        patterns=given.get("TAG_PATTERNS", ()),
        strict_patterns=_flag(given, "STRICT_PATTERNS"),
        ignore_exceptions=bool(given.get("IGNORE_EXCEPTIONS", compat.ignore_exceptions)),
        strict=_flag(given, "STRICT"),
        strict_limit=float(given.get("STRICT_LIMIT", STRICT_LIMIT_SECONDS)),
        outbox=_outbox(given.get("OUTBOX", False)),
        migrating=stage_of(given.get("MIGRATING", False)),
        old=(location, _of_django_redis(params)),
        scan_count=compat.scan_count,
        **({"reverse_key": _imported(reverse)} if reverse else {}),
    )


def _cache_options(given: Mapping[str, Any], params: Mapping[str, Any], compat: Mapped) -> CacheOptions:
    options: dict[str, Any] = {
        "namespace": given.get("NAMESPACE") or namespace_of(params.get("KEY_PREFIX", "")),
        "codec": "pickle",
        "timeout": SOCKET_SECONDS,
        "signing_keys": given.get("SIGNING_KEYS") or signing_keys(),
        **compat.cache,
    }
    options |= {ours: given[name] for name, ours in _CACHE.items() if name in given}
    options |= {ours: _imported(given[name]) for name, ours in _IMPORTED.items() if given.get(name) is not None}
    if given.get("RUNNER") is not None:
        options["runner"] = runner_named(given["RUNNER"])
    if "on_event" in compat.cache and given.get("ON_EVENT") is not None:
        options["on_event"] = both(compat.cache["on_event"], options["on_event"])
    return options  # type: ignore[return-value] # make_keyspace checks names and values


def _of_django_redis(params: Mapping[str, Any]) -> dict[str, Any]:
    """The settings without what is ours: errors are not ignored there, since we decide that."""
    options = {name: value for name, value in (params.get("OPTIONS") or {}).items() if name not in OWN}
    return {**params, "OPTIONS": {**options, "IGNORE_EXCEPTIONS": False}}


def _flag(given: Mapping[str, Any], name: str) -> bool:
    value = given.get(name, False)
    if not isinstance(value, bool):
        raise ImproperlyConfigured(f"OPTIONS[{name!r}] must be True or False, not {value!r}.")
    return value


def _outbox(value: object) -> str:
    if value is True:
        return "*"
    if value is False or isinstance(value, str):
        return value or ""
    raise ImproperlyConfigured(f"OPTIONS['OUTBOX'] must be True, False or a database's alias, not {value!r}.")


def _imported(given: Any) -> Any:
    return import_string(given) if isinstance(given, str) else given


def namespace_of(key_prefix: str) -> str:
    """What this alias's names in Redis begin with: two projects that share a database differ in KEY_PREFIX.

    So `clear()` of one never makes the other's entries stale. A prefix that cannot stand in a name is hashed.
    """
    if not key_prefix:
        return NAMESPACE
    if key_prefix.replace("-", "").replace("_", "").replace(".", "").isalnum() and len(key_prefix) <= 40:  # noqa: PLR2004
        return f"{NAMESPACE}:p-{key_prefix}"  # the mark keeps it apart from unstale's own segments
    return f"{NAMESPACE}:x-{blake2b(key_prefix.encode(), digest_size=12).hexdigest()}"


def signing_keys() -> list[bytes]:
    """Keys derived from SECRET_KEY, which signs, and from SECRET_KEY_FALLBACKS, which are accepted."""
    secrets: Sequence[str | bytes] = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return [blake2b(force_bytes(secret), digest_size=64, person=b"unstale-django").digest() for secret in secrets]
