"""The rows that a write is about to touch, or has touched: what their tags depend on, read from the database.

Never from memory alone where the database can know better: an instance may be older than its row. Rows are locked
where the database locks rows (FOR NO KEY UPDATE where it has that), until COMMIT: otherwise another transaction could
move a row to another user between our look and our write, and that user's cached page would keep the row.

The rows that a foreign key refers to are locked as well, for the same reason: one query for each relation followed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, TypeAlias
from uuid import UUID

from django.db import connections
from django.db.models import Field, ForeignKey, Model, QuerySet, fields
from django.db.models.lookups import Exact, In
from django.db.models.sql import Query

from unstale.contrib.django.registry.registrations import Group
from unstale.contrib.django.registry.templates import Reading, Row, meta

Gone: TypeAlias = "dict[Reading, dict[Any, Row]]"
"""Followed rows as they were before the write that deletes them, by what was read, and by what refers to them."""
BATCH: Final = 500
"""Values in one IN (…): SQLite took no more than 999 for long."""
_EXACT: Final = frozenset(
    {
        *(fields.AutoField, fields.BigAutoField, fields.SmallAutoField),
        *(fields.IntegerField, fields.BigIntegerField, fields.SmallIntegerField),
        *(fields.PositiveIntegerField, fields.PositiveBigIntegerField, fields.PositiveSmallIntegerField),
        *(fields.CharField, fields.SlugField, fields.TextField, fields.EmailField, fields.URLField),
        *(fields.BooleanField, fields.UUIDField),
    }
)
"""Django's own fields whose `to_python` gives what the database will. A subclass may do as it likes."""
_KEPT: Final = frozenset({str, int, bool, UUID})
"""Types whose values come back from the database as they are. A subclass may have a text of its own: an enumeration."""


def in_batches(values: Iterable[Any]) -> Iterator[list[Any]]:
    """Cut into lists of BATCH."""
    every = list(values)
    return (every[start : start + BATCH] for start in range(0, len(every), BATCH))


def locks_rows(alias: str) -> bool:
    """Whether SELECT … FOR UPDATE does something there. On SQLite one transaction writes at a time."""
    return bool(connections[alias].features.has_select_for_update)


def locking(rows: QuerySet[Any], alias: str) -> QuerySet[Any]:
    """The same rows, locked where the database can."""
    features = connections[alias].features
    return rows.select_for_update(no_key=bool(features.has_select_for_no_key_update))


def touched(query: Query, reading: Reading, alias: str, limit: int | None) -> list[Row]:
    """The rows that an UPDATE or DELETE is going to touch.

    Args:
        query: the statement's.
        reading: what to read of them.
        alias: the database.
        limit: no more than this many; None for all.
    """
    found = query.chain(klass=Query)  # as SQLUpdateCompiler.pre_sql_setup does
    found.select_related = False
    found.clear_ordering(force=True)
    rows = QuerySet(query.model, query=found, using=alias)
    if not _is_plain(found):
        inner = rows.values("pk")
        rows = QuerySet(query.model, using=alias).filter(pk__in=inner)
    rows = locking(rows, alias).values("pk", *reading.columns)
    can_limit = not locks_rows(alias) or connections[alias].features.supports_select_for_update_with_limit
    return list(rows if limit is None or not can_limit else rows[:limit])


def _is_plain(query: Query) -> bool:
    """Whether the query is on its own table alone, so that its rows can be locked."""
    tables = sum(count > 0 for count in query.alias_refcount.values())
    return tables <= 1 and query.group_by is None and not query.distinct and not query.combinator and not query.extra


def of_keys(group: Group, keys: Iterable[Any], alias: str) -> list[Row]:
    """The rows of a group that belong to written rows, by their keys."""
    return [
        row
        for some in in_batches({key for key in keys if key is not None})
        for row in locking(QuerySet(group.model, using=alias).filter(**{f"{group.lookup}__in": some}), alias).values(
            "pk", *group.reading.columns
        )
    ]


def belonging(group: Group, rows: Iterable[Row], alias: str) -> list[Row]:
    """The rows of a group that belong to written rows."""
    return of_keys(group, [row[group.key] for row in rows], alias)


def follow(reading: Reading, rows: Sequence[Row], alias: str, gone: Gone) -> None:
    """Read what rows refer to, into them: one query for each relation. What was read already stays as it is.

    Args:
        reading: what is read.
        rows: into which.
        alias: the database.
        gone: rows that may have been deleted meanwhile.
    """
    for key, further in reading.followed.items():
        left = [row for row in rows if key not in row]
        found = _referred(key, further, {row[key.attname] for row in left} - {None}, alias)
        follow(further, list(found.values()), alias, gone)
        before = gone.get(further, {})
        for row in left:
            row[key] = found.get(row[key.attname], before.get(row[key.attname]))


def keep(reading: Reading, rows: Iterable[Row], gone: Gone) -> None:
    """Keep what was followed, for when it is deleted."""
    every = list(rows)
    for key, further in reading.followed.items():
        referred = {row[key.attname]: row[key] for row in every if row.get(key) is not None}
        gone.setdefault(further, {}).update(referred)
        keep(further, referred.values(), gone)


def _referred(key: Field[Any, Any], further: Reading, values: Iterable[Any], alias: str) -> dict[Any, Row]:
    target, model = key.target_field.attname, key.remote_field.model
    return {
        row[target]: row
        for some in in_batches(sorted(values, key=repr))  # in one order everywhere: fewer deadlocks
        for row in locking(QuerySet(model, using=alias).filter(**{f"{target}__in": some}), alias)
        .order_by(target)
        .values(target, *further.columns)
    }


def keys_named(query: Query) -> list[Any] | None:
    """The primary keys that a statement names in so many words, `pk = 5` or `pk IN (…)`; None if it says anything else.

    The rows with these keys are all that it can touch.
    """
    where, key = query.where, meta(query.model).pk
    if where.negated or len(where.children) != 1 or not isinstance(lookup := where.children[0], Exact | In):
        return None
    if getattr(lookup.lhs, "target", None) != key or not lookup.rhs_is_direct_value():
        return None
    if not _is_plain(query) or lookup.lhs.alias != query.get_initial_alias():
        return None  # a row of the same table that is joined, such as a row's child in a tree
    given = list(lookup.rhs) if isinstance(lookup, In) else [lookup.rhs]
    settled = [settle(key, value) for value in given]
    return [value for _, value in settled] if all(known for known, _ in settled) else None


def settle(column: Field[Any, Any], value: Any) -> tuple[bool, Any]:
    """What the database will hold for a value.

    Args:
        column: the field.
        value: as an instance has it.

    Returns:
        Whether that is certain, and the value: an expression is not, nor is a decimal, which the column may round.
    """
    if value is None:
        return True, None
    while isinstance(column, ForeignKey):
        column = column.target_field
    if type(column) not in _EXACT or hasattr(value, "resolve_expression") or isinstance(value, Model):
        return False, None
    held = bare(column.to_python(value))
    return (True, held) if held is None or type(held) in _KEPT else (False, None)


def bare(value: Any) -> Any:
    """A text or a number as the database has it, not as a subclass words it: `str(Status.PAID)` is "Status.PAID"."""
    if isinstance(value, str):
        return str.__str__(value)
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else value


def may_change(column: Field[Any, Any], value: Any, rows: Iterable[Row]) -> bool:
    """Whether an UPDATE of a column changes what it holds in any of these rows."""
    if isinstance(value, Model) and column.remote_field:
        value = value.prepare_database_save(column)
    known, held = settle(column, value)
    return not known or any(row[column.attname] != held for row in rows)
