"""What an INSERT bumps: the tags of the new rows, and with `update_conflicts` those of the rows that it overwrites.

The tags of new rows are known from the instances, without a query, unless a value is an expression or of a kind that
the database may change (a decimal); then the rows are read again by their keys. Where nobody can say which rows they
are (an expression, and `ignore_conflicts`), what stands for all rows is bumped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.db.models import Field, Q, QuerySet
from django.db.models.constants import OnConflict
from django.db.models.sql import InsertQuery

from unstale.contrib.django.registry.bumps import Bumps
from unstale.contrib.django.registry.registrations import Group, Plan
from unstale.contrib.django.registry.rows import belonging, in_batches, locking, locks_rows, of_keys, settle
from unstale.contrib.django.registry.templates import Row, meta


def insert(plan: Plan, compiler: Any, run: Callable[[], Any]) -> Any:
    """Run an INSERT and bump what it makes stale.

    Args:
        plan: what it concerns.
        compiler: of the statement.
        run: executes it.
    """
    query, alias = compiler.query, compiler.connection.alias
    bumps = Bumps(alias)
    many = all(bumps.is_many(concern, len(query.objs)) or not concern.reads for concern in plan.concerns)
    if query.on_conflict is OnConflict.UPDATE and not many:
        return _upsert(plan, query, bumps, alias, run)
    returned = run()
    rows = [] if many else _written(plan.rows, compiler, returned)
    if rows is None:
        bumps.all_parents(plan)
    else:
        others = [(group, belonging(group, rows, alias)) for group in plan.others if group.key != "pk"]
        for group, some in [(plan.rows, rows), *others]:
            bumps.rows(group, some, len(query.objs))
    bumps.send()
    return returned


def _written(group: Group, compiler: Any, returned: Sequence[Any]) -> list[Row] | None:
    """The new rows; None if nobody can say which they are."""
    objects, columns = compiler.query.objs, compiler.returning_fields or ()
    found = [dict(zip(columns, each, strict=False)) for each in returned]
    if len(found) != len(objects):
        found = [{} for _ in objects]
    rows = [_row(group, each, values) for each, values in zip(objects, found, strict=True)]
    if None not in rows:
        return [row for row in rows if row is not None]
    if compiler.query.on_conflict is not None:
        return None
    key = meta(group.model).pk
    keys = [values.get(key, each.pk) for each, values in zip(objects, found, strict=True)]
    return None if None in keys else of_keys(group, keys, compiler.connection.alias)


def _row(group: Group, instance: Any, returned: dict[Field[Any, Any], Any]) -> Row | None:
    """A row as an instance and what the INSERT returned say it; None if they don't."""
    row: Row = {"pk": returned.get(meta(group.model).pk, instance.pk)}
    for name, column in group.reading.columns.items():
        known, value = (True, returned[column]) if column in returned else settle(column, getattr(instance, name))
        if not known or (value is None and column.primary_key):
            return None
        row[name] = value
    return row


def _upsert(plan: Plan, query: InsertQuery, bumps: Bumps, alias: str, run: Callable[[], Any]) -> Any:
    """Run an INSERT … ON CONFLICT … UPDATE: rows that are there already move from old tags to new ones.

    A row that another transaction inserts between our look and our INSERT was not seen as it was before. So where a
    column that tags depend on is overwritten and not all rows were there, what stands for all rows is bumped as well,
    if anything does.
    """
    chosen = _unique(query)
    if chosen is None:
        returned = run()
        bumps.all_parents(plan)
        bumps.send()
        return returned
    overwritten = {column.attname for column in query.update_fields}
    moves = any(
        overwritten & each.reading.columns.keys() or each.reading.follows(query.update_fields) for each in plan.groups
    )
    before = _chosen(plan, chosen, alias) if moves else {}
    for number, rows in before.items():
        bumps.follow(plan.groups[number], rows, len(query.objs))
    returned = run()
    after = _chosen(plan, chosen, alias)
    for number, group in enumerate(plan.groups):
        bumps.rows(group, before.get(number, []) + after[number], len(query.objs))
    if moves and locks_rows(alias) and len(before[0]) < len(query.objs):
        for concern in plan.concerns:
            if concern.parents is not None:
                bumps.parents(concern)
    bumps.send()
    return returned


def _unique(query: InsertQuery) -> list[Q] | None:
    """A condition for each instance: the row that it would conflict with. None if that cannot be said."""
    conditions = []
    for instance in query.objs:
        values = [(column, *settle(column, getattr(instance, column.attname))) for column in query.unique_fields]
        if not values or any(not known or value is None for _, known, value in values):
            return None
        conditions.append(Q(**{column.attname: value for column, _, value in values}))
    return conditions


def _chosen(plan: Plan, chosen: list[Q], alias: str) -> dict[int, list[Row]]:
    """The rows of each group, by its number."""
    group, rows = plan.rows, []
    for some in in_batches(chosen):
        condition = Q()
        for each in some:
            condition |= each
        found = locking(QuerySet(group.model, using=alias).filter(condition), alias)
        rows += list(found.values("pk", *group.reading.columns))
    return {0: rows, **{number: belonging(each, rows, alias) for number, each in enumerate(plan.others, 1)}}
