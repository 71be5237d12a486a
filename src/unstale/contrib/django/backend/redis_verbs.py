"""What django-redis's users have beside Django's API: patterns, keys, times to live, locks, and redis-py's own client.

`delete_pattern` of a declared pattern is one write that knows transactions. Whatever else scans the database, as it
did before: of an undeclared pattern a warning names the line to add, once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from django.core.cache import caches
from django.core.cache.backends.base import DEFAULT_TIMEOUT

from unstale.contrib.django import transactions
from unstale.contrib.django.backend.engine import Plan
from unstale.contrib.django.backend.made_keys import from_key
from unstale.contrib.django.backend.sorted_sets import SortedSetsCache
from unstale.core.globs import escape
from unstale.errors import UnstaleError
from unstale.events import Invalidated

if TYPE_CHECKING:
    from redis import Redis
    from redis.lock import Lock

_VALUES: Final = (b"none", b"string")
"""What TYPE says of a key without a structure."""


class UndeclaredPatternError(UnstaleError, ValueError):
    """This pattern is not declared in TAG_PATTERNS, and STRICT_PATTERNS is on."""


class NotAPatternError(UnstaleError, TypeError):
    """A pattern must be a str."""


class RedisUsersCache(SortedSetsCache):
    """The verbs of django-redis, synchronous; `client` has them, too."""

    @property
    def client(self) -> BackendClient:
        """What django-redis has under this name: here the same verbs, and `get_client()`."""
        return BackendClient(self)

    def get_client(self, write: bool = True, tried: Any = None) -> Redis:  # noqa: ARG002, FBT001, FBT002 - its
        """redis-py's client for this cache's server: what it reads and writes is none of the cache's business.

        Raises:
            ConfigurationError: memory:// has no server.
        """
        return self._engine.redis.client

    # Patterns

    def delete_pattern(
        self,
        pattern: str,
        version: int | None = None,
        prefix: str | None = None,
        client: Any = None,  # noqa: ARG002 - django-redis's
        itersize: int | None = None,
    ) -> int:
        """Make every key that matches a pattern absent.

        A declared pattern, with its placeholders filled in, is the invalidation of its tag: one write, at COMMIT inside
        `atomic()`. Another is what it was: a scan of the database, at once, with a warning that names the line to add.

        Args:
            pattern: a glob for keys as the project writes them.
            version: of the keys.
            prefix: in place of KEY_PREFIX.
            client: not used; django-redis has it.
            itersize: keys that each SCAN looks at.

        Returns:
            Declared: 1 if something carried the tag, or if it waits for COMMIT or in the outbox; else 0. Undeclared:
            how many entries were removed.

        Raises:
            NotAPatternError: it is no str.
            UndeclaredPatternError: it is undeclared, and STRICT_PATTERNS is on.
            StoreError: it may not have been done; call it again.
        """
        tags = self._declared(pattern, prefix)
        if tags is not None:
            names = tuple(self.tag(name, version) for name in tags)
            return removed(transactions.invalidate(self._engine, names))
        glob, count = self.make_pattern(pattern, version, prefix), itersize or self._engine.options.scan_count
        return self._engine.cache.delete_matching(glob, count=count)

    def _declared(self, pattern: str, prefix: str | None) -> tuple[str, ...] | None:
        """The tags that stand for a pattern; None for one that is not declared, which is said or an error."""
        if not isinstance(pattern, str):
            raise NotAPatternError(f"delete_pattern takes a glob as a str, not {pattern!r}; for one key: delete(key).")
        is_own = prefix is None or prefix == self.key_prefix
        if is_own and (tags := self._engine.matcher.tag_for_delete(pattern)) is not None:
            return tags
        if is_own:
            (advice, is_news), call = self._engine.advisor.advice(pattern), f"{pattern!r}"
        else:
            is_news, call = self._engine.is_news(f"prefix {prefix!r}"), f"{pattern!r}, prefix={prefix!r}"
            advice = "With another prefix than its own it never is: call it on the cache whose KEY_PREFIX that is."
        if self._engine.options.strict_patterns:
            raise UndeclaredPatternError(
                f"delete_pattern({call}) is not declared, and STRICT_PATTERNS is on: nothing was done. {advice}"
            )
        if is_news:
            self._engine.warn(f"delete_pattern({call}) is not declared, and so it scans the whole database. {advice}")
        return None

    def make_pattern(self, pattern: str, version: int | None = None, prefix: str | None = None) -> str:
        """A glob for made keys: prefix and version are taken by the letter."""
        prefix = self.key_prefix if prefix is None else prefix
        version = self.version if version is None else version
        return str(self.key_func(pattern, escape(prefix), escape(str(version))))

    def iter_keys(
        self,
        search: str,
        itersize: int | None = None,
        client: Any = None,  # noqa: ARG002 - django-redis's
        version: int | None = None,
    ) -> Iterator[str]:
        """Go through the keys that match a glob and have a fresh entry: a scan of the whole database."""
        count = itersize or self._engine.options.scan_count
        for key in self._engine.cache.iter_keys(self.make_pattern(search, version), count=count):
            yield self._engine.options.reverse_key(from_key(key))

    def keys(self, search: str, version: int | None = None, client: Any = None) -> list[str]:
        """The same as a list."""
        return list(self.iter_keys(search, client=client, version=version))

    # Times to live

    def ttl(self, key: Any, version: int | None = None, client: Any = None) -> int | None:  # noqa: ARG002 - its
        """Whole seconds left; None for no limit, 0 where there is nothing fresh."""
        return whole(self._left(key, version))

    def pttl(self, key: Any, version: int | None = None, client: Any = None) -> int | None:  # noqa: ARG002 - its
        """Milliseconds left; see `ttl`."""
        return whole(self._left(key, version) * 1000)

    def _left(self, key: Any, version: int | None) -> float:
        """Seconds left: of a fresh entry or of a structure; 0 where there is neither."""
        plan = self._plan_of(key, version)
        if self._is_hidden(plan):
            return 0.0
        left = self._engine.cache.ttl(plan.key, tags=plan.tags or ())
        return self._structure_left(plan) or 0.0 if left is None else left

    def _is_hidden(self, plan: Plan) -> bool:
        """Whether a key has nothing to show: it is not stored, or invalidated in the open transaction."""
        return plan.tags is None or (transactions.pending() and self._is_dirty(plan.key, plan.tags))

    def _structure_left(self, plan: Plan) -> float | None:
        """Seconds that a key's structure has left; None where there is none."""
        if not self._engine.has_server:
            return None
        name = self._engine.redis.name_of(plan.key, plan.tags)
        with self._redis().pipeline(transaction=False) as pipe:
            kind, left = pipe.type(name).pttl(name).execute()
        if kind in _VALUES:
            return None
        return math.inf if left < 0 else left / 1000

    def persist(self, key: Any, version: int | None = None, client: Any = None) -> bool:  # noqa: ARG002 - its
        """Take the limit away; whether there was one. The entry's stamps live on with it."""
        plan = self._plan_of(key, version)
        left = self._left(key, version)
        if not 0 < left < math.inf:
            return False
        if self._engine.cache.touch(plan.key, None, tags=plan.tags or ()):
            return True
        return self._structure_left(plan) is not None and bool(self._redis().persist(self._name(key, version)))

    def expire(self, key: Any, timeout: Any, version: int | None = None, client: Any = None) -> bool:
        """Give a key a new limit in seconds (or a timedelta), from now; whether there was one to give it to."""
        timeout = self.default_timeout if timeout is DEFAULT_TIMEOUT else timeout
        seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        return self._expire(key, seconds, version, client)

    def pexpire(self, key: Any, timeout: Any, version: int | None = None, client: Any = None) -> bool:
        """The same in milliseconds."""
        if timeout is DEFAULT_TIMEOUT or isinstance(timeout, timedelta):
            return self.expire(key, timeout, version, client)
        return self._expire(key, timeout / 1000, version, client)

    def expire_at(self, key: Any, when: Any, version: int | None = None, client: Any = None) -> bool:
        """Give a key a limit at a point in time: a datetime, or seconds since 1970. See `expire`."""
        at = when.timestamp() if isinstance(when, datetime) else when
        return self._expire(key, at - time.time(), version, client)

    def pexpire_at(self, key: Any, when: Any, version: int | None = None, client: Any = None) -> bool:
        """The same in milliseconds since 1970."""
        at = when.timestamp() if isinstance(when, datetime) else when / 1000
        return self._expire(key, at - time.time(), version, client)

    def _expire(self, key: Any, seconds: float | None, version: int | None, client: Any) -> bool:
        plan = self._plan_of(key, version)
        if self._is_hidden(plan):
            return False
        if self.touch(key, seconds, version):
            return True
        if self._structure_left(plan) is None:
            return False
        name, redis = self._name(key, version), self._redis(client)
        return bool(redis.persist(name) if seconds is None else redis.pexpire(name, int(seconds * 1000)))

    # Locks

    def lock(  # noqa: PLR0913, PLR0917 - django-redis's
        self,
        key: Any,
        version: int | None = None,
        timeout: float | None = None,
        sleep: float = 0.1,
        blocking: bool = True,  # noqa: FBT001, FBT002 - django-redis's
        blocking_timeout: float | None = None,
        client: Redis | None = None,
        thread_local: bool = True,  # noqa: FBT001, FBT002
    ) -> Lock:
        """redis-py's lock, under a name of this cache's. It is no entry: nothing invalidates it.

        Raises:
            ConfigurationError: memory:// has no server.
        """
        plan = self._plan_of(key, version)
        made: Lock = self._redis(client).lock(
            self._engine.redis.lock_name(plan.key),
            timeout=timeout,
            sleep=sleep,
            blocking=blocking,
            blocking_timeout=blocking_timeout,
            thread_local=thread_local,
        )
        return made


