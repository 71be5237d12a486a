"""Invalidation that knows database transactions.

    in autocommit, or in no block       at once
    inside atomic()                     at COMMIT; never, if the transaction or the savepoint is rolled back
    meanwhile, in this thread           what is invalidated neither hits nor fills

`TestCase`'s own wrapping block does not count. Each database's transaction is its own: where none is named, an
invalidation belongs to all that are open, and takes effect at each one's COMMIT. `waiting` has what waits, `snapshots`
what may not be stored, `outbox` what survives this process.

Under `set_autocommit(False)` Django tells nobody of a `commit()`: there an invalidation takes effect at once, and is to
be called after it. One in a block of `atomic()`, which commits nothing there, or of a registered model, takes effect at
once and again with `connection.commit()`: see `manual`. In asynchronous code Django opens no transaction, so
`ainvalidate` takes effect at once; called through `async_to_sync` inside `atomic()` it does not see the block around
it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from asgiref.sync import sync_to_async
from django.db import DEFAULT_DB_ALIAS, transaction

from unstale.contrib.django.backend.engine import ROOT_TAGS, Engine
from unstale.contrib.django.transactions.outbox_port import outbox_of
from unstale.contrib.django.transactions.owed import Owed
from unstale.contrib.django.transactions.snapshots import forbids_fill, open_connections
from unstale.contrib.django.transactions.waiting import dirty_tags, join, pending, settle
from unstale.core import capture
from unstale.core.keys import ROOT_TAGS as ROOTS
from unstale.core.keys import ancestry, check_tag
from unstale.errors import InvalidTagError, StoreError
from unstale.events import Invalidated, Queued

__all__ = [
    "Deferred",
    "Queued",
    "Result",
    "ainvalidate",
    "break_loaders",
    "forbids_fill",
    "invalidate",
    "is_dirty",
    "pending",
    "settle",
    "strict",
]


@dataclass(frozen=True, slots=True)
class Deferred:
    """An invalidation that takes effect at COMMIT."""

    tags: tuple[str, ...]


Result: TypeAlias = "Invalidated | Deferred | Queued"


def is_dirty(engine: Engine, key: str, names: tuple[str, ...]) -> bool:
    """Whether an open transaction of this thread has invalidated what a key depends on.

    That is a tag that the key declares, an ancestor of it, everything, or a tag that the stored entry has inherited:
    to see those the entry is looked at, which is one trip, and only while something is pending.

    Raises:
        StoreError: the entry cannot be looked at, and IGNORE_EXCEPTIONS is off.
    """
    settle()
    dirty = dirty_tags(engine)
    if not dirty:
        return False
    if not dirty.isdisjoint(ROOTS) or any(not dirty.isdisjoint(ancestry(name)) for name in names):
        return True
    try:
        entry = engine.cache.inspect(key, tags=names).entry
        return entry is not None and not dirty.isdisjoint(one.tag for one in entry.tags)
    except StoreError:
        if not engine.options.ignore_exceptions:
            raise
        return True


def invalidate(
    engine: Engine,
    names: tuple[str, ...],
    *,
    using: str | None = None,
    soft: bool = False,
    strict: bool | None = None,
) -> Result:
    """Invalidate tags by their whole names, now or at COMMIT.

    Args:
        engine: the cache's.
        names: the tags, or ROOT_TAGS for everything.
        using: the alias of the database whose transaction it belongs to; None for every one that is open.
        soft: see `Cache.invalidate`. A soft invalidation is never strict.
        strict: close the tags now, until COMMIT; None for what the cache's options say. Outside a block there is
            nothing to close them for, and ROOT_TAGS are never closed.

    Returns:
        What was done, or is going to be.

    Raises:
        InvalidTagError: a tag is bad, or there is none.
        ImproperlyConfigured: OPTIONS["OUTBOX"] names what is not there.
        StoreError: it has not taken effect, nobody knows, and no outbox has it; or strict, and the tags are not closed.
            A `Deferred` one raises at the end of its block instead, as a commit hook does.
    """
    _check(engine, names)
    settle()
    opened = open_connections(using)
    if not opened:
        return _at_once(engine, names, using, soft=soft)
    if not all(one.commit_on_exit for one in opened):
        engine.bump(names, soft=soft)
    is_strict = (engine.options.strict if strict is None else strict) and not soft and names != ROOT_TAGS
    for one in opened:
        _defer(engine, one, names, soft=soft, is_strict=is_strict)
    return Deferred(names)


def _check(engine: Engine, names: tuple[str, ...]) -> None:
    """Find a bad tag here, where the project's own line is, and not at COMMIT; and a bad outbox, not in an outage."""
    outbox_of(engine)
    if not names:
        raise InvalidTagError("Say which tags to invalidate, or call clear() for everything.")
    for name in names:
        if name not in ROOTS:
            check_tag(name)


def _at_once(engine: Engine, names: tuple[str, ...], using: str | None, *, soft: bool) -> Result:
    try:
        return engine.bump(names, soft=soft)
    except StoreError:
        if not _keep(engine, names, using, soft=soft):
            raise
        return Queued(names)


def _keep(engine: Engine, names: tuple[str, ...], using: str | None, *, soft: bool) -> bool:
    """Write to the outbox what could not be done at once; whether it has it."""
    outbox = outbox_of(engine)
    return outbox is not None and outbox.keep(engine, names, using or DEFAULT_DB_ALIAS, soft=soft)


def _defer(engine: Engine, connection: Any, names: tuple[str, ...], *, soft: bool, is_strict: bool) -> None:
    break_loaders()
    closing = engine.cache.begin_strict(*names, limit=engine.options.strict_limit) if is_strict else None
    owed = join(connection).owed.setdefault(engine, Owed())
    if closing is not None:
        owed.closings.append(closing)
    else:
        (owed.soft if soft else owed.hard).update(names)
    outbox = outbox_of(engine)
    if outbox is not None:
        outbox.write_with(connection, engine, owed, names, soft=soft, closing=closing)


def break_loaders() -> None:
    """A loader, whosever, that computes from what nobody may see yet is not stored.

    It has invalidated in an open transaction, or has asked, perhaps another cache, for what is dirty.
    """
    running = capture.running()
    while running is not None:
        running.broken = True
        running = running.outer


async def ainvalidate(
    engine: Engine,
    names: tuple[str, ...],
    *,
    using: str | None = None,
    soft: bool = False,
) -> Result:
    """Invalidate tags by their whole names, at once. Where that fails the outbox's row is written in a thread.

    Raises:
        InvalidTagError: a tag is bad, or there is none.
        ImproperlyConfigured: OPTIONS["OUTBOX"] names what is not there.
        StoreError: it has not taken effect, nobody knows, and no outbox has it.
    """
    _check(engine, names)
    try:
        return await engine.abump(names, soft=soft)
    except StoreError:
        if not engine.options.outbox or not await sync_to_async(_keep)(engine, names, using, soft=soft):
            raise
        return Queued(names)


@contextmanager
def strict(engine: Engine, names: tuple[str, ...], using: str | None = None) -> Iterator[None]:
    """Close tags, run a block inside `atomic()`, and open them after its COMMIT or its rollback.

    Inside another block of the same database they open with that one.

    Args:
        engine: the cache's.
        names: whole names of tags.
        using: the database's alias; the default one by default.

    Raises:
        StoreError: the tags could not be closed, and the block does not run; or as `invalidate`, at its end.
    """
    alias = using or DEFAULT_DB_ALIAS
    try:
        with transaction.atomic(using=alias):
            invalidate(engine, names, using=alias, strict=True)
            yield
    finally:
        settle()
