"""The keys of django-redis in the same database, by django-redis itself: for the time of a migration, and for no other.

Keys are made ones. Whatever django-redis raises becomes one of our errors. A tag's keys are found as they were before:
by a scan for the globs of the patterns that give that tag.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import wraps
from itertools import islice
from typing import Any, Final, ParamSpec, TypeVar
from urllib.parse import unquote

from django.core.exceptions import ImproperlyConfigured
from redis.exceptions import RedisError

from unstale.contrib.django.backend.made_keys import from_key
from unstale.contrib.django.patterns import Matcher, Pattern
from unstale.contrib.django.patterns.tokens import pieces
from unstale.core.globs import escape, regex_of
from unstale.errors import AbsentError
from unstale.stores.proof import translated

P = ParamSpec("P")
T = TypeVar("T")

ABSENT: Final = object()
BATCH: Final = 500
_PERCENT: Final = "%~"
"""Begins a value that was too long for a tag, and so was hashed."""


def _translating(method: Callable[P, T]) -> Callable[P, T]:
    """What redis-py raises, and what django-redis makes of it, as StoreError."""
    from django_redis.exceptions import ConnectionInterrupted  # noqa: PLC0415 - only who migrates has it

    @wraps(method)
    def call(*arguments: P.args, **options: P.kwargs) -> T:
        try:
            return method(*arguments, **options)
        except ConnectionInterrupted as error:
            cause = error.__cause__
            raise translated(cause if isinstance(cause, Exception) else error)  # noqa: B904 - it sets its cause itself
        except RedisError as error:
            raise translated(error)  # noqa: B904 - the same

    return call


class OldSide:
    """django-redis's keys."""

    def __init__(self, location: object, params: Mapping[str, Any], matcher: Matcher, namespace: str) -> None:
        """Make django-redis's backend of the same settings.

        Raises:
            ImproperlyConfigured: django-redis is not installed.
        """
        try:
            from django_redis.cache import RedisCache  # noqa: PLC0415 - only who migrates has it
            from django_redis.util import CacheKey  # noqa: PLC0415
        except ImportError as error:
            raise ImproperlyConfigured(
                "MIGRATING needs django-redis: leave it installed until you turn it off."
            ) from error
        self._backend: Any = RedisCache(location, dict(params))
        self._made: Callable[[str], Any] = CacheKey
        self._matcher = matcher
        self._own = f"{namespace}:".encode()
        self.count = 1000
        for name in ("get", "get_many", "has_key", "set", "delete", "incr", "touch", "ttl", "keys", "delete_glob"):
            setattr(self, name, _translating(getattr(self, name)))

    def _key(self, key: str) -> Any:
        return self._made(from_key(key))

    @property
    def _client(self) -> Any:
        return self._backend.client

    def get(self, key: str) -> Any:
        """A value, or ABSENT."""
        return self._client.get(self._key(key), default=ABSENT)

    def get_many(self, keys: Sequence[str]) -> dict[str, Any]:
        """The values that there are."""
        found = self._client.get_many([self._key(key) for key in keys]) if keys else {}
        return {key: found[made] for key in keys if (made := self._key(key)) in found}

    def has_key(self, key: str) -> bool:
        """Whether there is one."""
        return bool(self._client.has_key(self._key(key)))

    def set(self, key: str, value: Any, ttl: float, *, nx: bool = False, xx: bool = False) -> bool:
        """Store a value; whether it was stored."""
        return bool(self._client.set(self._key(key), value, None if ttl == math.inf else ttl, nx=nx, xx=xx))

    def delete(self, keys: Iterable[str]) -> int:
        """Remove keys; how many were there."""
        chosen = [self._key(key) for key in keys]
        return int(self._client.delete_many(chosen)) if chosen else 0

    def incr(self, key: str, delta: int, initial: int | None) -> int:
        """Add to an integer. Raises AbsentError."""
        try:
            return int(self._client.incr(self._key(key), delta, ignore_key_check=initial is not None))
        except ValueError:
            raise AbsentError from None

    def touch(self, key: str, ttl: float) -> bool:
        """Give a key a new limit."""
        return bool(self._client.touch(self._key(key), None if ttl == math.inf else ttl))

    def ttl(self, key: str) -> float | None:
        """Seconds left: infinite for no limit, None where there is no such key."""
        left = self._client.pttl(self._key(key))
        return math.inf if left is None else left / 1000 or None

    def keys(self, glob: str) -> list[str]:
        """The made keys that match a glob. Ours are no keys of django-redis's."""
        found = self._client.get_client(write=True).scan_iter(match=glob, count=self.count)
        return [name.decode() for name in found if not name.startswith(self._own)]

    def delete_glob(self, glob: str) -> int:
        """Remove the keys that match a glob; how many."""
        left, removed = iter(self.keys(glob)), 0
        while batch := list(islice(left, BATCH)):
            removed += int(self._client.get_client(write=True).unlink(*batch))
        return removed

    # Hashes, sets, sorted sets, locks

    def name_of(self, key: str) -> str:
        """What a key's structure, and its lock, is called."""
        return from_key(key)

    def encode(self, value: Any, *, ranked: bool = False) -> Any:
        """A member as django-redis encodes it, which pickles the integers of sorted sets."""
        return self._client.encode(value, allow_int=not ranked)

    def decode(self, member: bytes) -> Any:
        """A member again."""
        return self._client.decode(member)

    # From tags to globs

    def forget(self, tags: Iterable[str]) -> int:
        """Remove what carries one of these tags, by their whole names; how many keys."""
        return sum(self.delete_glob(glob) for glob in {glob for tag in tags for glob in self.globs(tag)})

    def forget_all(self) -> None:
        """Remove every key of this prefix, of any version: what `clear` means where nothing is flushed.

        Raises:
            ImproperlyConfigured: KEY_FUNCTION makes keys that nothing tells from those of others.
        """
        glob = str(self._backend.key_func("*", escape(self._backend.key_prefix), "*"))
        if not glob.strip("*"):
            raise ImproperlyConfigured(
                "clear() while MIGRATING cannot tell django-redis's keys from others in this database, since "
                "KEY_FUNCTION puts nothing of its own into them. Remove them by delete_pattern."
            )
        self.delete_glob(glob)

    def globs(self, tag: str) -> tuple[str, ...]:
        """The globs of made keys that carry a tag of TAG_PATTERNS, or one below it. None for a tag of other origin."""
        _, version, name = tag.split(":", 2)
        made = self._backend.key_func
        prefix = escape(self._backend.key_prefix)
        globs = (glob for pattern in self._matcher.patterns for glob in globs_of(pattern, name))
        return tuple(sorted({str(made(glob, prefix, version)) for glob in globs}))

    def covers(self, key: str, tags: Iterable[str]) -> bool:
        """Whether an invalidation of any of these tags would remove this key."""
        raw = from_key(key).encode("utf-8", "surrogatepass")
        return all(any(regex_of(glob).fullmatch(raw) for glob in self.globs(tag)) for tag in tags)


