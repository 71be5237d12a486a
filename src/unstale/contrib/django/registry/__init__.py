"""Models to tags: which rows make which cached values stale, said once, in one place.

    from unstale.contrib.django import invalidates

    class ShopConfig(AppConfig):
        def ready(self):
            invalidates(Order, "user:{user_id}", "user:{user_id}/orders", parent="orders")

From then on every write of the ORM to that model invalidates the tags of the rows that it touches, in its transaction:
`save`, `delete`, `bulk_create`, `bulk_update`, `QuerySet.update` and `.delete`, related managers, many-to-many changes,
cascades, and the asynchronous verbs, which call these. How: `writes`. Raw SQL is not seen: `invalidate_for(rows)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from django.db import models, router

from unstale.contrib.django.registry.bumps import Bumps
from unstale.contrib.django.registry.checking import findings
from unstale.contrib.django.registry.registrations import Plan, Registration, add, plan_of
from unstale.contrib.django.registry.rows import bare, belonging, settle
from unstale.contrib.django.registry.templates import Row, meta
from unstale.contrib.django.registry.writes import install, own_transaction
from unstale.errors import ConfigurationError

__all__ = ["Registration", "findings", "invalidate_for", "invalidates"]


def invalidates(
    model: type[models.Model],
    *templates: str,
    cache: str = "default",
    parent: str | None = None,
    above: int | None = 100,
) -> Registration:
    """Let each write to a model invalidate the tags of the rows that it touches.

    A write that changes a column named in a template invalidates the old tag and the new one. A write takes effect with
    its transaction; in autocommit it opens one for itself.

    Args:
        model: the model; a proxy stands for its model. Its children, with tables of their own, count as well.
        templates: of tags, such as "user:{user_id}/orders"; "{user.profile_id}" follows a foreign key, at the price of
            one query. A None or empty value makes no tag.
        cache: the alias of the cache.
        parent: a tag that every entry with one of these tags carries as well. A write of many rows invalidates it in
            place of theirs. By default the fixed part before a template's first slash with a placeholder: "orders" for
            "orders/{id}".
        above: how many rows are not yet many; None: a write bumps the tags of each, however many.

    Returns:
        The registration: `unregister()` takes it back, and so does the end of a `with` statement, in tests. The same
        one made twice has no more effect than once.

    Raises:
        ConfigurationError: a template cannot be read, or the model is abstract. What it names is looked up later, since
            models may not be loaded yet: by the checks, and by the first write.
    """
    given: object = model
    if not (isinstance(given, type) and issubclass(given, models.Model)) or meta(model).abstract:
        raise ConfigurationError(f"invalidates() takes a model that has a table, not {model!r}.")
    if not templates:
        raise ConfigurationError(f"invalidates({model.__name__}) names no tag: add one, such as 'user:{{user_id}}'.")
    made = Registration(model, tuple(templates), cache, parent or "", above)
    made.read()
    install()
    add(made)
    return made


def invalidate_for(
    rows: Iterable[Any],
    model: type[models.Model] | None = None,
    *,
    fields: Sequence[str] | None = None,
    using: str | None = None,
) -> None:
    """Invalidate the tags of rows that were written past the ORM: by raw SQL, COPY, a trigger.

    Call it in the transaction of the write, and give the rows as they were, too, where a column named in a template has
    changed. What it is given is believed: nothing is read but rows that a foreign key refers to.

    Args:
        rows: instances, dicts, or tuples: of `values_list(named=True)`, or any with `fields`.
        model: of the rows; needed unless they are instances.
        fields: names of the tuples' values.
        using: the database; by default the one that the model is written to.

    Raises:
        ConfigurationError: a row lacks a column that a template names, or nobody said what its values are.
        StoreError: see `UnstaleCache.invalidate`.
    """
    by_model: dict[type[models.Model], list[Any]] = {}
    for row in rows:
        kind = model or type(row)
        if not issubclass(kind, models.Model):
            raise ConfigurationError("invalidate_for(rows) needs the model of rows that are no instances: model=….")
        by_model.setdefault(kind, []).append(row)
    for kind, some in by_model.items():
        plan = plan_of(kind)
        if plan is not None:
            _invalidate(plan, some, fields, using or router.db_for_write(kind))


def _invalidate(plan: Plan, rows: list[Any], fields: Sequence[str] | None, alias: str) -> None:
    bumps = Bumps(alias)
    with own_transaction(alias):
        if all(bumps.is_many(concern, len(rows)) or not concern.reads for concern in plan.concerns):
            bumps.all_parents(plan)
        else:
            read = [_row(plan, row, fields) for row in rows]
            bumps.rows(plan.rows, read, len(rows))
            for group in plan.others:
                bumps.rows(group, belonging(group, read, alias), len(rows))
        bumps.send()


def _row(plan: Plan, given: Any, fields: Sequence[str] | None) -> Row:
    """A row that the caller gave, with what is needed of it."""
    look = _by_name(given, fields)
    columns = dict(plan.rows.reading.columns)
    if any(group.key == "pk" for group in plan.others):
        columns["pk"] = meta(plan.rows.model).pk
    return {name: _value(plan.rows.model, column, look) for name, column in columns.items()}


def _by_name(given: Any, fields: Sequence[str] | None) -> Callable[[str], Any]:
    if isinstance(given, models.Model):
        return partial(getattr, given)
    if isinstance(given, Mapping):
        return given.__getitem__
    if fields is None and not hasattr(given, "_asdict"):
        raise ConfigurationError("invalidate_for(rows) needs the names of a tuple's values: fields=[…].")
    return dict(zip(fields or given._fields, given, strict=True)).__getitem__


def _value(model: type[models.Model], column: models.Field[Any, Any], look: Callable[[str], Any]) -> Any:
    for name in (column.attname, column.name, *(("pk",) if column.primary_key else ())):
        try:
            value = look(name)
        except (KeyError, AttributeError):
            continue
        if isinstance(value, models.Model):
            value = getattr(value, column.target_field.attname)
        known, settled = settle(column, value)
        return settled if known else bare(value)
    raise ConfigurationError(
        f"invalidate_for(rows): a row of {meta(model).label} lacks {column.attname!r}, which its tags depend on."
    )
