"""Writing the outbox's rows, and removing them. Every row is found again by its database, its primary key and its mark.

A row is written in the very transaction that its invalidation belongs to, so there is one if and only if that was
committed. It is removed only after the invalidation has taken effect. A row too many costs a relay one bump in vain.

Whether a row that was written is there still, only the database knows: a savepoint that was made by its number or in
raw SQL is rolled back without a word to anybody. SQLite then gives its primary key to the next row, hence the mark.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable, Iterator
from typing import Any, Final

from django.db import DEFAULT_DB_ALIAS, Error, OperationalError, ProgrammingError, connections, router
from django.db.models import Q

from unstale.contrib.django.aliases import alias_of
from unstale.contrib.django.backend.engine import Engine
from unstale.contrib.django.outbox.models import Invalidation
from unstale.contrib.django.transactions.outbox_port import SAME
from unstale.contrib.django.transactions.owed import Owed, Row
from unstale.contrib.django.transactions.snapshots import is_lasting
from unstale.core.closing import Closing

_NO_TABLE: Final = "If the outbox's table is not there in the database {!r}: run manage.py migrate."
MAX_ROW_TAGS: Final = 1000
"""Tags in one row, about 100 KB at the most."""

BATCH: Final = 500
"""Rows that one query names."""

logger = logging.getLogger("unstale")


def write_with(
    connection: Any, engine: Engine, owed: Owed, names: tuple[str, ...], *, soft: bool, closing: Closing | None
) -> None:
    """Write a row in a connection's open transaction, if that database is to have it, and no row of it says as much."""
    if not holds(connection.alias, engine):
        return
    new = names if closing is not None else _unsaid(owed, names, soft=soft)
    written = _write(engine, new, connection.alias, soft=soft, owner=closing.owner if closing else "")
    owed.rows += written
    if closing is None:
        owed.queued.update({(one, soft): written[at // MAX_ROW_TAGS] for at, one in enumerate(new)})


def _unsaid(owed: Owed, names: tuple[str, ...], *, soft: bool) -> tuple[str, ...]:
    """The tags that no row says now: one that did may be gone. One that stands falls only with what is done now."""
    said = {one: owed.queued[one, soft] for one in names if (one, soft) in owed.queued}
    there = _there(said.values())
    gone = set(said.values()) - there
    owed.rows = [row for row in owed.rows if row not in gone]
    return tuple(one for one in names if said.get(one) not in there)


def _there(rows: Iterable[Row]) -> set[Row]:
    """Those of these rows that are there."""
    found: set[Row] = set()
    for using, batch in _batches(rows):
        marked = Invalidation.objects.using(using).filter(_these(batch)).values_list("mark", flat=True)
        marks = set(marked)
        found.update(row for row in batch if row.mark in marks)
    return found


def _these(batch: list[Row]) -> Q:
    return Q(pk__in=[row.key for row in batch], mark__in=[row.mark for row in batch])


def _batches(rows: Iterable[Row]) -> Iterator[tuple[str, list[Row]]]:
    """Rows by database, no more at a time than a query can name."""
    by_alias: dict[str, list[Row]] = {}
    for row in dict.fromkeys(rows):
        by_alias.setdefault(row.using, []).append(row)
    for using, each in by_alias.items():
        for at in range(0, len(each), BATCH):
            yield using, each[at : at + BATCH]


def holds(using: str, engine: Engine) -> bool:
    """Whether a database has the rows of its own transactions."""
    if engine.options.outbox != SAME:
        return engine.options.outbox == using
    return bool(router.allow_migrate_model(using, Invalidation))


def _write(engine: Engine, names: tuple[str, ...], using: str, *, soft: bool, owner: str) -> list[Row]:
    """One row; several only for more tags than one holds. A strict write's tags are few, and stay together."""
    size = len(names) if owner else MAX_ROW_TAGS
    alias = alias_of(engine, "OPTIONS['OUTBOX']")
    rows = Invalidation.objects.using(using)
    written = []
    try:
        for at in range(0, len(names), size):
            mark = secrets.token_hex(16)
            row = rows.create(cache=alias, tags=list(names[at : at + size]), soft=soft, owner=owner, mark=mark)
            written.append(Row(using, row.pk, mark))
    except (OperationalError, ProgrammingError) as error:
        if Invalidation._meta.db_table not in str(error):  # noqa: SLF001 - Django's documented API
            raise
        raise type(error)(f"{error} ({_NO_TABLE.format(using)})") from error  # of its kind: who tries again knows it
    return written


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
    if _holds_all(owed):
        return True
    kept = [keep(engine, closing.tags, using, soft=False, owner=closing.owner) for closing in owed.closings]
    kept += [
        keep(engine, tuple(sorted(tags)), using, soft=tags is owed.soft) for tags in (owed.hard, owed.soft) if tags
    ]
    return all(kept)


def _holds_all(owed: Owed) -> bool:
    """Whether rows were written for it, and all of them are there."""
    try:
        return bool(owed.rows) and _there(owed.rows) >= set(owed.rows)
    except Error as error:
        logger.error("unstale: the outbox cannot be looked at: %s", type(error).__name__)  # noqa: TRY400 - no values in a log
        return False


def forget(rows: Iterable[Row]) -> None:
    """Remove rows whose invalidations have taken effect. One that stays is done again by the relay, harmlessly."""
    for using, batch in _batches(rows):
        try:
            Invalidation.objects.using(using).filter(_these(batch)).delete()
        except Error as error:
            logger.warning("unstale: the outbox of %r keeps rows that are done: %s", using, type(error).__name__)