def globs_of(pattern: Pattern, tag: str) -> Iterator[str]:
    """The globs of a pattern's keys that carry a tag, or one below it.

    What the tag does not tell (a placeholder that its template lacks, one below its level, a hashed value) is any text.
    """
    levels = pattern.tag.split("/")
    for depth in range(1, len(levels) + 1):
        found = _template_regex("/".join(levels[:depth])).fullmatch(tag)
        if found is not None:
            values = {name: _unquoted(value) for name, value in found.groupdict().items()}
            parts = ((literal, None if name is None else values.get(name)) for literal, name in _globbed(pattern))
            yield "".join(literal + (value or "") for literal, value in parts)


def _globbed(pattern: Pattern) -> Iterator[tuple[str, str | None]]:
    """A pattern's parts; a placeholder that the tag says nothing of becomes an asterisk in the text before it."""
    known = set(pattern.template.names)
    for literal, name in pieces(pattern.text):
        yield (literal, name) if name is None or name in known else (f"{literal}*", None)


def _template_regex(template: str) -> re.Pattern[str]:
    return re.compile(
        "".join(
            re.escape(literal) + ("" if name is None else f"(?P<{name}>[^/:]+?)") for literal, name in pieces(template)
        )
    )


def _unquoted(value: str) -> str:
    return "*" if value.startswith(_PERCENT) else escape(unquote(value, errors="surrogatepass"))
