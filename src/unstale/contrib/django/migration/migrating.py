"""From django-redis to unstale without a stale answer, while pods of both live: OPTIONS["MIGRATING"].

An old pod's `delete("k")` says nothing to us, and nothing can be put under its key that would: django-redis reads what
is there as a value of its own. So values move in two deploys, and within each, all pods agree where a key is:

    old pods    True         the values are django-redis's, read and written by it. Ours are invalidated as well.
    True        "leaving"    the values are ours. What is written, deleted or invalidated goes from django-redis's side.
    "leaving"   not set      the values are ours.

In each line either may be the newer one: the way back is the same. Sessions of `sessions.backends.cache` cannot be
loaded anew: while both sides live they are looked for on the other side, too, and `moving` moves them.

Under True a key whose tags do not follow from TAG_PATTERNS (`tags=`) is not cached, since nothing finds it there.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Final

from asgiref.sync import sync_to_async
from django.core.exceptions import ImproperlyConfigured

from unstale.aio import AsyncCache
from unstale.cache import Cache
from unstale.contrib.django.migration.old_side import ABSENT, OldSide
from unstale.core.policy import DEFAULT
from unstale.errors import StoreError
from unstale.events import Invalidated, Queued

SHARING: Final = "sharing"
LEAVING: Final = "leaving"
STAGES: Final[dict[object, str]] = {False: "", True: SHARING, LEAVING: LEAVING}
"""What OPTIONS["MIGRATING"] may be."""
SESSIONS: Final = "django.contrib.sessions.cache"
_SESSION: Final = re.compile(re.escape(SESSIONS) + "(?!d_db)")


def stage_of(given: object) -> str:
    """The stage that MIGRATING names; "" for none.

    Raises:
        ImproperlyConfigured: there is no such stage.
    """
    if not isinstance(given, bool | str) or given not in STAGES:
        raise ImproperlyConfigured(f'OPTIONS["MIGRATING"] must be True, "leaving" or False, not {given!r}.')
    return STAGES[given]


def is_session(key: str) -> bool:
    """Whether a made key is a session's that has no other home."""
    return _SESSION.search(key) is not None


class _Both(Cache):
    """Whatever is made stale or removed goes on both sides: ours first."""

    old: ClassVar[OldSide]

    def scope(self, kind: str, *ids: object) -> Any:
        """A bound cache is nothing that django-redis knows: it is ours alone."""
        plain: Cache = Cache.scope(Cache(self._store, self._space, io=self._io), kind, *ids)
        return plain

    def delete(self, key: str, *, tags: Any = ()) -> bool:
        """Remove a key."""
        was_here = super().delete(key, tags=tags)
        return bool(self.old.delete([key])) or was_here

    def delete_many(self, keys: Iterable[str], *, tags: Any = ()) -> int:
        """Remove keys; how many of them were on the side where most were."""
        chosen = list(keys)
        here = super().delete_many(chosen, tags=tags)
        return max(here, self.old.delete(chosen))

    def delete_matching(self, match: str, *, count: int = 1000) -> int:
        """Remove what matches a glob."""
        here = super().delete_matching(match, count=count)
        return max(here, self.old.delete_glob(match))

    def invalidate(self, *tags: str, soft: bool = False) -> Invalidated:
        """Make what carries a tag stale; on django-redis's side it is removed."""
        done = _done(super().invalidate(*tags, soft=soft))
        return replace(done, bumped=done.bumped + self.old.forget(tags))

    def complete(self, closing: Any) -> Invalidated:
        """End a strict invalidation."""
        done = _done(super().complete(closing))
        self.old.forget(closing.tags)
        return done

    def clear(self, *, over: Any = 0) -> Invalidated:
        """Make everything stale; on django-redis's side this prefix's keys are removed."""
        done = _done(super().clear(over=over))
        self.old.forget_all()
        return done

    def _seconds(self, ttl: Any) -> float:
        return self._space.policy.ttl_of(ttl)