class BackendClient:
    """`cache.client`: django-redis's users find there all verbs of the cache, and redis-py's client."""

    __slots__ = ("_backend",)

    def __init__(self, backend: RedisUsersCache) -> None:
        """Take the cache."""
        self._backend = backend

    def __getattr__(self, name: str) -> Any:
        """A verb of the cache's."""
        return getattr(self._backend, name)

    def __contains__(self, key: Any) -> bool:
        """Whether there is a fresh entry."""
        return self._backend.has_key(key)


def removed(result: transactions.Result) -> int:
    """What `delete_pattern` answers for an invalidation: 0 where nothing carried the tag."""
    return int(not isinstance(result, Invalidated) or result.bumped > 0)


def whole(left: float) -> int | None:
    """A time left as Redis gives it: rounded; None for no limit."""
    return None if left == math.inf else round(left)


def get_redis_connection(alias: str = "default", write: bool = True) -> Redis:  # noqa: FBT001, FBT002 - django-redis's
    """redis-py's client for the server of a cache.

    Args:
        alias: the cache's, in CACHES.
        write: not used; there is one server.

    Raises:
        NotImplementedError: that cache has no such client.
        ConfigurationError: memory:// has no server.
    """
    client: Any = getattr(caches[alias], "client", None)
    if not hasattr(client, "get_client"):
        raise NotImplementedError(f"CACHES[{alias!r}] has no client of redis-py's.")
    found: Redis = client.get_client(write)
    return found
