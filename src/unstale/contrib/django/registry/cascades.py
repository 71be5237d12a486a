"""What the rows of a cascade refer to, read before its first DELETE.

Django deletes from one table after the other, and a hundred rows at a time. So a row that is followed may be gone
before the DELETE of the rows that refer to it: in a tree, and where two models refer to each other. There, and only
there, rows are followed before anything is deleted, and what was found is kept until the end of the cascade.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeAlias

from django.db.models import Model
from django.db.models.sql.constants import GET_ITERATOR_CHUNK_SIZE

from unstale.contrib.django.registry.bumps import Bumps
from unstale.contrib.django.registry.registrations import Group, Plan, plan_of
from unstale.contrib.django.registry.rows import of_keys, touched
from unstale.contrib.django.registry.templates import Row, meta

Ahead: TypeAlias = tuple[Group, Callable[[], list[Row]]]
"""Rows of a cascade that refer to others of it: of which group, and what reads them."""


def rows_ahead(collector: Any) -> list[Ahead]:
    """The rows of a cascade that refer to rows which it may delete before them.

    Args:
        collector: Django's, with all that it is going to delete.
    """
    fast = [rows for rows in collector.fast_deletes if plan_of(rows.model) is not None]
    if not fast and all(plan_of(model) is None for model in collector.data):
        return []
    statements = _statements(collector)
    return [*_of_instances(collector, statements), *_of_querysets(fast, statements, collector.using)]


def _statements(collector: Any) -> Counter[type[Model]]:
    """How many DELETEs each table sees, or more."""
    counts: Counter[type[Model]] = Counter()
    for model, instances in collector.data.items():
        counts[meta(model).concrete_model] += 1 + len(instances) // (GET_ITERATOR_CHUNK_SIZE + 1)
    for rows in collector.fast_deletes:
        counts[meta(rows.model).concrete_model] += 1
    return counts


def _of_instances(collector: Any, statements: Counter[type[Model]]) -> Iterator[Ahead]:
    for model, instances in collector.data.items():
        plan = plan_of(model)
        if plan is not None and _may_be_late(plan, statements):
            yield plan.rows, partial(of_keys, plan.rows, [each.pk for each in instances], collector.using)


def _of_querysets(fast: list[Any], statements: Counter[type[Model]], alias: str) -> Iterator[Ahead]:
    for rows in fast:
        plan = plan_of(rows.model)
        if plan is not None and _may_be_late(plan, statements):
            yield plan.rows, partial(touched, rows.query, plan.rows.reading, alias, None)


def _may_be_late(plan: Plan, statements: Counter[type[Model]]) -> bool:
    """Whether another statement than the rows' own deletes from a table that is followed."""
    own = plan.rows.model
    return any(statements[each] > (each is own) for each in plan.rows.reading.followed_models())


def look(ahead: list[Ahead], alias: str) -> None:
    """Follow them, and keep what they refer to for their own DELETE, as part of the write that counts as one.

    Args:
        ahead: see `rows_ahead`.
        alias: the database.
    """
    bumps = Bumps(alias)
    for group, read in ahead:
        rows = read()
        bumps.follow(group, rows, len(rows))
        bumps.keep(group, rows)
