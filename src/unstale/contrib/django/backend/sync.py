"""`UnstaleCache`: Django's cache API over the core's cache, synchronous half. It translates and delegates.

A stale entry is absent to every verb. Values are pickled and signed with a key derived from SECRET_KEY; integers travel
as counters. `close()` at a request's end closes nothing: connections are the process's.

Inside `atomic()`, what was invalidated there neither hits nor fills before COMMIT, and takes effect with it:
`transactions` says how.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NoReturn

from django.core.cache.backends.base import DEFAULT_TIMEOUT

from unstale.cache import Cache
from unstale.contrib.django import transactions
from unstale.contrib.django.backend.engine import ROOT_TAGS, Plan, to_remove
from unstale.contrib.django.backend.keyed import KeyedCache
from unstale.contrib.django.transactions.waiting import busy
from unstale.errors import AbsentError, EncodeError, StoreError

MISSING: Final = object()


class SyncCache(KeyedCache):
    """The synchronous verbs."""

    @property
    def core(self) -> Cache:
        """The core's cache: for what Django's API has no word for. Its keys and tags are whole names."""
        transactions.settle()
        return self._engine.cache

    def get(self, key: Any, default: Any = None, version: int | None = None, *, tags: Sequence[str] = ()) -> Any:
        """Read a fresh value, in one trip.

        Args:
            key: the key.
            default: what to return where there is none.
            version: of the key; VERSION by default.
            tags: tags that the entry must record besides those of TAG_PATTERNS. A `set` that follows is held to what is
                seen of these.

        Raises:
            StoreError: the server is away, and IGNORE_EXCEPTIONS is off.
        """
        plan = self._plan_of(key, version)
        names = self._tags(plan, tags, version) if tags else plan.tags
        if names is None or (busy and transactions.pending() and self._is_dirty(plan.key, names)):
            return default
        value = self._engine.cache.get(plan.key, MISSING, tags=names)
        if value is MISSING:
            if plan.role.page_key:
                self._look_at_page(plan)
            return default
        return value

    def _look_at_page(self, plan: Plan) -> None:
        """Before a page's view runs: look at the tags that the page will carry, for its `set`."""
        role = plan.role
        if role.page_tags is not None:
            self._engine.cache.observe(role.page_key, tags=self._engine.page_tags(role.page_key, role.page_tags))

    def get_many(self, keys: Iterable[Any], version: int | None = None) -> dict[Any, Any]:
        """Read many keys in one trip; what is not fresh is left out."""
        plans = {key: self._plan_of(key, version) for key in keys}
        tags = self._readable(plans)
        return self._by_given(plans, self._engine.cache.get_many(tags, tags=tags.__getitem__))

    def _readable(self, plans: Mapping[Any, Plan]) -> dict[str, tuple[str, ...]]:
        """The made keys that may be read now, with their tags."""
        tags = {plan.key: plan.tags for plan in plans.values() if plan.tags is not None}
        if transactions.pending():
            tags = {key: names for key, names in tags.items() if not self._is_dirty(key, names)}
        return tags

    def _by_given(self, plans: Mapping[Any, Plan], found: Mapping[str, Any]) -> dict[Any, Any]:
        return {given: found[plan.key] for given, plan in plans.items() if plan.key in found}

    def has_key(self, key: Any, version: int | None = None) -> bool:
        """Whether there is a fresh entry."""
        plan = self._plan_of(key, version)
        if plan.tags is None or (transactions.pending() and self._is_dirty(plan.key, plan.tags)):
            return False
        return self._engine.cache.has_key(plan.key, tags=plan.tags)

    def get_or_set(
        self,
        key: Any,
        default: Any,
        timeout: Any = DEFAULT_TIMEOUT,
        version: int | None = None,
        *,
        tags: Sequence[str] = (),
    ) -> Any:
        """Read a fresh value, or call `default` (or take it) and store that under the stamps as they were before.

        One loader a key runs at a time, over all processes. See `unstale.Cache.get_or_set`.
        """
        plan = self._plan_of(key, version)
        names, ttl = self._tags(plan, tags, version), self._ttl(timeout)
        loader = default if callable(default) else lambda: default
        if names is None or ttl == 0 or self._may_not_fill(plan.key, names):
            value = self.get(key, MISSING, version, tags=tags)
            return loader() if value is MISSING else value
        try:
            return self._engine.closures.get_or_set(plan.key, loader, tags=names, ttl=ttl)
        except EncodeError as error:
            reraise(error)

    def _is_dirty(self, key: str, names: tuple[str, ...]) -> bool:
        """Whether this thread's open transaction has invalidated what a key depends on. It is then not looked up."""
        if not transactions.is_dirty(self._engine, key, names):
            return False
        self._engine.cache.shun(key, tags=names)
        transactions.break_loaders()
        return True

    def _may_not_fill(self, key: str, names: tuple[str, ...]) -> bool:
        """Whether what is computed now must not be stored: it may be uncommitted, or of an old snapshot."""
        return transactions.forbids_fill() or (transactions.pending() and self._is_dirty(key, names))

    def set(  # noqa: PLR0913, PLR0917 - Django's and django-redis's arguments
        self,
        key: Any,
        value: Any,
        timeout: Any = DEFAULT_TIMEOUT,
        version: int | None = None,
        client: Any = None,  # noqa: ARG002 - django-redis's
        nx: bool = False,  # noqa: FBT001, FBT002 - django-redis's
        xx: bool = False,  # noqa: FBT001, FBT002 - django-redis's
        *,
        tags: Sequence[str] = (),
    ) -> bool:
        """Store a value; whether it was stored.

        Args:
            key: the key.
            value: what pickle takes.
            timeout: seconds fresh; None for no limit; 0 or less removes the key.
            version: of the key.
            client: not used; django-redis has it.
            nx: only if there is no fresh entry.
            xx: only if there is one.
            tags: besides those of TAG_PATTERNS. The `get` before must have named them, too: of others what stands now
                counts, though they were invalidated since.

        Returns:
            False where it was refused: a tag was invalidated since it was looked at, or in the open transaction; or the
            transaction sees an old snapshot. What was there before is then gone, too, since it is older.

        Raises:
            pickle.PicklingError, TypeError, AttributeError: as pickle does.
            StoreError: the server did not do it, and IGNORE_EXCEPTIONS is off.
        """
        plan = self._plan_of(key, version)
        names, ttl = self._tags(plan, tags, version), self._ttl(timeout)
        try:
            if ttl == 0:
                return not self.has_key(key, version) if nx else self._engine.cache.delete(plan.key, tags=names or ())
            if names is None or (plan.role.computed and self._is_refused(plan.key, names, nx=nx)):
                return False
            return self._store(plan, names, value, ttl, nx=nx, xx=xx)
        except EncodeError as error:
            reraise(error)
        except StoreError:
            if not self._engine.options.ignore_exceptions:
                raise
            return False

    def _is_refused(self, key: str, names: tuple[str, ...], *, nx: bool) -> bool:
        """Whether a value is not stored for this transaction's sake. What it was to replace then goes as well.

        `add` replaces nothing. Without tags it is a lock or a mark, which is computed from no snapshot.
        """
        if nx:
            is_dirty = transactions.pending() and self._is_dirty(key, names)
            return is_dirty or (bool(names) and transactions.forbids_fill())
        if not self._may_not_fill(key, names):
            return False
        self._engine.cache.delete(key, tags=names)
        return True

    def _store(self, plan: Plan, names: tuple[str, ...], value: Any, ttl: float | None, *, nx: bool, xx: bool) -> bool:
        cache, role = self._engine.cache, plan.role
        if nx:
            return cache.add(plan.key, value, tags=names, ttl=ttl, computed=role.computed)
        if xx:
            return cache.replace(plan.key, value, tags=names, ttl=ttl)
        if not role.looked_under or self._engine.has_looked(plan.key, names):
            return cache.set(plan.key, value, tags=names, ttl=ttl, computed=role.computed)
        if cache.set(plan.key, value, tags=names, ttl=ttl, looked_under=role.looked_under):
            return True
        self._engine.learn_page(role.looked_under, names)
        return False

    def add(
        self,
        key: Any,
        value: Any,
        timeout: Any = DEFAULT_TIMEOUT,
        version: int | None = None,
        *,
        tags: Sequence[str] = (),
    ) -> bool:
        """Store a value only if there is no fresh entry; whether it was stored. See `set`."""
        return self.set(key, value, timeout, version, nx=True, tags=tags)

    def set_many(
        self, data: Mapping[Any, Any], timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> list[Any]:
        """Store many values in one trip; the keys that were not stored."""
        plans = {key: self._plan_of(key, version) for key in data}
        ttl = self._ttl(timeout)
        try:
            if ttl == 0:
                gone = to_remove(plans.values())
                self._engine.cache.delete_many(gone, tags=gone.__getitem__)
                return []
            tags = self._storable(plans)
            refused = to_remove(plan for plan in plans.values() if plan.key not in tags and plan.tags is not None)
            if refused:  # as one that is set alone: what was to be replaced goes
                self._engine.cache.delete_many(refused, tags=refused.__getitem__)
            values = {plan.key: data[key] for key, plan in plans.items() if plan.key in tags}
            unstored = set(self._engine.cache.set_many(values, tags=tags.__getitem__, ttl=ttl)) if values else set()
        except EncodeError as error:
            reraise(error)
        except StoreError:
            if not self._engine.options.ignore_exceptions:
                raise
            return list(data)
        return [key for key, plan in plans.items() if plan.key not in tags or plan.key in unstored]

    def _storable(self, plans: Mapping[Any, Plan]) -> dict[str, tuple[str, ...]]:
        """The made keys for which a value may be stored now, with their tags. Pages go one by one: see `set`."""
        return {
            plan.key: plan.tags
            for plan in plans.values()
            if plan.tags is not None
            and not plan.role.looked_under
            and not (plan.role.computed and self._may_not_fill(plan.key, plan.tags))
        }

    def touch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        """Give a fresh entry a new timeout, from now; its stamps then live as long. Whether there was one."""
        plan = self._plan_of(key, version)
        ttl = self._ttl(timeout)
        if ttl == 0:
            return self._engine.cache.delete(plan.key, tags=plan.tags or ())
        if plan.tags is None or (transactions.pending() and self._is_dirty(plan.key, plan.tags)):
            return False
        try:
            return self._engine.cache.touch(plan.key, ttl, tags=plan.tags)
        except StoreError:
            if not self._engine.options.ignore_exceptions:
                raise
            return False

    def incr(
        self,
        key: Any,
        delta: int = 1,
        version: int | None = None,
        client: Any = None,  # noqa: ARG002 - django-redis's
        ignore_key_check: bool = False,  # noqa: FBT001, FBT002 - django-redis's
    ) -> int:
        """Add to an integer, by one script that checks its stamps; its timeout stays.

        Args:
            key: the key.
            delta: what to add.
            version: of the key.
            client: not used; django-redis has it.
            ignore_key_check: begin from 0, without a timeout, where there is no fresh entry.

        Raises:
            ValueError: there is no fresh entry.
            TypeError: it is no integer from -(2**53 - 1) to 2**53 - 1.
            StoreError: the server did not do it, or nobody knows whether it did.
        """
        plan = self._plan_of(key, version)
        if plan.tags is None or (transactions.pending() and self._is_dirty(plan.key, plan.tags)):
            raise ValueError(f"Key {key!r} not found")
        initial = 0 if ignore_key_check else None
        try:
            return self._engine.cache.incr(plan.key, delta, initial=initial, tags=plan.tags, ttl=None)
        except AbsentError:
            raise ValueError(f"Key {key!r} not found") from None

    def decr(self, key: Any, delta: int = 1, version: int | None = None, **options: Any) -> int:
        """Subtract; see `incr`."""
        return self.incr(key, -delta, version, **options)

    def incr_version(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        """Move a value to another version of its key, with its timeout; the new version. Raises ValueError."""
        version = self.version if version is None else version
        plan = self._plan_of(key, version)
        value, left = self.get(key, MISSING, version), self._engine.cache.ttl(plan.key, tags=plan.tags or ())
        if value is MISSING or left is None:
            raise ValueError(f"Key {key!r} not found")
        self.set(key, value, None if left == float("inf") else left, version + delta)
        self.delete(key, version)
        return version + delta

    def delete(self, key: Any, version: int | None = None) -> bool:
        """Remove an entry, and stop whoever is filling it from storing; whether a fresh one was there. At once."""
        plan = self._plan_of(key, version)
        return self._engine.cache.delete(plan.key, tags=plan.tags or ())

    def delete_many(self, keys: Iterable[Any], version: int | None = None) -> int | None:
        """Remove entries in one trip; how many there were. None for no keys, as in Django."""
        gone = to_remove(self._plan_of(key, version) for key in keys)
        return self._engine.cache.delete_many(gone, tags=gone.__getitem__) if gone else None

    def clear(self) -> bool:
        """Make every entry of this cache stale: sixteen small writes in one trip. Nothing else in the database goes.

        Outside `atomic()` it begins anew: what this request or thread saw, and would hold a `set` to, is forgotten.
        """
        done = transactions.invalidate(self._engine, ROOT_TAGS)
        if not isinstance(done, transactions.Deferred):  # what is computed until COMMIT may never come to be
            self._engine.lapse()
        return True

    def invalidate(
        self,
        *tags: str,
        version: int | None = None,
        using: str | None = None,
        soft: bool = False,
        strict: bool | None = None,
    ) -> transactions.Result:
        """Make every entry that carries one of these tags stale: one small write a tag, in one trip.

        Inside `atomic()` it takes effect at COMMIT (after the last open block where no database is named), and not if
        the transaction, or the savepoint that it was called in, is rolled back. Elsewhere it takes effect at once.

        Args:
            tags: as TAG_PATTERNS and `tags=` name them, such as "user:42".
            version: of the keys; VERSION by default.
            using: the database whose transaction it belongs to.
            soft: entries with a stale ttl may be served while they are loaded anew.
            strict: close the tags now, before COMMIT, so that no reader sees what was before once another can see what
                is after. OPTIONS["STRICT"] by default.

        Returns:
            `Invalidated` where it has taken effect, `Deferred` where it will at COMMIT, `Queued` where the outbox, or
            the queue, has it.

        Raises:
            StoreError: it has not taken effect, nobody knows, and there is no outbox or queue. Call it again.
        """
        names = tuple(self.tag(name, version) for name in tags)
        return transactions.invalidate(self._engine, names, using=using, soft=soft, strict=strict)

    def close(self, **_: Any) -> None:
        """At a request's end, in its thread. Connections are the process's: none is closed.

        What the request saw and did not set is forgotten: it must not keep a later request's value from being stored.
        """
        transactions.settle()
        self._engine.lapse()


def reraise(error: EncodeError) -> NoReturn:
    """What pickle itself raised, as Django's other backends let it pass."""
    raise error.__cause__ or error
