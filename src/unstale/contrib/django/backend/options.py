"""What a project says in CACHES, as typed values: read once, checked once, each mistake named with its remedy.

Nothing here connects. `OPTIONS` of ours are the upper-case names of `CacheOptions` and those below; what django-redis
knows besides is honoured, mapped or ignored by `compat`, with one warning that names it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from hashlib import blake2b
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured, ObjectDoesNotExist
from django.http import Http404
from django.utils.encoding import force_bytes
from django.utils.module_loading import import_string

from unstale.contrib.django.compat import Mapped, known_names, mapped
from unstale.contrib.django.importing import imported
from unstale.contrib.django.migration.migrating import stage_of
from unstale.contrib.django.runners import runner_named
from unstale.core.policy import seconds
from unstale.core.sampling import Verify
from unstale.errors import InvalidDurationError
from unstale.events import Hook, together
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
    "WAIT": "wait",
    "WAIT_TIMEOUT": "wait_timeout",
    "LEASE": "lease",
    "STAMP_TTL": "stamp_ttl",
    "REPLICA_LAG": "replica_lag",
    "READ_TIMEOUT": "read_timeout",
    "INVALIDATE_TIMEOUT": "invalidate_timeout",
    "QUEUE": "queue",
}
"""Options that go to the core as they are."""
_IMPORTED: Final = {"ON_EVENT": "on_event"}
"""Options that are a function or the dotted path to one, or a list of these."""
OWN: Final = frozenset(
    {*_CACHE, *_IMPORTED, "RUNNER"}
    | {"NAMESPACE", "SIGNING_KEYS", "TAG_PATTERNS", "STRICT_PATTERNS", "IGNORE_EXCEPTIONS"}
    | {"STRICT", "STRICT_LIMIT", "OUTBOX", "MIGRATING", "VERIFY"}
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

    url: str = field(repr=False)
    cache: CacheOptions = field(repr=False)
    patterns: Any = ()
    strict_patterns: bool = False
    ignore_exceptions: bool = False
    strict: bool = False
    strict_limit: float = STRICT_LIMIT_SECONDS
    outbox: str = ""
    migrating: str = ""
    old: tuple[object, Mapping[str, Any]] = field(default=("", {}), repr=False)
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
        raise ImproperlyConfigured(_unknown(compat.unknown[0]))
    _check_queue(given)
    reverse = params.get("REVERSE_KEY_FUNCTION")
    ignores = _flag(given, "IGNORE_EXCEPTIONS", default=compat.ignore_exceptions)
    options = _cache_options(given, params, compat)
    if not ignores:  # a read that is late raises there: what costs a load elsewhere would cost a page
        options.setdefault("read_timeout", options["timeout"])
    return BackendOptions(
        url=compat.url,
        cache=options,
        patterns=given.get("TAG_PATTERNS", ()),
        strict_patterns=_flag(given, "STRICT_PATTERNS"),
        ignore_exceptions=ignores,
        strict=_flag(given, "STRICT"),
        strict_limit=_strict_limit(given.get("STRICT_LIMIT", STRICT_LIMIT_SECONDS)),
        outbox=_outbox(given.get("OUTBOX", False)),
        migrating=stage_of(given.get("MIGRATING", False)),
        old=(location, _of_django_redis(params)),
        scan_count=compat.scan_count,
        **({"reverse_key": _callable(reverse, "REVERSE_KEY_FUNCTION")} if reverse else {}),
    )


def _check_queue(given: Mapping[str, Any]) -> None:
    for other in ("OUTBOX", "MIGRATING"):
        if given.get("QUEUE") is not None and given.get(other):
            raise ImproperlyConfigured(f"OPTIONS['QUEUE'] and OPTIONS[{other!r}] do not go together: leave one out.")


def _unknown(name: str) -> str:
    """What is said of a name that nobody knows: which one was meant, and all that there are."""
    others = known_names() | _OF_DJANGO
    by_upper = {known.upper(): known for known in sorted(others | OWN, reverse=True)}  # upper case wins
    near = get_close_matches(name.upper(), by_upper, n=1, cutoff=0.7)
    meant = f" Did you mean {by_upper[near[0]]!r}?" if near else ""
    return (
        f"OPTIONS has {name!r}, which neither unstale nor django-redis knows.{meant} "
        f"Ours are: {', '.join(sorted(OWN))}. Besides: {', '.join(sorted(others))}, and redis-py's ssl_…."
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
    options |= {
        ours: _hook(given[name], f"OPTIONS[{name!r}]")
        for name, ours in _IMPORTED.items()
        if given.get(name) is not None
    }
    if given.get("VERIFY"):
        options["verify"] = _verify(given["VERIFY"])
    if given.get("RUNNER") is not None:
        options["runner"] = runner_named(given["RUNNER"])
    if "on_event" in compat.cache and given.get("ON_EVENT") is not None:
        options["on_event"] = together(compat.cache["on_event"], options["on_event"])
    return options  # type: ignore[return-value] # make_keyspace checks names and values


def _verify(given: Any) -> Verify:
    """What is verified: never in a reader's own time inside a transaction, which sees what others do not.

    Also by Django's exceptions a loader says that there is no such value any more.
    """
    try:
        policy = (
            given if isinstance(given, Verify) else Verify(**given if isinstance(given, Mapping) else {"rate": given})
        )
    except TypeError as error:
        known = ", ".join(one.name for one in fields(Verify))
        raise ImproperlyConfigured(
            f"OPTIONS['VERIFY'] must be a rate, or have a rate and of these: {known}."
        ) from error
    own = policy.unless
    return replace(
        policy,
        gone=(*policy.gone, ObjectDoesNotExist, Http404),
        unless=lambda: _is_in_transaction() or (own is not None and own()),
    )


def _is_in_transaction() -> bool:
    """By its name: transactions need the backend, whose options these are."""
    return bool(import_string("unstale.contrib.django.transactions.snapshots.is_in_transaction")())


def _of_django_redis(params: Mapping[str, Any]) -> dict[str, Any]:
    """The settings without what is ours: errors are not ignored there, since we decide that."""
    options = {name: value for name, value in (params.get("OPTIONS") or {}).items() if name not in OWN}
    return {**params, "OPTIONS": {**options, "IGNORE_EXCEPTIONS": False}}


def _flag(given: Mapping[str, Any], name: str, *, default: bool = False) -> bool:
    value = given.get(name, default)
    if not isinstance(value, bool):
        raise ImproperlyConfigured(f"OPTIONS[{name!r}] must be True or False, not {value!r}.")
    return value


def _outbox(value: object) -> str:
    if value is True:
        return "*"
    if value is False or isinstance(value, str):
        return value or ""
    raise ImproperlyConfigured(f"OPTIONS['OUTBOX'] must be True, False or a database's alias, not {value!r}.")


def _strict_limit(given: object) -> float:
    if given is None:
        raise ImproperlyConfigured("OPTIONS['STRICT_LIMIT'] needs a limit: seconds above zero.")
    try:
        return seconds(given, "OPTIONS['STRICT_LIMIT']")  # type: ignore[arg-type] # it checks
    except InvalidDurationError as error:
        raise ImproperlyConfigured(str(error)) from error


def _hook(given: Any, name: str) -> Hook:
    """One hook, or of several: to log and to measure, say."""
    if isinstance(given, list | tuple):
        return together(*(_callable(one, name) for one in given))
    found: Hook = _callable(given, name)
    return found


def _callable(given: Any, name: str) -> Any:
    found = imported(given, name)
    if not callable(found):
        raise ImproperlyConfigured(f"{name} must be a function or the path of one, not {given!r}.")
    return found


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