def _done(result: Invalidated | Queued) -> Invalidated:
    """An invalidation that has taken effect: a project that migrates has no queue, as its options are checked for."""
    if isinstance(result, Queued):
        raise TypeError(result)
    return result


class _Sharing(_Both):
    """The values are django-redis's."""

    def _find(self, key: str, tags: Any) -> Any:
        """A value or ABSENT. A session may be on our side already, where pods live that are one step further."""
        if tags and not self.old.covers(key, tags):
            return ABSENT
        found = self.old.get(key)
        return super().get(key, ABSENT, tags=tags) if found is ABSENT and is_session(key) else found

    def get(self, key: str, default: Any = None, *, tags: Any = (), into: Any = None) -> Any:  # noqa: ARG002 - as ours
        """Read a value."""
        try:
            found = self._find(key, tags)
        except StoreError as error:
            self._without("get", error, [self._target(key, tags)])
            return default
        return default if found is ABSENT else found

    def get_many(self, keys: Iterable[str], *, tags: Any = (), into: Any = None) -> dict[str, Any]:  # noqa: ARG002
        """Read values."""
        chosen = [key for key in keys if not (of := _of(tags, key)) or self.old.covers(key, of)]
        try:
            found = self.old.get_many(chosen)
        except StoreError as error:
            self._without("get_many", error, [self._target(key, ()) for key in chosen])
            return {}
        missing = [key for key in chosen if key not in found and is_session(key)]
        return {**found, **(super().get_many(missing, tags=tags) if missing else {})}

    def has_key(self, key: str, *, tags: Any = ()) -> bool:
        """Whether there is a value."""
        return self.get(key, ABSENT, tags=tags) is not ABSENT

    def get_or_set(self, key: str, loader: Callable[[], Any], *, tags: Any = (), ttl: Any = DEFAULT, **_: Any) -> Any:
        """Read, or load and store: without a lease, as before."""
        found = self.get(key, ABSENT, tags=tags)
        if found is not ABSENT:
            return found
        return self.refresh(key, loader, tags=tags, ttl=ttl)

    def refresh(self, key: str, loader: Callable[[], Any], *, tags: Any = (), ttl: Any = DEFAULT, **_: Any) -> Any:
        """Load and store."""
        value = loader()
        self.set(key, value, tags=tags, ttl=ttl)
        return value

    def get_or_set_many(
        self, keys: Iterable[str], load_missing: Callable[..., Any], *, tags: Any = (), ttl: Any = DEFAULT, **_: Any
    ) -> dict[str, Any]:
        """Read many, load and store the rest."""
        chosen = list(dict.fromkeys(keys))
        found = self.get_many(chosen, tags=tags)
        missing = [key for key in chosen if key not in found]
        loaded: Mapping[str, Any] = load_missing(missing) if missing else {}
        kept = {key: loaded[key] for key in missing if key in loaded}
        self.set_many(kept, tags=tags, ttl=ttl)
        return {key: value for key in chosen if (value := {**found, **kept}.get(key, ABSENT)) is not ABSENT}

    def _store_there(self, key: str, value: Any, tags: Any, ttl: Any, **how: bool) -> bool:
        """Store on their side; what we have is then older."""
        if tags and not self.old.covers(key, tags):
            return False
        stored = self.old.set(key, value, self._seconds(ttl), **how)
        if stored:
            Cache.delete(self, key, tags=tags)
        return stored

    def set(self, key: str, value: Any, *, tags: Any = (), ttl: Any = DEFAULT, **_: Any) -> bool:
        """Store a value."""
        return self._store_there(key, value, tags, ttl)

    def set_many(self, values: Mapping[str, Any], *, tags: Any = (), ttl: Any = DEFAULT, **_: Any) -> list[str]:
        """Store values; the keys that were not stored."""
        return [key for key, value in values.items() if not self._store_there(key, value, _of(tags, key), ttl)]

    def add(self, key: str, value: Any, *, tags: Any = (), ttl: Any = DEFAULT, **_: Any) -> Any:
        """Store a value where there is none."""
        return not (is_session(key) and self.has_key(key)) and self._store_there(key, value, tags, ttl, nx=True)

    def replace(self, key: str, value: Any, *, tags: Any = (), ttl: Any = DEFAULT, **_: Any) -> bool:
        """Store a value where there is one."""
        return self._store_there(key, value, tags, ttl, xx=not is_session(key))

    def touch(self, key: str, ttl: Any = DEFAULT, *, tags: Any = ()) -> bool:
        """Give a value a new limit."""
        return self.old.touch(key, self._seconds(ttl)) or (is_session(key) and super().touch(key, ttl, tags=tags))

    def incr(self, key: str, delta: int = 1, *, initial: int | None = None, tags: Any = (), ttl: Any = DEFAULT) -> int:
        """Add to an integer."""
        del tags, ttl
        return self.old.incr(key, delta, initial)

    def ttl(self, key: str, *, tags: Any = ()) -> float | None:
        """Seconds left."""
        left = self.old.ttl(key)
        return super().ttl(key, tags=tags) if left is None and is_session(key) else left

    def iter_keys(self, match: str = "*", *, count: int = 1000) -> Iterator[str]:
        """Go through the keys."""
        del count
        return iter(self.old.keys(match))


