"""Writing the outbox's rows, and removing them. Every row is found again by a database's alias and its primary key.

A row is written in the very transaction that its invalidation belongs to, so there is one if and only if that was
committed. It is removed only after the invalidation has taken effect. A row too many costs a relay one bump in vain.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, Error, OperationalError, ProgrammingError, connections, router
from django.utils.module_loading import import_string

from unstale.contrib.django.backend.engine import Engine, engine_of
from unstale.contrib.django.backend.keyed import KeyedCache
from unstale.contrib.django.outbox.models import Invalidation
from unstale.contrib.django.transactions.outbox_port import SAME
from unstale.contrib.django.transactions.owed import Owed
from unstale.contrib.django.transactions.snapshots import is_lasting
from unstale.core.closing import Closing

_NO_TABLE: Final = "If the outbox's table is not there in the database {!r}: run manage.py migrate."
MAX_ROW_TAGS: Final = 1000
"""Tags in one row, about 100 KB at the most."""

logger = logging.getLogger("unstale")


def engines() -> dict[str, Engine]:
    """Our caches in CACHES, by alias: in whatever process, the same aliases mean the same caches."""
    found: dict[str, Engine] = {}
    for alias, params in settings.CACHES.items():
        kind = import_string(params["BACKEND"])
        if isinstance(kind, type) and issubclass(kind, KeyedCache):
            rest = {name: value for name, value in params.items() if name not in ("BACKEND", "LOCATION")}
            found[alias] = engine_of(params.get("LOCATION", ""), rest)
    return found


def alias_of(engine: Engine) -> str:
    """The alias of an engine's cache. Raises ImproperlyConfigured where CACHES has none: no relay would find it."""
    for alias, one in engines().items():
        if one is engine:
            return alias
    raise ImproperlyConfigured("OPTIONS['OUTBOX'] needs a cache that stands in CACHES.")


def write_with(
    connection: Any, engine: Engine, owed: Owed, names: tuple[str, ...], *, soft: bool, closing: Closing | None
) -> None:
    """Write a row in a connection's open transaction, if that database is to have it, and no row of it says as much."""
    if not holds(connection.alias, engine):
        return
    new = names if closing is not None else tuple(one for one in names if (one, soft) not in owed.queued)
    owed.rows += _write(engine, new, connection.alias, soft=soft, owner=closing.owner if closing else "")
    if closing is None:
        owed.queued.update((one, soft) for one in new)


def holds(using: str, engine: Engine) -> bool:
    """Whether a database has the rows of its own transactions."""
    if engine.options.outbox != SAME:
        return engine.options.outbox == using
    return bool(router.allow_migrate_model(using, Invalidation))


def _write(engine: Engine, names: tuple[str, ...], using: str, *, soft: bool, owner: str) -> list[tuple[str, int]]:
    """One row; several only for more tags than one holds. A strict write's tags are few, and stay together."""
    size = len(names) if owner else MAX_ROW_TAGS
    alias = alias_of(engine)
    rows = Invalidation.objects.using(using)
    try:
        return [
            (using, rows.create(cache=alias, tags=list(names[at : at + size]), soft=soft, owner=owner).pk)
            for at in range(0, len(names), size)
        ]
    except (OperationalError, ProgrammingError) as error:
        if Invalidation._meta.db_table not in str(error):  # noqa: SLF001 - Django's documented API
            raise
        raise type(error)(f"{error} ({_NO_TABLE.format(using)})") from error  # of its kind: who tries again knows it


def keep(engine: Engine, names: tuple[str, ...], using: str, *, soft: bool, owner: str = "") -> bool:
    """Write a row that is committed at once; whether it is there.

    Args:
        engine: the cache's.
        names: the tags.
        using: the database that it belongs to, where each has its own; else the outbox's alias counts.
        soft: as `invalidate`.
        owner: of a strict write.
    """
    alias = using if engine.options.outbox == SAME else engine.options.outbox
    if not holds(alias, engine):
        alias = DEFAULT_DB_ALIAS
    try:
        if not is_lasting(connections[alias]):
            return False
        _write(engine, names, alias, soft=soft, owner=owner)
    except Error as error:
        hint = f" ({_NO_TABLE.format(alias)})" if isinstance(error, OperationalError | ProgrammingError) else ""
        logger.error("unstale: the outbox of database %r did not take a row: %s%s", alias, type(error).__name__, hint)  # noqa: TRY400 - no values in a log
        return False
    return True


def takes_over(engine: Engine, owed: Owed, using: str) -> bool:
    """Whether the outbox has what is owed, after a COMMIT of this database: by its rows, or by rows written now."""
    if owed.rows:
        return True
    kept = [keep(engine, closing.tags, using, soft=False, owner=closing.owner) for closing in owed.closings]
    kept += [
        keep(engine, tuple(sorted(tags)), using, soft=tags is owed.soft) for tags in (owed.hard, owed.soft) if tags
    ]
    return all(kept)


def forget(rows: Iterable[tuple[str, int]]) -> None:
    """Remove rows whose invalidations have taken effect. One that stays is done again by the relay, harmlessly."""
    by_alias: dict[str, list[int]] = {}
    for alias, key in rows:
        by_alias.setdefault(alias, []).append(key)
    for alias, keys in by_alias.items():
        try:
            Invalidation.objects.using(alias).filter(pk__in=keys).delete()
        except Error as error:
            logger.warning("unstale: the outbox of %r keeps rows that are done: %s", alias, type(error).__name__)
