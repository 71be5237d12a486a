"""What an UPDATE or a DELETE bumps: the tags of the rows that it touches, as they were before, and as they are now.

The steps are those of `writes`. Where the statement touches so many rows that what stands for all is bumped, the rest
of them is not looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from django.db.models import BooleanField, Field
from django.db.models.expressions import RawSQL

from unstale.contrib.django.registry.bumps import Bumps
from unstale.contrib.django.registry.registrations import Group, Plan
from unstale.contrib.django.registry.rows import belonging, keys_named, locks_rows, may_change, of_keys, touched
from unstale.contrib.django.registry.templates import Row, meta

Values: TypeAlias = "tuple[tuple[Field[Any, Any], Any, Any], ...]"
"""What an UPDATE writes, as `UpdateQuery.values` has it: field, model, value."""


def delete(plan: Plan, compiler: Any, run: Callable[[], Any]) -> Any:
    """Run a DELETE and bump what it makes stale."""
    return _rewrite(plan, compiler, run, ())


def update(plan: Plan, compiler: Any, run: Callable[[], Any]) -> Any:
    """Run an UPDATE and bump what it makes stale: old tags and new ones."""
    return _rewrite(plan, compiler, run, tuple(compiler.query.values))


def _rewrite(plan: Plan, compiler: Any, run: Callable[[], Any], values: Values) -> Any:
    alias = compiler.connection.alias
    bumps = Bumps(alias)
    lefts = [bumps.left(concern) for concern in plan.concerns if concern.reads]
    if all(left is not None and left < 0 for left in lefts):
        result = run()
        bumps.all_parents(plan)
    else:
        limit = None if None in lefts else max(left for left in lefts if left is not None) + 1
        result = _rewrite_rows(plan, compiler.query, run, Look(bumps, alias, limit, values))
    bumps.send()
    return result


@dataclass(frozen=True, slots=True)
class Look:
    """How the rows of a statement are looked at.

    Attributes:
        bumps: what comes of it.
        alias: the database.
        limit: as many rows as this are so many that none of them matters.
        values: what an UPDATE writes.
    """

    bumps: Bumps
    alias: str
    limit: int | None
    values: Values

    def is_many(self, rows: list[Row]) -> bool:
        """Whether they are so many."""
        return self.limit is not None and len(rows) >= self.limit


def _rewrite_rows(plan: Plan, query: Any, run: Callable[[], Any], look: Look) -> Any:
    rows = _before(plan, query, look)
    others = [[] if look.is_many(rows) else belonging(group, rows, look.alias) for group in plan.others]
    count = len(rows)
    for group, old in zip(plan.groups, [rows, *others], strict=True):
        look.bumps.follow(group, old, count)
    result = run()
    again = _again(plan, query, rows, others, look)
    for group, old, new in zip(plan.groups, [rows, *others], again, strict=True):
        look.bumps.rows(group, old + new, count)
    return result


def _before(plan: Plan, query: Any, look: Look) -> list[Row]:
    """The rows that a statement is going to touch, as they are, locked. It will touch no others."""
    named, key = keys_named(query), meta(query.model).pk
    if named is not None and plan.rows.reading.columns.keys() <= {key.attname}:
        return [{"pk": value, key.attname: value} for value in named]
    rows = touched(query, plan.rows.reading, look.alias, look.limit)
    is_all = named is not None and len(set(named)) == len(rows)
    if locks_rows(look.alias) and not is_all and not look.is_many(rows):
        _restrict(query, [row["pk"] for row in rows])
    return rows


def _restrict(query: Any, keys: list[Any]) -> None:
    if keys:
        query.add_filter("pk__in", keys)
    else:  # an empty list raises EmptyResultSet, which not every caller awaits
        query.where.add(RawSQL("1 = 0", (), output_field=BooleanField()), "AND")


def _again(plan: Plan, query: Any, rows: list[Row], others: list[list[Row]], look: Look) -> list[list[Row]]:
    """The rows of each group as they are now, where a column that tags depend on may have changed."""
    nothing: list[list[Row]] = [[] for _ in plan.groups]
    if not look.values or look.is_many(rows):
        return nothing
    moved = _changes(plan.rows, look.values, rows)
    if moved and any(column in meta(query.model).pk_fields for column, _, _ in look.values):
        look.bumps.all_parents(plan)  # rows with other keys cannot be found again
        return nothing
    now = of_keys(plan.rows, [row["pk"] for row in rows], look.alias) if moved else []
    return [
        now,
        *(
            belonging(group, now or rows, look.alias) if moved or _changes(group, look.values, some) else []
            for group, some in zip(plan.others, others, strict=True)
        ),
    ]


def _changes(group: Group, values: Values, rows: list[Row]) -> bool:
    columns = group.reading.columns
    if any(column.generated for column in columns.values()) or group.reading.follows([each for each, _, _ in values]):
        return True
    return any(columns.get(column.attname) == column and may_change(column, value, rows) for column, _, value in values)
