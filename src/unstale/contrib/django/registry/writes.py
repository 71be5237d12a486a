"""The hooks: each INSERT, UPDATE and DELETE that Django's ORM sends, whoever called for it.

Where they are, and why. Whatever the ORM writes, it writes through one of three classes, `SQLInsertCompiler`,
`SQLUpdateCompiler` and `SQLDeleteCompiler` of `django.db.models.sql.compiler` (5.2 and 6.0; a backend's own compilers
inherit from them). Signals miss `bulk_create`, `bulk_update`, `QuerySet.update` and fast deletes, and merely listening
to them turns fast deletes into slow ones. Methods of managers and querysets miss `save`, and what `Collector` does by
itself: `UpdateQuery.update_batch` for SET_NULL, `DeleteQuery.delete_batch` for the rows it holds. A subclass put in the
place of each queryset class would miss `_base_manager` and the tables of many-to-many relations. The compilers miss
nothing but raw SQL, and know what signals do not say: the WHERE, and the database.

What they do to a statement on a registered model's table, in one transaction, opened if there is none:

1. Read of the rows what their tags depend on, locked, unless the statement itself says it; and of the rows that they
   refer to, which the statement may change as well.
2. Write; where the database locks rows, only what was read: a row that another transaction commits in between is not
   written, as if the statement had run when its rows were read.
3. Read them again if a column that tags depend on may have changed.
4. Invalidate.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial, wraps
from typing import Any, Final

from django.db import connections, transaction
from django.db.models import QuerySet
from django.db.models.deletion import Collector
from django.db.models.sql import compiler as compilers

from unstale.contrib.django.registry.bumps import one_write
from unstale.contrib.django.registry.cascades import look, rows_ahead
from unstale.contrib.django.registry.inserts import insert
from unstale.contrib.django.registry.registrations import Plan, plan_of
from unstale.contrib.django.registry.rewrites import delete, update

_INSIDE: Final = "_unstale_inside"
_lock: Final = threading.Lock()
_installed = False


def install() -> None:
    """Put the hooks in place, once in this process."""
    global _installed  # noqa: PLW0603 - the patch is the process's
    with _lock:
        if _installed:
            return
        _hook(compilers.SQLInsertCompiler, "execute_sql", insert)
        _hook(compilers.SQLUpdateCompiler, "execute_sql", update)
        _hook(compilers.SQLDeleteCompiler, "execute_sql", delete)
        if "execute_returning_sql" in vars(compilers.SQLUpdateCompiler):  # Django 6.0
            _hook(compilers.SQLUpdateCompiler, "execute_returning_sql", update)
        for owner, name in ((QuerySet, "bulk_create"), (QuerySet, "bulk_update"), (Collector, "delete")):
            _as_one_write(owner, name)
        _look_ahead(Collector)
        _installed = True


def _hook(kind: Any, name: str, around: Callable[[Plan, Any, Callable[[], Any]], Any]) -> None:
    """Run each statement of a compiler inside `around`, if it concerns a registered model."""
    is_own = name in vars(kind)  # SQLDeleteCompiler has none: what comes next in the backend's order is called then
    original = getattr(kind, name)

    @wraps(original)
    def execute(self: Any, *args: Any, **kwargs: Any) -> Any:
        run = partial(original, self) if is_own else getattr(super(kind, self), name)
        plan = plan_of(self.query.model)
        if plan is None or getattr(self, _INSIDE, False):
            return run(*args, **kwargs)
        setattr(self, _INSIDE, True)  # one of these methods may call the other
        try:
            with own_transaction(self.connection.alias):
                return around(plan, self, partial(run, *args, **kwargs))
        finally:
            setattr(self, _INSIDE, False)

    setattr(kind, name, execute)


def _as_one_write(owner: Any, name: str) -> None:
    original = getattr(owner, name)

    @wraps(original)
    def counted(*args: Any, **kwargs: Any) -> Any:
        with one_write():
            return original(*args, **kwargs)

    setattr(owner, name, counted)


def _look_ahead(owner: Any) -> None:
    """Let each cascade look first where it must: see `cascades`. The look counts as part of the write."""
    original = owner.delete

    @wraps(original)
    def delete(self: Any) -> Any:
        ahead = rows_ahead(self)
        if not ahead:
            return original(self)
        with own_transaction(self.using), one_write():
            look(ahead, self.using)
            return original(self)

    owner.delete = delete


@contextmanager
def own_transaction(alias: str) -> Iterator[None]:
    """A transaction for one statement, or the open one: row and outbox commit together.

    On SQLite it begins IMMEDIATE, so that it waits for the write lock, as the statement alone would have: a transaction
    that began with our look would fail at its first write if another had written meanwhile.
    """
    connection = connections[alias]
    with ExitStack() as stack:
        with _immediate(connection):
            stack.enter_context(transaction.atomic(using=alias, savepoint=False))
        yield


@contextmanager
def _immediate(connection: Any) -> Iterator[None]:
    connection.ensure_connection()
    if connection.vendor != "sqlite" or connection.in_atomic_block or connection.transaction_mode is not None:
        yield
        return
    connection.transaction_mode = "IMMEDIATE"
    try:
        yield
    finally:
        connection.transaction_mode = None


def is_hooked(alias: str, compiler: str) -> bool:
    """Whether a database's compiler goes through the hooks: its class inherits from Django's.

    Args:
        alias: the database.
        compiler: the name of the class, as SQLUpdateCompiler.
    """
    return issubclass(connections[alias].ops.compiler(compiler), getattr(compilers, compiler))