class _Leaving(_Both):
    """The values are ours; what is written goes from the other side."""

    def _written(self, key: str, value: Any, ttl: Any) -> None:
        """After our write: the other side has an older value, if it has one."""
        if is_session(key):
            self.old.set(key, value, self._seconds(ttl), xx=True)  # pods that are one step behind read it there
        else:
            self.old.delete([key])

    def get(self, key: str, default: Any = None, *, tags: Any = (), into: Any = None) -> Any:
        """Read a value; a session that has not been moved is read on the other side."""
        found = super().get(key, ABSENT, tags=tags, into=into)
        if found is ABSENT and is_session(key):
            found = self.old.get(key)
        return default if found is ABSENT else found

    def has_key(self, key: str, *, tags: Any = ()) -> bool:
        """Whether there is a value."""
        return super().has_key(key, tags=tags) or (is_session(key) and self.old.has_key(key))

    def set(self, key: str, value: Any, *, ttl: Any = DEFAULT, **how: Any) -> bool:
        """Store a value."""
        stored = super().set(key, value, ttl=ttl, **how)
        self._written(key, value, ttl)
        return stored

    def set_many(self, values: Mapping[str, Any], *, ttl: Any = DEFAULT, **how: Any) -> list[str]:
        """Store values; the keys that were not stored."""
        unstored = super().set_many(values, ttl=ttl, **how)
        for key, value in values.items():
            self._written(key, value, ttl)
        return unstored

    def add(self, key: str, value: Any, *, ttl: Any = DEFAULT, **how: Any) -> Any:
        """Store a value where there is none; a session's key may be taken on the other side."""
        if is_session(key) and self.old.has_key(key):
            return False
        stored = super().add(key, value, ttl=ttl, **how)
        if stored is True:
            self._written(key, value, ttl)
        return stored

    def replace(self, key: str, value: Any, *, ttl: Any = DEFAULT, **how: Any) -> bool:
        """Store a value where there is one."""
        if is_session(key) and not super().has_key(key) and self.old.has_key(key):
            return self.set(key, value, ttl=ttl, **how)
        stored = super().replace(key, value, ttl=ttl, **how)
        if stored:
            self._written(key, value, ttl)
        return stored

    def touch(self, key: str, ttl: Any = DEFAULT, *, tags: Any = ()) -> bool:
        """Give a value a new limit; a session on both sides."""
        touched = super().touch(key, ttl, tags=tags)
        return (is_session(key) and self.old.touch(key, self._seconds(ttl))) or touched


def _of(tags: Any, key: str) -> Any:
    return tags(key) if callable(tags) else tags


# asyncio: django-redis has no asynchronous half, so what concerns its side hops to a thread, as it always has


class _Hopping(AsyncCache):
    """The verbs of a synchronous cache, each in a thread."""

    twin: ClassVar[Any]

    def scope(self, kind: str, *ids: object) -> Any:
        """A bound cache is ours alone."""
        plain: AsyncCache = AsyncCache.scope(AsyncCache(self._store, self._space, io=self._io), kind, *ids)
        return plain


def _hop(name: str) -> Callable[..., Awaitable[Any]]:
    async def verb(self: _Hopping, *arguments: Any, **options: Any) -> Any:
        return await sync_to_async(getattr(self.twin, name), thread_sensitive=False)(*arguments, **options)

    return verb


def _hopping(*names: str) -> dict[str, Any]:
    return {name: _hop(name) for name in names}


_REMOVING: Final = ("delete", "delete_many", "delete_matching", "invalidate", "complete", "clear")
_WRITING: Final = ("set", "set_many", "add", "replace", "touch")
_READING: Final = ("get_many", "incr", "ttl")


class _AsyncSharing(_Hopping):
    """The values are django-redis's."""

    async def get_or_set(self, key: str, loader: Callable[[], Any], *, tags: Any = (), **how: Any) -> Any:
        """Read, or load and store."""
        found = await self.get(key, ABSENT, tags=tags)
        return await self.refresh(key, loader, tags=tags, **how) if found is ABSENT else found

    async def refresh(
        self, key: str, loader: Callable[[], Any], *, tags: Any = (), ttl: Any = DEFAULT, **_: Any
    ) -> Any:
        """Load and store."""
        value = await loader()
        await self.set(key, value, tags=tags, ttl=ttl)
        return value

    async def iter_keys(self, match: str = "*", *, count: int = 1000) -> Any:
        """Go through the keys."""
        del count
        keys: list[str] = await sync_to_async(self.twin.old.keys, thread_sensitive=False)(match)
        for key in keys:
            yield key


class _AsyncLeaving(_Hopping):
    """The values are ours."""

    async def get(self, key: str, default: Any = None, **how: Any) -> Any:
        """Read a value."""
        found = await super().get(key, ABSENT, **how)
        if found is ABSENT and is_session(key):
            found = await sync_to_async(self.twin.get, thread_sensitive=False)(key, ABSENT, **how)
        return default if found is ABSENT else found


for _kind, _verbs in (
    (_AsyncSharing, ("get", "has_key", *_REMOVING, *_WRITING, *_READING)),
    (_AsyncLeaving, ("has_key", *_REMOVING, *_WRITING)),
):
    for _name, _verb in _hopping(*_verbs).items():
        setattr(_kind, _name, _verb)

_KINDS: Final[dict[str, tuple[type[Any], type[Any]]]] = {
    SHARING: (_Sharing, _AsyncSharing),
    LEAVING: (_Leaving, _AsyncLeaving),
}


def kinds(stage: str, old: OldSide, plain: tuple[type[Cache], type[AsyncCache]]) -> tuple[Any, Any]:
    """The classes of both caches for a stage, on top of those without it.

    Args:
        stage: see `stage_of`.
        old: django-redis's side.
        plain: the classes without it, which say what happens when the server is away.
    """
    of_stage, of_stage_async = _KINDS[stage]
    return (
        type(of_stage.__name__, (of_stage, plain[0]), {"old": old}),
        type(of_stage_async.__name__, (of_stage_async, plain[1]), {}),
    )


def bind(async_cache: Any, cache: Cache) -> None:
    """Tell the asynchronous cache of a stage which synchronous one does what concerns django-redis."""
    type(async_cache).twin = cache
